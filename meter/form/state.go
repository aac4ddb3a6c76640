package form

// State of a value; beside it the code of the market's message MSCONS, to which a
// head-end converts it without loss.
type State uint8

const (
	True        State = iota + 1 // wahrer Wert, 220
	Substitute                   // Ersatzwert, 67
	Preliminary                  // vorläufiger Wert, Z18
	Unusable                     // nicht verwendbarer Wert, 20
	Missing                      // fehlender Wert, Z30
)

var states = [...]string{True: "true", Substitute: "substitute", Preliminary: "preliminary", Unusable: "unusable", Missing: "missing"}

// String gives the name that payloads and previews carry, "true" … "missing".
func (s State) String() string { return states[s] }

// MarshalText is String, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reason says why a value is not simply true, as an MSCONS code.
type Reason string

const (
	NoReason      Reason = ""
	Communication Reason = "Z75" // no usable reading at a boundary
	GridOutage    Reason = "Z76"
	DeviceChange  Reason = "Z78" // also: before the point was commissioned
	Defect        Reason = "Z81"
	ClockSet      Reason = "ZA0" // made from a boundary taken with an unsynchronised clock
	Implausible   Reason = "ZA1"
	Resolution    Reason = "ZC4" // the front port gives whole kWh only
)

// Method says how a substitute was made, as an MSCONS code.
type Method string

const (
	NoMethod      Method = ""
	Interpolation Method = "Z92" // between good neighbours
	Statistical   Method = "ZJ2"
)

// Warning travels with a value that is usable but worth a look.
type Warning string

const (
	NoWarning     Warning = ""
	OffsetWarning Warning = "offset" // read more than 9 s off its boundary
)

var kinds = [...]string{Energy: "energy", MaxPower: "max_power", Register: "register", LoadProfile: "load_profile", Momentary: "momentary"}

// String gives the name that previews carry.
func (k Kind) String() string { return kinds[k] }

// Unit gives the unit of the value's figures.
func (v *Value) Unit() string {
	switch v.Kind {
	case MaxPower:
		return "kW"
	case Momentary:
		return momentaryUnit(v.Code)
	}
	return "kWh"
}

// MarshalText is String, for JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
