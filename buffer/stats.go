package buffer

import (
	"cmp"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Stats are figures about the store.
type Stats struct {
	Path       string `json:"path"`
	FileBytes  int64  `json:"file_bytes"`
	UsedBytes  int64  `json:"used_bytes"` // of the file, without free pages
	LimitBytes int64  `json:"limit_bytes"`
	Boundaries int64  `json:"boundaries"`
	Minutes    int64  `json:"minutes"`
	Items      int64  `json:"items"` // in any state
	Waiting    int64  `json:"waiting"`
	SetAside   int64  `json:"set_aside"`
	Journal    int64  `json:"journal"`
	Commits    int64  `json:"commits"` // since it was opened or compacted
}

// Stats counts what is in the store.
func (s *Store) Stats() (Stats, error) {
	st := Stats{Path: s.path, LimitBytes: s.options.Limit}
	s.outbox.each(func(it *Item) {
		if it.State == Waiting {
			st.Waiting++
		} else {
			st.SetAside++
		}
	})
	err := s.view(func(tx *bolt.Tx) error {
		s.size(tx, &st)
		for _, n := range [][]byte{bucketBoundaries, bucketFresh} {
			st.Boundaries += s.count(tx.Bucket(n))
		}
		if minutes := tx.Bucket(bucketMinutes); minutes != nil { // none in a file of schema 1
			st.Minutes = s.count(minutes)
		}
		st.Items = s.count(tx.Bucket(bucketItems))
		st.Journal = s.count(tx.Bucket(bucketJournal))
		return nil
	})
	return st, err
}

// count counts the records of a bucket. It gives back what it looked at on its way,
// so that a store of many years takes no more room than one of a day.
func (s *Store) count(b *bolt.Bucket) (n int64) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if n++; n%giveBackEvery == 0 {
			s.giveBack(b.Tx())
		}
	}
	return n
}

// Size is Stats without the counts, which only a walk through all of the file
// gives.
func (s *Store) Size() (Stats, error) {
	st := Stats{Path: s.path, LimitBytes: s.options.Limit}
	err := s.view(func(tx *bolt.Tx) error {
		s.size(tx, &st)
		return nil
	})
	return st, err
}

func (s *Store) size(tx *bolt.Tx, st *Stats) {
	st.FileBytes = tx.Size()
	ds := s.db.Stats()
	st.UsedBytes = st.FileBytes - int64(ds.FreePageN+ds.PendingPageN)*pageSize
	st.Commits = ds.TxStats.GetWrite()
}

func (o *outbox) backlog(now time.Time) []EndpointBacklog {
	byEndpoint := map[string]*EndpointBacklog{}
	o.each(func(it *Item) {
		b := byEndpoint[it.Endpoint]
		if b == nil {
			b = &EndpointBacklog{Endpoint: it.Endpoint}
			byEndpoint[it.Endpoint] = b
		}
		if it.State == SetAside {
			b.SetAside++
			return
		}
		b.Waiting++
		b.Attempts += it.Attempts
		if b.Oldest.IsZero() || it.Created.Before(b.Oldest) {
			b.Oldest = it.Created
		}
		if it.Due.Before(now) {
			b.Overdue++
		}
	})
	var all []EndpointBacklog
	for _, b := range byEndpoint {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b EndpointBacklog) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return all
}
