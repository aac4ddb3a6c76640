package form_test

import (
	"fmt"
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

// start is the boundary at which the readings of a test begin, a local midnight.
func start(t require.TestingT) meter.Quarter { return midnight(t, "2026-11-03") }

// readings makes one reading a boundary from a line of Wh, beginning at start.
// "-" is a boundary without one; marks behind a value: ! taken with an
// unsynchronised clock, # front port gives whole kWh, w 9.001 s off, x 27.001 s
// off, B from another device.
func readings(t require.TestingT, code obis.Code, line string) []meter.BoundaryReading {
	var all []meter.BoundaryReading
	for i, word := range strings.Fields(line) {
		if word == "-" {
			continue
		}
		number := strings.TrimRight(word, "!#wxB")
		value, err := decimal.NewFromString(number)
		require.NoError(t, err)
		b := meter.BoundaryReading{
			Boundary: start(t) + meter.Quarter(i), Clock: meter.ClockSynchronised, Device: "A",
			Registers: []meter.RegisterValue{{Code: code, Value: value}},
		}
		for _, mark := range word[len(number):] {
			switch mark {
			case '!':
				b.Clock = meter.ClockUnsynchronised
			case '#':
				b.Coarse = true
			case 'w':
				b.Offset = -9001 * time.Millisecond
			case 'x':
				b.Offset = 27_001 * time.Millisecond
			case 'B':
				b.Device = "B"
			}
		}
		all = append(all, b)
	}
	return all
}

// values previews a row over the boundaries of a line, in the model's words and
// with quarter hours counted from start.
func values(t require.TestingT, c *form.Contract, row form.RowNumber, all []meter.BoundaryReading, quarters int) []string {
	p := form.Period{From: start(t), To: start(t) + meter.Quarter(quarters)}
	got, _, err := c.Always().Preview(c.MarketLocations[0].MaLo, row, p, all)
	require.NoError(t, err)
	var words []string
	for _, v := range got {
		if v.At != 0 {
			v.At -= start(t)
		}
		words = append(words, describe(v))
	}
	return words
}

func TestLoadProfile(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"is the difference of two boundary readings":      {"1000 1250.5 1250.5", "0.2505 true, 0 true"},
		"has a gap where a boundary has no reading":       {"1000 - 1300 1400", "null missing Z75, null missing Z75, 0.1 true"},
		"has a gap where a reading is off by more":        {"1000 1100x 1300 1400", "null missing Z75, null missing Z75, 0.1 true"},
		"warns of a reading off by more than 9 s":         {"1000 1100w 1300 1400", "0.1 true offset, 0.2 true offset, 0.1 true"},
		"does not use what is lower than before":          {"1000 900 1300 1400", "null missing ZA1, null missing ZA1, 0.1 true"},
		"nor what follows until the register is there":    {"1000 900 950 999.9 1000 1400", "null missing ZA1, null missing ZA1, null missing ZA1, null missing ZA1, 0.4 true"},
		"compares with usable readings only":              {"1000 5000x 1200 1400", "null missing Z75, null missing Z75, 0.2 true"},
		"compares with plausible readings only":           {"1000 900 950 1100 1400", "null missing ZA1, null missing ZA1, null missing ZA1, 0.3 true"},
		"says absent rather than implausible":             {"1000 900 - 1400", "null missing ZA1, null missing Z75, null missing Z75"},
		"is unusable with a clock that is not set":        {"1000 1100! 1300 1400", "0.1 unusable ZA0, 0.2 unusable ZA0, 0.1 true"},
		"is unusable where the port gives whole kWh":      {"1000 2000# 3000# 4000", "1 unusable ZC4, 1 unusable ZC4, 1 unusable ZC4"},
		"says clock rather than resolution":               {"1000# 2000# 3000#!", "1 unusable ZC4, 1 unusable ZA0"},
		"says implausible rather than clock":              {"1000! 900! 2000", "null missing ZA1, null missing ZA1"},
		"is absent where the device was exchanged":        {"1000 1100 5B 25B", "0.1 true, null missing Z78, 0.02 true"},
		"judges each device by itself":                    {"1000 1100 5B 3B 25B", "0.1 true, null missing Z78, null missing ZA1, null missing ZA1"},
		"says absent rather than exchanged":               {"1000 - 5B", "null missing Z75, null missing Z75"},
		"says exchanged rather than implausible":          {"1000 900 5B 6B", "null missing ZA1, null missing Z78, 0.001 true"},
		"has intervals at both ends without a reading":    {"- 1100 1300 -", "null missing Z75, 0.2 true, null missing Z75"},
		"carries the warning with whatever keeps a value": {"1000w 1100! 1300 1400#", "0.1 unusable ZA0 offset, 0.2 unusable ZA0, 0.1 unusable ZC4"},
	}
	for name, test := range tests {
		t.Run("it "+name, func(t *testing.T) {
			n := len(strings.Fields(test.line)) - 1
			got := values(t, contract(t, form.ClassB), 6, readings(t, obis.Drawn, test.line), n)
			require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [" + test.want + "]"}, got)
		})
	}
}

