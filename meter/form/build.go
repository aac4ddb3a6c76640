package form

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"smgw/meter"
)

// Build makes the payload of a Due from the boundary readings of the market
// location's meter. It is a function of its arguments alone, and the order of
// the readings does not matter. Readings before the period are used too: what
// is plausible depends on them. The gateway's id is left to the caller. Errors
// are *DeniedError: the contract does not entitle the payload.
func Build(c *Contract, d Due, readings []meter.BoundaryReading) (Payload, error) {
	m, row, err := c.entitled(d.MaLo, d.Row)
	if err != nil {
		return Payload{}, err
	}
	to, err := c.receiver(m, row, d.To)
	if err != nil {
		return Payload{}, err
	}
	if err := c.calendarPeriod(m, row, d.Period); err != nil {
		return Payload{}, err
	}
	values, notices := c.values(m, row, d.Period, readings)
	return Payload{
		Edition: c.Edition, MeLo: c.MeLo, MaLo: m.MaLo, Row: row.Number, To: to.Role, PartnerID: to.PartnerID,
		Period: d.Period, Values: values, Notices: notices,
	}, nil
}

// Preview makes the values of a regular row for any period, of the calendar or
// not: what Build would put into the payload, for people who check one. Unlike
// Build it refuses a period that none of the readings is in: who asks for it
// has the wrong file or the wrong month.
func Preview(c *Contract, id MarketLocationID, n RowNumber, p Period, readings []meter.BoundaryReading) ([]Value, error) {
	m, row, err := c.entitled(id, n)
	if err != nil {
		return nil, err
	}
	if !row.Rhythm.Regular() {
		return nil, irregular(m, row)
	}
	if p.To <= p.From {
		return nil, fmt.Errorf("period from %s to %s is empty", Local(p.From), Local(p.To))
	}
	code := Total.Code(m.Direction)
	if !slices.ContainsFunc(readings, func(r meter.BoundaryReading) bool {
		_, ok := r.Register(code)
		return ok && p.From <= r.Boundary && r.Boundary <= p.To
	}) {
		return nil, fmt.Errorf("no reading of %s from %s to %s: want readings of the period, and of the register of what is %s",
			code.Short(), Local(p.From), Local(p.To), m.Direction)
	}
	values, _ := c.values(m, row, p, readings)
	return values, nil
}

// values makes the items of a row.
func (c *Contract) values(m *MarketLocation, row Row, p Period, readings []meter.BoundaryReading) (values []Value, notices []Notice) {
	b := builder{c: c, m: m, period: p, readings: readings, series: map[Measure]*series{}}
	for _, item := range row.Of(m) {
		v := Value{Code: item.Of.Code(m.Direction), Kind: item.Kind}
		switch item.Kind {
		case Energy:
			if item.Of == Total {
				v.Quantity = b.energy(item.Of)
			} else {
				v.Quantity = b.tariffed(item.Of)
			}
		case MaxPower:
			v.At, v.Quantity, v.MissingIntervals = b.maxPower(item.Of)
		case Register:
			v.At, v.Quantity = p.To, b.register(item.Of)
		case LoadProfile:
			v.At, v.Intervals = p.From, b.loadProfile(item.Of)
		}
		values = append(values, v)
	}
	return values, b.notices
}

// builder makes the quantities of one market location over one period.
type builder struct {
	c        *Contract
	m        *MarketLocation
	period   Period
	readings []meter.BoundaryReading
	series   map[Measure]*series
	notices  []Notice
}

func (b *builder) of(m Measure) *series {
	s, ok := b.series[m]
	if !ok {
		s = newSeries(b.c, m.Code(b.m.Direction), b.readings, b.period.To)
		b.series[m] = s
	}
	return s
}

