package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Check reads all of a store at rest and returns nil, a *DamagedError for the
// first thing that is wrong, ErrNewerSchema or ErrInUse. It changes nothing.
//
// It looks at the pages by itself first and gives only a file that it finds
// sound to bbolt, whose own check can kill the process on files that are not.
// It is still meant to run in a process of its own: see OpenChecked.
func Check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("check store %s: %w: %s", path, ErrInUse, holder(path))
	}
	if err := checkPages(path, f); err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	if err := checkBolt(path); err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	return nil
}

// checkHead returns the schema of a store. It refuses what is no store, or one
// of a newer program, before anything is opened for writing.
func checkHead(path string) (schema uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	p := &pages{path, f, info.Size()}
	w := &walker{pages: p, problem: func(*DamagedError) {}, record: func(_, _, _ []byte) {}}
	if w.meta, err = p.newest(); err != nil {
		return 0, err
	}
	schema = w.schema()
	return schema, checkSchema(path, schema)
}

// newest returns the valid meta page that was written last.
func (p *pages) newest() (meta, error) {
	m0, err0 := p.meta(0)
	m1, err1 := p.meta(1)
	switch {
	case err0 != nil && err1 != nil:
		return meta{}, err0
	case err0 != nil || err1 == nil && m1.txid > m0.txid:
		return m1, nil
	}
	return m0, nil
}

// schema finds the schema's number on the way that a reader takes: the root
// page, bucket meta in it, its record. 0 when it is not there.
func (w *walker) schema() uint64 {
	var n uint64
	w.seen = map[uint64]bool{}
	w.tree(w.meta.root, 0, nil, func(_ string, isBucket bool, name, value []byte) {
		if pg, _, isInline := inline(value); isBucket && isInline && string(name) == string(bucketMeta) {
			w.page("", pg, 0, nil, func(_ string, _ bool, key, value []byte) { n = max(n, openSchema(key, value)) })
		}
	})
	return n
}

func openSchema(key, value []byte) uint64 {
	if string(key) != string(metaSchema) {
		return 0
	}
	p, err := unseal(kindMeta, key, value)
	if err != nil {
		return 0
	}
	n, _ := binary.Uvarint(p)
	return n
}

func checkSchema(path string, n uint64) error {
	switch {
	case n > Schema:
		return fmt.Errorf("%s: %w: it has schema %d, this program knows up to %d; install the newer program again, or move the file away to begin a new store",
			path, ErrNewerSchema, n, Schema)
	case n == 0:
		return &DamagedError{path, "schema record", "it is not there: the file is damaged, or belongs to another program"}
	}
	return nil
}

// checkPages checks everything that can be known without bbolt.
func checkPages(path string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p := &pages{path, f, info.Size()}
	newest, err := p.newest()
	if err != nil {
		return err
	}
	var first *DamagedError
	note := func(d *DamagedError) {
		if first == nil {
			first = d
		}
	}
	for n := range int64(2) {
		if _, err := p.meta(n); err != nil {
			note(err) // the other one is good, and a commit older
		}
	}
	kinds := map[string]kind{}
	for _, t := range tables {
		kinds[string(t.bucket)] = t.kind
	}
	var schema uint64
	waiting, bodies := map[string]bool{}, map[string]bool{}
	w := &walker{pages: p, meta: newest, problem: note}
	w.record = func(bucket, key, value []byte) {
		k, known := kinds[string(bucket)]
		if !known {
			note(p.damage(fmt.Sprintf("bucket %q", bucket), "is not one of a store"))
			return
		}
		if err := checkRecord(k, key, value); err != nil {
			note(p.damage(fmt.Sprintf("bucket %s, key %q", bucket, key), "%v", err))
			return
		}
		switch k {
		case kindMeta:
			schema = max(schema, openSchema(key, value))
		case kindItem:
			if it, _ := openItem(key, value); it.State == Waiting || it.State == SetAside {
				waiting[it.ID] = true
			}
		case kindBody:
			bodies[string(key)] = true
		}
	}
	w.run()
	if err := checkSchema(path, schema); errors.Is(err, ErrNewerSchema) {
		return err // its tables may look different; that is no damage
	}
	for id := range waiting {
		if !bodies[id] {
			note(p.damage("item "+id, "its body is not there"))
		}
	}
	if first != nil {
		return first
	}
	return checkSchema(path, schema)
}

// checkRecord says whether a record can be used.
func checkRecord(k kind, key, value []byte) error {
	switch k {
	case kindBoundary:
		_, err := openBoundary(key, value)
		return err
	case kindMinute:
		_, err := openMinute(key, value)
		return err
	case kindNote:
		_, err := openNote(key, value)
		return err
	case kindItem:
		_, err := openItem(key, value)
		return err
	case kindJournal:
		_, _, err := openEntry(key, value)
		return err
	case kindLoss:
		_, err := openLoss(key, value)
		return err
	case kindMark:
		if _, ok := openMark(key, value); !ok {
			return errChecksum
		}
		return nil
	}
	_, err := unseal(k, key, value)
	return err
}

// checkBolt lets bbolt check the pages its own way.
func checkBolt(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return &DamagedError{path, "bbolt's own check", err.Error()}
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = &DamagedError{path, "bbolt's own check", err.Error()}
			}
		}
		return first
	})
}
