package agent

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
)

// Momentary figures, row 9 and the state of the grid, are sent as they come: on the
// clock, when the feed-in power crosses a threshold, or once on demand. Each is a
// commit of its own and is due a minute after its instant. What could not be
// looked at in time is not made up for: nobody needs to know the power of an hour ago.

const (
	// momentDue is how long after its instant a momentary figure must be there.
	momentDue = time.Minute
	// betweenCrossings is the shortest time between two crossings that are sent: a
	// power that swings by more than the hysteresis must not wear out the flash.
	betweenCrossings = time.Minute
	// mostMoments is how many periodic figures of one row wait before the older half
	// of them is given up: a day of minutes, with which memory and store still cope.
	mostMoments = 1440
)

// Why a momentary figure is sent: the label of its item.
const (
	occasionLabel = "occasion"
	periodically  = "periodic" // counted in the journal hour by hour, and forgotten
	onThreshold   = "threshold"
	onDemand      = "demand"
)

// moments is how far momentary figures are sent.
type moments struct {
	decided map[momentRow]time.Time // periodic instants up to here are decided
	crossed map[form.MarketLocationID]crossing
	counted time.Time // the hour in which what was delivered was last counted
	failing bool      // the last one was not made or kept: that is logged once
	refused time.Time // when the disk did not take the last one; zero when it did
}

// momentRow is what one market location's momentary figures are of.
type momentRow struct {
	malo form.MarketLocationID
	row  form.RowNumber
}

// crossing is where a market location's feed-in power stood when that was last
// sent or, at first, seen.
type crossing struct {
	band form.Band
	sent time.Time
}

// bandNote is the text of the note in which a crossing outlives the agent.
type bandNote struct {
	Band form.Band `json:"feed_in_band"`
}

const bandNotePrefix = "feed_in_band "

// newMoments goes on where the store stands. Where the contract has no thresholds
// any more, nobody needs to know where the power stood.
func newMoments(o *Options) (moments, error) {
	m := moments{decided: map[momentRow]time.Time{}, crossed: map[form.MarketLocationID]crossing{}}
	notes, err := o.Store.Notes()
	for _, n := range notes {
		id, ok := strings.CutPrefix(n.ID, bandNotePrefix)
		malo, malformed := form.ParseMarketLocationID(id)
		if !ok || malformed != nil || n.Done {
			continue
		}
		if l := o.Config.Contract.Location(malo); l == nil || !l.FeedInPower.HasThreshold() {
			n.Done = true
			err = errors.Join(err, o.Store.PutNote(n))
			continue
		}
		var text bandNote
		if json.Unmarshal(n.Text, &text) == nil {
			m.crossed[malo] = crossing{band: text.Band}
		}
	}
	return m, err
}

// wantsMoments reports whether anything is made of what a meter shows in between.
func wantsMoments(c *form.Contract, name string) bool {
	return c != nil && slices.ContainsFunc(c.MarketLocations, func(l form.MarketLocation) bool {
		return l.Meter == name && (l.Direction == form.FeedIn || l.GridState != nil)
	})
}

// showed takes what a meter shows at an instant that is believed.
func (a *Agent) showed(m *meterState, t *meter.Telegram) {
	c := a.contractAt(m.last.At.Time)
	if !wantsMoments(c, m.name) {
		return
	}
	shown := t.Moment(m.last.At)
	m.before, m.shown = m.shown, shown
	a.momentsOf(c, m, shown.At)
	for i := range c.MarketLocations {
		if l := &c.MarketLocations[i]; l.Meter == m.name && l.FeedInPower.HasThreshold() {
			a.cross(c, l, &shown)
		}
	}
}

// stepMoments does what time alone makes due: a silent meter is said to be silent.
func (a *Agent) stepMoments(now meter.Stamp) {
	c := a.contractAt(now.Time)
	for _, m := range a.meters {
		if wantsMoments(c, m.name) {
			a.momentsOf(c, m, now)
		}
	}
	if hour := now.Time.Truncate(time.Hour); !hour.Equal(a.moments.counted) {
		if err := a.countMoments(now.Time); err != nil {
			a.Log.Error("counting what momentary figures were delivered; it is tried again in an hour", "err", err)
		}
		a.moments.counted = hour
	}
}

// contractAt is the contract that holds at an instant; nil where none does.
func (a *Agent) contractAt(at time.Time) *form.Contract {
	return a.contracts().At(meter.QuarterOf(at))
}

// momentsOf sends the periodic figures of a meter that are due at now.
func (a *Agent) momentsOf(c *form.Contract, m *meterState, now meter.Stamp) {
	for i := range c.MarketLocations {
		l := &c.MarketLocations[i]
		if l.Meter != m.name {
			continue
		}
		if l.FeedInPower != nil {
			a.periodic(c, l, m, 9, l.FeedInPower.Every, now.Time)
		}
		if l.GridState != nil {
			a.periodic(c, l, m, form.GridState, l.GridState.Every, now.Time)
		}
	}
}

