package form_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/meter/form"
)

// weekdaysOff lists the weekdays of a year that are no working days, as FORM.md
// writes them: "1.1. 6.1. …".
func weekdaysOff(c *form.Contract, year int) string {
	var off []string
	for d := (form.Date{Year: year, Month: time.January, Day: 1}); d.Year == year; d = d.AddDays(1) {
		if w := d.Weekday(); w != time.Saturday && w != time.Sunday && !c.WorkingDay(d) {
			off = append(off, d.At(0, 0).Format("2.1."))
		}
	}
	return strings.Join(off, " ")
}

func TestWorkingDaysAreThoseOfTheTable(t *testing.T) {
	c := &form.Contract{}
	require.Equal(t, "1.1. 6.1. 8.3. 26.3. 29.3. 6.5. 17.5. 27.5. 20.9. 1.11. 17.11. 24.12. 31.12.", weekdaysOff(c, 2027))
	require.Equal(t, "6.1. 8.3. 14.4. 17.4. 1.5. 25.5. 5.6. 15.6. 15.8. 20.9. 3.10. 31.10. 1.11. 22.11. 25.12. 26.12.", weekdaysOff(c, 2028))
}

func TestOneOffHolidaysAreNoWorkingDays(t *testing.T) {
	day := date(t, "2025-05-08")
	require.True(t, (&form.Contract{}).WorkingDay(day))
	require.False(t, (&form.Contract{ExtraHolidays: []form.Date{day, date(t, "2025-05-10")}}).WorkingDay(day))
}

// easter is Gauss's rule in the form of Lichtenberg, another way than the
// library's to the same Sunday.
func easter(year int) form.Date {
	k := year / 100
	m := 15 + (3*k+3)/4 - (8*k+13)/25
	s := 2 - (3*k+3)/4
	a := year % 19
	d := (19*a + m) % 30
	r := (d + a/11) / 29
	og := 21 + d - r
	sz := 7 - (year+year/4+s)%7
	oe := 7 - (og-sz)%7
	return form.Date{Year: year, Month: time.March, Day: 1}.AddDays(og + oe - 1)
}

func TestWorkingDaysFrom2020To2040(t *testing.T) {
	c := &form.Contract{}
	fixed := map[string]bool{}
	for _, s := range strings.Fields("1.1. 6.1. 8.3. 1.5. 15.8. 20.9. 3.10. 31.10. 1.11. 24.12. 25.12. 26.12. 31.12.") {
		fixed[s] = true
	}
	for d := date(t, "2020-01-01"); d.Year <= 2040; d = d.AddDays(1) {
		sunday := easter(d.Year)
		free := d.Weekday() == time.Saturday || d.Weekday() == time.Sunday || fixed[d.At(0, 0).Format("2.1.")]
		for _, days := range []int{-2, 1, 39, 50, 60} {
			free = free || d == sunday.AddDays(days)
		}
		// Buß- und Bettag: the Wednesday before 23 November.
		free = free || d.Month == time.November && d.Weekday() == time.Wednesday && 16 <= d.Day && d.Day <= 22
		require.Equal(t, !free, c.WorkingDay(d), d)
	}
}

func TestPlanIsTheCalendarOfTheExample(t *testing.T) {
	// 23 December 2026 is a Wednesday and a working day, the next is Monday the 28th.
	c := contract(t, form.ClassB)
	due := form.Plan(c, date(t, "2026-12-24"), date(t, "2026-12-28"))
	var got []string
	for _, d := range due {
		b, err := d.MarshalJSON()
		require.NoError(t, err)
		got = append(got, string(b))
	}
	period := `"period":{"from":"2026-12-23T00:00:00+01:00","to":"2026-12-28T00:00:00+01:00"}`
	require.Equal(t, []string{
		`{"due":"2026-12-28T11:00:00+01:00","row":5,"malo":"41373559241","from":"MSB","to":"NB",` + period + `,"purpose":"Bilanzierung"}`,
		`{"due":"2026-12-28T11:00:00+01:00","row":5,"malo":"41373559241","from":"MSB","to":"ÜNB",` + period + `,"purpose":"Bilanzierung"}`,
		`{"due":"2026-12-28T11:00:00+01:00","row":6,"malo":"41373559241","from":"MSB","to":"LF",` + period + `,"purpose":"Bilanzierung, Abrechnung"}`,
	}, got)
}

