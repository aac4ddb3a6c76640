package agent

import (
	"fmt"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/meter"
)

// clockNeverSet reports whether now is an instant before this program existed:
// a board without a battery begins in 1970.
func clockNeverSet(now time.Time) bool { return now.Year() < 2020 }

const (
	// maxStep is what the wall clock may move contradicts the host's own count of
	// time before it is a jump. A time service slews what is less than a second;
	// a reading that is so far off is still within the warning of 9 s.
	maxStep = 5 * time.Second

	// maxRate is by how much two counts of time may run apart, in parts per
	// million: the kernel slews by 500, and a crystal is off by 100 at the most.
	maxRate = 500

	// patience is how long a synchronised clock that jumped must go on before it
	// is believed by that alone, and longPatience where head-ends contradict it.
	// farPatience is for one that says that it was wrong by more than a day, and
	// where only the meter's count is against it, which may have stood still
	// without power, by more than a month.
	patience     = 30 * time.Minute
	longPatience = 24 * time.Hour
	farPatience  = 3 * 24 * time.Hour

	// erasesAfter is how long nothing is erased by the date of a clock that jumped
	// and was believed by its persistence alone.
	erasesAfter = 7 * 24 * time.Hour
)

// apart is how far two counts of time may differ over a span: their rates, and
// a step that does not matter.
func apart(span, step time.Duration) time.Duration { return step + span.Abs()/1e6*maxRate }

// timeline is what the agent thinks of the wall clock.
type timeline struct {
	last         meter.Stamp   // the newest, as the clock gave it
	steady       bool          // the clock was believed once, and has gone on evenly since
	synchronised bool          // the clock is synchronised, and believed
	since        time.Duration // Elapsed when it became so
	until        time.Duration // Elapsed when it last was
	doubt        *doubt        // why a clock that calls itself synchronised is not believed; nil when it is

	gaveIn time.Duration // Elapsed when a clock that jumped was believed by its persistence; 0: never

	said   time.Duration // Elapsed when the journal was last told of a jump
	unsaid int           // jumps since
}

// doubt is why a synchronised clock is not believed. What is read meanwhile
// waits to be dated, and nothing is built.
type doubt struct {
	why    string        // for people
	jumped bool          // the clock did; else a meter counted another time
	good   time.Duration // Elapsed when the clock was last synchronised and believed
	since  time.Duration // Elapsed from when on it has been synchronised without a jump
	before time.Time     // the host's start as the clock that was believed dated it
}

// off is by how much a clock is ahead of the one that was believed.
func (d *doubt) off(s meter.Stamp) time.Duration { return start(s).Sub(d.before) }

// patience is how long the clock must go on before it is believed by that alone.
func (d *doubt) patience(off time.Duration, contradicted bool) time.Duration {
	far := 31 * 24 * time.Hour
	if d.jumped {
		far = 24 * time.Hour
	}
	switch {
	case off.Abs() > far:
		return farPatience
	case contradicted:
		return longPatience
	}
	return patience
}

// start is the instant of the host's start by the clock of a stamp.
func start(s meter.Stamp) time.Time { return s.Time.Add(-s.Elapsed) }

// judge is what a stamp of the clock is worth: its quality is taken from it
// while the clock is doubted. steady says that the instant goes on evenly from
// one that was believed, whether the clock is still synchronised or not.
func (a *Agent) judge(s meter.Stamp) (judged meter.Stamp, steady bool) {
	t := &a.timeline
	if counted := s.Elapsed > 0 && t.last.Elapsed > 0; counted {
		step := start(s).Sub(start(t.last))
		if s.Elapsed < t.last.Elapsed {
			// Taken before one that was judged already; nothing is learnt from it.
			s.Quality = min(s.Quality, t.quality(s))
			return s, t.steady && step.Abs() <= maxStep
		}
		if step.Abs() > maxStep {
			a.jumped(s, step)
		}
	}
	if t.doubt != nil && s.Quality == meter.ClockSynchronised {
		a.weigh(s)
	}
	if t.doubt != nil && s.Quality != meter.ClockSynchronised {
		t.doubt.since = s.Elapsed
	}
	t.last = s
	s.Quality = t.quality(s)
	synchronised := s.Quality == meter.ClockSynchronised
	if synchronised && !t.synchronised {
		t.since = s.Elapsed
	}
	if t.synchronised = synchronised; synchronised {
		t.until = s.Elapsed
	}
	t.steady = synchronised || t.steady && s.Elapsed > 0
	return s, t.steady
}

// quality is that of a stamp, as far as its clock is believed.
func (t *timeline) quality(s meter.Stamp) meter.ClockQuality {
	if s.Quality == meter.ClockSynchronised && (t.doubt != nil || clockNeverSet(s.Time)) {
		return meter.ClockUnsynchronised
	}
	return s.Quality
}

