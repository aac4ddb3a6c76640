package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
)

// anyContract is any contract that Validate finds nothing wrong with, as a file
// gives it.
func anyContract(t *rapid.T) *form.Contract {
	date := rapid.Custom(func(t *rapid.T) form.Date {
		return form.Date{Year: 2020, Month: time.January, Day: 1}.AddDays(rapid.IntRange(0, 8000).Draw(t, "day"))
	})
	digits := func(n int) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), n, n, n).Draw(t, "digits")
	}
	may := func(what string) bool { return rapid.Bool().Draw(t, what) }
	c := &form.Contract{
		Edition:           form.EditionBK618032,
		TransformerFactor: rapid.Int64Range(1, 1<<40).Draw(t, "factor"),
		OffsetLimit:       time.Duration(rapid.Int64Range(1000, 27000).Draw(t, "limit")) * time.Millisecond,
	}
	var err error
	c.MeLo, err = form.ParseMeteringLocationID("DE" + rapid.StringMatching(`[0-9A-Z]{31}`).Draw(t, "melo"))
	require.NoError(t, err)
	if may("holidays") {
		c.ExtraHolidays = rapid.SliceOfN(date, 1, 3).Draw(t, "holidays")
	}
	if may("max power") {
		c.MaxPowerKW = decimal.NewNullDecimal(decimal.RequireFromString(rapid.StringMatching(`[1-9][0-9]{0,20}(\.[0-9]{0,5}[1-9])?`).Draw(t, "kW")))
	}
	if may("from") {
		c.From = date.Draw(t, "from")
	}
	if may("commissioned") {
		c.Commissioned = date.Draw(t, "commissioned").At(10, 15).Add(time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "ns"))).UTC()
	}
	seen := map[form.MarketLocationID]bool{}
	for range rapid.IntRange(1, 3).Draw(t, "locations") {
		m := form.MarketLocation{Direction: form.FeedIn, Class: form.ClassE, Meter: rapid.String().Draw(t, "meter")}
		m.MaLo = marketLocationID(t, digits(9))
		if seen[m.MaLo] {
			continue
		}
		seen[m.MaLo] = true
		roles := []form.Role{form.LF, form.NB, form.UENB, form.AB}
		if may("draw") {
			m.Direction, m.Class, m.TwoTariffs = form.Draw, rapid.SampledFrom([]form.Class{form.ClassA, form.ClassB, form.ClassC}).Draw(t, "class"), may("two tariffs")
			if roles = roles[:3]; m.Class == form.ClassA {
				roles = roles[:2]
			}
		}
		if m.TwoTariffs {
			for range rapid.IntRange(0, 2).Draw(t, "high times") {
				from := rapid.IntRange(0, 95).Draw(t, "from")
				h := form.HighTime{From: clockTime(t, from), To: clockTime(t, rapid.IntRange(from+1, 96).Draw(t, "to"))}
				for _, day := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"mon", "tue", "sat", "sun"}), 0, 3, rapid.ID[string]).Draw(t, "days") {
					d, err := form.ParseWeekday(day)
					require.NoError(t, err)
					h.Days = append(h.Days, d)
				}
				m.HighTimes = append(m.HighTimes, h)
			}
		}
		if may("interpolate") {
			m.Interpolate = time.Duration(rapid.IntRange(1, 96).Draw(t, "gap")) * meter.QuarterLength
		}
		if m.Direction == form.FeedIn && may("feed-in power") {
			kw := func(low int64) decimal.Decimal {
				return decimal.RequireFromString(decimal.New(rapid.Int64Range(low, low+9).Draw(t, "kW"), -1).String())
			}
			m.FeedInPower = &form.FeedInPower{Every: time.Minute}
			if may("thresholds") {
				*m.FeedInPower = form.FeedInPower{Above: decimal.NewNullDecimal(kw(61)), Below: decimal.NewNullDecimal(kw(31)), Hysteresis: kw(1)}
			}
		}
		if may("grid state") {
			m.GridState = &form.GridOrder{Every: rapid.SampledFrom([]time.Duration{time.Minute, meter.QuarterLength}).Draw(t, "every"), Because: form.ControllableDevice}
			if m.Direction == form.FeedIn {
				m.GridState.Because = form.EEGOrKWKGPlant
			}
		}
		for _, role := range rapid.Permutation(roles).Draw(t, "roles") {
			r := form.Receiver{Role: role}
			r.PartnerID, err = form.ParsePartnerID(digits(13))
			require.NoError(t, err)
			if may("endpoint") {
				r.Endpoint = "https://" + rapid.StringMatching(`[a-z]{1,9}\.test(/[a-z]{1,9})?`).Draw(t, "endpoint")
			}
			m.Receivers = append(m.Receivers, r)
		}
		c.MarketLocations = append(c.MarketLocations, m)
	}
	require.NoError(t, c.Validate())
	return c
}

