package meter

import (
	"time"
)

// Picker finds, in one meter's readings, the one nearest each quarter-hour
// boundary. It holds only the newest reading: a boundary is decided when the
// first reading after it has come, or when no nearer one can come any more.
//
// A device's readings never decide another device's boundary: where the meter
// is exchanged, each series ends and begins on its own side.
type Picker struct {
	limit   time.Duration
	last    Reading
	started bool
	decided Quarter // boundaries up to here are decided
}

// NewPicker returns a Picker that takes no reading farther than limit from its
// boundary. Boundaries up to decided are already in the store and are left alone.
func NewPicker(limit time.Duration, decided Quarter) *Picker {
	return &Picker{limit: limit, decided: decided}
}

// Observe takes the next reading and returns the boundary readings that it
// decides, oldest first: one, seldom two, mostly none.
func (p *Picker) Observe(r Reading) []BoundaryReading {
	var out []BoundaryReading
	at := QuarterOf(r.At.Time)
	if at.Next() < p.decided {
		// What was decided lies in the future: the clock was ahead, and is no more.
		p.decided = at - 1
	}
	switch {
	case !p.started || r.At.Time.Before(p.last.At.Time):
		// Nothing before it, or the clock went back: only its own boundary is near.
		out = p.decide(out, at, nil, &r)
	default:
		// Between two readings only the first and the last boundary can be near one.
		first := QuarterOf(p.last.At.Time).Next()
		if first < at {
			out = p.decide(out, first, &p.last, nil)
		}
		if first <= at {
			out = p.decide(out, at, &p.last, &r)
		}
	}
	p.last, p.started = r, true
	return out
}

// Expire decides the boundary that the newest reading stands before and that
// no later reading within the limit has come for by now.
func (p *Picker) Expire(now time.Time) []BoundaryReading {
	if !p.started {
		return nil
	}
	next := QuarterOf(p.last.At.Time).Next()
	if !now.After(next.Time().Add(p.limit)) {
		return nil
	}
	return p.decide(nil, next, &p.last, nil)
}

// Forget forgets the newest reading, where the clock that dated it is not the
// one that dates the next: no boundary is decided by readings of both.
func (p *Picker) Forget() { p.last, p.started = Reading{}, false }

// decide appends the boundary readings for q out of a reading before it and
// one at or after it; either may be nil. Of one device the nearer is taken
// (halfway: the earlier), of two devices both.
func (p *Picker) decide(out []BoundaryReading, q Quarter, before, after *Reading) []BoundaryReading {
	if q <= p.decided {
		return out
	}
	near := func(r *Reading) *Reading {
		if r != nil && r.At.Time.Sub(q.Time()).Abs() > p.limit {
			return nil
		}
		return r
	}
	before, after = near(before), near(after)
	if before != nil && after != nil && before.Device == after.Device {
		if after.At.Time.Sub(q.Time()) < q.Time().Sub(before.At.Time) {
			before = nil
		} else {
			after = nil
		}
	}
	for _, r := range []*Reading{before, after} {
		if r != nil {
			out = append(out, r.boundary(q))
		}
	}
	p.decided = q
	return out
}

// boundary is the reading as the one of boundary q.
func (r *Reading) boundary(q Quarter) BoundaryReading {
	return BoundaryReading{
		Meter:     r.Meter,
		Boundary:  q,
		Device:    r.Device,
		Offset:    r.At.Time.Sub(q.Time()).Round(time.Millisecond),
		Clock:     r.At.Quality,
		SecIndex:  r.SecIndex,
		Status:    r.Status,
		Coarse:    r.Coarse,
		Registers: r.Registers,
	}
}
