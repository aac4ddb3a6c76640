package board

import (
	"fmt"
	"slices"
	"strings"
)

// Cause is what a lamp tells the person in front of it. Its number is both its
// urgency, the smallest first, and its blink code: so many flashes, then a
// pause. AllWell does not blink.
type Cause uint8

const (
	AllWell            Cause = iota // steady light
	StoreInTrouble                  // readings cannot be kept
	ReaderSilent                    // not a byte from the port, or no port
	NoSML                           // bytes, but no SML among them
	SMLRefused                      // SML, but torn or false
	PINNeeded                       // whole kWh and no power: PIN not entered, or InF off
	ClockNotSet                     // the clock follows no source
	HeadEndUnreachable              // nothing can be delivered
	CertificateEnding               // a certificate ends soon, or has ended
	PayloadRefused                  // a payload was refused for good and waits for a person
)

var causes = [...]struct{ name, meaning, remedy string }{
	AllWell:            {"all_well", "all well", "nothing to do"},
	StoreInTrouble:     {"store_in_trouble", "readings cannot be kept on the flash", "free space in the state folder, or change the card: the error of the store says which"},
	ReaderSilent:       {"reader_silent", "the reader says nothing", "plug the reader in, put its head on the meter's optical port; smgw check lists the readers and compares them with port"},
	NoSML:              {"no_sml", "light comes in, but no SML", "turn the head so that its cable points down, keep sunlight off, ask whether the meter speaks SML at 9600 baud"},
	SMLRefused:         {"sml_refused", "SML comes in, but torn", "seat the head again, try another cable; smgw decode shows what is refused"},
	PINNeeded:          {"pin_needed", "the meter gives whole kWh only", "enter the meter's PIN and switch InF on at the meter"},
	ClockNotSet:        {"clock_not_set", "the clock is not set, not synchronised, or not believed", "give the gateway a network with a time server; chronyc tracking or timedatectl says more"},
	HeadEndUnreachable: {"headend_unreachable", "nothing gets through to the head-end", "check the network; the error of the endpoint says how far it gets"},
	CertificateEnding:  {"certificate_ending", "a certificate ends soon or has ended", "have the certificate renewed before its last day"},
	PayloadRefused:     {"payload_refused", "the head-end refused a payload for good", "smgw outbox shows which and why; retry or give it up there"},
}

// Causes lists every cause, AllWell first, then the most urgent first.
func Causes() []Cause {
	all := make([]Cause, len(causes))
	for i := range all {
		all[i] = Cause(i)
	}
	return all
}

// ParseCause reads the name that a configuration uses, for example "reader_silent".
func ParseCause(s string) (Cause, error) {
	for _, c := range Causes() {
		if c.String() == s {
			return c, nil
		}
	}
	names := make([]string, len(causes))
	for i, c := range causes {
		names[i] = c.name
	}
	return AllWell, fmt.Errorf("cause %q: want one of %s", s, strings.Join(names, ", "))
}

// String gives the cause's stable name, for configuration, status and logs.
func (c Cause) String() string { return causes[c].name }

// MarshalText is String, for JSON.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is ParseCause.
func (c *Cause) UnmarshalText(b []byte) (err error) {
	*c, err = ParseCause(string(b))
	return err
}

// Meaning says in a few words what is the matter.
func (c Cause) Meaning() string { return causes[c].meaning }

// Remedy says what a technician does about it.
func (c Cause) Remedy() string { return causes[c].remedy }

// Flashes is the blink code; 0 is a steady light.
func (c Cause) Flashes() int { return int(c) }

// mostUrgent returns the most urgent of those present that among contains (any,
// when it is empty), AllWell when there is none.
func mostUrgent(present, among []Cause) Cause {
	worst := AllWell
	for _, c := range present {
		if c == AllWell || len(among) > 0 && !slices.Contains(among, c) {
			continue
		}
		if worst == AllWell || c < worst {
			worst = c
		}
	}
	return worst
}
