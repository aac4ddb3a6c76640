// Package agent is the wiring of the gateway: readings come in from the
// meters' lines, the ones nearest the quarter-hour boundaries go to the store,
// what the form says is built from them when a period ends, and each endpoint's
// queue is emptied by its own sender.
//
// Nothing in here knows whether it runs on a gateway or on the bench: the
// clock is passed in, and with Options.InStep the senders work between two
// telegrams instead of beside them, so that simulated time waits for them.
package agent

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/tls/deliver"
)

// Options are what an Agent is wired from.
type Options struct {
	Config   *config.Config
	Store    *buffer.Store
	Signer   crypto.Signer // the gateway's signature key
	KeyID    []byte        // names that key in what it signs
	Papers   *Papers       // who signs, as the identity folder says from minute to minute; nil: Signer for ever
	Client   Putter
	Lamps    board.Lamps
	Button   board.Button // nil: none
	Reset    board.Reset  // of the head of Config.ResetOf; nil: none
	Clock    Clock
	Log      *slog.Logger
	Recovery *buffer.Recovery // what became of a damaged store; nil when it was sound
	Watchdog *Watchdog        // nil: nobody watches
	Uptime   time.Duration    // how long the machine has run; 0: unknown
	InStep   bool             // the bench's: deliver between telegrams, end when every source has ended
	// Source makes the source of a meter's port; nil: the computer's ports.
	Source func(port string) (meter.Source, error)
}

// Agent is one gateway's agent. Its state is in few places: the store, the
// newest reading of each meter, and what each sender last heard.
type Agent struct {
	Options
	started     time.Time
	keptAtStart []form.Version // the contracts that the store had then

	mu        sync.Mutex // guards all below, and the order of what is written to the store
	meters    []*meterState
	builder   builder
	senders   map[string]*sender
	begin     func(*sender) // begins one; nil before Run, and where the senders work between telegrams
	unsaved   unsaved
	kept      map[string]meter.BoundaryReading // by meter, the newest in the store
	timeline  timeline
	witness   witness
	marking   bool      // head-ends' dates make readings unusable
	retained  form.Date // the day on which old data were last erased
	trouble   trouble
	moments   moments
	burdens   burdens
	occasions occasions
	leaving   leaving
	renewal   renewal
}

// meterState is one meter's line and what came of it.
type meterState struct {
	name    string
	post    post
	line    *meter.Line
	picker  *meter.Picker
	device  meter.DeviceID // of the newest reading; "" before the first
	last    meter.Reading
	dated   bool      // the instant of last is believed
	picked  time.Time // instant of the newest reading that the picker has
	count   count     // its secIndex beside the clock
	heard   bool      // it has been, by a synchronised clock
	undated undated   // its readings that wait for an instant
	// What the newest telegram's registers say of the meter.
	feedsIn, twoTariffs bool
	before, shown       meter.Moment // what its two newest telegrams with a date show beside registers
	minuteRefused       bool         // the store refused the last minute reading: that is logged once
	restarts            int          // of its optical head
	restarted           time.Time
}

// New wires an agent. It goes on where the store stands.
func New(o Options) (*Agent, error) {
	a := &Agent{Options: o, started: o.Clock.Now().Time, senders: map[string]*sender{}, kept: map[string]meter.BoundaryReading{}}
	if o.Source == nil {
		o.Source = new(meter.Ports).ParseSource
	}
	for _, m := range o.Config.Meters {
		source, err := o.Source(m.Port)
		if err != nil {
			return nil, fmt.Errorf("meter %q: %w", m.Name, err)
		}
		state := &meterState{name: m.Name, line: &meter.Line{
			Source: source,
			Log:    o.Log.With("meter", m.Name),
			Now:    func() time.Time { return o.Clock.Now().Time },
		}}
		last, found, err := o.Store.LastBoundary(m.Name)
		if err != nil {
			return nil, fmt.Errorf("meter %q: its last boundary reading: %w", m.Name, err)
		}
		decided := meter.Quarter(0)
		if found {
			decided, state.device = last.Boundary, last.Device
			const days = 7
			lately, err := o.Store.Boundaries(m.Name, last.Boundary-days*96, last.Boundary)
			if err != nil {
				return nil, fmt.Errorf("meter %q: its boundary readings: %w", m.Name, err)
			}
			for i := range lately {
				state.count.add(&lately[i])
			}
			a.kept[m.Name] = last
		}
		state.picker = meter.NewPicker(o.Config.Readings.OffsetLimit, decided)
		a.meters = append(a.meters, state)
	}
	a.renewal.ask(a, a.started)
	var err error
	if a.moments, err = newMoments(&a.Options); err != nil {
		return nil, fmt.Errorf("momentary figures: %w", err)
	}
	a.builder = newBuilder(&a.Options)
	marks, err := o.Store.Series()
	if err != nil {
		return nil, fmt.Errorf("how far payloads are built: %w", err)
	}
	for _, built := range marks {
		for _, last := range a.kept {
			if built <= last.Boundary { // else it is of a series that is to begin
				a.occasions.builtUpTo = max(a.occasions.builtUpTo, built)
			}
		}
	}
	if err := a.resumeFarewell(); err != nil {
		return nil, fmt.Errorf("what happened at the metering point: %w", err)
	}
	waiting, err := o.Store.Backlog(a.started)
	if err != nil {
		return nil, fmt.Errorf("the outbox: %w", err)
	}
	if a.keptAtStart, err = keptContracts(o.Store); err != nil {
		return nil, err
	}
	earlier, err := earlierEndpoints(&o, a.keptAtStart)
	if err != nil {
		return nil, err
	}
	endpoints := append(o.Config.Endpoints(), earlier...)
	for _, b := range waiting {
		endpoints = append(endpoints, b.Endpoint) // of an earlier contract, perhaps
	}
	for _, endpoint := range endpoints {
		a.serve(endpoint)
	}
	return a, nil
}

