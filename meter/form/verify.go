package form

import (
	"fmt"
	"slices"

	"smgw/meter"
)

// Difference is the first place in which a payload is not what follows from
// readings: a value of either side, or a notice.
type Difference struct {
	// The value in question; nil on the side that has none. Of a load profile it
	// holds only the interval in question, and starts there.
	Payload, Readings *Value
	// Notice is what is wrong with the notices, where all values are right.
	Notice string
}

// Verify compares a payload that somebody built with what Build makes of the
// readings, and returns the first difference, nil when it follows from them.
// Gateway, revision and notices of loss do not come from readings, and are left
// aside. Errors are *DeniedError: the contract does not entitle the payload.
func Verify(c *Contract, p *Payload, readings []meter.BoundaryReading) (*Difference, error) {
	if err := c.Permits(p); err != nil {
		return nil, err
	}
	want, err := Build(c, Due{Row: p.Row, MaLo: p.MaLo, To: p.To, Period: p.Period}, readings)
	if err != nil {
		return nil, err
	}
	for i := range max(len(p.Values), len(want.Values)) {
		if d := difference(valueAt(p.Values, i), valueAt(want.Values, i)); d != nil {
			return d, nil
		}
	}
	if !slices.Equal(derived(p), derived(&want)) {
		return &Difference{Notice: fmt.Sprintf("its notices of what was made are %v, those of the readings %v", derived(p), derived(&want))}, nil
	}
	return nil, nil
}

func valueAt(values []Value, i int) *Value {
	if i < len(values) {
		return &values[i]
	}
	return nil
}

func difference(p, r *Value) *Difference {
	if p == nil || r == nil || p.Kind != r.Kind || p.Code != r.Code || p.At != r.At || p.MissingIntervals != r.MissingIntervals ||
		len(p.Intervals) != len(r.Intervals) || !p.Quantity.equal(r.Quantity) {
		return &Difference{Payload: p, Readings: r}
	}
	for i := range p.Intervals {
		if !p.Intervals[i].equal(r.Intervals[i]) {
			return &Difference{Payload: p.interval(i), Readings: r.interval(i)}
		}
	}
	return nil
}

// interval is a load profile's i-th interval alone.
func (v *Value) interval(i int) *Value {
	return &Value{Code: v.Code, Kind: v.Kind, At: v.At + meter.Quarter(i), Intervals: v.Intervals[i : i+1]}
}

func (q Quantity) equal(o Quantity) bool {
	return q.Amount.Valid == o.Amount.Valid && q.Amount.Decimal.Equal(o.Amount.Decimal) &&
		q.State == o.State && q.Reason == o.Reason && q.Method == o.Method && q.Warning == o.Warning
}

// derived are the notices that follow from readings.
func derived(p *Payload) []Notice {
	return slices.DeleteFunc(slices.Clone(p.Notices), Notice.OfLoss)
}
