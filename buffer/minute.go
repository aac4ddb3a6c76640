package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// PutMinute stores a reading as that of its minute, in one durable commit. A
// later one of the same minute and device takes its place.
//
// Minute readings are for eyes: nothing is billed or built from them. They make
// nothing else give way: in a full store the oldest of them do, and where there
// are none PutMinute returns ErrFull.
func (s *Store) PutMinute(r meter.Reading) error {
	b := minuteRecord(&r)
	if err := validBoundary(&b); err != nil {
		return fmt.Errorf("minute reading: %w", err)
	}
	key := readingKey(b.Meter, int64(b.Boundary), b.Device)
	value := seal(kindMinute, key, encodeMinute(&b, &r))
	for {
		err := s.update(func(t *txn) error {
			if err := s.withinLimit(t, 0); err != nil {
				return err
			}
			minutes := t.Bucket(bucketMinutes)
			minutes.FillPercent = 1
			return minutes.Put(key, value)
		})
		if err == nil {
			return nil
		}
		freed := false
		if errors.Is(err, ErrFull) {
			var derr error
			if freed, derr = s.dropMinutes(); derr != nil {
				err = errors.Join(err, derr)
			}
		}
		if !freed {
			return fmt.Errorf("store minute reading of meter %s at %s: %w", r.Meter, r.At.Time.UTC().Format(time.RFC3339), err)
		}
	}
}

// Minutes returns a meter's minute readings that were read from one instant to
// another, both included, ascending. A record whose checksum fails is left out.
func (s *Store) Minutes(meterName string, from, to time.Time) ([]meter.Reading, error) {
	var out []meter.Reading
	err := s.view(func(tx *bolt.Tx) error {
		minutes := tx.Bucket(bucketMinutes)
		if minutes == nil {
			return nil // a file of schema 1 that is only looked into
		}
		prefix := meterPrefix(meterName)
		c := minutes.Cursor()
		for k, v := c.Seek(readingKey(meterName, max(0, minuteOf(from)), "")); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			r, err := openMinute(k, v)
			if err != nil || r.At.Time.Before(from) {
				continue
			}
			if minuteOf(r.At.Time) > minuteOf(to) {
				break
			}
			if !r.At.Time.After(to) {
				out = append(out, r)
			}
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b meter.Reading) int { return a.At.Time.Compare(b.At.Time) })
	return out, err
}

// dropMinutes erases the oldest minute readings of one meter, and reports
// whether there were any.
func (s *Store) dropMinutes() (bool, error) {
	meters, err := s.metersIn(bucketMinutes)
	for _, m := range meters {
		if n, err := s.eraseReadings(m, maxKeyTime+1, batch, bucketMinutes); n > 0 || err != nil {
			return n > 0, err
		}
	}
	return false, err
}

func (s *Store) retainMinutes(now time.Time, p Policy, r *Retained) error {
	meters, err := s.metersIn(bucketMinutes)
	for _, m := range meters {
		n, err := s.eraseReadings(m, minuteOf(now.Add(-p.Minutes)), 0, bucketMinutes)
		r.Minutes += n
		if err != nil {
			return err
		}
	}
	return err
}

// minuteOf counts minutes since 1970.
func minuteOf(t time.Time) int64 {
	s := t.Unix()
	return (s - (s%60+60)%60) / 60
}

// minuteRecord puts a reading into the form of a boundary reading whose
// boundary is its minute: what is stored of it is the same.
func minuteRecord(r *meter.Reading) meter.BoundaryReading {
	minute := minuteOf(r.At.Time)
	return meter.BoundaryReading{
		Meter: r.Meter, Boundary: meter.Quarter(minute), Device: r.Device,
		Offset: r.At.Time.Sub(time.Unix(minute*60, 0)).Truncate(time.Millisecond),
		Clock:  r.At.Quality, SecIndex: r.SecIndex, Status: r.Status, Coarse: r.Coarse, Registers: r.Registers,
	}
}

// encodeMinute is a boundary reading and, where there is one, the power.
func encodeMinute(b *meter.BoundaryReading, r *meter.Reading) []byte {
	p := encodeBoundary(b)
	if r.Power.Valid {
		p = appendDecimal(p, r.Power.Decimal)
	}
	return p
}

func openMinute(key, value []byte) (meter.Reading, error) {
	p, err := unseal(kindMinute, key, value)
	if err != nil {
		return meter.Reading{}, err
	}
	name, minute, device, err := splitKey(key)
	if err != nil {
		return meter.Reading{}, err
	}
	r, err := decodeMinute(p, minute)
	r.Meter, r.Device = name, device
	return r, err
}

func decodeMinute(p []byte, minute int64) (meter.Reading, error) {
	d := decoder{b: p}
	b := d.boundary()
	r := meter.Reading{
		At:       meter.Stamp{Time: time.Unix(minute*60, 0).Add(b.Offset).UTC(), Quality: b.Clock},
		SecIndex: b.SecIndex, Status: b.Status, Coarse: b.Coarse, Registers: b.Registers,
	}
	if d.err == nil && len(d.b) > 0 {
		r.Power.Decimal, r.Power.Valid = d.decimal(), true
	}
	return r, d.end()
}

// metersIn returns the names of the meters that have readings in one of some buckets.
func (s *Store) metersIn(buckets ...[]byte) ([]string, error) {
	var names []string
	err := s.view(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			c := tx.Bucket(name).Cursor()
			for k, _ := c.First(); k != nil; {
				m, _, found := bytes.Cut(k, []byte{0})
				if found && !slices.Contains(names, string(m)) {
					names = append(names, string(m))
				}
				k, _ = c.Seek(append(bytes.Clone(m), 1))
			}
		}
		return nil
	})
	slices.SortFunc(names, strings.Compare)
	return names, err
}

// readingKey is meter 00 time(4) device, with the time in quarters or minutes.
func readingKey(name string, at int64, d meter.DeviceID) []byte {
	k := make([]byte, 0, len(name)+5+len(d))
	k = append(append(k, name...), 0)
	k = binary.BigEndian.AppendUint32(k, uint32(min(at, maxKeyTime)))
	return append(k, d...)
}

func splitKey(key []byte) (name string, at int64, d meter.DeviceID, err error) {
	n, rest, found := bytes.Cut(key, []byte{0})
	if !found || len(rest) < 4 {
		return "", 0, "", errors.New("key is too short")
	}
	return string(n), int64(binary.BigEndian.Uint32(rest)), meter.DeviceID(rest[4:]), nil
}

const maxKeyTime = int64(1)<<32 - 1
