package agent_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/board/boardtest"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/sim"
)

// since is an hour in which the simulated board's clock is right.
type since time.Time

func (s since) Now() meter.Stamp {
	return meter.Stamp{Time: time.Time(s).Add(time.Since(bubble)), Quality: meter.ClockSynchronised}
}
func (s since) Received(*meter.Telegram) meter.Stamp { return s.Now() }

// bubble is when the time of every synctest begins.
var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// cable is a live source of which a test says what comes.
type cable struct {
	bytes func() ([]byte, error)
	gone  bool
}

func (w *cable) Live() bool     { return true }
func (w *cable) String() string { return "cable" }
func (w *cable) Open(context.Context) (io.ReadCloser, error) {
	if w.gone {
		return nil, errors.New("no such port")
	}
	return &cableEnd{w: w, closed: make(chan struct{})}, nil
}

type cableEnd struct {
	w      *cable
	closed chan struct{}
}

func (e *cableEnd) Close() error { close(e.closed); return nil }

func (e *cableEnd) Read(p []byte) (int, error) {
	const pushed = 4 * time.Second // as slow as meters are
	for silent := time.Duration(0); ; silent += pushed {
		select {
		case <-e.closed:
			return 0, io.ErrClosedPipe
		case <-time.After(pushed):
		}
		if b, err := e.w.bytes(); err != nil || len(b) > 0 {
			return copy(p, b), err
		}
		if silent >= meter.SilenceLimit {
			return 0, &meter.SilentError{Source: "cable"}
		}
	}
}

// boxed runs an agent beside its telegrams in a bubble. with may change what it
// is wired from.
func boxed(t *testing.T, w *cable, with func(*bench, *agent.Options), during func(*agent.Agent, *buffer.Store)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.clock = since(began.At(12, 0))
		b.config.ResetOf = "main"
		o := agent.Options{
			Config: b.config, Store: b.store, Signer: b.key, KeyID: []byte("key"), Client: b, Clock: b.clock,
			Lamps: board.Dark{}, Log: slog.New(slog.DiscardHandler),
			Source: func(string) (meter.Source, error) { return w, nil },
		}
		with(b, &o)
		a, err := agent.New(o)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		during(a, b.store)
		cancel()
		require.NoError(t, <-done)
	})
}

// resetBy wires a reset line.
func resetBy(reset board.Reset) func(*bench, *agent.Options) {
	return func(_ *bench, o *agent.Options) { o.Reset = reset }
}

func telegramOf(home *sim.Household) []byte {
	return sim.NewMeter(home, sim.Models[0], "").AppendTelegram(nil, home.Since().Add(time.Since(bubble)+time.Hour))
}

// Noise for half an hour: the head is restarted after 5, 15 and 35 minutes, and
// the third time helps.
func TestAStuckHeadIsRestartedWithGrowingPatience(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	reset := &boardtest.Reset{}
	var when []time.Duration
	reset.Pulled = func() error {
		when = append(when, time.Since(bubble).Truncate(time.Minute))
		return nil
	}
	w := &cable{bytes: func() ([]byte, error) {
		if reset.Pulses() < 3 {
			return []byte{0xff, 0x00, 0xfe}, nil
		}
		return telegramOf(home), nil
	}}
	boxed(t, w, resetBy(reset), func(a *agent.Agent, store *buffer.Store) {
		time.Sleep(34 * time.Minute)
		synctest.Wait()
		s, err := a.Status()
		require.NoError(t, err)
		require.Equal(t, 2, s.Meters[0].HeadRestarts)
		require.Contains(t, s.Causes, board.NoSML)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Duration{5 * time.Minute, 15 * time.Minute, 35 * time.Minute}, when)
		s, err = a.Status()
		require.NoError(t, err)
		require.Equal(t, 3, s.Meters[0].HeadRestarts)
		require.Equal(t, began.At(12, 35), s.Meters[0].HeadRestart.Truncate(time.Minute))
		require.Empty(t, s.Causes)
		var told []string
		require.NoError(t, store.Journal(0, func(e buffer.Entry) bool {
			if e.Kind == agent.HeadRestarted {
				told = append(told, e.Detail["meter"]+" "+e.Detail["cause"]+" "+e.Detail["restarts"])
			}
			return true
		}))
		require.Equal(t, []string{"main no_sml 1", "main no_sml 2", "main no_sml 3"}, told)
	})
}

func TestHowOftenAHeadIsRestartedInADay(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	for name, c := range map[string]struct {
		cable       *cable
		least, most int
	}{
		"silent":                     {&cable{bytes: func() ([]byte, error) { return nil, nil }}, 5, 10},
		"unplugged":                  {&cable{gone: true}, 0, 0},
		"well":                       {&cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, 0, 0},
		"fails as soon as it opened": {&cable{bytes: func() ([]byte, error) { return nil, errors.New("input/output error") }}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reset := &boardtest.Reset{}
			boxed(t, c.cable, resetBy(reset), func(*agent.Agent, *buffer.Store) {
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				require.GreaterOrEqual(t, reset.Pulses(), c.least)
				require.LessOrEqual(t, reset.Pulses(), c.most)
			})
		})
	}
}

// A reset line that cannot be pulled, and none at all, stop nothing.
func TestTheAgentRunsOnWithoutAResetLine(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	var well atomic.Bool
	w := &cable{bytes: func() ([]byte, error) {
		if well.Load() {
			return telegramOf(home), nil
		}
		return nil, nil
	}}
	for name, reset := range map[string]board.Reset{"none": nil, "broken": &boardtest.Reset{Pulled: func() error { return errors.New("input/output error") }}} {
		t.Run(name, func(t *testing.T) {
			well.Store(false)
			boxed(t, w, resetBy(reset), func(a *agent.Agent, _ *buffer.Store) {
				time.Sleep(time.Hour)
				well.Store(true)
				time.Sleep(time.Hour)
				synctest.Wait()
				s, err := a.Status()
				require.NoError(t, err)
				require.Zero(t, s.Meters[0].HeadRestarts)
				require.Nil(t, s.Meters[0].HeadRestart)
				require.Empty(t, s.Causes)
			})
		})
	}
}

