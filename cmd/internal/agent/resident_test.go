package agent_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

func TestPagesOfTheProgramAreGivenBack(t *testing.T) {
	b := newBench(t)
	b.play(b.home.Since(), b.home.Since().Add(24*time.Hour))
	before := residentFile(t)
	agent.GiveBack()
	require.Less(t, residentFile(t), before)
	// And all of it is still there.
	b.play(b.home.Since().Add(24*time.Hour+time.Minute), b.home.Since().Add(5*24*time.Hour))
	require.NotEmpty(t, b.payloads)
	require.NoError(t, b.store.VerifyJournal())
}

func TestALongAnswerIsWholeAndCanBeFlushed(t *testing.T) {
	want := strings.Repeat("a line of many\n", 50_000)
	got := httptest.NewRecorder()
	agent.Answering(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for line := range strings.Lines(want) {
			_, err := io.WriteString(w, line)
			require.NoError(t, err)
		}
		require.NoError(t, http.NewResponseController(w).Flush())
	})).ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, want, got.Body.String())
	require.True(t, got.Flushed)
}

// residentFile is how much of its files this process has in memory, in kB.
func residentFile(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	n, err := strconv.Atoi(string(regexp.MustCompile(`RssFile:\s+(\d+)`).FindSubmatch(status)[1]))
	require.NoError(t, err)
	return n
}

// Nothing grows while the agent lives, but the store's file. SMGW_DAYS is how many
// days it lives (40; docs/measurements.md has a year), a telegram each quarter hour.
func TestNothingGrows(t *testing.T) {
	days := 40
	if text := os.Getenv("SMGW_DAYS"); text != "" {
		var err error
		days, err = strconv.Atoi(text)
		require.NoError(t, err, "SMGW_DAYS")
	}
	b := newBench(t)
	var first, last sample
	s := &stream{meter: sim.NewMeter(b.home, sim.Models[0], sim.Models[0].Device), next: b.home.Since(), until: form.DateOf(b.home.Since()).AddDays(days).At(0, 0), pause: meter.QuarterLength}
	s.before = func(at time.Time) {
		if n := int(at.Sub(b.home.Since()) / (24 * time.Hour)); at.Equal(b.home.Since().Add(time.Duration(n)*24*time.Hour)) && n > 0 && n%(days/4) == 0 {
			last = b.sample(t)
			t.Logf("day %3d: heap %4d kB, %d goroutines, store %5d kB", n, last.heap>>10, last.goroutines, last.file>>10)
			if first == (sample{}) {
				first = last
			}
		}
	}
	b.clock = agent.NewSteppedClock(b.home.Since())
	a, err := agent.New(agent.Options{
		Config: b.config, Store: b.store, Signer: b.key, KeyID: []byte("key"), Client: taker{}, Lamps: b.lamps, Clock: b.clock,
		Log: slog.New(slog.DiscardHandler), InStep: true,
		Source: func(string) (meter.Source, error) { return s, nil },
	})
	require.NoError(t, err)
	require.NoError(t, a.Run(t.Context()))
	require.NotEqual(t, first, last)
	require.Less(t, last.heap, first.heap+128<<10)
	require.Equal(t, first.goroutines, last.goroutines)
	require.Less(t, last.file, int64(days)*20<<10+1<<20, "a day takes less than 20 kB")
}

type sample struct {
	heap       uint64
	goroutines int
	file       int64
}

func (b *bench) sample(t *testing.T) sample {
	stats, err := b.store.Stats()
	require.NoError(t, err)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{m.HeapAlloc, runtime.NumGoroutine(), stats.FileBytes}
}

// taker takes everything.
type taker struct{}

func (taker) Reach(context.Context, string) error { return nil }
func (taker) Put(context.Context, string, string, []byte) deliver.Result {
	return deliver.Result{Outcome: deliver.Stored, Status: 201}
}
