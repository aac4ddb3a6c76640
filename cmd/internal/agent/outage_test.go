package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
	"smgw/meter"
	"smgw/tls/deliver"
)

// town is a head-end that many gateways share, and what it sees of them.
type town struct {
	store *buffer.Store
	log   io.Writer

	mu     sync.Mutex
	answer func(endpoint string) deliver.Result
	calls  []time.Time
	order  []string // what was taken, by id
}

func newTown(t *testing.T) *town {
	store, err := buffer.Open(filepath.Join(quickDir(t), "store.db"), buffer.Options{})
	require.NoError(t, err)
	w := &town{store: store, log: io.Discard}
	t.Cleanup(func() { require.NoError(t, w.store.Close()) })
	return w
}

func (w *town) Reach(_ context.Context, endpoint string) error { return w.call(endpoint).Err }

func (w *town) Put(_ context.Context, endpoint, id string, _ []byte) deliver.Result {
	r := w.call(endpoint)
	if r.Outcome.Delivered() {
		w.mu.Lock()
		w.order = append(w.order, id)
		w.mu.Unlock()
	}
	return r
}

func (w *town) call(endpoint string) deliver.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, time.Now())
	return w.answer(endpoint)
}

// set changes what the head-end answers, and returns the calls up to now.
func (w *town) set(answer func(string) deliver.Result) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
	calls := w.calls
	w.calls = nil
	return calls
}

// crowd is the largest number of calls within a span, and in all.
func crowd(calls []time.Time, span time.Duration) (most, all int) {
	for i, from := range calls {
		until, _ := slices.BinarySearchFunc(calls[i:], from.Add(span), time.Time.Compare)
		most = max(most, until)
	}
	return most, len(calls)
}

// live runs the senders of n gateways beside each other.
func (w *town) live(n int, holdOff func(n int) time.Duration) (stop func()) {
	return w.liveBy(&agent.SystemClock{}, n, holdOff)
}

func (w *town) liveBy(clock agent.Clock, n int, holdOff func(n int) time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(w.log, nil))
	var senders sync.WaitGroup
	for i := range n {
		senders.Go(func() {
			agent.RunSender(ctx, fmt.Sprintf("https://headend.test/%d", i), w.store, w, clock, log, holdOff(i))
		})
	}
	return func() {
		cancel()
		senders.Wait()
	}
}

// items are n payloads of one gateway, a day each, the last of them due tomorrow.
func (w *town) items(t *testing.T, gateway, n int) (ids []string) {
	t.Helper()
	now := time.Now()
	var items []buffer.Item
	for i := range n {
		day := meter.QuarterOf(now) + meter.Quarter(96*(i-n))
		items = append(items, buffer.Item{
			ID: fmt.Sprintf("%016x%016x", gateway, i), Endpoint: fmt.Sprintf("https://headend.test/%d", gateway), Body: make([]byte, 500),
			Needs: buffer.Span{Meter: "main", From: day, To: day + 96}, Created: now, NotBefore: now, Due: now.AddDate(0, 0, i-n+2),
		})
		ids = append(ids, items[i].ID)
	}
	require.NoError(t, w.store.Build(fmt.Sprint(gateway), meter.QuarterOf(now), items))
	return ids
}

func unreachable(string) deliver.Result {
	return deliver.Result{Cause: deliver.Unreachable, Err: errors.New("connection refused")}
}

func taken(string) deliver.Result { return deliver.Result{Outcome: deliver.Stored, Status: 201} }

func atOnce(int) time.Duration { return 0 }

// Sixty days without a head-end: the agent asks about once an hour, writes two
// lines to the log, and keeps nothing but what waits.
func TestALongOutageCostsNothingButSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		var log bytes.Buffer
		w.log = &log
		w.set(unreachable)
		ids := w.items(t, 0, 5)
		stop := w.live(1, atOnce)
		time.Sleep(24 * time.Hour)
		before, heap := w.used(t)

		time.Sleep(59 * 24 * time.Hour)
		after, heapAfter := w.used(t)
		calls := len(w.set(taken))
		require.Less(t, calls, 60*24*3, "it asks no oftener than each half hour")
		require.Greater(t, calls, 60*12)
		require.Equal(t, before, after, "the file stays as it was, without a commit")
		require.Less(t, heapAfter, heap+64<<10)

		time.Sleep(time.Hour)
		stop()
		slices.Sort(w.order)
		require.Equal(t, ids, w.order)
		require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("\n")), "the log:\n%s", log.String())
	})
}

