package sim_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/sim"
)

var since = time.Date(2026, 9, 28, 0, 0, 0, 0, time.FixedZone("CEST", 7200))

func home(seed uint64, roof int64) *sim.Household {
	return sim.NewHousehold(sim.Options{Seed: seed, RoofPeak: roof, Since: since, Initial: sim.Registers{
		Drawn: 7421 * sim.KilowattHour, FedIn: 3999 * sim.KilowattHour,
	}})
}

func newMeter(t testing.TB, name string) *sim.Meter {
	model, err := sim.FindModel(name)
	require.NoError(t, err)
	return sim.NewMeter(home(1, 8000), model, "")
}

// openPort makes a pseudo-terminal and the source that reads from it.
func openPort(t *testing.T) (*sim.Port, meter.Source) {
	t.Helper()
	port, err := sim.OpenPort()
	require.NoError(t, err)
	t.Cleanup(func() { port.Close() })
	source, err := meter.ParseSource(port.Name())
	require.NoError(t, err)
	return port, source
}

func TestZZ(t *testing.T) {
	port, source := openPort(t)
	head := sim.Head{Meter: newMeter(t, "mme"), From: since, Until: since.AddDate(0, 0, 40), Interval: 10 * time.Second, Fast: true}
	ctx, cancel := context.WithCancel(t.Context())
	line := meter.Line{Source: source}
	done := make(chan error, 1)
	go func() { done <- line.Run(ctx, func(meter.Telegram) {}) }()
	t0 := time.Now()
	require.NoError(t, head.Run(t.Context(), port))
	t.Log(head.Sent, time.Since(t0))
	for line.State().Telegrams < head.Sent {
		time.Sleep(time.Millisecond)
	}
	cancel()
	t.Log(<-done, line.State())
}

func BenchmarkAppendTelegram(b *testing.B) {
	m := newMeter(b, "mme")
	var buf []byte
	at := since
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTelegram(buf[:0], at)
		at = at.Add(10 * time.Second)
	}
	b.SetBytes(int64(len(buf)))
}

var _ io.Writer
