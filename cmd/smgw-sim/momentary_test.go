package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/meter/form"
	"smgw/meter/obis"
	"smgw/meter/sim"
)

// The roof of the simulated household on an autumn day: the network operator's
// books have its power on each quarter hour and at each crossing, exactly, and
// nothing else of the kind; the head-end took all of it, so all of it is entitled.
func TestMomentaryPowerReachesTheNetworkOperator(t *testing.T) {
	contract := bytes.Replace(demoContract, []byte("direction = \"feed_in\"\n"), []byte(`direction = "feed_in"
feed_in_power = { every = "15m", above_kw = 1.5, below_kw = 0.3, hysteresis_kw = 0.25 }
grid_state = { every = "15m", because = "eeg_kwkg_plant" }
`), 1)
	l := newLineOf(t, contract)
	l.until = "2026-10-31T16:00:00+01:00"
	m := l.meter("--model", "holley")
	a := l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(l.until)
	deliveries, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	roof := l.config.Contract.MarketLocations[1]
	power, grid := map[time.Time]decimal.Decimal{}, map[time.Time][]form.Value{}
	for _, d := range deliveries {
		switch p := d.Payload; p.Row {
		case 9:
			require.Equal(t, form.NB, p.To)
			require.Equal(t, roof.MaLo, p.MaLo)
			require.Len(t, p.Values, 1)
			require.Equal(t, obis.PowerFedIn, p.Values[0].Code)
			require.Equal(t, form.True, p.Values[0].State)
			require.NotContains(t, power, p.Moment)
			power[p.Moment] = p.Values[0].Amount.Decimal
		case form.GridState:
			require.Equal(t, form.NB, p.To)
			require.Len(t, p.Values, 12, "three voltages, three currents, the frequency, five angles")
			grid[p.Moment] = p.Values
		}
	}
	// What the same household fed in, and a model of when that is sent.
	from, until := mustTime(t, lineFrom), mustTime(t, l.until)
	home := sim.NewHousehold(sim.Options{Seed: 1, RoofPeak: 8000, Since: from})
	want, crossings, band := map[time.Time]decimal.Decimal{}, 0, 0
	for at := from; !at.After(until); at = at.Add(time.Minute) {
		watts := max(0, -home.Power(at))
		before := band
		switch {
		case watts > 1500:
			band = 1
		case watts < 300:
			band = -1
		case before == 1 && watts <= 1250, before == -1 && watts >= 550:
			band = 0
		}
		if band != before && at != from {
			crossings++
		}
		if at.Minute()%15 == 0 || band != before {
			want[at.UTC()] = decimal.New(watts, -3)
			require.Equal(t, want[at.UTC()].String(), power[at.UTC()].String(), at)
		}
	}
	require.Len(t, power, len(want))
	require.Greater(t, crossings, 2)
	model, err := sim.FindModel("holley")
	require.NoError(t, err)
	shows := sim.NewMeter(home, model, "").Shows
	for at := from; !at.After(until); at = at.Add(15 * time.Minute) {
		shown := shows(at)
		for _, v := range grid[at.UTC()] {
			require.Equal(t, shown[v.Code].String(), v.Amount.Decimal.String(), v.Code)
		}
	}
	require.Len(t, grid, int(until.Sub(from)/(15*time.Minute))+1)

	out := l.sh("smgw", "journal", "--config", "smgw.toml")
	require.Regexp(t, `delivered +row 9 of 51238696781 for NB \(9900357000011\) for Versorgungssicherheit 4 times from 2026-10-30 11:00:00 to 2026-10-30 11:45:00`, out)
	require.Regexp(t, `delivered +row 9 of 51238696781 for NB .* at 2026-10-3.* for Versorgungssicherheit \(threshold\)`, out)
	require.NotContains(t, strings.ToLower(l.sh("smgw", "outbox", "--config", "smgw.toml")), "kw")
	l.terminate(a)
}
