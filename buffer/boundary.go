package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
	"smgw/meter/obis"
)

// PutBoundary stores a boundary reading and journal entries in one commit. The
// same reading again is no error and changes nothing; another reading for the
// same meter, boundary and device is refused with ErrConflict. Two devices may
// each have a reading at one boundary: that of the exchange.
func (s *Store) PutBoundary(b meter.BoundaryReading, events ...Event) error {
	return s.PutBoundaryAnd(b, nil, events...)
}

// PutBoundaryAnd is PutBoundary with notes of what the reading shows to have
// happened, in the same commit.
func (s *Store) PutBoundaryAnd(b meter.BoundaryReading, notes []Note, events ...Event) error {
	if err := validBoundary(&b); err != nil {
		return err
	}
	if err := validNotes(notes); err != nil {
		return err
	}
	key := boundaryKey(b.Meter, b.Boundary, b.Device)
	value := seal(kindBoundary, key, encodeBoundary(&b))
	err := s.makingRoom(b.Boundary.Time().Add(b.Offset), func() error { return s.putBoundary(key, value, notes, events) })
	if err != nil {
		return fmt.Errorf("store boundary reading of meter %s at %s: %w", b.Meter, b.Boundary, err)
	}
	return nil
}

func (s *Store) putBoundary(key, value []byte, notes []Note, events []Event) error {
	return s.update(func(t *txn) error {
		fresh, archive := t.Bucket(bucketFresh), t.Bucket(bucketBoundaries)
		for _, have := range [][]byte{fresh.Get(key), archive.Get(key)} {
			if have == nil {
				continue
			}
			if !bytes.Equal(have, value) {
				return ErrConflict
			}
			if err := t.putNotes(notes); err != nil {
				return err
			}
			return t.append(events)
		}
		if err := s.withinLimit(t, 0); err != nil {
			return err
		}
		if err := makeRoom(fresh, archive, elementSize(key, value)); err != nil {
			return err
		}
		if err := fresh.Put(key, value); err != nil {
			return err
		}
		if err := t.putNotes(notes); err != nil {
			return err
		}
		return t.append(events)
	})
}

// Boundaries returns a meter's readings from one boundary to another, both
// included, ascending; at the same boundary in the order of the device ids. A
// record whose checksum fails is left out: a gap, never a wrong value.
func (s *Store) Boundaries(meterName string, from, to meter.Quarter) ([]meter.BoundaryReading, error) {
	var out []meter.BoundaryReading
	from = max(from, 0)
	err := s.view(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketBoundaries, bucketFresh} {
			prefix := meterPrefix(meterName)
			c := tx.Bucket(name).Cursor()
			for k, v := c.Seek(boundaryKey(meterName, from, "")); bytes.HasPrefix(k, prefix); k, v = c.Next() {
				b, err := openBoundary(k, v)
				if err != nil {
					continue
				}
				if b.Boundary > to {
					break
				}
				if out = append(out, b); len(out)%giveBackEvery == 0 {
					s.giveBack(tx)
				}
			}
		}
		return nil
	})
	slices.SortFunc(out, compareBoundaries)
	return out, err
}

// FirstBoundary returns a meter's oldest reading, and false when it has none.
func (s *Store) FirstBoundary(meterName string) (meter.BoundaryReading, bool, error) {
	return s.edge(meterName, func(c *bolt.Cursor) ([]byte, []byte) { return c.Seek(meterPrefix(meterName)) },
		(*bolt.Cursor).Next, func(a, b meter.BoundaryReading) bool { return compareBoundaries(a, b) < 0 })
}

// LastBoundary returns a meter's newest reading, and false when it has none.
func (s *Store) LastBoundary(meterName string) (meter.BoundaryReading, bool, error) {
	after := append([]byte(meterName), 1)
	return s.edge(meterName, func(c *bolt.Cursor) ([]byte, []byte) {
		if k, _ := c.Seek(after); k == nil {
			return c.Last()
		}
		return c.Prev()
	}, (*bolt.Cursor).Prev, func(a, b meter.BoundaryReading) bool { return compareBoundaries(a, b) > 0 })
}

// edge takes the first good record of each bucket in walking order, and of
// these the one that wins.
func (s *Store) edge(meterName string, start func(*bolt.Cursor) ([]byte, []byte),
	step func(*bolt.Cursor) ([]byte, []byte), wins func(a, b meter.BoundaryReading) bool) (best meter.BoundaryReading, found bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketBoundaries, bucketFresh} {
			c := tx.Bucket(name).Cursor()
			for k, v := start(c); bytes.HasPrefix(k, meterPrefix(meterName)); k, v = step(c) {
				b, err := openBoundary(k, v)
				if err != nil {
					continue
				}
				if !found || wins(b, best) {
					best, found = b, true
				}
				break
			}
		}
		return nil
	})
	return best, found, err
}

