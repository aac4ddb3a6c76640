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
	"golang.org/x/sys/unix"
)

// serialPort is a serial port with an optical head, 9600 8N1: a path, or a USB
// adapter by its serial number. It remembers, while the program runs, which
// reader it found at its path, and follows it to another one.
type serialPort struct {
	ports *Ports
	path  string
	usb   string // "" where path is given

	learnt usbID // guarded by ports.mu
}

// errGone says that the path no longer leads to the port that is open: the
// adapter came back under another name, or a link was moved to another port.
var errGone = errors.New("the port is no longer there, or another one has taken its name")

// errUnplugged is how the kernel says it: the far end hung up.
var errUnplugged = errors.New("the reader was unplugged, or its adapter failed")

func hungUp(err error) bool {
	port, ok := errors.AsType[*serial.PortError](err)
	return ok && port.Code() == serial.PortClosed || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
}

func (s *serialPort) Live() bool { return true }

func (s *serialPort) String() string {
	if s.usb != "" {
		return "usb:" + s.usb
	}
	return "serial:" + s.path
}

// BusyError says that a port is read by somebody else. As root it could be
// opened all the same, and then both would get half the bytes.
type BusyError struct {
	Path string
	By   string // "" where the kernel does not tell this user
}

func (e *BusyError) Error() string {
	if e.By == "" {
		return fmt.Sprintf("open %s: busy: another program has it open; sudo fuser --verbose %s names it", e.Path, e.Path)
	}
	return fmt.Sprintf("open %s: busy: %s has it open, and two would get half the bytes each; end that, or give this meter another port", e.Path, e.By)
}

func (s *serialPort) Open(context.Context) (io.ReadCloser, error) {
	s.ports.mu.Lock()
	defer s.ports.mu.Unlock()
	path, reader, err := s.ports.find(s)
	if err != nil {
		return nil, err
	}
	// Before the port: where the link is moved in between, the two differ and
	// the port is opened anew.
	node, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if node.IsDir() {
		return nil, fmt.Errorf("open %s: this is a folder, no serial port; %s", path, pluggedIn(s.ports.readers()))
	}
	if other := s.ports.holder(node); other != nil {
		return nil, &BusyError{path, "this agent, for another meter, as " + other.String() + ","}
	}
	if user, busy := userOf(path); busy {
		return nil, &BusyError{path, user.String()}
	}
	port, err := serial.Open(path, &serial.Mode{BaudRate: 9600, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if portErr, ok := errors.AsType[*serial.PortError](err); ok && portErr.Code() == serial.PortBusy {
		return nil, &BusyError{Path: path}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w%s", path, err, hint(err))
	}
	if err := port.SetReadTimeout(readSlice); err != nil {
		port.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.ports.own(s, reader)
	o := &openPort{port: port, source: s, path: path, node: node, busy: make(chan struct{}, 1)}
	s.ports.open = append(s.ports.open, o)
	return o, nil
}

// userOf finds another reader of a port: not the simulated meter, which has
// both its ends open, and nobody where the path is no terminal, as half of all
// processes have /dev/null open.
func userOf(path string) (PortUser, bool) {
	for _, user := range PortUsers(path) {
		if !user.Meter {
			return user, isTerminal(path)
		}
	}
	return PortUser{}, false
}

// isTerminal asks the device. Where another process has it open anyway, opening
// it changes no line of the port.
func isTerminal(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.EBUSY // anything else: opening it will say
	}
	defer unix.Close(fd)
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
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
	source *serialPort
	path   string
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
		if hungUp(err) {
			err = errUnplugged
		}
		if err != nil {
			return n, fmt.Errorf("read %s: %w", o.path, err)
		}
		if n > 0 {
			return n, nil
		}
		if now, err := os.Stat(o.path); err != nil || !os.SameFile(now, o.node) {
			return 0, fmt.Errorf("read %s: %w", o.path, errGone)
		}
		if time.Since(silentSince) >= SilenceLimit {
			return 0, &SilentError{o.source.String()}
		}
	}
}

// at is the device node that the source was found at, for the line's state.
func (o *openPort) at() string { return o.path }

func (o *openPort) Close() error {
	if o.closed.Swap(true) {
		return nil
	}
	defer o.source.ports.release(o)
	o.busy <- struct{}{}
	defer func() { <-o.busy }()
	return o.port.Close()
}
