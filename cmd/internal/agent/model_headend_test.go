package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/tls/deliver"
)

// headEnd is all head-ends, and how they are at the moment.
type headEnd struct {
	mu      sync.Mutex
	mode    string               // of all of them
	away    map[string]bool      // endpoints where nobody answers
	lose    int                  // acknowledgements
	dateOff time.Duration        // by how much their Date is wrong
	swapped bool                 // 200 for what is new, 201 for what is known
	sound   map[string]time.Time // since when an endpoint takes everything, where it does
	wrong   string               // what they complain about
	cut     bool                 // the power goes with the next payload
	dead    bool                 // it is off: nothing is written and nothing sent any more
	frozen  []byte               // the store as the medium has it then
	books   map[string]delivery
	order   []string // of ids, as they came first
	refused map[string]bool
}

type delivery struct {
	encoded []byte
	payload *form.Payload
}

func newHeadEnd() headEnd {
	return headEnd{mode: "sound", away: map[string]bool{}, sound: map[string]time.Time{}, books: map[string]delivery{}, refused: map[string]bool{}}
}

// endpoints are all there are.
func (w *world) endpoints() []string {
	all := []string{theirs}
	for _, lf := range suppliers {
		all = append(all, endpointOf(lf))
	}
	if w.moments {
		all = append(all, grid)
	}
	return all
}

// mend lets everything be sound from now on.
func (w *world) mend() {
	w.mu.Lock()
	w.mode, w.lose, w.dateOff, w.cut = "sound", 0, 0, false
	clear(w.away)
	w.mu.Unlock()
	if w.clock.quality != meter.ClockSynchronised || w.clock.ahead != 0 {
		w.clock.set(w.now, meter.ClockSynchronised, 0)
	}
}

// Reach and Put are the head-end.
func (w *world) Reach(context.Context, string) error { return nil }

func (w *world) Put(_ context.Context, endpoint, id string, body []byte) (result deliver.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := func(status int, later time.Duration, why string) deliver.Result {
		w.done["answer: "+why]++
		delete(w.sound, endpoint)
		return deliver.Result{Status: status, Cause: deliver.Answer, RetryAfter: later, Err: errors.New(why)}
	}
	defer func() {
		if result.Status != 0 {
			result.Date = w.now.Add(w.dateOff)
		}
		if w.wrong != "" {
			recover()
			result = failed(0, 0, "a complaint")
		}
	}()
	switch {
	case w.dead:
		return failed(0, 0, "the power is off")
	case w.mode == "down", w.away[endpoint]:
		return failed(0, 0, "connection refused")
	case w.mode == "500":
		return failed(500, 0, "500")
	case w.mode == "301":
		return failed(301, 0, "301")
	case w.mode == "429":
		return failed(429, 40*time.Minute, "429 with Retry-After")
	case w.mode == "refuses":
		w.done["answer: refused for good"]++
		w.refused[id] = true
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Cause: deliver.Answer, Err: errors.New("no")}
	}
	complain := (*complaint)(w)
	result = w.take(complain, endpoint, id, body)
	switch {
	case w.cut:
		w.freeze(complain)
		return failed(0, 0, "the power went")
	case w.lose > 0:
		w.lose--
		return failed(0, 0, "acknowledgement lost")
	}
	return result
}

// complaint keeps what the head-end finds wrong until the telegram is over: the
// agent asks it, and a test fails in its own goroutine only.
type complaint world

func (c *complaint) Errorf(format string, args ...any) { c.wrong += fmt.Sprintf(format, args...) }
func (c *complaint) FailNow()                          { panic(c.wrong) }

// take is what docs/headend.md demands of a head-end. w.mu is held.
func (w *world) take(t require.TestingT, endpoint, id string, body []byte) deliver.Result {
	encoded, err := wire.Verify(body, &w.key.PublicKey)
	require.NoError(t, err)
	p, err := wire.Decode(encoded)
	require.NoError(t, err)
	require.Equal(t, wire.ID(p), id)
	have, known := w.books[id]
	if known {
		require.True(t, bytes.Equal(have.encoded, encoded), "%s again, with other content", id)
	} else {
		h := w.history(t)
		if p.Period.From == h.End || !p.Moment.IsZero() {
			h.End = 0 // what is of its instant was made while the contract held
		}
		require.NoError(t, h.Permits(p), "row %d for %s", p.Row, p.To)
		require.Equal(t, w.listener(p), endpoint, "where row %d for %s went", p.Row, p.To)
		if p.Moment.IsZero() {
			require.False(t, w.now.Before(p.Period.To.Time()), "row %d came at %s, before its period %s ended", p.Row, w.now, p.Period)
		} else {
			w.requireShown(t, p, h)
		}
		w.books[id] = delivery{encoded, p}
		w.order = append(w.order, id)
	}
	if known != w.swapped {
		w.done["answer: 200"]++
		return deliver.Result{Outcome: deliver.AlreadyStored, Status: 200}
	}
	w.done["answer: 201"]++
	return deliver.Result{Outcome: deliver.Stored, Status: 201}
}

// listener is the endpoint that a payload must go to, and no other.
func (w *world) listener(p *form.Payload) string {
	switch {
	case p.To == form.LF && p.MaLo.String() == drawnAt:
		return endpointOf(p.PartnerID.String())
	case p.To == form.NB && p.MaLo.String() == fedInAt && w.moments:
		return grid
	}
	return theirs
}

// history is the contracts that the agent says held.
func (w *world) history(t require.TestingT) *form.History {
	stored, err := w.store.Contracts()
	require.NoError(t, err)
	versions, err := agent.ParseVersions(stored)
	require.NoError(t, err)
	h := &form.History{Versions: versions}
	if w.farewell != nil {
		h.End = w.farewell.End
	}
	return h
}

// freeze is the moment at which the power goes. w.mu is held.
func (w *world) freeze(t require.TestingT) {
	for _, p := range w.places {
		delete(p.must, meter.QuarterOf(w.now)) // it may be decided in memory only
	}
	var err error
	w.frozen, err = os.ReadFile(filepath.Join(w.dir, "store.db"))
	require.NoError(t, err)
	w.dead = true
}

// revive starts the agent again over what the power cut has left.
func (w *world) revive() {
	w.stop()
	require.NoError(w.t, w.store.Close())
	path := filepath.Join(w.dir, "store.db")
	require.NoError(w.t, os.WriteFile(path, w.frozen, 0o600))
	require.NoError(w.t, buffer.Check(path))
	w.mu.Lock()
	w.dead, w.cut, w.frozen = false, false, nil
	w.mu.Unlock()
	w.open()
	w.begin()
}
