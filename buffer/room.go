package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// errLimit is the ErrFull of the store's own limit, not of the disk.
var errLimit = fmt.Errorf("%w: its limit is reached", ErrFull)

// withinLimit refuses a write that could take the store over its limit. What
// frees pages does not ask: it has the reserve.
func (s *Store) withinLimit(t *txn, more int64) error {
	st := s.db.Stats()
	used := t.Size() - int64(st.FreePageN+st.PendingPageN)*pageSize
	if used+more > s.options.Limit {
		return fmt.Errorf("%w: %d of %d bytes are in use", errLimit, used, s.options.Limit)
	}
	return nil
}

// makingRoom runs a write that happens at an instant, and when the store is full
// lets something give way and runs it again. A full disk takes nothing but minutes
// and acknowledged quarter hours: it is somebody else's doing, and may pass. A file
// whose holes are too small for what bbolt wants in one piece is compacted first.
func (s *Store) makingRoom(at time.Time, write func() error) error {
	compacted := false
	for {
		err := write()
		if !errors.Is(err, ErrFull) {
			return err
		}
		freed, gerr := false, err
		if compacted || !inHoles(err) {
			freed, gerr = s.giveWay(at, errors.Is(err, errLimit))
			compacted = compacted && !freed
		}
		if inHoles(gerr) && !compacted {
			// Where that fails, the next round gives way as if nothing had been.
			compacted = true
			s.Compact()
			continue
		}
		if errors.Is(gerr, ErrFull) {
			return err // erasing writes too, and says no more
		}
		if gerr != nil {
			return errors.Join(err, gerr)
		}
		if !freed {
			return err
		}
	}
}

// inHoles reports whether a commit failed for want of free pages in one piece:
// the limit would have let it be.
func inHoles(err error) bool { return errors.Is(err, bolterrors.ErrMaxSizeReached) }

// happening is when a write happens, as far as it says: what it is about may lie
// far ahead, and an entry of the journal that is dated so would keep all that
// come after it beyond their time.
func happening(events []Event, about time.Time) time.Time {
	if len(events) > 0 {
		return events[0].At
	}
	return about
}

// dropAtOnce is how many items give way together.
const dropAtOnce = 8

// giveWay erases what can be missed most, and reports whether there was anything,
// also where it then failed: first minute readings, then quarter hours that
// nothing waits for, each the oldest before the others. Last of all, and only when
// unacknowledged data may go, the oldest items, first of those that were made from
// no quarter hours and say something about an instant; and when there are none,
// quarter hours that are not built into anything yet. Each of these is a Loss.
func (s *Store) giveWay(at time.Time, unacknowledged bool) (bool, error) {
	if freed, err := s.dropMinutes(); freed || err != nil {
		return freed, err
	}
	meters, err := s.Meters()
	if err != nil {
		return false, err
	}
	for _, m := range meters {
		needed, err := s.neededFrom(m)
		if err != nil {
			return false, err
		}
		// The newest stay in any case: the agent goes on from them.
		last, _, err := s.LastBoundary(m)
		if err != nil {
			return false, err
		}
		if n, err := s.eraseBoundaries(m, min(needed, last.Boundary), batch); n > 0 || err != nil {
			return n > 0, err
		}
	}
	if !unacknowledged {
		return false, nil
	}
	var items []Item
	s.outbox.each(func(it *Item) { items = append(items, *it) })
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(a.Needs.compareMade(b.Needs), a.Created.Compare(b.Created), byDue(&a, &b))
	})
	for i, it := range items[:min(dropAtOnce, len(items))] {
		if it.Needs.compareMade(items[0].Needs) != 0 {
			items = items[:i]
			break // those of an instant may have been enough
		}
		if err := s.dropItem(it, LossFull, at); err != nil {
			return i > 0, err
		}
	}
	if len(items) > 0 {
		return true, nil
	}
	for _, m := range meters {
		last, _, err := s.LastBoundary(m)
		if err != nil {
			return false, err
		}
		if n, err := s.loseBoundaries(m, last.Boundary, batch, LossFull, at); n > 0 || err != nil {
			return n > 0, err
		}
	}
	return false, nil
}

// compareMade sorts what was made from no readings first.
func (s Span) compareMade(o Span) int {
	made := func(s Span) int { return min(len(s.Meter), 1) }
	return cmp.Compare(made(s), made(o))
}
