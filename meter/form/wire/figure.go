package wire

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/shopspring/decimal"

	"smgw/meter/form"
)

// A figure is mantissa × 10^exponent, whole numbers both. Limits keep a hostile
// one from being expanded into megabytes; real meters stay far inside.
const (
	maxExponent = 300 // of either sign
	maxWidth    = 128 // bytes of a mantissa
)

var ten = big.NewInt(10)

// fraction is a decimal fraction (RFC 8949, 3.4.4, tag 4) in its shortest form:
// the mantissa is not divisible by ten, and zero is [0, 0].
type fraction struct {
	_        struct{} `cbor:",toarray"`
	Exponent int32
	Mantissa big.Int
}

func newFraction(d decimal.Decimal) (*fraction, error) {
	mantissa, exponent := shortest(d)
	if exponent < -maxExponent || maxExponent < exponent || len(mantissa.Bytes()) > maxWidth {
		return nil, fmt.Errorf("%d × 10^%d is no figure of a meter", mantissa, exponent)
	}
	return &fraction{Exponent: exponent, Mantissa: *mantissa}, nil
}

func (f *fraction) decimal() (decimal.Decimal, error) {
	if f.Exponent < -maxExponent || maxExponent < f.Exponent || len(f.Mantissa.Bytes()) > maxWidth {
		return decimal.Decimal{}, errors.New("figure is out of range")
	}
	return decimal.NewFromBigInt(&f.Mantissa, f.Exponent), nil
}

// shortest takes the trailing zeros off a decimal.
func shortest(d decimal.Decimal) (*big.Int, int32) {
	mantissa, exponent := d.Coefficient(), d.Exponent()
	if mantissa.Sign() == 0 {
		return mantissa, 0
	}
	var quotient, rest big.Int
	for {
		quotient.QuoRem(mantissa, ten, &rest)
		if rest.Sign() != 0 {
			return mantissa, exponent
		}
		mantissa.Set(&quotient)
		exponent++
	}
}

// status is what is said of a figure beside its amount.
type status struct {
	State   form.State
	Reason  form.Reason
	Method  form.Method
	Warning form.Warning
}

var (
	reasons = []form.Reason{form.NoReason, form.Communication, form.GridOutage, form.DeviceChange, form.Defect, form.ClockSet, form.Implausible, form.Resolution}
	methods = []form.Method{form.NoMethod, form.Interpolation, form.Statistical}
)

// stateOf refuses a figure whose amount contradicts its state, and words that
// docs/payload.cddl has not.
func stateOf(q form.Quantity) (status, error) {
	s := status{q.State, q.Reason, q.Method, q.Warning}
	if q.State < form.True || form.Missing < q.State {
		return s, fmt.Errorf("state %d is none", q.State)
	}
	if (q.State == form.Missing) == q.Amount.Valid {
		return s, fmt.Errorf("state %s contradicts its amount: only what is missing has none", q.State)
	}
	if !slices.Contains(reasons, q.Reason) {
		return s, fmt.Errorf("reason %q is none", q.Reason)
	}
	if !slices.Contains(methods, q.Method) {
		return s, fmt.Errorf("method %q is none", q.Method)
	}
	if q.Warning != form.NoWarning && q.Warning != form.OffsetWarning {
		return s, fmt.Errorf("warning %q is none", q.Warning)
	}
	return s, nil
}

// code is the state as it travels: 0 for true, so that it can be left out.
func (s status) code() uint8 {
	if s.State == form.True {
		return 0
	}
	return uint8(s.State)
}

func (s status) warning() uint8 {
	if s.Warning == form.OffsetWarning {
		return 1
	}
	return 0
}

// quantity is the way back from code and warning; the amount is left to the caller.
func (s status) quantity(code, warning uint8) (form.Quantity, error) {
	q := form.Quantity{State: form.State(code), Reason: s.Reason, Method: s.Method}
	if code == 0 {
		q.State = form.True
	}
	if q.State > form.Missing {
		return q, fmt.Errorf("state %d is none", code)
	}
	switch warning {
	case 0:
	case 1:
		q.Warning = form.OffsetWarning
	default:
		return q, fmt.Errorf("warning %d is none", warning)
	}
	return q, nil
}
