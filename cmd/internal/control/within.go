package control

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// within carries questions to a handler in this process, and its answers back
// while they are being written.
type within struct{ h http.Handler }

func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	a := &answer{header: http.Header{}, body: w, begun: make(chan struct{})}
	// Who asks no more reads no more, and the handler's next write fails.
	stop := context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	go func() {
		defer stop()
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
			a.WriteHeader(http.StatusOK)
			if p != nil {
				w.CloseWithError(io.ErrUnexpectedEOF) // as a cut connection looks
			}
			w.Close()
		}()
		t.h.ServeHTTP(a, r.WithContext(withPeer(r.Context(), self())))
	}()
	<-a.begun
	return &http.Response{StatusCode: a.status, Header: a.header, Body: body, Request: r}, nil
}

// answer is the http.ResponseWriter of a handler in this process.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	status int
	begun  chan struct{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status = status
		close(a.begun)
	})
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}
