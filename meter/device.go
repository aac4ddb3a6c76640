package meter

import (
	"fmt"

	"smgw/meter/obis"
)

// Maker gives the three letters of the maker in a server id, "EMH", or "".
func (d DeviceID) Maker() string {
	maker, _, _ := d.makerAndSerial()
	return maker
}

// Serial gives the device's number: the last five octets of a server id after
// DIN 43863-5. It is not ok for an id of another form.
func (d DeviceID) Serial() (uint64, bool) {
	_, serial, ok := d.makerAndSerial()
	return serial, ok
}

// Plate gives the device's identification as it is printed on the meter
// (Herstellerübergreifende Identifikationsnummer, DIN 43863-5), with spaces
// for the eye: "1 ITR00 5501 2416". It is empty for an id of another form.
func (d DeviceID) Plate() string {
	if !d.isIdentification() {
		return ""
	}
	number := uint32(d[6])<<24 | uint32(d[7])<<16 | uint32(d[8])<<8 | uint32(d[9])
	if number > 99_999_999 {
		return fmt.Sprintf("%X %s%02X %d", d[1], string(d[2:5]), d[5], number)
	}
	return fmt.Sprintf("%X %s%02X %04d %04d", d[1], string(d[2:5]), d[5], number/10_000, number%10_000)
}

// isIdentification reports whether the id has the form of DIN 43863-5: 0a (or
// 09, in its first edition), the medium, three letters, the block, four octets.
func (d DeviceID) isIdentification() bool {
	return len(d) == 10 && (d[0] == 0x0a || d[0] == 0x09) && letters(d[2:5])
}

// makerAndSerial takes a server id apart, without allocating. Older EMH meters
// send 06, the letters and six octets of another numbering.
func (d DeviceID) makerAndSerial() (maker string, serial uint64, ok bool) {
	switch {
	case d.isIdentification():
		for _, b := range []byte(d[5:]) {
			serial = serial<<8 | uint64(b)
		}
		return string(d[2:5]), serial, true
	case len(d) == 10 && d[0] == 0x06 && letters(d[1:4]):
		return string(d[1:4]), 0, false
	}
	return "", 0, false
}

func letters(s DeviceID) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// Coarse reports whether the front port gives whole kWh and no power, as
// meters do while their PIN is not entered or their extended information
// ("InF") is off (FORM.md, Values). Some do so with a scaler of 3, which is
// certain; others with the last digits zero, as any register is at times.
func (t *Telegram) Coarse() bool {
	if _, ok := t.Power(); ok {
		return false
	}
	whole, certain, _ := t.wholeKWh()
	return whole && (certain || !t.fine)
}

// wholeKWh reports whether there are registers and all show whole kWh, whether
// all can show nothing else, and a sum that changes when one of them does.
func (t *Telegram) wholeKWh() (whole, certain bool, sum uint64) {
	certain = true
	for i := range t.Values {
		if v := &t.Values[i]; v.isEnergy() {
			if !v.exact.whole(3) {
				return false, false, 0
			}
			whole, certain = true, certain && v.exact.Scaler >= 3
			sum += v.exact.Magnitude
		}
	}
	return whole, whole && certain, sum
}

// grain remembers how finely the last device counts, so that one without a
// power register is not taken for coarse while its registers happen to be at a
// whole kWh.
type grain struct {
	device DeviceID
	fine   bool   // it has shown less than a kWh, and no power that may vanish
	whole  bool   // its last telegram had whole kWh
	sum    uint64 // of its registers then
}

// see takes the next telegram in and reports whether its device is known to
// count finer. A device that goes from one whole kWh to another without
// anything between has become coarse.
func (g *grain) see(t *Telegram) bool {
	if !t.hasEnergy() {
		return false
	}
	if t.Device != g.device {
		*g = grain{device: t.Device}
	}
	whole, _, sum := t.wholeKWh()
	switch {
	case !whole:
		_, power := t.Power()
		g.fine = !power
	case g.whole && sum != g.sum:
		g.fine = false
	}
	g.whole, g.sum = whole, sum
	return g.fine
}

func (t *Telegram) hasEnergy() bool {
	for i := range t.Values {
		if t.Values[i].isEnergy() {
			return true
		}
	}
	return false
}

// FeedsIn reports whether the meter counts what is fed in.
func (t *Telegram) FeedsIn() bool {
	for i := range t.Values {
		if v := &t.Values[i]; v.isEnergy() && v.Code[2] == obis.FedIn[2] {
			return true
		}
	}
	return false
}

// TwoTariffs reports whether the meter counts what is drawn in two tariffs.
func (t *Telegram) TwoTariffs() bool {
	first, ok1 := t.Value(obis.DrawnT1)
	second, ok2 := t.Value(obis.DrawnT2)
	return ok1 && ok2 && first.isEnergy() && second.isEnergy()
}
