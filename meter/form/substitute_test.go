package form_test

import (
	"slices"
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

func TestInterpolation(t *testing.T) {
	for name, test := range map[string]struct{ line, want string }{
		"shares the rise evenly":                      {"1000 - - 1300 1400", "0.1 substitute Z75, 0.1 substitute Z75, 0.1 substitute Z75, 0.1 true"},
		"shares it in the register's resolution":      {"1000 - - 1100 1400", "0.033 substitute Z75, 0.033 substitute Z75, 0.034 substitute Z75, 0.3 true"},
		"finds that in any reading of the period":     {"1000 - - 1100 1400.5", "0.0333 substitute Z75, 0.0333 substitute Z75, 0.0334 substitute Z75, 0.3005 true"},
		"leaves a longer gap":                         {"1000 - - - 1300", "null missing Z75, null missing Z75, null missing Z75, null missing Z75"},
		"leaves a gap that is open":                   {"1000 1100 -", "0.1 true, null missing Z75"},
		"leaves a gap before the first reading":       {"- - 1100 1200", "null missing Z75, null missing Z75, 0.1 true"},
		"fills what is implausible":                   {"1000 900 1300", "0.15 substitute ZA1, 0.15 substitute ZA1"},
		"keeps each reason":                           {"1000 900 - 1300", "0.1 substitute ZA1, 0.1 substitute Z75, 0.1 substitute Z75"},
		"wants a clock that was set at both ends":     {"1000! - 1300 - 1500", "null missing Z75, null missing Z75, 0.1 substitute Z75, 0.1 substitute Z75"},
		"wants more than whole kWh at both ends":      {"1000 - 3000# - 5000", "null missing Z75, null missing Z75, null missing Z75, null missing Z75"},
		"wants one device at both ends":               {"1000 - 1300B 1400B", "null missing Z75, null missing Z75, 0.1 true"},
		"wants no other device in between":            {"1000 9B - 1300", "null missing Z78, null missing Z75, null missing Z75"},
		"warns of an end":                             {"1000w - 1300", "0.15 substitute Z75 offset, 0.15 substitute Z75 offset"},
		"takes a register that stood still as it was": {"1000 - 1000", "0 substitute Z75, 0 substitute Z75"},
	} {
		t.Run("it "+name, func(t *testing.T) {
			c := contract(t, form.ClassB)
			c.MarketLocations[0].Interpolate = 45 * time.Minute
			n := len(strings.Fields(test.line)) - 1
			got := values(t, c, 6, readings(t, obis.Drawn, test.line), n)
			require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [" + test.want + "]"}, got)
		})
	}
}

func TestInterpolationIsForTheProfileOnly(t *testing.T) {
	c := contract(t, form.ClassB)
	all := readings(t, obis.Drawn, "1000 - 1300 1400")
	want := values(t, c, 7, all, 3)
	c.MarketLocations[0].Interpolate = time.Hour
	require.Equal(t, want, values(t, c, 7, all, 3))
}

func TestSubstitutesNameTheirInputs(t *testing.T) {
	c := contract(t, form.ClassB)
	c.MarketLocations[0].Interpolate = time.Hour
	d := due(t, c, "2026-11-04", 6, form.LF)
	from := d.Period.From
	all := readings(t, obis.Drawn, "1000 - - 1300 1400 - 1600")
	for i := range all {
		all[i].Boundary += from - start(t) - 2 // the first gap began before the period
	}
	p, err := c.Always().Build(d, all)
	require.NoError(t, err)
	require.Equal(t, []form.Notice{
		{Kind: form.Interpolated, From: from - 2, To: from + 1, Count: 1},
		{Kind: form.Interpolated, From: from + 2, To: from + 4, Count: 2},
	}, p.Notices)
	require.Equal(t, form.Interpolation, p.Values[0].Intervals[0].Method)
	require.Equal(t, "0.1", p.Values[0].Intervals[0].Amount.Decimal.String())
	require.NoError(t, c.Always().Permits(&p))

	found, err := c.Always().Verify(&p, all)
	require.NoError(t, err)
	require.Nil(t, found)
	p.Notices = p.Notices[1:]
	found, err = c.Always().Verify(&p, all)
	require.NoError(t, err)
	require.Contains(t, found.Notice, "interpolated")
}

func TestSubstitutesAddUpToTheRise(t *testing.T) {
	plain := contract(t, form.ClassB)
	plain.TransformerFactor = 30
	asked := contract(t, form.ClassB)
	asked.TransformerFactor = 30
	rapid.Check(t, func(t *rapid.T) {
		longest := rapid.IntRange(2, 96).Draw(t, "longest")
		asked.MarketLocations[0].Interpolate = time.Duration(longest) * meter.QuarterLength
		from, n := start(t), rapid.IntRange(1, 96).Draw(t, "length")
		to := from + meter.Quarter(n)
		// Readings of up to three digits behind the point, some of them gone.
		var all []meter.BoundaryReading
		wh := decimal.Zero
		for q := from - 5; q <= to+5; q++ {
			wh = wh.Add(decimal.New(rapid.Int64Range(0, 5000).Draw(t, "step"), -rapid.Int32Range(0, 3).Draw(t, "digits")))
			if q == to || rapid.IntRange(0, 2).Draw(t, "gone") > 0 {
				all = append(all, meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
					Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: wh}}})
			}
		}
		preview := func(c *form.Contract) []form.Quantity {
			got, _, err := c.Always().Preview(c.MarketLocations[0].MaLo, 6, form.Period{From: from, To: to}, rapid.Permutation(all).Draw(t, "order"))
			require.NoError(t, err)
			return got[0].Intervals
		}
		without, with := preview(plain), preview(asked)
		for i := range with {
			if with[i].State != form.Substitute {
				require.Equal(t, without[i].State, with[i].State)
				require.True(t, without[i].Amount.Decimal.Equal(with[i].Amount.Decimal))
				continue
			}
			require.Equal(t, form.Missing, without[i].State)
			require.False(t, with[i].Amount.Decimal.IsNegative())
		}
		// Between any two neighbouring readings of the period the intervals are their difference, where they are there.
		inside := slices.DeleteFunc(slices.Clone(all), func(r meter.BoundaryReading) bool { return r.Boundary < from || r.Boundary > to })
		for i := 1; i < len(inside); i++ {
			a, b := inside[i-1], inside[i]
			sum := decimal.Zero
			for q := a.Boundary; q < b.Boundary; q++ {
				require.Equal(t, int(b.Boundary-a.Boundary) <= max(1, longest), with[q-from].Amount.Valid)
				sum = sum.Add(with[q-from].Amount.Decimal)
			}
			first, _ := a.Register(obis.Drawn)
			last, _ := b.Register(obis.Drawn)
			if with[a.Boundary-from].Amount.Valid {
				require.True(t, last.Sub(first).Mul(decimal.New(30, -3)).Equal(sum))
			}
		}
	})
}
