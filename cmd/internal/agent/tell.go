package agent

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// events streams what was told.
func (i *Inspection) events(w http.ResponseWriter, _ *http.Request) error {
	all, done, err := notes(i.Store)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	for n, known := range all {
		if known.Event != nil {
			if err := out.Encode(eventOf(known.Event, done[n])); err != nil {
				return err
			}
		}
	}
	return nil
}

func eventOf(o *occasion, done bool) control.Event {
	return control.Event{
		ID: o.id(), Kind: o.Kind.String(), MaLo: o.MaLo.String(), Meter: o.Meter,
		At: o.At, Told: o.Told, By: o.By, State: o.state(done),
	}
}

// tell takes an event.
func (i *Inspection) tell(r *http.Request) (e control.Event, err error) {
	detail, err := by(r)
	if err != nil {
		return e, err
	}
	now := i.Now()
	o := &occasion{Told: now.Truncate(time.Second), By: detail["who"]}
	if o.Event, err = i.parseEvent(r, now); err != nil {
		return e, err
	}
	defer i.alone()()
	all, done, err := notes(i.Store)
	if err = cmp.Or(err, takesNoMore(all)); err != nil {
		return e, err
	}
	for n, known := range all {
		if k := known.Event; k != nil && k.id() == o.id() && !k.Withdrawn {
			if k.At != o.At && !done[n] {
				continue // told better: an exchange's other boundary of the same day
			}
			return eventOf(k, done[n]), nil
		}
	}
	pairs(detail, []string{"id", o.id(), "event", o.Kind.String(), "malo", o.MaLo.String(), "meter", o.Meter, "at", o.At.String()})
	if err := putNote(i.Store, note{Event: o}, false, buffer.Event{At: now, Kind: EventTold, Detail: detail}); err != nil {
		return e, err
	}
	i.told()
	return eventOf(o, false), nil
}

// How far from now an event may lie: ids of what was built are remembered for 90
// days, and a year ahead is a mistyped one.
const (
	eventPast   = 80 * 24 * time.Hour
	eventFuture = 366 * 24 * time.Hour
)

// parseEvent reads an event of a question and says why it cannot be one.
func (i *Inspection) parseEvent(r *http.Request, now time.Time) (e form.Event, err error) {
	if i.Config == nil {
		return e, control.Impossible("only a gateway's own store is told events, and not a file brought along")
	}
	query := r.URL.Query()
	if e.Kind, err = form.ParseEventKind(query.Get("kind")); err != nil {
		return e, control.Malformed("%w", err)
	}
	if err = e.At.UnmarshalText([]byte(query.Get("at"))); err != nil {
		return e, control.Malformed("at=%q: want a quarter-hour boundary: %w", query.Get("at"), err)
	}
	switch at := e.At.Time(); {
	case !e.Kind.Device() && form.DateOf(at).Midnight() != e.At:
		return e, control.Malformed("%s begins or ends with a day: want a local midnight, and not %s", e.Kind, form.Local(e.At))
	case at.Sub(now) > eventFuture:
		return e, control.Malformed("%s is more than a year ahead: is it mistyped, or the gateway's clock wrong?", form.Local(e.At))
	case now.Sub(at) > eventPast:
		return e, control.Malformed("%s is more than %d days ago: what was sent then is not remembered any more", form.Local(e.At), eventPast/(24*time.Hour))
	case e.Kind.Device() && at.After(now):
		return e, control.Malformed("%s lies in the future: tell of a device when its reading is there", form.Local(e.At))
	}
	if begin, err := i.begin(); err != nil {
		return e, err
	} else if begin != 0 && e.At < begin {
		return e, control.Impossible("%s lies before %s, where this gateway's own work begins", form.Local(e.At), form.Local(begin))
	}
	if err := i.concerned(&e, query.Get("malo"), query.Get("meter")); err != nil {
		return e, err
	}
	return e, i.builtLater(&e)
}

// builtLater refuses a device that is told to be built in while the one before it
// was still read: its register would be told as that of the new one. What is read
// within a day shows it; where nothing does, the person is believed.
func (i *Inspection) builtLater(e *form.Event) error {
	if e.Kind != form.DeviceBuiltIn {
		return nil
	}
	name := e.Meter
	if name == "" {
		name = i.Config.Contract.Location(e.MaLo).Meter
	}
	const day = meter.Quarter(24 * time.Hour / meter.QuarterLength)
	read, err := i.Store.Boundaries(name, e.At-day, e.At+day)
	if err != nil {
		return err
	}
	var old meter.DeviceID // read before and, alone, at the boundary
	for n, b := range read {
		switch {
		case b.Boundary < e.At:
			old = b.Device
		case b.Boundary == e.At && b.Device != old, n == 0 || old == "":
			return nil
		case b.Boundary > e.At && read[n-1].Boundary < e.At:
			return nil // nothing was read at it
		case b.Device != old:
			return control.Impossible("at %s meter %s still had device %s; device %s was first read at %s: tell that one", form.Local(e.At), name, old, b.Device, form.Local(b.Boundary))
		}
	}
	return nil
}

