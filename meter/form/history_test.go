package form_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
)

// partner makes another market partner of a role.
func partner(t require.TestingT, c *form.Contract, role form.Role, id string) {
	p, err := form.ParsePartnerID(id)
	require.NoError(t, err)
	m := &c.MarketLocations[0]
	for i := range m.Receivers {
		if m.Receivers[i].Role == role {
			m.Receivers[i].PartnerID = p
			return
		}
	}
	require.FailNow(t, "no receiver", "%s", role)
}

// words gives dues as "row to from..to", by local days.
func words(due []form.Due) []string {
	var all []string
	day := func(q meter.Quarter) string { return q.Time().In(form.Berlin).Format("01-02T15:04") }
	for _, d := range due {
		s := fmt.Sprintf("%d %s %s..%s", d.Row, d.To, day(d.Period.From), day(d.Period.To))
		if d.Event != (form.EventKind{}) {
			s += " " + d.Event.String()
		}
		all = append(all, s)
	}
	return all
}

func TestAnotherSupplierCutsWhatConcernsHim(t *testing.T) {
	old, new := contract(t, form.ClassA), contract(t, form.ClassA)
	partner(t, new, form.LF, "9900357000099")
	h := form.History{Versions: []form.Version{{From: midnight(t, "2026-01-01"), Contract: old}, {From: midnight(t, "2026-11-15"), Contract: new}}}
	due := h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-12-01"))
	require.Equal(t, []string{
		"1 LF 11-01T00:00..11-15T00:00",
		"1 LF 11-15T00:00..12-01T00:00",
		"4 LF 11-01T00:00..11-15T00:00",
		"4 LF 11-15T00:00..12-01T00:00",
		"4 NB 11-01T00:00..12-01T00:00",
	}, words(due))
	for i, d := range due {
		require.Equal(t, date(t, "2026-12-01").At(12, 0), d.At, "the day of the whole month")
		p, err := h.Build(d, nil)
		require.NoError(t, err)
		require.NoError(t, h.Permits(&p))
		want, _ := old.MarketLocations[0].Receiver(d.To)
		if i == 1 || i == 3 {
			want, _ = new.MarketLocations[0].Receiver(d.To)
		}
		require.Equal(t, want.PartnerID, p.PartnerID)
	}
	require.Equal(t, due[:1], h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-11-30"))[:1])
	require.Len(t, h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-11-30")), 2)
}

func TestEventsAsJSON(t *testing.T) {
	c := contract(t, form.ClassA)
	for text, e := range map[string]form.Event{
		`{"kind":"supply_end","malo":"41373559241","at":"2026-11-14T23:00:00Z"}`: {Kind: form.SupplyEnds, MaLo: c.MarketLocations[0].MaLo, At: midnight(t, "2026-11-15")},
		`{"kind":"device_removed","meter":"main","at":"2026-11-14T23:00:00Z"}`:   {Kind: form.DeviceRemoved, Meter: "main", At: midnight(t, "2026-11-15")},
	} {
		b, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, text, string(b))
		var back form.Event
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, e, back)
	}
	_, err := form.ParseEventKind("supply_begin")
	require.EqualError(t, err, `event "supply_begin": want supply_start, supply_end, device_built_in, device_removed, device_taken_over or parameters_changed`)
}

// history draws contracts that follow each other from 1 October 2026 on, with
// suppliers, network operators, classes, factors and holidays that change.
func history(t *rapid.T) *form.History {
	h := &form.History{}
	day := date(t, "2026-10-01")
	for range rapid.IntRange(1, 5).Draw(t, "versions") {
		c := contract(t, rapid.SampledFrom([]form.Class{form.ClassA, form.ClassB}).Draw(t, "class"))
		c.TransformerFactor = rapid.Int64Range(1, 3).Draw(t, "factor")
		partner(t, c, form.LF, rapid.SampledFrom([]string{"9900357000011", "9900357000012"}).Draw(t, "LF"))
		partner(t, c, form.NB, rapid.SampledFrom([]string{"9900357000021", "9900357000022"}).Draw(t, "NB"))
		for range rapid.IntRange(0, 3).Draw(t, "holidays") {
			c.ExtraHolidays = append(c.ExtraHolidays, date(t, "2026-10-01").AddDays(rapid.IntRange(0, 100).Draw(t, "holiday")))
		}
		h.Versions = append(h.Versions, form.Version{From: day.Midnight(), Contract: c})
		day = day.AddDays(rapid.IntRange(0, 40).Draw(t, "holds"))
	}
	if rapid.Bool().Draw(t, "begins within a day") && (len(h.Versions) == 1 || h.Versions[1].From > h.Versions[0].From) {
		h.Versions[0].From += meter.Quarter(rapid.IntRange(1, 95).Draw(t, "first"))
	}
	if rapid.Bool().Draw(t, "ends") {
		h.End = h.Versions[len(h.Versions)-1].From + meter.Quarter(rapid.IntRange(1, 30*96).Draw(t, "end"))
	}
	return h
}

