package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"smgw/buffer"
)

// When giveBack is called first, and after how long again: a look at the whole
// store, or a day's building, touches pages that nobody needs for hours.
const (
	giveBackFirst = 2 * time.Second
	giveBackEvery = 10 * time.Second
)

// giveBackUntil calls giveBack again and again until ctx ends. It is the process's
// work and no agent's: its pages are those of all that it does. The store stays
// where it is mapped meanwhile, because what took its place might be written to.
func giveBackUntil(ctx context.Context, store *buffer.Store, log *slog.Logger) {
	for wait := giveBackFirst; ; wait = giveBackEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := store.Still(giveBack); err != nil {
			log.Debug("giving back memory", "err", err)
		}
	}
}

// giveBack tells the kernel that it may take the pages of files, the program's and
// the store's, that this process has looked at. What is needed comes back from the
// page cache at the next look; the rest, such as the code of the start and most of
// a year of quarter hours, stays away. Without it some 9 MB of code and tables and
// the whole store count as this process's own for ever.
func giveBack() error {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	var from, to uint64
	for line := range strings.Lines(string(text)) {
		// 00400000-00f3c000 r-xp 00001000 08:01 1234  /usr/bin/smgw
		// Anonymous:             0 kB
		name, value, _ := strings.Cut(line, " ")
		switch {
		case !strings.HasSuffix(name, ":"):
			from, to = 0, 0
			if value[0] == 'r' && value[1] != 'w' && strings.Contains(value, " /") {
				fmt.Sscanf(name, "%x-%x", &from, &to)
			}
		case name == "Anonymous:" && to != 0 && strings.TrimSpace(value) == "0 kB":
			// No page differs from its file: a dynamic linker's relocations would be lost.
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("madvise %x-%x: %w", from, to, errno)
			}
		}
	}
	return nil
}