func TestTheButtonAsksTheLamps(t *testing.T) {
	t.Parallel()
	lamps := &boardtest.Lamps{}
	var button boardtest.Button
	press := func(_ *bench, o *agent.Options) {
		button = boardtest.NewButton()
		o.Lamps, o.Button = lamps, button
	}
	boxed(t, &cable{gone: true}, press, func(*agent.Agent, *buffer.Store) {
		time.Sleep(time.Minute)
		button.Press(board.Short)
		button.Press(board.Long)
		synctest.Wait()
		require.Equal(t, []string{"self-test", "0001"}, lamps.Played())
		shown := lamps.Shown()
		require.Equal(t, []board.Cause{board.ReaderSilent}, shown[len(shown)-1])
	})
}

// Two meters at one gateway: one is silent for a day, and the other does not
// notice. Then it is exchanged.
func TestTwoMetersAtOneGateway(t *testing.T) {
	t.Parallel()
	silentFrom, silentTo, exchanged := began.At(14, 0), began.At(14, 0).Add(24*time.Hour), began.At(14, 0).Add(30*time.Hour)
	clock := since(began.At(12, 0))
	devices := []meter.DeviceID{"\x0a\x01TES\x00\x00\x00\x00\x2a", "\x0a\x01TES\x00\x00\x00\x00\x2b", "\x0a\x01TES\x00\x00\x00\x00\x2c"}
	homes := map[meter.DeviceID]*sim.Household{}
	for _, d := range devices {
		homes[d] = sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	}
	telegram := func(d meter.DeviceID) []byte {
		return sim.NewMeter(homes[d], sim.Models[0], d).AppendTelegram(nil, clock.Now().Time)
	}
	cables := map[string]*cable{
		"main": {bytes: func() ([]byte, error) { return telegram(devices[0]), nil }},
		"roof": {bytes: func() ([]byte, error) {
			switch now := clock.Now().Time; {
			case now.Before(silentFrom):
				return telegram(devices[1]), nil
			case now.Before(silentTo):
				return nil, nil
			case now.Before(exchanged):
				return telegram(devices[1]), nil
			}
			return telegram(devices[2]), nil
		}},
	}
	two := func(b *bench, o *agent.Options) {
		b.config.Meters = []config.Meter{{Name: "main", Port: "main"}, {Name: "roof", Port: "roof"}}
		o.Source = func(port string) (meter.Source, error) { return cables[port], nil }
	}
	boxed(t, nil, two, func(a *agent.Agent, store *buffer.Store) {
		until := func(at time.Time) {
			time.Sleep(at.Sub(clock.Now().Time))
			synctest.Wait()
		}
		causes := func() []board.Cause {
			s, err := a.Status()
			require.NoError(t, err)
			return s.Causes
		}
		until(silentFrom.Add(-time.Minute))
		require.Empty(t, causes())
		until(silentTo.Add(-time.Minute))
		require.Equal(t, []board.Cause{board.ReaderSilent}, causes())
		until(silentTo.Add(2 * time.Minute))
		require.Empty(t, causes(), "it recovers by itself")
		until(exchanged.Add(2 * time.Hour).Add(time.Minute))

		kept := func(name string, device meter.DeviceID, from, to time.Time) (n int) {
			all, err := store.Boundaries(name, meter.QuarterOf(from), meter.QuarterOf(to)-1)
			require.NoError(t, err)
			for _, b := range all {
				require.Equal(t, device, b.Device, "%s at %v", name, b.Boundary.Time())
			}
			return len(all)
		}
		require.Equal(t, 4*32, kept("main", devices[0], silentFrom, exchanged.Add(2*time.Hour)))
		require.Equal(t, 0, kept("roof", devices[1], silentFrom.Add(15*time.Minute), silentTo))
		require.Equal(t, 4*6-1, kept("roof", devices[1], silentTo.Add(15*time.Minute), exchanged))
		require.Equal(t, 7, kept("roof", devices[2], exchanged.Add(15*time.Minute), exchanged.Add(2*time.Hour)))
	})
}

// A press shows the causes as the agent judges them: a clock that it doubts says
// itself that it is synchronised.
func TestAPressShowsThatTheClockIsDoubted(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	lamps := &boardtest.Lamps{}
	var button boardtest.Button
	w := &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}
	boxed(t, w, func(b *bench, o *agent.Options) {
		button = boardtest.NewButton()
		o.Lamps, o.Button, o.Clock = lamps, button, ranAway{b.clock}
	}, func(a *agent.Agent, _ *buffer.Store) {
		time.Sleep(10*time.Minute + 1500*time.Millisecond)
		synctest.Wait()
		shown := len(lamps.Shown())
		require.Equal(t, []board.Cause{board.ClockNotSet}, lamps.Shown()[shown-1])
		button.Press(board.Short)
		synctest.Wait()
		require.Len(t, lamps.Shown(), shown)
	})
}

// ranAway is a clock that leaps two hours ahead after ten minutes.
type ranAway struct{ agent.Clock }

func (c ranAway) Now() meter.Stamp {
	s := c.Clock.Now()
	if s.Elapsed = time.Since(bubble) + time.Second; s.Elapsed > 10*time.Minute {
		s.Time = s.Time.Add(2 * time.Hour)
	}
	return s
}
func (c ranAway) Received(*meter.Telegram) meter.Stamp { return c.Now() }
