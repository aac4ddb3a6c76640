package buffer

import (
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Schema is the version of the file's layout. A file of an older schema is
// migrated, of a newer one refused.
const Schema = 3

const (
	pageSize     = 4096      // of the file, on every machine: a file can be carried to another
	growth       = 256 << 10 // the file grows by this much once it is larger
	waitForOther = time.Second
	// reserve is what bbolt may use beyond the limit, so that a full store can
	// still be emptied: freeing pages writes pages first.
	reserve = 1 << 20
)

// DefaultLimit is the size that a store may reach: two years of quarter hours
// and two months of undelivered payloads take a third of it, and the map of it
// fits 32-bit ARM many times.
const DefaultLimit = 64 << 20

// MinLimit is the smallest limit that makes a working store.
const MinLimit = 1 << 20

var (
	bucketMeta       = []byte("meta")
	bucketBoundaries = []byte("boundaries")
	bucketFresh      = []byte("fresh")
	bucketItems      = []byte("items")
	bucketBodies     = []byte("bodies")
	bucketMarks      = []byte("marks")
	bucketContracts  = []byte("contracts")
	bucketJournal    = []byte("journal")
	bucketLosses     = []byte("losses")
	bucketMinutes    = []byte("minutes")
	bucketNotes      = []byte("notes")
)

// tables are all buckets with the kind of their records, and the schema that
// brought them.
var tables = []struct {
	bucket []byte
	kind   kind
	since  uint64
}{
	{bucketMeta, kindMeta, 1}, {bucketBoundaries, kindBoundary, 1}, {bucketFresh, kindBoundary, 1}, {bucketItems, kindItem, 1},
	{bucketBodies, kindBody, 1}, {bucketMarks, kindMark, 1}, {bucketContracts, kindContract, 1}, {bucketJournal, kindJournal, 1},
	{bucketLosses, kindLoss, 1}, {bucketMinutes, kindMinute, 2}, {bucketNotes, kindNote, 3},
}

// Options of a store. The zero value serves.
type Options struct {
	// Limit is how many bytes of the file may be in use; 0 is DefaultLimit. The
	// file itself may be 1.3 MB larger.
	Limit int64
	// Key signs where the journal begins after a flood made it give up its old
	// end; it may be nil. Retain signs with the key of its policy.
	Key crypto.Signer
	// ReadOnly opens a store to look into it: others may too at the same time,
	// what writes returns an error, and none is begun where none is.
	ReadOnly bool
}

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	path     string
	options  Options
	migrated string // where the file of an older schema is kept that Open found; "" when it found none

	gate sync.RWMutex // held for writing while db is exchanged or closed
	db   *bolt.DB

	write  sync.Mutex  // one writer at a time: what is in memory changes with its commit
	flush  *time.Timer // set while acknowledgements wait for a commit
	outbox outbox
	// journalBytes is the size of the journal, as of the last commit
	journalBytes int64

	trouble atomic.Pointer[error] // of the last commit, where the disk did not take it
}

// Open opens the store at path, or begins one. It does not look for damage:
// OpenChecked does, and is what an agent uses. A file of an older schema is
// migrated, and kept beside the new one under a dated name; ReadOnly shows it
// as it is.
//
// Errors: ErrInUse when another process has it open, after at most a second;
// ErrNewerSchema; *DamagedError when the file is no store, or one that cannot be read.
func Open(path string, o Options) (*Store, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Limit < MinLimit || o.Limit > 512<<20 {
		return nil, fmt.Errorf("open store %s: a limit of %d bytes is not between %d and %d", path, o.Limit, MinLimit, 512<<20)
	}
	if !o.ReadOnly {
		if err := begin(path); err != nil {
			return nil, fmt.Errorf("begin store %s: %w", path, describe(err))
		}
	}
	schema, err := checkHead(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", describe(err))
	}
	s := &Store{path: path, options: o}
	if schema < Schema && !o.ReadOnly {
		if s.migrated, err = migrate(path); err != nil {
			return nil, err
		}
		schema = Schema
	}
	if s.db, err = openFile(path, o); err != nil {
		return nil, err
	}
	if err := s.load(schema); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

// openFile opens an existing file with the settings that all of this package uses.
func openFile(path string, o Options) (*bolt.DB, error) {
	for {
		var file *os.File
		db, err := bolt.Open(path, 0o600, &bolt.Options{
			Timeout:         waitForOther,
			ReadOnly:        o.ReadOnly,
			PreLoadFreelist: true, // Stats tells what is free
			NoFreelistSync:  true, // saves two pages a commit; the free pages are found when opening
			FreelistType:    bolt.FreelistMapType,
			PageSize:        pageSize,
			MaxSize:         int(o.Limit + reserve + growth), // bbolt counts what it would grow by
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				file, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
				return file, err
			},
		})
		switch {
		case errors.Is(err, bolterrors.ErrTimeout):
			return nil, fmt.Errorf("open store %s: %w: %s", path, ErrInUse, holder(path))
		case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
			return nil, fmt.Errorf("open store: %w", &DamagedError{path, "meta pages", err.Error()})
		case err != nil:
			return nil, fmt.Errorf("open store %s: %w", path, describe(err))
		}
		db.AllocSize = growth
		if same, err := sameFile(file, path); err != nil || same {
			return db, err
		}
		// Its holder compacted it while we waited for the lock: what we locked
		// is the old file, which has no name any more.
		db.Close()
	}
}

