package headend

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Faults are what a head-end does wrong on purpose. The zero value is a sound one.
type Faults struct {
	Down       bool  `json:"down"`        // refuses connections and cuts those there are
	Slow       Pause `json:"slow"`        // waits before it looks at a request
	Status     int   `json:"status"`      // answers this status, 300 to 599, and does nothing else
	RetryAfter Pause `json:"retry_after"` // sent with Status, in whole seconds
	LoseAck    bool  `json:"lose_ack"`    // stores, then cuts the connection in place of an answer
	Times      int   `json:"times"`       // for so many requests, then sound again; 0: until told otherwise
}

// Pause is a duration that reads "1m30s" in JSON.
type Pause time.Duration

// MarshalText gives "1m30s".
func (p Pause) MarshalText() ([]byte, error) { return []byte(time.Duration(p).String()), nil }

// UnmarshalText reads it.
func (p *Pause) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*p = Pause(d)
	return err
}

func (f Faults) validate() error {
	switch {
	case f.Status != 0 && (f.Status < 300 || f.Status > 599):
		return fmt.Errorf("fault: status %d: want 300 to 599", f.Status)
	case f.RetryAfter != 0 && f.Status == 0:
		return errors.New("fault: retry-after needs a status to go with, 429 or 503")
	case f.RetryAfter < 0 || f.Slow < 0 || f.Times < 0:
		return errors.New("fault: slow, retry-after and times must not be negative")
	case f.Down && f.Times > 0:
		return errors.New("fault: a head-end that is down counts no requests; leave times out")
	}
	return nil
}

// Faults are those in force.
func (h *HeadEnd) Faults() Faults {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.faults
}

// SetFaults replaces those in force.
func (h *HeadEnd) SetFaults(f Faults) error {
	if err := f.validate(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return errors.New("fault: the head-end is closed")
	default:
	}
	switch {
	case f.Down && h.server != nil:
		h.server.Close()
		h.server = nil
	case !f.Down && h.server == nil:
		if err := h.start(); err != nil {
			return err
		}
	}
	h.faults = f
	return nil
}

// nextFaults are those for one request.
func (h *HeadEnd) nextFaults() Faults {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.faults
	if f.Times > 0 {
		if h.faults.Times--; h.faults.Times == 0 {
			h.faults = Faults{}
		}
	}
	return f
}

// misbehave serves one request as its faults demand.
func (h *HeadEnd) misbehave(f Faults, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if f.Slow > 0 {
		timer := time.NewTimer(time.Duration(f.Slow))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		case <-h.stopped:
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(int64(time.Duration(f.RetryAfter)/time.Second), 10))
		}
		w.WriteHeader(f.Status)
	case f.LoseAck:
		serve(lost{make(http.Header)}, r)
		r.Context().Value(connKey{}).(net.Conn).Close()
		panic(http.ErrAbortHandler)
	default:
		serve(w, r)
	}
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l lost) Header() http.Header         { return l.header }
func (l lost) WriteHeader(int)             {}
func (l lost) Write(p []byte) (int, error) { return len(p), nil }
