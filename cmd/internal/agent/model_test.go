package agent_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/obis"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// TestEverythingAtRandom drives a gateway (the real wiring over a real store), its
// head-end, its clock, its meter's line and faults of all of them through random
// steps, and holds what comes of it against a model that is as simple as the
// promise: whoever is entitled gets what the readings say, once, and nobody else
// anything.
//
// AGENT_STEPS is about how many steps (400; make model has 10,000). What fails is
// shrunk and written to testdata/rapid, from where it is run again each time.
func TestEverythingAtRandom(t *testing.T) {
	const stepsOfARun = 40
	steps := 400
	if text := os.Getenv("AGENT_STEPS"); text != "" {
		var err error
		steps, err = strconv.Atoi(text)
		require.NoError(t, err, "AGENT_STEPS")
	}
	setFlag(t, "rapid.steps", strconv.Itoa(stepsOfARun))
	if !given("rapid.checks") {
		setFlag(t, "rapid.checks", strconv.Itoa(max(1, steps/stepsOfARun)))
	}
	dir := quickDir(t)
	runs := 0
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		runs++
		w := newWorld(t, filepath.Join(dir, fmt.Sprint(runs)), done)
		defer w.end()
		t.Repeat(map[string]func(*rapid.T){
			"":                         w.check,
			"time passes":              w.timePasses,
			"line pulled":              w.linePulled,
			"telegrams off their time": w.ragged,
			"meter exchanged":          w.exchange,
			"clock":                    w.clockChanges,
			"head-end":                 w.headEndChanges,
			"acknowledgements lost":    w.acknowledgementsLost,
			"restart":                  w.restart,
			"power cut":                w.powerCut,
			"power cut in a delivery":  w.powerCutInADelivery,
			"event told":               w.eventTold,
			"late import":              w.lateImport,
			"factor changed":           w.factorChanges,
			"tried again by a person":  w.retry,
		})
		w.allIsWell()
	})
	for name, n := range done {
		t.Logf("%-28s %d", name, n)
	}
}

// setFlag sets a flag until the test ends.
func setFlag(t *testing.T, name, value string) {
	before := flag.Lookup(name).Value.String()
	require.NoError(t, flag.Set(name, value))
	t.Cleanup(func() { require.NoError(t, flag.Set(name, before)) })
}

// given reports whether a flag is on the command line.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// world is a gateway and all that is round it.
type world struct {
	t      *rapid.T
	dir    string
	done   map[string]int // what happened, and how often
	config *config.Config
	key    *ecdsa.PrivateKey
	store  *buffer.Store
	line   *feed
	agent  *agent.Agent
	ended  chan error // of the agent that runs

	// The truth.
	zero  time.Time // of the meter's count of seconds
	now   time.Time // of the last telegram
	meter *sim.Meter
	clock *worldClock
	truth map[string]*sim.Meter // by device

	gap     meter.Quarter                    // where the line was last pulled; 0: not since an import
	gapEnd  meter.Quarter                    // and where it was back
	gapOf   *sim.Meter                       // the meter behind it
	must    map[meter.Quarter]meter.DeviceID // boundaries whose readings must be kept, and are not checked yet
	checked meter.Quarter                    // up to which all is checked

	// The head-end.
	mu      sync.Mutex
	mode    string
	lose    int // acknowledgements
	cut     bool
	dead    bool // the power is off: nothing is written and nothing sent any more
	frozen  []byte
	books   map[string]delivery
	order   []string
	refused map[string]bool
}

type delivery struct {
	encoded []byte
	payload *form.Payload
	at      time.Time
}

// worldClock is stepped by the telegrams, and of a quality that changes.
type worldClock struct {
	*agent.SteppedClock
	mu      sync.Mutex
	quality meter.ClockQuality
	changed time.Time // when it last did
}

// right reports whether it is synchronised, and long enough for nobody to doubt it.
func (c *worldClock) right(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quality == meter.ClockSynchronised && now.Sub(c.changed) > 2*time.Hour
}

