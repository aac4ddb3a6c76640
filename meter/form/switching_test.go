package form_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// switched is a contract whose meter is tariffed by the gateway: high from one
// clock time to another on some days.
func switched(t require.TestingT, from, to string, days ...string) *form.Contract {
	c := contract(t, form.ClassB)
	high := form.HighTime{}
	var err error
	high.From, err = form.ParseClockTime(from)
	require.NoError(t, err)
	high.To, err = form.ParseClockTime(to)
	require.NoError(t, err)
	for _, d := range days {
		day, err := form.ParseWeekday(d)
		require.NoError(t, err)
		high.Days = append(high.Days, day)
	}
	c.MarketLocations[0].TwoTariffs = true
	c.MarketLocations[0].HighTimes = []form.HighTime{high}
	require.NoError(t, c.Validate())
	return c
}

// tariffs previews HT, NT and what no tariff could be given to, without their codes.
func tariffs(t require.TestingT, c *form.Contract, all []meter.BoundaryReading, quarters int) string {
	got := values(t, c, 7, all, quarters)
	require.Len(t, got, 6)
	var words []string
	for i, code := range []string{"1-0:1.8.1", "1-0:1.8.2", "1-0:1.8.63"} {
		word, ok := strings.CutPrefix(got[3+i], "energy "+code+" ")
		require.True(t, ok, got[3+i])
		words = append(words, word)
	}
	return strings.Join(words, " | ")
}

func TestGatewayTariffs(t *testing.T) {
	// 00:15 to 00:45 is high: the second and third quarter hour.
	for name, test := range map[string]struct{ line, want string }{
		"gives each quarter hour to its tariff":              {"0 1000 3000 6000 10000", "5 true | 5 true | 0 true"},
		"gives a gap to none":                                {"0 1000 - 6000 10000", "0 true | 5 true | 5 true"},
		"gives what is implausible to none":                  {"0 1000 500 6000 10000", "0 true | 5 true | 5 true"},
		"gives quarter hours of a clock not set to none":     {"0 1000 3000! 6000 10000", "0 true | 5 true | 5 true"},
		"gives the quarter hour of an exchange to none":      {"0 1000 7000B 8000B 10000B", "1 true | 3 true | 0 true"},
		"has none without an end":                            {"0 1000 3000 6000 -", "null missing Z75 | null missing Z75 | null missing Z75"},
		"doubts what is left where an end has no clock":      {"0! 1000 3000 6000 10000", "5 true | 4 true | 1 unusable ZA0"},
		"doubts whole kWh":                                   {"0 1000# 3000# 6000 10000", "5 unusable ZC4 | 5 unusable ZC4 | 0 unusable ZC4"},
		"warns of a reading at a change of tariff":           {"0 1000w 3000 6000 10000", "5 true offset | 5 true offset | 0 true offset"},
		"does not warn of one within a tariff":               {"0 1000 3000w 6000 10000", "5 true | 5 true | 0 true"},
		"warns of one at the end of the period":              {"0 1000 3000 6000 10000w", "5 true | 5 true offset | 0 true offset"},
		"warns of one at the edge of what goes to no tariff": {"0 1000w - 6000 10000", "0 true | 5 true offset | 5 true offset"},
	} {
		t.Run("it "+name, func(t *testing.T) {
			got := tariffs(t, switched(t, "00:15", "00:45"), readings(t, obis.Drawn, test.line), 4)
			require.Equal(t, test.want, got)
		})
	}
}

func TestGatewayTariffsByGermanClockTime(t *testing.T) {
	for period, want := range map[string]string{
		"2026-10-25": "HT 28 NT 72", // Sunday, 100 quarter hours: 00:00 to 06:00 has seven hours, 24 + 4 quarter hours
		"2026-03-29": "HT 20 NT 72", // Sunday, 92
		"2026-10-26": "HT 0 NT 96",  // Monday
	} {
		c := switched(t, "00:00", "06:00", "sun", "sat")
		p, err := form.ParsePeriod(period)
		require.NoError(t, err)
		var all []meter.BoundaryReading
		for q := p.From; q <= p.To; q++ {
			all = append(all, meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
				Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(int64(q-p.From), 3)}}})
		}
		got, _, err := c.Always().Preview(c.MarketLocations[0].MaLo, 7, p, all)
		require.NoError(t, err)
		require.Equal(t, want, fmt.Sprintf("HT %v NT %v", got[3].Amount.Decimal, got[4].Amount.Decimal), period)
	}
}

