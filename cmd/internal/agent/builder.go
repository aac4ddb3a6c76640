package agent

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
)

// lookBack is how much before a period the readings are looked at, to judge
// which of the period's readings are plausible (FORM.md, Values).
const lookBack = 62 * 96

// retryAfter is how long building rests after it failed.
const retryAfter = 5 * time.Minute

// builder makes the payloads of the periods that have ended.
type builder struct {
	*Options
	jitter    float64   // this gateway's place in the spread, 0 ≤ jitter < 1; the same for ever
	done      form.Date // periods that end on this day or before are built
	notBefore time.Time // building failed, and rests until then
	fresh     bool      // the store had no series when the agent started
}

func newBuilder(o *Options) builder {
	h := fnv.New32a()
	h.Write([]byte(o.Config.Gateway.ID))
	return builder{Options: o, jitter: float64(h.Sum32()) / (1 << 32)}
}

// build makes what has become due by now and gives it to the outbox. Periods
// end at local midnights, so there is nothing to look for more often. A series
// that fails delays no other.
func (b *builder) build(now time.Time, senders map[string]*sender) {
	// A boundary is settled when no reading within the limit can come any more.
	settled := meter.QuarterOf(now.Add(-b.Config.Readings.OffsetLimit - 1))
	today := form.DateOf(settled.Time())
	if !b.done.Before(today) || now.Before(b.notBefore) && b.notBefore.Sub(now) <= retryAfter {
		return
	}
	marks, err := b.Store.Series()
	for i := range b.Config.Contract.MarketLocations {
		location := &b.Config.Contract.MarketLocations[i]
		for _, s := range seriesOf(location) {
			if e := b.buildSeries(s, marks, settled, now); e != nil {
				err = errors.Join(err, fmt.Errorf("market location %s: %w", location.MaLo, e))
			}
		}
	}
	if err != nil {
		b.notBefore = now.Add(retryAfter)
		b.Log.Error("building what is due failed; it is tried again", "again_in", retryAfter, "err", err)
		return
	}
	b.done, b.notBefore = today, time.Time{}
	for _, s := range senders {
		s.nudge()
	}
}

// resume finds out what series the store has, and ends those that the contract
// has no more: a mark that never moves again would keep readings for ever.
func (b *builder) resume() error {
	marks, err := b.Store.Series()
	if err != nil {
		return err
	}
	b.fresh = len(marks) == 0
	for i := range b.Config.Contract.MarketLocations {
		for _, s := range seriesOf(&b.Config.Contract.MarketLocations[i]) {
			delete(marks, s.mark)
		}
	}
	for mark := range marks {
		ended := buffer.Event{At: b.Clock.Now().Time, Kind: SeriesEnded, Detail: map[string]string{"series": mark}}
		if err := b.Store.EndSeries(mark, ended); err != nil {
			return err
		}
	}
	return nil
}

// series is all payloads of one rhythm about one market location. How far it is
// built is marked in the store, and keeps the readings behind it from giving way.
type series struct {
	location *form.MarketLocation
	rhythm   form.Rhythm
	mark     string
}

// seriesOf are the series that a location's class entitles to.
func seriesOf(m *form.MarketLocation) (all []series) {
	for _, s := range []series{{m, form.EachWorkingDay, m.MaLo.String() + "/day"}, {m, form.EachMonth, m.MaLo.String() + "/month"}} {
		if slices.ContainsFunc(form.Rows, func(r form.Row) bool { return r.Rhythm == s.rhythm && r.For(m.Class) }) {
			all = append(all, s)
		}
	}
	return all
}

// has reports whether a due date is one of the series.
func (s *series) has(d form.Due) bool {
	row, _ := d.Row.Row()
	return d.MaLo == s.location.MaLo && row.Rhythm == s.rhythm
}

// buildSeries builds the periods of a series that are settled and not yet
// built, old to new; those that end together in one transaction, which also
// marks them as built.
func (b *builder) buildSeries(s series, marks map[string]meter.Quarter, settled meter.Quarter, now time.Time) error {
	after, known := marks[s.mark]
	if !known {
		var err error
		if after, known, err = b.begin(s, now); err != nil || !known {
			return err
		}
	}
	losses, err := b.Store.Losses()
	if err != nil {
		return fmt.Errorf("what was lost: %w", err)
	}
	dues := slices.DeleteFunc(b.Config.Contract.Settled(after, settled), func(d form.Due) bool { return !s.has(d) })
	for len(dues) > 0 {
		end := dues[0].Period.To
		n := 1
		for n < len(dues) && dues[n].Period.To == end {
			n++
		}
		items := make([]buffer.Item, 0, n)
		for _, due := range dues[:n] {
			item, err := b.item(s.location, due, losses, now)
			if err != nil {
				return fmt.Errorf("row %d for %s: %w", due.Row, due.To, err)
			}
			items = append(items, item)
		}
		if err := b.Store.Build(s.mark, end, items); err != nil {
			return err
		}
		dues = dues[n:]
	}
	return nil
}