// serve has an endpoint's queue emptied, from now on.
func (a *Agent) serve(endpoint string) {
	if a.senders[endpoint] != nil {
		return
	}
	s := newSender(endpoint, a.Store, a.Client, a.Clock, a.Log)
	s.holdOff = a.holdOff()
	if _, stepped := a.Clock.(*SteppedClock); !stepped { // a head-end beside it lives in another time
		s.witness = &a.witness
	}
	a.senders[endpoint] = s
	if a.begin != nil {
		a.begin(s)
	}
}

// serveBuilt has the queues emptied of what was built since it was last called:
// one may be that of an earlier contract.
func (a *Agent) serveBuilt() {
	for endpoint := range a.builder.endpoints {
		a.serve(endpoint)
	}
	clear(a.builder.endpoints)
}

// Run reads, builds and sends until ctx ends; then it returns nil, or an error
// where readings are lost because the store did not take them. With InStep it also
// returns when every source has come to its end.
func (a *Agent) Run(ctx context.Context) (lost error) {
	if err := a.Store.Append(a.begins()...); err != nil {
		a.Log.Error("writing the journal", "err", err)
	} else {
		a.Watchdog.began()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.mu.Lock()
	a.leaving.stop = stop
	a.mu.Unlock()
	var lines, others sync.WaitGroup
	for _, m := range a.meters {
		a.Watchdog.watch(&m.post, slog.String("meter", m.name))
		m.line.Progress = m.reads
		lines.Go(func() {
			defer m.post.at(resting)
			err := m.line.Run(ctx, func(t meter.Telegram) { a.received(ctx, m, t) })
			if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				a.Log.Error("the meter's line ended", "meter", m.name, "err", err)
			}
		})
	}
	if a.InStep {
		lines.Wait()
	} else {
		a.mu.Lock()
		a.begin = func(s *sender) {
			a.Watchdog.watch(&s.post, slog.String("endpoint", s.endpoint))
			others.Go(func() { s.run(ctx) })
		}
		for _, s := range a.senders {
			a.begin(s)
		}
		a.mu.Unlock()
		others.Go(func() { a.probeStore(ctx) })
		a.attend(ctx, &others)
		a.everySecond(ctx)
		lines.Wait()
	}
	stop()
	a.mu.Lock()
	a.begin = nil // who asks to decommission the gateway now has its payloads sent at the next start
	a.mu.Unlock()
	others.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsaved.save(a)
	for _, m := range a.meters {
		if !m.undated.empty() {
			a.loseUndated(m, m.undated.quarters(), time.Time{}, time.Time{})
		}
	}
	if n, from, to := a.unsaved.left(); n > 0 {
		a.Log.Error("readings that the store did not take are lost with this stop", "count", n, "from", from, "to", to, "err", a.unsaved.err)
		lost = fmt.Errorf("%d readings are lost with this stop: %w", n, a.unsaved.err)
	}
	if err := a.Store.Append(a.event(AgentStopped)); err != nil {
		a.Log.Error("writing the journal", "err", err)
	}
	return lost
}