func (c *worldClock) judge(s meter.Stamp) meter.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Quality = c.quality
	return s
}

func (c *worldClock) Now() meter.Stamp { return c.judge(c.SteppedClock.Now()) }
func (c *worldClock) Received(t *meter.Telegram) meter.Stamp {
	return c.judge(c.SteppedClock.Received(t))
}

// feed is a meter's line that the test fills, and that tells when all is read.
type feed struct {
	next chan []byte
	idle chan struct{}
	rest []byte
}

func (f *feed) Open(context.Context) (io.ReadCloser, error) { return io.NopCloser(f), nil }
func (f *feed) Live() bool                                  { return false }
func (f *feed) String() string                              { return "feed" }

func (f *feed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		f.idle <- struct{}{}
		rest, ok := <-f.next
		if !ok {
			return 0, io.EOF
		}
		f.rest = rest
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func newWorld(t *rapid.T, dir string, done map[string]int) *world {
	require.NoError(t, os.MkdirAll(dir, 0o700))
	w := &world{t: t, dir: dir, done: done, books: map[string]delivery{}, refused: map[string]bool{}, truth: map[string]*sim.Meter{}, must: map[meter.Quarter]meter.DeviceID{}, mode: "sound"}
	var err error
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	day := form.Date{Year: 2026, Month: time.Month(rapid.IntRange(1, 12).Draw(t, "month")), Day: rapid.IntRange(1, 28).Draw(t, "day")}
	w.zero = day.At(rapid.IntRange(0, 23).Draw(t, "hour"), 0)
	w.now = w.zero
	w.configure(1)
	w.clock = &worldClock{SteppedClock: agent.NewSteppedClock(w.zero), quality: meter.ClockSynchronised}
	w.built("\x0a\x01SIM\x00\x00\x00\x00\x01", 7)
	w.open()
	w.begin()
	w.play(meter.QuarterLength, 4)
	return w
}

// configure writes the file of a contract with a transformer factor, and reads it.
func (w *world) configure(factor int) {
	text := fmt.Sprintf("[gateway]\nid = \"ESMG0000000001\"\nstate_dir = %q\n[[meter]]\nport = \"/dev/reader\"\n[headend]\nendpoint = \"https://headend.test\"\n", w.dir) +
		fmt.Sprintf(modelContract, factor)
	path := filepath.Join(w.dir, "smgw.toml")
	require.NoError(w.t, os.WriteFile(path, []byte(text), 0o600))
	var err error
	w.config, err = config.Load(path)
	require.NoError(w.t, err)
}

const modelContract = `
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"
transformer_factor = %d

[[market_location]]
malo = "41373559241"
direction = "draw"
class = "B"
receiver = [
    { role = "LF", partner_id = "9900357000004", endpoint = "https://supplier.test" },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
]

[[market_location]]
malo = "51238696781"
direction = "feed_in"
receiver = [
    { role = "LF", partner_id = "9900357000035" },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
    { role = "AB", partner_id = "9900357000042" },
]
`

// built puts another device behind the line.
func (w *world) built(device meter.DeviceID, seed uint64) {
	home := sim.NewHousehold(sim.Options{Seed: seed, Since: w.zero, RoofPeak: 8000, Initial: sim.Registers{Drawn: sim.Energy(seed) * sim.KilowattHour}})
	w.meter = sim.NewMeter(home, sim.Models[0], device)
	w.truth[device.String()] = w.meter
}

func (w *world) open() {
	var err error
	w.store, err = buffer.Open(filepath.Join(w.dir, "store.db"), buffer.Options{})
	require.NoError(w.t, err)
}

// begin starts an agent, and returns when it waits for telegrams.
func (w *world) begin() {
	w.line = &feed{next: make(chan []byte), idle: make(chan struct{})}
	a, err := agent.New(agent.Options{
		Config: w.config, Store: w.store, Signer: w.key, KeyID: []byte("key"), Client: w, Lamps: &lamps{}, Clock: w.clock,
		Log: slog.New(slog.DiscardHandler), InStep: true,
		Source: func(string) (meter.Source, error) { return w.line, nil },
	})
	require.NoError(w.t, err)
	w.agent = a
	w.ended = make(chan error, 1)
	go func(ended chan error) { ended <- a.Run(context.Background()) }(w.ended)
	<-w.line.idle
}

// stop ends the agent as SIGTERM does.
func (w *world) stop() {
	close(w.line.next)
	require.NoError(w.t, <-w.ended)
}

func (w *world) end() {
	w.stop()
	require.NoError(w.t, w.store.Close())
	os.RemoveAll(w.dir)
}

// play lets n telegrams pass, each a pause after the one before.
func (w *world) play(pause time.Duration, n int) {
	for range n {
		w.now = w.now.Add(pause)
		w.line.next <- w.meter.AppendTelegram(nil, w.now)
		<-w.line.idle
		if w.dead {
			w.revive()
			return
		}
		// Read at a boundary, by a clock that is right and has been for a while.
		if w.clock.right(w.now) && meter.QuarterOf(w.now).Time().Equal(w.now) {
			w.must[meter.QuarterOf(w.now)] = w.meter.Device
		}
	}
}

// quarterly goes on to the next boundary, and then from one to the next.
func (w *world) quarterly(n int) {
	next := meter.QuarterOf(w.now).Next().Time()
	w.play(next.Sub(w.now), 1)
	w.play(meter.QuarterLength, n-1)
}

func (w *world) did(t *rapid.T, what string) {
	w.t = t
	w.done[what]++
}

func (w *world) timePasses(t *rapid.T) {
	w.did(t, "quarter hours pass")
	w.quarterly(rapid.IntRange(1, 200).Draw(t, "quarters"))
}

func (w *world) linePulled(t *rapid.T) {
	w.did(t, "the line is pulled")
	minutes := rapid.OneOf(rapid.IntRange(1, 90), rapid.IntRange(90, 4*24*60), rapid.IntRange(4*24*60, 40*24*60)).Draw(t, "minutes")
	w.gap, w.gapOf = meter.QuarterOf(w.now).Next(), w.meter
	w.play(time.Duration(minutes)*time.Minute, 1)
	w.gapEnd = meter.QuarterOf(w.now)
}

// eventTold is a technician who says that parameters change or changed.
func (w *world) eventTold(t *rapid.T) {
	w.did(t, "an event is told")
	at := form.DateOf(w.now).AddDays(rapid.IntRange(0, 2).Draw(t, "days")).Midnight()
	if at < w.history().Versions[0].From {
		return
	}
	query := url.Values{"kind": {form.ParametersChanged.String()}, "at": {at.String()}, "malo": {rapid.SampledFrom([]string{"41373559241", "51238696781"}).Draw(t, "malo")}}
	var e control.Event
	require.NoError(t, inside(w.agent).Do(context.Background(), http.MethodPost, control.EventsPath+"?"+query.Encode(), &e))
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

// lateImport brings what the meter itself remembers of the last gap.
func (w *world) lateImport(t *rapid.T) {
	if w.gap == 0 || w.gapEnd < w.gap || w.gapOf != w.meter {
		return
	}
	w.did(t, "a gap is filled by hand")
	var table strings.Builder
	table.WriteString("time,obis,value,unit,state,offset_ms,server_id\n")
	for q := w.gap; q < w.gapEnd; q++ {
		for code, value := range w.meter.Shows(q.Time()) {
			if code == obis.Drawn || code == obis.FedIn {
				fmt.Fprintf(&table, "%s,%s,%s,Wh,true,0,%s\n", q, code.Short(), value, w.meter.Device)
			}
		}
	}
	var done control.Imported
	require.NoError(t, inside(w.agent).Send(context.Background(), control.ImportPath, strings.NewReader(table.String()), &done))
	w.gap = 0
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

func (w *world) ragged(t *rapid.T) {
	w.did(t, "telegrams off their time")
	off := rapid.SampledFrom([]time.Duration{-40, -20, -5, 5, 12, 26, 28, 300}).Draw(t, "seconds") * time.Second
	next := meter.QuarterOf(w.now.Add(time.Minute)).Next().Time().Add(off)
	if next.After(w.now) {
		w.play(next.Sub(w.now), 1)
		w.play(meter.QuarterLength, rapid.IntRange(0, 8).Draw(t, "n"))
	}
}

func (w *world) exchange(t *rapid.T) {
	w.did(t, "the meter is exchanged")
	n := len(w.truth) + 1
	w.built(meter.DeviceID(fmt.Sprintf("\x0a\x01SIM\x00\x00\x00\x00%c", n)), uint64(n)*13)
	w.quarterly(rapid.IntRange(1, 8).Draw(t, "quarters"))
}

func (w *world) clockChanges(t *rapid.T) {
	w.did(t, "the clock's quality changes")
	w.clock.mu.Lock()
	w.clock.changed = w.now
	if w.clock.quality == meter.ClockSynchronised {
		w.clock.quality = meter.ClockUnsynchronised
	} else {
		w.clock.quality = meter.ClockSynchronised
	}
	w.clock.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 8).Draw(t, "quarters"))
}

func (w *world) headEndChanges(t *rapid.T) {
	w.did(t, "the head-end changes")
	w.mu.Lock()
	w.mode = rapid.SampledFrom([]string{"sound", "down", "500", "429", "301", "refuses", "supplier down"}).Draw(t, "mode")
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 30).Draw(t, "quarters"))
}

