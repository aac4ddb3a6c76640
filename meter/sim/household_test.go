package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter/sim"
)

// These figures never change: reports, profiles and payloads made from a seed
// stay comparable from release to release and from machine to machine.
func TestAHouseholdIsTheSameForEver(t *testing.T) {
	for _, c := range []struct {
		seed         uint64
		roof         int64
		after        time.Duration
		drawn, fedIn string // Wh
	}{
		{1, 0, 24 * time.Hour, "7429448.95", "3999000"},
		{1, 8000, 24 * time.Hour, "7426265.8166", "4002590.9"},
		{1, 8000, 40*24*time.Hour + 12*time.Hour + 17*time.Second, "7664874.7833", "4497894.9452"},
		{2, 8000, 365 * 24 * time.Hour, "9534156.2", "11056413.1333"},
	} {
		got := home(c.seed, c.roof).Registers(since.Add(c.after))
		require.Equal(t, c.drawn, got.Drawn.Wh(-4).String())
		require.Equal(t, c.fedIn, got.FedIn.Wh(-4).String())
	}
}

func TestAHouseholdAnswersForAnyInstantInAnyOrder(t *testing.T) {
	asked := home(3, 8000)
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(0, 50*86400).Draw(t, "second")
		at := since.Add(time.Duration(second) * time.Second)
		require.Equal(t, home(3, 8000).Registers(at), asked.Registers(at))
		require.Equal(t, home(3, 8000).Power(at), asked.Power(at))
	})
}

// The energy between two seconds is the power of the first, and it goes into
// one register only.
func TestARegisterCountsThePower(t *testing.T) {
	house := home(4, 8000)
	rapid.Check(t, func(t *rapid.T) {
		at := since.Add(time.Duration(rapid.Int64Range(0, 50*86400).Draw(t, "second")) * time.Second)
		before, power, after := house.Registers(at), house.Power(at), house.Registers(at.Add(time.Second))
		require.Equal(t, sim.Energy(max(power, 0)), after.Drawn-before.Drawn)
		require.Equal(t, sim.Energy(max(-power, 0)), after.FedIn-before.FedIn)
		require.GreaterOrEqual(t, after.DrawnT1, before.DrawnT1)
		require.GreaterOrEqual(t, after.DrawnT2, before.DrawnT2)
		require.Equal(t, after.Drawn.In(-1), after.DrawnT1.In(-1)+after.DrawnT2.In(-1))
	})
}

func TestAHouseholdLivesLikeOne(t *testing.T) {
	year := func(roof int64) sim.Registers {
		house := home(1, roof)
		begin, end := house.Registers(since), house.Registers(since.AddDate(1, 0, 0))
		return sim.Registers{Drawn: end.Drawn - begin.Drawn, FedIn: end.FedIn - begin.FedIn}
	}
	plain, sunny := year(0), year(8000)
	require.InDelta(t, 3500, int64(plain.Drawn/sim.KilowattHour), 700, "kWh of a year")
	require.Zero(t, plain.FedIn)
	require.Less(t, sunny.Drawn, plain.Drawn*7/10, "it consumes what its roof gives first")
	require.InDelta(t, 7000, int64(sunny.FedIn/sim.KilowattHour), 1500, "kWh of a year")

	house := home(1, 8000)
	fedIn := func(month time.Month) sim.Energy {
		from := time.Date(2027, month, 1, 0, 0, 0, 0, time.UTC)
		return house.Registers(from.AddDate(0, 1, 0)).FedIn - house.Registers(from).FedIn
	}
	require.Greater(t, fedIn(time.June), 4*fedIn(time.December))
}

func TestARegisterShowsWholeStepsOnly(t *testing.T) {
	e := 1234*sim.WattHour + 3599
	require.EqualValues(t, 12349997, e.In(-4))
	require.EqualValues(t, 12349, e.In(-1))
	require.EqualValues(t, 1, e.In(3))
	require.Equal(t, "1234.9", e.Wh(-1).String())
}

// What forty days of a demo ask of a household.
func BenchmarkRegisters(b *testing.B) {
	house, at := home(1, 8000), since
	for b.Loop() {
		house.Registers(at)
		at = at.Add(10 * time.Second)
	}
}