// proven reports whether a clock may be believed with what cannot be undone.
func (t *timeline) proven(s meter.Stamp) bool {
	return t.gaveIn == 0 || s.Elapsed-t.gaveIn > erasesAfter
}

// jumped takes note that the clock moved by step between the newest stamp and s.
func (a *Agent) jumped(s meter.Stamp, step time.Duration) {
	t := &a.timeline
	was := t.steady
	t.steady = false
	// How long ago things were has not changed: nobody is silent for that.
	a.started = a.started.Add(step)
	for _, m := range a.meters {
		if !m.last.At.Time.IsZero() {
			m.last.At.Time, m.dated = m.last.At.Time.Add(step), false
		}
	}
	switch {
	case t.doubt != nil:
		t.doubt.since = s.Elapsed
	case was && step.Abs() > apart(s.Elapsed-t.until, maxStep):
		// It was right not long ago, and may say that it is right now.
		t.doubt = &doubt{why: "it jumped farther than it can have been off", jumped: true, good: t.until, since: s.Elapsed, before: start(t.last)}
	default:
		a.forget()
	}
	a.witness.forget()
	if t.said > 0 && s.Elapsed-t.said < meter.QuarterLength {
		t.unsaid++
		return
	}
	details := []string{"by", step.Round(time.Millisecond).String(), "from", t.last.Time.UTC().Format(time.RFC3339), "to", s.Time.UTC().Format(time.RFC3339),
		"clock", s.Quality.String(), "noticed_by", "the host's count of time"}
	if t.unsaid > 0 {
		details = append(details, "jumps_before", strconv.Itoa(t.unsaid))
	}
	t.said, t.unsaid = s.Elapsed, 0
	a.Log.Warn("the clock jumped", "by", step.Round(time.Millisecond), "from", t.last.Time, "to", s.Time, "clock", s.Quality)
	a.journal(a.event(ClockJumped, details...))
}

// weigh asks whether a synchronised clock that is doubted may be believed again.
func (a *Agent) weigh(s meter.Stamp) {
	t := &a.timeline
	d := t.doubt
	off := d.off(s)
	agrees, contradicts := a.witness.testimony(s)
	wait := d.patience(off, contradicts && !agrees)
	how := ""
	switch {
	case off.Abs() <= apart(s.Elapsed-d.good, maxStep):
		t.doubt = nil // the same timeline: what the pickers hold is good
		a.believed(s, "it is back where it was")
		return
	case agrees:
		how = "a head-end's date agrees"
	case s.Elapsed-d.since >= wait:
		how = "it has stayed synchronised for " + wait.String()
		t.gaveIn = s.Elapsed
	default:
		return
	}
	t.doubt = nil
	a.forget()
	if d.jumped {
		for _, m := range a.meters {
			m.count = count{} // it went with a time that is given up
		}
	}
	a.believed(s, how)
}

// doubted begins to doubt the clock; before is the host's start as it was
// believed to be.
func (a *Agent) doubted(s meter.Stamp, before time.Time, why string, details ...string) {
	a.timeline.doubt = &doubt{why: why, good: s.Elapsed, since: s.Elapsed, before: before}
	a.timeline.steady = false
	a.Log.Warn("the clock says that it is synchronised, and is not believed yet", "why", why)
	a.journal(a.event(ClockDoubted, append(details, "why", why)...))
}

func (a *Agent) believed(s meter.Stamp, how string) {
	a.Log.Info("the clock is believed again", "why", how, "time", s.Time)
	a.journal(a.event(ClockBelieved, "why", how))
}

// clockDoubt says in words what is said against the clock, by how much it is off
// then, and what to do; "" when nothing is. Beside a clock that is not
// synchronised by the kernel's own word it says nothing but why one is doubted.
func (a *Agent) clockDoubt(now meter.Stamp) string {
	agrees, contradicts := a.witness.testimony(now)
	if d := a.timeline.doubt; d != nil {
		off, side := d.off(now), "ahead of"
		if off < 0 {
			side = "behind"
		}
		wait := d.patience(off, contradicts && !agrees) - (now.Elapsed - d.since)
		return fmt.Sprintf("%s: it is %s %s the one that was believed. Compare it with a watch: where it is right it is believed in %s by itself, where it is wrong see to its time server",
			d.why, off.Abs().Round(time.Second), side, max(wait, 0).Round(time.Second))
	}
	switch {
	case now.Quality != meter.ClockSynchronised:
		return ""
	case a.contradicted(now):
		return "the head-end's dates contradict it, and nothing bears it out: readings are marked. Compare it with a watch, and where it is wrong see to its time server"
	case contradicts && !agrees:
		return "a head-end's dates contradict it; the meter's count of seconds agrees with it, and it is believed"
	case contradicts:
		return "one head-end's dates contradict it, another's agree"
	}
	return ""
}

