package buffer

import (
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Snapshot writes the store's file to w as it is after the last commit, page by
// page, so that Check of the copy says what is wrong with the original. Writers
// go on meanwhile.
func (s *Store) Snapshot(w io.Writer) error {
	err := s.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("copy store %s: %w", s.path, describe(err))
	}
	return nil
}
