package agent

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
)

// lookBack is how much before a period the readings are looked at, to judge
// which of the period's readings are plausible (FORM.md, Values).
const lookBack = 62 * 96

// builder makes the payloads of the periods that have ended.
type builder struct {
	*Options
	jitter float64       // this gateway's place in the spread, 0 ≤ jitter < 1; the same for ever
	done   form.Date     // periods that end on this day or before are built
	looked meter.Quarter // up to here everything was looked for
}

func newBuilder(o *Options) builder {
	h := fnv.New32a()
	h.Write([]byte(o.Config.Gateway.ID))
	return builder{Options: o, jitter: float64(h.Sum32()) / (1 << 32)}
}

// build makes what has become due by now and gives it to the outbox. Periods
// end at local midnights, so there is nothing to look for more often.
func (b *builder) build(stamp meter.Stamp, senders map[string]*sender) error {
	now := stamp.Time
	// A boundary is settled when no reading within the limit can come any more.
	settled := meter.QuarterOf(now.Add(-b.Config.Readings.OffsetLimit - 1))
	today := form.DateOf(settled.Time())
	if !b.done.Before(today) || settled == b.looked {
		return nil
	}
	for i := range b.Config.Contract.MarketLocations {
		location := &b.Config.Contract.MarketLocations[i]
		upTo := settled
		if stamp.Quality != meter.ClockSynchronised {
			// A clock that nobody vouches for may stand in next year. It must not
			// end periods that no reading has come to.
			last, _, err := b.Store.LastBoundary(location.Meter)
			if err != nil {
				return fmt.Errorf("market location %s: %w", location.MaLo, err)
			}
			upTo = min(upTo, last.Boundary)
		}
		for _, s := range seriesOf(location) {
			if err := b.buildSeries(s, upTo, now); err != nil {
				return fmt.Errorf("market location %s: %w", s.location.MaLo, err)
			}
		}
	}
	b.looked = settled
	if stamp.Quality == meter.ClockSynchronised {
		b.done = today
	}
	for _, s := range senders {
		s.nudge()
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
func (b *builder) buildSeries(s series, settled meter.Quarter, now time.Time) error {
	after, known, err := b.Store.BuiltUpTo(s.mark)
	if err != nil {
		return err
	}
	if !known {
		first, found, err := b.Store.FirstBoundary(s.location.Meter)
		if err != nil || !found {
			return err // where nothing was ever read, nothing has begun
		}
		after = first.Boundary
		if err := b.Store.Build(s.mark, after, nil); err != nil {
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
	payload.Notices = append(payload.Notices, notices(losses)...)
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
	if n := len(losses); n > 0 {
		words[tellsLosses] = strconv.FormatUint(losses[n-1].Seq, 10)
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

// notices are losses as a payload tells them.
func notices(losses []buffer.Loss) (all []form.Notice) {
	for _, l := range losses {
		n := form.Notice{Kind: l.Kind, Count: int(l.Count)}
		if !l.From.IsZero() {
			n.From, n.To = meter.QuarterOf(l.From), meter.QuarterOf(l.To)
		}
		all = append(all, n)
	}
	return all
}

// label says in words what an item is; the buffer keeps it for people.
func label(d form.Due) map[string]string {
	return map[string]string{
		"row": fmt.Sprint(d.Row), "malo": d.MaLo.String(), "to": d.To.String(), "purpose": d.Purpose,
		"from": form.DateOf(d.Period.From.Time()).String(), "until": form.DateOf(d.Period.To.Time()).String(),
	}
}