func (w *world) acknowledgementsLost(t *rapid.T) {
	w.did(t, "acknowledgements are lost")
	w.mu.Lock()
	w.lose = rapid.IntRange(1, 5).Draw(t, "n")
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 60).Draw(t, "quarters"))
}

func (w *world) restart(t *rapid.T) {
	w.did(t, "a clean restart")
	w.stop()
	require.NoError(t, w.store.Close())
	w.open()
	w.begin()
}

// powerCut leaves the file as it is on the medium; what only memory knows is gone.
func (w *world) powerCut(t *rapid.T) {
	w.did(t, "power cuts")
	w.mu.Lock()
	w.freeze()
	w.mu.Unlock()
	w.revive()
}

// powerCutInADelivery strikes while the head-end has the next payload in its hands,
// which it has stored.
func (w *world) powerCutInADelivery(t *rapid.T) {
	w.did(t, "power cuts in a delivery")
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
	w.mu.Lock()
	w.cut = false
	w.mu.Unlock()
}

// freeze is the moment at which the power goes. w.mu is held.
func (w *world) freeze() {
	delete(w.must, meter.QuarterOf(w.now)) // it may be decided in memory only
	var err error
	w.frozen, err = os.ReadFile(filepath.Join(w.dir, "store.db"))
	require.NoError(w.t, err)
	w.dead = true
}

