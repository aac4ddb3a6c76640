package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Journal entries about migrations.
const (
	EventMigrated = "store.migrated"         // the file of an older schema was carried over; Detail: to, kept
	EventProved   = "store.previous_removed" // the new file has proved itself; Detail: files
)

// previousKept is how long the file of the previous schema stays at most where
// no start of the program proves the new one: what is in it grows old too.
const previousKept = 30 * 24 * time.Hour

// migrate puts a store of this program's schema in the place of one of an older
// schema and returns the name under which the old file is kept, "" when another
// process was faster. Cut off at any point it leaves the old file where it was,
// or is done.
func migrate(path string) (kept string, err error) {
	old, err := openFile(path, Options{Limit: DefaultLimit})
	if err != nil {
		return "", err
	}
	defer old.Close()
	var from uint64
	err = old.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketMeta); b != nil {
			from = openSchema(metaSchema, b.Get(metaSchema))
		}
		return checkSchema(path, from)
	})
	if err != nil || from == Schema {
		return "", err
	}
	// The date is that of the newest data in it.
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	stem := fmt.Sprintf("%s.schema%d-%s", path, from, info.ModTime().UTC().Format("20060102T150405Z"))
	err = replaceFile(path, func(db *bolt.DB) error { return copyTables(db, old) }, func() error {
		kept, err = linkAside(path, stem)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("migrate store %s from schema %d to %d: %w", path, from, Schema, describe(err))
	}
	return kept, nil
}

// copyTables copies all records, which are the same in all schemas, but
// the schema's number.
func copyTables(to, from *bolt.DB) error {
	return from.View(func(src *bolt.Tx) error {
		for _, t := range tables {
			b := src.Bucket(t.bucket)
			if b == nil {
				continue // newer than the file
			}
			c := b.Cursor()
			for k, v := c.First(); k != nil; {
				if err := to.Update(func(dst *bolt.Tx) error {
					into := dst.Bucket(t.bucket)
					into.FillPercent = 1
					if err := into.SetSequence(b.Sequence()); err != nil {
						return err
					}
					for n := 0; k != nil && n < batch; n++ {
						if !bytes.Equal(k, metaSchema) {
							if err := into.Put(k, v); err != nil {
								return err
							}
						}
						k, v = c.Next()
					}
					return nil
				}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// linkAside gives a file a second name, of a stem that may be taken. It has it
// already where an earlier attempt was cut off.
func linkAside(path, stem string) (string, error) {
	name := stem
	for n := 2; ; n++ {
		err := os.Link(path, name)
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
		a, aerr := os.Stat(path)
		b, berr := os.Stat(name)
		if aerr == nil && berr == nil && os.SameFile(a, b) {
			return name, nil
		}
		name = stem + "-" + strconv.Itoa(n)
	}
}

// noteSchema writes down that a file was migrated, or, at a later start with a
// file that was found sound, that it has proved itself.
func (s *Store) noteSchema(at time.Time) error {
	if s.migrated == "" {
		return s.removePrevious(at, time.Time{})
	}
	return s.Append(Event{At: at, Kind: EventMigrated, Detail: map[string]string{
		"to": strconv.Itoa(Schema), "kept": filepath.Base(s.migrated),
	}})
}

// previous lists the kept files of earlier schemas.
func previous(path string) []string {
	names, _ := filepath.Glob(escapeGlob(path) + ".schema[0-9]*-*") // a pattern of ours is never bad
	return names
}

func escapeGlob(path string) string {
	var b []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			b = append(b, '\\')
		}
		b = append(b, r)
	}
	return string(b)
}

// removePrevious removes kept files of earlier schemas, at most those last
// written before an instant unless it is zero, and says so in the journal.
func (s *Store) removePrevious(at, before time.Time) error {
	var removed string
	for _, name := range previous(s.path) {
		info, err := os.Stat(name)
		if err != nil || !before.IsZero() && !info.ModTime().Before(before) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		removed += " " + filepath.Base(name)
	}
	if removed == "" {
		return nil
	}
	return s.Append(Event{At: at, Kind: EventProved, Detail: map[string]string{"files": removed[1:]}})
}
