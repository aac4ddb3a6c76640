package sim

import (
	"time"

	"smgw/meter"
	"smgw/meter/obis"
	"smgw/sml"
)

// Model is how one family of meters says what it has counted. The models are
// imitations: layouts, widths, scalers and oddities are those of recordings
// and of SML.md, the devices are invented.
type Model struct {
	Name   string // for --model
	About  string // one line
	Device meter.DeviceID

	frame    sml.Checksum // over the frame; 0: X.25
	messages sml.Checksum // over each message; 0: X.25
	tagSize  uint8        // octets of a message's tag; 0: four
	version  uint8        // of SML, said in Open; 0: not said
	refTime  bool         // Open says the time
	listName bool         // GetList names its list
	noTime   bool         // GetList says no sensor time
	list     []register   // what GetList says
}

// register is one entry of a model's list.
type register struct {
	code   obis.Code
	is     quantity
	scaler int8
	width  uint8 // octets of the value; 0: as few as it needs
	signed bool
	status status
	time   entryTime
	octets string // for constant octets
}

// quantity is what an entry is about.
type quantity uint8

const (
	drawn quantity = iota
	drawnT1
	drawnT2
	fedIn
	power        // W, negative when feeding in
	powerAmount  // W, without its sign
	powerDZG     // W, without its sign, in a signed type too narrow for it
	powerL1      // the three phases share the power
	powerL2      //
	powerL3      //
	voltage      // tenths of a volt
	current      // hundredths of an ampere, of a phase
	frequency    // tenths of a hertz
	angle        // degrees
	maker        // three letters, from the device
	device       // the server id
	constant     // octets
	statusNumber // the status word again, as a value
	nothing      // an entry without a value
)

// status is how a register's entry states its status.
type status uint8

const (
	noStatus    status = iota
	fnn3               // FNN status word in three octets
	fnn4               // in four
	fnn3Drawing        // in three, and says drawing all the time
	bit5               // two octets, direction in bit 5 (EMH ED300L)
	vendor3            // 0x010180 in three
	vendor4            // 0x0182 in four
)

// entryTime is how an entry states when it was measured.
type entryTime uint8

const (
	noTime   entryTime = iota
	zeroTime           // SecIndex 0 (DZG)
	listTime           // SecIndex
	bareTime           // SecIndex without its list (Holley)
)

// FNN status words by what the sum power does (FORM.md, Values): all three
// phases are there, and the meter runs above its starting current or not.
const (
	fnnDrawing   = 0x1c0104
	fnnFeedingIn = 0x1c0904
	fnnIdle      = 0x1c0004
)

func fnnWord(power int64) uint64 {
	switch {
	case power < 0:
		return fnnFeedingIn
	case power == 0:
		return fnnIdle
	}
	return fnnDrawing
}

func (s status) word(power int64) sml.Uint {
	switch s {
	case fnn3:
		return sml.Uint{Value: fnnWord(power), Size: 3}
	case fnn4:
		return sml.Uint{Value: fnnWord(power), Size: 4}
	case fnn3Drawing:
		return sml.Uint{Value: fnnDrawing, Size: 3}
	case bit5:
		if power < 0 {
			return sml.Uint{Value: 0x1b0, Size: 2}
		}
		return sml.Uint{Value: 0x182, Size: 2}
	case vendor3:
		return sml.Uint{Value: 0x10180, Size: 3}
	case vendor4:
		return sml.Uint{Value: 0x182, Size: 4}
	}
	return sml.Uint{}
}

func (e entryTime) at(secIndex uint32) sml.Time {
	switch e {
	case zeroTime:
		return sml.Time{Choice: sml.SecIndex}.OfSize(1)
	case listTime:
		return sml.Time{Choice: sml.SecIndex, Value: secIndex}
	case bareTime:
		return sml.Time{Choice: sml.SecIndex, Value: secIndex, Form: sml.Bare}
	}
	return sml.Time{}
}

// moment is all that the entries of one telegram need.
type moment struct {
	Registers
	power    int64
	secIndex uint32
}

func (m *Meter) moment(at time.Time) moment {
	return moment{m.Home.Registers(at), m.Home.Power(at), m.SecIndex(at)}
}

// raw is the entry's number, in steps of its scaler.
func (r *register) raw(now *moment) int64 {
	switch r.is {
	case drawn:
		return now.Drawn.In(r.scaler)
	case drawnT1:
		return now.DrawnT1.In(r.scaler)
	case drawnT2:
		return now.DrawnT2.In(r.scaler)
	case fedIn:
		return now.FedIn.In(r.scaler)
	case voltage:
		return 2300 + (now.power+int64(r.code[2]))%37
	case current:
		return max(now.power, -now.power) * 100 / (3 * 230)
	case frequency:
		return 500
	case angle:
		switch r.code[4] {
		case 1, 2: // of a voltage to that of L1
			return 120 * int64(r.code[4])
		}
		return 290 + int64(r.code[4]) // of a current to its voltage
	}
	watts := now.power
	third := watts / 3
	switch r.is {
	case powerAmount, powerDZG:
		watts = max(watts, -watts)
	case powerL1:
		watts -= 2 * third
	case powerL2, powerL3:
		watts = third
	}
	for range -r.scaler {
		watts *= 10
	}
	return watts
}

// entry makes the entry of one telegram.
func (m *Meter) entry(r *register, now *moment) sml.Entry {
	e := sml.Entry{
		Name:   r.code[:],
		Status: r.status.word(now.power),
		Time:   r.time.at(now.secIndex),
	}
	if r.time == zeroTime {
		e.Unit, e.Scaler = sml.U8(0), sml.I8(0)
	}
	switch r.is {
	case maker:
		e.Value = sml.OctetValue([]byte(m.Device[2:5]))
		return e
	case device:
		e.Value = sml.OctetValue([]byte(m.Device))
		return e
	case constant:
		e.Value = sml.OctetValue([]byte(r.octets))
		return e
	case statusNumber:
		e.Value = sml.UnsignedValue(fnnWord(now.power), 4)
		return e
	case nothing:
		return e
	case drawn, drawnT1, drawnT2, fedIn:
		e.Unit = sml.U8(30)
	case voltage:
		e.Unit = sml.U8(35)
	case current:
		e.Unit = sml.U8(33)
	case frequency:
		e.Unit = sml.U8(44)
	case angle:
		e.Unit = sml.U8(8)
	default:
		e.Unit = sml.U8(27)
	}
	e.Scaler = sml.I8(r.scaler)
	raw := r.raw(now)
	switch width := r.width; {
	case r.is == powerDZG:
		// The octets that the number needs without a sign, called signed.
		if width = sml.MinSize(uint64(raw)); width > 3 {
			width = sml.MinSignedSize(raw)
		}
		shift := 64 - 8*width
		e.Value = sml.SignedValue(raw<<shift>>shift, width)
	case r.signed:
		e.Value = sml.SignedValue(raw, max(width, sml.MinSignedSize(raw)))
	default:
		e.Value = sml.UnsignedValue(uint64(raw), max(width, sml.MinSize(uint64(raw))))
	}
	return e
}
