package form

import (
	"math/big"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
)

// MaxInterpolation is the longest gap that a contract may ask to interpolate.
const MaxInterpolation = 24 * time.Hour

// Interpolated is the kind of a Notice that the Count substitutes of a load
// profile between two boundaries were made from the readings at both.
const Interpolated = "interpolated"

// interpolate puts substitutes into the gaps of a load profile, where the contract
// asks for them: the register is taken to have risen evenly between the good
// readings of one device at the gap's ends. Later readings have no say, so a gap
// that is open at the end of the period stays one.
func (b *builder) interpolate(m Measure, intervals []Quantity) {
	longest := meter.Quarter(b.m.Interpolate / meter.QuarterLength)
	if longest < 2 {
		return // the shortest gap is two quarter hours: one boundary is missing
	}
	s := b.of(m)
	decimals := s.decimals(b.period)
	var last *point
	for i := range s.points {
		p := &s.points[i]
		if last != nil && last.device != p.device {
			last = nil
		}
		if p.fault != NoReason {
			continue
		}
		if n := p.at - b.period.From; last != nil && n > 0 && p.at-last.at > 1 && p.at-last.at <= longest && last.good() && p.good() {
			b.fill(last, p, decimals, intervals)
		}
		last = p
	}
}

// fill puts the substitutes between two readings into the intervals of the period.
func (b *builder) fill(from, to *point, decimals int32, intervals []Quantity) {
	n := int64(to.at - from.at)
	rise := to.value.Sub(from.value).Shift(decimals).BigInt()
	// up is the register after k of n quarter hours, rounded down to its own
	// resolution: the substitutes are its steps and add up to the whole rise.
	up := func(k int64) *big.Int {
		v := new(big.Int).Mul(rise, big.NewInt(k))
		return v.Quo(v, big.NewInt(n))
	}
	warning := verdict(*from, *to).Warning
	first := max(from.at, b.period.From)
	for q := first; q < to.at; q = q.Next() {
		k := int64(q - from.at)
		step := new(big.Int).Sub(up(k+1), up(k))
		i := &intervals[q-b.period.From]
		i.State, i.Method, i.Warning = Substitute, Interpolation, warning
		i.Amount = decimal.NewNullDecimal(b.kWh(decimal.NewFromBigInt(step, -decimals), q))
	}
	b.notices = append(b.notices, Notice{Kind: Interpolated, From: from.at, To: to.at, Count: int(to.at - first)})
}

// good reports whether a plausible reading may stand for others.
func (p *point) good() bool { return p.clock && !p.coarse }

// decimals is how many digits behind the point of a Wh the register shows, by
// the good readings of a period and the last one before it.
func (s *series) decimals(p Period) int32 {
	most := 0
	first, _ := s.search(p.From)
	for first > 0 {
		if first--; s.points[first].fault == NoReason {
			break
		}
	}
	for _, p := range s.points[first:] {
		if p.fault == NoReason {
			_, digits, _ := strings.Cut(p.value.String(), ".") // String leaves out trailing zeros
			most = max(most, len(digits))
		}
	}
	return int32(most)
}