// loadProfile is the energy of each quarter hour (¼-h-Lastgang).
func (b *builder) loadProfile(m Measure) []Quantity {
	intervals := make([]Quantity, 0, b.period.To-b.period.From)
	b.of(m).each(b.period, func(from, to point) {
		intervals = append(intervals, b.interval(from, to))
	})
	b.interpolate(m, intervals)
	return intervals
}

// interval is the energy of one quarter hour.
func (b *builder) interval(from, to point) Quantity {
	q := verdict(from, to)
	absent := q.Reason == Communication || q.Reason == DeviceChange
	switch {
	case from.fault == DeviceChange, !absent && from.device != to.device:
		// Commissioned or exchanged within the quarter hour: no device saw all of it.
		return Quantity{State: Missing, Reason: DeviceChange}
	case q.State == Missing:
		return q
	case q.State == True && (from.coarse || to.coarse):
		q.State, q.Reason = Unusable, Resolution
	}
	q.Amount = decimal.NewNullDecimal(b.c.energy(&from, &to))
	return q
}

// energy is the energy over the whole period: the difference of the readings at
// its two ends, device by device where it was exchanged in between. Gaps inside
// do not matter.
func (b *builder) energy(m Measure) Quantity {
	s := b.of(m)
	first, _ := s.search(max(b.period.From, s.commissioned))
	points := s.points[first:]
	start := s.at(b.period.From)
	if b.period.From < s.commissioned && s.commissioned < b.period.To {
		// Commissioned within the period: its energy begins with the first good reading.
		for i, p := range points {
			if p.fault == NoReason {
				start, points = p, points[i:]
				break
			}
		}
	}
	made := []point{start, s.at(b.period.To)}
	sum := decimal.Zero
	last := start // the last good point so far
	for _, p := range points {
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
	q := verdict(made...)
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(b.c.transformed(sum))
	}
	return q
}

// maxPower is the largest quarter-hour mean power in kW, the start of its quarter
// hour (of the earliest, where several are equal; 0 where there is none) and how
// many quarter hours of the period are missing. It is made from all of them: one
// missing makes it preliminary, an unusable one makes it unusable.
func (b *builder) maxPower(m Measure) (at meter.Quarter, q Quantity, missing int) {
	q.State = True
	b.of(m).each(b.period, func(from, to point) {
		i := b.interval(from, to)
		if i.State == Missing {
			missing++
			return
		}
		if i.State == Unusable && q.Reason != ClockSet {
			q.State, q.Reason = i.State, i.Reason
		}
		power := i.Amount.Decimal.Mul(decimal.NewFromInt(4))
		if !q.Amount.Valid || power.GreaterThan(q.Amount.Decimal) {
			at, q.Amount = from.at, decimal.NewNullDecimal(power)
		}
	})
	switch {
	case !q.Amount.Valid:
		q = Quantity{State: Missing}
	case missing > 0:
		q.State, q.Reason = Preliminary, NoReason
	}
	return at, q, missing
}

// register is a register's reading at the end of the period.
func (b *builder) register(m Measure) Quantity {
	p := b.of(m).at(b.period.To)
	if m == Unattributed {
		return b.unattributed(p)
	}
	q := verdict(p)
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(b.c.transformed(p.value))
	}
	return q
}

// unattributed is the error register: the meter's own, or total − Σ tariffs
// where the meter has none.
func (b *builder) unattributed(own point) Quantity {
	total, high, low := b.of(Total).at(b.period.To), b.of(HighTariff).at(b.period.To), b.of(LowTariff).at(b.period.To)
	rest := total.value.Sub(high.value).Sub(low.value)
	derived := verdict(total, high, low)

	q, value := verdict(own), own.value
	if own.fault == Communication && !b.of(Unattributed).keepers[total.device] {
		q, value = derived, rest
	} else if q.State != Missing && derived.State != Missing && !value.Equal(rest) {
		b.notices = append(b.notices, Notice{Kind: TariffSum, From: b.period.To, To: b.period.To, Count: 1})
	}
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(b.c.transformed(value))
	}
	return q
}
