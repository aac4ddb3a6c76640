package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/meter"
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

func TestCheckSaysWhyAMetersPortCannotBeRead(t *testing.T) {
	ports := &meter.Ports{Sys: t.TempDir(), Dev: t.TempDir()}
	warned := func(port string) []string {
		source, err := ports.ParseSource(port)
		require.NoError(t, err)
		return portWarnings(ports, source)
	}
	path := filepath.Join(ports.Dev, "ttyUSB0")
	require.Equal(t, []string{path + ": no such file or directory; no USB reader is plugged in (dmesg shows what happens when one is). Plug the reader in, or correct port"}, warned("serial:"+path))
	require.Equal(t, []string{"no reader with the USB serial number A5 is plugged in; no USB reader is plugged in (dmesg shows what happens when one is). Plug the reader in, or correct port"}, warned("usb:A5"))
	require.Contains(t, warned("file:" + path)[0], "the recording cannot be read: stat "+path)
	require.Empty(t, warned("tcp://127.0.0.1:1"))

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.Empty(t, warned("serial:"+path))
	if os.Getuid() == 0 { // a file of another's
		require.NoError(t, os.Chmod(ports.Dev, 0o755))
		require.NoError(t, os.Chmod(filepath.Dir(ports.Dev), 0o755))
		var all []string
		asNobody(t, func() { all = warned("serial:" + path) })
		require.Len(t, all, 1)
		require.Contains(t, all[0], "this user may not open "+path+"; the agent's must: sudo usermod --append --groups ")
	}
}
