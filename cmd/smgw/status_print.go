package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"smgw/board"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// printStatus writes half a screen: first what is wrong and what to do, then
// the parts in the order in which a reading passes them. Nothing is wider than a
// terminal of 80 columns.
func printStatus(out io.Writer, s *control.Status) error {
	p := statusPage{now: s.Now.Time}
	if len(s.Causes) == 0 {
		p.WriteString("all well\n")
	}
	doubted := s.ClockDoubt != "" && s.Now.Quality != meter.ClockSynchronised
	for _, c := range s.Causes {
		if c == board.ClockNotSet && doubted {
			p.row("WRONG", "the clock is not believed: see below what is said against it")
			continue
		}
		p.row("WRONG", c.Meaning()+":", c.Remedy())
	}
	if f := s.Decommission; f != nil {
		p.row("ENDING", "it is being decommissioned and reads no more:", progress(f)+"; smgw decommission goes on with it")
	}
	p.row("gateway", s.Gateway+", running for", age(s.Now.Time.Sub(s.Started)))
	quality := s.Now.Quality.String()
	if doubted {
		quality = "not believed:"
	}
	p.row("clock", p.at(s.Now.Time), s.Now.Time.In(form.Berlin).Format("MST")+",", quality)
	p.row("", s.ClockDoubt)
	for i := range s.Meters {
		p.meter(&s.Meters[i])
	}
	p.store(&s.Store)
	for i := range s.Endpoints {
		p.endpoint(&s.Endpoints[i])
	}
	if d := s.NextDue; d != nil {
		p.row("next due", p.at(d.At)+fmt.Sprintf(", row %d of %s to %s", d.Row, d.MaLo, d.To))
	}
	var ends []string
	for _, c := range s.Certificates {
		ends = append(ends, c.Use+" until "+c.End.In(form.Berlin).Format(time.DateOnly))
	}
	p.row("certificates", strings.Join(ends, ", "))
	if s.RenewalError != "" {
		p.row("", "the new ones cannot be used:", s.RenewalError)
	}
	p.watchdog(s.Watchdog)
	_, err := io.WriteString(out, p.String())
	return err
}

// statusPage is the page while it is written.
type statusPage struct {
	strings.Builder
	now time.Time
}

const (
	pageWidth  = 80
	labelWidth = 14
)

// row writes words behind a label, and goes on below their first where there is
// no room. Nothing is no row.
func (p *statusPage) row(label string, parts ...string) {
	text := strings.TrimSpace(strings.Join(parts, " "))
	if text == "" {
		return
	}
	if len(label) >= labelWidth { // a meter's long name
		fmt.Fprintf(p, "%s\n%*s", label, labelWidth, "")
	} else {
		fmt.Fprintf(p, "%-*s", labelWidth, label)
	}
	used := labelWidth
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > pageWidth:
			fmt.Fprintf(p, "\n%*s", labelWidth, "")
			used = labelWidth
		default:
			p.WriteByte(' ')
			used++
		}
		// What has no room in a line of its own goes on in the next: a path, an address.
		for r := []rune(word); len(r) > 0; {
			if used == pageWidth {
				fmt.Fprintf(p, "\n%*s", labelWidth, "")
				used = labelWidth
			}
			fits := min(len(r), pageWidth-used)
			p.WriteString(string(r[:fits]))
			used += fits
			r = r[fits:]
		}
	}
	p.WriteByte('\n')
}

