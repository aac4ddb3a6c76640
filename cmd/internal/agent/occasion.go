package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// What happens at a metering point once and makes payloads due (rows 2 and 3) is
// kept as notes of the store: what a technician tells, also of a day to come,
// and what the agent sees for itself. A note waits until its boundary is settled.

// note is what a note of the store says: one of these.
type note struct {
	Event *occasion `json:"event,omitempty"`
	// Late is where readings came late: what was built from it is looked at again.
	Late     *span     `json:"late,omitempty"`
	Farewell *farewell `json:"decommission,omitempty"`
}

// span is boundaries of a meter, both included.
type span struct {
	Meter string        `json:"meter"`
	From  meter.Quarter `json:"from"`
	To    meter.Quarter `json:"to"`
}

// occasion is an event of the form, and who told it.
type occasion struct {
	form.Event
	Told      time.Time `json:"told"`
	By        string    `json:"by,omitzero"` // "": the agent itself
	Withdrawn bool      `json:"withdrawn,omitzero"`
}

// id names an event by what it is, so that the same told twice is one. The days
// of an exchange count, not its boundaries: two devices that answer in turn are
// no more than one exchange a day.
func (o *occasion) id() string {
	at := o.At.String()
	if o.Kind.Device() {
		at = form.DateOf(o.At.Time()).String() + o.Meter
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{o.Kind.String(), o.MaLo.String(), o.Meter, at}, "\n")))
	return hex.EncodeToString(sum[:4])
}

func (o *occasion) state(done bool) string {
	switch {
	case o.Withdrawn:
		return "withdrawn"
	case done:
		return "built"
	}
	return "waits"
}

// stored is the note as the store keeps it.
func (n note) stored(done bool) (buffer.Note, error) {
	s := buffer.Note{Done: done}
	switch {
	case n.Event != nil:
		s.ID, s.At = n.Event.id(), n.Event.At
	case n.Late != nil:
		s.ID, s.At = fmt.Sprintf("late %s %s %s", n.Late.Meter, n.Late.From, n.Late.To), n.Late.To
	case n.Farewell != nil:
		s.ID, s.At = farewellID, meter.QuarterOf(n.Farewell.Asked)
	}
	var err error
	s.Text, err = json.Marshal(n)
	return s, err
}

func putNote(store *buffer.Store, n note, done bool, events ...buffer.Event) error {
	s, err := n.stored(done)
	if err != nil {
		return err
	}
	return store.PutNote(s, events...)
}

func lateNote(name string, from, to meter.Quarter) note { return note{Late: &span{name, from, to}} }

// notes are those of a store, by when they happened. One that does not decode is
// of a later program, and left alone.
func notes(store *buffer.Store) (all []note, done []bool, err error) {
	stored, err := store.Notes()
	for _, s := range stored {
		var n note
		if json.Unmarshal(s.Text, &n) != nil {
			continue
		}
		all, done = append(all, n), append(done, s.Done)
	}
	return all, done, err
}

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
	if err != nil {
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
		return e, errors.New("only a gateway's own store is told events, and not a file brought along")
	}
	query := r.URL.Query()
	if e.Kind, err = form.ParseEventKind(query.Get("kind")); err != nil {
		return e, err
	}
	if err = e.At.UnmarshalText([]byte(query.Get("at"))); err != nil {
		return e, fmt.Errorf("at=%q: want a quarter-hour boundary: %w", query.Get("at"), err)
	}
	switch at := e.At.Time(); {
	case !e.Kind.Device() && form.DateOf(at).Midnight() != e.At:
		return e, fmt.Errorf("%s begins or ends with a day: want a local midnight, and not %s", e.Kind, form.Local(e.At))
	case at.Sub(now) > eventFuture:
		return e, fmt.Errorf("%s is more than a year ahead: is it mistyped, or the gateway's clock wrong?", form.Local(e.At))
	case now.Sub(at) > eventPast:
		return e, fmt.Errorf("%s is more than %d days ago: what was sent then is not remembered any more", form.Local(e.At), eventPast/(24*time.Hour))
	case e.Kind.Device() && at.After(now):
		return e, fmt.Errorf("%s lies in the future: tell of a device when its reading is there", form.Local(e.At))
	}
	if begin, err := i.begin(); err != nil {
		return e, err
	} else if begin != 0 && e.At < begin {
		return e, fmt.Errorf("%s lies before %s, where this gateway's own work begins", form.Local(e.At), form.Local(begin))
	}
	return e, i.concerned(&e, query.Get("malo"), query.Get("meter"))
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
		return errors.New("want a market location or a meter, and not both")
	}
	if malo != "" {
		if e.MaLo, err = form.ParseMarketLocationID(malo); err != nil {
			return err
		}
		m := c.Location(e.MaLo)
		if m == nil {
			return fmt.Errorf("the contract has no market location %s: it has %s", malo, strings.Join(known, ", "))
		}
		return entitled(m)
	}
	// A supply is one location's business, a device all of its meter's.
	if !e.Kind.Device() && len(known) > 1 {
		return fmt.Errorf("there are several market locations: choose %s with --malo", strings.Join(known, " or "))
	}
	if !e.Kind.Device() {
		e.MaLo = c.MarketLocations[0].MaLo
		return entitled(&c.MarketLocations[0])
	}
	if e.Meter, err = i.configuredMeter(name); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.MarketLocations, func(m form.MarketLocation) bool { return m.Meter == e.Meter && entitled(&m) == nil }) {
		return fmt.Errorf("meter %s measures no market location of the contract", e.Meter)
	}
	return nil
}