func TestMonth(t *testing.T) {
	tests := map[string]struct{ line, energy, power, register string }{
		"is made from its two ends":                             {"1000 1100 1400", "0.4 true", "1 1.2 true", "2 1.4 true"},
		"has true energy with gaps inside":                      {"1000 - 1400 1500", "0.5 true", "2 0.4 preliminary, 2 missing", "3 1.5 true"},
		"has no energy without its first reading":               {"- 1100 1400", "null missing Z75", "1 1.2 preliminary, 1 missing", "2 1.4 true"},
		"has neither energy nor register without the last":      {"1000 1100 1400x", "null missing Z75", "0 0.4 preliminary, 1 missing", "2 null missing Z75"},
		"names the earliest of equal powers":                    {"1000 1100 1300 1500", "0.5 true", "1 0.8 true", "3 1.5 true"},
		"has no maximum where every interval is missing":        {"1000 - 1400", "0.4 true", "null missing, 2 missing", "2 1.4 true"},
		"has a maximum of zero where nothing was used":          {"1000 1000 1000", "0 true", "0 0 true", "2 1 true"},
		"warns of either end":                                   {"1000w 1100 1400", "0.4 true offset", "1 1.2 true", "2 1.4 true"},
		"warns of the register":                                 {"1000 1100 1400w", "0.4 true offset", "1 1.2 true", "2 1.4 true offset"},
		"does not use an implausible end":                       {"1000 1100 900", "null missing ZA1", "0 0.4 preliminary, 1 missing", "2 null missing ZA1"},
		"says absent rather than implausible":                   {"- 1100 900", "null missing Z75", "null missing, 2 missing", "2 null missing ZA1"},
		"is unusable at an end with a clock that is not set":    {"1000! 1100 1400", "0.4 unusable ZA0", "1 1.2 unusable ZA0", "2 1.4 true"},
		"has an unusable register with a clock that is not set": {"1000 1100 1400!", "0.4 unusable ZA0", "1 1.2 unusable ZA0", "2 1.4 unusable ZA0"},
		"has true energy in whole kWh, but no true maximum":     {"1000# 1000# 2000#", "1 true", "1 4 unusable ZC4", "2 2 true"},
		"says clock rather than resolution":                     {"1000! 2000# 3000# 4000#", "3 unusable ZA0", "0 4 unusable ZA0", "3 4 true"},
		"adds up device by device":                              {"1000 1100 5B 25B", "0.12 true", "0 0.4 preliminary, 1 missing", "3 0.025 true"},
		"leaves implausible readings out of an exchange":        {"1000 1100 900 5B 25B", "0.12 true", "0 0.4 preliminary, 2 missing", "4 0.025 true"},
		"warns of a reading at an exchange":                     {"1000 1100w 5B 25B", "0.12 true offset", "0 0.4 preliminary, 1 missing", "3 0.025 true"},
		"is unusable at an exchange with a clock not set":       {"1000 1100 5B! 25B", "0.12 unusable ZA0", "0 0.4 preliminary, 1 missing", "3 0.025 true"},
	}
	for name, test := range tests {
		t.Run("it "+name, func(t *testing.T) {
			n := len(strings.Fields(test.line)) - 1
			got := values(t, contract(t, form.ClassB), 7, readings(t, obis.Drawn, test.line), n)
			require.Equal(t, []string{"energy 1-0:1.8.0 " + test.energy, "max_power 1-0:1.8.0 " + test.power, "register 1-0:1.8.0 " + test.register}, got)
		})
	}
}

