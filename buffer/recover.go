package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Recovery tells what became of a damaged store.
type Recovery struct {
	Cause      string // what was wrong with it
	SetAside   string // the damaged file's new name; it is never deleted
	Carried    map[string]int64
	Unreadable int64    // records and pages that could not be used
	Lost       []string // ids of payloads that were waiting and whose content is gone
}

// Journal entries and losses that this package makes by itself.
const (
	EventRecovered = "store.recovered"
	EventDropped   = "store.dropped"

	LossDamaged = "store_damaged" // the store was damaged; Count: unreadable records and pages
	LossPayload = "payload_lost"  // Subject: the payload's id
	LossFull    = "store_full"    // unacknowledged data gave way to newer; Subject: meter or endpoint
	LossExpired = "expired"       // not acknowledged within the legal ceiling
)

// OpenChecked opens the store at path after check has vouched for it. What is
// damaged is carried over into a new store as far as checksums vouch for it,
// and the old file is set aside: then the Recovery is not nil, and the journal
// and the losses of the new store tell it. A sound file of an older schema is
// migrated, as Open does; the kept file goes when the new one is found sound at
// a later start.
//
// check runs Check, and on a gateway in another process, because bbolt can kill
// the one it runs in: the program starts itself with a hidden verb that calls
// Check and exits with CheckStatus, and turns what came of it into an error
// with CheckResult. at is the time for names and entries.
func OpenChecked(path string, o Options, at time.Time, check func(path string) error) (*Store, *Recovery, error) {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		s, err := Open(path, o)
		return s, nil, err
	}
	cause := check(path)
	if cause == nil {
		var s *Store
		if s, cause = Open(path, o); cause == nil {
			if err := s.noteSchema(at); err != nil {
				return nil, nil, errors.Join(err, s.Close())
			}
			return s, nil, nil
		}
	}
	var damaged *DamagedError
	if !errors.As(cause, &damaged) {
		return nil, nil, cause
	}
	r, err := Recover(path, at, cause)
	if err != nil {
		return nil, nil, err
	}
	s, err := Open(path, o)
	return s, r, err
}

// CheckStatus is the exit status with which a process tells the result of Check.
func CheckStatus(err error) int {
	var damaged *DamagedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &damaged):
		return 3
	case errors.Is(err, ErrInUse):
		return 4
	case errors.Is(err, ErrNewerSchema):
		return 5
	}
	return 1
}

// CheckResult turns the exit status of a checking process and what it wrote
// into the error that Check returned there. A status that CheckStatus does not
// give, such as that of a process which was killed, means a damaged file.
func CheckResult(path string, status int, output string) error {
	switch status {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("check store %s: %s", path, output)
	case 4:
		return fmt.Errorf("check store %s: %w: %s", path, ErrInUse, output)
	case 5:
		return fmt.Errorf("check store %s: %w: %s", path, ErrNewerSchema, output)
	case 3:
		_, found, _ := strings.Cut(output, " is damaged at ")
		if where, reason, ok := strings.Cut(found, ": "); ok {
			return &DamagedError{path, where, reason}
		}
	}
	return &DamagedError{path, "check in its own process", fmt.Sprintf("status %d: %s", status, output)}
}

// Recover puts a new store in the place of a damaged one. It carries over every
// record that a checksum vouches for, wherever in the file it lies, and keeps
// the old file under a dated name. Cut off at any point it leaves the damaged
// file where it was, or is done.
func Recover(path string, at time.Time, cause error) (*Recovery, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recover store: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("recover store %s: %w: %s", path, ErrInUse, holder(path))
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("recover store: %w", err)
	}
	r := &Recovery{Cause: cause.Error(), SetAside: asideName(path, at), Carried: map[string]int64{}}
	err = replaceFile(path, func(db *bolt.DB) error {
		sv := &salvage{db: db, r: r}
		if err := sv.collect(&pages{path, f, info.Size()}); err != nil {
			return err
		}
		return sv.finish(at)
	}, func() error { return os.Link(path, r.SetAside) })
	if err != nil {
		return nil, fmt.Errorf("recover store %s: %w", path, describe(err))
	}
	return r, nil
}

