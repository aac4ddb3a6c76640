package form

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/obis"
)

// GridState is the RowNumber of what is no row of the form: the state of the grid
// (Netzzustandsdaten), which the network operator may order after § 56 MsbG.
const GridState RowNumber = 56

var gridState = Row{GridState, []Role{NB}, []Class{ClassA, ClassB, ClassC, ClassE}, OnDemand, "Netzzustand nach § 56 MsbG", nil}

// FeedInPower is what a contract says of row 9 beside "once on demand": when the
// momentary feed-in active power is sent by itself.
type FeedInPower struct {
	Every      time.Duration       // periodically, on the clock: a minute or a quarter hour; 0: not
	Above      decimal.NullDecimal // upper threshold, kW
	Below      decimal.NullDecimal // lower threshold, kW
	Hysteresis decimal.Decimal     // kW by which the power must come back to have crossed a threshold again
}

// HasThreshold reports whether the power is sent when it crosses something.
func (f *FeedInPower) HasThreshold() bool { return f != nil && (f.Above.Valid || f.Below.Valid) }

// GridOrder is an order of the grid's state after § 56 MsbG.
type GridOrder struct {
	Every   time.Duration // on the clock: a minute or a quarter hour
	Because Because
}

// Because is what entitles the network operator to the grid's state without the
// customer's consent (§ 56 MsbG).
type Because struct{ name string }

var (
	EEGOrKWKGPlant     = Because{"eeg_kwkg_plant"}
	ControllableDevice = Because{"controllable_device_14a"} // § 14a EnWG
	Above20000KWh      = Because{"above_20000_kwh"}         // drawn in a year
)

// ParseBecause reads the name of what entitles.
func ParseBecause(s string) (Because, error) {
	switch b := (Because{s}); b {
	case EEGOrKWKGPlant, ControllableDevice, Above20000KWh:
		return b, nil
	}
	return Because{}, fmt.Errorf("because %q entitles nobody to the grid's state: want eeg_kwkg_plant, controllable_device_14a or above_20000_kwh", s)
}

func (b Because) String() string                { return b.name }
func (b Because) MarshalText() ([]byte, error)  { return []byte(b.name), nil }
func (b *Because) UnmarshalText(t []byte) error { return set(b, t, ParseBecause) }

// Band is where the feed-in power stands between its thresholds.
type Band uint8

const (
	UnknownBand Band = iota
	LowBand
	MiddleBand
	HighBand
)

// Band returns where a power in kW stands that stood in a band before. A
// threshold is crossed back only where the hysteresis is crossed as well, so that
// a power which swings about a threshold crosses it once.
func (f *FeedInPower) Band(before Band, kw decimal.Decimal) Band {
	switch {
	case f.Above.Valid && kw.GreaterThan(f.Above.Decimal):
		return HighBand
	case f.Below.Valid && kw.LessThan(f.Below.Decimal):
		return LowBand
	case before == HighBand && f.Above.Valid && kw.GreaterThan(f.Above.Decimal.Sub(f.Hysteresis)):
		return HighBand
	case before == LowBand && f.Below.Valid && kw.LessThan(f.Below.Decimal.Add(f.Hysteresis)):
		return LowBand
	}
	return MiddleBand
}

// FedInKW is the power in kW that a market location feeds in at a moment, after
// the transformer factor; it is not ok where nobody can know it.
func (c *Contract) FedInKW(shown *meter.Moment) (decimal.Decimal, bool) {
	q := c.moment(shown.FedIn, shown.At.Time, shown)
	return q.Amount.Decimal, q.Amount.Valid
}

