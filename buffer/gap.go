package buffer

import (
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// gap is a stretch of the journal that a damaged store lost: from after one
// link until another. The chain between the two cannot be verified; beyond the
// second it can.
type gap struct {
	after uint64 // number of the last entry before it
	until link   // where the chain goes on
}

type gaps []gap

// resume says whether the chain may go on at a link after another.
func (g gaps) resume(after, until link) bool { return slices.Contains(g, gap{after.seq, until}) }

// cross returns the far side of a gap that begins at a link and ends before
// an entry, or the link itself where there is none.
func (g gaps) cross(at link, next uint64) link {
	for _, gap := range g {
		if gap.after == at.seq && gap.until.seq < next {
			return gap.until
		}
	}
	return at
}

var metaGaps = []byte("gaps")

func readGaps(tx *bolt.Tx) (gaps, error) {
	v := tx.Bucket(bucketMeta).Get(metaGaps)
	if v == nil {
		return nil, nil
	}
	p, err := unseal(kindMeta, metaGaps, v)
	if err != nil {
		return nil, err
	}
	d := decoder{b: p}
	var all gaps
	for len(d.b) > 0 && d.err == nil {
		g := gap{after: d.uvarint()}
		g.until.seq = d.uvarint()
		copy(g.until.hash[:], d.take(uint64(len(Hash{}))))
		all = append(all, g)
	}
	return all, d.end()
}

func writeGaps(tx *bolt.Tx, all gaps) error {
	var p []byte
	for _, g := range all {
		p = binary.AppendUvarint(p, g.after)
		p = binary.AppendUvarint(p, g.until.seq)
		p = append(p, g.until.hash[:]...)
	}
	return tx.Bucket(bucketMeta).Put(metaGaps, seal(kindMeta, metaGaps, p))
}

// mendJournal makes a journal of the entries that a damaged store left: it
// writes down the gaps, so that VerifyJournal finds only what is wrong beside
// them, and a head from which the journal goes on. It returns how many entries
// are missing.
func mendJournal(tx *bolt.Tx) (missing uint64, err error) {
	at, err := anchorLink(tx)
	if err != nil {
		return 0, err
	}
	head, err := readLink(tx, metaHead)
	if err != nil {
		return 0, err
	}
	all, err := readGaps(tx)
	if err != nil {
		return 0, err
	}
	known := len(all)
	c := tx.Bucket(bucketJournal).Cursor()
	for k, v := c.Seek(sequenceKey(at.seq + 1)); k != nil; k, v = c.Next() {
		e, _, err := openEntry(k, v)
		if err != nil {
			return 0, err
		}
		here := link{e.Seq, e.Hash}
		at = all.cross(at, e.Seq)
		if e.Seq != at.seq+1 && !all.resume(at, here) {
			all = append(all, gap{at.seq, here})
			missing += e.Seq - at.seq - 1
		}
		at = here
	}
	switch {
	case head.seq > at.seq:
		if !all.resume(at, head) {
			all = append(all, gap{at.seq, head})
			missing += head.seq - at.seq
		}
	case head != at:
		if err := writeLink(tx, metaHead, at); err != nil {
			return 0, err
		}
	}
	if len(all) == known {
		return missing, nil
	}
	return missing, writeGaps(tx, all)
}