// begin begins a series. In a fresh store it begins with what the meter was first
// read for. In one that has or had others the location is new in the contract:
// what was read before concerns others, so that its first period is the first
// that begins after the next local midnight.
func (b *builder) begin(s series, now time.Time) (from meter.Quarter, begun bool, err error) {
	if b.fresh {
		first, found, err := b.Store.FirstBoundary(s.location.Meter)
		if err != nil || !found {
			return 0, false, err // where nothing was ever read, nothing has begun
		}
		from = first.Boundary
	} else {
		midnight := form.DateOf(now).AddDays(1).Midnight()
		const far = 62 * 96 // there is a month's end and a working day in it
		for _, d := range b.Config.Contract.Settled(midnight, midnight+far) {
			if s.has(d) && d.Period.From >= midnight && (from == 0 || d.Period.From < from) {
				from = d.Period.From
			}
		}
	}
	begins := buffer.Event{At: now, Kind: SeriesBegun, Detail: map[string]string{"series": s.mark, "from": from.String()}}
	return from, true, b.Store.Build(s.mark, from, nil, begins)
}

// item is the signed payload of one due date, ready for the outbox.
func (b *builder) item(location *form.MarketLocation, due form.Due, losses []buffer.Loss, now time.Time) (buffer.Item, error) {
	readings, err := b.Store.Boundaries(location.Meter, due.Period.From-lookBack, due.Period.To)
	if err != nil {
		return buffer.Item{}, err
	}
	payload, err := form.Build(&b.Config.Contract, due, readings)
	if err != nil {
		return buffer.Item{}, err
	}
	payload.Gateway = b.Config.Gateway.ID
	notices, upTo := b.told(location, losses)
	payload.Notices = append(payload.Notices, notices...)
	encoded, err := wire.Encode(&payload)
	if err != nil {
		return buffer.Item{}, err
	}
	signed, err := wire.Sign(encoded, b.Signer, b.KeyID)
	if err != nil {
		return buffer.Item{}, err
	}
	receiver, _ := location.Receiver(due.To)
	words := label(due)
	words["partner"] = receiver.PartnerID.String()
	if upTo > 0 {
		words[tellsLosses] = strconv.FormatUint(upTo, 10)
	}
	return buffer.Item{
		ID:        wire.ID(&payload),
		Endpoint:  b.Config.EndpointOf(receiver),
		Body:      signed,
		Label:     words,
		Needs:     buffer.Span{Meter: location.Meter, From: due.Period.From, To: due.Period.To},
		Created:   now,
		NotBefore: b.spread(now, due.At),
		Due:       due.At,
	}, nil
}

// spread is when this gateway sends what is built at now and due at due: in
// the first half of the time there is, at the same place of it every time, so
// that a town does not call at once and half the time is left for trying again.
func (b *builder) spread(now, due time.Time) time.Time {
	if !now.Before(due) {
		return now
	}
	return now.Add(time.Duration(b.jitter * float64(due.Sub(now)/2))).Truncate(time.Second)
}

// tellsLosses is the label of an item whose payload tells losses up to a number.
const tellsLosses = "losses"

// told are the losses that concern a location: those of its meter, and those
// of no meter in particular. What is lost to one customer's meter is no other's
// business. upTo is the number up to which all of them are told then.
func (b *builder) told(location *form.MarketLocation, losses []buffer.Loss) (notices []form.Notice, upTo uint64) {
	whole := true
	for _, l := range losses {
		foreign := l.Subject != location.Meter && slices.ContainsFunc(b.Config.Meters, func(m config.Meter) bool { return m.Name == l.Subject })
		if foreign {
			whole = false
			continue
		}
		n := form.Notice{Kind: l.Kind, Count: int(min(l.Count, math.MaxInt32))}
		if !l.From.IsZero() {
			n.From, n.To = meter.QuarterOf(l.From), meter.QuarterOf(l.To)
		}
		notices = append(notices, n)
		if whole {
			upTo = l.Seq
		}
	}
	return notices, upTo
}

// label says in words what an item is; the buffer keeps it for people.
func label(d form.Due) map[string]string {
	return map[string]string{
		"row": fmt.Sprint(d.Row), "malo": d.MaLo.String(), "to": d.To.String(), "purpose": d.Purpose,
		"from": form.DateOf(d.Period.From.Time()).String(), "until": form.DateOf(d.Period.To.Time()).String(),
	}
}
