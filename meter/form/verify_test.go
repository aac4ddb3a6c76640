package form_test

import (
	"slices"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

func TestWhatIsBuiltFollowsFromItsReadings(t *testing.T) {
	c := contract(t, form.ClassB)
	rapid.Check(t, func(t *rapid.T) {
		d := due(t, c, "2026-11-04", 6, form.LF)
		all := household(t, d.Period.From, d.Period.To)
		p, err := c.Always().Build(d, all)
		require.NoError(t, err)
		p.Gateway, p.Notices = "G1", []form.Notice{{Kind: "store_damaged", From: d.Period.From, To: d.Period.To, Count: 3}}
		got, err := c.Always().Verify(&p, rapid.Permutation(all).Draw(t, "order"))
		require.NoError(t, err)
		require.Nil(t, got)

		// One figure changed anywhere is found, and no other.
		i := rapid.IntRange(0, len(p.Values[0].Intervals)-1).Draw(t, "interval")
		changed := &p.Values[0].Intervals[i]
		before := *changed
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 0:
			changed.Amount = decimal.NewNullDecimal(changed.Amount.Decimal.Add(decimal.New(1, -9)))
		case 1:
			changed.State = form.Preliminary
		case 2:
			changed.Reason = form.Defect
		case 3:
			changed.Method = form.Interpolation
		case 4:
			changed.Warning = form.OffsetWarning
		}
		got, err = c.Always().Verify(&p, all)
		require.NoError(t, err)
		require.Equal(t, d.Period.From+meter.Quarter(i), got.Payload.At)
		require.Equal(t, []form.Quantity{*changed}, got.Payload.Intervals)
		require.Len(t, got.Readings.Intervals, 1)
		require.Equal(t, before.State, got.Readings.Intervals[0].State)
	})
}

func TestVerifyFindsTheFirstDifference(t *testing.T) {
	c := contract(t, form.ClassB)
	c.MarketLocations[0].TwoTariffs = true
	d := due(t, c, "2026-11-01", 7, form.NB)
	all := slices.Concat(readings(t, obis.Drawn, "1000"), readings(t, obis.Drawn, "2000"), readings(t, obis.DrawnT1, "700"), readings(t, obis.DrawnT2, "200"), readings(t, obis.DrawnError, "99"))
	for i := range all {
		all[i].Boundary = d.Period.To
	}
	all[0].Boundary = d.Period.From
	good, err := c.Always().Build(d, all)
	require.NoError(t, err)
	require.Len(t, good.Notices, 1)

	for name, test := range map[string]struct {
		spoil func(*form.Payload)
		kind  form.Kind
	}{
		"energy":                     {func(p *form.Payload) { p.Values[0].Amount.Decimal = decimal.New(2, 0) }, form.Energy},
		"intervals that are missing": {func(p *form.Payload) { p.Values[1].MissingIntervals-- }, form.MaxPower},
		"two, the first of them":     {func(p *form.Payload) { p.Values[1].Reason, p.Values[2].Reason = form.Defect, form.Defect }, form.MaxPower},
		"missing for a figure":       {func(p *form.Payload) { p.Values[2].Quantity = form.Quantity{State: form.Missing, Reason: form.Defect} }, form.Register},
		"a value left out at last":   {func(p *form.Payload) { p.Values = p.Values[:5] }, form.Register},
		"a value left out before":    {func(p *form.Payload) { p.Values = slices.Delete(p.Values, 0, 1) }, form.MaxPower},
	} {
		p := good
		p.Values = slices.Clone(good.Values)
		test.spoil(&p)
		got, err := c.Always().Verify(&p, all)
		require.NoError(t, err, name)
		require.NotNil(t, got, name)
		if got.Payload != nil {
			require.Equal(t, test.kind, got.Payload.Kind, name)
		} else {
			require.Equal(t, test.kind, got.Readings.Kind, name)
		}
	}

	got, err := c.Always().Verify(&good, all)
	require.NoError(t, err)
	require.Nil(t, got)
	good.Notices = nil
	got, err = c.Always().Verify(&good, all)
	require.NoError(t, err)
	require.Contains(t, got.Notice, "those of the readings [{tariff_sum ")

	good.Row = 8
	_, err = c.Always().Verify(&good, all)
	var denied *form.DeniedError
	require.ErrorAs(t, err, &denied)
}