func TestTariffsAndWhatIsLeftAreTheEnergy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := switched(t, "06:00", "22:00", "tue", "wed")
		c.TransformerFactor = 30
		from := start(t) + meter.Quarter(rapid.IntRange(0, 200).Draw(t, "from"))
		n := rapid.IntRange(1, 120).Draw(t, "length")
		h := c.Always()
		if rapid.Bool().Draw(t, "changes") {
			// At the beginning another factor, another table or none.
			h.Versions[0].Contract = rapid.SampledFrom([]*form.Contract{contract(t, form.ClassB), switched(t, "00:00", "24:00"), switched(t, "07:00", "08:15")}).Draw(t, "before")
			h.Versions = append(h.Versions, form.Version{From: from + meter.Quarter(rapid.IntRange(0, n-1).Draw(t, "at")), Contract: c})
		}
		var all []meter.BoundaryReading
		for _, l := range drawLines(t, "1-0:1.8.0", int64(from), int64(from)+int64(n)) {
			all = append(all, l.reading(t))
		}
		got, _, err := h.Preview(c.MarketLocations[0].MaLo, 7, form.Period{From: from, To: from + meter.Quarter(n)}, all)
		if err != nil {
			t.Skip("no reading in the period")
		}
		sum := decimal.Zero
		for _, v := range got[3:] {
			require.Equal(t, got[0].Amount.Valid, v.Amount.Valid)
			require.False(t, v.Amount.Decimal.IsNegative())
			sum = sum.Add(v.Amount.Decimal)
		}
		require.True(t, sum.Equal(got[0].Amount.Decimal))
	})
}

func TestATableThatChangesHoldsFromItsMidnight(t *testing.T) {
	q := start(t)
	c, none := switched(t, "00:00", "24:00"), contract(t, form.ClassB)
	all := readings(t, obis.Drawn, "0 1000 3000w 6000 10000")
	for want, before := range map[string]*form.Contract{
		"7 true offset | 3 true offset | 0 true offset": switched(t, "12:00", "24:00"), // low until then
		"7 true offset | 0 true | 3 true offset":        none,
	} {
		h := form.History{Versions: []form.Version{{From: q, Contract: before}, {From: q + 2, Contract: c}}}
		got, _, err := h.Preview(c.MarketLocations[0].MaLo, 7, form.Period{From: q, To: q + 4}, all)
		require.NoError(t, err)
		var words []string
		for _, v := range got[3:] {
			words = append(words, strings.SplitN(describe(v), " ", 3)[2])
		}
		require.Equal(t, want, strings.Join(words, " | "))
	}
}

func TestGatewayTariffsArePermitted(t *testing.T) {
	c := switched(t, "06:00", "22:00")
	d := due(t, c, "2026-11-01", 7, form.NB)
	p, err := c.Always().Build(d, nil)
	require.NoError(t, err)
	require.NoError(t, c.Always().Permits(&p))
	c.MarketLocations[0].HighTimes = nil
	var denied *form.DeniedError
	require.ErrorAs(t, c.Always().Permits(&p), &denied, "energies where the meter has registers")
}

func TestClockTimesAndDaysThatAreNone(t *testing.T) {
	for _, s := range []string{"", "6:00", "06:10", "24:15", "25:00", "-1:00", "06:00:00"} {
		_, err := form.ParseClockTime(s)
		require.Error(t, err, s)
	}
	for _, s := range []string{"00:00", "06:15", "23:45", "24:00"} {
		c, err := form.ParseClockTime(s)
		require.NoError(t, err)
		require.Equal(t, s, c.String())
	}
	_, err := form.ParseWeekday("Mo")
	require.Error(t, err)
}
