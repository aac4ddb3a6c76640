package form

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/obis"
)

// series is one register over time: for each boundary the usable reading taken
// nearest it, judged for plausibility.
type series struct {
	points       []point // ascending, one for each boundary that has one, two where a device follows another
	commissioned meter.Quarter
	keepers      map[meter.DeviceID]bool // devices that keep this register at all
}

// point is a register at a boundary, and what may be said of it.
type point struct {
	at     meter.Quarter
	device meter.DeviceID
	value  decimal.Decimal // Wh as the meter showed it
	offset time.Duration
	clock  bool // taken with a clock that was synchronised
	coarse bool // whole kWh only
	fault  Reason
}

// newSeries picks a register out of readings that come in any order, up to and
// including the boundary upTo. Later readings have no say in earlier ones.
func newSeries(b *builder, code obis.Code) *series {
	c, readings, upTo := b.c, b.readings, b.period.To
	s := &series{keepers: map[meter.DeviceID]bool{}}
	if !c.Commissioned.IsZero() {
		s.commissioned = meter.QuarterOf(c.Commissioned.Add(meter.QuarterLength - 1)) // the first boundary not before it
	}
	limit := cmp.Or(c.OffsetLimit, MaxOffset)
	s.points = make([]point, 0, len(readings))
	for i := range readings {
		r := &readings[i]
		value, ok := r.Register(code)
		if !ok {
			continue
		}
		s.keepers[r.Device] = true
		if r.Boundary > upTo || r.Boundary < s.commissioned || r.Offset.Abs() > limit {
			continue
		}
		s.points = append(s.points, point{
			at: r.Boundary, device: r.Device, value: value, offset: r.Offset,
			clock: r.Clock == meter.ClockSynchronised, coarse: r.Coarse,
		})
	}
	// Nearest first, and then a total order: the order of arrival decides nothing.
	slices.SortFunc(s.points, func(a, b point) int {
		return cmp.Or(
			cmp.Compare(a.at, b.at),
			cmp.Compare(a.offset.Abs(), b.offset.Abs()),
			cmp.Compare(a.offset, b.offset),
			cmp.Compare(a.device, b.device),
			a.value.Cmp(b.value),
			compareBool(b.clock, a.clock),
			compareBool(a.coarse, b.coarse),
		)
	})
	s.pick()
	s.choose(b.event, upTo)
	s.judge(b)
	return s
}

// pick keeps the nearest reading of a device at each boundary. Where a device
// follows another both may have one there: the one that goes comes first, as the
// end of the quarter hour before, and the one that comes after it, as the beginning
// of the next. One that does not stay is left out.
func (s *series) pick() {
	all, kept := s.points, s.points[:0]
	for i := 0; i < len(all); {
		here, j := len(kept), i
		for ; j < len(all) && all[j].at == all[i].at; j++ {
			if n := len(kept) - here; n == 0 || n == 1 && kept[here].device != all[j].device {
				kept = append(kept, all[j])
			}
		}
		if len(kept)-here == 2 {
			a, b := &kept[here], &kept[here+1]
			known := here > 0 && (kept[here-1].device == a.device || kept[here-1].device == b.device)
			if known && kept[here-1].device == b.device || !known && b.offset < a.offset {
				*a, *b = *b, *a
			}
			if j < len(all) && all[j].device == a.device {
				kept = kept[:here+1]
			}
		}
		i = j
	}
	s.points = kept
}

