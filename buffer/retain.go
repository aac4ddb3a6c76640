package buffer

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// Ceilings of retention after FORM.md, Keeping and erasing. A policy may keep
// less, never more.
const (
	HistoryCeiling  = 24 * 31 * 24 * time.Hour // the consumer's own history: 24 months
	EvidenceCeiling = 90 * 24 * time.Hour      // who received or looked at what
	MinuteCeiling   = 7 * 24 * time.Hour       // minute readings: ours, FORM.md knows none
)

// Policy says how long acknowledged data are kept.
type Policy struct {
	History  time.Duration // quarter hours that nothing waits for, and the contracts of that time; 0 is HistoryCeiling
	Minutes  time.Duration // minute readings; 0 is MinuteCeiling
	Evidence time.Duration // journal, ids of settled items, and done notes; 0 is EvidenceCeiling
	Key      crypto.Signer // signs where the journal begins after its old end is erased; may be nil
}

// Retained counts what retention erased.
type Retained struct {
	Boundaries int64
	Minutes    int64
	Entries    int64 // of the journal
	Items      int64 // settled ones
	Notes      int64 // done ones
	Contracts  int64 // versions that another took the place of
	Expired    int64 // items and quarter hours beyond the legal ceiling, though never acknowledged
	Compacted  bool
}

// Retain erases what is older than a policy allows, and compacts the file when
// more than a sixth of it is free. Quarter hours that a waiting item or an
// unfinished series needs are kept, however old, up to the ceiling of § 60(6)
// MsbG: three years after the end of their calendar year. Call it once a day,
// with a clock that is right: what it erases is gone.
func (s *Store) Retain(now time.Time, p Policy) (Retained, error) {
	if p.History == 0 {
		p.History = HistoryCeiling
	}
	if p.Evidence == 0 {
		p.Evidence = EvidenceCeiling
	}
	if p.Minutes == 0 {
		p.Minutes = MinuteCeiling
	}
	var r Retained
	if p.History < 0 || p.History > HistoryCeiling || p.Evidence < 0 || p.Evidence > EvidenceCeiling || p.Minutes < 0 || p.Minutes > MinuteCeiling {
		return r, fmt.Errorf("retention of %s, %s and %s: at most %s, %s and %s", p.History, p.Evidence, p.Minutes, HistoryCeiling, EvidenceCeiling, MinuteCeiling)
	}
	err := errors.Join(
		s.retainMinutes(now, p, &r),
		s.retainBoundaries(now, p, &r),
		s.retainItems(now, p, &r),
		s.retainJournal(now, p, &r),
		s.retainNotes(now, p, &r),
		s.retainContracts(now, p, &r),
		s.removePrevious(now, now.Add(-previousKept)),
	)
	if err == nil {
		r.Compacted, err = s.compactIfWorthwhile()
	}
	if err != nil {
		return r, fmt.Errorf("retention: %w", err)
	}
	return r, nil
}

// legalCeiling is the instant before which nothing personal may be left.
func legalCeiling(now time.Time) time.Time {
	return time.Date(now.Year()-3, 1, 1, 0, 0, 0, 0, time.UTC)
}

func (s *Store) retainBoundaries(now time.Time, p Policy, r *Retained) error {
	meters, err := s.Meters()
	if err != nil {
		return err
	}
	ceiling := meter.QuarterOf(legalCeiling(now))
	for _, m := range meters {
		needed, err := s.neededFrom(m)
		if err != nil {
			return err
		}
		old := meter.QuarterOf(now.Add(-p.History))
		n, err := s.eraseBoundaries(m, min(old, needed), 0)
		r.Boundaries += n
		if err != nil {
			return err
		}
		if needed >= ceiling {
			continue
		}
		if n, err = s.loseBoundaries(m, ceiling, 0, LossExpired, now); err != nil {
			return err
		}
		r.Expired += n
	}
	return nil
}

// noteNeeds is how much before what a note is about is needed for what is made of
// it: a month.
const noteNeeds = 31 * 96

