package agent

import (
	"errors"
	"fmt"
	"os"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/config"
)

// Rest is a store that no agent has open. It was checked by a process of its
// own before it was opened; what is damaged is not opened but named, and
// nothing of it is changed.
type Rest struct {
	Inspection
	own    bool // it is the gateway's, and not a file that somebody brought along
	looked []buffer.Event
}

// OpenRest opens the gateway's store where no agent runs. With write false it
// only reads, until Close writes down who looked.
func OpenRest(c *config.Config, write bool) (*Rest, error) {
	if err := RefuseDecommissioned(c); err != nil {
		return nil, err
	}
	r, err := openRest(StorePath(c), write)
	if err != nil {
		return nil, fmt.Errorf("no agent answers behind %s: %w", SocketPath(c), err)
	}
	r.own = true
	r.Keys, r.Config = SignatureKeysOf(c), c
	return r, nil
}

// OpenFile opens a store that somebody brought along: a copy, or one that was
// set aside. Looking at it leaves no trace in it.
func OpenFile(path string, write bool) (*Rest, error) { return openRest(path, write) }

func openRest(path string, write bool) (*Rest, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("there is no store to look into: %w", err)
	}
	if err := CheckStore(path); err != nil {
		return nil, err
	}
	store, err := buffer.Open(path, buffer.Options{ReadOnly: !write})
	if err != nil {
		return nil, err
	}
	r := &Rest{}
	r.Store, r.Now = store, time.Now
	r.Looked = func(e buffer.Event) error {
		r.looked = append(r.looked, e)
		return nil
	}
	return r, nil
}

// Close closes the store and, where it is the gateway's own, writes to its
// journal who looked.
func (r *Rest) Close() error {
	err := r.Store.Close()
	if err != nil || !r.own || len(r.looked) == 0 {
		return err
	}
	store, err := buffer.Open(r.Store.Path(), buffer.Options{})
	if err == nil {
		err = errors.Join(store.Append(r.looked...), store.Close())
	}
	if err != nil {
		return fmt.Errorf("writing down who looked: %w", err)
	}
	return nil
}
