// Package obis names what a meter measures: the six-byte codes of the Object
// Identification System (IEC 62056-6-1, in German use EDIS), as they stand in
// SML telegrams and in payloads.
package obis

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Code is an OBIS code A-B:C.D.E*F. The zero Code names nothing.
type Code [6]byte

// The registers the form after § 54 MsbG is built from, and what a technician
// looks at first. Energies are in Wh on the wire, powers in W.
var (
	Drawn       = Code{1, 0, 1, 8, 0, 255}  // 1-0:1.8.0, total drawn from the grid
	DrawnT1     = Code{1, 0, 1, 8, 1, 255}  // 1-0:1.8.1, high tariff (HT)
	DrawnT2     = Code{1, 0, 1, 8, 2, 255}  // 1-0:1.8.2, low tariff (NT)
	DrawnError  = Code{1, 0, 1, 8, 63, 255} // 1-0:1.8.63, what no tariff could be given to
	FedIn       = Code{1, 0, 2, 8, 0, 255}  // 1-0:2.8.0, total fed in
	Power       = Code{1, 0, 16, 7, 0, 255} // 1-0:16.7.0, sum active power, negative when feeding in
	PowerAbs    = Code{1, 0, 15, 7, 0, 255} // 1-0:15.7.0, sum active power without direction
	PowerDrawn  = Code{1, 0, 1, 7, 0, 255}  // 1-0:1.7.0, active power drawn
	PowerDrawn1 = Code{1, 0, 1, 7, 1, 255}  // 1-0:1.7.1, the same as a meter with one tariff may call it
	PowerFedIn  = Code{1, 0, 2, 7, 0, 255}  // 1-0:2.7.0, active power fed in, never negative
	PowerFedIn1 = Code{1, 0, 2, 7, 1, 255}  // 1-0:2.7.1, likewise
	PowerL1     = Code{1, 0, 36, 7, 0, 255}
	PowerL2     = Code{1, 0, 56, 7, 0, 255}
	PowerL3     = Code{1, 0, 76, 7, 0, 255}
	ServerID    = Code{1, 0, 96, 1, 0, 255} // 1-0:96.1.0, identification of the device
	ServerIDOld = Code{1, 0, 0, 0, 9, 255}  // 1-0:0.0.9, the same in older meters
	Maker       = Code{129, 129, 199, 130, 3, 255}
	MakerFNN    = Code{1, 0, 96, 50, 1, 1}
	PublicKey   = Code{129, 129, 199, 130, 5, 255}
)

// Parse reads "1-0:1.8.0*255", "1-0:1.8.0" (group F is then 255) or the twelve
// hexadecimal digits "0100010800ff".
func Parse(s string) (Code, error) {
	if len(s) == 12 && !strings.ContainsAny(s, "-:.*") {
		var c Code
		if _, err := hex.Decode(c[:], []byte(s)); err != nil {
			return Code{}, fmt.Errorf("obis code %q: want 1-0:1.8.0, 1-0:1.8.0*255 or 0100010800ff", s)
		}
		return c, nil
	}
	c := Code{5: 255}
	rest := s
	for i, sep := range [...]string{"-", ":", ".", ".", "*", ""} {
		part, tail, found := rest, "", false
		if sep != "" {
			part, tail, found = strings.Cut(rest, sep)
		}
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || (!found && i < 4) {
			return Code{}, fmt.Errorf("obis code %q: want 1-0:1.8.0, 1-0:1.8.0*255 or 0100010800ff", s)
		}
		c[i] = byte(n)
		if !found {
			return c, nil
		}
		rest = tail
	}
	return c, nil
}

// String gives the full form, "1-0:1.8.0*255".
func (c Code) String() string {
	return fmt.Sprintf("%s*%d", c.abcde(), c[5])
}

// Short gives "1-0:1.8.0": the form of payloads and exports. Group F is left
// out when it is 255, as it is in all current values.
func (c Code) Short() string {
	if c[5] != 255 {
		return c.String()
	}
	return c.abcde()
}

func (c Code) abcde() string {
	return fmt.Sprintf("%d-%d:%d.%d.%d", c[0], c[1], c[2], c[3], c[4])
}

// Hex gives the twelve hexadecimal digits, "0100010800ff".
func (c Code) Hex() string { return hex.EncodeToString(c[:]) }

// IsEnergy reports whether the code is a register of active energy, drawn
// (C = 1) or fed in (C = 2), total or of one tariff: what boundary readings keep.
func (c Code) IsEnergy() bool {
	return c[0] == 1 && (c[2] == 1 || c[2] == 2) && c[3] == 8 && c[5] == 255
}

// MarshalText gives the short form, for JSON and for logs.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.Short()), nil }

// UnmarshalText is Parse.
func (c *Code) UnmarshalText(b []byte) (err error) {
	*c, err = Parse(string(b))
	return err
}
