package agent_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
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