func TestOffsetsAtTheirExactLimits(t *testing.T) {
	tests := map[time.Duration]string{
		9000 * time.Millisecond:    "0.1 true",
		-9000 * time.Millisecond:   "0.1 true",
		9001 * time.Millisecond:    "0.1 true offset",
		-9001 * time.Millisecond:   "0.1 true offset",
		27_000 * time.Millisecond:  "0.1 true offset",
		-27_000 * time.Millisecond: "0.1 true offset",
		27_001 * time.Millisecond:  "null missing Z75",
		-27_001 * time.Millisecond: "null missing Z75",
	}
	for offset, want := range tests {
		all := readings(t, obis.Drawn, "1000 1100")
		all[1].Offset = offset
		require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [" + want + "]"}, values(t, contract(t, form.ClassB), 6, all, 1), offset)
	}
	c := contract(t, form.ClassB)
	c.OffsetLimit = 10 * time.Second
	all := readings(t, obis.Drawn, "1000 1100")
	all[0].Offset = 10_001 * time.Millisecond
	require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [null missing Z75]"}, values(t, c, 6, all, 1), "a lower limit")
}

func TestMaxPowerMakesImplausible(t *testing.T) {
	c := contract(t, form.ClassB)
	c.TransformerFactor = 10
	c.MaxPowerKW = decimal.NewNullDecimal(decimal.RequireFromString("0.5"))
	// 0.5 kW is 125 Wh in a quarter hour, 12.5 Wh at the meter.
	tests := map[string]string{
		"1000 1012.5 1025":             "0.125 true, 0.125 true",
		"1000 1012.6 1025":             "null missing ZA1, null missing ZA1",
		"1000 9999 1025 1030":          "null missing ZA1, null missing ZA1, 0.05 true", // judged by the last good one
		"1000 - 1025 1030":             "null missing Z75, null missing Z75, 0.05 true", // over two quarter hours
		"1000 - 1025.1 1030":           "null missing Z75, null missing Z75, null missing ZA1",
		"1000 1030 1030 1030 1030":     "null missing ZA1, null missing ZA1, null missing ZA1, 0 true", // in time it is possible
		"1000 999 1026 1037.5 1037.51": "null missing ZA1, null missing ZA1, null missing ZA1, 0.0001 true",
	}
	for line, want := range tests {
		n := len(strings.Fields(line)) - 1
		require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [" + want + "]"}, values(t, c, 6, readings(t, obis.Drawn, line), n), line)
	}
}

func TestReadingsBeforeThePeriodSayWhatIsPlausible(t *testing.T) {
	all := readings(t, obis.Drawn, "1000 1100 1200")
	earlier := readings(t, obis.Drawn, "5000")
	earlier[0].Boundary -= 5000
	require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [null missing ZA1, null missing ZA1]"},
		values(t, contract(t, form.ClassB), 6, append(all, earlier...), 2))
	later := readings(t, obis.Drawn, "1")
	later[0].Boundary += 3
	require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [0.1 true, 0.1 true]"},
		values(t, contract(t, form.ClassB), 6, append(all, later...), 2))
}