// forget makes all pickers begin anew: what is read from now on is dated by
// another clock than what was read before.
func (a *Agent) forget() {
	for _, m := range a.meters {
		m.picker.Forget()
	}
}

func (a *Agent) journal(events ...buffer.Event) {
	if err := a.Store.Append(events...); err != nil {
		a.Log.Error("writing the journal", "err", err)
	}
}

// believe reports whether the instant of a reading can be believed. What cannot
// waits to be dated.
//
// A synchronised clock is believed, unless it was before the agent started and
// the meter has counted another time since: then it is doubted. One that was
// synchronised and has gone on evenly is believed as long as the meter's count
// does not contradict it. One that was not synchronised since the agent started
// is not, even where the count bears it out: some clocks go on where they stood
// when the power went, and so do the counts of some meters.
func (a *Agent) believe(m *meterState, r *meter.Reading, steady bool) bool {
	if clockNeverSet(r.At.Time) {
		return false
	}
	since, counted, known := m.count.since(r)
	if r.At.Quality == meter.ClockSynchronised {
		first := !m.heard
		m.heard = true
		if !first || !known || !m.count.proven() || r.At.Elapsed == 0 {
			return true
		}
		if off := since - counted; off.Abs() > m.count.apart(counted, time.Minute) {
			r.At.Quality = meter.ClockUnsynchronised
			a.doubted(r.At, start(r.At).Add(-off), "meter "+m.name+" has counted "+counted.String()+" since a reading of "+since.Round(time.Second).String()+" ago",
				"meter", m.name, "by", off.Round(time.Second).String())
			return false
		}
		return true
	}
	return steady && !(known && m.count.proven() && (since-counted).Abs() > m.count.apart(counted, 2*maxStep))
}

// count is a meter's secIndex beside a clock that was believed.
type count struct {
	oldest, newest pair
	stops          bool // the device's count was seen to stand still while the clock went on, as one of operating hours does
}

// pair is an instant of a clock that was believed and synchronised, and what
// the meter had counted then.
type pair struct {
	device  meter.DeviceID
	at      time.Time
	seconds uint32
}

// add takes in a boundary reading that was kept. Where the meter's count did
// not go as the clock did (it stood still, began anew, runs at another rate, or
// the clock was wrong), what was learnt before is worth nothing any more.
func (c *count) add(b *meter.BoundaryReading) {
	if b.Clock != meter.ClockSynchronised || !b.SecIndex.Valid {
		return
	}
	p := pair{b.Device, b.Boundary.Time().Add(b.Offset), b.SecIndex.Seconds}
	if c.newest.device != p.device {
		c.stops = false
	} else if p.seconds >= c.newest.seconds {
		since, counted := p.since(c.newest)
		even := (since - counted).Abs() <= apart(counted, 2*maxStep)
		c.stops = c.stops || !even && since > counted
		// Another rate shows over a while only.
		if since, counted = p.since(c.oldest); even && (since-counted).Abs() <= apart(counted, 2*maxStep) {
			c.newest = p
			return
		}
	}
	c.oldest, c.newest = p, p
}

// since is how long ago an earlier pair was by the clock, and by the meter's count.
func (p *pair) since(earlier pair) (since, counted time.Duration) {
	return p.at.Sub(earlier.at), time.Duration(p.seconds-earlier.seconds) * time.Second
}

// apart is how far the clock and the meter's count may differ by when it has
// counted on: what any two counts of time may, and what the meter's rate may be off
// that was not seen over the span it is proven for.
func (c *count) apart(counted, step time.Duration) time.Duration {
	learnt := c.newest.at.Sub(c.oldest.at)
	return apart(counted, step) + time.Duration(float64(2*maxStep)*(counted.Seconds()/learnt.Seconds()))
}

// proven reports whether the meter's count has been seen to go as the clock did,
// and never otherwise.
func (c *count) proven() bool { return c.newest.at.After(c.oldest.at) && !c.stops }

// since is how long ago the newest pair was by the clock, and by the meter's
// count. Not known where there is none, or the count began anew.
func (c *count) since(r *meter.Reading) (since, counted time.Duration, known bool) {
	if c.newest.device != r.Device || !r.SecIndex.Valid || c.newest.at.IsZero() || r.SecIndex.Seconds < c.newest.seconds {
		return 0, 0, false
	}
	now := pair{r.Device, r.At.Time, r.SecIndex.Seconds}
	since, counted = now.since(c.newest)
	return since, counted, true
}

// drift is by how much the meter's count gains on the clock, in seconds a day;
// not known before a quarter of a day.
func (c *count) drift() (secondsPerDay float64, known bool) {
	since, counted := c.newest.since(c.oldest)
	if since < 6*time.Hour {
		return 0, false
	}
	return (counted - since).Seconds() / (since.Hours() / 24), true
}
