package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
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
	history   *form.History   // the contracts that held and hold; nil until it is known when the first began
	jitter    float64         // this gateway's place in the spread, 0 ≤ jitter < 1; the same for ever
	done      form.Date       // periods that end on this day or before are built
	notBefore time.Time       // building failed, and rests until then
	endpoints map[string]bool // that something was made for since they were last looked at
}

func newBuilder(o *Options) builder {
	// Not FNV: the serial numbers of a town differ in few digits, and FNV's upper
	// bits hardly notice.
	h := sha256.Sum256([]byte(o.Config.Gateway.ID))
	return builder{Options: o, endpoints: map[string]bool{}, jitter: float64(binary.BigEndian.Uint32(h[:])) / (1 << 32)}
}

// build makes what has become due by now and gives it to the outbox. Periods
// end at local midnights, so there is nothing to look for more often. A series
// that fails delays no other.
func (b *builder) build(now time.Time, senders map[string]*sender) {
	// A boundary is settled when no reading within the limit can come any more.
	settled := meter.QuarterOf(now.Add(-b.Config.Readings.OffsetLimit - 1))
	today := form.DateOf(settled.Time())
	if b.done == today || now.Before(b.notBefore) && b.notBefore.Sub(now) <= retryAfter {
		return
	}
	err := b.buildAll(settled, now)
	if err != nil {
		b.notBefore = now.Add(retryAfter)
		b.Log.Error("building what is due failed; it is tried again", "again_in", retryAfter, "err", err)
		return
	}
	if b.history == nil {
		return // nothing was read yet
	}
	b.done, b.notBefore = today, time.Time{}
	for _, s := range senders {
		s.nudge()
	}
}

// forget has the contracts read again, and what is due looked at.
func (b *builder) forget() { b.history, b.done, b.notBefore = nil, form.Date{}, time.Time{} }

func (b *builder) buildAll(settled meter.Quarter, now time.Time) (err error) {
	if b.history == nil {
		if b.history, err = b.succeed(now); err != nil || b.history == nil {
			return err
		}
	}
	marks, err := b.Store.Series()
	if err != nil {
		return err
	}
	all := seriesOf(b.history)
	if err := b.beginAll(all, marks, settled, now); err != nil {
		return err
	}
	for _, s := range all {
		if e := b.buildSeries(s, marks, settled, now); e != nil {
			err = errors.Join(err, fmt.Errorf("market location %s: %w", s.malo, e))
		}
		delete(marks, s.mark)
	}
	for name := range marks {
		if isSeries(name) { // of a contract that never held: a mark that never moves again would keep readings for ever
			err = errors.Join(err, b.end(name, now))
		}
	}
	return err
}

// series is all payloads of one rhythm about one market location. How far it is
// built is marked in the store, and keeps the readings behind it from giving way.
type series struct {
	malo     form.MarketLocationID
	meters   []string // by which it was measured
	rhythm   form.Rhythm
	mark     string
	from, to meter.Quarter // what it is about: the last span of versions on end that entitle to it
}

var rhythms = []struct {
	form.Rhythm
	suffix string
}{{form.EachWorkingDay, "/day"}, {form.EachMonth, "/month"}}

// isSeries tells the mark of a series from others.
func isSeries(mark string) bool {
	return strings.HasSuffix(mark, "/day") || strings.HasSuffix(mark, "/month")
}

// seriesOf are the series that the versions of a contract entitle to.
func seriesOf(h *form.History) (all []series) {
	for i, v := range h.Versions {
		to := meter.Quarter(math.MaxInt64)
		if i+1 < len(h.Versions) {
			to = h.Versions[i+1].From
		} else if h.End != 0 {
			to = h.End
		}
		for j := range v.Contract.MarketLocations {
			m := &v.Contract.MarketLocations[j]
			for _, r := range rhythms {
				if !slices.ContainsFunc(form.Rows, func(row form.Row) bool { return row.Rhythm == r.Rhythm && row.For(m.Class) }) {
					continue
				}
				n := series{m.MaLo, []string{m.Meter}, r.Rhythm, m.MaLo.String() + r.suffix, v.From, to}
				k := slices.IndexFunc(all, func(s series) bool { return s.mark == n.mark })
				if k < 0 {
					all = append(all, n)
					continue
				}
				n.meters = append(n.meters, all[k].meters...)
				if all[k].to == n.from {
					n.from = all[k].from
				}
				all[k] = n
			}
		}
	}
	return all
}

// has reports whether a due date is one of the series.
func (s *series) has(d form.Due) bool {
	row, _ := d.Row.Row()
	return d.MaLo == s.malo && row.Rhythm == s.rhythm
}

