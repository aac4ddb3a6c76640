package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
)

// A payload that left is never changed. What is known better later is a new one
// that names the one it supersedes.

// sent is the last revision of a payload that was built, and what it is about.
type sent struct {
	form.Sent
	due     form.Due // of the first revision
	partner string
	item    buffer.Item
}

// touches reports whether readings that came late can have a say in it. Those
// before a period have: what is plausible depends on them.
func (s *sent) touches(l *span) bool {
	return s.item.Needs.Meter == l.Meter && l.From <= s.due.Period.To && s.due.Period.From-lookBack <= l.To
}

// allSent are the payloads whose ids are remembered, each in its last revision,
// in the order in which they were due. Momentary figures are none of them, nor is
// what a payload of another span took the place of.
func (a *Agent) allSent() ([]sent, error) {
	last, superseded := map[string]*sent{}, map[string]bool{}
	err := a.Store.Items(func(it buffer.Item) bool {
		s, ok := sentOf(it)
		if !ok {
			return true
		}
		superseded[it.Label[labelSupersedes]] = true
		key := strings.Join([]string{it.Label["row"], it.Label["malo"], it.Label["to"], s.partner, s.due.Period.From.String(), s.due.Period.To.String()}, " ")
		have := last[key]
		switch {
		case have == nil:
			last[key] = &s
		case s.Revision > have.Revision:
			s.due.At = have.due.At
			*have = s
		case s.Revision == 0:
			have.due.At = s.due.At
		}
		return true
	})
	all := make([]sent, 0, len(last))
	for _, s := range last {
		if !superseded[s.item.ID] {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b sent) int { return cmp.Or(a.due.At.Compare(b.due.At), cmp.Compare(a.item.ID, b.item.ID)) })
	return all, err
}

// sentOf reads what an item is from its label. It is not ok for one that is no
// payload of a regular or event row, or that an earlier program built, which
// did not say what is in it.
func sentOf(it buffer.Item) (s sent, ok bool) {
	number, _ := strconv.Atoi(it.Label["row"])
	row, known := form.RowNumber(number).Row()
	content := it.Label[labelContent]
	if !known || !row.Rhythm.Regular() && row.Rhythm != form.OnEvent || content == "" {
		return s, false
	}
	s.due = form.Due{Row: row.Number, Period: form.Period{From: it.Needs.From, To: it.Needs.To}, At: it.Due, Purpose: row.Purpose}
	var err error
	if s.due.MaLo, err = form.ParseMarketLocationID(it.Label["malo"]); err != nil {
		return s, false
	}
	if s.due.To, err = form.ParseRole(it.Label["to"]); err != nil {
		return s, false
	}
	if text := it.Label[labelEvent]; text != "" {
		if s.due.Event, err = form.ParseEventKind(text); err != nil {
			return s, false
		}
	}
	s.Revision, _ = strconv.Atoi(it.Label[labelRevision]) // none: 0
	s.Content, s.Preliminary, s.Final = content, it.Label[labelPreliminary] == "yes", it.Label[labelFinal] == "yes"
	s.partner, s.item = it.Label["partner"], it
	return s, true
}

// supersede sends, of those that would say something else today, a new revision.
func (a *Agent) supersede(some []sent, now time.Time) error {
	var items []buffer.Item
	for i := range some {
		s := &some[i]
		if s.item.State == buffer.GivenUp {
			continue
		}
		item, corrected, err := a.correct(s, now)
		if err != nil {
			return fmt.Errorf("correcting row %d of %s for %s from %s to %s: %w", s.due.Row, s.due.MaLo, s.due.To, s.due.Period.From, s.due.Period.To, err)
		}
		if corrected {
			items = append(items, item)
		}
	}
	if len(items) == 0 {
		return nil
	}
	return a.put(items, nil)
}

