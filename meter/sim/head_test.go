package sim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/sim"
)

// arrivals notes when each piece came.
type arrivals struct {
	bytes.Buffer
	when []time.Time
}

func (a *arrivals) Write(p []byte) (int, error) {
	a.when = append(a.when, time.Now())
	return a.Buffer.Write(p)
}

func TestAHeadIsAsSlowAsARealOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out arrivals
		began := time.Now()
		head := sim.Head{Meter: newMeter(t, "easymeter"), From: since, Until: since.Add(9 * time.Second), Interval: time.Second}
		require.NoError(t, head.Run(t.Context(), &out))
		require.EqualValues(t, 10, head.Sent)
		require.Equal(t, since.Add(9*time.Second), head.Last)
		size := out.Len() / 10
		took := out.when[len(out.when)-1].Sub(began) - 9*time.Second
		require.InDelta(t, float64(size)/960, took.Seconds(), 0.06, "the last of %d bytes each", size)
	})
}

func TestATelegramThatIsTooLongCostsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		head := sim.Head{
			Meter: newMeter(t, "mme"), From: since, Until: since.Add(200 * time.Second), Interval: time.Second,
			Faults: &sim.Faults{Seed: 1, Rates: []sim.FaultRate{{Fault: sim.LongNoise, Part: 1}}},
			Before: func(t time.Time) error { at = append(at, t); return nil },
		}
		require.NoError(t, head.Run(t.Context(), io.Discard))
		require.Len(t, at, 3)
		require.Greater(t, at[1].Sub(at[0]), 68*time.Second, "65,536 bytes take longer")
	})
}

func TestAFastHeadCallsBeforeEachTelegramAndStopsByItsError(t *testing.T) {
	var out bytes.Buffer
	enough := errors.New("enough")
	calls := 0
	head := sim.Head{Meter: newMeter(t, "mme"), From: since, Interval: 10 * time.Second, Fast: true, Before: func(at time.Time) error {
		require.Equal(t, since.Add(time.Duration(calls)*10*time.Second), at)
		if calls++; calls > 100 {
			return enough
		}
		return nil
	}}
	require.ErrorIs(t, head.Run(t.Context(), &out), enough)
	require.EqualValues(t, 100, head.Sent)
	var want []byte
	for i := range 100 {
		want = newMeter(t, "mme").AppendTelegram(want, since.Add(time.Duration(i)*10*time.Second))
	}
	require.Equal(t, want, out.Bytes())
}

func TestAHeadRefusesAnIntervalThatItsClockCannotCount(t *testing.T) {
	head := sim.Head{Meter: newMeter(t, "mme"), Interval: 1500 * time.Millisecond}
	require.ErrorContains(t, head.Run(t.Context(), io.Discard), "whole seconds")
}

// Nobody reads: in real time the bytes are lost and the head goes on, in fast
// time it waits, and cancelling ends either.
func TestAHeadThatNobodyReads(t *testing.T) {
	t.Run("fast", func(t *testing.T) {
		port := openPort(t)
		ctx, cancel := context.WithCancel(t.Context())
		full := make(chan struct{})
		head := sim.Head{Meter: newMeter(t, "mme"), From: since, Interval: time.Second, Fast: true}
		head.Before = func(at time.Time) error {
			if at.Equal(since.Add(40 * time.Second)) {
				close(full)
			}
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- head.Run(ctx, port) }()
		<-full
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Less(t, head.Sent, int64(1000), "a port holds some dozen kilobytes")
	})
	t.Run("network", func(t *testing.T) {
		listener, err := sim.Listen(t.Context(), "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		ctx, cancel := context.WithCancel(t.Context())
		head := sim.Head{Meter: newMeter(t, "mme"), From: since, Interval: time.Second, Fast: true,
			Before: func(time.Time) error { cancel(); return nil }}
		require.ErrorIs(t, head.Run(ctx, listener), context.Canceled)
	})
	t.Run("paced", func(t *testing.T) {
		port := openPort(t)
		head := sim.Head{Meter: newMeter(t, "mme"), From: since, Until: since.Add(time.Second), Interval: time.Second}
		require.NoError(t, head.Run(t.Context(), port))
		require.EqualValues(t, 2, head.Sent)
	})
}

func TestANetworkServesOneReaderAfterTheOther(t *testing.T) {
	listener, err := sim.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	head := sim.Head{Meter: newMeter(t, "mme"), From: since, Interval: time.Second, Fast: true}
	done := make(chan error, 1)
	go func() { done <- head.Run(ctx, listener) }()
	for range 3 {
		line, stop := listen(t, "tcp://"+listener.Addr().String(), func(meter.Telegram) {})
		hears(t, line, 50)
		stop()
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestARecordingIsReplayed(t *testing.T) {
	recording := newMeter(t, "mme").AppendTelegram(nil, since)
	var out bytes.Buffer
	require.NoError(t, sim.Replay(t.Context(), &out, recording, true, true))
	require.Equal(t, recording, out.Bytes())
	require.ErrorContains(t, sim.Replay(t.Context(), &out, nil, true, true), "empty")

	port := openPort(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sim.Replay(ctx, port, recording, false, true) }()
	line, stop := listen(t, port.Name(), func(meter.Telegram) {})
	hears(t, line, 100)
	stop()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestALinkLeadsToThePortWhileItIsOpen(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "meter")
	port := openPort(t)
	require.NoError(t, port.Link(path))
	to, err := os.Readlink(path)
	require.NoError(t, err)
	require.Equal(t, port.Name(), to)

	next := openPort(t)
	require.NoError(t, next.Link(path), "it takes the place of a link")
	require.NoError(t, port.Close(), "and is not taken away with the old port")
	to, err = os.Readlink(path)
	require.NoError(t, err)
	require.Equal(t, next.Name(), to)
	require.NoError(t, next.Close())
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	require.ErrorContains(t, openPort(t).Link(path), "not a link")
}

// What nobody read for some seconds is no news, and a lock that a killed
// reader left holds nobody up.
func TestAPortIsCleanForItsNextReader(t *testing.T) {
	port := openPort(t)
	_, err := port.Write(bytes.Repeat([]byte{0x55}, 8000))
	require.NoError(t, err)
	head := sim.Head{Meter: newMeter(t, "mme"), From: since.Add(time.Second), Until: since.Add(4 * time.Second), Interval: time.Second}
	require.NoError(t, head.Run(t.Context(), port))
	line, stop := listen(t, port.Name(), func(meter.Telegram) {})
	hears(t, line, 3)
	stop()
	require.Less(t, line.State().Bytes, int64(8000))
}

func TestFaultsAreTheSameForASeed(t *testing.T) {
	telegram := newMeter(t, "emh").AppendTelegram(nil, since)
	spoil := func(seed uint64) (out []byte, f *sim.Faults) {
		f = &sim.Faults{Seed: seed, Rates: sim.EvenRates(0.5, sim.AllFaults...)}
		for range 200 {
			out = f.Append(out, telegram)
		}
		return out, f
	}
	one, f := spoil(1)
	again, _ := spoil(1)
	other, _ := spoil(2)
	require.True(t, bytes.Equal(one, again))
	require.False(t, bytes.Equal(one, other))
	require.InDelta(t, 100, f.Struck, 25)
	require.Less(t, f.Destroyed, f.Struck)

	clean := &sim.Faults{}
	require.Equal(t, telegram, clean.Append(nil, telegram))
	require.Zero(t, clean.Struck)
}
