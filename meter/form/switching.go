package form

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
)

// HighTime is a line of a table of switching times (Schaltzeiten): on these days
// the high tariff applies from one clock time to another. What no line names is
// low tariff.
type HighTime struct {
	Days     []Weekday // empty: every day
	From, To ClockTime
}

// Weekday is a day of the week, written "mon" … "sun".
type Weekday struct{ day time.Weekday }

var weekdays = [...]string{time.Sunday: "sun", time.Monday: "mon", time.Tuesday: "tue", time.Wednesday: "wed", time.Thursday: "thu", time.Friday: "fri", time.Saturday: "sat"}

// ParseWeekday reads "mon" … "sun".
func ParseWeekday(s string) (Weekday, error) {
	i := slices.Index(weekdays[:], s)
	if i < 0 {
		return Weekday{}, fmt.Errorf("day %q: want mon, tue, wed, thu, fri, sat or sun", s)
	}
	return Weekday{time.Weekday(i)}, nil
}

func (d Weekday) String() string { return weekdays[d.day] }

// ClockTime is a German clock time at a quarter hour, in quarter hours after
// 00:00: 0 to 96, which is 24:00.
type ClockTime struct{ quarters int }

// ParseClockTime reads "06:00" … "24:00".
func ParseClockTime(s string) (ClockTime, error) {
	t, err := time.Parse("15:04", s)
	switch {
	case s == "24:00":
		return ClockTime{96}, nil
	case err != nil || len(s) != len("15:04") || t.Minute()%15 != 0:
		return ClockTime{}, fmt.Errorf("clock time %q: want a quarter hour from 00:00 to 24:00, as 06:15", s)
	}
	return ClockTime{t.Hour()*4 + t.Minute()/15}, nil
}

func (t ClockTime) String() string { return fmt.Sprintf("%02d:%02d", t.quarters/4, t.quarters%4*15) }

// tariff is the tariff of a quarter hour by German clock time and the table that
// holds then: where an hour comes twice, twice the same, and where there is no table
// none.
func (b *builder) tariff(q meter.Quarter) Measure {
	m := b.m
	if len(b.h.Versions) > 1 {
		if m = b.h.near(q).Location(b.m.MaLo); m == nil || len(m.HighTimes) == 0 {
			return Unattributed
		}
	}
	t := q.Time().In(Berlin)
	clock := t.Hour()*4 + t.Minute()/15
	for _, high := range m.HighTimes {
		if (len(high.Days) == 0 || slices.Contains(high.Days, Weekday{t.Weekday()})) && high.From.quarters <= clock && clock < high.To.quarters {
			return HighTariff
		}
	}
	return LowTariff
}

// tariffed is the energy of the period that the table of switching times gives
// to a tariff, or what none can be given: quarter hours with a gap or a clock that
// was not set. Σ tariffs + Unattributed is the energy of the period; where that is
// missing, so are they.
func (b *builder) tariffed(m Measure) Quantity {
	total := b.energy(Total)
	if total.State == Missing {
		return total
	}
	parts := map[Measure]*Quantity{}
	for _, part := range [...]Measure{HighTariff, LowTariff, Unattributed} {
		parts[part] = &Quantity{State: True, Amount: decimal.NewNullDecimal(decimal.Zero)}
	}
	// Within one tariff readings cancel out: only those at its ends can mislead.
	end := func(part Measure, p point) {
		if q := parts[part]; q != nil && p.fault == NoReason && p.offset.Abs() > WarnOffset {
			q.Warning = OffsetWarning
		}
	}
	var last Measure
	var factor *factor // readings cancel out within one factor only
	var to point
	b.of(Total).each(b.period, func(from, next point) {
		i, part := b.interval(from, next), b.tariff(from.at)
		if i.State == Missing || i.Reason == ClockSet {
			part = Unattributed
		} else {
			q := parts[part]
			q.Amount.Decimal = q.Amount.Decimal.Add(i.Amount.Decimal)
			if i.Reason == Resolution {
				q.State, q.Reason = Unusable, Resolution
			}
		}
		if f := b.factor(from.at); part != last || f != factor {
			end(last, from)
			end(part, from)
			factor = f
		}
		last, to = part, next
	})
	end(last, to)

	high, low, rest := parts[HighTariff], parts[LowTariff], parts[Unattributed]
	rest.Amount.Decimal = total.Amount.Decimal.Sub(high.Amount.Decimal).Sub(low.Amount.Decimal)
	for _, part := range [...]*Quantity{high, low, &total} { // the one that comes first last
		if part.State == Unusable {
			rest.State, rest.Reason = part.State, part.Reason
		}
		if part.Warning != NoWarning {
			rest.Warning = part.Warning
		}
	}
	return *parts[m]
}
