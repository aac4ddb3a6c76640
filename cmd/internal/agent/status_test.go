package agent_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/sim"
)

func TestStatusOfAGatewayThatIsWellHasAnEmptyListOfCauses(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	boxed(t, &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, func(*bench, *agent.Options) {}, func(a *agent.Agent, _ *buffer.Store) {
		time.Sleep(time.Minute)
		synctest.Wait()
		s, err := a.Status()
		require.NoError(t, err)
		text, err := json.Marshal(s)
		require.NoError(t, err)
		require.Contains(t, string(text), `"causes":[]`)
	})
}

// A clock leaps two hours ahead, and says that it is synchronised.
func TestStatusSaysByHowMuchADoubtedClockIsOffAndWhatToDo(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	boxed(t, &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, func(b *bench, o *agent.Options) {
		o.Clock = ranAway{b.clock}
	}, func(a *agent.Agent, _ *buffer.Store) {
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		s, err := a.Status()
		require.NoError(t, err)
		require.Equal(t, meter.ClockUnsynchronised, s.Now.Quality)
		require.Contains(t, s.ClockDoubt, "it is 2h0m0s ahead of the one that was believed")
		require.Contains(t, s.ClockDoubt, "believed in 25m0s by itself")
		time.Sleep(26 * time.Minute)
		synctest.Wait()
		s, err = a.Status()
		require.NoError(t, err)
		require.Equal(t, meter.ClockSynchronised, s.Now.Quality)
		require.Empty(t, s.ClockDoubt)
	})
}
