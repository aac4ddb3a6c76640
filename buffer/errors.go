package buffer

import (
	"errors"
	"fmt"
)

var (
	// ErrInUse: another process holds the store.
	ErrInUse = errors.New("store is in use")
	// ErrNewerSchema: a newer program wrote the file; it was not touched.
	ErrNewerSchema = errors.New("store was written by a newer program")
	// ErrFull: the store has reached its limit, or the disk is full. Nothing of
	// the call is stored; the store stays usable and takes more once there is room.
	ErrFull = errors.New("store is full")
	// ErrConflict: what is stored under the same key says something else. It was
	// not overwritten.
	ErrConflict = errors.New("already stored with other content")
	// ErrUnknownItem: no item with that id is in the state that the call needs.
	ErrUnknownItem = errors.New("no such item")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
)

// DamagedError says where a store is damaged.
type DamagedError struct {
	Path   string
	Where  string // "meta page 1", "page 17", "journal 0000…"
	Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("store %s is damaged at %s: %s", e.Path, e.Where, e.Reason)
}

// JournalError says at which entry the chain of the journal breaks.
type JournalError struct {
	Seq    uint64
	Reason string // "changed", "missing", …
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("journal entry %d: %s", e.Seq, e.Reason)
}
