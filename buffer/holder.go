package buffer

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// holder says for people which process has the store open, after /proc/locks
// (proc(5)), and what to do about it.
func holder(path string) string {
	const hint = "stop it first, or ask the running agent (smgw status)"
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return hint
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return hint
	}
	defer locks.Close()
	inode := fmt.Sprintf(":%d", st.Ino)
	for sc := bufio.NewScanner(locks); sc.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF
		f := strings.Fields(sc.Text())
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], inode) {
			continue
		}
		name, err := os.ReadFile("/proc/" + f[4] + "/comm")
		if err != nil {
			break
		}
		return fmt.Sprintf("process %s (%s) has it open; %s", f[4], strings.TrimSpace(string(name)), hint)
	}
	return "another process has it open; " + hint
}
