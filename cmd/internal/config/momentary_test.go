package config_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
)

// withTables is the example with tables about momentary figures of the roof,
// and the number of the line that they begin at.
func withTables(t *testing.T, tables string) (text string, line int) {
	data, err := os.ReadFile(example)
	require.NoError(t, err)
	before, after, found := strings.Cut(string(data), "direction = \"feed_in\"\n")
	require.True(t, found)
	before += "direction = \"feed_in\"\n"
	return before + tables + "\n" + after, strings.Count(before, "\n") + 1
}

func TestMomentaryFigures(t *testing.T) {
	text, _ := withTables(t, `[market_location.feed_in_power]
every = "1m"
above_kw = 25
below_kw = 1.5
hysteresis_kw = "0.25"
[market_location.grid_state]
every = "15m"
because = "eeg_kwkg_plant"`)
	c, err := config.Load(write(t, text))
	require.NoError(t, err)
	roof := c.Contract.MarketLocations[1]
	require.Equal(t, time.Minute, roof.FeedInPower.Every)
	require.Equal(t, "25", roof.FeedInPower.Above.Decimal.String())
	require.Equal(t, "1.5", roof.FeedInPower.Below.Decimal.String())
	require.Equal(t, "0.25", roof.FeedInPower.Hysteresis.String())
	require.Equal(t, &form.GridOrder{Every: 15 * time.Minute, Because: form.EEGOrKWKGPlant}, roof.GridState)

	said := map[form.RowNumber]string{}
	for _, e := range c.Entitlements(time.Date(2026, 11, 22, 12, 0, 0, 0, form.Berlin)) {
		if e.Occasions != nil {
			require.Equal(t, roof.MaLo, e.MaLo)
			require.Nil(t, e.NextDue)
			require.Equal(t, []config.Recipient{{Role: form.NB, PartnerID: roof.Receivers[1].PartnerID, Endpoint: "https://localhost:8443"}}, e.To)
			said[e.Row] = e.HowOften
		}
	}
	require.Equal(t, map[form.RowNumber]string{9: "every 1 min, across 25 kW, across 1.5 kW, on demand", form.GridState: "every 15 min"}, said)
}

func TestProblemsOfMomentaryFigures(t *testing.T) {
	for tables, want := range map[string][]string{
		"[market_location.feed_in_power]\nevery = \"5m\"":                     {`:2:9: every: duration "5m"; want "1m" or "15m", which begin on the clock`},
		"[market_location.feed_in_power]\nevery = 15":                         {`:2:9: every is a whole number; want a text in quotes, as in every = "15m"`},
		"[market_location.feed_in_power]\nevry = \"1m\"":                      {`:2:1: unknown key "evry" in [market_location.feed_in_power]; did you mean every?`},
		"[market_location.feed_in_power]":                                     {`:1:18: feed_in_power: it says nothing; want every, above_kw or below_kw, or leave it out: row 9 is then sent on demand only`},
		"[market_location.feed_in_power]\nabove_kw = 10":                      {`:1:18: hysteresis_kw: missing; want the power by which a threshold must be crossed back, above 0, so that a power which swings about it is not sent all the time`},
		"[market_location.feed_in_power]\nabove_kw = -1\nhysteresis_kw = 1":   {`:2:12: above_kw: power -1; want kilowatts above 0, such as 43 or 27.6`},
		"[market_location.feed_in_power]\nbelow_kw = \"1 MW\"":                {`:2:12: below_kw: power "1 MW" has a unit; want the number of kilowatts alone, such as 43`},
		"[market_location.feed_in_power]\nevery = \"1m\"\nhysteresis_kw = 1":  {`:3:17: hysteresis_kw: there is no threshold; want above_kw or below_kw, or leave it out`},
		"[market_location.feed_in_power]\nabove_kw = 1\nhysteresis_kw = 1.5":  {`:3:17: hysteresis_kw: 1.5 is more than above_kw, so that it is never crossed back; want at most above_kw`},
		"feed_in_power = { above_kw = 3, below_kw = 2.5, hysteresis_kw = 1 }": {`:1:30: above_kw: from 2.5 to 3 kW is less than the hysteresis of 1 kW; want above_kw greater than below_kw by at least the hysteresis`},
		"[[market_location.feed_in_power]]\nevery = \"1m\"":                   {`:1:19: feed_in_power is a list of tables; want a line [market_location.feed_in_power] with its keys below it`},
		"[market_location.grid_state]\nbecause = \"eeg_kwkg_plant\"":          {`:1:18: every is missing in [market_location.grid_state]; want every = "15m"`},
		"[market_location.grid_state]\nevery = \"1m\"":                        {`:1:18: because is missing in [market_location.grid_state]; want because = "eeg_kwkg_plant", "controllable_device_14a" or "above_20000_kwh"`},
		"[market_location.grid_state]\nevery = \"1m\"\nbecause = \"asked\"":   {`:3:11: because "asked" entitles nobody to the grid's state; want eeg_kwkg_plant, controllable_device_14a or above_20000_kwh`},
		"grid_state = { every = \"1m\", because = \"above_20000_kwh\" }":      {`:1:40: because: above_20000_kwh does not go with what is fed in; want eeg_kwkg_plant for what is fed in, the others for what is drawn`},
		"[market_location.grid_state]\nevery = \"h\"\nbecause = \"plant\"":    {`:2:9: every: duration "h"; want "1m" or "15m", which begin on the clock`, `:3:11: because "plant" entitles nobody to the grid's state; want eeg_kwkg_plant, controllable_device_14a or above_20000_kwh`},
	} {
		text, line := withTables(t, tables)
		path := write(t, text)
		_, err := config.Load(path)
		require.Error(t, err, tables)
		var got []string
		for _, p := range err.(config.Errors) {
			p.File, p.Line = "", p.Line-line+1 // lines count from the tables on
			got = append(got, p.Error())
		}
		require.Equal(t, want, got, tables)
	}
}

func TestGridStateOfWhatIsDrawn(t *testing.T) {
	tables := "class = \"A\"\n[market_location.grid_state]\nevery = \"15m\"\nbecause = "
	for because, want := range map[string]string{
		`"controllable_device_14a"`: "",
		`"above_20000_kwh"`:         `:21:11: because: a point of class A uses no more than 10 000 kWh a year; want another reason, or leave [market_location.grid_state] out`,
		`"eeg_kwkg_plant"`:          `:21:11: because: eeg_kwkg_plant does not go with what is drawn; want eeg_kwkg_plant for what is fed in, the others for what is drawn`,
	} {
		path := write(t, strings.Replace(whole, `class = "A"`, tables+because, 1))
		_, err := config.Load(path)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, []string{want}, problems(t, path, err))
	}
	path := write(t, strings.Replace(whole, `class = "A"`, "class = \"A\"\n[market_location.feed_in_power]\nevery = \"1m\"", 1))
	_, err := config.Load(path)
	require.Equal(t, []string{`:19:18: feed_in_power: row 9 is for what is fed in; leave it out`}, problems(t, path, err))
}
