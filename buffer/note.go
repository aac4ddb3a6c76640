package buffer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// Note is something that happened at a metering point once and makes payloads
// due, until they are built: the start of a supply, an exchange of the device.
// The text is opaque here.
type Note struct {
	ID   string        // made from what happened: the same thing noted twice is one
	At   meter.Quarter // when it happened, or what came late begins; readings from a month before are kept until it is done
	Done bool          // nothing waits for it any more
	Text []byte
}

// PutNote stores a note, in the place of one of the same id, and journal entries.
func (s *Store) PutNote(n Note, events ...Event) error {
	return s.PutItems(nil, []Note{n}, events...)
}

// PutItems stores items that belong to no series, notes of what made them due,
// and journal entries, in one commit. An item whose id is known, in whatever
// state, is not stored twice.
func (s *Store) PutItems(items []Item, notes []Note, events ...Event) error {
	if err := validNotes(notes); err != nil {
		return err
	}
	var at time.Time
	var size int64
	for i := range items {
		if err := validItem(&items[i]); err != nil {
			return err
		}
		at = items[i].Created
		size += int64(len(items[i].Body)) + pageSize
	}
	for _, n := range notes {
		if len(items) == 0 {
			at = n.At.Time()
		}
		size += int64(len(n.Text)) + pageSize
	}
	err := s.makingRoom(happening(events, at), func() error {
		return s.update(func(t *txn) error {
			if err := s.withinLimit(t, size); err != nil {
				return err
			}
			if err := t.putNew(items); err != nil {
				return err
			}
			if err := t.putNotes(notes); err != nil {
				return err
			}
			return t.append(events)
		})
	})
	if err != nil {
		return fmt.Errorf("store payloads and notes: %w", err)
	}
	return nil
}

func validNotes(notes []Note) error {
	for _, n := range notes {
		if n.ID == "" || len(n.ID) > 128 || len(n.Text) > maxNote || n.At < 0 || int64(n.At) > maxQuarter {
			return fmt.Errorf("store note %q of %d bytes at %d: not a note, or out of range", n.ID, len(n.Text), int64(n.At))
		}
	}
	return nil
}

func (t *txn) putNotes(notes []Note) error {
	for i := range notes {
		key := []byte(notes[i].ID)
		if err := t.Bucket(bucketNotes).Put(key, seal(kindNote, key, encodeNote(&notes[i]))); err != nil {
			return err
		}
	}
	return nil
}

// maxNote bounds a note's text.
const maxNote = 64 << 10

// Notes returns all notes, by when they happened.
func (s *Store) Notes() (notes []Note, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketNotes)
		if b == nil {
			return nil // a file of an older schema that is only looked into
		}
		return b.ForEach(func(k, v []byte) error {
			if n, err := openNote(k, v); err == nil {
				notes = append(notes, n)
			}
			return nil
		})
	})
	slices.SortFunc(notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	return notes, err
}

// eraseNotes erases notes that happened before a boundary: done ones, or all.
func (s *Store) eraseNotes(before meter.Quarter, all bool) (int64, error) {
	notes, err := s.Notes()
	old := slices.DeleteFunc(notes, func(n Note) bool { return n.At >= before || !n.Done && !all })
	if err != nil || len(old) == 0 {
		return 0, err
	}
	return int64(len(old)), s.update(func(t *txn) error {
		for _, n := range old {
			if err := t.Bucket(bucketNotes).Delete([]byte(n.ID)); err != nil {
				return err
			}
		}
		return nil
	})
}

func encodeNote(n *Note) []byte {
	p := []byte{0}
	if n.Done {
		p[0] = 1
	}
	p = binary.AppendUvarint(p, uint64(n.At))
	return append(p, n.Text...)
}

func openNote(key, value []byte) (Note, error) {
	p, err := unseal(kindNote, key, value)
	if err != nil {
		return Note{}, err
	}
	n, err := decodeNote(p)
	n.ID = string(key)
	return n, err
}

func decodeNote(p []byte) (Note, error) {
	d := decoder{b: p}
	done := d.byte()
	at := d.uvarint()
	if done > 1 || at > uint64(maxQuarter) {
		d.fail()
	}
	return Note{At: meter.Quarter(at), Done: done == 1, Text: append([]byte{}, d.b...)}, d.err
}
