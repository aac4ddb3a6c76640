package form_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// roof is a contract with one market location that feeds in, and what it says of
// momentary figures.
func roof(t require.TestingT, power *form.FeedInPower, grid *form.GridOrder) *form.Contract {
	c := &form.Contract{Edition: form.EditionBK618032, TransformerFactor: 1}
	var err error
	c.MeLo, err = form.ParseMeteringLocationID("DE00056266802AO6G56M11SN51G21M24S")
	require.NoError(t, err)
	m := form.MarketLocation{Direction: form.FeedIn, Class: form.ClassE, Meter: "main", FeedInPower: power, GridState: grid}
	m.MaLo, err = form.ParseMarketLocationID("51238696781")
	require.NoError(t, err)
	for i, role := range []form.Role{form.LF, form.NB, form.UENB, form.AB} {
		partner, err := form.ParsePartnerID([]string{"9900357000035", "9900357000011", "9900357000028", "9900357000042"}[i])
		require.NoError(t, err)
		m.Receivers = append(m.Receivers, form.Receiver{Role: role, PartnerID: partner})
	}
	c.MarketLocations = []form.MarketLocation{m}
	require.NoError(t, c.Validate())
	return c
}

func kw(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }

var instant = time.Date(2026, 10, 25, 0, 47, 0, 0, time.UTC)

// shown is what a meter shows off seconds after the instant.
func shown(watts string, off time.Duration) meter.Moment {
	m := meter.Moment{At: meter.Stamp{Time: instant.Add(off), Quality: meter.ClockSynchronised}}
	if watts != "" {
		m.FedIn = kw(watts)
	}
	for _, c := range [...]obis.Code{{1, 0, 32, 7, 0, 255}, {1, 0, 31, 7, 0, 255}, {1, 0, 14, 7, 0, 255}, {1, 0, 81, 7, 1, 255}} {
		m.Grid = append(m.Grid, meter.MomentaryValue{Code: c, Value: decimal.New(2324, -1)})
	}
	return m
}

func TestMomentaryFigureHasItsState(t *testing.T) {
	unset := shown("21.5", 0)
	unset.At.Quality = meter.ClockUnsynchronised
	for name, x := range map[string]struct {
		change func(*form.Contract)
		shown  meter.Moment
		want   form.Quantity
	}{
		"as it is":          {nil, shown("21.5", 300*time.Millisecond), form.Quantity{Amount: kw("0.0215"), State: form.True}},
		"nothing is fed in": {nil, shown("0", 0), form.Quantity{Amount: kw("0"), State: form.True}},
		"transformers":      {func(c *form.Contract) { c.TransformerFactor = 40 }, shown("21.5", 0), form.Quantity{Amount: kw("0.86"), State: form.True}},
		"a little off":      {nil, shown("21.5", -10*time.Second), form.Quantity{Amount: kw("0.0215"), State: form.True, Warning: form.OffsetWarning}},
		"too far off":       {nil, shown("21.5", 28*time.Second), form.Quantity{State: form.Missing, Reason: form.Communication}},
		"a stricter limit":  {func(c *form.Contract) { c.OffsetLimit = 5 * time.Second }, shown("21.5", 6*time.Second), form.Quantity{State: form.Missing, Reason: form.Communication}},
		"never heard":       {nil, meter.Moment{}, form.Quantity{State: form.Missing, Reason: form.Communication}},
		"no power":          {nil, shown("", 0), form.Quantity{State: form.Missing, Reason: form.Resolution}},
		"clock":             {nil, unset, form.Quantity{Amount: kw("0.0215"), State: form.Unusable, Reason: form.ClockSet}},
		"implausible":       {func(c *form.Contract) { c.MaxPowerKW = kw("0.02") }, shown("21.5", 0), form.Quantity{State: form.Missing, Reason: form.Implausible}},
		"before the point was commissioned": {func(c *form.Contract) { c.Commissioned = instant.Add(time.Second) }, shown("21.5", 0),
			form.Quantity{State: form.Missing, Reason: form.DeviceChange}},
	} {
		c := roof(t, nil, nil)
		if x.change != nil {
			x.change(c)
		}
		p, err := form.BuildMoment(c, c.MarketLocations[0].MaLo, 9, instant.Add(700*time.Millisecond), x.shown)
		require.NoError(t, err, name)
		require.Equal(t, instant, p.Moment, "whole seconds")
		require.Equal(t, form.Period{From: meter.QuarterOf(instant), To: meter.QuarterOf(instant) + 1}, p.Period)
		require.Len(t, p.Values, 1)
		require.Equal(t, obis.PowerFedIn, p.Values[0].Code)
		got := p.Values[0].Quantity
		require.Equal(t, x.want.Amount.Valid, got.Amount.Valid, name)
		require.Equal(t, x.want.Amount.Decimal.String(), got.Amount.Decimal.String(), name)
		got.Amount, x.want.Amount = decimal.NullDecimal{}, decimal.NullDecimal{}
		require.Equal(t, x.want, got, name)
		require.NoError(t, c.Always().Permits(&p), name)
	}
}

