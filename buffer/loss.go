package buffer

import (
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Loss is something that was acknowledged as stored, or should have been, and
// is gone: counted and dated, so that it can be told to people and to the head-end.
type Loss struct {
	Seq      uint64
	At       time.Time // when it was noticed
	Kind     string    // "store_damaged", "store_full", …
	Subject  string    // which meter, item or table; "" for all
	From, To time.Time // what it spans; zero when not known
	Count    int64     // of records; 0 when not known
}

// AddLoss notes losses together with journal entries.
func (s *Store) AddLoss(losses []Loss, events ...Event) error {
	err := s.update(func(t *txn) error {
		if err := appendLosses(t.Tx, losses); err != nil {
			return err
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("note losses: %w", err)
	}
	return nil
}

// Losses returns what was lost and not told to the head-end yet, ascending.
func (s *Store) Losses() (losses []Loss, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketLosses).ForEach(func(k, v []byte) error {
			if l, err := openLoss(k, v); err == nil {
				losses = append(losses, l)
			}
			return nil
		})
	})
	return losses, err
}

// LossesTold forgets losses up to a number: they are in a payload that was
// acknowledged. The journal keeps them.
func (s *Store) LossesTold(upTo uint64, events ...Event) error {
	return s.update(func(t *txn) error {
		b := t.Bucket(bucketLosses)
		c := b.Cursor()
		for k, _ := c.First(); len(k) == 8 && binary.BigEndian.Uint64(k) <= upTo; k, _ = c.First() {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return t.append(events)
	})
}

func appendLosses(tx *bolt.Tx, losses []Loss) error {
	b := tx.Bucket(bucketLosses)
	for _, l := range losses {
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		key := sequenceKey(seq)
		if err := b.Put(key, seal(kindLoss, key, encodeLoss(&l))); err != nil {
			return err
		}
	}
	return nil
}

func encodeLoss(l *Loss) []byte {
	p := appendTime(nil, l.At)
	p = appendText(p, l.Kind)
	p = appendText(p, l.Subject)
	p = appendTime(p, l.From)
	p = appendTime(p, l.To)
	return binary.AppendVarint(p, l.Count)
}

func openLoss(key, value []byte) (Loss, error) {
	p, err := unseal(kindLoss, key, value)
	if err != nil {
		return Loss{}, err
	}
	if len(key) != 8 {
		return Loss{}, errEncoding
	}
	d := decoder{b: p}
	l := Loss{Seq: binary.BigEndian.Uint64(key)}
	l.At = d.time()
	l.Kind = d.text()
	l.Subject = d.text()
	l.From = d.time()
	l.To = d.time()
	l.Count = d.varint()
	return l, d.end()
}
