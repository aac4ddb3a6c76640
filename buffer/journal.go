package buffer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Event is something that people may want to know later: what left and why,
// who looked, what happened to clock, device, contract and store.
type Event struct {
	At     time.Time         `json:"at"`   // kept to the millisecond
	Kind   string            `json:"kind"` // "delivered", "device_seen", …
	Detail map[string]string `json:"detail"`
}

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String gives it in hexadecimal.
func (h Hash) String() string { return fmt.Sprintf("%x", h[:]) }

// MarshalText is String, for JSON.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (h *Hash) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(h) {
		return fmt.Errorf("hash of %d hexadecimal digits: want %d", len(b), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Entry is an event in the journal. Its hash covers the event, its number and
// the hash before it, so that no entry can be changed, taken out or moved
// without every later hash being wrong.
type Entry struct {
	Seq uint64 `json:"seq"`
	Event
	Prev Hash `json:"prev"`
	Hash Hash `json:"hash"`
}

// link is a place in the chain: an entry's number and hash. The zero link is
// the place before the first entry.
type link struct {
	seq  uint64
	hash Hash
}

var metaHead = []byte("head") // link of the last entry: a cut end is noticed

// Append writes journal entries in a commit of their own.
func (s *Store) Append(events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := s.update(func(t *txn) error { return t.append(events) }); err != nil {
		return fmt.Errorf("write to journal: %w", err)
	}
	return nil
}

func (t *txn) append(events []Event) error {
	if len(events) == 0 {
		return nil
	}
	head, err := readLink(t.Tx, metaHead)
	if err != nil {
		return err
	}
	journal := t.Bucket(bucketJournal)
	journal.FillPercent = 1
	if events, err = t.boundJournal(events); err != nil {
		return err
	}
	for _, e := range events {
		e.Detail = bounded(e.Detail)
		p := encodeEvent(&e)
		head = link{head.seq + 1, chain(head, p)}
		key := sequenceKey(head.seq)
		value := seal(kindJournal, key, append(p, head.hash[:]...))
		if err := journal.Put(key, value); err != nil {
			return err
		}
		t.journalBytes += int64(elementSize(key, value))
	}
	return writeLink(t.Tx, metaHead, head)
}

// chain returns the hash of the entry that follows prev.
func chain(prev link, event []byte) Hash {
	h := sha256.New()
	h.Write(prev.hash[:])
	h.Write(sequenceKey(prev.seq + 1))
	h.Write(event)
	return Hash(h.Sum(nil))
}

// Journal calls fn for the entries from number from on, until fn returns
// false. An entry whose checksum fails is left out; VerifyJournal names it. fn
// must not call the store.
func (s *Store) Journal(from uint64, fn func(Entry) bool) error {
	return s.view(func(tx *bolt.Tx) error {
		prev, err := anchorLink(tx)
		if err != nil {
			return err
		}
		c := tx.Bucket(bucketJournal).Cursor()
		k, v := c.Seek(sequenceKey(max(from, 1) - 1)) // one before, for its hash
		for ; k != nil; k, v = c.Next() {
			e, _, err := openEntry(k, v)
			if err != nil {
				continue
			}
			e.Prev = prev.hash
			prev = link{e.Seq, e.Hash}
			if e.Seq >= from && !fn(e) {
				return nil
			}
		}
		return nil
	})
}

// VerifyJournal checks the chain from its anchor to its head. A *JournalError
// names the first entry that was changed, is missing, or stands where another did.
func (s *Store) VerifyJournal() error {
	return s.view(func(tx *bolt.Tx) error { return verifyJournal(tx) })
}

func verifyJournal(tx *bolt.Tx) error {
	at, err := anchorLink(tx)
	if err != nil {
		return err
	}
	head, err := readLink(tx, metaHead)
	if err != nil {
		return err
	}
	gaps, err := readGaps(tx)
	if err != nil {
		return err
	}
	c := tx.Bucket(bucketJournal).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		e, event, err := openEntry(k, v)
		at = gaps.cross(at, e.Seq)
		switch {
		case err != nil:
			return &JournalError{at.seq + 1, "changed: " + err.Error()}
		case gaps.resume(at, link{e.Seq, e.Hash}):
			// lost in a damaged store and reported then
		case e.Seq != at.seq+1:
			return &JournalError{at.seq + 1, fmt.Sprintf("missing: the next one is %d", e.Seq)}
		case e.Hash != chain(at, event):
			return &JournalError{e.Seq, "changed or moved: its hash does not follow from the one before"}
		}
		at = link{e.Seq, e.Hash}
	}
	if at != head && !gaps.resume(at, head) {
		return &JournalError{at.seq + 1, fmt.Sprintf("missing: the journal's head is %d", head.seq)}
	}
	return nil
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func encodeEvent(e *Event) []byte {
	p := appendTime(nil, e.At)
	p = appendText(p, e.Kind)
	return appendFields(p, e.Detail)
}

// openEntry decodes an entry, and returns its encoded event for the chain.
func openEntry(key, value []byte) (Entry, []byte, error) {
	p, err := unseal(kindJournal, key, value)
	if err != nil {
		return Entry{}, nil, err
	}
	if len(key) != 8 || len(p) < len(Hash{}) {
		return Entry{}, nil, errEncoding
	}
	event, hash := p[:len(p)-len(Hash{})], p[len(p)-len(Hash{}):]
	d := decoder{b: event}
	e := Entry{Seq: binary.BigEndian.Uint64(key), Hash: Hash(hash)}
	e.At = d.time()
	e.Kind = d.text()
	e.Detail = d.fields()
	return e, event, d.end()
}

func readLink(tx *bolt.Tx, name []byte) (link, error) {
	v := tx.Bucket(bucketMeta).Get(name)
	if v == nil {
		return link{}, nil
	}
	p, err := unseal(kindMeta, name, v)
	if err != nil {
		return link{}, fmt.Errorf("journal's %s: %w", name, err)
	}
	d := decoder{b: p}
	l := link{seq: d.uvarint()}
	copy(l.hash[:], d.take(uint64(len(l.hash))))
	return l, d.err
}

func writeLink(tx *bolt.Tx, name []byte, l link) error {
	p := append(binary.AppendUvarint(nil, l.seq), l.hash[:]...)
	return tx.Bucket(bucketMeta).Put(name, seal(kindMeta, name, p))
}

func anchorLink(tx *bolt.Tx) (link, error) { return readLink(tx, metaAnchor) }

var metaAnchor = []byte("anchor")
