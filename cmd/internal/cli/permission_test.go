package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExplainSaysWhoseAFolderIs(t *testing.T) {
	denied := func(path string) error {
		return fmt.Errorf("make identity folder: %w", &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrPermission})
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	require.Equal(t, "make identity folder: mkdir "+dir+"/a/b: permission denied\n  "+
		dir+" belongs to "+userName(os.Getuid())+", who this is, but its mode is 0500: chmod u+rwX "+dir+", or try again as root, with sudo",
		explain(denied(filepath.Join(dir, "a", "b"))))
	require.Equal(t, "make identity folder: mkdir a: "+fs.ErrNotExist.Error(),
		explain(fmt.Errorf("make identity folder: %w", &fs.PathError{Op: "mkdir", Path: "a", Err: fs.ErrNotExist})))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(dir, 12345, 12345))
		require.Contains(t, explain(denied(dir)), dir+" belongs to user 12345 (mode 0500), and this is root: try again as user 12345")
	}
}
