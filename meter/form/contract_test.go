package form_test

import (
	"errors"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/form"
)

const (
	drawnMaLo = "41373559241"
	fedInMaLo = "50987654321"
	melo      = "DE00056266802AO6G56M11SN51G21M24S"
)

// location makes a market location of a class with the receivers it needs.
func location(t require.TestingT, malo string, class form.Class) form.MarketLocation {
	id, err := form.ParseMarketLocationID(malo)
	require.NoError(t, err)
	m := form.MarketLocation{MaLo: id, Direction: form.Draw, Class: class}
	roles := []form.Role{form.LF, form.NB}
	switch class {
	case form.ClassB, form.ClassC:
		roles = append(roles, form.UENB)
	case form.ClassE:
		m.Direction = form.FeedIn
		roles = append(roles, form.UENB, form.AB)
	}
	for i, role := range roles {
		partner, err := form.ParsePartnerID("990035700000" + string(rune('1'+i)))
		require.NoError(t, err)
		m.Receivers = append(m.Receivers, form.Receiver{Role: role, PartnerID: partner})
	}
	return m
}

// contract makes a contract with one market location of a class, or with two
// for a household with a roof.
func contract(t require.TestingT, classes ...form.Class) *form.Contract {
	id, err := form.ParseMeteringLocationID(melo)
	require.NoError(t, err)
	c := &form.Contract{Edition: form.EditionBK618032, MeLo: id, TransformerFactor: 1}
	for _, class := range classes {
		malo := drawnMaLo
		if class == form.ClassE {
			malo = fedInMaLo
		}
		c.MarketLocations = append(c.MarketLocations, location(t, malo, class))
	}
	require.NoError(t, c.Validate())
	return c
}

func date(t require.TestingT, s string) form.Date {
	d, err := form.ParseDate(s)
	require.NoError(t, err)
	return d
}

func midnight(t require.TestingT, s string) meter.Quarter { return date(t, s).Midnight() }

func noon(t require.TestingT) form.ClockTime {
	c, err := form.ParseClockTime("12:00")
	require.NoError(t, err)
	return c
}

