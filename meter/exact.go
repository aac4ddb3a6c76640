package meter

import (
	"math/big"
	"strconv"

	"github.com/shopspring/decimal"
)

// Exact is an integer times a power of ten: a value as meters send it, without
// the rounding of a float and without the memory of a Decimal.
type Exact struct {
	Negative  bool
	Magnitude uint64
	Scaler    int8
}

// Append appends the value in plain decimal text without trailing zeros behind
// the point: 168248565 with scaler -1 is "16824856.5".
func (e Exact) Append(dst []byte) []byte {
	if e.Magnitude == 0 {
		return append(dst, '0')
	}
	if e.Negative {
		dst = append(dst, '-')
	}
	n, scaler := e.Magnitude, int(e.Scaler)
	for scaler < 0 && n%10 == 0 {
		n, scaler = n/10, scaler+1
	}
	var buf [20]byte
	digits := strconv.AppendUint(buf[:0], n, 10)
	point := len(digits) + scaler // digits before the point
	switch {
	case scaler >= 0:
		dst = append(dst, digits...)
		for range scaler {
			dst = append(dst, '0')
		}
		return dst
	case point > 0:
		dst = append(dst, digits[:point]...)
		dst = append(dst, '.')
		return append(dst, digits[point:]...)
	}
	dst = append(dst, "0."...)
	for range -point {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// String is Append.
func (e Exact) String() string { return string(e.Append(nil)) }

// Decimal gives the value for arithmetic.
func (e Exact) Decimal() decimal.Decimal {
	n := new(big.Int).SetUint64(e.Magnitude)
	if e.Negative {
		n.Neg(n)
	}
	return decimal.NewFromBigInt(n, int32(e.Scaler))
}

// whole reports whether the value is a multiple of 10^power.
func (e Exact) whole(power int) bool {
	n := e.Magnitude
	for missing := power - int(e.Scaler); missing > 0 && n != 0; missing-- {
		if n%10 != 0 {
			return false
		}
		n /= 10
	}
	return true
}
