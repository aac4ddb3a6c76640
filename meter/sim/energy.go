package sim

import "github.com/shopspring/decimal"

// Energy is a whole number of watt seconds. A power that holds for whole
// seconds makes whole watt seconds, so that nothing here is ever rounded.
type Energy int64

// What an energy may be counted in.
const (
	WattHour     Energy = 3600
	KilowattHour Energy = 1000 * WattHour

	pulse = WattHour / 10 // what a register with two tariffs counts by
)

// In returns what a register shows that counts in steps of 10^scaler Wh: the
// whole steps, since a register never shows what it has not yet counted. The
// scaler lies between −4, the finest that meters have, and 3, whole kWh.
func (e Energy) In(scaler int8) int64 {
	for ; scaler < 0; scaler++ {
		e *= 10
	}
	for ; scaler > 0; scaler-- {
		e /= 10
	}
	return int64(e / WattHour)
}

// Wh returns In as a value in Wh.
func (e Energy) Wh(scaler int8) decimal.Decimal {
	return decimal.New(e.In(scaler), int32(scaler))
}

// Registers is what a meter has counted up to an instant.
type Registers struct {
	Drawn   Energy // 1.8.0
	FedIn   Energy // 2.8.0
	DrawnT1 Energy // 1.8.1, high tariff; in whole tenths of a Wh
	DrawnT2 Energy // 1.8.2, low tariff; T1 + T2 is Drawn in whole tenths of a Wh
}
