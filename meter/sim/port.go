package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"smgw/meter"
)

// Port is a pseudo-terminal: the simulated meter writes into one end, and the
// other end is a device that is opened as any serial port. Closing it is what
// unplugging an adapter is.
type Port struct {
	*os.File // the meter's end

	name  string
	slave *os.File // the other end, held open to look after it
	link  string
}

// OpenPort makes a pseudo-terminal, raw from the start: no echo, and no byte
// translated.
func OpenPort() (*Port, error) {
	// Not by creack/pty, whose file is a blocking one that no deadline frees.
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	p := &Port{File: master}
	err = control(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		p.name = fmt.Sprintf("/dev/pts/%d", n)
		return err
	})
	if err == nil {
		p.slave, err = os.OpenFile(p.name, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	}
	if err == nil {
		err = control(p.slave, setRaw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pseudo-terminal: %w", err), p.Close())
	}
	return p, nil
}

func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B9600
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	err = conn.Control(func(fd uintptr) { done = do(int(fd)) })
	return errors.Join(err, done)
}

// Name is the device to read from.
func (p *Port) Name() string { return p.name }

// Link makes path a symbolic link to the device, in place of a stale one that
// is there already, but not of one that leads to another process's simulated
// meter. Close removes it.
func (p *Port) Link(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: there is no folder %s: make it first, or choose another place", path, filepath.Dir(path))
	}
	for _, user := range meter.PortUsers(path) {
		if user.Meter {
			return fmt.Errorf("link %s: the simulated meter of %v is there: end it first, or choose another link", path, user)
		}
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("link %s: something that is not a link is there already", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("link: %w", err)
	}
	// By renaming, so that there is a port at every moment.
	beside := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	os.Remove(beside)
	if err := os.Symlink(p.name, beside); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	if err := os.Rename(beside, path); err != nil {
		os.Remove(beside)
		return fmt.Errorf("link: %w", err)
	}
	p.link = path
	return nil
}

// Close hangs up: who reads from the device finds it closed. It removes the
// link if it still leads here.
func (p *Port) Close() error {
	if to, err := os.Readlink(p.link); err == nil && to == p.name {
		os.Remove(p.link)
	}
	err := p.File.Close()
	if p.slave != nil {
		err = errors.Join(err, p.slave.Close())
	}
	return err
}

// unreadLimit is how much may wait in the port before it is thrown away: some
// seconds of telegrams, for a reader that is slow.
const unreadLimit = 1024

// settle does what makes the pseudo-terminal like a real port. A real one gives
// up its exclusive lock with its last user, even one that was killed, and
// keeps nothing for a reader that is not there: stale telegrams would be
// taken for new ones.
func (p *Port) settle(discard bool) {
	control(p.slave, func(fd int) error {
		unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
		if n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); !discard || err != nil || n < unreadLimit {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
}

// empty reports whether the reader has taken everything. What waits stands in
// two buffers, and only the nearer one can be asked: so it asks several times,
// while a reader would empty it and the kernel fill it again.
func (p *Port) empty() bool {
	for range 5 {
		waiting := 0
		err := control(p.slave, func(fd int) (err error) {
			waiting, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
			return err
		})
		if err != nil || waiting > 0 {
			return err != nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}