// neededFrom returns the first boundary of a meter that a waiting item was made
// from, or that a series or a note may still be built from. Marks and notes belong
// to no meter, so the one that lags most behind decides for all.
func (s *Store) neededFrom(meterName string) (meter.Quarter, error) {
	needed := meter.Quarter(maxQuarter)
	s.outbox.each(func(it *Item) {
		if it.Needs.Meter == meterName {
			needed = min(needed, it.Needs.From)
		}
	})
	series, err := s.Series()
	if len(series) == 0 {
		return 0, err // nothing was ever built: all may be needed
	}
	for _, q := range series {
		needed = min(needed, q)
	}
	notes, nerr := s.Notes()
	for _, n := range notes {
		if !n.Done {
			needed = min(needed, max(0, n.At-noteNeeds))
		}
	}
	return needed, errors.Join(err, nerr)
}

// eraseBoundaries deletes a meter's boundary readings before a boundary, oldest
// first, at most limit of them (0: all).
func (s *Store) eraseBoundaries(meterName string, before meter.Quarter, limit int64) (erased int64, err error) {
	return s.eraseReadings(meterName, int64(before), limit, bucketBoundaries, bucketFresh)
}

// eraseReadings deletes a meter's readings with a time in their key before
// another, oldest first, at most limit of them (0: all), in commits of bounded size.
func (s *Store) eraseReadings(meterName string, before, limit int64, buckets ...[]byte) (erased int64, err error) {
	for {
		n := 0
		err := s.update(func(t *txn) error {
			n = 0
			for _, name := range buckets {
				b, prefix := t.Bucket(name), meterPrefix(meterName)
				var old [][]byte
				c := b.Cursor()
				for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n+len(old) < batch; k, _ = c.Next() {
					if len(k) < len(prefix)+4 || int64(binary.BigEndian.Uint32(k[len(prefix):])) >= before ||
						limit > 0 && erased+int64(n+len(old)) >= limit {
						break
					}
					old = append(old, bytes.Clone(k))
				}
				for _, k := range old {
					if err := b.Delete(k); err != nil {
						return err
					}
				}
				n += len(old)
			}
			return nil
		})
		if err != nil {
			return erased, err
		}
		erased += int64(n)
		if n < batch || limit > 0 && erased >= limit {
			return erased, nil
		}
	}
}

// loseBoundaries deletes readings that are still needed, and says so.
func (s *Store) loseBoundaries(meterName string, before meter.Quarter, limit int64, why string, at time.Time) (int64, error) {
	first, found, err := s.FirstBoundary(meterName)
	if err != nil || !found || first.Boundary >= before {
		return 0, err
	}
	n, err := s.eraseBoundaries(meterName, before, limit)
	if n == 0 || err != nil {
		return n, err
	}
	upTo := before.Time()
	if next, found, err := s.FirstBoundary(meterName); err == nil && found && next.Boundary < before {
		upTo = next.Boundary.Time()
	}
	return n, s.AddLoss(
		[]Loss{{At: at, Kind: why, Subject: meterName, From: first.Boundary.Time(), To: upTo, Count: n}},
		Event{At: at, Kind: EventDropped, Detail: map[string]string{
			"why": why, "meter": meterName, "from": first.Boundary.String(), "to": upTo.Format(time.RFC3339), "boundaries": strconv.FormatInt(n, 10),
		}})
}