func TestTransformerFactorIsAppliedToAll(t *testing.T) {
	c := contract(t, form.ClassB)
	c.TransformerFactor = 30
	require.Equal(t, []string{"energy 1-0:1.8.0 12 true", "max_power 1-0:1.8.0 1 36 true", "register 1-0:1.8.0 2 42 true"},
		values(t, c, 7, readings(t, obis.Drawn, "1000 1100 1400"), 2))
}

func TestFedInIsMadeFromItsOwnRegister(t *testing.T) {
	c := contract(t, form.ClassE)
	all := append(readings(t, obis.FedIn, "10 20 40"), readings(t, obis.Drawn, "1000 1100 1400")...)
	require.Equal(t, []string{"load_profile 1-0:2.8.0 0 [0.01 true, 0.02 true]"}, values(t, c, 5, all, 2))
	require.Equal(t, []string{"energy 1-0:2.8.0 0.03 true", "max_power 1-0:2.8.0 1 0.08 true", "register 1-0:2.8.0 2 0.04 true"}, values(t, c, 8, all, 2))
}

func TestConsumptionInformationHasEnergyAndRegisterOnly(t *testing.T) {
	c := contract(t, form.ClassA)
	c.MarketLocations[0].TwoTariffs = true
	require.Equal(t, []string{"energy 1-0:1.8.0 0.4 true", "register 1-0:1.8.0 1 1.4 true"},
		values(t, c, 1, readings(t, obis.Drawn, "1000 1400"), 1))
}

func TestTwoTariffs(t *testing.T) {
	tests := map[string]struct{ total, high, low, failed, want string }{
		"error register of the meter":                     {"9 1000", "9 700", "9 200", "9 100", "0.7 true|0.2 true|0.1 true"},
		"error register that a meter without it lacks":    {"9 1000", "9 700", "9 250.5", "", "0.7 true|0.2505 true|0.0495 true"},
		"total − Σ needs the total":                       {"9 -", "9 700", "9 200", "", "0.7 true|0.2 true|null missing Z75"},
		"total − Σ needs both tariffs":                    {"9 1000", "9 700", "9 200x", "", "0.7 true|null missing Z75|null missing Z75"},
		"total − Σ needs plausible ones":                  {"9 1000", "9 700", "900 200", "", "0.7 true|null missing ZA1|null missing ZA1"},
		"total − Σ warns and doubts with its parts":       {"9 1000", "9 700w", "9 200!", "", "0.7 true offset|0.2 unusable ZA0|0.1 unusable ZA0 offset"},
		"a meter that keeps it is not helped out":         {"9 1000", "9 700", "9 200", "9 -", "0.7 true|0.2 true|null missing Z75"},
		"nor when it was read too far off":                {"9 1000", "9 700", "9 200", "9 100x", "0.7 true|0.2 true|null missing Z75"},
		"nor when it fell":                                {"9 1000", "9 700", "9 200", "101 100", "0.7 true|0.2 true|null missing ZA1"},
		"what was read stands where the sum is not right": {"9 1000", "9 700", "9 200", "9 99", "0.7 true|0.2 true|0.099 true"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := contract(t, form.ClassB)
			c.MarketLocations[0].TwoTariffs = true
			all := slices.Concat(readings(t, obis.Drawn, test.total), readings(t, obis.DrawnT1, test.high),
				readings(t, obis.DrawnT2, test.low), readings(t, obis.DrawnError, test.failed))
			got := values(t, c, 7, all, 1)
			require.Len(t, got, 6)
			want := strings.Split(test.want, "|")
			for i, code := range []string{"1-0:1.8.1", "1-0:1.8.2", "1-0:1.8.63"} {
				require.Equal(t, "register "+code+" 1 "+want[i], got[3+i])
			}
		})
	}
}

// due finds a regular payload in the plan of a day.
func due(t require.TestingT, c *form.Contract, day string, row form.RowNumber, to form.Role) form.Due {
	for _, d := range form.Plan(c, date(t, day), date(t, day)) {
		if d.Row == row && d.To == to {
			return d
		}
	}
	require.FailNow(t, "nothing due", "row %d to %s on %s", row, to, day)
	return form.Due{}
}

