// Package control is how the command line looks into a gateway: HTTP with JSON
// through a unix socket, for whoever may open the socket. bbolt locks the store
// for the agent alone, so the verbs ask the agent; where none runs they ask the
// same handlers in their own process.
//
// One object comes as JSON; a list as JSON too, an object a line, written as it
// is read, so that neither side holds all of it.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"
)

// Listen opens the socket at path, readable and writable by its owner and
// group only. A socket left behind by a process that died is replaced; one
// that still answers is an error.
func Listen(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket %s: a running process answers there already: stop that one first (an agent with systemctl stop smgw)", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: removing the old one: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// Answer makes a handler of a function whose value is sent as JSON.
func Answer[T any](f func(*http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) // an error here is the client's going away
	}
}

// Stream makes a handler of a function that writes its answer as it goes. An
// error after the first byte cuts the answer off: a short list must not look
// whole.
func Stream(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun := &beginning{ResponseWriter: w}
		err := f(begun, r)
		switch {
		case err != nil && begun.written:
			panic(http.ErrAbortHandler)
		case err != nil:
			fail(w, err)
		}
	}
}

// beginning notices the first byte of an answer.
type beginning struct {
	http.ResponseWriter
	written bool
}

// Unwrap lets a handler flush what it wrote.
func (b *beginning) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *beginning) Write(p []byte) (int, error) {
	b.written = true
	return b.ResponseWriter.Write(p)
}

// Serve answers on l until ctx ends, and closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, ConnContext: identify}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}
