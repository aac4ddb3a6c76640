package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
)

// serialPort is the path of a serial port with an optical head, 9600 8N1.
type serialPort string

// errGone says that the path no longer leads to the port that is open: the
// adapter came back under another name, or a link was moved to another port.
var errGone = errors.New("the port is no longer there, or another one has taken its name")

func (s serialPort) Live() bool     { return true }
func (s serialPort) String() string { return "serial:" + string(s) }

func (s serialPort) Open(context.Context) (io.ReadCloser, error) {
	// Before the port: where the link is moved in between, the two differ and
	// the port is opened anew.
	node, err := os.Stat(string(s))
	if err != nil {
		return nil, err
	}
	port, err := serial.Open(string(s), &serial.Mode{BaudRate: 9600, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w%s", string(s), err, hint(err))
	}
	if err := port.SetReadTimeout(readSlice); err != nil {
		port.Close()
		return nil, fmt.Errorf("open %s: %w", string(s), err)
	}
	return &openPort{port: port, path: s, node: node, busy: make(chan struct{}, 1)}, nil
}

// hint says what to do about a port that cannot be opened.
func hint(err error) string {
	var port *serial.PortError
	if !errors.As(err, &port) {
		return ""
	}
	switch port.Code() {
	case serial.PermissionDenied:
		return "; may this user read it? (usermod --append --groups dialout USER, and log in again)"
	case serial.PortBusy:
		return "; another program has it open (fuser --verbose PORT names it)"
	case serial.InvalidSerialPort:
		return "; this is no serial port"
	}
	return ""
}

// readSlice is how long one read of the port may block. Between slices a
// reader sees that it was closed or that its port has gone.
const readSlice = 200 * time.Millisecond

// openPort is a port that is open. The library's own Close may be called
// while a Read is under way, but closes the descriptor before it wakes the
// Read, which may then read from whatever got that descriptor next: so Close
// waits for the Read, no longer than a slice.
type openPort struct {
	port   serial.Port
	path   serialPort
	node   os.FileInfo
	closed atomic.Bool
	busy   chan struct{} // full while a Read is under way
}

func (o *openPort) Read(p []byte) (int, error) {
	o.busy <- struct{}{}
	defer func() { <-o.busy }()
	for silentSince := time.Now(); ; {
		if o.closed.Load() {
			return 0, os.ErrClosed
		}
		n, err := o.port.Read(p)
		if err != nil {
			return n, fmt.Errorf("read %s: %w", string(o.path), err)
		}
		if n > 0 {
			return n, nil
		}
		if now, err := os.Stat(string(o.path)); err != nil || !os.SameFile(now, o.node) {
			return 0, fmt.Errorf("read %s: %w", string(o.path), errGone)
		}
		if time.Since(silentSince) >= SilenceLimit {
			return 0, &SilentError{o.path.String()}
		}
	}
}

func (o *openPort) Close() error {
	if o.closed.Swap(true) {
		return nil
	}
	o.busy <- struct{}{}
	defer func() { <-o.busy }()
	return o.port.Close()
}