// Meters returns the names of the meters that have boundary readings.
func (s *Store) Meters() ([]string, error) { return s.metersIn(bucketBoundaries, bucketFresh) }

func compareBoundaries(a, b meter.BoundaryReading) int {
	if a.Boundary != b.Boundary {
		return int(max(-1, min(1, a.Boundary-b.Boundary)))
	}
	return strings.Compare(string(a.Device), string(b.Device))
}

func validBoundary(b *meter.BoundaryReading) error {
	switch {
	case b.Meter == "" || len(b.Meter) > 64 || strings.ContainsAny(b.Meter, "\x00\x01"):
		return fmt.Errorf("boundary reading: meter name %q cannot be a key", b.Meter)
	case len(b.Device) > meter.MaxDeviceID:
		return fmt.Errorf("boundary reading of meter %s: device id of %d bytes", b.Meter, len(b.Device))
	case b.Boundary < 0 || int64(b.Boundary) > maxQuarter:
		return fmt.Errorf("boundary reading of meter %s: boundary %d out of range", b.Meter, int64(b.Boundary))
	case b.Offset%time.Millisecond != 0:
		return fmt.Errorf("boundary reading of meter %s: offset %s is not whole milliseconds", b.Meter, b.Offset)
	case len(b.Registers) > meter.MaxRegisters:
		return fmt.Errorf("boundary reading of meter %s: %d registers", b.Meter, len(b.Registers))
	}
	return nil
}

const maxQuarter = maxKeyTime

func meterPrefix(name string) []byte { return append([]byte(name), 0) }

func boundaryKey(name string, q meter.Quarter, d meter.DeviceID) []byte {
	return readingKey(name, int64(q), d)
}

func encodeBoundary(b *meter.BoundaryReading) []byte {
	p := make([]byte, 0, 64)
	p = binary.AppendVarint(p, b.Offset.Milliseconds())
	p = append(p, byte(b.Clock))
	var flags byte
	for i, f := range [...]bool{b.SecIndex.Valid, b.Status.Valid, b.Coarse} {
		if f {
			flags |= 1 << i
		}
	}
	p = append(p, flags)
	if b.SecIndex.Valid {
		p = binary.AppendUvarint(p, uint64(b.SecIndex.Seconds))
	}
	if b.Status.Valid {
		p = binary.AppendUvarint(p, b.Status.Bits)
	}
	p = binary.AppendUvarint(p, uint64(len(b.Registers)))
	for _, r := range b.Registers {
		p = append(p, r.Code[:]...)
		p = appendDecimal(p, r.Value)
	}
	return p
}

// openBoundary decodes a record; its error says why it cannot be used.
func openBoundary(key, value []byte) (meter.BoundaryReading, error) {
	p, err := unseal(kindBoundary, key, value)
	if err != nil {
		return meter.BoundaryReading{}, err
	}
	name, at, device, err := splitKey(key)
	if err != nil {
		return meter.BoundaryReading{}, err
	}
	b, err := decodeBoundary(p)
	b.Meter, b.Boundary, b.Device = name, meter.Quarter(at), device
	return b, err
}

func decodeBoundary(p []byte) (meter.BoundaryReading, error) {
	d := decoder{b: p}
	b := d.boundary()
	return b, d.end()
}

func (d *decoder) boundary() (b meter.BoundaryReading) {
	ms := d.varint()
	if ms < -1<<40 || ms > 1<<40 {
		d.fail()
	}
	b.Offset = time.Duration(ms) * time.Millisecond
	b.Clock = meter.ClockQuality(d.byte())
	flags := d.byte()
	if b.SecIndex.Valid = flags&1 != 0; b.SecIndex.Valid {
		n := d.uvarint()
		if n > 1<<32-1 {
			d.fail()
		}
		b.SecIndex.Seconds = uint32(n)
	}
	if b.Status.Valid = flags&2 != 0; b.Status.Valid {
		b.Status.Bits = d.uvarint()
	}
	b.Coarse = flags&4 != 0
	n := d.uvarint()
	if n > meter.MaxRegisters || flags > 7 {
		d.fail()
	}
	for range n {
		if d.err != nil {
			break
		}
		var r meter.RegisterValue
		copy(r.Code[:], d.take(uint64(len(obis.Code{}))))
		r.Value = d.decimal()
		b.Registers = append(b.Registers, r)
	}
	return b
}
