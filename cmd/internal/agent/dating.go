package agent

import (
	"slices"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/meter"
)

// date dates what a meter's readings waited for: now is a reading whose instant
// is believed. How long before now each was read is told by the meter's own
// count of seconds where that agrees with the host's count, and by the host's
// where it does not. Where the host did not count, the meter's is good when it
// also agrees with the clock from the last pair before to now.
//
// The boundary readings that come of it are kept like others; those that were
// read while the clock was wrong say so.
func (a *Agent) date(m *meterState, now *meter.Reading) {
	u := &m.undated
	d := dating{now: now, count: m.count}
	var first, last, lostFrom, lostTo time.Time
	n, kept, lost := 0, 0, 0
	if u.goneEnd.Registers != nil {
		if from, ok := d.instant(&u.gone); ok {
			lostFrom = from
			lostTo, _ = d.instant(&u.goneEnd)
		}
		lost = quarters(passed(&u.gone, &u.goneEnd))
	}
	var undatable []meter.Reading // the first and the last
	u.all(func(r *meter.Reading) {
		at, ok := d.instant(r)
		if !ok {
			if len(undatable) < 2 {
				undatable = append(undatable, *r, *r)
			}
			undatable[1] = *r
			return
		}
		if r.At.Quality == meter.ClockSynchronised && at.Sub(r.At.Time).Abs() <= maxStep {
			at = r.At.Time // it was right then, and doubted
		} else {
			r.At.Time, r.At.Quality = at, meter.ClockUnsynchronised
		}
		if n++; n == 1 {
			first = at
			if !at.After(m.picked) {
				m.picker = meter.NewPicker(a.Config.Readings.OffsetLimit, 0) // the store knows what is decided
			}
		}
		last = at
		for _, b := range a.unkept(m, m.picker.Observe(*r)) {
			kept++
			a.unsaved.add([]meter.BoundaryReading{b})
			a.unsaved.flush(a)
		}
	})
	if len(undatable) == 2 {
		lost += quarters(passed(&undatable[0], &undatable[1]))
	}
	*u = undated{}
	if n > 0 {
		a.Log.Info("readings taken before the clock was right are dated", "meter", m.name, "readings", n, "from", first, "to", last, "boundaries", kept)
	}
	if kept > 0 {
		a.journal(a.event(ReadingsDated, "meter", m.name, "from", first.UTC().Format(time.RFC3339), "to", last.UTC().Format(time.RFC3339),
			"boundaries", strconv.Itoa(kept), "by", d.by()))
	}
	a.loseUndated(m, lost, lostFrom, lostTo)
}

// waiting reports whether a meter's next telegram may still date what was read
// before the clock was right. A silent one holds nothing up.
func (a *Agent) waiting(now meter.Stamp) bool {
	for _, m := range a.meters {
		if !m.undated.empty() && now.Elapsed-a.timeline.since < time.Minute {
			return true
		}
	}
	return false
}

// counted lets a kept boundary reading bear witness to the clock.
func (a *Agent) counted(b *meter.BoundaryReading) {
	for _, m := range a.meters {
		if m.name == b.Meter {
			m.count.add(b)
		}
	}
}

// quarters is how many quarter-hour boundaries lie in a span, at least.
func quarters(span time.Duration) int { return int(span.Abs() / meter.QuarterLength) }

// unkept are those of some boundary readings at whose boundaries the store has
// none: one that was taken is not taken again.
func (a *Agent) unkept(m *meterState, found []meter.BoundaryReading) []meter.BoundaryReading {
	return slices.DeleteFunc(found, func(b meter.BoundaryReading) bool {
		there, err := a.Store.Boundaries(m.name, b.Boundary, b.Boundary)
		if err != nil {
			a.Log.Error("looking for a boundary's reading", "meter", m.name, "err", err)
		}
		return len(there) > 0
	})
}

// loseUndated tells of quarter hours whose readings were never dated.
func (a *Agent) loseUndated(m *meterState, count int, from, to time.Time) {
	if count == 0 {
		return
	}
	a.Log.Error("readings without a date are lost", "meter", m.name, "quarter_hours", count)
	lost := buffer.Loss{At: a.Clock.Now().Time, Kind: ReadingsUndated, Subject: m.name, From: from, To: to, Count: int64(count)}
	if err := a.Store.AddLoss([]buffer.Loss{lost}, a.event(ReadingsUndated, "meter", m.name, "quarter_hours", strconv.Itoa(count))); err != nil {
		a.Log.Error("noting what was lost", "err", err)
	}
}

// truncation is what a count of whole seconds may be off at its two ends.
const truncation = 2 * time.Second

// dating dates readings by how long before another they were read.
type dating struct {
	now             *meter.Reading
	count           count
	byMeter, byHost int
}

// instant is when a reading was read.
func (d *dating) instant(r *meter.Reading) (at time.Time, ok bool) {
	meters, counted := d.counted(r)
	if r.At.Elapsed > 0 && d.now.At.Elapsed > 0 {
		hosts := d.now.At.Elapsed - r.At.Elapsed
		if counted && (hosts-meters).Abs() <= apart(hosts, truncation) {
			d.byMeter++
			return d.now.At.Time.Add(-meters), true
		}
		d.byHost++
		return d.now.At.Time.Add(-hosts), true
	}
	since, between, known := d.count.since(d.now)
	if !counted || !known || meters > between || (since-between).Abs() > apart(between, 2*maxStep) {
		return time.Time{}, false
	}
	d.byMeter++
	return d.now.At.Time.Add(-meters), true
}

// counted is what the meter counted from a reading to now.
func (d *dating) counted(r *meter.Reading) (time.Duration, bool) {
	if r.Device != d.now.Device || !r.SecIndex.Valid || !d.now.SecIndex.Valid || r.SecIndex.Seconds > d.now.SecIndex.Seconds {
		return 0, false
	}
	return time.Duration(d.now.SecIndex.Seconds-r.SecIndex.Seconds) * time.Second, true
}

func (d *dating) by() string {
	switch {
	case d.byHost == 0:
		return "the meter's count of seconds"
	case d.byMeter == 0:
		return "the host's count of time"
	}
	return "the meter's count of seconds and the host's count of time"
}
