package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Compact writes the store anew without its free pages. The new file is whole
// and on flash before it takes the old one's name, so a cut leaves the one or
// the other; nobody else can open the store in between. It needs room on the
// disk for both.
func (s *Store) Compact() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	err := bolterrors.ErrDatabaseReadOnly
	if !s.options.ReadOnly {
		err = s.compact()
	}
	if err != nil {
		return fmt.Errorf("compact store %s: %w", s.path, describe(err))
	}
	return nil
}

// keepOwner gives a file that is about to take the place of another its owner:
// root, who looks after a gateway while its agent does not run, must not lock the
// agent out.
func keepOwner(path, part string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || os.Geteuid() != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(part, int(owner.Uid), int(owner.Gid))
}

func (s *Store) compact() error {
	part := s.path + ".new"
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	db, err := openFile(part, s.options)
	if err == nil {
		err = bolt.Compact(db, s.db, 1<<20)
	}
	if err == nil {
		err = db.Sync()
	}
	if err == nil {
		err = keepOwner(s.path, part)
	}
	if err == nil {
		err = os.Rename(part, s.path)
	}
	if err != nil {
		if db != nil {
			db.Close()
		}
		os.Remove(part)
		return err
	}
	// From here on the new file is the store, and its lock is ours already.
	old := s.db
	s.db = db
	if err := old.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}
