package buffer

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// EventJournalCut is the entry after the journal gave up its old end because it
// had grown too large; Detail: entries, from, to.
const EventJournalCut = "store.journal_cut"

// The journal may take an eighth of the store: with the default limit eight
// megabytes, thirty times what 90 days of a gateway fill. What floods it, such as
// somebody who looks every second, costs the oldest entries, never a reading.
func (s *Store) journalLimit() int64 { return s.options.Limit / 8 }

// maxDetail is how long a text in an entry may be.
const maxDetail = 1 << 10

// bounded cuts texts that are too long.
func bounded(detail map[string]string) map[string]string {
	for k, v := range detail {
		if len(v) > maxDetail {
			detail = maps.Clone(detail)
			detail[k] = strings.ToValidUTF8(v[:maxDetail], "")
		}
	}
	return detail
}

// boundJournal erases the journal's older half when it is at its limit, signs
// where it begins now, and puts an entry that says so before the events to come.
func (t *txn) boundJournal(events []Event) ([]Event, error) {
	if t.store == nil || t.store.journalBytes+t.journalBytes < t.store.journalLimit() {
		return events, nil
	}
	at := events[0].At
	journal := t.Bucket(bucketJournal)
	var first, last link
	var oldest, newest time.Time
	var freed, n int64
	c := journal.Cursor()
	for k, v := c.First(); k != nil && freed < t.store.journalLimit()/2; k, v = c.Next() {
		e, _, err := openEntry(k, v)
		if err != nil {
			break // what is broken is not erased but found by VerifyJournal
		}
		if n++; n == 1 {
			first, oldest = link{e.Seq, e.Hash}, e.At
		}
		last, newest = link{e.Seq, e.Hash}, e.At
		freed += int64(elementSize(k, v))
	}
	if n == 0 {
		return events, nil
	}
	anchor, err := sign(Anchor{Seq: last.seq, Hash: last.hash, At: at}, t.store.options.Key)
	if err != nil {
		return events, fmt.Errorf("sign the journal's anchor: %w", err)
	}
	if err := writeAnchor(t.Tx, anchor); err != nil {
		return events, err
	}
	if _, err := eraseJournalUpTo(t.Tx, last.seq); err != nil {
		return events, err
	}
	t.journalBytes -= freed
	cut := Event{At: at, Kind: EventJournalCut, Detail: map[string]string{
		"entries": strconv.FormatUint(last.seq-first.seq+1, 10), "from": oldest.Format(time.RFC3339), "to": newest.Format(time.RFC3339),
	}}
	return append([]Event{cut}, events...), nil
}

// bucketBytes is what the records of a bucket take.
func bucketBytes(b *bolt.Bucket) (n int64) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		n += int64(elementSize(k, v))
	}
	return n
}