// revive starts the agent again over what the power cut has left.
func (w *world) revive() {
	w.stop()
	require.NoError(w.t, w.store.Close())
	path := filepath.Join(w.dir, "store.db")
	require.NoError(w.t, os.WriteFile(path, w.frozen, 0o600))
	require.NoError(w.t, buffer.Check(path))
	w.mu.Lock()
	w.dead, w.cut, w.frozen = false, false, nil
	w.mu.Unlock()
	w.open()
	w.begin()
}

// factorChanges gives the agent a file with another transformer factor, which
// holds from the next midnight on.
func (w *world) factorChanges(t *rapid.T) {
	w.did(t, "the contract changes")
	w.configure(rapid.IntRange(1, 3).Draw(t, "factor"))
	w.restart(t)
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

// retry is a person who has what was set aside sent again.
func (w *world) retry(t *rapid.T) {
	w.t = t
	var aside []string
	require.NoError(t, w.store.Items(func(it buffer.Item) bool {
		if it.State == buffer.SetAside {
			aside = append(aside, it.ID)
		}
		return true
	}))
	for _, id := range aside {
		w.done["tried again by a person"]++
		require.NoError(t, w.store.Retry(id, w.now))
	}
}

// Reach and Put are the head-end.
func (w *world) Reach(context.Context, string) error { return nil }

func (w *world) Put(_ context.Context, endpoint, id string, body []byte) deliver.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := func(status int, later time.Duration, why string) deliver.Result {
		w.done["answer: "+why]++
		return deliver.Result{Status: status, Cause: deliver.Answer, RetryAfter: later, Err: errors.New(why)}
	}
	switch {
	case w.dead:
		return failed(0, 0, "the power is off")
	case w.mode == "down", w.mode == "supplier down" && endpoint == "https://supplier.test":
		return failed(0, 0, "connection refused")
	case w.mode == "500":
		return failed(500, 0, "500")
	case w.mode == "301":
		return failed(301, 0, "301")
	case w.mode == "429":
		return failed(429, 40*time.Minute, "429")
	case w.mode == "refuses":
		w.done["answer: refused for good"]++
		w.refused[id] = true
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Cause: deliver.Answer, Err: errors.New("no")}
	}
	result := w.take(endpoint, id, body)
	switch {
	case w.cut:
		w.freeze()
		return failed(0, 0, "the power went")
	case w.lose > 0:
		w.lose--
		return failed(0, 0, "acknowledgement lost")
	}
	return result
}

