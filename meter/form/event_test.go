package form_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// at is a boundary of November 2026: the day's midnight and some quarter hours.
func at(t require.TestingT, day string, quarters meter.Quarter) meter.Quarter {
	return midnight(t, "2026-11-"+day) + quarters
}

func TestOccasioned(t *testing.T) {
	a, b, other := contract(t, form.ClassA), contract(t, form.ClassB), contract(t, form.ClassA)
	partner(t, other, form.LF, "9900357000099")
	factor := contract(t, form.ClassA)
	factor.TransformerFactor = 30
	since := func(c *form.Contract, then ...*form.Contract) *form.History {
		h := &form.History{Versions: []form.Version{{From: midnight(t, "2026-01-01"), Contract: c}}}
		for i, c := range then {
			h.Versions = append(h.Versions, form.Version{From: at(t, "15", meter.Quarter(96*i)), Contract: c})
		}
		return h
	}
	new := since(a)
	new.Versions[0].From = at(t, "10", 40)
	gone := since(a)
	gone.End = at(t, "20", 30)
	event := func(kind form.EventKind, at meter.Quarter) form.Event { return form.Event{Kind: kind, At: at} }

	for name, test := range map[string]struct {
		history *form.History
		events  []form.Event
		want    []string
	}{
		"class A gets row 2": {since(a), []form.Event{event(form.DeviceTakenOver, at(t, "15", 0))},
			[]string{"2 LF 11-01T00:00..11-15T00:00 device_taken_over", "2 NB 11-01T00:00..11-15T00:00 device_taken_over"}},
		"class B gets row 3": {since(b), []form.Event{event(form.SupplyEnds, at(t, "15", 0))},
			[]string{"3 LF 11-01T00:00..11-15T00:00 supply_end", "3 NB 11-01T00:00..11-15T00:00 supply_end"}},
		"class E gets row 3": {since(contract(t, form.ClassE)), []form.Event{event(form.SupplyEnds, at(t, "15", 0))},
			[]string{"3 LF 11-01T00:00..11-15T00:00 supply_end", "3 NB 11-01T00:00..11-15T00:00 supply_end"}},
		"a change on the 1st is measured from the 1st before": {since(a), []form.Event{event(form.SupplyStarts, at(t, "01", 0))},
			[]string{"2 LF 10-01T00:00..11-01T00:00 supply_start", "2 NB 10-01T00:00..11-01T00:00 supply_start"}},
		"a new supplier sees nothing of the one before him": {since(a, other), []form.Event{event(form.SupplyStarts, at(t, "15", 0))},
			[]string{"2 LF 11-01T00:00..11-15T00:00 supply_start", "2 LF 11-15T00:00..11-15T00:00 supply_start", "2 NB 11-01T00:00..11-15T00:00 supply_start"}},
		"the old one gets his end alone": {since(a, other), []form.Event{event(form.SupplyEnds, at(t, "15", 0))},
			[]string{"2 LF 11-01T00:00..11-15T00:00 supply_end", "2 NB 11-01T00:00..11-15T00:00 supply_end"}},
		"what was implied is not told twice": {since(a, other), append(since(a, other).Implied(), event(form.SupplyStarts, at(t, "15", 0))),
			[]string{"2 LF 11-01T00:00..11-15T00:00 supply_end", "2 LF 11-15T00:00..11-15T00:00 supply_start", "2 NB 11-01T00:00..11-15T00:00 supply_end"}},
		"the class before the change gives the row": {since(a, b), since(a, b).Implied(),
			[]string{"2 LF 11-01T00:00..11-15T00:00 parameters_changed", "2 NB 11-01T00:00..11-15T00:00 parameters_changed"}},
		"an earlier event is a reading date": {since(a, factor, a), since(a, factor, a).Implied(),
			[]string{"2 LF 11-01T00:00..11-15T00:00 parameters_changed", "2 NB 11-01T00:00..11-15T00:00 parameters_changed",
				"2 LF 11-15T00:00..11-16T00:00 parameters_changed", "2 NB 11-15T00:00..11-16T00:00 parameters_changed"}},
		"a gateway begins with registers": {new, []form.Event{event(form.DeviceTakenOver, at(t, "10", 40))},
			[]string{"2 LF 11-10T10:00..11-10T10:00 device_taken_over", "2 NB 11-10T10:00..11-10T10:00 device_taken_over"}},
		"and says nothing of before": {new, []form.Event{event(form.DeviceRemoved, at(t, "11", 3))},
			[]string{"2 LF 11-10T10:00..11-11T00:45 device_removed", "2 NB 11-10T10:00..11-11T00:45 device_removed"}},
		"one that goes tells what it saw last": {gone, []form.Event{event(form.DeviceRemoved, gone.End), event(form.DeviceRemoved, gone.End+1)},
			[]string{"2 LF 11-01T00:00..11-20T07:30 device_removed", "2 NB 11-01T00:00..11-20T07:30 device_removed"}},
		"an exchange is an end and a beginning": {since(a), []form.Event{event(form.DeviceRemoved, at(t, "15", 40)), event(form.DeviceBuiltIn, at(t, "15", 43))},
			[]string{"2 LF 11-01T00:00..11-15T10:00 device_removed", "2 LF 11-15T10:45..11-15T10:45 device_built_in",
				"2 NB 11-01T00:00..11-15T10:00 device_removed", "2 NB 11-15T10:45..11-15T10:45 device_built_in"}},
		"also at one boundary": {since(a), []form.Event{event(form.DeviceBuiltIn, at(t, "15", 40)), event(form.DeviceRemoved, at(t, "15", 40))},
			[]string{"2 LF 11-01T00:00..11-15T10:00 device_removed", "2 LF 11-15T10:00..11-15T10:00 device_built_in",
				"2 NB 11-01T00:00..11-15T10:00 device_removed", "2 NB 11-15T10:00..11-15T10:00 device_built_in"}},
		"a second building in tells what lay before": {since(a), []form.Event{event(form.DeviceRemoved, at(t, "05", 0)), event(form.DeviceBuiltIn, at(t, "05", 1)), event(form.DeviceBuiltIn, at(t, "15", 40))},
			[]string{"2 LF 11-01T00:00..11-05T00:00 device_removed", "2 LF 11-05T00:15..11-05T00:15 device_built_in",
				"2 NB 11-01T00:00..11-05T00:00 device_removed", "2 NB 11-05T00:15..11-05T00:15 device_built_in",
				"2 LF 11-05T00:15..11-15T10:00 device_built_in", "2 NB 11-05T00:15..11-15T10:00 device_built_in"}},
		"another location's event is not ours": {since(a), []form.Event{{Kind: form.SupplyEnds, MaLo: contract(t, form.ClassE).MarketLocations[0].MaLo, At: at(t, "15", 0)}}, nil},
		"nor is another meter's":               {since(a), []form.Event{{Kind: form.DeviceRemoved, Meter: "other", At: at(t, "15", 0)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			due := test.history.Occasioned(test.events, midnight(t, "2026-10-15"), midnight(t, "2026-12-31"))
			require.Equal(t, test.want, words(due))
			reversed := slices.Clone(test.events)
			slices.Reverse(reversed)
			require.Equal(t, due, test.history.Occasioned(reversed, midnight(t, "2026-10-15"), midnight(t, "2026-12-31")))
			for _, d := range due {
				require.Equal(t, form.DateOf(d.Period.To.Time()).AddDays(6).At(0, 0).UTC(), d.At, "the end of the 5th calendar day")
				p, err := test.history.Build(d, nil)
				require.NoError(t, err)
				require.NoError(t, test.history.Permits(&p))
				if d.Period.From == d.Period.To {
					require.Len(t, p.Values, 1)
					require.Equal(t, form.Register, p.Values[0].Kind)
				} else {
					require.Equal(t, form.Energy, p.Values[0].Kind)
				}
			}
			require.Empty(t, test.history.Occasioned(test.events, midnight(t, "2026-12-01"), midnight(t, "2026-12-31")), "only what lies in the span asked for")
		})
	}
}

func TestWhatAnEventSays(t *testing.T) {
	two := contract(t, form.ClassA)
	two.MarketLocations[0].TwoTariffs = true
	table := switched(t, "06:00", "22:00")
	for name, test := range map[string]struct {
		c             *form.Contract
		span, instant []string
	}{
		"class A":        {contract(t, form.ClassA), []string{"energy 1-0:1.8.0", "register 1-0:1.8.0"}, []string{"register 1-0:1.8.0"}},
		"class B":        {contract(t, form.ClassB), []string{"energy 1-0:1.8.0", "max_power 1-0:1.8.0", "register 1-0:1.8.0"}, []string{"register 1-0:1.8.0"}},
		"class E":        {contract(t, form.ClassE), []string{"energy 1-0:2.8.0", "max_power 1-0:2.8.0", "register 1-0:2.8.0"}, []string{"register 1-0:2.8.0"}},
		"two tariffs":    {two, []string{"energy 1-0:1.8.0", "register 1-0:1.8.0", "register 1-0:1.8.1", "register 1-0:1.8.2", "register 1-0:1.8.63"}, []string{"register 1-0:1.8.0", "register 1-0:1.8.1", "register 1-0:1.8.2", "register 1-0:1.8.63"}},
		"by the gateway": {table, []string{"energy 1-0:1.8.0", "max_power 1-0:1.8.0", "register 1-0:1.8.0", "energy 1-0:1.8.1", "energy 1-0:1.8.2", "energy 1-0:1.8.63"}, []string{"register 1-0:1.8.0"}},
	} {
		h := test.c.Always()
		events := []form.Event{{Kind: form.DeviceRemoved, At: at(t, "15", 0)}, {Kind: form.DeviceBuiltIn, At: at(t, "15", 1)}}
		for _, d := range h.Occasioned(events, at(t, "01", 0), at(t, "20", 0)) {
			p, err := h.Build(d, nil)
			require.NoError(t, err)
			var got []string
			for _, v := range p.Values {
				got = append(got, v.Kind.String()+" "+v.Code.Short())
			}
			want := test.span
			if d.Event == form.DeviceBuiltIn {
				want = test.instant
			}
			require.Equal(t, want, got, "%s, %s", name, d.Event)
		}
	}
}

func TestImplied(t *testing.T) {
	a, e := contract(t, form.ClassA), contract(t, form.ClassA, form.ClassE)
	malo := a.MarketLocations[0].MaLo
	same := contract(t, form.ClassA)
	same.ExtraHolidays = []form.Date{date(t, "2026-11-20")}
	tariffs := contract(t, form.ClassA)
	tariffs.MarketLocations[0].TwoTariffs = true
	supplier := contract(t, form.ClassA)
	partner(t, supplier, form.LF, "9900357000099")
	network := contract(t, form.ClassA)
	partner(t, network, form.NB, "9900357000099")
	q := at(t, "15", 0)
	for name, test := range map[string]struct {
		old, new *form.Contract
		want     []form.Event
	}{
		"nothing":          {a, same, nil},
		"network operator": {a, network, nil},
		"tariffs":          {a, tariffs, []form.Event{{Kind: form.ParametersChanged, MaLo: malo, At: q}}},
		"class":            {a, contract(t, form.ClassC), []form.Event{{Kind: form.ParametersChanged, MaLo: malo, At: q}}},
		"supplier":         {a, supplier, []form.Event{{Kind: form.SupplyEnds, MaLo: malo, At: q}, {Kind: form.SupplyStarts, MaLo: malo, At: q}}},
		"a roof":           {a, e, []form.Event{{Kind: form.SupplyStarts, MaLo: e.MarketLocations[1].MaLo, At: q}}},
		"no roof":          {e, a, []form.Event{{Kind: form.SupplyEnds, MaLo: e.MarketLocations[1].MaLo, At: q}}},
	} {
		h := form.History{Versions: []form.Version{{From: at(t, "01", 0), Contract: test.old}, {From: q, Contract: test.new}}}
		require.Equal(t, test.want, h.Implied(), name)
		h.Versions = slices.Insert(h.Versions, 1, form.Version{From: q, Contract: tariffs})
		require.Equal(t, test.want, h.Implied(), "%s, and a version that never held", name)
	}
}

func TestAnExchangedDeviceHasItsOwnRegister(t *testing.T) {
	c := contract(t, form.ClassA)
	h := c.Always()
	begin := start(t) // 3 November
	removed := form.Event{Kind: form.DeviceRemoved, At: begin + 2}
	build := func(events []form.Event, all []meter.BoundaryReading) (got []string) {
		for _, d := range h.Occasioned(events, begin, begin+9) {
			if d.To != form.NB {
				continue
			}
			d.Period.From = max(d.Period.From, begin)
			p, err := h.Build(d, all)
			require.NoError(t, err)
			diff, err := h.Verify(&p, all)
			require.NoError(t, err)
			require.Nil(t, diff)
			for _, v := range p.Values {
				v.At = max(0, v.At-begin)
				got = append(got, describe(v))
			}
		}
		return got
	}
	for name, test := range map[string]struct {
		line  string
		built meter.Quarter
		want  []string
	}{
		"a quarter hour apart": {"1000 1100 1200 5B 25B", 3, []string{"energy 1-0:1.8.0 0.2 true", "register 1-0:1.8.0 2 1.2 true", "register 1-0:1.8.0 3 0.005 true"}},
		"at one boundary":      {"1000 1100 1200+5B 25B", 2, []string{"energy 1-0:1.8.0 0.2 true", "register 1-0:1.8.0 2 1.2 true", "register 1-0:1.8.0 2 0.005 true"}},
		"the last was missed":  {"1000 1100 5B 25B", 2, []string{"energy 1-0:1.8.0 null missing Z75", "register 1-0:1.8.0 2 null missing Z75", "register 1-0:1.8.0 2 0.005 true"}},
	} {
		all := both(t, test.line)
		require.Equal(t, test.want, build([]form.Event{removed, {Kind: form.DeviceBuiltIn, At: begin + test.built}}, all), name)
	}
}

// both makes readings of a line in which "1200+5B" is a boundary with two.
func both(t require.TestingT, line string) []meter.BoundaryReading {
	var first, second []string
	for word := range strings.FieldsSeq(line) {
		one, other, two := strings.Cut(word, "+")
		if !two {
			other = "-"
		}
		first, second = append(first, one), append(second, other)
	}
	return append(readings(t, obis.Drawn, strings.Join(second, " ")), readings(t, obis.Drawn, strings.Join(first, " "))...)
}

func TestDevicesThatMeetAtABoundaryLoseNothing(t *testing.T) {
	c := contract(t, form.ClassB)
	for line, want := range map[string]string{
		"1000 1100+5B 25B":       "0.1 true, 0.02 true",
		"1000 1100+5B 1200":      "0.1 true, 0.1 true", // the other did not stay
		"1000 1100+5B - 1300":    "0.1 true, null missing Z75, null missing Z75",
		"1000 900+5B 25B":        "null missing ZA1, 0.02 true",
		"1000 - 1100+5B 25B 26B": "null missing Z75, null missing Z75, 0.02 true, 0.001 true",
	} {
		all := both(t, line)
		n := len(strings.Fields(line)) - 1
		require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [" + want + "]"}, values(t, c, 6, all, n), line)
	}
	require.Equal(t, []string{"energy 1-0:1.8.0 0.12 true", "max_power 1-0:1.8.0 0 0.4 true", "register 1-0:1.8.0 2 0.025 true"},
		values(t, c, 7, both(t, "1000 1100+5B 25B"), 2))
	require.Equal(t, []string{"energy 1-0:1.8.0 0.1 true", "max_power 1-0:1.8.0 0 0.4 true", "register 1-0:1.8.0 1 1.1 true"},
		values(t, c, 7, both(t, "1000 1100+5B"), 1), "the end is the old one's")
}

// Spans between events and the rest of the month add up to the month, whatever
// changes at them.
func TestEventsTileTheMonth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := midnight(t, "2026-11-01"), midnight(t, "2026-12-01")
		h := &form.History{}
		for i := range rapid.IntRange(1, 4).Draw(t, "versions") {
			c := contract(t, form.ClassB)
			c.TransformerFactor = rapid.Int64Range(1, 3).Draw(t, "factor")
			begins := midnight(t, "2026-10-01")
			if i > 0 {
				begins = max(h.Versions[i-1].From, at(t, "01", meter.Quarter(96*rapid.IntRange(0, 31).Draw(t, "from"))))
			}
			h.Versions = append(h.Versions, form.Version{From: begins, Contract: c})
		}
		kinds := []form.EventKind{form.SupplyStarts, form.SupplyEnds, form.ParametersChanged, form.DeviceTakenOver}
		events := h.Implied()
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			events = append(events, form.Event{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				At: from + meter.Quarter(rapid.IntRange(1, int(to-from)).Draw(t, "at"))})
		}
		// The meter may be exchanged: at one boundary or between two.
		goes, comes := to+1, to+1
		if rapid.Bool().Draw(t, "exchange") {
			goes = from + meter.Quarter(rapid.IntRange(1, int(to-from)-2).Draw(t, "goes"))
			comes = goes + meter.Quarter(rapid.IntRange(0, 1).Draw(t, "comes"))
			events = append(events, form.Event{Kind: form.DeviceBuiltIn, At: comes}, form.Event{Kind: form.DeviceRemoved, At: goes})
		}
		var all []meter.BoundaryReading
		read := func(device meter.DeviceID, first, last meter.Quarter) {
			wh, step := rapid.Int64Range(0, 1<<40).Draw(t, "register"), rapid.Int64Range(0, 5000).Draw(t, "step")
			for q := first; q <= last; q++ {
				wh += step + int64(q)%7
				all = append(all, meter.BoundaryReading{Boundary: q, Device: device, Clock: meter.ClockSynchronised,
					Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(wh, -1)}}})
			}
		}
		read("A", from, min(goes, to))
		read("B", comes, to)
		energy := func(d form.Due) decimal.Decimal {
			p, err := h.Build(d, all)
			require.NoError(t, err)
			require.Equal(t, form.True, p.Values[0].State)
			return p.Values[0].Amount.Decimal
		}
		last, sum := from, decimal.Zero
		for _, d := range h.Occasioned(events, from, to) {
			if d.To != form.NB {
				continue
			}
			if d.Event == form.DeviceBuiltIn {
				require.Equal(t, form.Period{From: comes, To: comes}, d.Period, "the removal told what lay before")
				last = comes
				continue
			}
			require.Equal(t, last, d.Period.From)
			last = d.Period.To
			sum = sum.Add(energy(d))
		}
		if last < to {
			d := form.Due{Row: 3, MaLo: h.Versions[0].Contract.MarketLocations[0].MaLo, To: form.NB, Period: form.Period{From: last, To: to}, Event: form.SupplyEnds}
			sum = sum.Add(energy(d))
		}
		i := slices.IndexFunc(h.Settled(from, to), func(d form.Due) bool { return d.Row == 7 && d.To == form.NB })
		require.True(t, energy(h.Settled(from, to)[i]).Equal(sum))
	})
}