func TestPlanGivesEachClassItsRows(t *testing.T) {
	type to struct {
		row  form.RowNumber
		role string
	}
	want := map[form.Class][]to{
		form.ClassA: {{1, "LF"}, {4, "LF"}, {4, "NB"}},
		form.ClassB: {{5, "NB"}, {5, "ÜNB"}, {6, "LF"}, {1, "LF"}, {7, "LF"}, {7, "NB"}},
		form.ClassC: {{5, "NB"}, {5, "ÜNB"}, {6, "LF"}, {1, "LF"}, {7, "LF"}, {7, "NB"}},
		form.ClassE: {{5, "NB"}, {5, "ÜNB"}, {6, "LF"}, {8, "AB"}},
	}
	for class, rows := range want {
		var got []to
		// 1 October 2026 is a Thursday: daily rows at 11:00, monthly ones at 12:00.
		for _, d := range form.Plan(contract(t, class), date(t, "2026-10-01"), date(t, "2026-10-01")) {
			got = append(got, to{d.Row, d.To.String()})
			hour, period := 11, form.Period{From: midnight(t, "2026-09-30"), To: midnight(t, "2026-10-01")}
			if r, _ := d.Row.Row(); r.Rhythm == form.EachMonth {
				hour, period.From = 12, midnight(t, "2026-09-01")
			}
			require.Equal(t, date(t, "2026-10-01").At(hour, 0), d.At)
			require.Equal(t, period, d.Period)
		}
		require.Equal(t, rows, got, "class %s", class)
	}
}

func TestMonthlyRowsAreDueOnTheFirstEvenOnAHoliday(t *testing.T) {
	// 1 January 2027 is a Friday and a holiday: no daily row, but the monthly ones.
	for _, d := range form.Plan(contract(t, form.ClassB, form.ClassE), date(t, "2027-01-01"), date(t, "2027-01-01")) {
		row, _ := d.Row.Row()
		require.Equal(t, form.EachMonth, row.Rhythm)
		require.Equal(t, "2027-01-01T12:00:00+01:00", d.At.Format(time.RFC3339))
	}
}

func TestPlanIsSortedByDueRowLocationReceiver(t *testing.T) {
	c := contract(t, form.ClassE, form.ClassB) // the greater id first
	due := form.Plan(c, date(t, "2026-10-01"), date(t, "2026-10-02"))
	key := func(d form.Due) string {
		return d.At.UTC().Format(time.RFC3339) + string(rune('0'+d.Row)) + d.MaLo.String() + d.To.String()
	}
	require.Len(t, due, 2*6+4)
	for i := range due[1:] {
		require.Less(t, key(due[i]), key(due[i+1]))
	}
}

func TestPlanCoversEachQuarterHourOnceFrom2020To2040(t *testing.T) {
	c := contract(t, form.ClassB)
	type series struct {
		row form.RowNumber
		to  form.Role
	}
	first, last := map[series]form.Period{}, map[series]form.Period{}
	for _, d := range form.Plan(c, date(t, "2020-01-01"), date(t, "2040-12-31")) {
		s := series{d.Row, d.To}
		if before, ok := last[s]; ok {
			require.Equal(t, before.To, d.Period.From, "row %d to %s", d.Row, d.To)
		} else {
			first[s] = d.Period
		}
		require.Less(t, d.Period.From, d.Period.To)
		require.Equal(t, d.Period.To, form.DateOf(d.At).Midnight(), "a payload is due on the day its period ends")
		last[s] = d.Period
	}
	require.Len(t, last, 6)
	require.Equal(t, midnight(t, "2019-12-30"), first[series{5, form.NB}].From) // 31 December and 1 January are free
	require.Equal(t, midnight(t, "2019-12-01"), first[series{7, form.NB}].From)
	require.Equal(t, midnight(t, "2040-12-28"), last[series{5, form.NB}].To)
	require.Equal(t, midnight(t, "2040-12-01"), last[series{7, form.NB}].To)
}

func TestSettledCutsThePlanAnywhere(t *testing.T) {
	c := contract(t, form.ClassB, form.ClassE)
	from, to := midnight(t, "2026-10-20"), midnight(t, "2027-01-10")
	whole := c.Always().Settled(from, to)
	require.Equal(t, form.Plan(c, date(t, "2026-10-21"), date(t, "2027-01-10")), whole)
	var pieces []form.Due
	for q := from; q < to; q += 7 {
		pieces = append(pieces, c.Always().Settled(q, min(q+7, to))...)
	}
	require.Equal(t, whole, pieces)
	require.Empty(t, c.Always().Settled(to, to))
	require.Empty(t, c.Always().Settled(to, from))
}

func TestParsePeriod(t *testing.T) {
	quarters := map[string]int{
		"2026-10":                2980, // 31 days and the hour of winter time
		"2026-02":                2688,
		"2026-03-29":             92,
		"2026-10-25":             100,
		"2026-10-26":             96,
		"2026-10-23..2026-10-26": 388,
	}
	for text, want := range quarters {
		p, err := form.ParsePeriod(text)
		require.NoError(t, err, text)
		require.EqualValues(t, want, p.To-p.From, text)
	}
	for _, text := range []string{"", "2026", "2026-13", "2026-10-32", "2026-10-26..2026-10-25", "2026-10..2026-11", "2026-10-25..", "2026-1-1"} {
		_, err := form.ParsePeriod(text)
		require.Error(t, err, text)
	}
}
