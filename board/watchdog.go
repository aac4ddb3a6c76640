package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// WatchdogTimeout is after how long without being fed the hardware's watchdog
// shall restart the board. A chip that cannot wait for so long keeps its own.
const WatchdogTimeout = time.Minute

// Watchdog is the board's hardware watchdog, /dev/watchdog: once it is open it
// restarts the board unless it is fed.
type Watchdog struct{ device *os.File }

// OpenWatchdog opens the watchdog at path, which begins to count.
func OpenWatchdog(path string) (*Watchdog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		hint := ""
		switch {
		case errors.Is(err, unix.EBUSY):
			hint = "; somebody else feeds it: is it RuntimeWatchdogSec= in /etc/systemd/system.conf?"
		case errors.Is(err, fs.ErrPermission):
			hint = "; let the agent's user write it by a rule of udev: docs/watchdog.md has one"
		case errors.Is(err, fs.ErrNotExist):
			hint = "; does this board have one, and is its driver loaded?"
		}
		return nil, fmt.Errorf("open watchdog: %w%s", err, hint)
	}
	// What refuses keeps its own time; a feeder that comes each second suits any.
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, int(WatchdogTimeout/time.Second))
	return &Watchdog{f}, nil
}

// Feed keeps the board from being restarted.
func (w *Watchdog) Feed() error {
	_, err := w.device.Write([]byte{0})
	return err
}

// Close disarms the watchdog with the letter that its drivers wait for ("magic
// close"). A process that ends without it is given the rest of the time to
// come back.
func (w *Watchdog) Close() error {
	_, err := w.device.Write([]byte{'V'})
	return errors.Join(err, w.device.Close())
}
