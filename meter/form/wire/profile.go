package wire

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/shopspring/decimal"

	"smgw/meter/form"
)

// A load profile travels as one exponent, a byte string and runs. The byte
// string has one mantissa for each interval that is not missing: unsigned,
// big-endian, all of the same width, the smallest that holds the largest. Runs
// give the states of successive intervals; without runs all are true, which is
// how the profile of a good day fits into 512 bytes with its signature.

// run is "run" of docs/payload.cddl: how many successive intervals are alike.
type run struct {
	_       struct{} `cbor:",toarray"`
	Count   uint32
	State   uint8 // 0: true
	Reason  string
	Method  string
	Warning uint8
}

func (w *value) setIntervals(intervals []form.Quantity) error {
	if len(intervals) == 0 || len(intervals) > maxIntervals {
		return fmt.Errorf("%d intervals: want 1 to %d", len(intervals), maxIntervals)
	}
	first := true // no figure seen but zeros
	for i, q := range intervals {
		s, err := stateOf(q)
		if err != nil {
			return fmt.Errorf("interval %d: %w", i+1, err)
		}
		r := run{Count: 1, State: s.code(), Reason: string(s.Reason), Method: string(s.Method), Warning: s.warning()}
		if last := len(w.Runs) - 1; last >= 0 && w.Runs[last].alike(r) {
			w.Runs[last].Count++
		} else {
			w.Runs = append(w.Runs, r)
		}
		if q.Amount.Decimal.IsZero() {
			continue
		}
		if q.Amount.Decimal.IsNegative() {
			return fmt.Errorf("interval %d is negative", i+1)
		}
		if _, e := shortest(q.Amount.Decimal); first || e < w.Exponent {
			w.Exponent, first = e, false
		}
	}
	if w.Exponent < -maxExponent || maxExponent < w.Exponent {
		return fmt.Errorf("an interval in units of 10^%d kWh is no figure of a meter", w.Exponent)
	}
	if len(w.Runs) == 1 && w.Runs[0].alike(run{}) {
		w.Runs = nil
	}
	return w.pack(intervals)
}

// pack writes the mantissas.
func (w *value) pack(intervals []form.Quantity) error {
	mantissas := make([]*big.Int, 0, len(intervals))
	width := 1
	for _, q := range intervals {
		if !q.Amount.Valid {
			continue
		}
		m := q.Amount.Decimal.Shift(-w.Exponent).BigInt() // whole by the choice of the exponent
		width = max(width, (m.BitLen()+7)/8)
		mantissas = append(mantissas, m)
	}
	if width > maxWidth {
		return fmt.Errorf("an interval of %d bytes is no figure of a meter", width)
	}
	if len(mantissas) == 0 {
		return nil
	}
	w.Intervals = make([]byte, width*len(mantissas))
	for i, m := range mantissas {
		m.FillBytes(w.Intervals[i*width : (i+1)*width])
	}
	return nil
}

func (r run) alike(s run) bool {
	r.Count, s.Count = 0, 0
	return r == s
}

// intervals is the way back. Without runs every mantissa is one true interval:
// how many there are follows from the width, which the caller's re-encoding
// proves to be the smallest, and from the count that the period gives.
func (w *value) intervals(n int64) ([]form.Quantity, error) {
	if n < 1 || n > maxIntervals {
		return nil, fmt.Errorf("%d intervals: want 1 to %d", n, maxIntervals)
	}
	if w.Exponent < -maxExponent || maxExponent < w.Exponent {
		return nil, errors.New("exponent is out of range")
	}
	runs := w.Runs
	if len(runs) == 0 {
		runs = []run{{Count: uint32(n)}}
	}
	present, total := 0, int64(0)
	for _, r := range runs {
		total += int64(r.Count)
		if form.State(r.State) != form.Missing {
			present += int(r.Count)
		}
		if total > n {
			break
		}
	}
	if total != n {
		return nil, fmt.Errorf("runs of %d intervals in a period of %d", total, n)
	}
	width := 0
	if present > 0 {
		width = len(w.Intervals) / present
	}
	if width*present != len(w.Intervals) || width > maxWidth || present > 0 && width == 0 {
		return nil, fmt.Errorf("%d bytes for %d intervals", len(w.Intervals), present)
	}
	intervals := make([]form.Quantity, 0, n)
	packed := w.Intervals
	for _, r := range runs {
		q, err := status{Reason: form.Reason(r.Reason), Method: form.Method(r.Method)}.quantity(r.State, r.Warning)
		if err != nil {
			return nil, err
		}
		for range r.Count {
			if q.State != form.Missing {
				m := new(big.Int).SetBytes(packed[:width])
				packed = packed[width:]
				q.Amount = decimal.NewNullDecimal(decimal.NewFromBigInt(m, w.Exponent))
			}
			intervals = append(intervals, q)
		}
	}
	return intervals, nil
}