// retainItems forgets ids of items settled long ago, and drops what nobody
// took within the legal ceiling.
func (s *Store) retainItems(now time.Time, p Policy, r *Retained) error {
	var forget []string
	if err := s.Items(func(it Item) bool {
		// Settled by a clock that was behind, perhaps: not before it was made.
		old := it.Settled.Before(now.Add(-p.Evidence)) && it.Created.Before(now.Add(-p.Evidence))
		if (it.State == Acknowledged || it.State == GivenUp) && old {
			forget = append(forget, it.ID)
		}
		return true
	}); err != nil {
		return err
	}
	if len(forget) > 0 {
		if err := s.update(func(t *txn) error {
			for _, id := range forget {
				if err := t.Bucket(bucketItems).Delete([]byte(id)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	r.Items += int64(len(forget))
	var expired []Item
	s.outbox.each(func(it *Item) {
		if it.Created.Before(legalCeiling(now)) {
			expired = append(expired, *it)
		}
	})
	for _, it := range expired {
		if err := s.dropItem(it, LossExpired, now); err != nil {
			return err
		}
		r.Expired++
	}
	return nil
}

// dropItem ends an unsettled item without delivering it, and says so.
func (s *Store) dropItem(it Item, why string, at time.Time) error {
	return s.update(func(t *txn) error {
		it.State, it.Settled, it.LastError = GivenUp, at, why
		it.Revision++
		if err := t.Bucket(bucketBodies).Delete([]byte(it.ID)); err != nil {
			return err
		}
		if err := t.putItem(it); err != nil {
			return err
		}
		l := Loss{At: at, Kind: why, Subject: it.ID, From: it.Created, To: it.Created, Count: 1} // of an instant
		if it.Needs != (Span{}) {
			l.From, l.To = it.Needs.From.Time(), it.Needs.To.Time()
		}
		if err := appendLosses(t.Tx, []Loss{l}); err != nil {
			return err
		}
		return t.append([]Event{{At: at, Kind: EventDropped, Detail: map[string]string{"why": why, "id": it.ID, "endpoint": it.Endpoint}}})
	})
}

// retainJournal erases the entries that are older than the policy allows, from
// the old end on, and signs where the journal now begins. A clock that once
// stood wrong ends it early: what follows a younger entry is kept with it.
func (s *Store) retainJournal(now time.Time, p Policy, r *Retained) error {
	cutoff := now.Add(-p.Evidence)
	var last link
	err := s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketJournal).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			e, _, err := openEntry(k, v)
			if err != nil || !e.At.Before(cutoff) {
				return nil // what is broken is not erased but found by VerifyJournal
			}
			last = link{e.Seq, e.Hash}
		}
		return nil
	})
	if err != nil || last.seq == 0 {
		return err
	}
	anchor, err := sign(Anchor{Seq: last.seq, Hash: last.hash, At: now}, p.Key)
	if err != nil {
		return fmt.Errorf("sign the journal's anchor: %w", err)
	}
	return s.update(func(t *txn) error {
		if err := writeAnchor(t.Tx, anchor); err != nil {
			return err
		}
		n, err := eraseJournalUpTo(t.Tx, last.seq)
		r.Entries += n
		t.journalBytes = bucketBytes(t.Bucket(bucketJournal)) - s.journalBytes
		return err
	})
}

// retainNotes erases notes that are done and as old as evidence may be, and
// beyond the legal ceiling all of them.
func (s *Store) retainNotes(now time.Time, p Policy, r *Retained) (err error) {
	if r.Notes, err = s.eraseNotes(meter.QuarterOf(now.Add(-p.Evidence)), false); err != nil {
		return err
	}
	n, err := s.eraseNotes(meter.QuarterOf(legalCeiling(now)), true)
	r.Expired += n
	return err
}

// retainContracts erases versions that another took the place of before the
// history begins, unless quarter hours of theirs are still needed; and in any
// case before the legal ceiling.
func (s *Store) retainContracts(now time.Time, p Policy, r *Retained) error {
	versions, err := s.Contracts()
	if err != nil {
		return err
	}
	begin := meter.QuarterOf(now.Add(-p.History))
	meters, err := s.Meters()
	if err != nil {
		return err
	}
	for _, m := range meters {
		needed, err := s.neededFrom(m)
		if err != nil {
			return err
		}
		begin = min(begin, needed)
	}
	begin = max(begin, meter.QuarterOf(legalCeiling(now)))
	var old [][]byte
	for i := 1; i < len(versions) && versions[i].From < begin; i++ {
		old = append(old, contractKey(versions[i-1].From))
	}
	if len(old) == 0 {
		return nil
	}
	r.Contracts = int64(len(old))
	return s.update(func(t *txn) error {
		for _, k := range old {
			if err := t.Bucket(bucketContracts).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// worthwhile is how much must be free before a file is compacted, which writes
// all the rest: this, and a sixth of the file.
const worthwhile = 512 << 10

func (s *Store) compactIfWorthwhile() (bool, error) {
	st, err := s.Size()
	if err != nil {
		return false, err
	}
	free := st.FileBytes - st.UsedBytes
	if free < worthwhile || free*6 < st.FileBytes {
		return false, nil
	}
	return true, s.Compact()
}