// correct makes a payload anew, and is true where it supersedes what was sent. One
// whose readings are erased already (a full disk takes what nobody waits for) stays
// as it is: it would replace what was read by nothing.
func (a *Agent) correct(s *sent, now time.Time) (item buffer.Item, corrected bool, err error) {
	first, found, err := a.Store.FirstBoundary(s.item.Needs.Meter)
	if err != nil || !found || first.Boundary > s.due.Period.From {
		return item, false, err
	}
	p, err := a.anew(s.due, now)
	if err != nil {
		return item, false, err
	}
	content, err := wire.Content(&p)
	if err != nil || !s.Corrected(&p, content) {
		return item, false, err
	}
	p.Revision, p.Supersedes = s.Revision+1, s.item.ID
	due := s.due
	if due.At = due.FinalOn().AddDays(1).At(0, 0); !due.At.After(now) {
		due.At = now.Add(24 * time.Hour).Truncate(time.Second) // nothing says when; soon
	}
	item, err = a.builder.item(due, &p, nil, now)
	return item, true, err
}

// anew is what the payload of a due date says by what is known now.
func (a *Agent) anew(due form.Due, now time.Time) (p form.Payload, err error) {
	readings, err := a.builder.readings(due)
	if err != nil {
		return p, err
	}
	build := a.builder.history.Build
	if a.leaving.farewell != nil || !form.DateOf(now).Before(due.FinalOn()) {
		build = a.builder.history.BuildFinal
	}
	p, err = build(due, readings)
	p.Gateway = a.Config.Gateway.ID
	return p, err
}

// cutShort makes the payloads anew of events that are built already and lie after
// one that is told late: their span begins with it now, and the longer one that
// was sent is superseded.
func (a *Agent) cutShort(late *occasion, now time.Time) (items []buffer.Item, err error) {
	o := &a.occasions
	var all []sent
	seen := map[meter.Quarter]bool{}
	for i, n := range o.notes {
		if n.Event == nil || n.Event.Withdrawn || !o.done[i] || n.Event.At <= late.At || seen[n.Event.At] {
			continue
		}
		if len(seen) == 0 {
			if all, err = a.allSent(); err != nil {
				return nil, err
			}
		}
		seen[n.Event.At] = true
		for _, due := range a.builder.history.Occasioned(o.happened(), n.Event.At-1, n.Event.At) {
			m, err := a.builder.location(due)
			if err != nil {
				return nil, err
			}
			to, _ := m.Receiver(due.To)
			at := slices.IndexFunc(all, func(s sent) bool { return s.cutBy(due) && s.partner == to.PartnerID.String() })
			if at < 0 || all[at].item.State == buffer.GivenUp {
				continue
			}
			p, err := a.anew(due, now)
			if err != nil {
				return nil, err
			}
			p.Revision, p.Supersedes = all[at].Revision+1, all[at].item.ID
			item, err := a.builder.item(due, &p, nil, now)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
	}
	return items, nil
}

// cutBy reports whether a due date is the end of what was sent, and begins later.
func (s *sent) cutBy(d form.Due) bool {
	return s.due.Row == d.Row && s.due.MaLo == d.MaLo && s.due.To == d.To && s.due.Period.To == d.Period.To && s.due.Period.From < d.Period.From
}

// compareAgain finds the payloads that readings which came late may change, and
// those in which something is still preliminary on the 8th calendar day.
func (a *Agent) compareAgain(today form.Date, upTo meter.Quarter) error {
	o := &a.occasions
	o.again, o.late, o.until = nil, nil, 0
	var spans []*span
	for i, n := range o.notes {
		if n.Late == nil || o.done[i] {
			continue
		}
		if n.Late.To > upTo && a.leaving.farewell == nil {
			// Where a clock that was ahead had built it, the day is not over.
			if o.until == 0 || n.Late.To < o.until {
				o.until = n.Late.To
			}
			continue
		}
		done, err := n.stored(true)
		if err != nil {
			return err
		}
		spans, o.late = append(spans, n.Late), append(o.late, done)
	}
	all, err := a.allSent()
	if err != nil {
		return err
	}
	for _, s := range all {
		if slices.ContainsFunc(spans, s.touches) || s.Preliminary && !today.Before(s.due.FinalOn()) {
			o.again = append(o.again, s)
		}
	}
	if len(o.again) == 0 && len(o.late) > 0 {
		o.read = false
		return a.Store.PutItems(nil, o.late)
	}
	return nil
}
