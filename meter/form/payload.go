package form

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/obis"
)

// Payload is what one receiver gets about one market location for one row and
// one period. It names metering point, device and register by number only:
// never a person, an address or a customer number.
type Payload struct {
	Gateway    string  // the gateway's id
	Edition    Edition // the form that the row number is of
	MeLo       MeteringLocationID
	MaLo       MarketLocationID
	Row        RowNumber
	To         Role
	PartnerID  PartnerID
	Period     Period
	Moment     time.Time // of a momentary figure, whole seconds in UTC, in Period; zero for all others
	Revision   int       // 0 first, then one more for each correction
	Supersedes string    // id of the payload this one replaces; "" when Revision is 0
	Values     []Value
	Notices    []Notice // losses and damage since the last payload
}

// Kind says what a Value is.
type Kind uint8

const (
	Energy      Kind = iota + 1 // energy over the period, kWh
	MaxPower                    // largest quarter-hour mean power of the period, kW
	Register                    // register reading at a boundary, kWh
	LoadProfile                 // energy of each quarter hour of the period (Lastgang), kWh
	Momentary                   // what the meter showed at the payload's Moment; its unit follows from the code
)

// Value is one quantity of a payload. For a LoadProfile, Intervals has one
// element for each quarter hour of the period and Quantity is zero; for all
// other kinds Quantity has the figure.
type Value struct {
	Code obis.Code
	Kind Kind
	// At is the boundary of a Register, the start of the quarter hour of a
	// MaxPower (0 when there is none), the start of a LoadProfile; else 0.
	At meter.Quarter
	Quantity
	MissingIntervals int // MaxPower: quarter hours of the span that are missing
	Intervals        []Quantity
	// Final says of a Preliminary figure that nothing better will come for it.
	Final bool
}

// Quantity is one figure with its state. Amount is null when the state is Missing.
type Quantity struct {
	Amount  decimal.NullDecimal // in the value's unit, after the transformer factor, exact
	State   State
	Reason  Reason  // why, where State is not True
	Method  Method  // how it was made, where State is Substitute
	Warning Warning // None, or OffsetWarning
}

// Preliminary reports whether a figure of the payload waits for a better one: it is
// preliminary, or a maximum power that is missing and may yet become so.
func (p *Payload) Preliminary() bool {
	return slices.ContainsFunc(p.Values, func(v Value) bool {
		return v.State == Preliminary && !v.Final || v.State == Missing && v.Kind == MaxPower
	})
}

// Settled reports whether a figure of the payload stays preliminary for good.
func (p *Payload) Settled() bool {
	return slices.ContainsFunc(p.Values, func(v Value) bool { return v.Final })
}

// Notice tells the head-end what was lost or damaged, counted and dated.
type Notice struct {
	Kind  string // what happened, for example "store_damaged"
	From  meter.Quarter
	To    meter.Quarter
	Count int
}

// OfLoss reports whether the notice tells what was lost or damaged, and does not
// follow from the readings that the payload was made from.
func (n Notice) OfLoss() bool { return n.Kind != TariffSum && n.Kind != Interpolated }

// TariffSum is the kind of a Notice that Σ tariffs + error register is not the
// total at a boundary.
const TariffSum = "tariff_sum"
