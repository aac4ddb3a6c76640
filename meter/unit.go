package meter

// Unit is a DLMS unit (IEC 62056-6-2, table of enumerated physical units).
type Unit uint8

// The units that electricity meters send.
const (
	Degree         Unit = 8
	Watt           Unit = 27
	VoltAmpere     Unit = 28
	Var            Unit = 29
	WattHour       Unit = 30
	VoltAmpereHour Unit = 31
	VarHour        Unit = 32
	Ampere         Unit = 33
	Volt           Unit = 35
	Hertz          Unit = 44
	Dimensionless  Unit = 255
)

// String gives the sign of the unit, "Wh"; it is empty for one without.
func (u Unit) String() string { return unitSigns[u] }

var unitSigns = map[Unit]string{
	1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s",
	Degree: "°", 9: "°C", 11: "m", 13: "m³", 14: "m³", 19: "l",
	Watt: "W", VoltAmpere: "VA", Var: "var", WattHour: "Wh", VoltAmpereHour: "VAh", VarHour: "varh",
	Ampere: "A", 34: "C", Volt: "V", 38: "Ω", Hertz: "Hz", 56: "%", 70: "dBm",
}