// everySecond does what time alone makes due, until ctx ends.
func (a *Agent) everySecond(ctx context.Context) {
	var post post
	a.Watchdog.watch(&post, slog.Attr{})
	defer post.at(resting)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		post.at(scheduling)
		a.mu.Lock()
		a.step(a.Clock.Now())
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// received takes one telegram of a meter.
func (a *Agent) received(ctx context.Context, m *meterState, t meter.Telegram) {
	m.post.at(bounding)
	defer m.reads()
	stamp := a.Clock.Received(&t)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, ok := t.Reading(m.name, stamp); ok {
		m.feedsIn, m.twoTariffs = t.FeedsIn(), t.TwoTariffs()
		a.observe(m, r)
		if m.dated {
			a.showed(m, &t)
		}
	}
	if !a.InStep {
		return
	}
	a.step(stamp)
	for _, s := range a.senders {
		s.step(ctx)
	}
}

// observe keeps what a reading decides. A new device starts its own series. A
// reading whose instant cannot be believed waits until it can be dated.
func (a *Agent) observe(m *meterState, r meter.Reading) {
	if a.leaving.farewell != nil {
		m.device, m.last, m.dated = r.Device, r, false // for status; it decides nothing
		return
	}
	a.keepMinute(m, r.At.Time)
	said := r.At
	stamp, steady := a.judge(said)
	r.At = stamp
	m.dated = a.believe(m, &r, steady)
	m.device, m.last = r.Device, r
	if !m.dated {
		r.At = said // whatever it is worth turns out later
		m.undated.add(&r)
		return
	}
	dated := !m.undated.empty() && r.At.Quality == meter.ClockSynchronised
	if dated {
		a.date(m, &r)
	}
	r.At = a.mark(r.At)
	m.last, m.picked = r, r.At.Time
	found := m.picker.Observe(r)
	if dated {
		found = a.unkept(m, found)
	}
	a.unsaved.add(found)
	a.unsaved.flush(a)
}

// mark takes the quality from a stamp while the head-ends' dates contradict the
// clock and nothing bears it out.
func (a *Agent) mark(s meter.Stamp) meter.Stamp {
	if s.Quality == meter.ClockSynchronised && a.contradicted(s) {
		s.Quality = meter.ClockUnsynchronised
	}
	return s
}

// step does what is due at now: it keeps the boundaries that no reading can
// decide any more, builds the periods that are settled, and sets the lamps.
func (a *Agent) step(now meter.Stamp) {
	now, steady := a.judge(now)
	switch {
	case clockNeverSet(now.Time):
	case a.leaving.farewell != nil:
		a.takeLeave(now.Time)
	default:
		if steady {
			for _, m := range a.meters {
				if m.undated.empty() { // else a nearer reading may wait to be dated
					a.unsaved.add(m.picker.Expire(now.Time))
				}
			}
		}
		a.unsaved.flush(a)
		// A clock that nobody vouches for ends no period.
		if a.unsaved.empty() && now.Quality == meter.ClockSynchronised && !a.waiting(now) {
			a.builder.build(now.Time, a.senders)
			a.occasions.builtUpTo = max(a.occasions.builtUpTo, a.builder.done.Midnight()) // by a clock that was ahead, perhaps
			a.settle(now.Time)
			a.serveBuilt()
		}
		a.retain(now)
		if steady {
			a.stepMoments(now)
		}
	}
	a.renewal.ask(a, now.Time)
	a.hearWitnesses(now)
	causes := a.causes(a.mark(now))
	a.trouble.note(a, now, causes)
	a.Watchdog.say(headline(causes))
	if err := a.Lamps.Show(causes...); err != nil {
		a.Log.Warn("a lamp cannot be set", "err", err)
	}
}

// retain erases once a day what is older than the law lets a gateway keep it. A
// clock that nobody vouches for erases nothing.
func (a *Agent) retain(now meter.Stamp) {
	today := form.DateOf(now.Time)
	if a.retained == today || now.Quality != meter.ClockSynchronised || !a.timeline.proven(now) {
		return
	}
	a.retained = today
	done, err := a.Store.Retain(now.Time, buffer.Policy{Key: a.Signer})
	if err != nil {
		a.Log.Error("erasing what is too old; it is tried again tomorrow", "err", err)
	} else if done != (buffer.Retained{}) {
		a.Log.Info("erased what was too old", "readings", done.Boundaries, "journal", done.Entries, "items", done.Items, "never_acknowledged", done.Expired, "compacted", done.Compacted)
	}
}

var _ Putter = (*deliver.Client)(nil)