// at is an instant as short as a person needs it.
func (p *statusPage) at(t time.Time) string {
	t = t.In(form.Berlin)
	if form.DateOf(t) == form.DateOf(p.now) && !t.Equal(p.now) {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// ago says when something was, and how long that is.
func (p *statusPage) ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", p.at(*t), age(p.now.Sub(*t)))
}

// age is a duration in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// counted is a number of things.
func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (p *statusPage) meter(m *control.MeterStatus) {
	p.row("meter "+m.Name, describeDevice(m))
	p.row("  last read", p.ago(m.LastReading)+p.kept(m))
	p.row("  line", describeLine(m))
	var registers []string
	for _, code := range slices.Sorted(maps.Keys(m.Registers)) {
		registers = append(registers, fmt.Sprintf("%s %s Wh", code, m.Registers[code]))
	}
	if m.PowerW.Valid {
		registers = append(registers, m.PowerW.Decimal.String()+" W")
	}
	p.row("  shows", strings.Join(registers, " · "))
	if m.Undated > 0 {
		p.row("", fmt.Sprintf("readings wait in memory until the clock is right: %d", m.Undated))
	}
	if m.Drift != nil {
		p.row("", fmt.Sprintf("its count of seconds gains %.1f s a day on the clock", *m.Drift))
	}
	if m.HeadRestarts > 0 {
		p.row("", fmt.Sprintf("head restarted %s by the reset line, last %s", counted(m.HeadRestarts, "time", "times"), p.ago(m.HeadRestart)))
	}
}

func (p *statusPage) kept(m *control.MeterStatus) string {
	if m.LastBoundary == nil {
		return ", no quarter hour kept yet"
	}
	return ", quarter hours kept up to " + p.at(m.LastBoundary.Time())
}

// describeDevice says what a meter tells about itself.
func describeDevice(m *control.MeterStatus) string {
	if m.Device == "" {
		return "no device yet"
	}
	text := "device " + cmp.Or(m.Plate, m.Device.String())
	draws := false
	for code := range m.Registers {
		draws = draws || strings.HasPrefix(code, "1-0:1.8.")
	}
	for _, trait := range []struct {
		holds bool
		words string
	}{{m.FeedsIn && draws, "two directions"}, {m.FeedsIn && !draws, "feed-in only"}, {m.TwoTariffs, "two tariffs"}, {m.Coarse, "whole kWh only"}} {
		if trait.holds {
			text += ", " + trait.words
		}
	}
	if len(m.Says) > 0 {
		text += " (" + strings.Join(m.Says, ", ") + ")"
	}
	return text
}

// describeLine says what comes from a meter's port, and what share of it is
// refused, by cause, the most frequent first.
func describeLine(m *control.MeterStatus) string {
	l := &m.Line
	text := l.Source
	if l.At != "" {
		text += " at " + l.At
	}
	if !l.Open && l.Error != "" {
		_, path, _ := strings.Cut(l.Source, ":")
		text += ": " + strings.TrimPrefix(l.Error, path+": ") + ";"
	} else {
		text += ":"
	}
	if l.Telegrams == 0 {
		text += fmt.Sprintf(" %d bytes, no telegram yet", l.Bytes)
	} else {
		text += fmt.Sprintf(" %d telegrams", l.Telegrams)
	}
	reasons := slices.SortedFunc(maps.Keys(l.Refused), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.Refused[b], l.Refused[a]), cmp.Compare(a, b))
	})
	refused := int64(0)
	for i, reason := range reasons {
		refused += l.Refused[reason]
		reasons[i] = fmt.Sprintf("%s %d", reason, l.Refused[reason])
	}
	if refused == 0 {
		return text + ", none refused"
	}
	tenths := refused * 1000 / (refused + l.Telegrams)
	return text + fmt.Sprintf(", %d refused (%d.%d %%): %s", refused, tenths/10, tenths%10, strings.Join(reasons, ", "))
}

func (p *statusPage) store(s *control.StoreStatus) {
	p.row("store", fmt.Sprintf("%d readings, %d of %d kB (%d %%)", s.Boundaries, s.UsedBytes/1000, s.LimitBytes/1000, s.UsedBytes*100/max(s.LimitBytes, 1)))
	if s.Error != "" {
		p.row("", fmt.Sprintf("takes nothing: %s; waiting in memory: %s", s.Error, counted(s.Unsaved, "reading", "readings")))
	}
	if s.Damage != "" {
		p.row("", fmt.Sprintf("was damaged (%s); what could be read is carried over, the old file is %s", s.Damage, s.DamagedFile))
	}
	if s.Untold > 0 {
		p.row("", counted(s.Untold, "loss", "losses")+", told with the next payload; smgw journal says more")
	}
}

func (p *statusPage) endpoint(e *control.EndpointStatus) {
	p.row("endpoint", e.Endpoint)
	waits := fmt.Sprintf("%d waiting", e.Waiting)
	if e.Oldest != nil {
		waits += ", the oldest since " + p.ago(e.Oldest)
	}
	if e.SetAside > 0 {
		waits += fmt.Sprintf(", %d refused for good (smgw outbox)", e.SetAside)
	}
	p.row("  outbox", waits)
	p.row("  reached", p.ago(e.Reached)+", last delivery", p.ago(e.LastSuccess))
	if e.ClockOff != nil && *e.ClockOff != 0 {
		side := "ahead of"
		if *e.ClockOff < 0 {
			side = "behind"
		}
		p.row("", fmt.Sprintf("its dates are %s %s the clock here", age((time.Duration(*e.ClockOff)*time.Second).Abs()), side))
	}
	if e.Failures > 0 {
		p.row("  fails", fmt.Sprintf("%s since %s, next %s:", counted(e.Failures, "attempt", "attempts"), p.ago(e.FailingFrom), p.maybe(e.NextAttempt)), e.LastError)
	}
}

func (p *statusPage) maybe(t *time.Time) string {
	if t == nil {
		return "at once"
	}
	return p.at(*t)
}

// watchdog says who is fed, and which stage has not gone round for half of its time.
func (p *statusPage) watchdog(w *control.WatchdogStatus) {
	if w == nil {
		return
	}
	var slow []string
	for _, s := range w.Stages {
		if 2*s.Age > s.Limit {
			slow = append(slow, fmt.Sprintf("%s stands still for %s", s.Stage, age(time.Duration(s.Age)*time.Second)))
		}
	}
	text := cmp.Or(strings.Join(slow, ", "), "every stage goes round")
	if len(w.Feeds) > 0 {
		text += "; feeds " + strings.Join(w.Feeds, " and ")
	}
	p.row("watchdog", text)
}
