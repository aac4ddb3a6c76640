// Package meter says what a meter says: readings with exact values, their two
// times, and the boundary readings that everything billed is made from.
package meter

import (
	"encoding/hex"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter/obis"
)

// DeviceID is a meter's server id, as the octets it sends (DIN 43863-5 in
// current meters). A string, so that it compares and keys a map.
type DeviceID string

// String gives the octets in hexadecimal, "0a01495452000347f040".
func (d DeviceID) String() string { return hex.EncodeToString([]byte(d)) }

// MarshalText is String, for JSON.
func (d DeviceID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (d *DeviceID) UnmarshalText(b []byte) error {
	octets, err := hex.DecodeString(string(b))
	*d = DeviceID(octets)
	return err
}

// What a Reading has at most; no meter known has a sixth of it. A line that
// brings more is a mistake or malice, and nobody could keep what it says.
const (
	MaxDeviceID  = 64 // octets of its DeviceID
	MaxRegisters = 64
)

// ClockQuality says how far a host's wall clock may be believed.
type ClockQuality uint8

const (
	ClockUnknown        ClockQuality = iota // nobody asked yet
	ClockUnsynchronised                     // the kernel says the clock is not synchronised
	ClockSynchronised                       // the kernel says the clock follows a source
)

// String names the quality for status and logs.
func (q ClockQuality) String() string {
	switch q {
	case ClockUnsynchronised:
		return "unsynchronised"
	case ClockSynchronised:
		return "synchronised"
	}
	return "unknown"
}

// MarshalText is String, for JSON.
func (q ClockQuality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads the name; one it does not know is ClockUnknown.
func (q *ClockQuality) UnmarshalText(b []byte) error {
	*q = ClockUnknown
	for _, known := range []ClockQuality{ClockUnsynchronised, ClockSynchronised} {
		if known.String() == string(b) {
			*q = known
		}
	}
	return nil
}

// Stamp is an instant of the host's wall clock, with the quality that the
// clock had then.
type Stamp struct {
	Time    time.Time    `json:"time"`
	Quality ClockQuality `json:"clock"`

	// Elapsed is the host's own count of time then, from some instant on (its
	// start), which nobody who sets the clock moves. 0: nobody counts.
	Elapsed time.Duration `json:"-"`
}

// SecIndex is the meter's own count of seconds since its installation
// (SML_Time, choice 1). It never jumps with the host's clock.
type SecIndex struct {
	Seconds uint32
	Valid   bool // false: the telegram had none
}

// StatusWord is a register's status as sent, of up to eight bytes.
type StatusWord struct {
	Bits  uint64
	Valid bool // false: the entry had none
}

// RegisterValue is one register's reading in Wh, quirks of the meter applied,
// before any transformer factor.
type RegisterValue struct {
	Code  obis.Code
	Value decimal.Decimal
}

// Reading is what one telegram said and when. Values with their raw form stay
// in Telegram; Registers are the energies the form needs, Power is for eyes.
type Reading struct {
	Meter     string   // name of the [[meter]] in the configuration
	Device    DeviceID // who sent it
	At        Stamp    // when the telegram's end was received
	SecIndex  SecIndex
	Status    StatusWord // of the total register
	Coarse    bool       // front port gives whole kWh only ("InF off", FORM.md, Values)
	Registers []RegisterValue
	Power     decimal.NullDecimal // momentary active power in W, negative when feeding in
}

// BoundaryReading is the reading nearest a quarter-hour boundary: the one
// thing that is kept, and that registers, profiles and months are made from.
type BoundaryReading struct {
	Meter     string
	Boundary  Quarter
	Device    DeviceID
	Offset    time.Duration // when it was read minus the boundary; whole milliseconds
	Clock     ClockQuality
	SecIndex  SecIndex
	Status    StatusWord
	Coarse    bool
	Registers []RegisterValue
}

// Register returns the value of one register in Wh.
func (b *BoundaryReading) Register(c obis.Code) (decimal.Decimal, bool) {
	for _, r := range b.Registers {
		if r.Code == c {
			return r.Value, true
		}
	}
	return decimal.Decimal{}, false
}