// periodic sends the figure of the newest instant on the clock as soon as a
// reading after it has come, or none can come any more: of the two readings round
// it the nearer.
func (a *Agent) periodic(c *form.Contract, l *form.MarketLocation, m *meterState, row form.RowNumber, every time.Duration, now time.Time) {
	if every == 0 || rests(a.moments.refused, a.Clock.Now().Time) {
		return
	}
	at, key := now.Truncate(every), momentRow{l.MaLo, row}
	decided, begun := a.moments.decided[key]
	if !begun || decided.Sub(now) > every { // or the clock was ahead
		decided = at
		if !at.Before(a.started) {
			decided = at.Add(-every)
		}
		a.moments.decided[key] = decided
	}
	late := now.Sub(at) > c.OffsetLimit
	if !at.After(decided) || m.shown.At.Time.Before(at) && !late {
		return
	}
	shown := m.shown
	if m.before.At.Time.Sub(at).Abs() <= shown.At.Time.Sub(at).Abs() {
		shown = m.before
	}
	if a.send(c, l, row, at, shown, periodically, nil) == nil {
		a.moments.decided[key] = at
	}
}

// cross sends the feed-in power where it has crossed a threshold. Where it stood
// is kept in the same commit, so that a restart neither loses nor repeats it.
func (a *Agent) cross(c *form.Contract, l *form.MarketLocation, shown *meter.Moment) {
	kw, known := c.FedInKW(shown)
	if !known || rests(a.moments.refused, a.Clock.Now().Time) {
		return
	}
	before := a.moments.crossed[l.MaLo]
	now := crossing{l.FeedInPower.Band(before.band, kw), shown.At.Time}
	if since := now.sent.Sub(before.sent); now.band == before.band || 0 <= since && since < betweenCrossings {
		return
	}
	text, err := json.Marshal(bandNote{now.band})
	if err != nil {
		a.Log.Error("writing down a crossed threshold", "err", err)
		return
	}
	note := buffer.Note{ID: bandNotePrefix + l.MaLo.String(), At: meter.QuarterOf(now.sent), Text: text}
	if before.band == form.UnknownBand {
		now.sent = time.Time{}
		err = a.tookMoment(a.Store.PutNote(note)) // where it stands at first crosses nothing
	} else {
		err = a.send(c, l, 9, shown.At.Time, *shown, onThreshold, []buffer.Note{note})
	}
	if err == nil {
		a.moments.crossed[l.MaLo] = now
	}
}

// demand sends once what row 9 of a market location shows now. The error is a
// *form.DeniedError where the contract does not entitle it.
func (a *Agent) demand(malo form.MarketLocationID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now()
	if clockNeverSet(now.Time) || !a.timeline.steady {
		return control.Impossible("the clock cannot be believed (%s): a figure without its instant says nothing", now.Time.Format(time.RFC3339))
	}
	c := a.contractAt(now.Time)
	if c == nil {
		return control.Impossible("%w", &form.DeniedError{Row: 9, MaLo: malo, Why: "no contract holds now"})
	}
	at, shown, location := now.Time, meter.Moment{}, c.Location(malo)
	if location == nil {
		return control.Malformed("%w", &form.DeniedError{Row: 9, MaLo: malo, Why: "the contract has no such market location"})
	}
	for _, m := range a.meters {
		if m.name != location.Meter {
			continue
		}
		if shown = m.shown; now.Time.Sub(shown.At.Time).Abs() <= c.OffsetLimit {
			at = shown.At.Time
		}
	}
	err := a.send(c, location, 9, at, shown, onDemand, nil)
	if denied := (*form.DeniedError)(nil); errors.As(err, &denied) {
		return control.Impossible("%w", err)
	}
	return err
}

// send gives a momentary figure to the outbox, with notes in the same commit.
func (a *Agent) send(c *form.Contract, l *form.MarketLocation, row form.RowNumber, at time.Time, shown meter.Moment, occasion string, notes []buffer.Note) error {
	payload, err := form.BuildMoment(c, l.MaLo, row, at, shown)
	if err == nil && len(payload.Values) == 0 {
		return nil
	}
	var item buffer.Item
	if err == nil {
		item, err = a.momentItem(l, &payload, occasion)
	}
	if err != nil && occasion == onDemand {
		return err // who asked hears it
	}
	if err == nil {
		err = a.Store.PutItems([]buffer.Item{item}, notes)
	}
	if err := a.tookMoment(err); err != nil {
		return err
	}
	if s := a.senders[item.Endpoint]; s != nil {
		s.nudge()
	}
	return nil
}

