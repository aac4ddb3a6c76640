package buffer

import (
	"os"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// giveBackEvery is after how many records a long walk gives back what is behind it.
// They are on a dozen pages, and the kernel maps sixteen around each.
const giveBackEvery = 512

// giveBack tells the kernel that it may take the pages of the file that were looked
// at. They would count as this process's memory as long as it lives: one walk through
// a year of quarter hours is three megabytes. What is needed again comes back from
// the page cache. Where the kernel refuses the advice nothing is lost but the room.
//
// The transaction keeps the file mapped where it is, and nobody writes through the
// mapping. But a commit that failed at its last write may have left in it a meta page
// that the disk never took, and bbolt goes on from what it saw there. So the meta
// pages stay always, and all others from a commit that failed until one succeeds.
func (s *Store) giveBack(tx *bolt.Tx) {
	host := int64(os.Getpagesize())
	metas := (2*pageSize + host - 1) / host * host
	if more := tx.Size() - metas; more > 0 && s.Trouble() == nil {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, s.db.Info().Data+uintptr(metas), uintptr(more), syscall.MADV_DONTNEED)
	}
}