// entitled says why a market location's class has no row for events.
func entitled(m *form.MarketLocation) error {
	if slices.ContainsFunc(form.Rows, func(r form.Row) bool { return r.Rhythm == form.OnEvent && r.For(m.Class) }) {
		return nil
	}
	return fmt.Errorf("the form has no row for events at market location %s: it is of class %s", m.MaLo, m.Class)
}

// demanded sends once what row 9 of a market location shows now.
func (a *Agent) demanded(r *http.Request) (d control.Demanded, err error) {
	malo, err := form.ParseMarketLocationID(r.URL.Query().Get("malo"))
	if err != nil {
		return d, err
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
			return e, fmt.Errorf("event %s is built: what is sent cannot be taken back; smgw outbox shows it", o.id())
		}
		o.Withdrawn = true
		pairs(detail, []string{"id", o.id(), "event", o.Kind.String(), "malo", o.MaLo.String(), "meter", o.Meter, "at", o.At.String()})
		if err := putNote(i.Store, known, true, buffer.Event{At: i.Now(), Kind: EventWithdrawn, Detail: detail}); err != nil {
			return e, err
		}
		i.told()
		return eventOf(o, true), nil
	}
	return e, fmt.Errorf("there is no event %q: smgw event list shows those there are", r.PathValue("id"))
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

// occasions is what memory knows of the notes, and of what they make due.
type occasions struct {
	read      bool // notes and done are what the store has
	notes     []note
	done      []bool
	again     []sent        // payloads that are to be compared with what they would say today
	late      []buffer.Note // the notes that are done when all of them are
	until     meter.Quarter // when the next day is over that came late; 0: none waits
	builtUpTo meter.Quarter // how far any series was built
	looked    form.Date     // the day on which contracts and the 8th were last looked at
	notBefore time.Time     // building failed, and rests until then
}

// forget has the notes read again.
func (o *occasions) forget() {
	o.read, o.again, o.late, o.looked, o.notBefore = false, nil, nil, form.Date{}, time.Time{}
}

// happened are the events that hold, whether they were built or not.
func (o *occasions) happened() (all []form.Event) {
	for _, n := range o.notes {
		if n.Event != nil && !n.Event.Withdrawn {
			all = append(all, n.Event.Event)
		}
	}
	return all
}

// settle does what notes and the calendar make due by now: payloads of events,
// corrections of what was built without readings that came late, and what is
// settled for good on the 8th. It does a little at a time: a table of two years
// must not keep the agent from reading its meters.
func (a *Agent) settle(now time.Time) {
	o := &a.occasions
	if now.Before(o.notBefore) && o.notBefore.Sub(now) <= retryAfter || a.builder.history == nil {
		return
	}
	upTo := meter.QuarterOf(now.Add(-a.Config.Readings.OffsetLimit - 1))
	if _, err := a.settleSome(upTo, now); err != nil {
		o.forget()
		o.notBefore = now.Add(retryAfter)
		a.Log.Error("building what events, late readings or the 8th make due failed; it is tried again", "again_in", retryAfter, "err", err)
	}
}

// settleSome does some of it, and reports whether that was all.
func (a *Agent) settleSome(upTo meter.Quarter, now time.Time) (all bool, err error) {
	o := &a.occasions
	today := form.DateOf(upTo.Time())
	newDay := o.looked != today
	if newDay {
		if err := a.noteImplied(upTo); err != nil {
			return false, err
		}
	}
	if !o.read {
		if o.notes, o.done, err = notes(a.Store); err != nil {
			return false, err
		}
		o.read = true
	}
	for i, n := range o.notes {
		if o.done[i] || n.Event == nil || n.Event.At > upTo {
			continue
		}
		o.done[i] = true
		return false, a.buildEvent(n, now)
	}
	if newDay || o.until != 0 && o.until <= upTo {
		if err := a.compareAgain(today, upTo); err != nil {
			return false, err
		}
		o.looked = today
	}
	if len(o.again) == 0 {
		return true, nil
	}
	if err := a.supersede(o.again[:1], now); err != nil {
		return false, err
	}
	if o.again = o.again[1:]; len(o.again) == 0 && len(o.late) > 0 {
		done := o.late
		o.late, o.read = nil, false
		return true, a.Store.PutItems(nil, done)
	}
	return len(o.again) == 0, nil
}

