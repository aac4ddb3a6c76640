package sim_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/meter"
	"smgw/meter/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var since = time.Date(2026, 9, 28, 0, 0, 0, 0, time.FixedZone("CEST", 7200))

func home(seed uint64, roof int64) *sim.Household {
	return sim.NewHousehold(sim.Options{Seed: seed, RoofPeak: roof, Since: since, Initial: sim.Registers{
		Drawn: 7421 * sim.KilowattHour, FedIn: 3999 * sim.KilowattHour,
	}})
}

func newMeter(t testing.TB, model string) *sim.Meter {
	m, err := sim.FindModel(model)
	require.NoError(t, err)
	return sim.NewMeter(home(1, 8000), m, "")
}

func openPort(t *testing.T) *sim.Port {
	t.Helper()
	port, err := sim.OpenPort()
	require.NoError(t, err)
	t.Cleanup(func() { port.Close() })
	return port
}

// listen reads a line in the background and gives every telegram to check,
// until the returned function is called.
func listen(t *testing.T, spec string, check func(meter.Telegram)) (line *meter.Line, stop func()) {
	t.Helper()
	source, err := meter.ParseSource(spec)
	require.NoError(t, err)
	line = &meter.Line{Source: source}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- line.Run(ctx, check) }()
	return line, func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
}

// hears waits until the line has read that many telegrams.
func hears(t *testing.T, line *meter.Line, telegrams int64) {
	t.Helper()
	require.Eventually(t, func() bool { return line.State().Telegrams >= telegrams }, 30*time.Second, time.Millisecond,
		"it heard %d of %d telegrams", line.State().Telegrams, telegrams)
}

// Every model speaks for a day of drawing and feeding in through every fault,
// one day after the other. What is heard is right, and a fault costs no
// telegram but the one it struck.
func TestEveryModelIsReadRightThroughEveryFault(t *testing.T) {
	for _, model := range sim.Models {
		t.Run(model.Name, func(t *testing.T) {
			truth, speaker := newMeter(t, model.Name), newMeter(t, model.Name)
			port := openPort(t)
			line, stop := listen(t, port.Name(), func(telegram meter.Telegram) {
				secIndex := telegram.SecIndex()
				if !secIndex.Valid {
					t.Error("a telegram without its time")
					return
				}
				requireShown(t, truth, since.Add(time.Duration(secIndex.Seconds)*time.Second), telegram)
			})
			defer stop()
			want := int64(0)
			for i, fault := range sim.AllFaults {
				head := sim.Head{
					Meter: speaker, Fast: true, Interval: 15 * time.Minute,
					From: since.AddDate(0, 0, i+1), Until: since.AddDate(0, 0, i+2),
					Faults: &sim.Faults{Seed: 7, Rates: []sim.FaultRate{{Fault: fault, Part: 0.25}}},
				}
				require.NoError(t, head.Run(t.Context(), port))
				require.Greater(t, head.Faults.Struck, int64(10))
				want += head.Sent - head.Faults.Destroyed
			}
			hears(t, line, want)
			require.Equal(t, want, line.State().Telegrams)
			require.NotEmpty(t, line.State().Refused)
		})
	}
}

// requireShown holds a telegram against what the meter had counted.
func requireShown(t *testing.T, truth *sim.Meter, at time.Time, telegram meter.Telegram) {
	t.Helper()
	if telegram.Device != truth.Device {
		t.Errorf("device %v, want %v", telegram.Device, truth.Device)
	}
	want := maps.Clone(truth.Shows(at))
	for i := range telegram.Values {
		v := &telegram.Values[i]
		number, isNumber := v.Decimal()
		shown, isShown := want[v.Code]
		switch {
		case isShown && (!isNumber || !number.Equal(shown)):
			t.Errorf("%v at %v: %v, want %v (raw %v, quirk %q)", v.Code, at, number, shown, int64(v.Raw.Bits), v.Quirk)
		case isShown:
			delete(want, v.Code)
		}
	}
	if len(want) > 0 {
		t.Errorf("at %v nothing was read of %v", at, want)
	}
}

func BenchmarkAppendTelegram(b *testing.B) {
	m := newMeter(b, "mme")
	var telegram []byte
	at := since
	b.ReportAllocs()
	for b.Loop() {
		telegram = m.AppendTelegram(telegram[:0], at)
		at = at.Add(10 * time.Second)
	}
	b.SetBytes(int64(len(telegram)))
}
