package buffer

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// SetSchema writes another schema number into a file, checksum and all.
func SetSchema(path string, n uint64) error {
	return forge(path, func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(metaSchema, seal(kindMeta, metaSchema, binary.AppendUvarint(nil, n)))
	})
}

// MakeSchema turns a file into one of an older schema, which lacks the tables
// that came after it.
func MakeSchema(path string, schema uint64) error {
	if err := forge(path, func(tx *bolt.Tx) error {
		for _, t := range tables {
			if t.since > schema {
				if err := tx.DeleteBucket(t.bucket); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return SetSchema(path, schema)
}

// ForgeEntry changes an entry's text as somebody would who knows the format,
// but not the hashes after it.
func ForgeEntry(path string, seq uint64) error {
	return forge(path, func(tx *bolt.Tx) error {
		key := sequenceKey(seq)
		e, _, err := openEntry(key, tx.Bucket(bucketJournal).Get(key))
		if err != nil {
			return err
		}
		e.Kind = "never happened"
		return tx.Bucket(bucketJournal).Put(key, seal(kindJournal, key, append(encodeEvent(&e.Event), e.Hash[:]...)))
	})
}

// DropEntry takes an entry out.
func DropEntry(path string, seq uint64) error {
	return forge(path, func(tx *bolt.Tx) error { return tx.Bucket(bucketJournal).Delete(sequenceKey(seq)) })
}

// SwapEntries puts each of two entries in the other's place.
func SwapEntries(path string, a, b uint64) error {
	return forge(path, func(tx *bolt.Tx) error {
		j, ka, kb := tx.Bucket(bucketJournal), sequenceKey(a), sequenceKey(b)
		pa, err := unseal(kindJournal, ka, j.Get(ka))
		if err != nil {
			return err
		}
		pb, err := unseal(kindJournal, kb, j.Get(kb))
		if err != nil {
			return err
		}
		va, vb := seal(kindJournal, ka, pb), seal(kindJournal, kb, pa)
		if err := j.Put(ka, va); err != nil {
			return err
		}
		return j.Put(kb, vb)
	})
}

func forge(path string, fn func(*bolt.Tx) error) error {
	db, err := openFile(path, Options{Limit: DefaultLimit})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(fn)
}

// Fill stores a history at once, as years of quarter hours would have.
func Fill(s *Store, meterName string, from, to meter.Quarter, reading func(string, meter.Quarter) meter.BoundaryReading) error {
	for from < to {
		err := s.update(func(t *txn) error {
			archive := t.Bucket(bucketBoundaries)
			archive.FillPercent = 1
			for range 5000 {
				if from == to {
					break
				}
				b := reading(meterName, from)
				key := boundaryKey(b.Meter, b.Boundary, b.Device)
				if err := archive.Put(key, seal(kindBoundary, key, encodeBoundary(&b))); err != nil {
					return err
				}
				from++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
