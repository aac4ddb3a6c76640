package board

import (
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is how long ago the machine was switched on; 0 where the kernel does
// not say.
func Uptime() time.Duration {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return time.Duration(info.Uptime) * time.Second
}
