package buffer

import bolt "go.etcd.io/bbolt"

// Probe comes back when the store could write: it waits behind the writers that
// are at it, reads, and writes nothing. A watchdog learns from it that the store
// hangs; one that is damaged or full answers.
func (s *Store) Probe() error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.view(func(tx *bolt.Tx) error {
		tx.Bucket(bucketMeta).Get(nil)
		return nil
	})
}