// used is what the store did, and the heap.
func (w *town) used(t *testing.T) (buffer.Stats, uint64) {
	t.Helper()
	stats, err := w.store.Stats()
	require.NoError(t, err)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return stats, m.HeapAlloc
}

// A head-end that was away for a night is not run over when it is back, though all
// gateways lost it in the same second: they come over an hour.
func TestATownDoesNotComeBackAtOnce(t *testing.T) {
	t.Parallel()
	const gateways = 300
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(unreachable)
		for i := range gateways {
			w.items(t, i, 1)
		}
		stop := w.live(gateways, atOnce)
		defer stop()
		time.Sleep(10 * time.Hour)
		w.set(taken)
		time.Sleep(time.Hour)
		calls := w.set(taken)
		most, all := crowd(calls, time.Minute)
		require.Equal(t, gateways, all, "each has called within the hour, once")
		require.Less(t, most, gateways/10, "in the worst minute")
	})
}

// Retry-After is obeyed by all, and does not bring them back in step.
func TestATownToldToComeLaterComesLaterAndSpread(t *testing.T) {
	t.Parallel()
	const gateways, later = 300, 20 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(func(string) deliver.Result {
			return deliver.Result{Status: 429, Cause: deliver.Answer, RetryAfter: later, Err: errors.New("429 Too Many Requests")}
		})
		for i := range gateways {
			w.items(t, i, 1)
		}
		told := time.Now()
		stop := w.live(gateways, atOnce)
		defer stop()
		time.Sleep(time.Second)
		require.Len(t, w.set(taken), gateways, "each asked once")
		time.Sleep(2 * later)
		calls := w.set(taken)
		most, all := crowd(calls, 10*time.Second)
		require.Equal(t, gateways, all)
		require.Less(t, most, gateways/10, "in the worst ten seconds")
		require.False(t, calls[0].Before(told.Add(later)), "nobody is early")
		require.False(t, calls[len(calls)-1].After(told.Add(later+later/4+time.Second)), "and nobody late")
	})
}

// A gateway that was told to come later and is started anew comes no sooner, with
// none of what waits. One that has lost its clock meanwhile waits until it is set.
func TestRetryAfterIsObeyedAcrossARestart(t *testing.T) {
	t.Parallel()
	const later = 40 * time.Minute
	for _, status := range []int{429, 503, 500} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			clock := since(began.At(12, 0))
			ids := w.items(t, 0, 3)
			w.set(func(string) deliver.Result {
				return deliver.Result{Status: status, Cause: deliver.Answer, RetryAfter: later, Err: errors.New("later")}
			})
			told := time.Now()
			for _, away := range []time.Duration{time.Minute, 20 * time.Minute} {
				stop := w.liveBy(clock, 1, atOnce)
				time.Sleep(time.Until(told.Add(away)))
				stop()
				require.NoError(t, w.store.Close())
				var err error
				w.store, err = buffer.Open(w.store.Path(), buffer.Options{})
				require.NoError(t, err)
			}
			require.Len(t, w.set(taken), 1, "told once")
			cold := since(time.Unix(0, 0))
			stop := w.liveBy(cold, 1, atOnce)
			time.Sleep(5 * time.Minute)
			stop()
			require.Len(t, w.set(taken), 1, "a handshake, by the clock of a board without a battery")
			stop = w.liveBy(clock, 1, atOnce)
			time.Sleep(2 * later)
			stop()
			calls := w.set(taken)
			require.Len(t, calls, 3)
			require.False(t, calls[0].Before(told.Add(later)))
			require.False(t, calls[2].After(told.Add(later+later/4+3*time.Second)))
			require.ElementsMatch(t, ids, w.order)
		})
	}
}

