package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// ItemState is how far an item has come.
type ItemState uint8

const (
	Waiting      ItemState = iota // to be delivered
	SetAside                      // refused for good: a person must look (Retry, GiveUp)
	Acknowledged                  // on the other side's disk; the body is gone from here (Acknowledge)
	GivenUp                       // a person decided not to deliver it; the body is gone
)

// String names the state for status and logs.
func (s ItemState) String() string { return itemStates[s] }

var itemStates = [...]string{"waiting", "set aside", "acknowledged", "given up"}

// MarshalText is String, for JSON.
func (s ItemState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *ItemState) UnmarshalText(b []byte) error {
	i := slices.Index(itemStates[:], string(b))
	if i < 0 {
		return fmt.Errorf("state of an item %q: want one of %q", b, itemStates)
	}
	*s = ItemState(i)
	return nil
}

// Span is a meter's boundaries From to To, both included.
type Span struct {
	Meter    string
	From, To meter.Quarter
}

// Item is something to deliver: a body that the buffer does not look into, and
// what is needed to deliver it. Instants are kept to the millisecond.
type Item struct {
	ID       string // made from what the item is: the same thing built twice has the same id
	Endpoint string
	Body     []byte
	Label    map[string]string // what people want to see in lists: row, malo, to, period
	Needs    Span              // the boundary readings it was made from, kept until it is settled
	Created  time.Time
	Due      time.Time // when it must have been received

	// NotBefore is when it may be tried: at first the gateway's own place in
	// the day, after a failure the end of the pause.
	NotBefore time.Time
	State     ItemState
	Attempts  int64 // the one that settled it included
	LastTried time.Time
	LastError string    // of the last attempt, or the reason why it was set aside or given up
	Settled   time.Time // when it left Waiting for the last time
	Revision  uint64    // grows with each change of the record
}

// Build stores the items of a series, how far that series is now built, and
// journal entries, in one commit. An item whose id is known, in whatever
// state, is not stored twice. A mark never goes back, but for BeginEarlier. A
// series is begun by a Build without items, at the boundary it begins: from there
// on its boundary readings are kept until they are built.
func (s *Store) Build(series string, upTo meter.Quarter, items []Item, events ...Event) error {
	if series == "" || upTo < 0 || int64(upTo) > maxQuarter {
		return fmt.Errorf("build series %q up to %d: not a series, or out of range", series, int64(upTo))
	}
	for _, it := range items {
		if err := validItem(&it); err != nil {
			return fmt.Errorf("build series %s: %w", series, err)
		}
	}
	err := s.makingRoom(happening(events, upTo.Time()), func() error { return s.build(series, upTo, items, events) })
	if err != nil {
		return fmt.Errorf("store %d payloads of series %s up to %s: %w", len(items), series, upTo, err)
	}
	return nil
}

func (s *Store) build(series string, upTo meter.Quarter, items []Item, events []Event) error {
	var size int64
	for _, it := range items {
		size += int64(len(it.Body)) + pageSize
	}
	return s.update(func(t *txn) error {
		if err := s.withinLimit(t, size); err != nil {
			return err
		}
		if err := t.putNew(items); err != nil {
			return err
		}
		marks := t.Bucket(bucketMarks)
		if have, ok := openMark([]byte(series), marks.Get([]byte(series))); !ok || upTo > have {
			key := []byte(series)
			if err := marks.Put(key, seal(kindMark, key, binary.AppendUvarint(nil, uint64(upTo)))); err != nil {
				return err
			}
		}
		return t.append(events)
	})
}

// putNew stores the items whose ids are not known yet.
func (t *txn) putNew(items []Item) error {
	for _, it := range items {
		if t.Bucket(bucketItems).Get([]byte(it.ID)) != nil {
			continue
		}
		it.State, it.Revision = Waiting, 1
		key := []byte(it.ID)
		if err := t.Bucket(bucketBodies).Put(key, seal(kindBody, key, it.Body)); err != nil {
			return err
		}
		if err := t.putItem(it); err != nil {
			return err
		}
	}
	return nil
}

// BuiltUpTo returns the mark of a series, and false when it has none.
func (s *Store) BuiltUpTo(series string) (q meter.Quarter, found bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		q, found = openMark([]byte(series), tx.Bucket(bucketMarks).Get([]byte(series)))
		return nil
	})
	return q, found, err
}

// Series returns the marks of all series.
func (s *Store) Series() (map[string]meter.Quarter, error) {
	marks := map[string]meter.Quarter{}
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMarks).ForEach(func(k, v []byte) error {
			if q, ok := openMark(k, v); ok {
				marks[string(k)] = q
			}
			return nil
		})
	})
	return marks, err
}

// EndSeries forgets a series whose row or contract ended, so that it no
// longer keeps boundary readings from being erased.
func (s *Store) EndSeries(series string, events ...Event) error {
	return s.update(func(t *txn) error {
		if err := t.Bucket(bucketMarks).Delete([]byte(series)); err != nil {
			return err
		}
		return t.append(events)
	})
}

