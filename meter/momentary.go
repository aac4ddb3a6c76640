package meter

import (
	"github.com/shopspring/decimal"

	"smgw/meter/obis"
	"smgw/sml"
)

// Moment is what one telegram shows beside its registers: values of the instant,
// which nothing counts and nobody can read later.
type Moment struct {
	At Stamp // when the telegram's end was received
	// FedIn is the active power fed in, in W and never negative: 0 while the
	// meter draws. Null where the front port does not tell it.
	FedIn decimal.NullDecimal
	// Grid is the state of the grid as far as the meter sends it, in this order:
	// voltages in V, currents in A, the frequency in Hz, angles in degrees.
	Grid []MomentaryValue
}

// MomentaryValue is one value of an instant, quirks of the meter applied.
type MomentaryValue struct {
	Code  obis.Code
	Value decimal.Decimal
}

// gridUnits are the values of the grid's state with the units that they come in.
var gridUnits = [...]struct {
	code obis.Code
	unit Unit
}{
	{obis.Code{1, 0, 32, 7, 0, 255}, Volt}, {obis.Code{1, 0, 52, 7, 0, 255}, Volt}, {obis.Code{1, 0, 72, 7, 0, 255}, Volt},
	{obis.Code{1, 0, 31, 7, 0, 255}, Ampere}, {obis.Code{1, 0, 51, 7, 0, 255}, Ampere}, {obis.Code{1, 0, 71, 7, 0, 255}, Ampere},
	{obis.Code{1, 0, 91, 7, 0, 255}, Ampere}, // of the neutral
	{obis.Code{1, 0, 14, 7, 0, 255}, Hertz},
	{obis.Code{1, 0, 81, 7, 1, 255}, Degree}, {obis.Code{1, 0, 81, 7, 2, 255}, Degree}, // U L2 and U L3 to U L1
	{obis.Code{1, 0, 81, 7, 4, 255}, Degree}, {obis.Code{1, 0, 81, 7, 15, 255}, Degree}, {obis.Code{1, 0, 81, 7, 26, 255}, Degree}, // I to U of L1, L2, L3
}

// GridUnit gives the unit of a value of the grid's state; it is not ok for
// anything else.
func GridUnit(c obis.Code) (u Unit, ok bool) {
	for _, g := range gridUnits {
		if g.code == c {
			return g.unit, true
		}
	}
	return 0, false
}

// Moment gives the telegram's values of the instant.
func (t *Telegram) Moment(at Stamp) Moment {
	m := Moment{At: at}
	if power, ok := t.PowerFedIn(); ok {
		m.FedIn = decimal.NewNullDecimal(power.Decimal())
	}
	for _, g := range gridUnits {
		if v, ok := t.Value(g.code); ok && v.Raw.IsInteger() && Unit(v.Unit.Value) == g.unit {
			m.Grid = append(m.Grid, MomentaryValue{g.code, v.exact.Decimal()})
		}
	}
	return m
}

// PowerFedIn gives the momentary active power in W that is fed in, 0 while the
// meter draws. It is 1-0:2.7.0 or 1-0:2.7.1 where the meter sends that, and else
// what Power says. It is not ok without a power ("InF off"), and where the power has
// no direction, so that nobody knows which of the two it is.
func (t *Telegram) PowerFedIn() (Exact, bool) {
	for _, c := range [...]obis.Code{obis.PowerFedIn, obis.PowerFedIn1} {
		if v, ok := t.watts(c); ok {
			return v.exact, !v.exact.Negative
		}
	}
	v := t.power()
	if v == nil {
		return Exact{}, false
	}
	power := v.exact
	if !power.Negative {
		return Exact{}, power.Magnitude == 0 || t.directed(v)
	}
	power.Negative = false
	return power, true
}

// directed reports whether a power has a direction: signed by the meter, or in a
// status word that is known to hold it (quirks).
func (t *Telegram) directed(power *Value) bool {
	maker, serial, _ := t.Device.makerAndSerial()
	if maker == "DZG" && within(dzgUnsigned, serial) {
		return false
	}
	if _, fnn := t.status().FNN(); fnn {
		return true
	}
	if power.Code != obis.PowerAbs {
		return power.Raw.Kind == sml.Signed
	}
	total, ok := t.Value(obis.Drawn) // emh_direction
	return ok && maker == "EMH" && total.Status.Valid
}