// choose decides whose reading the boundary of a device's event has. What was
// removed is the device that was read before, and nothing else is its last
// reading; what was built in is the one that follows.
func (s *series) choose(e EventKind, at meter.Quarter) {
	switch here, ok := s.search(at); {
	case !ok:
	case e == DeviceRemoved && here > 0 && s.points[here].device != s.points[here-1].device:
		s.points = s.points[:here]
	case e == DeviceBuiltIn:
		s.points = slices.Delete(s.points, here, len(s.points)-1) // it is the last boundary
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// judge marks the implausible points (FORM.md, Values): lower than an earlier
// plausible one of the same device, or further from it than max_power_kw allows.
// Plausible points of a device never fall, so the last of them is the highest,
// and "until the register again reaches that value" needs no memory of its own.
func (s *series) judge(b *builder) {
	good := map[meter.DeviceID]*point{}
	for i := range s.points {
		p := &s.points[i]
		if last := good[p.device]; last != nil && (p.value.LessThan(last.value) || b.h.tooFast(last, p)) {
			p.fault = Implausible
			continue
		}
		good[p.device] = p
	}
}

// tooFast reports whether the energy from a to b needs more than max_power_kw
// of the contracts that held in between.
func (h *History) tooFast(a, b *point) bool {
	// Wh × 4 per quarter hour is W: no division but by factors, which are brought to
	// the other side, so exact.
	rise := b.value.Sub(a.value).Shift(-3).Mul(decimal.NewFromInt(4))
	limit, factors := decimal.Zero, decimal.NewFromInt(1)
	for from := a.at; from < b.at; {
		c, to := h.near(from), b.at
		for i := len(h.Versions) - 1; i > 0 && h.Versions[i].From > from; i-- {
			to = min(to, h.Versions[i].From)
		}
		if !c.MaxPowerKW.Valid {
			return false
		}
		factor := decimal.NewFromInt(c.TransformerFactor)
		part := c.MaxPowerKW.Decimal.Mul(decimal.NewFromInt(int64(to - from)))
		limit = limit.Mul(factor).Add(part.Mul(factors))
		factors = factors.Mul(factor)
		from = to
	}
	return rise.Mul(factors).GreaterThan(limit)
}

// transformed turns Wh at the meter into kWh after the transformer factor.
func (c *Contract) transformed(wh decimal.Decimal) decimal.Decimal {
	return wh.Mul(decimal.New(c.TransformerFactor, -3))
}

// factor is a transformer factor, up to the boundary where it changes.
type factor struct {
	value int64
	kWh   decimal.Decimal // of a Wh at the meter
	until meter.Quarter
}

// factors lists the transformer factors of a history, ascending. The first holds
// from the beginning of time, the last for ever.
func (h *History) factors() []factor {
	var all []factor
	for i, v := range h.Versions {
		if i+1 < len(h.Versions) && h.Versions[i+1].From == v.From {
			continue // it never held
		}
		value := v.Contract.TransformerFactor
		if n := len(all); n > 0 {
			if all[n-1].value == value {
				continue
			}
			all[n-1].until = v.From
		}
		all = append(all, factor{value, decimal.New(value, -3), math.MaxInt64})
	}
	return all
}

// factor is that of the quarter hour that begins at q.
func (b *builder) factor(q meter.Quarter) *factor {
	i := 0
	for b.factors[i].until <= q {
		i++
	}
	return &b.factors[i]
}

// kWh turns Wh at the meter into kWh after the transformer factor of the quarter
// hour that begins at q.
func (b *builder) kWh(wh decimal.Decimal, q meter.Quarter) decimal.Decimal {
	return wh.Mul(b.factor(q).kWh)
}

// rise is how much the register rose from a point to a boundary, device by device,
// in Wh. Where a device follows another, the readings at the seam are added to
// what it was made from.
func (s *series) rise(last point, to meter.Quarter, made []point) (decimal.Decimal, []point) {
	sum := decimal.Zero
	i, _ := s.search(last.at + 1)
	for ; last.at < to && i < len(s.points) && s.points[i].at <= to; i++ {
		p := s.points[i]
		if p.fault != NoReason {
			continue
		}
		if p.device != last.device {
			made = append(made, last, p)
		} else if !last.value.Equal(p.value) {
			sum = sum.Add(p.value.Sub(last.value))
		}
		last = p
	}
	return sum, made
}

// at returns the point at a boundary as the end of what lies before: one whose
// fault says why, where there is none.
func (s *series) at(q meter.Quarter) point {
	if i, ok := s.search(q); ok {
		return s.points[i]
	}
	return s.absent(q)
}

// from returns the point at a boundary as the beginning of what lies after.
func (s *series) from(q meter.Quarter) point {
	if i, _ := s.search(q + 1); i > 0 && s.points[i-1].at == q {
		return s.points[i-1]
	}
	return s.absent(q)
}

func (s *series) absent(q meter.Quarter) point {
	if q < s.commissioned {
		return point{at: q, fault: DeviceChange}
	}
	return point{at: q, fault: Communication}
}

func (s *series) search(q meter.Quarter) (int, bool) {
	return slices.BinarySearchFunc(s.points, q, func(p point, q meter.Quarter) int { return cmp.Compare(p.at, q) })
}

// each calls fn with the two ends of every quarter hour of a period, in order.
func (s *series) each(p Period, fn func(a, b point)) {
	i, _ := s.search(p.From.Next())
	a := s.from(p.From)
	for q := p.From.Next(); q <= p.To; q = q.Next() {
		if i == len(s.points) || s.points[i].at != q {
			b := s.absent(q)
			fn(a, b)
			a = b
			continue
		}
		fn(a, s.points[i])
		if i++; i < len(s.points) && s.points[i].at == q {
			i++
		}
		a = s.points[i-1]
	}
}

// verdict is the state of what is made from some points: the reason that comes
// first in FORM.md's precedence, absent before implausible before clock. The
// front port's resolution matters only to short spans and is left to them.
func verdict(made ...point) Quantity {
	q := Quantity{State: True}
	for _, why := range [...]Reason{DeviceChange, Communication, Implausible} {
		for _, p := range made {
			if p.fault == why {
				return Quantity{State: Missing, Reason: why}
			}
		}
	}
	for _, p := range made {
		if !p.clock {
			q.State, q.Reason = Unusable, ClockSet
		}
		if p.offset.Abs() > WarnOffset {
			q.Warning = OffsetWarning
		}
	}
	return q
}