func TestBuildReportsTariffsThatDoNotAddUp(t *testing.T) {
	c := contract(t, form.ClassB)
	c.MarketLocations[0].TwoTariffs = true
	d := due(t, c, "2026-11-01", 7, form.NB)
	at := func(code obis.Code, wh int64) meter.BoundaryReading {
		return meter.BoundaryReading{Boundary: d.Period.To, Clock: meter.ClockSynchronised,
			Registers: []meter.RegisterValue{{Code: code, Value: decimal.New(wh, 0)}}}
	}
	for wh, notices := range map[int64][]form.Notice{
		100: nil,
		99:  {{Kind: form.TariffSum, From: d.Period.To, To: d.Period.To, Count: 1}},
	} {
		p, err := c.Always().Build(d, []meter.BoundaryReading{at(obis.Drawn, 1000), at(obis.DrawnT1, 700), at(obis.DrawnT2, 200), at(obis.DrawnError, wh)})
		require.NoError(t, err)
		require.Equal(t, notices, p.Notices)
	}
}

func TestBeforeCommissioningIsAbsentForThatReason(t *testing.T) {
	c := contract(t, form.ClassB)
	c.Commissioned = start(t).Time().Add(20 * time.Minute) // in the second quarter hour
	all := readings(t, obis.Drawn, "1000 1100 1200 1400")
	require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [null missing Z78, null missing Z78, 0.2 true]"}, values(t, c, 6, all, 3))
	require.Equal(t, []string{"energy 1-0:1.8.0 0.2 true", "max_power 1-0:1.8.0 2 0.8 preliminary, 2 missing", "register 1-0:1.8.0 3 1.4 true"}, values(t, c, 7, all, 3))
	require.Equal(t, "energy 1-0:1.8.0 null missing Z78", values(t, c, 7, all, 1)[0], "a period that ended before")
	require.Equal(t, []string{"load_profile 1-0:1.8.0 0 [null missing Z78, null missing Z78, null missing Z75]"},
		values(t, c, 6, readings(t, obis.Drawn, "- - 1200 -"), 3))
	require.Equal(t, "energy 1-0:1.8.0 null missing Z78", values(t, c, 7, readings(t, obis.Drawn, "- - - 1400"), 3)[0],
		"one reading is a register and no energy, above all not 0 kWh")
}

func TestBuildMakesWhatThePlanSays(t *testing.T) {
	c := contract(t, form.ClassB)
	d := due(t, c, "2026-10-26", 5, form.UENB) // Friday to Sunday, with the hour of winter time
	p, err := c.Always().Build(d, nil)
	require.NoError(t, err)
	require.NoError(t, c.Always().Permits(&p))
	require.Equal(t, form.UENB, p.To)
	require.Equal(t, c.MarketLocations[0].Receivers[2].PartnerID, p.PartnerID)
	require.Equal(t, c.MeLo, p.MeLo)
	require.Equal(t, form.EditionBK618032, p.Edition)
	require.Len(t, p.Values, 1)
	require.Len(t, p.Values[0].Intervals, 2*96+100)
	for _, q := range p.Values[0].Intervals {
		require.Equal(t, form.Quantity{State: form.Missing, Reason: form.Communication}, q)
	}
}

