package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// A gateway that is taken out of service ends its work at the last boundary that
// it has a reading of, or that anything was built up to, sends what is due up to there, and when all of it is
// acknowledged erases keys and store. How far it has come is in the store, then
// in the marker: it can be cut off at any point and goes on from there.

// farewell is the decision that a gateway ends, as a note of the store. The note
// is done when all that is due up to End is in the outbox.
type farewell struct {
	Asked time.Time     `json:"asked"`
	By    string        `json:"by"`
	End   meter.Quarter `json:"end"`
}

const farewellID = "decommission"

// leaving is the farewell of a running agent.
type leaving struct {
	*farewell
	built   bool
	tried   time.Time
	problem string
	erase   *erasure // asked for: the agent ends
	stop    func()   // ends Run
}

// erasure waits for the store to be closed.
type erasure struct {
	by      string
	unbuilt string // why what is due up to the end was never built
	reply   chan erased
	said    chan struct{} // closed when the answer is on its way
}

type erased struct {
	control.Erased
	err error
}

// resumeFarewell finds out whether the gateway was being decommissioned when the
// agent ended.
func (a *Agent) resumeFarewell() error {
	all, done, err := notes(a.Store)
	for i, n := range all {
		if n.Farewell != nil {
			a.leave(n.Farewell, done[i])
		}
	}
	return err
}

// takesNoMore is the error of what comes too late to be in what the gateway sends
// at its end: nothing would be built of it, and nobody hear that nothing was.
func takesNoMore(all []note) error {
	if slices.ContainsFunc(all, func(n note) bool { return n.Farewell != nil }) {
		return control.Impossible("this gateway is being decommissioned, and what it sends at its end is built: give this to the gateway that follows")
	}
	return nil
}

func (a *Agent) leave(f *farewell, built bool) {
	a.leaving.farewell, a.leaving.built = f, built
}

// decommission begins the gateway's end, or says how far it is.
func (a *Agent) decommission(r *http.Request) (*control.Farewell, error) {
	detail, err := by(r)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving.farewell == nil {
		if err := a.beginFarewell(detail); err != nil {
			return nil, err
		}
	}
	now := a.Clock.Now().Time
	if clockNeverSet(now) {
		a.leaving.problem = "the clock was never set"
	} else {
		a.takeLeave(now)
	}
	a.hurry()
	return a.farewellState()
}

func (a *Agent) beginFarewell(detail map[string]string) error {
	a.unsaved.save(a)
	if !a.unsaved.empty() {
		return control.Impossible("%d readings are not in the store yet, so nothing is ended: %w", len(a.unsaved.waiting), a.unsaved.err)
	}
	now := a.Clock.Now().Time
	f := &farewell{Asked: now.Truncate(time.Second), By: detail["who"]}
	var all []buffer.Note
	for _, m := range a.meters {
		last, found, err := a.Store.LastBoundary(m.name)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		f.End = max(f.End, last.Boundary)
		// For the form a gateway that leaves is a device that another one takes over
		// (Geräteübernahme): supply and meter go on without it.
		event := &occasion{Event: form.Event{Kind: form.DeviceTakenOver, Meter: m.name, At: last.Boundary}, Told: f.Asked, By: f.By}
		n, err := note{Event: event}.stored(false)
		if err != nil {
			return err
		}
		all = append(all, n)
	}
	if f.End != 0 {
		built, err := a.built()
		if err != nil {
			return err
		}
		f.End = max(f.End, built)
	}
	n, err := note{Farewell: f}.stored(false)
	if err != nil {
		return err
	}
	pairs(detail, []string{"end", f.End.String()})
	if err := a.Store.PutItems(nil, append(all, n), buffer.Event{At: now, Kind: Decommissioning, Detail: detail}); err != nil {
		return err
	}
	a.Log.Warn("the gateway is being decommissioned: it takes no more readings", "by", f.By, "end", f.End)
	a.occasions.forget()
	a.leave(f, false)
	return nil
}

// built is up to where anything was built: beyond the last reading where the
// meters have been silent since. That was sent, and no end may cut it any more.
func (a *Agent) built() (upTo meter.Quarter, err error) {
	marks, err := a.Store.Series()
	for _, q := range marks {
		upTo = max(upTo, q)
	}
	all, done, e := notes(a.Store)
	for i, n := range all {
		if n.Event != nil && done[i] && !n.Event.Withdrawn {
			upTo = max(upTo, n.Event.At)
		}
	}
	return upTo, errors.Join(err, e)
}