// take is what docs/headend.md demands of a head-end. w.mu is held.
func (w *world) take(endpoint, id string, body []byte) deliver.Result {
	encoded, err := wire.Verify(body, &w.key.PublicKey)
	require.NoError(w.t, err)
	p, err := wire.Decode(encoded)
	require.NoError(w.t, err)
	require.Equal(w.t, wire.ID(p), id)
	if have, known := w.books[id]; known {
		require.True(w.t, bytes.Equal(have.encoded, encoded), "%s again, with other content", id)
		w.done["answer: 200"]++
		return deliver.Result{Outcome: deliver.AlreadyStored, Status: 200}
	}
	require.NoError(w.t, w.history().Permits(p), "row %d for %s", p.Row, p.To)
	require.False(w.t, w.now.Before(p.Period.To.Time()), "row %d came at %s, before its period %s ended", p.Row, w.now, p.Period)
	require.Equal(w.t, p.To == form.LF && p.MaLo.String() == "41373559241", endpoint == "https://supplier.test", "row %d for %s went to %s", p.Row, p.To, endpoint)
	w.books[id] = delivery{encoded, p, w.now}
	w.order = append(w.order, id)
	w.done["answer: 201"]++
	return deliver.Result{Outcome: deliver.Stored, Status: 201}
}

// history is the contracts that the agent says held.
func (w *world) history() *form.History {
	stored, err := w.store.Contracts()
	require.NoError(w.t, err)
	versions, err := agent.ParseVersions(stored)
	require.NoError(w.t, err)
	return &form.History{Versions: versions}
}

// check is what holds at any time: each reading that is kept is what that meter
// showed at that instant, none is missing that must be there, and the journal is
// whole.
func (w *world) check(t *rapid.T) {
	w.t = t
	require.NoError(t, w.store.VerifyJournal())
	kept := map[meter.Quarter]meter.DeviceID{}
	for _, r := range w.readings(w.checked-1, meter.QuarterOf(w.now)) {
		kept[r.Boundary] = r.Device
		shown := w.truth[r.Device.String()].Shows(r.Boundary.Time().Add(r.Offset))
		for _, v := range r.Registers {
			require.True(t, shown[v.Code].Equal(v.Value), "%s at %s%+v: kept %s, it was %s", v.Code.Short(), r.Boundary, r.Offset, v.Value, shown[v.Code])
		}
	}
	for q, device := range w.must {
		if q < meter.QuarterOf(w.now) { // the last one may not be decided yet
			require.Equal(t, device, kept[q], "the reading at %s", q)
			delete(w.must, q)
		}
	}
	w.checked = meter.QuarterOf(w.now) - 1
}

