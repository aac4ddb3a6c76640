package meter

import (
	"github.com/shopspring/decimal"

	"smgw/meter/obis"
	"smgw/sml"
)

// Telegram is what a meter said in one SML file. Its values, and every slice in
// them, are borrowed from the Decoder and the Reader until their next call.
type Telegram struct {
	Offset, End int64 // in the stream
	Checksum    sml.Checksum
	Device      DeviceID
	SensorTime  sml.Time // when the meter measured, by its own clock; often absent
	Values      []Value  // the registers of all its lists, in order; those of another device are no part of its Reading
	Quirk       string   // the name of the quirk that the sensor time was read with, or ""

	// OK is false where messages were refused and no list is left: then
	// there is no telegram. One without lists and refusals is OK, and empty.
	OK bool

	fine bool // the device is known to count finer than its registers show now
}

// Value is one register as the meter sent it, with the quirks of the meter put
// right in Exact.
type Value struct {
	Code   obis.Code // zero where Name has not six octets
	Name   []byte    // the OBIS code as sent
	Raw    sml.Value // what the meter sent; quirks never change it
	Scaler sml.Int   // absent means 0
	Unit   sml.Uint  // a Unit
	Status StatusWord
	Time   sml.Time
	Quirk  string // the name of the quirk that was applied, or ""

	exact   Exact
	foreign bool // of another device than the telegram's
}

// Exact gives the value, if it is a number.
func (v *Value) Exact() (Exact, bool) { return v.exact, v.Raw.IsInteger() }

// Decimal gives the value for arithmetic, if it is a number.
func (v *Value) Decimal() (decimal.Decimal, bool) {
	if !v.Raw.IsInteger() {
		return decimal.Decimal{}, false
	}
	return v.exact.Decimal(), true
}

// Decoder makes telegrams of frames. It uses its memory again for each, and so
// decodes without allocating. The zero Decoder is ready for use.
type Decoder struct {
	values  []Value
	refused []*sml.RefusedError
	devices []DeviceID // those last heard
	runs    []run
	grain   grain
	told    Telegram // here, and not on a stack, for the quirks to work on
	open    sml.OpenResponse
	list    sml.GetListResponse
}

// run is the values of lists in a row that one device sent.
type run struct {
	device DeviceID
	end    int // in Decoder.values
}

// Decode decodes a frame. What is refused is refused message by message, with
// offsets in the stream, and costs no other message.
func (d *Decoder) Decode(f sml.Frame) (Telegram, []*sml.RefusedError) {
	d.values, d.refused, d.runs = d.values[:0], d.refused[:0], d.runs[:0]
	t := &d.told
	*t = Telegram{Offset: f.Offset, End: f.End, Checksum: f.Checksum}
	lists := 0
	for m, err := range f.Messages() {
		switch {
		case err != nil:
		case m.Tag == sml.TagOpenResponse:
			if err = m.Decode(&d.open); err == nil && lists == 0 {
				t.Device = d.deviceOf(d.open.ServerID)
			}
		case m.Tag == sml.TagGetListResponse:
			if err = d.addList(&m); err != nil {
				break
			}
			device := t.Device
			if d.list.ServerID != nil {
				device = d.deviceOf(d.list.ServerID)
			}
			if lists++; lists == 1 {
				t.SensorTime, t.Device = d.list.SensorTime, device
			}
			if last := len(d.runs) - 1; last >= 0 && d.runs[last].device == device {
				d.runs[last].end = len(d.values)
			} else {
				d.runs = append(d.runs, run{device, len(d.values)})
			}
		}
		if err != nil {
			d.refused = append(d.refused, err.(*sml.RefusedError))
		}
	}
	t.OK = lists > 0 || len(d.refused) == 0
	d.applyQuirks(t)
	t.Values = d.values
	t.fine = d.grain.see(t)
	return *t, d.refused
}

// applyQuirks applies to each device's values the quirks of that device.
func (d *Decoder) applyQuirks(t *Telegram) {
	own, begin := t.Device, 0
	for _, run := range d.runs {
		t.Device, t.Values = run.device, d.values[begin:run.end]
		applyQuirks(t)
		for i := range t.Values {
			t.Values[i].foreign = run.device != own
		}
		begin = run.end
	}
	t.Device = own
}

// deviceOf makes a string only of a device that was not heard lately.
func (d *Decoder) deviceOf(id []byte) DeviceID {
	for _, known := range d.devices {
		if string(known) == string(id) {
			return known
		}
	}
	if len(d.devices) == 4 { // more than a line has: somebody invents them
		d.devices = d.devices[:0]
	}
	device := DeviceID(id)
	d.devices = append(d.devices, device)
	return device
}