func TestValidateNamesEveryContradiction(t *testing.T) {
	tests := map[string]struct {
		spoil func(*form.Contract)
		want  form.ContractError // without MaLo and Want
	}{
		"no edition":              {func(c *form.Contract) { c.Edition = form.Edition{} }, form.ContractError{Location: -1, Receiver: -1, Field: "edition"}},
		"no metering location":    {func(c *form.Contract) { c.MeLo = form.MeteringLocationID{} }, form.ContractError{Location: -1, Receiver: -1, Field: "melo"}},
		"factor 0":                {func(c *form.Contract) { c.TransformerFactor = 0 }, form.ContractError{Location: -1, Receiver: -1, Field: "transformer_factor"}},
		"no power allowed":        {func(c *form.Contract) { c.MaxPowerKW = decimal.NewNullDecimal(decimal.Zero) }, form.ContractError{Location: -1, Receiver: -1, Field: "max_power_kw"}},
		"a wider limit":           {func(c *form.Contract) { c.OffsetLimit = 28 * time.Second }, form.ContractError{Location: -1, Receiver: -1, Field: "offset_limit"}},
		"no market location":      {func(c *form.Contract) { c.MarketLocations = nil }, form.ContractError{Location: -1, Receiver: -1, Field: "market_location"}},
		"the same location twice": {func(c *form.Contract) { c.MarketLocations[1].MaLo = c.MarketLocations[0].MaLo }, form.ContractError{Location: 1, Receiver: -1, Field: "malo"}},
		"drawn without class":     {func(c *form.Contract) { c.MarketLocations[0].Class = form.Class{} }, form.ContractError{Location: 0, Receiver: -1, Field: "class"}},
		"fed in with class":       {func(c *form.Contract) { c.MarketLocations[1].Class = form.ClassB }, form.ContractError{Location: 1, Receiver: -1, Field: "class"}},
		"fed in with tariffs":     {func(c *form.Contract) { c.MarketLocations[1].TwoTariffs = true }, form.ContractError{Location: 1, Receiver: -1, Field: "two_tariffs"}},
		"a gap of ten minutes":    {func(c *form.Contract) { c.MarketLocations[0].Interpolate = 10 * time.Minute }, form.ContractError{Location: 0, Receiver: -1, Field: "interpolate"}},
		"times of no tariff":      {func(c *form.Contract) { c.MarketLocations[0].HighTimes = []form.HighTime{{To: noon(t)}} }, form.ContractError{Location: 0, Receiver: -1, Field: "high_tariff"}},
		"times over midnight": {func(c *form.Contract) {
			c.MarketLocations[0].TwoTariffs, c.MarketLocations[0].HighTimes = true, []form.HighTime{{From: noon(t)}}
		}, form.ContractError{Location: 0, Receiver: -1, Field: "high_tariff"}},
		"no direction":            {func(c *form.Contract) { c.MarketLocations[0].Direction = form.Direction{} }, form.ContractError{Location: 0, Receiver: -1, Field: "direction"}},
		"a role without receiver": {func(c *form.Contract) { c.MarketLocations[1].Receivers = c.MarketLocations[1].Receivers[:3] }, form.ContractError{Location: 1, Receiver: -1, Field: "receiver"}},
		"a receiver no row needs": {func(c *form.Contract) { c.MarketLocations[0].Receivers[2].Role = form.AB }, form.ContractError{Location: 0, Receiver: 2, Field: "role"}},
		"a role twice":            {func(c *form.Contract) { c.MarketLocations[0].Receivers[1].Role = form.LF }, form.ContractError{Location: 0, Receiver: 1, Field: "role"}},
		"no market partner":       {func(c *form.Contract) { c.MarketLocations[0].Receivers[1].PartnerID = form.PartnerID{} }, form.ContractError{Location: 0, Receiver: 1, Field: "partner_id"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := contract(t, form.ClassB, form.ClassE)
			test.spoil(c)
			err := c.Validate()
			var got *form.ContractError
			require.ErrorAs(t, err, &got)
			require.Equal(t, test.want.Location, got.Location)
			require.Equal(t, test.want.Receiver, got.Receiver)
			require.Equal(t, test.want.Field, got.Field)
			require.NotEmpty(t, got.What)
			require.NotEmpty(t, got.Want)
		})
	}
}

func TestValidateNeedsExactlyTheRolesOfTheRows(t *testing.T) {
	roles := map[form.Class][]form.Role{
		form.ClassA: {form.LF, form.NB},
		form.ClassB: {form.LF, form.NB, form.UENB},
		form.ClassC: {form.LF, form.NB, form.UENB},
		form.ClassE: {form.AB, form.LF, form.NB, form.UENB},
	}
	for class, needed := range roles {
		for _, role := range []form.Role{form.AB, form.LF, form.NB, form.UENB} {
			c := contract(t, class)
			m := &c.MarketLocations[0]
			m.Receivers = nil
			for _, r := range needed {
				if r != role {
					m.Receivers = append(m.Receivers, form.Receiver{Role: r, PartnerID: location(t, drawnMaLo, form.ClassA).Receivers[0].PartnerID})
				}
			}
			err := c.Validate()
			if len(m.Receivers) == len(needed) {
				require.NoError(t, err, "class %s without %s", class, role)
				m.Receivers = append(m.Receivers, form.Receiver{Role: role, PartnerID: m.Receivers[0].PartnerID})
				require.Error(t, c.Validate(), "class %s with %s", class, role)
				continue
			}
			require.ErrorContains(t, err, role.String(), "class %s without %s", class, role)
		}
	}
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	c := contract(t, form.ClassB)
	c.TransformerFactor = 0
	c.MarketLocations[0].Receivers = nil
	var many interface{ Unwrap() []error }
	require.True(t, errors.As(c.Validate(), &many))
	require.Len(t, many.Unwrap(), 4) // the factor and three roles
}
