package buffer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// outbox is what memory knows of the items that are not settled: enough to
// choose the next one without reading flash. Bodies stay on flash.
type outbox struct {
	mu   sync.Mutex
	byID map[string]*Item
	// waiting items of each endpoint, by due time and then id
	waiting map[string][]*Item
	newest  map[string]meter.Quarter // where each endpoint's newest values of a day or more begin, whatever became of them
	tried   map[string]bool          // ids whose attempts, or whose NotBefore, are not on flash yet
	late    []late                   // acknowledgements that are not on flash yet
}

// load takes over the file's state. Attempts that the file does not know yet stay.
func (o *outbox) load(items *bolt.Bucket) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, tried := o.byID, o.tried
	o.byID, o.waiting, o.tried = map[string]*Item{}, map[string][]*Item{}, map[string]bool{}
	o.newest = map[string]meter.Quarter{}
	return items.ForEach(func(k, v []byte) error {
		it, err := openItem(k, v)
		if err != nil {
			return nil // a damaged record is what Check reports
		}
		if i := slices.IndexFunc(o.late, func(l late) bool { return l.item.ID == it.ID }); i >= 0 {
			if it.State == Acknowledged {
				o.late = slices.Delete(slices.Clone(o.late), i, i+1) // it came through
			}
			return nil
		}
		if have := known[it.ID]; it.State == Waiting && tried[it.ID] && have.Revision > it.Revision {
			it = *have
		}
		o.set(it)
		if tried[it.ID] && o.byID[it.ID] != nil {
			o.tried[it.ID] = true
		}
		return nil
	})
}

// apply takes over an item's new state.
func (o *outbox) apply(it Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set(it)
}

func (o *outbox) set(it Item) {
	if old := o.byID[it.ID]; old != nil {
		o.unqueue(old)
		delete(o.byID, it.ID)
		delete(o.tried, it.ID)
	}
	if it.Needs.To-it.Needs.From >= shortestDay {
		o.newest[it.Endpoint] = max(o.newest[it.Endpoint], it.Needs.From)
	}
	if it.State != Waiting && it.State != SetAside {
		return
	}
	it.Body = nil
	o.byID[it.ID] = &it
	if it.State == Waiting {
		q := o.waiting[it.Endpoint]
		i, _ := slices.BinarySearchFunc(q, &it, byDue)
		o.waiting[it.Endpoint] = slices.Insert(q, i, &it)
	}
}

func (o *outbox) unqueue(it *Item) {
	q := o.waiting[it.Endpoint]
	if i, found := slices.BinarySearchFunc(q, it, byDue); found {
		o.waiting[it.Endpoint] = slices.Delete(q, i, i+1)
	}
	if len(o.waiting[it.Endpoint]) == 0 {
		delete(o.waiting, it.Endpoint)
	}
}

func byDue(a, b *Item) int {
	return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
}

// get returns an unsettled item without its body.
func (o *outbox) get(id string) (Item, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it := o.byID[id]; it != nil {
		return *it, true
	}
	return Item{}, false
}

// shortestDay is how many quarter hours the day has on which summer time begins.
const shortestDay = 92

// next chooses the item to send now: first the newest daily values, which the
// receiver waits for; then what can still be in time, the soonest due before
// the others; then what was missed, from old to new.
func (o *outbox) next(endpoint string, now time.Time) (Item, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.waiting[endpoint]
	var first *Item
	inTime, _ := slices.BinarySearchFunc(q, now, func(it *Item, t time.Time) int { return it.Due.Compare(t) })
	for _, part := range [...][]*Item{q[inTime:], q[:inTime]} {
		for _, it := range part {
			switch {
			case it.NotBefore.After(now):
			case it.Needs.From >= o.newest[endpoint] && it.Needs.To-it.Needs.From >= shortestDay:
				return *it, true
			case first == nil:
				first = it
			}
		}
	}
	if first == nil {
		return Item{}, false
	}
	return *first, true
}

func (o *outbox) nextTime(endpoint string) (first time.Time, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.waiting[endpoint] {
		if !found || it.NotBefore.Before(first) {
			first, found = it.NotBefore, true
		}
	}
	return first, found
}

func (o *outbox) lastTried(endpoint string) (last Item, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.waiting[endpoint] {
		if it.Attempts > 0 && (!found || it.LastTried.After(last.LastTried)) {
			last, found = *it, true
		}
	}
	return last, found
}

func (o *outbox) markTried(id, why string, at, notBefore time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	it := o.byID[id]
	if it == nil || it.State != Waiting {
		return false
	}
	it.Attempts++
	it.LastTried, it.LastError, it.NotBefore = at, why, notBefore
	it.Revision++
	o.tried[id] = true
	return true
}

func (o *outbox) hasten(endpoint string, after, to time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.waiting[endpoint] {
		if it.NotBefore.After(after) {
			it.NotBefore = to
			it.Revision++
			o.tried[it.ID] = true
		}
	}
}

func (o *outbox) isDirty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.tried)+len(o.late) > 0
}

// dirty returns the items of which flash does not know all.
func (o *outbox) dirty() []Item {
	o.mu.Lock()
	defer o.mu.Unlock()
	var items []Item
	for id := range o.tried {
		items = append(items, *o.byID[id])
	}
	return items
}

// clean forgets the marks of items as they were written: one that was tried
// again meanwhile stays marked.
func (o *outbox) clean(written []Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range written {
		if it := o.byID[w.ID]; it != nil && it.Revision == w.Revision {
			delete(o.tried, w.ID)
		}
	}
}

// each calls fn for every unsettled item.
func (o *outbox) each(fn func(*Item)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.byID {
		fn(it)
	}
}