// BuildMoment makes the payload of row 9 or of the grid's state at an instant,
// from what the meter showed nearest it. What was shown too far off is none. Of the
// grid's state a payload has what the meter sends, and no values where it sends
// none of it. The gateway's id is left to the caller. Errors are *DeniedError: the
// contract does not entitle the payload.
func BuildMoment(c *Contract, id MarketLocationID, n RowNumber, at time.Time, shown meter.Moment) (Payload, error) {
	m, row, err := c.entitled(id, n)
	if err != nil {
		return Payload{}, err
	}
	if row.Rhythm != OnDemand {
		return Payload{}, &DeniedError{n, id, "it is about a period and no moment"}
	}
	to, err := c.receiver(m, row, NB)
	if err != nil {
		return Payload{}, err
	}
	at = at.Truncate(time.Second).UTC()
	p := Payload{
		Edition: c.Edition, MeLo: c.MeLo, MaLo: m.MaLo, Row: n, To: to.Role, PartnerID: to.PartnerID,
		Period: quarterOf(at), Moment: at,
	}
	if n == GridState {
		for _, v := range shown.Grid {
			if c.sendsGrid(v.Code) {
				p.Values = append(p.Values, Value{Code: v.Code, Kind: Momentary, Quantity: c.quantity(decimal.NewNullDecimal(v.Value), at, &shown)})
			}
		}
		return p, nil
	}
	p.Values = []Value{{Code: obis.PowerFedIn, Kind: Momentary, Quantity: c.moment(shown.FedIn, at, &shown)}}
	return p, nil
}

func quarterOf(at time.Time) Period {
	q := meter.QuarterOf(at)
	return Period{q, q.Next()}
}

// moment is a power in W as a figure in kW.
func (c *Contract) moment(watts decimal.NullDecimal, at time.Time, shown *meter.Moment) Quantity {
	if watts.Valid {
		watts.Decimal = c.transformed(watts.Decimal) // W to kW as Wh to kWh
	}
	q := c.quantity(watts, at, shown)
	if q.Amount.Valid && c.MaxPowerKW.Valid && q.Amount.Decimal.GreaterThan(c.MaxPowerKW.Decimal) {
		return Quantity{State: Missing, Reason: Implausible}
	}
	return q
}

// quantity is a momentary figure of an instant with its state, by FORM.md's
// precedence: absent before clock. A front port that does not tell it has not the
// resolution.
func (c *Contract) quantity(amount decimal.NullDecimal, at time.Time, shown *meter.Moment) Quantity {
	off := shown.At.Time.Sub(at).Abs()
	switch {
	case at.Before(c.Commissioned):
		return Quantity{State: Missing, Reason: DeviceChange}
	case off > cmp.Or(c.OffsetLimit, MaxOffset):
		return Quantity{State: Missing, Reason: Communication}
	case !amount.Valid:
		return Quantity{State: Missing, Reason: Resolution}
	}
	q := Quantity{Amount: amount, State: True}
	if shown.At.Quality != meter.ClockSynchronised {
		q.State, q.Reason = Unusable, ClockSet
	}
	if off > WarnOffset {
		q.Warning = OffsetWarning
	}
	return q
}

// sendsGrid reports whether a value is part of the grid's state at this
// contract. A transformer factor is the product of what current and voltage
// transformers divide by, and says neither: then there are no voltages and
// currents of the grid to be known.
func (c *Contract) sendsGrid(code obis.Code) bool {
	unit, ok := meter.GridUnit(code)
	return ok && (c.TransformerFactor == 1 || unit != meter.Volt && unit != meter.Ampere)
}

// momentaryUnit gives the unit of a momentary figure.
func momentaryUnit(code obis.Code) string {
	if unit, ok := meter.GridUnit(code); ok {
		return unit.String()
	}
	return "kW"
}

// permitsMoment reports whether a payload about a moment has what its row has,
// and nothing else. Row, receiver and numbers are checked already.
func (c *Contract) permitsMoment(m *MarketLocation, p *Payload) error {
	deny := func(format string, args ...any) error {
		return &DeniedError{p.Row, p.MaLo, fmt.Sprintf(format, args...)}
	}
	switch {
	case p.Moment.IsZero():
		return deny("it is about a moment, and names none")
	case p.Period != quarterOf(p.Moment):
		return deny("its period is not the quarter hour of its moment")
	case p.Revision > 0:
		return deny("nothing corrects a moment")
	case p.Row == GridState && !onClock(p.Moment, m.GridState.Every):
		return deny("it is ordered every %s, on the clock", m.GridState.Every)
	}
	for i, v := range p.Values {
		ours := v.Code == obis.PowerFedIn
		if p.Row == GridState {
			ours = c.sendsGrid(v.Code)
		}
		if v.Kind != Momentary || !ours {
			return deny("it has no %s of %s", v.Kind, v.Code.Short())
		}
		if slices.ContainsFunc(p.Values[:i], func(w Value) bool { return w.Code == v.Code }) {
			return deny("%s of %s is there twice", v.Kind, v.Code.Short())
		}
	}
	return nil
}