// noteImplied notes what the contracts themselves say to have happened.
func (a *Agent) noteImplied(upTo meter.Quarter) error {
	for _, e := range a.builder.history.Implied() {
		if e.At > upTo || upTo.Time().Sub(e.At.Time()) > eventPast {
			continue
		}
		if err := a.noteOwn(e); err != nil {
			return err
		}
	}
	return nil
}

// noteOwn notes an event that nobody told, unless it is known.
func (a *Agent) noteOwn(e form.Event) error {
	n := note{Event: &occasion{Event: e, Told: a.Clock.Now().Time.Truncate(time.Second)}}
	stored, err := n.stored(false)
	if err != nil {
		return err
	}
	if known, err := a.known(stored.ID); err != nil || known {
		return err
	}
	a.occasions.forget()
	return a.Store.PutNote(stored, a.event(EventTold, "id", stored.ID, "event", e.Kind.String(), "malo", e.MaLo.String(), "meter", e.Meter, "at", e.At.String()))
}

// known reports whether an event of an id was told and not withdrawn: what a
// person took back may still happen, and is then seen.
func (a *Agent) known(id string) (bool, error) {
	all, _, err := notes(a.Store)
	return slices.ContainsFunc(all, func(n note) bool { return n.Event != nil && n.Event.id() == id && !n.Event.Withdrawn }), err
}

// buildEvent makes the payloads that an event makes due.
func (a *Agent) buildEvent(n note, now time.Time) error {
	o := n.Event
	var items []buffer.Item
	for _, due := range a.builder.history.Occasioned(a.occasions.happened(), o.At-1, o.At) {
		item, err := a.builder.made(due, nil, now)
		if err != nil {
			return fmt.Errorf("row %d for %s on %s: %w", due.Row, due.To, o.Kind, err)
		}
		items = append(items, item)
	}
	anew, err := a.cutShort(o, now)
	if err != nil {
		return fmt.Errorf("what was sent of later events, which begins with %s now: %w", o.Kind, err)
	}
	items = append(items, anew...)
	done, err := n.stored(true)
	if err != nil {
		return err
	}
	return a.put(items, []buffer.Note{done}, a.event(EventBuilt, "id", o.id(), "event", o.Kind.String(), "malo", o.MaLo.String(), "meter", o.Meter,
		"at", o.At.String(), "payloads", strconv.Itoa(len(items))))
}

// put stores what is due and tells the senders.
func (a *Agent) put(items []buffer.Item, notes []buffer.Note, events ...buffer.Event) error {
	if err := a.Store.PutItems(items, notes, events...); err != nil {
		return err
	}
	for _, it := range items {
		if s := a.senders[it.Endpoint]; s != nil {
			s.nudge()
		}
	}
	return nil
}

// shows are the notes of what a boundary reading shows to have happened: a device
// that answers in the place of another, and that it comes late.
func (a *Agent) shows(now *meter.BoundaryReading) (all []buffer.Note) {
	before := a.kept[now.Meter]
	var found []note
	if now.Boundary <= a.occasions.builtUpTo || now.Boundary <= a.builder.done.Midnight() {
		day := form.DateOf(now.Boundary.Time())
		found = append(found, lateNote(now.Meter, day.Midnight(), day.AddDays(1).Midnight()))
	}
	if before.Device != "" && before.Device != now.Device && before.Boundary <= now.Boundary {
		found = append(found, a.exchange(&before, now)...)
	}
	for _, n := range found {
		stored, err := n.stored(false)
		if err == nil && n.Event != nil {
			var known bool
			if known, err = a.known(stored.ID); known {
				continue // the day's first exchange counts
			}
		}
		if err != nil {
			a.Log.Error("noting what a reading shows", "err", err)
			continue
		}
		all = append(all, stored)
		a.occasions.forget()
	}
	return all
}

// exchange is the end of one device and the beginning of another.
func (a *Agent) exchange(before, now *meter.BoundaryReading) (both []note) {
	for _, e := range []form.Event{
		{Kind: form.DeviceRemoved, Meter: before.Meter, At: before.Boundary},
		{Kind: form.DeviceBuiltIn, Meter: now.Meter, At: now.Boundary},
	} {
		both = append(both, note{Event: &occasion{Event: e, Told: a.Clock.Now().Time.Truncate(time.Second)}})
	}
	return both
}
