package form_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// model is FORM.md's rules for values once more: slow, with fractions instead
// of decimals, searching where the package keeps state, and sharing no code with
// it. What the package builds is compared with it on random readings.
type model struct {
	factor   int64
	limit    time.Duration
	max      *big.Rat // kW
	versions []modelVersion
	lines    []line
}

// modelVersion is what changes at a midnight.
type modelVersion struct {
	from   int64
	factor int64
	max    *big.Rat
}

// at is what holds in the quarter hour that begins at a boundary.
func (m *model) at(q int64) (factor int64, max *big.Rat) {
	factor, max = m.factor, m.max
	for _, v := range m.versions {
		if v.from <= q {
			factor, max = v.factor, v.max
		}
	}
	return factor, max
}

// line is a line of a table of readings.
type line struct {
	at     int64 // quarter hours since 1970
	code   string
	wh     *big.Rat
	offset time.Duration
	device string
	unsync bool
	coarse bool
}

func (m *model) find(code string, at int64) *line {
	for i := range m.lines {
		if l := &m.lines[i]; l.code == code && l.at == at && l.offset.Abs() <= m.limit {
			return l
		}
	}
	return nil
}

// plausible: not lower than any earlier usable and plausible reading of the same
// device, and not more than the power allowed away from any of them.
func (m *model) plausible(l *line, memo map[*line]bool) bool {
	if known, ok := memo[l]; ok {
		return known
	}
	answer := true
	for i := range m.lines {
		e := &m.lines[i]
		if e.code != l.code || e.device != l.device || e.at >= l.at || e.offset.Abs() > m.limit || !m.plausible(e, memo) {
			continue
		}
		if l.wh.Cmp(e.wh) < 0 {
			answer = false
		}
		// What the meter may have shown at most, quarter hour by quarter hour.
		most, limited := new(big.Rat), true
		for q := e.at; q < l.at; q++ {
			factor, max := m.at(q)
			if max == nil {
				limited = false
				break
			}
			most.Add(most, new(big.Rat).Mul(max, big.NewRat(1000, 4*factor)))
		}
		if limited && new(big.Rat).Sub(l.wh, e.wh).Cmp(most) > 0 {
			answer = false
		}
	}
	memo[l] = answer
	return answer
}

// kwh is what the meter showed as energy in the quarter hour that begins at q.
func (m *model) kwh(wh *big.Rat, q int64) *big.Rat {
	factor, _ := m.at(q)
	return new(big.Rat).Mul(wh, big.NewRat(factor, 1000))
}

// end is the state of what needs some boundaries: "" when all are good.
func (m *model) end(code string, memo map[*line]bool, ats ...int64) (reason, warning string, unsync bool) {
	for _, at := range ats {
		if m.find(code, at) == nil {
			return "Z75", "", false
		}
	}
	for _, at := range ats {
		if !m.plausible(m.find(code, at), memo) {
			return "ZA1", "", false
		}
	}
	for _, at := range ats {
		l := m.find(code, at)
		unsync = unsync || l.unsync
		if l.offset.Abs() > 9*time.Second {
			warning = " offset"
		}
	}
	return "", warning, unsync
}

func (m *model) interval(code string, memo map[*line]bool, at int64) (value *big.Rat, text string) {
	a, b := m.find(code, at), m.find(code, at+1)
	if a != nil && b != nil && a.device != b.device {
		return nil, "null missing Z78"
	}
	reason, warning, unsync := m.end(code, memo, at, at+1)
	if reason != "" {
		return nil, "null missing " + reason
	}
	value = m.kwh(new(big.Rat).Sub(b.wh, a.wh), at)
	state := "true"
	if unsync {
		state = "unusable ZA0"
	} else if a.coarse || b.coarse {
		state = "unusable ZC4"
	}
	return value, plain(value) + " " + state + warning
}

func (m *model) profile(code string, from, to int64) string {
	memo := map[*line]bool{}
	var out []string
	for q := from; q < to; q++ {
		_, text := m.interval(code, memo, q)
		out = append(out, text)
	}
	return fmt.Sprintf("load_profile %s %d [%s]", code, from, strings.Join(out, ", "))
}

func (m *model) energy(code string, from, to int64) string {
	memo := map[*line]bool{}
	head := "energy " + code + " "
	// Both ends, and where the factor changes.
	ends := []int64{from}
	for q := from + 1; q < to; q++ {
		before, _ := m.at(q - 1)
		if after, _ := m.at(q); before != after {
			ends = append(ends, q)
		}
	}
	ends = append(ends, to)
	if reason, _, _ := m.end(code, memo, ends...); reason != "" {
		return head + "null missing " + reason
	}
	sum := new(big.Rat)
	made := ends
	for i, end := range ends[1:] {
		// The good readings of the part, split where the device changes.
		var parts [][]*line
		for q := ends[i]; q <= end; q++ {
			l := m.find(code, q)
			if l == nil || !m.plausible(l, memo) {
				continue
			}
			if n := len(parts); n == 0 || parts[n-1][0].device != l.device {
				parts = append(parts, nil)
			}
			parts[len(parts)-1] = append(parts[len(parts)-1], l)
		}
		for _, p := range parts {
			first, last := p[0], p[len(p)-1]
			sum.Add(sum, m.kwh(new(big.Rat).Sub(last.wh, first.wh), ends[i]))
			made = append(made, first.at, last.at)
		}
	}
	_, warning, unsync := m.end(code, memo, made...)
	state := "true"
	if unsync {
		state = "unusable ZA0"
	}
	return head + plain(sum) + " " + state + warning
}

