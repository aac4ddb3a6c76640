package agent_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
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