func sameFile(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b), err
}

// begin makes an empty store when there is none. It is complete before it
// gets its name, so that a power cut leaves a store or nothing.
func begin(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(path, func(*bolt.DB) error { return nil }, func() error { return nil })
}

// replaceFile makes a store beside path, lets fill write to it, and when it is
// on flash calls ready and gives it the name path.
func replaceFile(path string, fill func(*bolt.DB) error, ready func() error) error {
	part := path + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(part, 0o600, &bolt.Options{Timeout: waitForOther, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, PageSize: pageSize})
	if err != nil {
		return err
	}
	db.AllocSize = growth
	err = db.Update(func(tx *bolt.Tx) error { return createBuckets(tx) })
	if err == nil {
		err = fill(db)
	}
	if err == nil {
		err = db.Sync()
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = keepOwner(path, part)
	}
	if err == nil {
		err = ready()
	}
	if err == nil {
		err = syncDir(filepath.Dir(path)) // a second name of the old file comes before its first is taken
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func createBuckets(tx *bolt.Tx) error {
	for _, t := range tables {
		if _, err := tx.CreateBucketIfNotExists(t.bucket); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(metaSchema, seal(kindMeta, metaSchema, binary.AppendUvarint(nil, Schema)))
}

var metaSchema = []byte("schema")

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close writes what is still only in memory and closes the file.
func (s *Store) Close() error {
	var err error
	if s.outbox.isDirty() {
		err = s.update(func(*txn) error { return nil })
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.gate.Lock()
	defer s.gate.Unlock()
	s.stopFlush()
	if s.db == nil {
		return nil
	}
	if cerr := s.db.Close(); err == nil {
		err = cerr
	}
	s.db = nil
	return err
}

// Path returns where the store is.
func (s *Store) Path() string { return s.path }

// txn is a writing transaction, with what changes in memory once it is committed.
type txn struct {
	*bolt.Tx
	items []Item // new state of items, without bodies

	store        *Store // nil while a damaged store is recovered
	journalBytes int64  // by how much the journal grew
}

// update runs fn in one durable commit.
func (s *Store) update(fn func(*txn) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	late := s.outbox.lates()
	err := s.commit(fn, late)
	if err != nil && len(late) > 0 {
		// Acknowledgements must not keep readings out: where they may be what
		// failed, and nothing was written yet, they wait on.
		var lateErr *lateError
		if errors.As(err, &lateErr) || errors.Is(err, bolterrors.ErrMaxSizeReached) {
			err = s.commit(fn, nil)
		}
	}
	return err
}

// commit runs fn, and writes acknowledgements, in one commit.
func (s *Store) commit(fn func(*txn) error, late []late) error {
	t := &txn{store: s}
	dirty := s.outbox.dirty()
	var refused error // by us: nothing was written
	err := s.db.Update(func(tx *bolt.Tx) error {
		t.Tx = tx
		if err := t.putLate(late); err != nil {
			refused = &lateError{err}
			return refused
		}
		for _, it := range dirty {
			if refused = writeItem(tx, &it); refused != nil {
				return refused
			}
		}
		refused = fn(t)
		return refused
	})
	if err != nil && refused == nil {
		// The commit failed, but that can have been after its last byte: only
		// the file knows whether it counts.
		if lerr := s.db.View(func(tx *bolt.Tx) error { return s.outbox.load(tx.Bucket(bucketItems)) }); lerr != nil {
			err = errors.Join(err, lerr)
		}
	}
	if err = describe(err); err != nil {
		if refused == nil {
			s.trouble.Store(&err)
		}
		return err
	}
	s.trouble.Store(nil)
	if s.outbox.lateWritten(len(late)); len(s.outbox.lates()) == 0 {
		s.stopFlush()
	}
	s.journalBytes += t.journalBytes
	s.outbox.clean(dirty)
	for _, it := range t.items {
		s.outbox.apply(it)
	}
	return nil
}

// Trouble is why the disk did not take the last commit; nil when it did.
func (s *Store) Trouble() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// view runs fn on a consistent snapshot, and keeps none of what fn looked at.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return s.db.View(func(tx *bolt.Tx) error {
		defer s.giveBack(tx)
		return fn(tx)
	})
}

// load fills what is kept in memory from a file of a schema.
func (s *Store) load(schema uint64) error {
	return s.view(func(tx *bolt.Tx) error {
		for _, t := range tables {
			if t.since <= schema && tx.Bucket(t.bucket) == nil {
				return &DamagedError{s.path, "bucket " + string(t.bucket), "it is not there"}
			}
		}
		s.journalBytes = bucketBytes(tx.Bucket(bucketJournal))
		return s.outbox.load(tx.Bucket(bucketItems))
	})
}

// describe turns the ways in which there can be no room into ErrFull. Where
// bbolt grows its file it passes errors on as text only.
func describe(err error) error {
	full := errors.Is(err, bolterrors.ErrMaxSizeReached) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		err != nil && strings.HasSuffix(err.Error(), syscall.ENOSPC.Error())
	if full && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