func (w *world) readings(from, to meter.Quarter) []meter.BoundaryReading {
	readings, err := w.store.Boundaries("main", max(0, from), to)
	require.NoError(w.t, err)
	return readings
}

// allIsWell mends everything, lets days pass, and holds what the head-end has
// against what the readings say it must have.
func (w *world) allIsWell() {
	t := w.t
	w.mu.Lock()
	w.mode, w.lose, w.cut = "sound", 0, false
	w.mu.Unlock()
	w.clock.mu.Lock()
	w.clock.quality = meter.ClockSynchronised
	w.clock.changed = w.now
	w.clock.mu.Unlock()
	w.quarterly(8)
	w.check(t)
	w.retry(t)
	w.quarterly(6 * 96)                                                                   // past the long weekends, and the pauses of all that failed
	w.quarterly(int(form.DateOf(w.now).AddDays(2).Midnight()-meter.QuarterOf(w.now)) - 2) // late in an evening
	w.check(t)
	require.NoError(t, w.store.Flush())

	require.NoError(t, w.store.Items(func(it buffer.Item) bool {
		require.Equal(t, buffer.Acknowledged, it.State, "at %s: %s, from %s, due %s, made %s %v: %s", w.now, it.ID, it.NotBefore, it.Due, it.Created, it.Label, it.LastError)
		_, there := w.books[it.ID]
		require.True(t, there, "%s %v: acknowledged, and not in the head-end's books", it.ID, it.Label)
		return true
	}))

	// What must be there, each once, in its last revision.
	type what struct {
		row    form.RowNumber
		malo   form.MarketLocationID
		to     form.Role
		period form.Period
	}
	h := w.history()
	revisions := map[what][]string{}
	for _, id := range w.order {
		p := w.books[id].payload
		key := what{p.Row, p.MaLo, p.To, p.Period}
		n := len(revisions[key])
		if n > 0 && p.Revision < w.books[revisions[key][n-1]].payload.Revision {
			require.True(t, w.refused[id], "%v: revision %d came after the one that supersedes it", key, p.Revision)
		}
		revisions[key] = append(revisions[key], id)
	}
	last := map[what]*form.Payload{}
	for key, ids := range revisions {
		slices.SortStableFunc(ids, func(a, b string) int { return w.books[a].payload.Revision - w.books[b].payload.Revision })
		for i, id := range ids {
			p := w.books[id].payload
			require.Equal(t, i, p.Revision, "%v", key)
			if i > 0 {
				require.Equal(t, ids[i-1], p.Supersedes, "%v", key)
			}
			last[key] = p
		}
	}
	first := h.Versions[0].From
	for _, d := range h.Plan(form.DateOf(first.Time()), form.DateOf(w.now)) {
		if d.Period.To > form.DateOf(w.now).Midnight() {
			continue
		}
		key := what{d.Row, d.MaLo, d.To, d.Period}
		p := last[key]
		require.NotNil(t, p, "row %d of %s for %s, %s, due %s: never came", d.Row, d.MaLo, d.To, d.Period, d.At)
		diff, err := h.Verify(p, w.readings(d.Period.From-62*96, d.Period.To))
		require.NoError(t, err)
		if diff != nil {
			require.Fail(t, "not what the readings say", "row %d of %s for %s, %s, revision %d: it says %+v, the readings %+v", d.Row, d.MaLo, d.To, d.Period, p.Revision, diff.Payload, diff.Readings)
		}
		delete(last, key)
	}
	for key := range last {
		require.True(t, key.row == 2 || key.row == 3, "nobody asked for %v", key)
	}
}
