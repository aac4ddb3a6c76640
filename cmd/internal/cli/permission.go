package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// explain gives an error's text, and where a file or folder may not be read or
// written says whose it is and what to do.
func explain(err error) string {
	var at *fs.PathError
	if !errors.As(err, &at) || !errors.Is(at, fs.ErrPermission) {
		return err.Error()
	}
	return err.Error() + "\n  " + Belongs(at.Path)
}

// Belongs says in a sentence whose a file is, or the nearest folder of it that
// can be looked at, and how to act as that user.
func Belongs(path string) string {
	info, err := os.Stat(path)
	for err != nil && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return "try again as root, with sudo"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "try again as root, with sudo"
	}
	owner, own := userName(int(stat.Uid)), userName(os.Getuid())
	if owner == own {
		return fmt.Sprintf("%s belongs to %s, who this is, but its mode is %04o: chmod u+rwX %s, or try again as root, with sudo", path, owner, info.Mode().Perm(), path)
	}
	as := fmt.Sprintf("sudo -u '#%d'", stat.Uid)
	if stat.Uid == 0 {
		as = "sudo"
	}
	return fmt.Sprintf("%s belongs to %s (mode %04o), and this is %s: try again as %s, with %s", path, owner, info.Mode().Perm(), own, owner, as)
}

func userName(id int) string {
	number := strconv.Itoa(id)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return "user " + number
}
