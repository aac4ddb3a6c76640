package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/tls/deliver"
)

// A full disk at the stop is said; it is a failure only where readings are lost.
func TestStopOnAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	b := newBenchIn(t, disk)
	b.play(b.home.Since(), began.At(10, 0))
	require.NoError(t, b.store.PutItems([]buffer.Item{{ID: "0815", Endpoint: "https://supplier.test", Body: []byte("payload"), Created: b.clock.Now().Time, Due: b.clock.Now().Time}}, nil))
	fill(t, filepath.Join(disk, "ballast"))
	long := map[string]string{"text": strings.Repeat("long ", 10_000)}
	var err error
	for n := 0; n < 1000 && err == nil; n++ { // the file has free pages yet
		err = b.store.Append(buffer.Event{At: b.clock.Now().Time, Kind: "long", Detail: long})
	}
	require.ErrorIs(t, err, buffer.ErrFull)
	for err = nil; err == nil; {
		err = b.store.Append(buffer.Event{At: b.clock.Now().Time, Kind: "short"})
	}
	require.NoError(t, b.store.Acknowledge("0815", b.clock.Now().Time, buffer.Event{At: b.clock.Now().Time, Kind: "delivered"}))
	log := &bytes.Buffer{}
	require.NoError(t, agent.CloseStore(b.store, slog.New(slog.NewTextHandler(log, nil))))
	require.Contains(t, log.String(), "sent once more")

	b.reopen()
	var again []string
	b.answer = func(_, id string, _ time.Time) deliver.Result {
		again = append(again, id)
		return deliver.Result{Outcome: deliver.Failed, Err: errors.New("away")}
	}
	_, err = b.tryPlay(began.At(10, 1), began.At(11, 0))
	require.ErrorContains(t, err, "readings are lost with this stop")
	require.Contains(t, again, "0815")
}

// What found no place in memory is lost also where nothing else waits for the
// store, which takes not even the note of it.
func TestWhatIsLostIsNamedAtTheStop(t *testing.T) {
	t.Parallel()
	readings := func(n int) (all []meter.BoundaryReading) {
		for i := range n {
			all = append(all, meter.BoundaryReading{Meter: "main", Boundary: began.Midnight() + meter.Quarter(i)})
		}
		return all
	}
	for _, c := range []struct {
		dropped, waiting int
		said             string
	}{
		{3, 0, "count=3 from=2026-10-22T22:00:00Z to=2026-10-22T22:30:00Z"},
		{3, 2, "count=5 from=2026-10-22T22:00:00Z to=2026-10-22T23:00:00Z"},
		{0, 2, "count=2 from=2026-10-22T22:00:00Z to=2026-10-22T22:15:00Z"},
	} {
		b, log := newBench(t), &bytes.Buffer{}
		b.clock = agent.NewSteppedClock(b.home.Since())
		a := b.agent(true)
		a.Log = slog.New(slog.NewTextHandler(log, nil))
		all := readings(c.dropped + c.waiting)
		a.Lose(all[:c.dropped], all[c.dropped:])
		require.NoError(t, b.store.Close())
		require.ErrorContains(t, a.Run(t.Context()), fmt.Sprintf("%d readings are lost with this stop", len(all)))
		require.Contains(t, log.String(), c.said)
	}
}
