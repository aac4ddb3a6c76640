package buffer

import (
	"fmt"

	"smgw/meter"
)

// PutBoundaries stores boundary readings that come late in one commit, and
// returns how many of them it stored. A reading whose meter, boundary and device
// have one is left out, whatever it says. Nothing gives way to them: a store
// without room for all refuses with ErrFull and takes none.
func (s *Store) PutBoundaries(all []meter.BoundaryReading) (stored int, err error) {
	for i := range all {
		if err := validBoundary(&all[i]); err != nil {
			return 0, err
		}
	}
	err = s.update(func(t *txn) error {
		stored = 0
		fresh, archive := t.Bucket(bucketFresh), t.Bucket(bucketBoundaries)
		var size int64
		for i := range all {
			key := boundaryKey(all[i].Meter, all[i].Boundary, all[i].Device)
			if fresh.Get(key) != nil || archive.Get(key) != nil {
				continue
			}
			value := seal(kindBoundary, key, encodeBoundary(&all[i]))
			if err := archive.Put(key, value); err != nil {
				return err
			}
			size += int64(elementSize(key, value))
			stored++
		}
		if stored == 0 {
			return nil
		}
		return s.withinLimit(t, 2*size) // twice, because pages that are split are half empty
	})
	if err != nil {
		return 0, fmt.Errorf("store %d late boundary readings: %w", len(all), err)
	}
	return stored, nil
}