func TestDefaultDeny(t *testing.T) {
	c := contract(t, form.ClassB)
	d := due(t, c, "2026-11-02", 5, form.NB)
	good, err := c.Always().Build(d, nil)
	require.NoError(t, err)
	other := location(t, fedInMaLo, form.ClassE)

	tests := map[string]func(*form.Due, *form.Payload){
		"another market location":   func(d *form.Due, p *form.Payload) { d.MaLo, p.MaLo = other.MaLo, other.MaLo },
		"a row of another class":    func(d *form.Due, p *form.Payload) { d.Row, p.Row = 8, 8 },
		"no row at all":             func(d *form.Due, p *form.Payload) { d.Row, p.Row = 10, 10 },
		"a row that is not regular": func(d *form.Due, p *form.Payload) { d.Row, p.Row = 3, 3 },
		"a receiver of another row": func(d *form.Due, p *form.Payload) { d.To, p.To = form.LF, form.LF },
		"a period that is not the row's": func(d *form.Due, p *form.Payload) {
			d.Period.From -= 96
			p.Period = d.Period
			p.Values[0].At = d.Period.From
			p.Values[0].Intervals = make([]form.Quantity, d.Period.To-d.Period.From)
		},
		"a period that ends on no working day": func(d *form.Due, p *form.Payload) {
			d.Period = form.Period{From: midnight(t, "2026-10-30"), To: midnight(t, "2026-10-31")}
			p.Period = d.Period
		},
	}
	for name, spoil := range tests {
		d, p := d, good
		p.Values = slices.Clone(good.Values)
		spoil(&d, &p)
		var denied *form.DeniedError
		_, err := c.Always().Build(d, nil)
		require.ErrorAs(t, err, &denied, "build %s", name)
		require.ErrorAs(t, c.Always().Permits(&p), &denied, "permit %s", name)
	}

	payloads := map[string]func(*form.Payload){
		"another metering location": func(p *form.Payload) { p.MeLo = form.MeteringLocationID{} },
		"another edition":           func(p *form.Payload) { p.Edition = form.Edition{} },
		"another partner":           func(p *form.Payload) { p.PartnerID = c.MarketLocations[0].Receivers[0].PartnerID },
		"a value the row has not":   func(p *form.Payload) { p.Values[0].Kind = form.Energy },
		"a register of the other":   func(p *form.Payload) { p.Values[0].Code = obis.FedIn },
		"a value twice":             func(p *form.Payload) { p.Values = append(p.Values, p.Values[0]) },
		"intervals of another day":  func(p *form.Payload) { p.Values[0].At++ },
		"more intervals":            func(p *form.Payload) { p.Values[0].Intervals = make([]form.Quantity, 1000) },
	}
	for name, spoil := range payloads {
		p := good
		p.Values = slices.Clone(good.Values)
		spoil(&p)
		var denied *form.DeniedError
		require.ErrorAs(t, c.Always().Permits(&p), &denied, name)
	}
}

// household draws the readings of a class B household, with gaps, from a local
// midnight for some days.
func household(t *rapid.T, from, to meter.Quarter) []meter.BoundaryReading {
	var all []meter.BoundaryReading
	wh := rapid.Int64Range(0, 1<<40).Draw(t, "start")
	for q := from; q <= to; q++ {
		wh += rapid.Int64Range(0, 30_000).Draw(t, "step")
		if q != from && q != to && rapid.IntRange(0, 20).Draw(t, "gap") == 0 {
			continue
		}
		all = append(all, meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
			Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(wh, -1)}}})
	}
	return all
}

