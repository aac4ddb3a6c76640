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
// aside; so is what made an event's payload due. Errors are *DeniedError: no
// contract entitles the payload.
func (h *History) Verify(p *Payload, readings []meter.BoundaryReading) (first *Difference, err error) {
	if err := h.Permits(p); err != nil {
		return nil, err
	}
	due := Due{Row: p.Row, MaLo: p.MaLo, To: p.To, Period: p.Period}
	c, m, row, to, err := h.entitled(due)
	if err != nil {
		return nil, err
	}
	if row.Rhythm == OnDemand {
		return nil, fmt.Errorf("row %d says one instant: no table of readings at quarter hours has it", p.Row)
	}
	occasions := []EventKind{{}}
	if row.Rhythm == OnEvent {
		occasions = append(occasions, DeviceRemoved, DeviceBuiltIn) // the payload does not say whose reading it wants
	}
	for i, occasion := range occasions {
		due.Event = occasion
		want := h.payload(c, m, row, to, due, readings, p.final())
		d := compare(p, &want)
		if d == nil {
			return nil, nil
		}
		if i == 0 {
			first = d
		}
	}
	return first, nil
}

// final reports whether the payload was made by BuildFinal, as far as one can see.
func (p *Payload) final() bool {
	return slices.ContainsFunc(p.Values, func(v Value) bool {
		return v.Final || v.Kind == MaxPower && v.MissingIntervals > 0 && v.State != Preliminary && v.State != Missing
	})
}

func compare(p, want *Payload) *Difference {
	for i := range max(len(p.Values), len(want.Values)) {
		if d := difference(valueAt(p.Values, i), valueAt(want.Values, i)); d != nil {
			return d
		}
	}
	if !slices.Equal(derived(p), derived(want)) {
		return &Difference{Notice: fmt.Sprintf("its notices of what was made are %v, those of the readings %v", derived(p), derived(want))}
	}
	return nil
}

func valueAt(values []Value, i int) *Value {
	if i < len(values) {
		return &values[i]
	}
	return nil
}

func difference(p, r *Value) *Difference {
	if p == nil || r == nil || p.Kind != r.Kind || p.Code != r.Code || p.At != r.At || p.MissingIntervals != r.MissingIntervals || p.Final != r.Final ||
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