// momentItem makes a payload about a moment ready for the outbox.
func (a *Agent) momentItem(l *form.MarketLocation, payload *form.Payload, occasion string) (item buffer.Item, err error) {
	payload.Gateway = a.Config.Gateway.ID
	encoded, err := wire.Encode(payload)
	if err != nil {
		return item, err
	}
	signed, err := wire.Sign(encoded, a.Signer, a.KeyID)
	if err != nil {
		return item, err
	}
	row, _ := payload.Row.Row()
	words := label(form.Due{Row: payload.Row, MaLo: l.MaLo, To: payload.To, Period: payload.Period, Purpose: row.Purpose})
	words["partner"], words[occasionLabel] = payload.PartnerID.String(), occasion
	words["moment"] = payload.Moment.In(form.Berlin).Format(time.RFC3339)
	receiver, _ := l.Receiver(payload.To)
	return buffer.Item{
		ID: wire.ID(payload), Endpoint: endpointOf(a.Config, l, receiver), Body: signed, Label: words,
		Created: payload.Moment, NotBefore: payload.Moment, Due: payload.Moment.Add(momentDue),
	}, nil
}

// tookMoment logs that a momentary figure cannot be made or kept, once, and lets a
// disk that does not take them rest.
func (a *Agent) tookMoment(err error) error {
	if err != nil && !a.moments.failing {
		a.Log.Error("momentary figures cannot be sent", "err", err)
	}
	a.moments.failing, a.moments.refused = err != nil, time.Time{}
	if err != nil && a.Store.Trouble() != nil {
		a.moments.refused = a.Clock.Now().Time
	}
	return err
}

// countMoments writes to the journal how many periodic figures were delivered to
// whom since the last time, and forgets them: their evidence is one entry an hour,
// where thousands would push all other evidence out. Where too many wait, the
// older half is given up, which is a loss like any other.
func (a *Agent) countMoments(now time.Time) error {
	type pile struct {
		ids         []string
		label       map[string]string
		first, last time.Time
	}
	done, waiting := map[string]*pile{}, map[string][]buffer.Item{}
	var ids []string
	err := a.Store.Items(func(it buffer.Item) bool {
		if it.Label[occasionLabel] != periodically {
			return true
		}
		key := it.Label["malo"] + "/" + it.Label["row"] + "/" + it.Label["partner"]
		switch it.State {
		case buffer.Waiting, buffer.SetAside: // a head-end may refuse one after the other
			waiting[key] = append(waiting[key], it)
		case buffer.GivenUp:
			ids = append(ids, it.ID) // who gave it up stands in the journal
		case buffer.Acknowledged:
			p := done[key]
			if p == nil {
				p = &pile{label: it.Label, first: it.Created, last: it.Created}
				done[key] = p
			}
			if it.Created.Before(p.first) {
				p.first = it.Created
			}
			if it.Created.After(p.last) {
				p.last = it.Created
			}
			p.ids = append(p.ids, it.ID)
			ids = append(ids, it.ID)
		}
		return true
	})
	if err != nil {
		return err
	}
	var events []buffer.Event
	about := func(kind string, label map[string]string, n int, first, last time.Time) buffer.Event {
		detail := map[string]string{"count": strconv.Itoa(n), "first": local(first), "last": local(last)}
		for _, name := range []string{"row", "malo", "to", "partner", "purpose"} {
			detail[name] = label[name]
		}
		return buffer.Event{At: now, Kind: kind, Detail: detail}
	}
	for _, key := range slices.Sorted(maps.Keys(done)) {
		p := done[key]
		events = append(events, about(Delivered, p.label, len(p.ids), p.first, p.last))
	}
	var losses []buffer.Loss
	for _, key := range slices.Sorted(maps.Keys(waiting)) {
		items := waiting[key]
		if len(items) <= mostMoments {
			continue
		}
		slices.SortFunc(items, func(x, y buffer.Item) int { return x.Created.Compare(y.Created) })
		items = items[:len(items)-mostMoments/2]
		first, last := items[0].Created, items[len(items)-1].Created
		for _, it := range items {
			ids = append(ids, it.ID)
		}
		events = append(events, about(MomentsLost, items[0].Label, len(items), first, last))
		malo, err := form.ParseMarketLocationID(items[0].Label["malo"])
		subject := ""
		if l := a.Config.Contract.Location(malo); err == nil && l != nil {
			subject = l.Meter
		}
		losses = append(losses, buffer.Loss{At: now, Kind: MomentsLost, Subject: subject, From: first, To: last, Count: int64(len(items))})
		a.Log.Error("momentary figures were not taken for too long, and the older ones are given up", "row", items[0].Label["row"], "count", len(items), "from", first, "to", last)
	}
	if len(ids) == 0 {
		return nil
	}
	return a.Store.Forget(ids, losses, events...)
}

func local(t time.Time) string { return t.In(form.Berlin).Format(time.RFC3339) }

// delivered is the journal's entry for an item that was acknowledged. Periodic
// figures are counted instead.
func delivered(now time.Time, item buffer.Item, status int) []buffer.Event {
	if item.Label[occasionLabel] == periodically {
		return nil
	}
	return []buffer.Event{event(now, Delivered, item, "status", strconv.Itoa(status))}
}

// forgotten takes the error away that an item is not known: a periodic figure can
// be given up while it is being sent.
func forgotten(err error) error {
	if errors.Is(err, buffer.ErrUnknownItem) {
		return nil
	}
	return err
}