// After a long outage a head-end that sheds load with a short Retry-After is asked
// then, and not after the hour's pause that the outage left behind.
func TestRetryAfterEndsTheLongPausesOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(unreachable)
		w.items(t, 0, 1)
		stop := w.live(1, atOnce)
		defer stop()
		time.Sleep(10 * time.Hour)
		w.set(func(string) deliver.Result {
			return deliver.Result{Status: 503, Cause: deliver.Answer, RetryAfter: 5 * time.Second, Err: errors.New("503")}
		})
		time.Sleep(2 * time.Hour)
		calls := w.set(taken)
		require.Greater(t, len(calls), 60)
		for i := range calls[1:] {
			require.GreaterOrEqual(t, calls[i+1].Sub(calls[i]), 5*time.Second)
			require.LessOrEqual(t, calls[i+1].Sub(calls[i]), longestAsked)
		}
	})
}

// longestAsked is the longest pause with a short Retry-After.
const longestAsked = time.Minute + time.Second

// One payload that the head-end stumbles over for ever stops no other.
func TestAPayloadThatIsAlwaysAnsweredWrongStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		ids := w.items(t, 0, 20)
		newest := ids[len(ids)-1]
		w.set(taken)
		client := &stumbling{town: w, over: newest}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			agent.RunSender(ctx, "https://headend.test/0", w.store, client, &agent.SystemClock{}, slog.New(slog.DiscardHandler), 0)
		}()
		time.Sleep(10 * time.Minute)
		stop()
		<-done
		require.ElementsMatch(t, ids[:len(ids)-1], w.order)
		require.Greater(t, client.times, 5, "it is tried again for ever")
		require.Less(t, client.times, 10, "and with pauses that double, also when nothing else waits")
	})
}

// A head-end that refuses a whole backlog at once, and a figure each minute for a
// day after it, fills no log.
func TestRefusalsInARowAreFolded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		log := &sharedLog{}
		folded, end := cli.Fold(slog.NewTextHandler(log, nil))
		refused := 0
		w.set(func(string) deliver.Result {
			refused++
			return deliver.Result{Outcome: deliver.Refused, Status: 422, Cause: deliver.Answer, Err: fmt.Errorf("payload %d is not in the contract", refused)}
		})
		w.items(t, 0, 58)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			agent.RunSender(ctx, "https://headend.test/0", w.store, w, &agent.SystemClock{}, slog.New(folded), 0)
		}()
		time.Sleep(30 * time.Minute)
		w.mu.Lock()
		require.Equal(t, 58, refused)
		w.mu.Unlock()
		require.Equal(t, 1, strings.Count(log.String(), "payload 1 is not in the contract"))
		require.Contains(t, log.String(), "repeated=56")
		require.Equal(t, 3, strings.Count(log.String(), "\n"), log.String())
		for n := range 24 * 60 {
			time.Sleep(time.Minute)
			now := time.Now()
			require.NoError(t, w.store.PutItems([]buffer.Item{{ID: fmt.Sprint(n), Endpoint: "https://headend.test/0", Body: []byte("x"), Created: now, NotBefore: now, Due: now}}, nil))
		}
		stop()
		<-done
		end()
		w.mu.Lock()
		require.Greater(t, refused, 58+24*59)
		w.mu.Unlock()
		require.Less(t, strings.Count(log.String(), "\n"), 24*10)
		require.NotContains(t, log.String(), "WARN")
	})
}

// sharedLog is read while others write to it.
type sharedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *sharedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type stumbling struct {
	*town
	over  string
	times int
}

func (s *stumbling) Put(ctx context.Context, endpoint, id string, body []byte) deliver.Result {
	if id == s.over {
		s.times++
		return deliver.Result{Status: 500, Cause: deliver.Answer, Err: errors.New("500 Internal Server Error")}
	}
	return s.town.Put(ctx, endpoint, id, body)
}

