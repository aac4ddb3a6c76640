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
// ("InF") is off (FORM.md, Values). Some do so with a scaler of 3, others with
// the last digits zero.
func (t *Telegram) Coarse() bool {
	if _, ok := t.Power(); ok {
		return false
	}
	registers := 0
	for i := range t.Values {
		if v := &t.Values[i]; v.isEnergy() {
			if !v.exact.whole(3) {
				return false
			}
			registers++
		}
	}
	return registers > 0
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