func TestHistoryGivesEachQuarterHourToWhoIsEntitledOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := history(t)
		free := func(d form.Date) bool {
			c := h.At(d.Midnight())
			if c == nil && d.Midnight() < h.Versions[0].From {
				c = h.Versions[0].Contract
			} else if c == nil {
				c = h.Versions[len(h.Versions)-1].Contract
			}
			return !(&form.Contract{}).WorkingDay(d) || slices.Contains(c.ExtraHolidays, d)
		}
		whole := h.Settled(midnight(t, "2026-09-01"), midnight(t, "2027-05-01"))
		type series struct {
			row  form.RowNumber
			role form.Role
		}
		covered := map[series]map[meter.Quarter]form.PartnerID{}
		ends := map[series]form.Due{}
		for _, d := range whole {
			p, err := h.Build(d, nil)
			require.NoError(t, err)
			require.NoError(t, h.Permits(&p))
			p.Period.From++
			require.Error(t, h.Permits(&p), "less than there is")

			due, s := form.DateOf(d.At), series{d.Row, d.To}
			first, last := form.DateOf(d.Period.From.Time()), form.DateOf((d.Period.To - 1).Time())
			if row, _ := d.Row.Row(); row.Rhythm == form.EachMonth {
				require.Equal(t, first.FirstOfMonth(), last.FirstOfMonth())
				require.Equal(t, due, first.FirstOfNextMonth())
			} else {
				require.False(t, free(due))
				for day := first.AddDays(1); day != due; day = day.AddDays(1) {
					require.True(t, free(day), "%s is a working day, and within %v", day, d.Period)
				}
			}
			if before, ok := ends[s]; ok && before.Period.To == d.Period.From && before.At.Equal(d.At) {
				require.NotEqual(t, h.Governing(before.Period), h.Governing(d.Period), "cut without need")
			}
			ends[s] = d
			if covered[s] == nil {
				covered[s] = map[meter.Quarter]form.PartnerID{}
			}
			for q := d.Period.From; q < d.Period.To; q++ {
				if _, twice := covered[s][q]; twice {
					require.Fail(t, "twice", "row %d to %s at %s", d.Row, d.To, q)
				}
				covered[s][q] = p.PartnerID
			}
		}
		for q := h.Versions[0].From - 96; q < midnight(t, "2027-04-29"); q += 29 {
			for _, row := range form.Rows {
				if !row.Rhythm.Regular() {
					continue
				}
				for _, role := range row.To {
					got, ok := covered[series{row.Number, role}][q]
					c := h.At(q)
					if row.Rhythm == form.EachMonth && q >= midnight(t, "2027-04-01") {
						continue // its month is not over
					}
					if c == nil || !row.For(c.MarketLocations[0].Class) {
						require.False(t, ok, "row %d to %s at %s", row.Number, role, q)
						continue
					}
					want, _ := c.MarketLocations[0].Receiver(role)
					require.Equal(t, want.PartnerID, got, "row %d to %s at %s", row.Number, role, q)
				}
			}
		}

		// Cut anywhere, it is the same.
		var pieces []form.Due
		for q := midnight(t, "2026-09-01"); q < midnight(t, "2027-05-01"); {
			next := min(q+meter.Quarter(rapid.IntRange(1, 6000).Draw(t, "piece")), midnight(t, "2027-05-01"))
			pieces = append(pieces, h.Settled(q, next)...)
			q = next
		}
		require.ElementsMatch(t, whole, pieces)
	})
}

func TestPeriodsTileWhateverTheHolidaysFrom2020To2040(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &form.History{}
		for range rapid.IntRange(1, 6).Draw(t, "versions") {
			c := contract(t, form.ClassB)
			for range rapid.IntRange(0, 40).Draw(t, "holidays") {
				c.ExtraHolidays = append(c.ExtraHolidays, date(t, "2020-01-01").AddDays(rapid.IntRange(0, 7600).Draw(t, "holiday")))
			}
			from := date(t, "2020-01-01").AddDays(rapid.IntRange(0, 7600).Draw(t, "from")).Midnight()
			h.Versions = append(h.Versions, form.Version{From: from, Contract: c})
		}
		slices.SortFunc(h.Versions, func(a, b form.Version) int { return int(a.From - b.From) })
		h.Versions[0].From = midnight(t, "2020-01-01")
		year := rapid.IntRange(2020, 2039).Draw(t, "year")
		last := map[string]meter.Quarter{}
		for _, d := range h.Plan(form.Date{Year: year, Month: 1, Day: 20}, form.Date{Year: year + 1, Month: 2, Day: 1}) {
			key := fmt.Sprint(d.Row, d.To)
			if before, ok := last[key]; ok {
				require.Equal(t, before, d.Period.From, key)
			}
			last[key] = d.Period.To
			require.Equal(t, d.Period.To, form.DateOf(d.At).Midnight())
		}
		require.Len(t, last, 6)
	})
}

func TestBeginAndEndCutPeriods(t *testing.T) {
	c := contract(t, form.ClassB)
	h := form.History{Versions: []form.Version{{From: midnight(t, "2026-11-04") + 40, Contract: c}}, End: midnight(t, "2026-11-10") + 7}
	require.Equal(t, []string{
		"5 NB 11-04T10:00..11-05T00:00", "5 ÜNB 11-04T10:00..11-05T00:00", "6 LF 11-04T10:00..11-05T00:00",
		"5 NB 11-05T00:00..11-06T00:00", "5 ÜNB 11-05T00:00..11-06T00:00", "6 LF 11-05T00:00..11-06T00:00",
		"5 NB 11-06T00:00..11-09T00:00", "5 ÜNB 11-06T00:00..11-09T00:00", "6 LF 11-06T00:00..11-09T00:00",
		"5 NB 11-09T00:00..11-10T00:00", "5 ÜNB 11-09T00:00..11-10T00:00", "6 LF 11-09T00:00..11-10T00:00",
		"5 NB 11-10T00:00..11-10T01:45", "5 ÜNB 11-10T00:00..11-10T01:45", "6 LF 11-10T00:00..11-10T01:45",
		"1 LF 11-04T10:00..11-10T01:45", "7 LF 11-04T10:00..11-10T01:45", "7 NB 11-04T10:00..11-10T01:45",
	}, words(h.Settled(0, midnight(t, "2026-12-31"))))
	require.Nil(t, h.At(h.End))
	require.Nil(t, h.At(h.Versions[0].From-1))
	require.Equal(t, c, h.At(h.End-1))
}
