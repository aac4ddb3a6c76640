package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Fault is something that happens to a telegram between the meter and the
// port. All have been seen on real lines (SML.md).
type Fault string

const (
	Lost      Fault = "lost"       // one to three bytes are lost
	Doubled   Fault = "doubled"    // a byte comes twice
	Swapped   Fault = "swapped"    // two neighbours change places
	Flipped   Fault = "flipped"    // a bit is another
	Torn      Fault = "torn"       // the telegram breaks off, so that the next one's start follows
	Restarted Fault = "restarted"  // a start sequence stands in its middle
	CutEnd    Fault = "cut-end"    // it breaks off within its end sequence, at the CRC the latest
	Stray     Fault = "stray"      // one to five 1b right before its start
	Flood     Fault = "flood"      // hundreds of 1b before it
	Noise     Fault = "noise"      // some hundred bytes of anything before it
	LongNoise Fault = "long-noise" // more than 65,535 of them
)

// AllFaults are all faults.
var AllFaults = []Fault{Lost, Doubled, Swapped, Flipped, Torn, Restarted, CutEnd, Stray, Flood, Noise, LongNoise}

// EverydayNoise is what a bad line does again and again.
var EverydayNoise = []Fault{Lost, Doubled, Swapped, Flipped, Torn, Stray, Noise}

// FindFault returns the fault of a name.
func FindFault(name string) (Fault, error) {
	if f := Fault(name); slices.Contains(AllFaults, f) {
		return f, nil
	}
	names := make([]string, len(AllFaults))
	for i, f := range AllFaults {
		names[i] = string(f)
	}
	return "", fmt.Errorf("fault %q is unknown: want one of %s", name, strings.Join(names, ", "))
}

// Destroys reports whether the fault costs the telegram that it strikes. The
// others only stand before it, and cost none.
func (f Fault) Destroys() bool {
	switch f {
	case Stray, Flood, Noise, LongNoise:
		return false
	}
	return true
}

// Faults spoils telegrams. Which telegram is struck, how and where follows from
// the seed and the telegram's number alone.
type Faults struct {
	Seed  uint64
	Rates []FaultRate

	Struck    int64 // telegrams struck so far
	Destroyed int64 // those of them that were lost by it

	number int64
}

// FaultRate is the part of all telegrams, 0 to 1, that a fault strikes. Only
// one fault strikes a telegram, so that all parts together are no more than 1.
type FaultRate struct {
	Fault Fault
	Part  float64
}

// EvenRates shares a part of the telegrams among faults.
func EvenRates(part float64, faults ...Fault) []FaultRate {
	rates := make([]FaultRate, len(faults))
	for i, f := range faults {
		rates[i] = FaultRate{f, part / float64(len(faults))}
	}
	return rates
}

const (
	whether question = 100 + iota
	what
)

// Append appends the next telegram as it comes through the line.
func (f *Faults) Append(dst, telegram []byte) []byte {
	f.number++
	dice := dice(f.Seed)
	fate := float64(dice.roll(whether, f.number, 1e9)) / 1e9
	for _, r := range f.Rates {
		if fate -= r.Part; fate >= 0 {
			continue
		}
		f.Struck++
		if r.Fault.Destroys() {
			f.Destroyed++
		}
		return r.Fault.append(dst, telegram, strike{dice, f.number << 20})
	}
	return append(dst, telegram...)
}

// strike rolls the dice for one telegram.
type strike struct {
	dice   dice
	number int64
}

func (s *strike) between(low, high int) int {
	s.number++
	return int(s.dice.between(what, s.number, int64(low), int64(high)))
}

// place is a place in the telegram at which a fault strikes.
func (s *strike) place(telegram []byte, room int) int { return s.between(0, len(telegram)-1-room) }

const startSequence = "\x1b\x1b\x1b\x1b\x01\x01\x01\x01"

func (f Fault) append(dst, t []byte, s strike) []byte {
	switch f {
	case Lost:
		n := s.between(1, 3)
		i := s.place(t, n)
		return append(append(dst, t[:i]...), t[i+n:]...)
	case Doubled:
		i := s.between(8, len(t)-2) // one more 1b at the start would be a stray one
		return append(append(dst, t[:i+1]...), t[i:]...)
	case Swapped:
		i := s.place(t, 1)
		for t[i] == t[i+1] {
			i = s.place(t, 1)
		}
		return append(append(append(dst, t[:i]...), t[i+1], t[i]), t[i+2:]...)
	case Flipped:
		i := len(dst) + s.place(t, 0)
		dst = append(dst, t...)
		dst[i] ^= 1 << s.between(0, 7)
		return dst
	case Torn:
		return append(dst, t[:s.between(1, len(t)-9)]...)
	case Restarted:
		i := s.between(9, len(t)-9)
		return append(append(append(dst, t[:i]...), startSequence...), t[i:]...)
	case CutEnd:
		return append(dst, t[:len(t)-s.between(2, 7)]...)
	case Stray:
		dst = append(dst, bytes.Repeat([]byte{0x1b}, s.between(1, 5))...)
	case Flood:
		dst = append(dst, bytes.Repeat([]byte{0x1b}, s.between(100, 2000))...)
	case Noise:
		dst = s.noise(dst, s.between(1, 400))
	case LongNoise:
		dst = s.noise(dst, s.between(1<<16, 70_000))
	}
	return append(dst, t...)
}

// noise is anything, with an escape here and there.
func (s *strike) noise(dst []byte, n int) []byte {
	for range n {
		if b := s.between(0, 263); b < 256 {
			dst = append(dst, byte(b))
		} else {
			dst = append(dst, 0x1b)
		}
	}
	return dst
}