// buildSeries builds the periods of a series that are settled and not yet
// built, old to new; those that end together in one transaction, which also
// marks them as built. A series that is built up to where it ends is ended.
func (b *builder) buildSeries(s series, marks map[string]meter.Quarter, settled meter.Quarter, now time.Time) error {
	after, known := marks[s.mark]
	if !known {
		return nil
	}
	losses, err := b.Store.Losses()
	if err != nil {
		return fmt.Errorf("what was lost: %w", err)
	}
	if b.history.End != 0 {
		// What the end cuts may end where the mark stands because the parts of
		// others did, and what is known is not stored twice.
		after = min(after, b.history.End-1)
	}
	dues := slices.DeleteFunc(b.history.Settled(after, settled), func(d form.Due) bool { return !s.has(d) })
	slices.SortStableFunc(dues, func(a, b form.Due) int { return cmp.Compare(a.Period.To, b.Period.To) })
	for len(dues) > 0 {
		end := dues[0].Period.To
		n := 1
		for n < len(dues) && dues[n].Period.To == end {
			n++
		}
		items := make([]buffer.Item, 0, n)
		for _, due := range dues[:n] {
			item, err := b.made(due, losses, now)
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
	if s.to <= settled {
		return b.end(s.mark, now)
	}
	return nil
}

// beginAll begins the series that can begin, before any is built: of a store that is
// full gives way what no mark keeps, and a mark that has moved on keeps less. The
// earliest begins first.
func (b *builder) beginAll(all []series, marks map[string]meter.Quarter, settled meter.Quarter, now time.Time) error {
	begin := map[string]meter.Quarter{}
	for _, s := range all {
		if _, known := marks[s.mark]; known {
			continue
		}
		from, begins, err := b.begins(s, settled)
		if err != nil {
			return fmt.Errorf("market location %s: %w", s.malo, err)
		}
		if begins {
			begin[s.mark] = from
		}
	}
	for _, mark := range slices.SortedFunc(maps.Keys(begin), func(x, y string) int { return cmp.Or(cmp.Compare(begin[x], begin[y]), cmp.Compare(x, y)) }) {
		event := b.event(now, SeriesBegun, "series", mark, "from", begin[mark].String())
		if err := b.Store.Build(mark, begin[mark], nil, event); err != nil {
			return err
		}
		marks[mark] = begin[mark]
	}
	return nil
}

// begins is where a series begins, where it is entitled to by now and its meter was
// ever read.
func (b *builder) begins(s series, settled meter.Quarter) (from meter.Quarter, begins bool, err error) {
	if settled < s.from || s.to <= settled {
		return 0, false, nil // not yet, or no more: what was begun would have a mark
	}
	for _, name := range s.meters {
		first, found, err := b.Store.FirstBoundary(name)
		if err != nil {
			return 0, false, err
		}
		if found && (!begins || first.Boundary < from) {
			from, begins = first.Boundary, true
		}
	}
	return max(from, s.from), begins, nil
}

// end ends a series, so that it keeps no readings any more.
func (b *builder) end(mark string, now time.Time) error {
	return b.Store.EndSeries(mark, b.event(now, SeriesEnded, "series", mark))
}

// made is the signed payload of one due date, as it is first made.
func (b *builder) made(due form.Due, losses []buffer.Loss, now time.Time) (buffer.Item, error) {
	readings, err := b.readings(due)
	if err != nil {
		return buffer.Item{}, err
	}
	payload, err := b.history.Build(due, readings)
	if err != nil {
		return buffer.Item{}, err
	}
	return b.item(due, &payload, losses, now)
}

// location is the market location of a due date in the contract that governs it.
func (b *builder) location(due form.Due) (*form.MarketLocation, error) {
	c := b.history.Governing(due.Period)
	if c == nil {
		return nil, fmt.Errorf("no contract holds at %s", due.Period.To)
	}
	m := c.Location(due.MaLo)
	if m == nil {
		return nil, fmt.Errorf("the contract of its time has no market location %s", due.MaLo)
	}
	return m, nil
}

// readings are those that a due date is built from, and enough before it to
// judge them.
func (b *builder) readings(due form.Due) ([]meter.BoundaryReading, error) {
	m, err := b.location(due)
	if err != nil {
		return nil, err
	}
	readings, err := b.Store.Boundaries(m.Meter, due.Period.From-lookBack, due.Period.To)
	if err != nil {
		return nil, err
	}
	now := b.Config.Contract.Location(due.MaLo)
	if now == nil || now.Meter == m.Meter || slices.ContainsFunc(b.Config.Meters, func(x config.Meter) bool { return x.Name == m.Meter }) {
		return readings, nil
	}
	// The meter was renamed: from then on it is read under its new name, though the
	// contract with the old one holds until midnight.
	from := due.Period.From
	if n := len(readings); n > 0 {
		from = max(from, readings[n-1].Boundary+1)
	}
	renamed, err := b.Store.Boundaries(now.Meter, from, due.Period.To)
	return append(readings, renamed...), err
}

// item makes a payload of a due date ready for the outbox: with the gateway's id
// and what was lost, signed, and with what people and later corrections need to
// know of it.
func (b *builder) item(due form.Due, payload *form.Payload, losses []buffer.Loss, now time.Time) (buffer.Item, error) {
	location, err := b.location(due)
	if err != nil {
		return buffer.Item{}, err
	}
	payload.Gateway = b.Config.Gateway.ID
	words := label(due)
	words["partner"] = payload.PartnerID.String()
	words[labelRevision] = strconv.Itoa(payload.Revision)
	if payload.Supersedes != "" {
		words[labelSupersedes] = payload.Supersedes
	}
	if words[labelContent], err = wire.Content(payload); err != nil {
		return buffer.Item{}, err
	}
	if payload.Preliminary() {
		words[labelPreliminary] = "yes"
	}
	if payload.Settled() {
		words[labelFinal] = "yes"
	}
	if due.Event != (form.EventKind{}) {
		words[labelEvent] = due.Event.String()
	}
	notices, upTo := b.told(location, losses)
	payload.Notices = append(payload.Notices, notices...)
	if upTo > 0 {
		words[tellsLosses] = strconv.FormatUint(upTo, 10)
	}
	encoded, err := wire.Encode(payload)
	if err != nil {
		return buffer.Item{}, err
	}
	signed, err := wire.Sign(encoded, b.Signer, b.KeyID)
	if err != nil {
		return buffer.Item{}, err
	}
	receiver, _ := location.Receiver(due.To)
	endpoint := endpointOf(b.Config, location, receiver)
	b.endpoints[endpoint] = true
	return buffer.Item{
		ID:        wire.ID(payload),
		Endpoint:  endpoint,
		Body:      signed,
		Label:     words,
		Needs:     buffer.Span{Meter: location.Meter, From: due.Period.From, To: due.Period.To},
		Created:   now,
		NotBefore: b.spread(now, due.At),
		Due:       due.At,
	}, nil
}

// Labels of an item by which a correction finds what was sent before.
const (
	labelRevision    = "revision"    // of the payload, "0" first
	labelSupersedes  = "supersedes"  // id of the payload that it replaces
	labelContent     = "content"     // what it says, as wire.Content
	labelPreliminary = "preliminary" // "yes" where a figure of it is
	labelFinal       = "final"       // "yes" where one stayed so for good
	labelEvent       = "event"       // what made it due, where that was an event
)

// spread is when this gateway sends what is built at now and due at due: in
// the first half of the time there is, at the same place of it every time, so
// that a town does not call at once and half the time is left for trying again.
func (b *builder) spread(now, due time.Time) time.Time {
	if !now.Before(due) {
		return now
	}
	return now.Add(time.Duration(b.jitter * float64(min(due.Sub(now), farthest)/2))).Truncate(time.Second)
}

// tellsLosses is the label of an item whose payload tells losses up to a number.
const tellsLosses = "losses"

// told are the losses that concern a location: those of its meter, and those
// of no meter in particular. What is lost to one customer's meter is no other's
// business, and that of one that measures nothing nobody's. upTo is the number up
// to which all of them are told then.
func (b *builder) told(location *form.MarketLocation, losses []buffer.Loss) (notices []form.Notice, upTo uint64) {
	whole := true
	for _, l := range losses {
		foreign := l.Subject != location.Meter && slices.ContainsFunc(b.Config.Meters, func(m config.Meter) bool { return m.Name == l.Subject })
		if whole = whole && !(foreign && b.measures(l.Subject)); whole {
			upTo = l.Seq
		}
		if foreign {
			continue
		}
		n := form.Notice{Kind: l.Kind, Count: int(min(l.Count, math.MaxInt32))}
		if !l.From.IsZero() {
			n.From, n.To = meter.QuarterOf(l.From), meter.QuarterOf(l.To)
		}
		notices = append(notices, n)
	}
	return folded(notices), upTo
}

// mostNotices is how many losses a payload tells one by one.
const mostNotices = 64

// folded makes one notice of those of a kind where there are too many, as when a
// full store gives up figure after figure: a head-end reads no payload without end.
func folded(notices []form.Notice) (kinds []form.Notice) {
	if len(notices) <= mostNotices {
		return notices
	}
	for _, n := range notices {
		i := slices.IndexFunc(kinds, func(k form.Notice) bool { return k.Kind == n.Kind })
		if i < 0 {
			kinds = append(kinds, n)
			continue
		}
		k := &kinds[i]
		k.Count = int(min(int64(k.Count)+int64(n.Count), math.MaxInt32))
		if k.From == 0 || n.From != 0 && n.From < k.From {
			k.From = n.From
		}
		k.To = max(k.To, n.To)
	}
	return kinds
}

// measures reports whether the meter of that name is that of a market location.
func (b *builder) measures(name string) bool {
	return slices.ContainsFunc(b.Config.Contract.MarketLocations, func(m form.MarketLocation) bool { return m.Meter == name })
}

// label says in words what an item is; the buffer keeps it for people.
func label(d form.Due) map[string]string {
	return map[string]string{
		"row": fmt.Sprint(d.Row), "malo": d.MaLo.String(), "to": d.To.String(), "purpose": d.Purpose,
		"from": dayOf(d.Period.From), "until": dayOf(d.Period.To),
	}
}

// dayOf is a boundary for people: a local midnight is its date, and any other
// has its clock time as well.
func dayOf(q meter.Quarter) string {
	if day := form.DateOf(q.Time()); day.Midnight() == q {
		return day.String()
	}
	return q.Time().In(form.Berlin).Format("2006-01-02 15:04")
}
