package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/buffer"
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
		s.ID, s.At = fmt.Sprintf("late %s %s %s", n.Late.Meter, n.Late.From, n.Late.To), n.Late.From
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

// occasions is what memory knows of the notes, and of what they make due.
type occasions struct {
	read      bool // notes and done are what the store has
	notes     []note
	done      []bool
	again     []sent        // payloads that are to be compared with what they would say today
	late      []buffer.Note // the notes that are done when all of them are
	until     meter.Quarter // when the next day is over that came late; 0: none waits
	builtUpTo meter.Quarter // how far any series was built
	looked    form.Date     // the day on which contracts were last looked at
	stale     bool          // that day what is to be compared was not yet: there was some left of the day before
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
	if o.looked != today {
		if err := a.noteImplied(upTo); err != nil {
			return false, err
		}
		o.looked, o.stale = today, true
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
	if len(o.again) == 0 && (o.stale || o.until != 0 && o.until <= upTo) {
		if err := a.compareAgain(today, upTo); err != nil {
			return false, err
		}
		o.stale = false
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
		return !o.stale, a.Store.PutItems(nil, done)
	}
	return len(o.again) == 0 && !o.stale, nil
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