func TestDenialSaysWhyForEveryRow(t *testing.T) {
	class := map[string]form.Class{"A": form.ClassA, "B": form.ClassB, "C": form.ClassC, "E": form.ClassE}
	at := func(c *form.Contract, row form.RowNumber, to form.Role) form.Due {
		r, _ := row.Row()
		d := form.Due{Row: row, MaLo: c.MarketLocations[0].MaLo, To: to, Period: form.Period{From: midnight(t, "2026-10-01"), To: midnight(t, "2026-11-01")}}
		switch r.Rhythm {
		case form.EachWorkingDay:
			d.Period = form.Period{From: midnight(t, "2026-11-04"), To: midnight(t, "2026-11-05")}
		case form.OnEvent:
			d.Event = form.SupplyEnds
		}
		return d
	}
	for _, test := range []struct {
		row        form.RowNumber
		classes    string // that have it
		to         string // who gets it
		whyNot     string // said to the other classes
		period     string // said of a quarter hour more
		needsEvent bool
	}{
		{1, "ABC", "LF", "the row is for classes A B C, and this market location is of class %s", "the calendar has no period from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", false},
		{2, "A", "LF NB", "the row is for class A, and this market location is of class %s", "no event has a span from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", true},
		{3, "BCE", "LF NB", "the row is for classes B C E, and this market location is of class %s", "no event has a span from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", true},
		{4, "A", "LF NB", "the row is for class A, and this market location is of class %s", "the calendar has no period from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", false},
		{5, "BCE", "NB ÜNB", "the row is for classes B C E, and this market location is of class %s", "the calendar has no period from 2026-11-03T23:45:00+01:00 to 2026-11-05T00:00:00+01:00", false},
		{6, "BCE", "LF", "the row is for classes B C E, and this market location is of class %s", "the calendar has no period from 2026-11-03T23:45:00+01:00 to 2026-11-05T00:00:00+01:00", false},
		{7, "BC", "LF NB", "the row is for classes B C, and this market location is of class %s", "the calendar has no period from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", false},
		{8, "E", "AB", "the row is for class E, and this market location is of class %s", "the calendar has no period from 2026-09-30T23:45:00+02:00 to 2026-11-01T00:00:00+01:00", false},
		{9, "E", "", "the row is for class E, and this market location is of class %s", "", false},
	} {
		for letter, class := range class {
			c := contract(t, class)
			denied := func(d form.Due, why string) {
				_, err := c.Always().Build(d, nil)
				var e *form.DeniedError
				require.ErrorAs(t, err, &e, "row %d", d.Row)
				require.Equal(t, form.DeniedError{Row: d.Row, MaLo: d.MaLo, Why: why}, *e)
			}
			for _, role := range []form.Role{form.LF, form.NB, form.UENB, form.AB} {
				d := at(c, test.row, role)
				row, _ := test.row.Row()
				switch {
				case !strings.Contains(test.classes, letter):
					denied(d, fmt.Sprintf(test.whyNot, letter))
				case !slices.Contains(row.To, role):
					denied(d, fmt.Sprintf("the row goes to %s, not to %s", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(row.To), "[]")), ", "), role))
				case test.row == 9:
					denied(d, "it is not a regular row: it is due on demand, and says one instant")
				default:
					require.Contains(t, test.to, role.String())
					_, err := c.Always().Build(d, nil)
					require.NoError(t, err)
					d.Period.From--
					denied(d, test.period)
					d.Period.From++
					if test.needsEvent {
						d.Event = form.EventKind{}
						denied(d, "it is not a regular row: it is due on events")
					}
					c.MarketLocations[0].Receivers = slices.DeleteFunc(c.MarketLocations[0].Receivers, func(r form.Receiver) bool { return r.Role == role })
					denied(d, fmt.Sprintf("no receiver is given for %s", role))
				}
			}
			h := form.History{Versions: []form.Version{{From: midnight(t, "2026-12-01"), Contract: c}}}
			_, err := h.Build(at(c, test.row, form.NB), nil)
			require.ErrorContains(t, err, "no contract holds at 2026-1")
		}
	}
}

