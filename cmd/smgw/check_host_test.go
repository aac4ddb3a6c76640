package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asNobody calls f as a user who owns nothing. Only the thread changes: it is
// thrown away with its goroutine.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		const nobody = 65534
		if os.Getuid() == 0 {
			if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); err != 0 {
				done <- err
				return
			}
		}
		f()
		done <- nil
	}()
	require.NoError(t, <-done)
}

func TestCheckWarnsOfAFolderThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	var warned []string
	asNobody(t, func() {
		warnUnwritable(func(format string, a ...any) { warned = append(warned, fmt.Sprintf(format, a...)) }, dir)
	})
	require.Len(t, warned, 1)
	require.Contains(t, warned[0], "this user may not write to "+dir)
	require.Contains(t, warned[0], "smgw run must be able to")

	warnUnwritable(func(string, ...any) { t.Error("a folder of one's own") }, t.TempDir())
}

func TestNearestFolderIsWhereAFolderWouldBeMade(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, dir, nearestFolder(dir))
	require.Equal(t, dir, nearestFolder(filepath.Join(dir, "a", "b")))
}