// begin is where the gateway's own work begins, 0 where it has not yet.
func (i *Inspection) begin() (meter.Quarter, error) {
	versions, err := i.Store.Contracts()
	if err != nil || len(versions) == 0 {
		return 0, err
	}
	return versions[0].From, nil
}

// concerned finds out what an event concerns: a market location, or a meter.
func (i *Inspection) concerned(e *form.Event, malo, name string) (err error) {
	c := &i.Config.Contract
	var known []string
	for _, m := range c.MarketLocations {
		known = append(known, m.MaLo.String())
	}
	if malo != "" && name != "" {
		return control.Malformed("want a market location or a meter, and not both")
	}
	if malo != "" {
		if e.MaLo, err = form.ParseMarketLocationID(malo); err != nil {
			return control.Malformed("%w", err)
		}
		m := c.Location(e.MaLo)
		if m == nil {
			return control.Malformed("the contract has no market location %s: it has %s", malo, strings.Join(known, ", "))
		}
		return entitled(m)
	}
	// A supply is one location's business, a device all of its meter's.
	if !e.Kind.Device() && len(known) > 1 {
		return control.Malformed("there are several market locations: choose %s with --malo", strings.Join(known, " or "))
	}
	if !e.Kind.Device() {
		e.MaLo = c.MarketLocations[0].MaLo
		return entitled(&c.MarketLocations[0])
	}
	if e.Meter, err = i.configuredMeter(name); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.MarketLocations, func(m form.MarketLocation) bool { return m.Meter == e.Meter && entitled(&m) == nil }) {
		return control.Impossible("meter %s measures no market location of the contract", e.Meter)
	}
	return nil
}

// entitled says why a market location's class has no row for events.
func entitled(m *form.MarketLocation) error {
	if slices.ContainsFunc(form.Rows, func(r form.Row) bool { return r.Rhythm == form.OnEvent && r.For(m.Class) }) {
		return nil
	}
	return control.Impossible("the form has no row for events at market location %s: it is of class %s", m.MaLo, m.Class)
}

// demanded sends once what row 9 of a market location shows now.
func (a *Agent) demanded(r *http.Request) (d control.Demanded, err error) {
	malo, err := form.ParseMarketLocationID(r.URL.Query().Get("malo"))
	if err != nil {
		return d, control.Malformed("%w", err)
	}
	detail, err := by(r, "malo", malo.String())
	if err != nil {
		return d, err
	}
	if err := a.Store.Append(buffer.Event{At: a.Clock.Now().Time, Kind: MomentDemanded, Detail: detail}); err != nil {
		return d, err
	}
	return control.Demanded{MaLo: malo.String()}, a.demand(malo)
}

// withdraw takes an event back that nothing was built of yet.
func (i *Inspection) withdraw(r *http.Request) (e control.Event, err error) {
	detail, err := by(r)
	if err != nil {
		return e, err
	}
	defer i.alone()()
	all, done, err := notes(i.Store)
	if err != nil {
		return e, err
	}
	for n, known := range all {
		o := known.Event
		switch {
		case o == nil || o.id() != r.PathValue("id"):
			continue
		case o.Withdrawn:
			return eventOf(o, true), nil
		case done[n]:
			return e, control.Impossible("event %s is built: what is sent cannot be taken back; smgw outbox shows it", o.id())
		}
		o.Withdrawn = true
		pairs(detail, []string{"id", o.id(), "event", o.Kind.String(), "malo", o.MaLo.String(), "meter", o.Meter, "at", o.At.String()})
		if err := putNote(i.Store, known, true, buffer.Event{At: i.Now(), Kind: EventWithdrawn, Detail: detail}); err != nil {
			return e, err
		}
		i.told()
		return eventOf(o, true), nil
	}
	return e, control.Unknown("there is no event %q: smgw event list shows those there are", r.PathValue("id"))
}

// told tells a running agent that people changed what is noted.
func (i *Inspection) told() {
	if i.Told != nil {
		i.Told()
	}
}

// alone keeps a running agent from building until the function it returns is called.
func (i *Inspection) alone() func() {
	if i.Alone == nil {
		return func() {}
	}
	i.Alone.Lock()
	return i.Alone.Unlock
}
