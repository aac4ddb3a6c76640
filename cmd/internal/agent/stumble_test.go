package agent_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
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

	mu     sync.Mutex
	calls  []time.Time
	shakes int // hands, and sends nothing
	mended bool
}

// tried is when it was sent a payload.
func (w *wrong) tried() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *wrong) Reach(_ context.Context, endpoint string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if endpoint == stumbledAt {
		w.shakes++
	}
	return nil
}

func (w *wrong) Put(context.Context, string, string, []byte) deliver.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, time.Now())
	if w.mended {
		return deliver.Result{Outcome: deliver.Stored, Status: http.StatusCreated}
	}
	return deliver.Result{Status: w.status, Cause: deliver.Answer, Err: errors.New(http.StatusText(w.status))}
}

const stumbledAt = "https://headend.test"

// newLone is a bench in a bubble where one payload waits.
func newLone(t *testing.T) *bench {
	b := newBench(t)
	b.clock = since(began.At(12, 0))
	now := b.clock.Now().Time
	require.NoError(t, b.store.PutItems([]buffer.Item{{ID: "lone", Endpoint: stumbledAt, Body: []byte("x"), Created: now, NotBefore: now, Due: now.Add(time.Hour)}}, nil))
	return b
}

// among runs the agent beside a meter and a head-end, from what a stop has left.
func (b *bench) among(client agent.Putter, during func(a *agent.Agent)) {
	b.reopen()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	a, err := agent.New(agent.Options{
		Config: b.config, Store: b.store, Signer: b.key, KeyID: []byte("key"), Client: client, Clock: b.clock,
		Lamps: b.lamps, Log: slog.New(slog.NewTextHandler(cmp.Or(b.log, io.Discard), nil)),
		Source: func(string) (meter.Source, error) {
			return &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, nil
		},
	})
	require.NoError(b.t, err)
	ctx, stop := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	during(a)
	stop()
	require.NoError(b.t, <-done)
}

// Also one that is started in the second between the queue's rest and the payload's.
func TestAnAgentStartedAsAPauseEndsKnowsWhatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLone(t)
		now := b.clock.Now().Time
		for range 3 {
			require.NoError(t, b.store.Tried("lone", "it was answered wrong", now.Add(-time.Minute), now.Add(500*time.Millisecond)))
		}
		client := &wrong{status: 500}
		b.among(client, func(a *agent.Agent) {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			s, err := a.Status()
			require.NoError(t, err)
			require.Equal(t, []board.Cause{board.HeadEndUnreachable}, s.Causes)
			require.Equal(t, 3, s.Endpoints[0].Failures)
			time.Sleep(5 * time.Second)
		})
		require.Zero(t, client.shakes)
		require.Len(t, client.tried(), 1)
	})
}

// One payload waits alone and is answered wrong each time, while every handshake
// goes well: its pauses double all the same, the board names the cause, and an
// agent that is started meanwhile knows it and hastens nothing.
func TestALonePayloadThatIsAnsweredWrongIsNotHammered(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 403, 404, 500} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLone(t)
				client := &wrong{status: status}
				var log bytes.Buffer
				b.log = &log
				live := func(during func(a *agent.Agent)) { b.among(client, during) }
				now := b.clock.Now().Time

				live(func(a *agent.Agent) {
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					s, err := a.Status()
					require.NoError(t, err)
					require.Equal(t, []board.Cause{board.HeadEndUnreachable}, s.Causes)
					e := s.Endpoints[0]
					tried := client.tried()
					require.Equal(t, len(tried), e.Failures)
					require.Equal(t, http.StatusText(status), e.LastError)
					require.WithinDuration(t, now, *e.FailingFrom, time.Second)
					require.WithinDuration(t, tried[len(tried)-1].Add(now.Sub(bubble)), *e.Reached, time.Second, "it answers")
					require.Nil(t, e.LastSuccess)
					time.Sleep(time.Hour)
				})
				tried := client.tried()
				for i, at := range tried[1:] {
					pause := at.Sub(tried[i])
					require.GreaterOrEqual(t, pause, 5*time.Second<<i, "pause %d", i)
					require.LessOrEqual(t, pause, 10*time.Second<<i+2*time.Second, "pause %d", i)
				}
				require.Greater(t, len(tried), 7)
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

				before := len(tried)
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
				tried = client.tried()
				require.Greater(t, len(tried), before+1)
				require.Less(t, len(tried), before+8, "pauses of an hour, or a half")
				require.Greater(t, tried[before].Sub(tried[before-1]), 15*time.Minute)

				require.Equal(t, 2, strings.Count(log.String(), "level=WARN msg=\"nothing gets through"), "each start says why once:\n%s", log.String())
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
