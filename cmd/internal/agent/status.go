package agent

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
)

// Handler answers what the command line asks the running agent.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+control.StatusPath, control.Answer(func(*http.Request) (*control.Status, error) { return a.Status() }))
	mux.HandleFunc("GET "+control.MetricsPath, a.metrics)
	mux.Handle("POST "+control.DemandPath, control.Answer(a.demanded))
	mux.Handle("GET "+control.DecommissionPath, control.Answer(a.farewellAnswer))
	mux.Handle("POST "+control.DecommissionPath, control.Answer(a.decommission))
	mux.Handle("POST "+control.DecommissionPath+"/erase", control.Stream(a.askErase))
	(&Inspection{
		Store: a.Store, Keys: a.signatureKeys,
		Now:    func() time.Time { return a.Clock.Now().Time },
		Looked: func(e buffer.Event) error { return a.Store.Append(e) },
		Queued: a.nudge,
		Config: a.Config,
		Told:   a.occasions.forget,
		Begun:  a.builder.forget,
		Alone:  &a.mu,
	}).handle(mux)
	return mux
}

// Status is a snapshot of how the gateway is.
func (a *Agent) Status() (*control.Status, error) { return a.status(a.Store.Stats) }

func (a *Agent) status(measure func() (buffer.Stats, error)) (*control.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, _ := a.judge(a.Clock.Now())
	stats, err := measure()
	if err != nil {
		return nil, err
	}
	a.burdens.renew()
	s := &control.Status{
		Gateway: a.Config.Gateway.ID, Config: a.Config.File,
		Started: a.started, Now: a.mark(now), Causes: a.causes(a.mark(now)), ClockDoubt: a.clockDoubt(now),
		Store:    control.StoreStatus{Stats: stats, Unsaved: len(a.unsaved.waiting)},
		Watchdog: a.Watchdog.status(),
	}
	s.Store.Untold = a.burdens.untold
	a.renewal.status(s)
	if a.Recovery != nil {
		s.Store.Damage, s.Store.DamagedFile = a.Recovery.Cause, a.Recovery.SetAside
	}
	if err := cmp.Or(a.unsaved.err, a.Store.Trouble()); err != nil {
		s.Store.Error = err.Error()
	}
	for _, m := range a.meters {
		state, err := a.meterStatus(m)
		if err != nil {
			return nil, err
		}
		s.Meters = append(s.Meters, state)
	}
	for _, endpoint := range slices.Sorted(maps.Keys(a.senders)) {
		state := a.senders[endpoint].status(a.burdens.backlog)
		if off, known := a.witness.off(endpoint); known {
			seconds := int64(off / time.Second)
			state.ClockOff = &seconds
		}
		s.Endpoints = append(s.Endpoints, state)
	}
	if a.leaving.farewell != nil {
		s.Decommission, err = a.farewellState()
		return s, err
	}
	s.NextDue = a.nextDue(now.Time)
	return s, nil
}

func (a *Agent) meterStatus(m *meterState) (control.MeterStatus, error) {
	s := control.MeterStatus{
		Name: m.name, Line: m.line.State(),
		Device: m.device, Plate: m.device.Plate(), Says: []string{},
		FeedsIn: m.feedsIn, TwoTariffs: m.twoTariffs, Coarse: m.last.Coarse,
		Undated: m.undated.size(), LastReading: instant(m.last.At.Time), Registers: map[string]string{}, PowerW: m.last.Power,
		HeadRestarts: m.restarts, HeadRestart: instant(m.restarted),
	}
	if drift, known := m.count.drift(); known {
		rounded := math.Round(drift*10) / 10
		s.Drift = &rounded
	}
	if fnn, ok := m.last.Status.FNN(); ok {
		s.Says = fnn.Words()
	}
	for _, r := range m.last.Registers {
		s.Registers[r.Code.Short()] = r.Value.String()
	}
	last, found, err := a.Store.LastBoundary(m.name)
	if err != nil {
		return s, err
	}
	if found {
		s.LastBoundary = &last.Boundary
	}
	return s, nil
}

func (s *sender) status(backlog []buffer.EndpointBacklog) control.EndpointStatus {
	state := s.snapshot()
	e := control.EndpointStatus{
		Endpoint: s.endpoint, Failures: state.failures, LastError: state.lastError,
		FailingFrom: instant(state.since), NextAttempt: instant(state.notBefore), LastSuccess: instant(state.lastOK), Reached: instant(state.reached),
	}
	for _, b := range backlog {
		if b.Endpoint == s.endpoint {
			e.Waiting, e.SetAside, e.Oldest = b.Waiting, b.SetAside, instant(b.Oldest)
		}
	}
	return e
}

// nextDue looks ahead far enough for any row: a month and a long holiday.
func (a *Agent) nextDue(now time.Time) *control.DueStatus {
	today := form.DateOf(now)
	for _, d := range a.contracts().Plan(today, today.AddDays(40)) {
		if d.At.After(now) {
			return &control.DueStatus{At: d.At, Row: d.Row, MaLo: d.MaLo, To: d.To}
		}
	}
	return nil
}

// nudge tells an endpoint's sender that its queue has grown.
func (a *Agent) nudge(endpoint string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.senders[endpoint]; s != nil {
		s.nudge()
	}
}

// instant is t for JSON: null when it never was.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
