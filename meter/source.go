package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Source is where a meter's bytes come from. It is opened again and again:
// readers are unplugged, cellars lose their network.
type Source interface {
	// Open opens the source. A Read of what it returns is given up soon after
	// Close, which may be called from another goroutine, and fails with a
	// *SilentError where a live source has been silent for too long.
	Open(ctx context.Context) (io.ReadCloser, error)
	// Live reports whether the source goes on for ever, so that any end of it
	// is a fault: a port, not a file.
	Live() bool
	// String gives the source as ParseSource reads it.
	String() string
}

// SilenceLimit is how long a live source may say nothing before it is opened
// anew. Meters push every one to four seconds; a port that is silent for so
// long may belong to an adapter that hangs or to a peer that lost its power.
const SilenceLimit = time.Minute

// SilentError says that nothing came for SilenceLimit.
type SilentError struct{ Source string }

func (e *SilentError) Error() string {
	return fmt.Sprintf("%s: not a byte for %v; is the reader on the meter, and plugged in?", e.Source, SilenceLimit)
}

// ParseSource reads how a configuration or a command names a source:
//
//	/dev/ttyUSB0         a serial port: a device, a link to one, or a path below /dev where none is yet
//	usb:A50285BI         the serial port of the USB adapter with that serial number, whatever its path
//	serial:/path         a serial port wherever it is, now or later
//	tcp://host:port      a serial port over the network (ser2net and the like)
//	file:/path, /path    a recording
//	-                    standard input
func ParseSource(spec string) (Source, error) { return new(Ports).ParseSource(spec) }

// ParseSource is the function of that name; its serial ports are those of p.
func (p *Ports) ParseSource(spec string) (Source, error) {
	const want = "want a serial port such as /dev/ttyUSB0, usb:SERIAL or serial:/path, tcp://host:port, a file, or - for standard input"
	switch scheme, rest, _ := strings.Cut(spec, ":"); {
	case spec == "":
		return nil, fmt.Errorf("source is empty: %s", want)
	case spec == "-":
		return stdin{}, nil
	case scheme == "serial" && rest != "":
		return &serialPort{ports: p, path: rest}, nil
	case scheme == "usb" && rest != "":
		return &serialPort{ports: p, usb: rest}, nil
	case scheme == "file" && rest != "":
		return file(rest), nil
	case scheme == "tcp":
		host, port, err := net.SplitHostPort(strings.TrimPrefix(rest, "//"))
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" || !strings.HasPrefix(rest, "//") {
			return nil, fmt.Errorf("source %q: want tcp://host:port, as in tcp://192.168.1.20:7000", spec)
		}
		return network(net.JoinHostPort(host, port)), nil
	case scheme == "serial" || scheme == "usb" || scheme == "file" || strings.Contains(spec, "://"):
		return nil, fmt.Errorf("source %q: %s", spec, want)
	}
	return p.sourceAt(spec)
}

// sourceAt tells a port from a recording by what is there.
func (p *Ports) sourceAt(path string) (Source, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeCharDevice != 0:
		return &serialPort{ports: p, path: path}, nil
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("source %q is a folder: want a recording in it, or a serial port such as /dev/ttyUSB0", path)
	case err == nil:
		return file(path), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("source: %w", err)
	case strings.HasPrefix(filepath.Clean(path), "/dev/"):
		return &serialPort{ports: p, path: path}, nil
	}
	if _, err := os.Lstat(path); err == nil { // a link whose port is not there now
		return &serialPort{ports: p, path: path}, nil
	}
	if port := filepath.Join("/dev", path); strings.HasPrefix(path, "tty") || exists(port) {
		return nil, fmt.Errorf("source %q: there is no such file; did you mean %s?", path, port)
	}
	return nil, fmt.Errorf("source %q: there is no such file; for a serial port that appears there later write serial:%s", path, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// file is a recording.
type file string

func (f file) Live() bool     { return false }
func (f file) String() string { return "file:" + string(f) }

func (f file) Open(context.Context) (io.ReadCloser, error) {
	if info, err := os.Stat(string(f)); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: want a recording in it", string(f))
	}
	return os.Open(string(f))
}

// stdin is standard input.
type stdin struct{}

func (stdin) Live() bool     { return false }
func (stdin) String() string { return "-" }

// Open reads standard input in a goroutine of its own, since no one can
// interrupt a read of it: after a Close that goroutine stays until the next
// byte or the end of the program.
func (stdin) Open(context.Context) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, os.Stdin)
		w.CloseWithError(err)
	}()
	return r, nil
}

// dialLimit bounds the making of a connection.
const dialLimit = 10 * time.Second

// network is a serial port behind a TCP connection.
type network string

func (n network) Live() bool     { return true }
func (n network) String() string { return "tcp://" + string(n) }

func (n network) Open(ctx context.Context) (io.ReadCloser, error) {
	conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp", string(n))
	if err != nil {
		return nil, err
	}
	return connection{conn, n}, nil
}

// connection limits how long its peer may be silent: one that lost its power
// never says goodbye.
type connection struct {
	net.Conn
	source network
}

func (c connection) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(SilenceLimit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, &SilentError{c.source.String()}
	}
	return n, err
}
