package meter

import (
	"slices"

	"smgw/meter/obis"
	"smgw/sml"
)

// quirk is what one family of meters sends otherwise than the standard says,
// and how to read it right. What such a meter sent stays in Value.Raw.
type quirk struct {
	name  string
	maker string        // three letters in the server id; "" for any
	of    []serialRange // none for all of the maker
	apply func(t *Telegram, name string)
}

// serialRange is a range of device numbers, both ends included.
type serialRange struct{ from, to uint64 }

// dzgUnsigned are the device numbers of DZG's meters with dzg_unsigned_power.
var dzgUnsigned = []serialRange{{42_000_000, 48_999_999}, {55_000_000, 58_999_999}}

// quirks is the whole of what is known; the facts are those of SML.md, Quirks.
var quirks = [...]quirk{
	{
		// DZG DVS74xx send 1-0:16.7.0 with a signed type, shortened as if it
		// were unsigned: 53 8b 28 with scaler -2 is 356.24 W, and not -299.12 W. Only
		// these numbers do: the DWSB20.2TH (40,051,478) has real negative
		// power, and from 60,000,000 on the firmware is mended. Seen in 42,082,910.
		name: "dzg_unsigned_power", maker: "DZG",
		of: dzgUnsigned,
		apply: func(t *Telegram, name string) {
			for i := range t.Values {
				if v := &t.Values[i]; v.Code == obis.Power && v.exact.Negative && v.Raw.Size <= 3 {
					v.exact.Magnitude = v.Raw.Bits & (1<<(8*v.Raw.Size) - 1)
					v.exact.Negative, v.Quirk = false, name
				}
			}
		},
	},
	{
		// EMH ED300L has the direction of 1-0:15.7.0 only in bit 5 of the
		// status of 1-0:1.8.0: 0x182 drawing, 0x1b0 feeding in.
		name: "emh_direction", maker: "EMH",
		apply: func(t *Telegram, name string) {
			if total, ok := t.Value(obis.Drawn); ok && total.Status.Valid && total.Status.Bits&(1<<5) != 0 {
				negate(t, obis.PowerAbs, name)
			}
		},
	},
	{
		// Honeywell AS2020, and some Holley DTZ541, send 1-0:16.7.0 without a sign
		// (AS2020: 62 15 while feeding in 21); the direction is in bit 11
		// of the status, as FNN defines it. A meter that sends the sign has
		// a negative value whenever the bit is set, and is left alone.
		// DZG's numbers with a sign that is none are left alone too: half of
		// their powers would get the sign and half not.
		name: "fnn_direction",
		apply: func(t *Telegram, name string) {
			if maker, serial, _ := t.Device.makerAndSerial(); maker == "DZG" && within(dzgUnsigned, serial) {
				return
			}
			if fnn, ok := t.status().FNN(); ok && fnn.FeedingIn {
				negate(t, obis.Power, name)
				negate(t, obis.PowerAbs, name)
			}
		},
	},
	{
		// Holley DTZ541 sends a value's time as a bare 32-bit number instead
		// of a list of choice and time: 65 00 14 8e 03 is secIndex 1347075. It
		// sends no sensor time, so this is its only secIndex. Where it is the
		// sensor time that is bare, the telegram as a whole has the quirk.
		name: "holley_bare_time",
		apply: func(t *Telegram, name string) {
			for i := range t.Values {
				if v := &t.Values[i]; v.Time.Form == sml.Bare && v.Quirk == "" {
					v.Quirk = name
				}
			}
			if t.SensorTime.Form == sml.Bare {
				t.Quirk = name
			}
		},
	},
}

// status is that of the first energy register that has one.
func (t *Telegram) status() StatusWord {
	for i := range t.Values {
		if v := &t.Values[i]; v.Code.IsEnergy() && v.Status.Valid {
			return v.Status
		}
	}
	return StatusWord{}
}

// negate gives powers that were sent without a sign the sign of feeding in.
func negate(t *Telegram, c obis.Code, name string) {
	for i := range t.Values {
		v := &t.Values[i]
		if v.Code == c && v.Raw.IsInteger() && v.exact.Magnitude != 0 && !v.exact.Negative && v.Quirk == "" {
			v.exact.Negative, v.Quirk = true, name
		}
	}
}

func applyQuirks(t *Telegram) {
	maker, serial, known := t.Device.makerAndSerial()
	for i := range quirks {
		if q := &quirks[i]; q.maker == "" || q.maker == maker && q.concerns(serial, known) {
			q.apply(t, q.name)
		}
	}
}

// concerns reports whether a device of the quirk's maker has the quirk.
func (q *quirk) concerns(serial uint64, known bool) bool {
	return len(q.of) == 0 || known && within(q.of, serial)
}

func within(ranges []serialRange, serial uint64) bool {
	return slices.ContainsFunc(ranges, func(r serialRange) bool { return r.from <= serial && serial <= r.to })
}
