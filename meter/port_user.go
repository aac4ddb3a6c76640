package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PortUser is another process that has a serial port open.
type PortUser struct {
	PID  int
	Name string
	// Meter says that it holds the far end of a pseudo-terminal as well: it is
	// the simulated meter that speaks at this port, and no other reader of it.
	Meter bool
}

// String gives "smgw (process 1059)".
func (u PortUser) String() string { return fmt.Sprintf("%s (process %d)", u.Name, u.PID) }

// PortUsers looks in /proc for the other processes that have the port at path
// open, which may be a link. Those of other users are seen only by root.
func PortUsers(path string) []PortUser {
	device, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	var users []PortUser
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || pid == os.Getpid() {
			continue
		}
		near, far := holds(process, device)
		if !near {
			continue
		}
		name, _ := os.ReadFile(process + "/comm")
		users = append(users, PortUser{PID: pid, Name: strings.TrimSpace(string(name)), Meter: far})
	}
	return users
}

// holds reports whether a process has a device open, and whether it has the
// other end of it open, where the device is a pseudo-terminal.
func holds(process, device string) (near, far bool) {
	number, isPseudo := strings.CutPrefix(device, "/dev/pts/")
	open, _ := os.ReadDir(process + "/fd")
	for _, fd := range open {
		switch to, _ := os.Readlink(filepath.Join(process, "fd", fd.Name())); {
		case to == device:
			near = true
		case isPseudo && (to == "/dev/ptmx" || to == "/dev/pts/ptmx"):
			// The kernel says which pseudo-terminal a master is of: "tty-index:	3".
			info, _ := os.ReadFile(filepath.Join(process, "fdinfo", fd.Name()))
			_, index, _ := strings.Cut(string(info), "tty-index:")
			index, _, _ = strings.Cut(index, "\n")
			far = far || strings.TrimSpace(index) == number
		}
	}
	return near, far
}