func onClock(at time.Time, every time.Duration) bool { return at.Equal(at.Truncate(every)) }

// periods are how often a contract may ask for momentary figures.
var momentaryPeriods = []time.Duration{time.Minute, meter.QuarterLength}

// validateMoments reports what is wrong with a location's momentary figures.
func (m *MarketLocation) validateMoments(wrong func(field, what, want string)) {
	const often = `want "1m" or "15m", or leave it out`
	if f := m.FeedInPower; f != nil {
		switch thresholds := f.HasThreshold(); {
		case m.Direction != FeedIn:
			wrong("feed_in_power", "row 9 is for what is fed in", "leave it out")
		case f.Every != 0 && !slices.Contains(momentaryPeriods, f.Every):
			wrong("feed_in_power.every", f.Every.String()+" is no period of row 9", often)
		case f.Every == 0 && !thresholds:
			wrong("feed_in_power", "it says nothing", "want every, above_kw or below_kw, or leave it out: row 9 is then sent on demand only")
		case f.Above.Valid && !f.Above.Decimal.IsPositive():
			wrong("feed_in_power.above_kw", f.Above.Decimal.String()+" is no threshold", "want a power above 0")
		case f.Below.Valid && !f.Below.Decimal.IsPositive():
			wrong("feed_in_power.below_kw", f.Below.Decimal.String()+" is no threshold", "want a power above 0")
		case thresholds && !f.Hysteresis.IsPositive():
			wrong("feed_in_power.hysteresis_kw", "missing", "want the power by which a threshold must be crossed back, above 0, so that a power which swings about it is not sent all the time")
		case f.Above.Valid && f.Hysteresis.GreaterThan(f.Above.Decimal):
			wrong("feed_in_power.hysteresis_kw", fmt.Sprintf("%s is more than above_kw, so that it is never crossed back", f.Hysteresis), "want at most above_kw")
		case !thresholds && !f.Hysteresis.IsZero():
			wrong("feed_in_power.hysteresis_kw", "there is no threshold", "want above_kw or below_kw, or leave it out")
		case f.Above.Valid && f.Below.Valid && f.Above.Decimal.Sub(f.Below.Decimal).LessThan(f.Hysteresis):
			wrong("feed_in_power.above_kw", fmt.Sprintf("from %s to %s kW is less than the hysteresis of %s kW", f.Below.Decimal, f.Above.Decimal, f.Hysteresis), "want above_kw greater than below_kw by at least the hysteresis")
		}
	}
	if g := m.GridState; g != nil {
		switch {
		case !slices.Contains(momentaryPeriods, g.Every):
			wrong("grid_state.every", g.Every.String()+" is no period of the grid's state", `want "1m" or "15m"`)
		case g.Because == Because{}:
			wrong("grid_state.because", "missing", "want eeg_kwkg_plant, controllable_device_14a or above_20000_kwh")
		case (g.Because == EEGOrKWKGPlant) != (m.Direction == FeedIn):
			wrong("grid_state.because", fmt.Sprintf("%s does not go with what is %s", g.Because, m.Direction.did()), "want eeg_kwkg_plant for what is fed in, the others for what is drawn")
		case g.Because == Above20000KWh && m.Class == ClassA:
			wrong("grid_state.because", "a point of class A uses no more than 10 000 kWh a year", "want another reason, or leave [market_location.grid_state] out")
		}
	}
}
