package form_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// span is a due date of row 3 over the boundaries of a line.
func span(t require.TestingT, c *form.Contract, quarters int) form.Due {
	return form.Due{Row: 3, MaLo: c.MarketLocations[0].MaLo, To: form.NB, Event: form.ParametersChanged,
		Period: form.Period{From: start(t), To: start(t) + meter.Quarter(quarters)}}
}

func TestWhatIsPreliminaryIsSettled(t *testing.T) {
	for name, test := range map[string]struct {
		line               string
		interpolate        time.Duration
		first, settled     string
		preliminary, final bool // of the first, of the settled
		notices            int
	}{
		"nothing missing stays as it is":             {line: "1000 1100 1400", interpolate: time.Hour, first: "1 1.2 true", settled: "1 1.2 true"},
		"no substitutes are asked for":               {line: "1000 - 1400 1500", first: "2 0.4 preliminary, 2 missing", settled: "2 0.4 preliminary, 2 missing", preliminary: true, final: true},
		"every gap is filled":                        {line: "1000 - 1400 1500", interpolate: time.Hour, first: "2 0.4 preliminary, 2 missing", settled: "0 0.8 substitute Z75, 2 missing", preliminary: true, notices: 1},
		"the true ones are higher":                   {line: "1000 - 1400 1900", interpolate: time.Hour, first: "2 2 preliminary, 2 missing", settled: "2 2 substitute Z75, 2 missing", preliminary: true, notices: 1},
		"one gap is too long":                        {line: "1000 - 1400 - - - 1900 2000", interpolate: 45 * time.Minute, first: "6 0.4 preliminary, 6 missing", settled: "6 0.4 preliminary, 6 missing", preliminary: true, final: true},
		"one gap is open":                            {line: "1000 - 1400 1500 -", interpolate: time.Hour, first: "2 0.4 preliminary, 3 missing", settled: "2 0.4 preliminary, 3 missing", preliminary: true, final: true},
		"implausible readings give their own reason": {line: "1000 900 1400 1500", interpolate: time.Hour, first: "2 0.4 preliminary, 2 missing", settled: "0 0.8 substitute ZA1, 2 missing", preliminary: true, notices: 1},
		"an unusable one spoils it":                  {line: "1000 - 1400 1500!", interpolate: time.Hour, first: "2 0.4 preliminary, 2 missing", settled: "0 0.8 unusable ZA0, 2 missing", preliminary: true, notices: 1},
		"none at all is missing, and not final":      {line: "1000 - 1400", first: "null missing, 2 missing", settled: "null missing, 2 missing", preliminary: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := contract(t, form.ClassB)
			c.MarketLocations[0].Interpolate = test.interpolate
			all := readings(t, obis.Drawn, test.line)
			d := span(t, c, len(strings.Fields(test.line))-1)
			build := func(make func(form.Due, []meter.BoundaryReading) (form.Payload, error), want string) form.Payload {
				p, err := make(d, all)
				require.NoError(t, err)
				v := p.Values[1]
				v.At = max(0, v.At-start(t))
				require.Equal(t, "max_power 1-0:1.8.0 "+want, describe(v))
				diff, err := c.Always().Verify(&p, all)
				require.NoError(t, err)
				require.Nil(t, diff)
				return p
			}
			p := build(c.Always().Build, test.first)
			require.Equal(t, test.preliminary, p.Preliminary())
			require.False(t, p.Settled())
			require.Empty(t, p.Notices)
			final := build(c.Always().BuildFinal, test.settled)
			require.Equal(t, final.Values[1].State == form.Missing, final.Preliminary(), "nothing better is waited for, but for what is not there at all")
			require.Equal(t, test.final, final.Settled())
			require.Len(t, final.Notices, test.notices)
			p.Values[1], final.Values[1] = form.Value{}, form.Value{}
			require.Equal(t, p.Values, final.Values, "nothing else changes")
		})
	}
}

func TestSettledOnThe8th(t *testing.T) {
	c := contract(t, form.ClassB)
	require.Equal(t, date(t, "2026-11-08"), due(t, c, "2026-11-01", 7, form.NB).FinalOn())
	part := due(t, c, "2026-11-01", 7, form.NB)
	part.Period.To -= 3 * 96
	require.Equal(t, date(t, "2026-11-08"), part.FinalOn(), "of a month that was cut")
	d := c.Always().Occasioned([]form.Event{{Kind: form.DeviceRemoved, At: midnight(t, "2026-11-28") + 40}}, 0, midnight(t, "2026-12-01"))[0]
	require.Equal(t, date(t, "2026-12-06"), d.FinalOn())
}

func TestCorrected(t *testing.T) {
	c := contract(t, form.ClassB)
	h := c.Always()
	build := func(line string, final bool) (form.Payload, string) {
		d := span(t, c, 3)
		make := h.Build
		if final {
			make = h.BuildFinal
		}
		p, err := make(d, readings(t, obis.Drawn, line))
		require.NoError(t, err)
		return p, line
	}
	sent := func(line string, final bool) form.Sent {
		p, content := build(line, final)
		return form.Sent{Content: content, Preliminary: p.Preliminary(), Final: p.Settled()}
	}
	const gap, smaller, whole, other = "1000 - - 1500", "1000 1400 - 1500", "1000 1400 1450 1500", "1000 1400 1450 1600"
	for name, test := range map[string]struct {
		sent  form.Sent
		line  string
		final bool
		want  bool
	}{
		"the same says nothing new":         {sent(whole, false), whole, false, false},
		"other true values do":              {sent(whole, false), other, false, true},
		"preliminary to true":               {sent(smaller, false), whole, false, true},
		"preliminary to better preliminary": {sent(smaller, false), "1000 1400 - 1600", false, true},
		"preliminary to final":              {form.Sent{Content: "as before", Preliminary: true}, smaller, true, true},
		"never true to preliminary":         {sent(whole, false), smaller, false, false},
		"never true to final preliminary":   {sent(whole, false), smaller, true, false},
		"final is not unsettled":            {sent(smaller, true), "1000 1400 - 1600", false, false},
		"but may get better":                {sent(smaller, true), "1000 1400 - 1600", true, true},
		"and true":                          {sent(smaller, true), whole, true, true},
		"missing to true":                   {sent(gap, false), whole, false, true},
		"missing to preliminary":            {sent(gap, false), smaller, false, true},
		"missing to final preliminary":      {sent(gap, false), smaller, true, true},
	} {
		p, content := build(test.line, test.final)
		require.Equal(t, test.want, test.sent.Corrected(&p, content), name)
	}
}

// A late reading changes what it has to do with and nothing else, and no figure
// that it changes was true before.
func TestALateReadingCorrectsWhatItFills(t *testing.T) {
	c := contract(t, form.ClassB)
	d := due(t, c, "2026-11-04", 6, form.LF)
	rapid.Check(t, func(t *rapid.T) {
		all := household(t, d.Period.From, d.Period.To)
		late := rapid.IntRange(1, len(all)-2).Draw(t, "late")
		before, err := c.Always().Build(d, append(all[:late:late], all[late+1:]...))
		require.NoError(t, err)
		after, err := c.Always().Build(d, all)
		require.NoError(t, err)
		for i, q := range before.Values[0].Intervals {
			touched := all[late].Boundary-d.Period.From == meter.Quarter(i) || all[late].Boundary-d.Period.From == meter.Quarter(i)+1
			if touched {
				require.Equal(t, form.Missing, q.State)
			} else {
				require.Equal(t, q, after.Values[0].Intervals[i])
			}
		}
	})
}