// Power comes back to a town: each gateway begins at its own moment of a minute.
// A new one, or one whose agent is started again, begins at once.
func TestGatewaysBeginSpreadWhenPowerIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), b.home.Since().Add(time.Hour))
	b.clock = &agent.SystemClock{}
	seen := map[time.Duration]int{}
	for i := range 100 {
		b.config.Gateway.ID = fmt.Sprintf("ESMG%010d", i)
		b.uptime = 30 * time.Second
		wait := b.agent(false).HoldOff()
		require.Less(t, wait, time.Minute)
		require.Equal(t, wait, b.agent(false).HoldOff(), "the same each time")
		seen[wait.Truncate(10*time.Second)]++
		b.uptime = time.Hour
		require.Zero(t, b.agent(false).HoldOff())
	}
	require.Len(t, seen, 6)
	for _, n := range seen {
		require.Less(t, n, 40)
	}
	fresh := newBench(t)
	fresh.clock = &agent.SystemClock{}
	fresh.uptime = 30 * time.Second
	require.Zero(t, fresh.agent(false).HoldOff())
}

// A waiting sender ends at once when it is told to.
func TestASenderThatHoldsOffStopsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(taken)
		w.items(t, 0, 1)
		began := time.Now()
		stop := w.live(1, func(int) time.Duration { return time.Minute })
		time.Sleep(time.Second)
		stop()
		require.Equal(t, time.Second, time.Since(began))
		require.Empty(t, w.set(taken))
	})
}

// The payload that was tried last keeps its place: an agent that is started
// while the head-end is away sends the newest day first, and none an hour later.
func TestARestartInAnOutageKeepsTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		ids := w.items(t, 0, 3)
		w.set(unreachable)
		stop := w.live(1, atOnce)
		time.Sleep(6 * time.Hour)
		stop()
		w.set(taken)
		stop = w.live(1, atOnce)
		synctest.Wait()
		stop()
		require.Equal(t, []string{ids[2], ids[0], ids[1]}, w.order)
	})
}

// spoil puts something else in the place of a record, as flash does that goes bad.
func (w *town) spoil(t *testing.T, bucket, key string) {
	require.NoError(t, w.store.Close())
	file, err := bolt.Open(w.store.Path(), 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, file.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte("no record")) }))
	require.NoError(t, file.Close())
	w.store, err = buffer.Open(w.store.Path(), buffer.Options{})
	require.NoError(t, err)
}

// A payload whose bytes went bad on flash is set aside and told as a loss, and the
// others are sent.
func TestASpoiltPayloadStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.set(taken)
	ids := w.items(t, 0, 3)
	w.spoil(t, "bodies", ids[1])
	require.NoError(t, agent.StepSender(t.Context(), "https://headend.test/0", w.store, w, nil))
	require.ElementsMatch(t, []string{ids[0], ids[2]}, w.order)
	it, _, err := w.store.Item(ids[1])
	require.NoError(t, err)
	require.Equal(t, buffer.SetAside, it.State)
	losses, err := w.store.Losses()
	require.NoError(t, err)
	require.Len(t, losses, 1)
	require.Equal(t, ids[1], losses[0].Subject)
	require.Equal(t, agent.Damaged, losses[0].Kind)
}

// What replaces a payload whose own record went bad on flash is sent all the same.
func TestADamagedRecordHoldsNoCorrectionBack(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.set(taken)
	id := w.items(t, 0, 1)[0]
	require.NoError(t, w.store.Acknowledge(id, time.Now()))
	anew, found, err := w.store.Item(id)
	require.NoError(t, err)
	require.True(t, found)
	anew.ID, anew.Body, anew.Label = strings.Repeat("f", 32), []byte("anew"), map[string]string{"supersedes": id}
	require.NoError(t, w.store.PutItems([]buffer.Item{anew}, nil))
	w.spoil(t, "items", id)
	require.NoError(t, agent.StepSender(t.Context(), anew.Endpoint, w.store, w, nil))
	require.Equal(t, []string{anew.ID}, w.order)
}

// A disk that was full when a loss was to be marked as told is in trouble no more
// when the queue is empty and the store takes all.
func TestASenderForgetsTheStoresTrouble(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.set(taken)
	require.NoError(t, agent.StepSender(t.Context(), "https://headend.test/0", w.store, w, buffer.ErrFull))
}