func TestEnergyIsConservedAndAdditive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := start(t)
		to := from + meter.Quarter(rapid.IntRange(2, 120).Draw(t, "length"))
		all := household(t, from, to)
		boundary := func(name string) meter.Quarter {
			return all[rapid.IntRange(1, max(1, len(all)-2)).Draw(t, name)].Boundary
		}
		h := contract(t, form.ClassB).Always()
		malo := h.Versions[0].Contract.MarketLocations[0].MaLo
		h.Versions[0].Contract.TransformerFactor = 40
		var seams []meter.Quarter
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			seams = append(seams, boundary("change"))
		}
		slices.Sort(seams)
		for _, q := range seams {
			c := contract(t, form.ClassB)
			c.TransformerFactor = rapid.Int64Range(1, 60).Draw(t, "factor")
			h.Versions = append(h.Versions, form.Version{From: q, Contract: c})
		}
		total := func(a, b meter.Quarter) decimal.Decimal {
			v, _, err := h.Preview(malo, 7, form.Period{From: a, To: b}, all)
			require.NoError(t, err)
			require.Equal(t, form.True, v[0].State)
			return v[0].Amount.Decimal
		}
		whole := total(from, to)

		// The readings at the ends and where the factor changes say the same.
		said, last := decimal.Zero, all[0]
		for _, r := range all {
			if i := slices.Index(seams, r.Boundary); i < 0 && r.Boundary != to {
				continue
			}
			before, _ := last.Register(obis.Drawn)
			now, _ := r.Register(obis.Drawn)
			said = said.Add(now.Sub(before).Mul(decimal.New(h.At(last.Boundary).TransformerFactor, -3)))
			last = r
		}
		require.True(t, whole.Equal(said))

		// Splitting at any boundary that has a reading gives the same total.
		if at := boundary("split"); at < to {
			require.True(t, whole.Equal(total(from, at).Add(total(at, to))))
		}

		// The profile adds up to it, together with what its gaps leave out.
		v, _, err := h.Preview(malo, 6, form.Period{From: from, To: to}, all)
		require.NoError(t, err)
		sum := decimal.Zero
		for i := 0; i < len(v[0].Intervals); {
			if q := v[0].Intervals[i]; q.State == form.True {
				sum = sum.Add(q.Amount.Decimal)
				i++
				continue
			}
			gap := i
			for i < len(v[0].Intervals) && v[0].Intervals[i].State == form.Missing && (i == gap || !slices.Contains(seams, from+meter.Quarter(i))) {
				i++
			}
			sum = sum.Add(total(from+meter.Quarter(gap), from+meter.Quarter(i)))
		}
		require.True(t, whole.Equal(sum))
	})
}

func TestBuildingAgainInAnyOrderMakesTheSame(t *testing.T) {
	c := contract(t, form.ClassB)
	d := due(t, c, "2026-11-04", 6, form.LF)
	rapid.Check(t, func(t *rapid.T) {
		var all []meter.BoundaryReading
		for _, l := range drawLines(t, "1-0:1.8.0", int64(d.Period.From), int64(d.Period.To)) {
			all = append(all, l.reading(t))
		}
		// A second reading of a boundary may come, nearer to it or not.
		for range rapid.IntRange(0, 5).Draw(t, "again") {
			all = append(all, all[rapid.IntRange(0, len(all)-1).Draw(t, "which")])
			all[len(all)-1].Offset = time.Duration(rapid.IntRange(-30, 30).Draw(t, "offset")) * time.Second
			all[len(all)-1].Device = rapid.SampledFrom([]meter.DeviceID{"", "\x0aA", "\x0aB"}).Draw(t, "device")
		}
		want, err := c.Always().Build(d, all)
		require.NoError(t, err)
		before := fmt.Sprint(all)
		got, err := c.Always().Build(d, rapid.Permutation(all).Draw(t, "order"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got))
		require.Equal(t, before, fmt.Sprint(all), "readings are left as they are")
	})
}

func BenchmarkBuild(b *testing.B) {
	c := contract(b, form.ClassB)
	for _, months := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("months=%d", months), func(b *testing.B) {
			from := midnight(b, "2026-01-01")
			p := form.Period{From: from, To: from + meter.Quarter(2976*months)}
			var all []meter.BoundaryReading
			for q := p.From; q <= p.To; q++ {
				all = append(all, meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
					Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(int64(q-p.From)*1234, -1)}}})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.Always().Preview(c.MarketLocations[0].MaLo, 6, p, all); err != nil {
					b.Fatal(err)
				}
				if _, _, err := c.Always().Preview(c.MarketLocations[0].MaLo, 7, p, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
