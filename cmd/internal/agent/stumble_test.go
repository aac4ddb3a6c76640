package agent_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// wrong is a head-end that accepts every connection and answers every payload
// wrong, until it is mended.
type wrong struct {
	status int
	tried  []time.Time
	shakes int // hands, and sends nothing
	mended bool
}

func (w *wrong) Reach(_ context.Context, endpoint string) error {
	if endpoint == stumbledAt {
		w.shakes++
	}
	return nil
}

func (w *wrong) Put(context.Context, string, string, []byte) deliver.Result {
	w.tried = append(w.tried, time.Now())
	if w.mended {
		return deliver.Result{Outcome: deliver.Stored, Status: http.StatusCreated}
	}
	return deliver.Result{Status: w.status, Cause: deliver.Answer, Err: errors.New(http.StatusText(w.status))}
}

const stumbledAt = "https://headend.test"

// One payload waits alone and is answered wrong each time, while every handshake
// goes well: its pauses double all the same, the board names the cause, and an
// agent that is started meanwhile knows it and hastens nothing.
func TestALonePayloadThatIsAnsweredWrongIsNotHammered(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 403, 404, 500} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.clock = since(began.At(12, 0))
				home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
				meters := &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}
				client := &wrong{status: status}
				var log bytes.Buffer
				live := func(during func(a *agent.Agent)) {
					b.reopen()
					a, err := agent.New(agent.Options{
						Config: b.config, Store: b.store, Signer: b.key, KeyID: []byte("key"), Client: client, Clock: b.clock,
						Lamps: b.lamps, Log: slog.New(slog.NewTextHandler(&log, nil)),
						Source: func(string) (meter.Source, error) { return meters, nil },
					})
					require.NoError(t, err)
					ctx, stop := context.WithCancel(t.Context())
					done := make(chan error)
					go func() { done <- a.Run(ctx) }()
					during(a)
					stop()
					require.NoError(t, <-done)
				}
				now := b.clock.Now().Time
				require.NoError(t, b.store.PutItems([]buffer.Item{{ID: "lone", Endpoint: stumbledAt, Body: []byte("x"), Created: now, NotBefore: now, Due: now.Add(time.Hour)}}, nil))

				live(func(a *agent.Agent) {
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					s, err := a.Status()
					require.NoError(t, err)
					require.Equal(t, []board.Cause{board.HeadEndUnreachable}, s.Causes)
					e := s.Endpoints[0]
					require.Equal(t, len(client.tried), e.Failures)
					require.Equal(t, http.StatusText(status), e.LastError)
					require.WithinDuration(t, now, *e.FailingFrom, time.Second)
					require.WithinDuration(t, client.tried[len(client.tried)-1].Add(now.Sub(bubble)), *e.Reached, time.Second, "it answers")
					require.Nil(t, e.LastSuccess)
					time.Sleep(time.Hour)
				})
				for i, at := range client.tried[1:] {
					pause := at.Sub(client.tried[i])
					require.GreaterOrEqual(t, pause, 5*time.Second<<i, "pause %d", i)
					require.LessOrEqual(t, pause, 10*time.Second<<i+2*time.Second, "pause %d", i)
				}
				require.Greater(t, len(client.tried), 7)
				require.Zero(t, client.shakes, "a handshake proves nothing that an answer has not")
				require.NotContains(t, log.String(), "answers again")
				var held []string
				require.NoError(t, b.store.Journal(0, func(e buffer.Entry) bool {
					if e.Kind == agent.Causes {
						held = append(held, e.Detail["held"])
					}
					return true
				}))
				require.Equal(t, []string{board.HeadEndUnreachable.String()}, held)

				before := len(client.tried)
				last := client.tried[before-1]
				live(func(a *agent.Agent) {
					time.Sleep(time.Second)
					synctest.Wait()
					s, err := a.Status()
					require.NoError(t, err)
					require.Equal(t, []board.Cause{board.HeadEndUnreachable}, s.Causes)
					require.Equal(t, before, s.Endpoints[0].Failures)
					require.Equal(t, http.StatusText(status), s.Endpoints[0].LastError)
					time.Sleep(3 * time.Hour)
				})
				require.Zero(t, client.shakes)
				require.Greater(t, len(client.tried), before+1)
				require.Less(t, len(client.tried), before+8, "pauses of an hour, or a half")
				require.Greater(t, client.tried[before].Sub(last), 15*time.Minute)

				client.mended = true
				live(func(a *agent.Agent) {
					time.Sleep(time.Hour + time.Minute)
					synctest.Wait()
					s, err := a.Status()
					require.NoError(t, err)
					require.Empty(t, s.Causes)
					require.Zero(t, s.Endpoints[0].Failures)
					require.NotNil(t, s.Endpoints[0].LastSuccess)
				})
				require.Contains(t, log.String(), "answers again")
			})
		})
	}
}