// addList adds a list's values: all of them, or none when one is malformed.
func (d *Decoder) addList(m *sml.Message) error {
	if err := m.Decode(&d.list); err != nil {
		return err
	}
	before := len(d.values)
	for e, err := range d.list.Entries.All() {
		if err != nil {
			d.values = d.values[:before]
			return m.Refuse(err.(*sml.RefusedError).Reason)
		}
		d.values = append(d.values, Value{})
		v := &d.values[len(d.values)-1] // filled where it stands: a copy of so much is what costs
		v.Name, v.Raw, v.Scaler, v.Unit, v.Time = e.Name, e.Value, e.Scaler, e.Unit, e.Time
		v.Status = StatusWord{Bits: e.Status.Value, Valid: e.Status.Valid()}
		if len(e.Name) == len(v.Code) {
			v.Code = obis.Code(e.Name)
		}
		v.exact = exactOf(e.Value, int8(e.Scaler.Value))
	}
	return nil
}

func exactOf(v sml.Value, scaler int8) Exact {
	if v.Kind == sml.Signed && int64(v.Bits) < 0 {
		return Exact{Negative: true, Magnitude: -v.Bits, Scaler: scaler}
	}
	return Exact{Magnitude: v.Bits, Scaler: scaler}
}

// Value finds a register of the telegram's device.
func (t *Telegram) Value(c obis.Code) (*Value, bool) {
	for i := range t.Values {
		if t.Values[i].Code == c && !t.Values[i].foreign {
			return &t.Values[i], true
		}
	}
	return nil, false
}

// SecIndex gives the meter's count of seconds since its installation: its
// sensor time, or the time of its values where only they have one.
func (t *Telegram) SecIndex() SecIndex {
	if t.SensorTime.Choice == sml.SecIndex {
		return SecIndex{t.SensorTime.Value, true}
	}
	for i := range t.Values {
		// DZG sends values with secIndex 0 where it means none.
		if v := &t.Values[i]; v.Code.IsEnergy() && !v.foreign && v.Time.Choice == sml.SecIndex && v.Time.Value != 0 {
			return SecIndex{v.Time.Value, true}
		}
	}
	return SecIndex{}
}

// Reading gives the telegram's registers of active energy and its power, as
// the reading of a meter at an instant. It is not ok without any register, nor
// with more than a Reading can have.
func (t *Telegram) Reading(meterName string, at Stamp) (r Reading, ok bool) {
	r = Reading{Meter: meterName, Device: t.Device, At: at, SecIndex: t.SecIndex(), Coarse: t.Coarse()}
	for i := range t.Values {
		v := &t.Values[i]
		if !v.isEnergy() {
			continue
		}
		r.Registers = append(r.Registers, RegisterValue{v.Code, v.exact.Decimal()})
		if !r.Status.Valid || v.Code == obis.Drawn {
			r.Status = v.Status
		}
	}
	if power, ok := t.Power(); ok {
		r.Power = decimal.NewNullDecimal(power.Decimal())
	}
	return r, 0 < len(r.Registers) && len(r.Registers) <= MaxRegisters && len(r.Device) <= MaxDeviceID
}

// Power gives the momentary active power in W, negative when feeding in.
func (t *Telegram) Power() (Exact, bool) {
	if v := t.power(); v != nil {
		return v.exact, true
	}
	return Exact{}, false
}

// power is the value that says the power of both directions, nil without one. What
// is drawn is that only with a sign: EMH eHZ361 of a plant sends 1-0:1.7.1 as
// 55 fc a4 98 84 with scaler -4 while it feeds in 5632.1916 W.
func (t *Telegram) power() *Value {
	for _, c := range [...]obis.Code{obis.Power, obis.PowerAbs, obis.PowerDrawn, obis.PowerDrawn1} {
		if v, ok := t.watts(c); ok && (c[2] != obis.Drawn[2] || v.Raw.Kind == sml.Signed) {
			return v
		}
	}
	return nil
}

// watts finds a number of the telegram's device that is in W.
func (t *Telegram) watts(c obis.Code) (*Value, bool) {
	v, ok := t.Value(c)
	return v, ok && v.Raw.IsInteger() && Unit(v.Unit.Value) == Watt
}

// isEnergy reports whether the value is a register of active energy in Wh of
// the telegram's device.
func (v *Value) isEnergy() bool {
	return !v.foreign && v.Code.IsEnergy() && Unit(v.Unit.Value) == WattHour && v.Raw.IsInteger()
}