// asideName gives a name that is not taken.
func asideName(path string, at time.Time) string {
	name := path + ".damaged-" + at.UTC().Format("20060102T150405Z")
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		name = path + ".damaged-" + at.UTC().Format("20060102T150405Z") + "-" + strconv.Itoa(n)
	}
}

// salvage fills a new store with the records of a damaged file.
type salvage struct {
	db *bolt.DB
	r  *Recovery
	tx *bolt.Tx
	n  int
	// holds has what the last commit says of what has versions, by kind and key
	holds map[string]bool
	// the first error of the new store: not of the damaged file
	err error
}

// collect takes the newest tree first, then the one before it, then whatever
// lies on pages that no tree reaches: the first of two equal records stays.
func (sv *salvage) collect(p *pages) error {
	var metas []meta
	for n := range int64(2) {
		if m, err := p.meta(n); err == nil {
			metas = append(metas, m)
		} else {
			sv.r.Unreadable++
		}
	}
	if len(metas) == 2 && metas[1].txid > metas[0].txid {
		metas[0], metas[1] = metas[1], metas[0]
	}
	kinds := map[string]kind{}
	for _, t := range tables {
		kinds[string(t.bucket)] = t.kind
	}
	sv.holds = map[string]bool{}
	for i, m := range metas {
		last := i == 0 && len(metas) == 2 // else the damaged meta page may be that of the last commit
		w := &walker{pages: p, meta: m}
		w.problem = func(*DamagedError) {
			if i == 0 {
				sv.r.Unreadable++
			}
		}
		w.record = func(bucket, key, value []byte) {
			k := kinds[string(bucket)]
			if checkRecord(k, key, value) == nil {
				sv.take(k, key, value)
				if last && versioned(k) {
					sv.holds[string(k)+string(key)] = true
				}
			} else if i == 0 {
				sv.r.Unreadable++
			}
		}
		w.run()
	}
	p.stray(func(key, value []byte) {
		for _, k := range []kind{kindBoundary, kindItem, kindBody, kindMark, kindContract, kindJournal, kindLoss, kindMinute, kindNote, kindMeta} {
			if checkRecord(k, key, value) == nil {
				sv.take(k, key, value)
				return
			}
		}
	})
	return sv.commit()
}

// batch is how many records of a salvage or an erasure share a commit.
const batch = 1000

// take puts a record into the new store unless what it has is better.
func (sv *salvage) take(k kind, key, value []byte) {
	if sv.err != nil {
		return
	}
	if sv.tx == nil {
		if sv.tx, sv.err = sv.db.Begin(true); sv.err != nil {
			return
		}
	}
	var b *bolt.Bucket
	for _, t := range tables {
		if t.kind == k && b == nil {
			b = sv.tx.Bucket(t.bucket)
		}
	}
	have := b.Get(key)
	if have == nil || !sv.holds[string(k)+string(key)] && better(k, key, value, have) {
		sv.err = b.Put(key, append([]byte{}, value...))
	}
	if sv.n++; sv.n%batch == 0 && sv.err == nil {
		sv.err = sv.commit()
	}
}

// versioned says whether records of a kind are replaced by later ones.
func versioned(k kind) bool {
	return k == kindItem || k == kindNote || k == kindMark || k == kindMeta
}

// better says whether a record found later replaces one found before, where
// nobody knows which of them held last: the one that is further, as mostly the
// later one is.
func better(k kind, key, value, have []byte) bool {
	switch k {
	case kindItem:
		a, _ := openItem(key, value)
		b, _ := openItem(key, have)
		return a.Revision > b.Revision
	case kindNote:
		a, _ := openNote(key, value)
		b, _ := openNote(key, have)
		return a.Done && !b.Done
	case kindMark:
		a, _ := openMark(key, value)
		b, _ := openMark(key, have)
		return a > b
	case kindMeta:
		if string(key) != string(metaHead) && string(key) != string(metaAnchor) {
			return false
		}
		a, _ := unseal(k, key, value)
		b, _ := unseal(k, key, have)
		return (&decoder{b: a}).uvarint() > (&decoder{b: b}).uvarint()
	}
	return false
}