func (m *model) maxPower(code string, from, to int64) string {
	memo := map[*line]bool{}
	var best *big.Rat
	var at int64
	missing, state := 0, "true"
	for q := from; q < to; q++ {
		value, text := m.interval(code, memo, q)
		if value == nil {
			missing++
			continue
		}
		if strings.Contains(text, "ZA0") {
			state = "unusable ZA0"
		} else if strings.Contains(text, "ZC4") && state == "true" {
			state = "unusable ZC4"
		}
		if best == nil || value.Cmp(best) > 0 {
			best, at = value, q
		}
	}
	head := "max_power " + code + " "
	switch {
	case best == nil:
		return fmt.Sprintf("%snull missing, %d missing", head, missing)
	case missing > 0:
		state = "preliminary"
	}
	kw := plain(new(big.Rat).Mul(best, big.NewRat(4, 1)))
	text := fmt.Sprintf("%s%d %s %s", head, at, kw, state)
	if missing > 0 {
		text += fmt.Sprintf(", %d missing", missing)
	}
	return text
}

func (m *model) register(code string, at int64) string {
	head := fmt.Sprintf("register %s %d ", code, at)
	memo := map[*line]bool{}
	codes, sign := []string{code}, []int64{1}
	if code == "1-0:1.8.63" {
		keeps := false
		for _, l := range m.lines {
			keeps = keeps || l.code == code
		}
		if !keeps {
			codes, sign = []string{"1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2"}, []int64{1, -1, -1}
		}
	}
	sum, state, warning := new(big.Rat), "true", ""
	reasons := ""
	for i, c := range codes {
		reason, w, unsync := m.end(c, memo, at)
		reasons += reason
		if reason != "" {
			continue
		}
		sum.Add(sum, new(big.Rat).Mul(m.find(c, at).wh, big.NewRat(sign[i], 1)))
		if w != "" {
			warning = w
		}
		if unsync {
			state = "unusable ZA0"
		}
	}
	switch {
	case strings.Contains(reasons, "Z75"):
		return head + "null missing Z75"
	case strings.Contains(reasons, "ZA1"):
		return head + "null missing ZA1"
	}
	return head + plain(m.kwh(sum, at-1)) + " " + state + warning
}