func openMark(key, value []byte) (meter.Quarter, bool) {
	p, err := unseal(kindMark, key, value)
	if err != nil {
		return 0, false
	}
	d := decoder{b: p}
	q := d.uvarint()
	return meter.Quarter(q), d.end() == nil && q <= uint64(maxQuarter)
}

// Next returns the item to send now to an endpoint, with its body: of those
// with NotBefore ≤ now first the values of the newest day, then what can still be
// in time, the soonest due before the others, then what was missed, from old to
// new. Where its body is damaged it comes back without one beside the *DamagedError.
func (s *Store) Next(endpoint string, now time.Time) (Item, bool, error) {
	for {
		it, found := s.outbox.next(endpoint, now)
		if !found {
			return Item{}, false, nil
		}
		body, err := s.Body(it.ID)
		if errors.Is(err, ErrUnknownItem) {
			if _, still := s.outbox.get(it.ID); !still {
				continue // settled between the two looks
			}
		}
		if err != nil {
			return it, false, err
		}
		it.Body = body
		return it, true, nil
	}
}

// NextTime returns the earliest NotBefore among an endpoint's waiting items,
// and false when none waits.
func (s *Store) NextTime(endpoint string) (time.Time, bool) { return s.outbox.nextTime(endpoint) }

// LastTried returns the one of an endpoint's waiting items that was tried last,
// without its body, and false when none was.
func (s *Store) LastTried(endpoint string) (Item, bool) { return s.outbox.lastTried(endpoint) }

// Body returns what an unsettled item sends. A body that fails its checksum is
// a *DamagedError: set the item aside.
func (s *Store) Body(id string) (body []byte, err error) {
	if _, settled := s.outbox.lateItem(id); settled {
		return nil, fmt.Errorf("item %s: %w", id, ErrUnknownItem)
	}
	err = s.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketBodies).Get([]byte(id))
		if v == nil {
			return fmt.Errorf("item %s: %w", id, ErrUnknownItem)
		}
		p, err := unseal(kindBody, []byte(id), v)
		if err != nil {
			return &DamagedError{s.path, "body of item " + id, err.Error()}
		}
		body = append([]byte{}, p...) // v is the file's memory
		return nil
	})
	return body, err
}

// Item returns an item in any state, without its body. A record that fails its
// checksum is a *DamagedError.
func (s *Store) Item(id string) (it Item, found bool, err error) {
	if it, ok := s.outbox.get(id); ok {
		return it, true, nil
	}
	if it, ok := s.outbox.lateItem(id); ok {
		return it, true, nil
	}
	err = s.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketItems).Get([]byte(id))
		if v == nil {
			return nil
		}
		if it, err = openItem([]byte(id), v); err != nil {
			return &DamagedError{s.path, "item " + id, err.Error()}
		}
		found = true
		return nil
	})
	return it, found, err
}

// Items calls fn for every item, without bodies, in the order of their ids,
// until fn returns false. fn must not call the store.
func (s *Store) Items(fn func(Item) bool) error {
	return s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketItems).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			it, err := openItem(k, v)
			if err != nil {
				continue
			}
			if now, ok := s.outbox.get(it.ID); ok {
				it = now // attempts may not be on flash yet
			} else if now, ok := s.outbox.lateItem(it.ID); ok {
				it = now
			}
			if !fn(it) {
				return nil
			}
		}
		return nil
	})
}

// Tried notes a failed attempt: no item is sent again before notBefore. It
// costs no commit of its own: it is written with the next one, or by Close.
// After a power cut an item may therefore be tried sooner than noted.
func (s *Store) Tried(id, why string, at, notBefore time.Time) error {
	if !s.outbox.markTried(id, why, at, notBefore) {
		return fmt.Errorf("note attempt at item %s: %w", id, ErrUnknownItem)
	}
	return nil
}

// Hasten lets those of an endpoint's waiting items be tried from to on that may
// not be tried before an instant after another. Like Tried it costs no commit.
func (s *Store) Hasten(endpoint string, after, to time.Time) { s.outbox.hasten(endpoint, after, to) }

// SetAside notes an attempt after which the other side will never take an item,
// and takes it out of its queue. It stays, with its body, until a person decides.
func (s *Store) SetAside(id, reason string, at time.Time, events ...Event) error {
	return s.settle(id, SetAside, reason, at, nil, events, Waiting)
}

// SetAsideLost takes out an item whose body is lost, which cannot be tried, and
// notes the loss in the same commit.
func (s *Store) SetAsideLost(id, reason string, lost Loss, events ...Event) error {
	return s.settle(id, SetAside, reason, lost.At, []Loss{lost}, events, Waiting)
}

// Retry puts an item that was set aside back into its queue.
func (s *Store) Retry(id string, at time.Time, events ...Event) error {
	return s.settle(id, Waiting, "", at, nil, events, SetAside)
}

