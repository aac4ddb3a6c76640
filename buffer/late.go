package buffer

import (
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// An acknowledgement waits in memory for the next commit that happens anyway,
// with its journal entries: a day's acknowledgements then cost the flash nothing
// of their own. One that a power cut takes leads to another PUT, which the other
// side answers with "already there".

// latestWrite is how long an acknowledgement waits for another commit.
const latestWrite = time.Minute

// late is an item's acknowledgement that flash does not know yet.
type late struct {
	item   Item
	events []Event
}

// Acknowledge notes an attempt after which the other side has an item on its
// disk, and settles it. Its body is erased; its id is remembered until retention
// forgets it. A second acknowledgement changes nothing.
//
// It costs no commit of its own: it is written with the next one, by Close, or
// after a minute. Until then a power cut undoes it, and the item waits again.
func (s *Store) Acknowledge(id string, at time.Time, events ...Event) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.gate.RLock()
	defer s.gate.RUnlock()
	err := s.acknowledge(id, at, events)
	if err != nil {
		return fmt.Errorf("mark item %s %s: %w", id, Acknowledged, err)
	}
	return nil
}

func (s *Store) acknowledge(id string, at time.Time, events []Event) error {
	switch {
	case s.db == nil:
		return ErrClosed
	case s.options.ReadOnly:
		return bolterrors.ErrDatabaseReadOnly
	}
	if it, found := s.outbox.get(id); found {
		it.State, it.Settled, it.LastError = Acknowledged, at, ""
		it.Attempts, it.LastTried = it.Attempts+1, at
		it.Revision++
		s.outbox.settleLate(late{it, events})
		if s.flush == nil {
			s.flush = time.AfterFunc(latestWrite, s.writeLate)
		}
		return nil
	}
	if _, waits := s.outbox.lateItem(id); waits {
		return nil
	}
	return s.db.View(func(tx *bolt.Tx) error {
		it, err := openItem([]byte(id), tx.Bucket(bucketItems).Get([]byte(id)))
		if err != nil || it.State != Acknowledged {
			return ErrUnknownItem
		}
		return nil
	})
}

// Flush writes acknowledgements that wait for another commit now: for who wants
// to read them in the journal.
func (s *Store) Flush() error {
	if len(s.outbox.lates()) == 0 {
		return nil
	}
	return s.update(func(*txn) error { return nil })
}

// writeLate writes what waited in vain for another commit. What cannot be
// written waits on.
func (s *Store) writeLate() {
	_ = s.update(func(*txn) error { return nil }) // its error is that of the next call that writes
	s.write.Lock()
	defer s.write.Unlock()
	if s.flush == nil {
		return // closed, or written meanwhile
	}
	s.flush = nil
	if len(s.outbox.lates()) > 0 {
		s.flush = time.AfterFunc(latestWrite, s.writeLate)
	}
}

// stopFlush ends the wait for another commit: nothing is late any more.
func (s *Store) stopFlush() {
	if s.flush != nil {
		s.flush.Stop()
		s.flush = nil
	}
}

// lateError is what kept acknowledgements from being written.
type lateError struct{ err error }

func (e *lateError) Error() string { return "write acknowledgements: " + e.err.Error() }
func (e *lateError) Unwrap() error { return e.err }

// putLate writes acknowledgements.
func (t *txn) putLate(all []late) error {
	for _, l := range all {
		if err := t.Bucket(bucketBodies).Delete([]byte(l.item.ID)); err != nil {
			return err
		}
		if err := writeItem(t.Tx, &l.item); err != nil {
			return err
		}
		if err := t.append(l.events); err != nil {
			return err
		}
	}
	return nil
}

func (o *outbox) settleLate(l late) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set(l.item) // settled: it leaves the queue
	o.late = append(o.late, l)
}

func (o *outbox) lates() []late {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.late[:len(o.late):len(o.late)]
}

func (o *outbox) lateItem(id string) (Item, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.late {
		if o.late[i].item.ID == id {
			return o.late[i].item, true
		}
	}
	return Item{}, false
}

// lateWritten forgets the first n acknowledgements, which are on flash.
func (o *outbox) lateWritten(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.late = o.late[n:]; len(o.late) == 0 {
		o.late = nil
	}
}
