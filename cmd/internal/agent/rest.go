package agent

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/tls/identity"
)

// Rest is a store that no agent has open. It was checked by a process of its
// own before it was opened; what is damaged is not opened but named, and
// nothing of it is changed.
type Rest struct {
	Inspection
	options buffer.Options
}

// OpenRest opens the gateway's store where no agent runs. With write false it
// only reads, but for writing down who looks.
func OpenRest(c *config.Config, write bool) (*Rest, error) {
	if err := RefuseDecommissioned(c); err != nil {
		return nil, err
	}
	r, err := openRest(StorePath(c), buffer.Options{ReadOnly: !write, Key: signerOf(c)})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no agent answers behind %s, and %w: the agent begins it when it first runs, with `systemctl start smgw` or `smgw run`", SocketPath(c), err)
	case errors.Is(err, buffer.ErrInUse):
		return nil, fmt.Errorf("no agent answers behind %s: %w; an agent that is just starting answers in a moment: try again", SocketPath(c), err)
	case err != nil:
		return nil, fmt.Errorf("no agent answers behind %s: %w", SocketPath(c), err)
	}
	r.Keys, r.Config, r.Looked = SignatureKeysOf(c), c, r.writeDown
	return r, nil
}

// OpenFile opens a store that somebody brought along: a copy, or one that was
// set aside. Looking at it leaves no trace in it.
func OpenFile(path string, write bool) (*Rest, error) {
	return openRest(path, buffer.Options{ReadOnly: !write})
}

func openRest(path string, o buffer.Options) (*Rest, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("there is no store to look into: %w", err)
	}
	if err := CheckStore(path); err != nil {
		return nil, err
	}
	store, err := buffer.Open(path, o)
	if err != nil {
		return nil, err
	}
	r := &Rest{options: o}
	r.Store, r.Now, r.Looked = store, time.Now, func(buffer.Event) error { return nil }
	return r, nil
}

// signerOf is the key that signs where the gateway's journal begins, should it be
// cut; nil where it is not to be had.
func signerOf(c *config.Config) crypto.Signer {
	pair, err := identity.LoadPair(IdentityDir(c), identity.Signature)
	if err != nil {
		return nil
	}
	return pair.Signer
}

// writeDown writes to the journal who is about to look. For that the store is
// opened once more, to be written to.
func (r *Rest) writeDown(e buffer.Event) error {
	if !r.options.ReadOnly {
		return r.Store.Append(e)
	}
	if err := r.Store.Close(); err != nil {
		return err
	}
	path, o := r.Store.Path(), r.options
	o.ReadOnly = false
	store, err := buffer.Open(path, o)
	if err == nil {
		err = errors.Join(store.Append(e), store.Close())
	}
	looking, lookErr := buffer.Open(path, r.options)
	if lookErr == nil {
		r.Store = looking
	}
	return errors.Join(err, lookErr)
}

// Close closes the store.
func (r *Rest) Close() error { return r.Store.Close() }