// GiveUp ends an item that was set aside without delivering it.
func (s *Store) GiveUp(id, reason string, at time.Time, events ...Event) error {
	return s.settle(id, GivenUp, reason, at, nil, events, SetAside)
}

// settle moves an item from one of the states to another.
func (s *Store) settle(id string, to ItemState, reason string, at time.Time, losses []Loss, events []Event, from ...ItemState) error {
	err := s.update(func(t *txn) error {
		it, found := s.outbox.get(id) // the newest: no other writer runs
		if !found {
			v := t.Bucket(bucketItems).Get([]byte(id))
			if it, err := openItem([]byte(id), v); err == nil && it.State == to {
				return nil
			}
			return ErrUnknownItem
		}
		if it.State == to {
			return nil
		}
		allowed := false
		for _, f := range from {
			allowed = allowed || it.State == f
		}
		if !allowed {
			return fmt.Errorf("%w: it is %s", ErrUnknownItem, it.State)
		}
		it.State, it.Settled = to, at
		it.Revision++
		if to == SetAside && len(losses) == 0 {
			it.Attempts, it.LastTried = it.Attempts+1, at
		}
		if to == Waiting {
			it.NotBefore, it.Settled = at, time.Time{}
		} else {
			it.LastError = reason
		}
		if to == GivenUp {
			if err := t.Bucket(bucketBodies).Delete([]byte(id)); err != nil {
				return err
			}
		}
		if err := t.putItem(it); err != nil {
			return err
		}
		if err := appendLosses(t.Tx, losses); err != nil {
			return err
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("mark item %s %s: %w", id, to, err)
	}
	return nil
}

// EndpointBacklog is what one endpoint has not got yet.
type EndpointBacklog struct {
	Endpoint string
	Waiting  int
	SetAside int
	Oldest   time.Time // when the oldest waiting item was made; zero when none waits
	Overdue  int       // of the waiting, those whose due time is over
	Attempts int64     // of the waiting, all together
}

// Backlog returns what each endpoint has not got yet, by endpoint.
func (s *Store) Backlog(now time.Time) ([]EndpointBacklog, error) {
	return s.outbox.backlog(now), nil
}

// putItem writes an item's new state, which memory takes over with the commit.
func (t *txn) putItem(it Item) error {
	t.items = append(t.items, it)
	return writeItem(t.Tx, &it)
}

func writeItem(tx *bolt.Tx, it *Item) error {
	key := []byte(it.ID)
	return tx.Bucket(bucketItems).Put(key, seal(kindItem, key, encodeItem(it)))
}

func validItem(it *Item) error {
	switch {
	case it.ID == "" || len(it.ID) > 128:
		return fmt.Errorf("item: id of %d bytes", len(it.ID))
	case it.Endpoint == "" || len(it.Endpoint) > 1024 || strings.ContainsAny(it.Endpoint, "\x00\n"):
		return fmt.Errorf("item %s: endpoint %q", it.ID, it.Endpoint)
	case len(it.Body) == 0 || len(it.Body) > 1<<20:
		return fmt.Errorf("item %s: body of %d bytes", it.ID, len(it.Body))
	}
	return nil
}

func encodeItem(it *Item) []byte {
	p := []byte{byte(it.State)}
	p = binary.AppendUvarint(p, it.Revision)
	p = appendText(p, it.Endpoint)
	p = appendTime(p, it.Due)
	p = appendTime(p, it.Created)
	p = appendTime(p, it.NotBefore)
	p = appendTime(p, it.Settled)
	p = appendTime(p, it.LastTried)
	p = binary.AppendVarint(p, it.Attempts)
	p = appendText(p, it.LastError[:min(len(it.LastError), maxErrorText)])
	p = appendText(p, it.Needs.Meter)
	p = binary.AppendVarint(p, int64(it.Needs.From))
	p = binary.AppendVarint(p, int64(it.Needs.To))
	return appendFields(p, it.Label)
}

// maxErrorText bounds what an endpoint's answer can make the store write.
const maxErrorText = 200

func openItem(key, value []byte) (Item, error) {
	p, err := unseal(kindItem, key, value)
	if err != nil {
		return Item{}, err
	}
	it, err := decodeItem(p)
	it.ID = string(key)
	return it, err
}

func decodeItem(p []byte) (Item, error) {
	var it Item
	d := decoder{b: p}
	if it.State = ItemState(d.byte()); it.State > GivenUp {
		d.fail()
	}
	it.Revision = d.uvarint()
	it.Endpoint = d.text()
	it.Due = d.time()
	it.Created = d.time()
	it.NotBefore = d.time()
	it.Settled = d.time()
	it.LastTried = d.time()
	it.Attempts = d.varint()
	it.LastError = d.text()
	it.Needs.Meter = d.text()
	it.Needs.From = meter.Quarter(d.varint())
	it.Needs.To = meter.Quarter(d.varint())
	it.Label = d.fields()
	return it, d.end()
}
