package board_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/board"
)

// A file stands in for the device, which takes the same bytes.
func TestWatchdogIsFedAndDisarmed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watchdog")
	_, err := board.OpenWatchdog(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "does this board have one")

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	w, err := board.OpenWatchdog(path)
	require.NoError(t, err)
	require.NoError(t, w.Feed())
	require.NoError(t, w.Feed())
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x00\x00", string(written), "no letter that disarms")
	require.NoError(t, w.Close())
	written, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x00\x00V", string(written))
}
