package form

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Edition is the decision of the Bundesnetzagentur whose form a contract runs on.
type Edition struct{ name string }

// EditionBK618032 is the form in force since 1 December 2019, with classes.
var EditionBK618032 = Edition{"BK6-18-032"}

// ParseEdition knows the editions this agent can serve.
func ParseEdition(s string) (Edition, error) {
	if s == EditionBK618032.name {
		return EditionBK618032, nil
	}
	return Edition{}, fmt.Errorf("edition %q: this agent serves only BK6-18-032", s)
}

func (e Edition) String() string                { return e.name }
func (e Edition) MarshalText() ([]byte, error)  { return []byte(e.name), nil }
func (e *Edition) UnmarshalText(b []byte) error { return set(e, b, ParseEdition) }

// Role is a market role (Marktrolle) of FORM.md.
type Role struct{ code string }

var (
	MSB  = Role{"MSB"} // metering point operator (Messstellenbetreiber): sends
	LF   = Role{"LF"}  // supplier (Lieferant)
	NB   = Role{"NB"}  // distribution network operator (Netzbetreiber)
	UENB = Role{"ÜNB"} // transmission system operator (Übertragungsnetzbetreiber)
	AB   = Role{"AB"}  // operator of the generating plant (Anlagenbetreiber)
)

// ParseRole reads a receiver's role; UENB is accepted for ÜNB.
func ParseRole(s string) (Role, error) {
	switch s {
	case "LF", "NB", "AB", "ÜNB":
		return Role{s}, nil
	case "UENB":
		return UENB, nil
	}
	return Role{}, fmt.Errorf("role %q: want LF, NB, ÜNB (or UENB) or AB", s)
}

func (r Role) compare(s Role) int            { return strings.Compare(r.code, s.code) }
func (r Role) String() string                { return r.code }
func (r Role) MarshalText() ([]byte, error)  { return []byte(r.code), nil }
func (r *Role) UnmarshalText(b []byte) error { return set(r, b, ParseRole) }

// Direction of a market location: drawn from the grid or fed into it.
type Direction struct{ name string }

var (
	Draw   = Direction{"draw"}
	FeedIn = Direction{"feed_in"}
)

// ParseDirection reads "draw" or "feed_in".
func ParseDirection(s string) (Direction, error) {
	switch s {
	case "draw", "feed_in":
		return Direction{s}, nil
	}
	return Direction{}, fmt.Errorf("direction %q: want draw or feed_in", s)
}

func (d Direction) String() string                { return d.name }
func (d Direction) did() string                   { return map[Direction]string{Draw: "drawn", FeedIn: "fed in"}[d] }
func (d Direction) MarshalText() ([]byte, error)  { return []byte(d.name), nil }
func (d *Direction) UnmarshalText(b []byte) error { return set(d, b, ParseDirection) }

// Class of a metering point after FORM.md, by yearly use and the supplier's
// choice (Wahlrecht). E is not written in a contract: it follows from FeedIn.
type Class struct{ letter string }

var (
	ClassA = Class{"A"}
	ClassB = Class{"B"}
	ClassC = Class{"C"}
	ClassE = Class{"E"}
)

// ParseClass reads A, B or C.
func ParseClass(s string) (Class, error) {
	switch s {
	case "A", "B", "C":
		return Class{s}, nil
	}
	return Class{}, fmt.Errorf("class %q: want A, B or C (class E follows from direction = \"feed_in\")", s)
}

func (c Class) String() string                { return c.letter }
func (c Class) MarshalText() ([]byte, error)  { return []byte(c.letter), nil }
func (c *Class) UnmarshalText(b []byte) error { return set(c, b, ParseClass) }

// Contract is what a metering point's operator and customer agreed on: all
// that entitles a payload to exist. Default deny: what is not here is not built.
type Contract struct {
	From              Date // the local day from whose 00:00 it holds; zero: whoever keeps the History says
	Edition           Edition
	MeLo              MeteringLocationID
	TransformerFactor int64               // whole number ≥ 1
	ExtraHolidays     []Date              // one-off holidays; may name days that are free anyway
	MaxPowerKW        decimal.NullDecimal // more than this between two readings is implausible
	// OffsetLimit is how far off its boundary a reading may have been taken, 27 s
	// when 0; it can only be set lower (FORM.md, Values).
	OffsetLimit time.Duration
	// Commissioned is when the point went into service, zero for long ago: what
	// lay before is absent with reason Z78.
	Commissioned    time.Time
	MarketLocations []MarketLocation
}

// Location returns the market location of an id, nil when the contract has none.
func (c *Contract) Location(id MarketLocationID) *MarketLocation {
	for i := range c.MarketLocations {
		if c.MarketLocations[i].MaLo == id {
			return &c.MarketLocations[i]
		}
	}
	return nil
}

// MarketLocation (Marktlokation) is what is drawn, or what is fed in, at one
// metering location, with the receivers of its rows.
type MarketLocation struct {
	MaLo       MarketLocationID
	Direction  Direction
	Class      Class // ClassE for FeedIn
	TwoTariffs bool  // HT and NT; Draw only
	// HighTimes is the table of switching times by which the gateway tariffs a meter
	// that keeps no registers of its own for HT and NT; empty: the meter keeps them.
	HighTimes []HighTime
	// Interpolate is the longest gap of the load profile that gets substitutes, 0
	// for none.
	Interpolate time.Duration
	FeedInPower *FeedInPower // what the contract says of row 9; nil: on demand only
	GridState   *GridOrder   // nil: none was ordered
	Meter       string
	Receivers   []Receiver
}

// Receiver is who one role of a market location's rows is, and where its
// payloads are delivered to.
type Receiver struct {
	Role      Role
	PartnerID PartnerID
	Endpoint  string // "" for the endpoint of the metering point operator's head-end
}

// Receiver returns the receiver of a role, if the location has one.
func (m *MarketLocation) Receiver(r Role) (Receiver, bool) {
	for _, have := range m.Receivers {
		if have.Role == r {
			return have, true
		}
	}
	return Receiver{}, false
}
