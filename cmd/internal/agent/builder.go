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
	jitter float64   // this gateway's place in the spread, 0 ≤ jitter < 1; the same for ever
	done   form.Date // periods that end on this day or before are built
}

func newBuilder(o *Options) builder {
	h := fnv.New32a()
	h.Write([]byte(o.Config.Gateway.ID))
	return builder{Options: o, jitter: float64(h.Sum32()) / (1 << 32)}
}

// build makes what has become due by now and gives it to the outbox. Periods
// end at local midnights, so there is nothing to look for more often.
func (b *builder) build(now time.Time, senders map[string]*sender) error {
	// A boundary is settled when no reading within the limit can come any more.
	settled := meter.QuarterOf(now.Add(-b.Config.Readings.OffsetLimit - 1))
	today := form.DateOf(settled.Time())
	if !b.done.Before(today) {
		return nil
	}
	for i := range b.Config.Contract.MarketLocations {
		if err := b.buildLocation(&b.Config.Contract.MarketLocations[i], settled, now); err != nil {
			return err
		}
	}
	b.done = today
	for _, s := range senders {
		s.nudge()
	}
	return nil
}

// buildLocation builds the periods of one market location that are settled and
// not yet built, old to new; those that end together in one transaction, which
// also marks them as built.
func (b *builder) buildLocation(location *form.MarketLocation, settled meter.Quarter, now time.Time) error {
	series := location.MaLo.String()
	after, known, err := b.Store.BuiltUpTo(series)
	if err != nil {
		return fmt.Errorf("market location %s: %w", series, err)
	}
	if !known {
		first, found, err := b.Store.FirstBoundary(location.Meter)
		if err != nil {
			return fmt.Errorf("market location %s: %w", series, err)
		}
		if !found {
			return nil // nothing was ever read: nothing has begun
		}
		after = first.Boundary
		if err := b.Store.Build(series, after, nil); err != nil {
			return fmt.Errorf("market location %s: %w", series, err)
		}
	}
	losses, err := b.Store.Losses()
	if err != nil {
		return fmt.Errorf("market location %s: what was lost: %w", series, err)
	}
	dues := slices.DeleteFunc(b.Config.Contract.Settled(after, settled), func(d form.Due) bool { return d.MaLo != location.MaLo })
	for len(dues) > 0 {
		end := dues[0].Period.To
		n := 1
		for n < len(dues) && dues[n].Period.To == end {
			n++
		}
		items := make([]buffer.Item, 0, n)
		for _, due := range dues[:n] {
			item, err := b.item(location, due, losses, now)
			if err != nil {
				return fmt.Errorf("row %d of market location %s for %s: %w", due.Row, series, due.To, err)
			}
			items = append(items, item)
		}
		if err := b.Store.Build(series, end, items); err != nil {
			return fmt.Errorf("market location %s: %w", series, err)
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