func (sv *salvage) commit() error {
	if sv.err == nil && sv.tx != nil {
		sv.err = sv.tx.Commit()
	} else if sv.tx != nil {
		sv.tx.Rollback()
	}
	sv.tx = nil
	return sv.err
}

// finish makes a whole of what was found, and writes down what was not.
func (sv *salvage) finish(at time.Time) error {
	return sv.db.Update(func(tx *bolt.Tx) error {
		if k, _ := tx.Bucket(bucketLosses).Cursor().Last(); len(k) == 8 { // the next one must not take its number
			if err := tx.Bucket(bucketLosses).SetSequence(binary.BigEndian.Uint64(k)); err != nil {
				return err
			}
		}
		losses, err := sv.matchBodies(tx, at)
		if err != nil {
			return err
		}
		missing, err := mendJournal(tx)
		if err != nil {
			return err
		}
		if _, err := eraseJournalUpTo(tx, 0); err != nil { // what is before the anchor was erased on purpose
			return err
		}
		detail := map[string]string{
			"cause": sv.r.Cause, "set_aside": filepath.Base(sv.r.SetAside),
			"unreadable": strconv.FormatInt(sv.r.Unreadable, 10), "payloads_lost": strconv.Itoa(len(losses)),
			"journal_entries_lost": strconv.FormatUint(missing, 10),
		}
		for _, t := range tables {
			n := int64(tx.Bucket(t.bucket).Stats().KeyN)
			sv.r.Carried[string(t.bucket)] = n
			if n > 0 && t.kind != kindMeta {
				detail[string(t.bucket)] = strconv.FormatInt(n, 10)
			}
		}
		losses = append(losses, Loss{At: at, Kind: LossDamaged, Count: sv.r.Unreadable})
		if err := appendLosses(tx, losses); err != nil {
			return err
		}
		return (&txn{Tx: tx}).append([]Event{{At: at, Kind: EventRecovered, Detail: detail}})
	})
}

// matchBodies settles items whose body is gone, and drops bodies nobody waits for.
func (sv *salvage) matchBodies(tx *bolt.Tx, at time.Time) ([]Loss, error) {
	items, bodies := tx.Bucket(bucketItems), tx.Bucket(bucketBodies)
	var losses []Loss
	lost := func(id string, needs Span) {
		l := Loss{At: at, Kind: LossPayload, Subject: id, Count: 1}
		if needs != (Span{}) {
			l.From, l.To = needs.From.Time(), needs.To.Time()
		}
		losses = append(losses, l)
		sv.r.Lost = append(sv.r.Lost, id)
	}
	open := map[string]bool{}
	var bodyless []Item
	if err := items.ForEach(func(k, v []byte) error {
		it, err := openItem(k, v)
		if err != nil || it.State == Acknowledged || it.State == GivenUp {
			return err
		}
		if open[it.ID] = bodies.Get(k) != nil; !open[it.ID] {
			bodyless = append(bodyless, it)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, it := range bodyless {
		lost(it.ID, it.Needs)
		it.State, it.Settled, it.LastError = GivenUp, at, "its content was lost when the store was damaged"
		it.Revision++
		if err := writeItem(tx, &it); err != nil {
			return nil, err
		}
	}
	var useless [][]byte
	if err := bodies.ForEach(func(k, _ []byte) error {
		if !open[string(k)] {
			useless = append(useless, append([]byte{}, k...))
			if items.Get(k) == nil {
				lost(string(k), Span{}) // where it was to go is gone
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, k := range useless {
		if err := bodies.Delete(k); err != nil {
			return nil, err
		}
	}
	return losses, nil
}