// plain gives a fraction as decimal text without trailing zeros.
func plain(r *big.Rat) string {
	s := r.FloatString(30)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// describe gives what the package built in the words of the model.
func describe(v form.Value) string {
	words := func(q form.Quantity) string {
		s := "null"
		if q.Amount.Valid {
			s = q.Amount.Decimal.String()
		}
		s += " " + q.State.String()
		if q.Reason != "" {
			s += " " + string(q.Reason)
		}
		if q.Warning != "" {
			s += " " + string(q.Warning)
		}
		if v.MissingIntervals > 0 {
			s += fmt.Sprintf(", %d missing", v.MissingIntervals)
		}
		return s
	}
	head := v.Kind.String() + " " + v.Code.Short() + " "
	switch v.Kind {
	case form.Energy:
		return head + words(v.Quantity)
	case form.LoadProfile:
		var out []string
		for _, q := range v.Intervals {
			out = append(out, words(q))
		}
		return fmt.Sprintf("%s%d [%s]", head, v.At, strings.Join(out, ", "))
	}
	if !v.Amount.Valid && v.Kind == form.MaxPower {
		return head + words(v.Quantity)
	}
	return fmt.Sprintf("%s%d %s", head, v.At, words(v.Quantity))
}

// drawLines draws the readings of a register round a period: mostly rising,
// with every fault that the rules name.
func drawLines(t *rapid.T, code string, from, to int64) []line {
	var lines []line
	value := rapid.Int64Range(0, 1_000_000).Draw(t, "start")
	devices := []string{"", "\x0aA"}
	device := 0
	faults := rapid.IntRange(0, 3).Draw(t, "faults") // how troubled this register is
	for q := from - 6; q <= to+2; q++ {
		value += rapid.Int64Range(0, 4000).Draw(t, "step")
		l := line{at: q, code: code, wh: big.NewRat(value, 10), device: devices[device]}
		l.offset = time.Duration(rapid.SampledFrom([]int{0, 400, -8999, 9000, -9000, 9001, -9001, 26_999, 27_000, -27_000}).Draw(t, "offset")) * time.Millisecond
		if faults > 0 {
			switch rapid.IntRange(0, 30/faults).Draw(t, "fault") {
			case 0:
				continue // a gap
			case 1:
				l.offset = 27_001 * time.Millisecond
			case 2:
				l.wh = big.NewRat(value-rapid.Int64Range(0, 9000).Draw(t, "fall"), 10)
			case 3:
				l.wh = big.NewRat(value+rapid.Int64Range(0, 200_000).Draw(t, "leap"), 10)
			case 4:
				value -= rapid.Int64Range(0, 9000).Draw(t, "fall for good")
			case 5:
				l.unsync = true
			case 6:
				l.coarse = true
			case 7:
				if faults == 3 {
					device = 1 - device
					value = rapid.Int64Range(0, 1_000_000).Draw(t, "other device")
				}
			}
		}
		lines = append(lines, l)
	}
	return lines
}

func (l line) reading(t require.TestingT) meter.BoundaryReading {
	code, err := obis.Parse(l.code)
	require.NoError(t, err)
	wh, err := decimal.NewFromString(plain(l.wh))
	require.NoError(t, err)
	b := meter.BoundaryReading{
		Boundary: meter.Quarter(l.at), Device: meter.DeviceID(l.device), Offset: l.offset, Coarse: l.coarse,
		Clock: meter.ClockSynchronised, Registers: []meter.RegisterValue{{Code: code, Value: wh}},
	}
	if l.unsync {
		b.Clock = meter.ClockUnsynchronised
	}
	return b
}

func TestBuildsWhatTheModelBuilds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := 27 * time.Second
		if rapid.Bool().Draw(t, "lower limit") {
			limit = 12 * time.Second
		}
		tariffs := rapid.Bool().Draw(t, "two tariffs")
		parameters := func() *form.Contract {
			c := contract(t, form.ClassB)
			c.OffsetLimit = limit
			c.TransformerFactor = rapid.Int64Range(1, 60).Draw(t, "factor")
			if rapid.Bool().Draw(t, "max power") {
				c.MaxPowerKW = decimal.NewNullDecimal(decimal.NewFromInt(rapid.Int64Range(1, 60).Draw(t, "kW")))
			}
			c.MarketLocations[0].TwoTariffs = tariffs
			return c
		}
		kw := func(c *form.Contract) *big.Rat {
			if !c.MaxPowerKW.Valid {
				return nil
			}
			return c.MaxPowerKW.Decimal.Rat()
		}
		c := parameters()
		m := &model{factor: c.TransformerFactor, limit: limit, max: kw(c)}
		location := &c.MarketLocations[0]

		from := int64(midnight(t, "2026-10-25")) + rapid.Int64Range(0, 90).Draw(t, "from")
		to := from + rapid.Int64Range(1, 40).Draw(t, "length")
		period := form.Period{From: meter.Quarter(from), To: meter.Quarter(to)}
		h := c.Always()
		for q, n := from, rapid.IntRange(0, 3).Draw(t, "versions"); n > 0; n-- {
			q += rapid.Int64Range(0, 20).Draw(t, "holds")
			v := parameters()
			h.Versions = append(h.Versions, form.Version{From: meter.Quarter(q), Contract: v})
			m.versions = append(m.versions, modelVersion{q, v.TransformerFactor, kw(v)})
		}
		codes := []string{"1-0:1.8.0"}
		if tariffs {
			codes = append(codes, "1-0:1.8.1", "1-0:1.8.2")
			if rapid.Bool().Draw(t, "error register") {
				codes = append(codes, "1-0:1.8.63")
			}
		}
		var readings []meter.BoundaryReading
		for _, code := range codes {
			lines := drawLines(t, code, from, to)
			if tariffs {
				for i := range lines { // several registers: exchanges have tests of their own
					lines[i].device = ""
				}
			}
			m.lines = append(m.lines, lines...)
		}
		for _, l := range m.lines {
			readings = append(readings, l.reading(t))
		}
		readings = rapid.Permutation(readings).Draw(t, "order")
		words := func(values []form.Value) (all []string) {
			for _, v := range values {
				all = append(all, describe(v))
			}
			return all
		}
		want := []string{m.energy("1-0:1.8.0", from, to), m.maxPower("1-0:1.8.0", from, to), m.register("1-0:1.8.0", to)}
		if tariffs {
			want = append(want, m.register("1-0:1.8.1", to), m.register("1-0:1.8.2", to), m.register("1-0:1.8.63", to))
		}

		// The span before an event may be any.
		p, err := h.Build(form.Due{Row: 3, MaLo: location.MaLo, To: form.NB, Period: period, Event: form.ParametersChanged}, readings)
		require.NoError(t, err)
		require.Equal(t, want, words(p.Values))

		if len(h.Versions) > 1 {
			return
		}
		got, _, err := c.Always().Preview(location.MaLo, 6, period, readings)
		if err != nil {
			t.Skip("no reading in the period")
		}
		require.Len(t, got, 1)
		require.Equal(t, m.profile("1-0:1.8.0", from, to), describe(got[0]))
		got, _, err = c.Always().Preview(location.MaLo, 7, period, readings)
		require.NoError(t, err)
		require.Equal(t, want, words(got))
	})
}