func TestGridStateIsWhatTheMeterSends(t *testing.T) {
	c := roof(t, nil, &form.GridOrder{Every: time.Minute, Because: form.EEGOrKWKGPlant})
	malo := c.MarketLocations[0].MaLo
	units := func() (all []string) {
		p, err := form.BuildMoment(c, malo, form.GridState, instant, shown("1", 0))
		require.NoError(t, err)
		require.NoError(t, c.Always().Permits(&p))
		for _, v := range p.Values {
			require.Equal(t, "232.4", v.Amount.Decimal.String())
			all = append(all, v.Unit())
		}
		return all
	}
	require.Equal(t, []string{"V", "A", "Hz", "°"}, units())
	c.TransformerFactor = 40
	require.Equal(t, []string{"Hz", "°"}, units(), "nobody knows which part of the factor is the voltage's")
	p, err := form.BuildMoment(c, malo, form.GridState, instant, meter.Moment{})
	require.NoError(t, err)
	require.Empty(t, p.Values)
}

// What is not entitled cannot be built, and the reference head-end takes nothing
// that is not.
func TestMomentsAreDeniedByDefault(t *testing.T) {
	c := roof(t, nil, nil)
	malo := c.MarketLocations[0].MaLo
	deny := func(err error, why string) {
		t.Helper()
		var denied *form.DeniedError
		require.ErrorAs(t, err, &denied)
		require.Contains(t, denied.Why, why)
	}
	_, err := form.BuildMoment(c, malo, form.GridState, instant, shown("1", 0))
	deny(err, "§ 56 MsbG, and the contract has none")
	_, err = form.BuildMoment(c, malo, 8, instant, shown("1", 0))
	deny(err, "it is about a period and no moment")
	_, err = form.BuildMoment(c, form.MarketLocationID{}, 9, instant, shown("1", 0))
	deny(err, "no such market location")
	_, err = c.Always().Build(form.Due{Row: 9, MaLo: malo, To: form.NB, Period: form.Period{From: 1, To: 2}}, nil)
	deny(err, "on demand")
	c.MarketLocations[0].Class = form.ClassB
	_, err = form.BuildMoment(c, malo, 9, instant, shown("1", 0))
	deny(err, "the row is for class E")

	c = roof(t, nil, &form.GridOrder{Every: 15 * time.Minute, Because: form.EEGOrKWKGPlant})
	power := func() *form.Payload {
		p, err := form.BuildMoment(c, malo, 9, instant, shown("1", 0))
		require.NoError(t, err)
		return &p
	}
	grid := func() *form.Payload {
		p, err := form.BuildMoment(c, malo, form.GridState, instant.Add(-2*time.Minute), shown("1", -2*time.Minute))
		require.NoError(t, err)
		return &p
	}
	require.NoError(t, c.Always().Permits(power()))
	require.NoError(t, c.Always().Permits(grid()))
	for why, spoil := range map[string]func(p, g *form.Payload) *form.Payload{
		"names none":                func(p, _ *form.Payload) *form.Payload { p.Moment = time.Time{}; return p },
		"not the quarter hour":      func(p, _ *form.Payload) *form.Payload { p.Period.From--; return p },
		"nothing corrects a moment": func(p, _ *form.Payload) *form.Payload { p.Revision = 1; return p },
		"to NB, not to LF":          func(p, _ *form.Payload) *form.Payload { p.To = form.LF; return p },
		"not 9900357000035": func(p, _ *form.Payload) *form.Payload {
			p.PartnerID = c.MarketLocations[0].Receivers[0].PartnerID
			return p
		},
		"it has no momentary of 1-0:14.7": func(p, g *form.Payload) *form.Payload { p.Values = g.Values[2:3]; return p },
		"it has no energy":                func(p, _ *form.Payload) *form.Payload { p.Values[0].Kind = form.Energy; return p },
		"it has no momentary of 1-0:2.7":  func(p, g *form.Payload) *form.Payload { g.Values[0] = p.Values[0]; return g },
		"there twice":                     func(_, g *form.Payload) *form.Payload { g.Values[1] = g.Values[0]; return g },
		"every 15m0s, on the clock":       func(_, g *form.Payload) *form.Payload { g.Moment = g.Moment.Add(time.Minute); return g },
	} {
		deny(c.Always().Permits(spoil(power(), grid())), why)
	}
	// What is about a period has no moment.
	for _, d := range form.Plan(c, form.DateOf(instant), form.DateOf(instant).AddDays(10)) {
		p, err := c.Always().Build(d, nil)
		require.NoError(t, err)
		require.NoError(t, c.Always().Permits(&p))
		p.Moment = p.Period.From.Time()
		deny(c.Always().Permits(&p), "no moment")
		break
	}
}

// Whatever the power does: a band is entered beyond its threshold at once, and left
// only when the power has come back by the hysteresis.
func TestBandHasHysteresis(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &form.FeedInPower{Above: kw("5"), Below: kw("2"), Hysteresis: decimal.RequireFromString("0.5")}
		band := form.UnknownBand
		for range 200 {
			tenths := rapid.Int64Range(0, 80).Draw(t, "kW/10")
			before := band
			band = f.Band(band, decimal.New(tenths, -1))
			switch {
			case tenths > 50:
				require.Equal(t, form.HighBand, band)
			case tenths < 20:
				require.Equal(t, form.LowBand, band)
			case tenths > 45 && before == form.HighBand, tenths < 25 && before == form.LowBand:
				require.Equal(t, before, band)
			default:
				require.Equal(t, form.MiddleBand, band)
			}
		}
		require.Equal(t, form.MiddleBand, (&form.FeedInPower{}).Band(band, decimal.Zero), "no threshold, one band")
	})
}