// takeLeave builds, in the place of a step, what is due up to the end. The
// boundaries are settled because no more readings are taken, and not because a
// clock says so.
func (a *Agent) takeLeave(now time.Time) {
	l := &a.leaving
	if since := now.Sub(l.tried); l.built || since >= 0 && since < 10*time.Second {
		return
	}
	l.tried = now
	err := a.buildLast(now)
	a.serveBuilt()
	if err != nil {
		l.problem = err.Error()
		a.Log.Error("building what is due up to the gateway's end failed; it is tried again", "err", err)
		return
	}
	l.built, l.problem = true, ""
	a.hurry()
}

func (a *Agent) buildLast(now time.Time) error {
	// First as ever, so that what has not begun begins, then with what the end cuts.
	if err := a.builder.buildAll(a.leaving.End, now); err != nil {
		return err
	}
	if a.leaving.End != 0 && a.builder.history != nil {
		a.builder.history.End = a.leaving.End
		if err := a.builder.buildAll(a.leaving.End, now); err != nil {
			return err
		}
		for all := false; !all; {
			var err error
			if all, err = a.settleSome(a.leaving.End, now); err != nil {
				a.occasions.forget()
				return err
			}
		}
		// Nothing better comes for what is still preliminary.
		last, err := a.allSent()
		if err != nil {
			return err
		}
		last = slices.DeleteFunc(last, func(s sent) bool { return !s.Preliminary })
		if err := a.supersede(last, now); err != nil {
			return err
		}
	}
	n, err := note{Farewell: a.leaving.farewell}.stored(true)
	if err != nil {
		return err
	}
	return a.Store.PutNote(n)
}

// hurry sends what waits at once: a town does not decommission its gateways in
// one hour.
func (a *Agent) hurry() {
	now := a.Clock.Now().Time
	for endpoint, s := range a.senders {
		a.Store.Hasten(endpoint, now, now)
		s.hurry(now)
	}
}

// hurry ends a sender's pause.
func (s *sender) hurry(now time.Time) {
	s.mu.Lock()
	if now.Before(s.state.notBefore) {
		s.state.notBefore = now
	}
	s.mu.Unlock()
	s.nudge()
}

// farewellState is how far the gateway is with its end.
func (a *Agent) farewellState() (*control.Farewell, error) {
	l := &a.leaving
	if l.farewell == nil {
		return nil, control.Impossible("the gateway is not being decommissioned: smgw decommission begins it")
	}
	f := &control.Farewell{Asked: l.Asked, By: l.By, End: l.End, Built: l.built, Problem: l.problem, Endpoints: []control.FarewellEndpoint{}}
	backlog, err := a.Store.Backlog(a.Clock.Now().Time)
	for _, b := range backlog {
		if b.Waiting+b.SetAside == 0 {
			continue
		}
		e := control.FarewellEndpoint{Endpoint: b.Endpoint, Waiting: b.Waiting, SetAside: b.SetAside}
		if s := a.senders[b.Endpoint]; s != nil {
			e.LastError = s.snapshot().lastError
		}
		f.Endpoints = append(f.Endpoints, e)
	}
	return f, err
}

func (a *Agent) farewellAnswer(*http.Request) (*control.Farewell, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.farewellState()
}

// askErase ends the agent, and answers what was erased when its store is closed.
func (a *Agent) askErase(w http.ResponseWriter, r *http.Request) error {
	detail, err := by(r)
	if err != nil {
		return err
	}
	e, err := a.endForErasure(detail["who"], r.URL.Query().Get("force") != "")
	if err != nil {
		return err
	}
	defer close(e.said)
	done := <-e.reply
	if done.err != nil {
		return done.err
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(done.Erased); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (a *Agent) endForErasure(by string, force bool) (*erasure, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := a.farewellState()
	if err != nil {
		return nil, err
	}
	waiting, setAside := f.Waits()
	switch {
	case a.leaving.stop == nil || a.leaving.erase != nil:
		return nil, control.Impossible("the agent is ending already")
	case force:
	case !f.Built:
		return nil, control.Impossible("what is due up to the end is not built yet: nothing is erased")
	case waiting+setAside > 0:
		return nil, control.Impossible("%d payloads wait and %d were refused: nothing is erased before all is acknowledged", waiting, setAside)
	}
	unbuilt := ""
	if !f.Built {
		unbuilt = cmp.Or(f.Problem, "there was no time for it")
	}
	a.leaving.erase = &erasure{by: by, unbuilt: unbuilt, reply: make(chan erased, 1), said: make(chan struct{})}
	a.leaving.stop()
	return a.leaving.erase, nil
}

// eraseIfAsked does, when the agent has ended, what askErase waits for.
func (a *Agent) eraseIfAsked() error {
	a.mu.Lock()
	e := a.leaving.erase
	a.mu.Unlock()
	if e == nil {
		return nil
	}
	var done erased
	done.Erased, done.err = Erase(a.Config, a.Store, e.by, a.Clock.Now().Time)
	done.Unbuilt = e.unbuilt
	e.reply <- done
	<-e.said
	return done.err
}