func clockTime(t require.TestingT, quarters int) form.ClockTime {
	c, err := form.ParseClockTime((time.Time{}.Add(time.Duration(quarters) * meter.QuarterLength)).Format("15:04"))
	if quarters == 96 {
		c, err = form.ParseClockTime("24:00")
	}
	require.NoError(t, err)
	return c
}

// marketLocationID gives digits a first one that may stand there and the check
// digit that fits.
func marketLocationID(t require.TestingT, digits string) form.MarketLocationID {
	for check := range 10 {
		if id, err := form.ParseMarketLocationID("4" + digits + string(rune('0'+check))); err == nil {
			return id
		}
	}
	require.Fail(t, "no check digit fits")
	return form.MarketLocationID{}
}

func TestContractSurvivesBeingWrittenDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyContract(t)
		text := config.FormatContract(c)
		again, err := config.ParseContract(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, c, again, "%s", text)
		require.Equal(t, string(text), string(config.FormatContract(again)))
	})
}

// everything is a contract in which nothing is left out that may be in one.
const everything = `
[readings]
offset_limit = "20s"
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"
from = 2026-12-01
transformer_factor = 40
extra_holidays = ["2025-05-08"]
max_power_kw = 43.5
commissioned = "2026-10-23T10:15:00+02:00"
[[market_location]]
malo = "41373559241"
direction = "draw"
class = "B"
two_tariffs = true
interpolate = "2h"
high_tariff = [{ days = ["mon", "fri"], from = "06:00", to = "22:00" }]
receiver = [
    { role = "LF", partner_id = "9900357000004", endpoint = "https://supplier.test" },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
]
[[market_location]]
malo = "51238696781"
direction = "feed_in"
feed_in_power = { every = "15m", above_kw = 25, below_kw = 1.5, hysteresis_kw = 0.5 }
grid_state = { every = "1m", because = "eeg_kwkg_plant" }
receiver = [
    { role = "LF", partner_id = "9900357000004" },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
    { role = "AB", partner_id = "9900357000035" },
]
`

// A field that is added to the contract and forgotten in what is written down
// would make two contracts one.
func TestNothingOfAContractIsForgotten(t *testing.T) {
	c, err := config.ParseContract([]byte(everything))
	require.NoError(t, err)
	left := map[string]bool{}
	unset(reflect.ValueOf(*c), "Contract", left)
	for field, absent := range left {
		require.False(t, absent, "%s is set nowhere in the contract that this test writes down: set it there, and write it in FormatContract", field)
	}
	again, err := config.ParseContract(config.FormatContract(c))
	require.NoError(t, err)
	require.Equal(t, c, again)
}

// unset notes which fields of the form's types no value has.
func unset(v reflect.Value, path string, left map[string]bool) {
	switch {
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			unset(v.Index(i), path, left)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		unset(v.Elem(), path, left)
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().PkgPath(), "smgw/meter/form"):
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				name := v.Type().Name() + "." + f.Name
				if absent, known := left[name]; !known || absent {
					left[name] = v.Field(i).IsZero()
				}
				unset(v.Field(i), name, left)
			}
		}
	}
}
