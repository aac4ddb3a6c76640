package agent_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
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
	"golang.org/x/sys/unix"
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
	const stepsOfARun = 40 // about
	steps := 400
	if text := os.Getenv("AGENT_STEPS"); text != "" {
		var err error
		steps, err = strconv.Atoi(text)
		require.NoError(t, err, "AGENT_STEPS")
	} else if !given("rapid.seed") {
		setFlag(t, "rapid.seed", "1") // the same lives each time: make model draws others
	}
	setFlag(t, "rapid.steps", strconv.Itoa(stepsOfARun))
	if !given("rapid.checks") {
		setFlag(t, "rapid.checks", strconv.Itoa(max(1, steps/stepsOfARun)))
	}
	dir := quickDir(t)
	small := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=48m")
	if small == nil {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	} else {
		t.Logf("the disk is never full, for want of a small one: mounting a tmpfs: %v", small)
	}
	runs := 0
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		runs++
		w := newWorld(t, filepath.Join(dir, fmt.Sprint(runs)), done)
		defer w.end()
		w.small = small == nil
		actions := map[string]func(*rapid.T){
			"":                         w.check,
			"time passes":              w.timePasses,
			"line pulled":              w.linePulled,
			"telegrams off their time": w.ragged,
			"meter exchanged":          w.exchange,
			"noise":                    w.noise,
			"clock":                    w.clockChanges,
			"clock set by hand":        w.clockSetByHand,
			"clock lies":               w.clockLies,
			"head-end":                 w.headEndChanges,
			"supplier":                 w.supplierChanges,
			"disk full":                w.diskFull,
			"acknowledgements lost":    w.acknowledgementsLost,
			"restart":                  w.restart,
			"power cut":                w.powerCut,
			"power cut in a delivery":  w.powerCutInADelivery,
			"event told":               w.eventTold,
			"late import":              w.lateImport,
			"contract changed":         w.contractChanges,
			"tried again by a person":  w.retry,
		}
		for name, do := range actions {
			if name != "" {
				actions[name] = func(t *rapid.T) { done["steps"]++; do(t) }
			}
		}
		t.Repeat(actions)
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
	held    map[meter.Quarter]meter.DeviceID // those whose readings must be kept when the clock is right again
	checked meter.Quarter                    // up to which all is checked
	seen    map[string]meter.BoundaryReading // all that was ever kept: on a full disk what nobody needs gives way

	lost   int    // readings, that had to be kept
	small  bool   // the disk is, and can be filled
	factor int    // of the contract
	lf     string // the supplier of the contract

	// The head-end.
	mu      sync.Mutex
	mode    string
	away    bool                 // the supplier's endpoints are
	lose    int                  // acknowledgements
	sound   map[string]time.Time // since when an endpoint takes everything, where it does
	wrong   string               // what it complains about
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

// worldClock is stepped by the telegrams, wrong at times, and of a quality that changes.
type worldClock struct {
	truth   func() time.Time
	mu      sync.Mutex
	quality meter.ClockQuality
	ahead   time.Duration // of the truth
	changed time.Time     // when one of the two last did
	booted  time.Time     // from when on the host counts
}

// set sets it at an instant.
func (c *worldClock) set(now time.Time, quality meter.ClockQuality, ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quality, c.ahead, c.changed = quality, ahead, now
}

// right reports whether it is right, and was long enough for nobody to doubt it.
func (c *worldClock) right(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quality == meter.ClockSynchronised && c.ahead == 0 && now.Sub(c.changed) > 2*time.Hour
}

func (c *worldClock) Now() meter.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return meter.Stamp{Time: c.truth().Add(c.ahead), Quality: c.quality, Elapsed: c.truth().Sub(c.booted) + time.Second}
}

func (c *worldClock) Received(*meter.Telegram) meter.Stamp { return c.Now() }

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
	w := &world{t: t, dir: dir, done: done, books: map[string]delivery{}, refused: map[string]bool{}, truth: map[string]*sim.Meter{}, must: map[meter.Quarter]meter.DeviceID{}, held: map[meter.Quarter]meter.DeviceID{}, seen: map[string]meter.BoundaryReading{}, mode: "sound", sound: map[string]time.Time{}}
	var err error
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	day := form.Date{Year: 2026, Month: time.Month(rapid.IntRange(1, 12).Draw(t, "month")), Day: rapid.IntRange(1, 28).Draw(t, "day")}
	w.zero = day.At(rapid.IntRange(0, 23).Draw(t, "hour"), 0)
	w.now = w.zero
	w.configure(1, suppliers[0])
	w.clock = &worldClock{truth: func() time.Time { return w.now }, quality: meter.ClockSynchronised, booted: w.zero}
	w.built("\x0a\x01SIM\x00\x00\x00\x00\x01", 7)
	w.open()
	w.begin()
	w.play(meter.QuarterLength, 4)
	return w
}

// suppliers are those that the contract may name.
var suppliers = []string{"9900357000004", "9900357000059"}

// endpointOf is where a supplier listens.
func endpointOf(supplier string) string { return "https://" + supplier + ".test" }

// configure writes the file of a contract with a transformer factor and a
// supplier, and reads it.
func (w *world) configure(factor int, lf string) {
	w.factor, w.lf = factor, lf
	text := fmt.Sprintf("[gateway]\nid = \"ESMG0000000001\"\nstate_dir = %q\n[[meter]]\nport = \"/dev/reader\"\n[headend]\nendpoint = \"https://headend.test\"\n", w.dir) +
		fmt.Sprintf(modelContract, factor, lf, endpointOf(lf))
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
    { role = "LF", partner_id = "%s", endpoint = %q },
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
	clear(w.held) // was in memory only, perhaps
	close(w.line.next)
	require.NoError(w.t, <-w.ended)
}

func (w *world) end() {
	os.Remove(w.ballast())
	w.stop()
	require.NoError(w.t, w.store.Close())
	os.RemoveAll(w.dir)
}

// play lets n telegrams pass, each a pause after the one before.
func (w *world) play(pause time.Duration, n int) {
	for range n {
		w.now = w.now.Add(pause)
		if !w.hear(w.meter.AppendTelegram(nil, w.now)) {
			return
		}
		w.boundaryRead()
	}
}

// hear lets the agent read what the line brings, and is false where the power
// went meanwhile.
func (w *world) hear(line []byte) bool {
	w.line.next <- line
	<-w.line.idle
	w.mu.Lock()
	dead, wrong := w.dead, w.wrong
	w.mu.Unlock()
	if wrong != "" {
		require.Fail(w.t, "the head-end complains", wrong)
	}
	if dead {
		w.revive()
	}
	return !dead
}

// boundaryRead notes what must come of the telegram that was just read, where it
// is one of a boundary: by a clock that is right and has been for a while, or by
// one that will be before the power goes.
func (w *world) boundaryRead() {
	q := meter.QuarterOf(w.now)
	if !q.Time().Equal(w.now) {
		return
	}
	if !w.clock.right(w.now) {
		w.held[q] = w.meter.Device
		return
	}
	w.must[q] = w.meter.Device
	for held := range w.held {
		if q-held > 7*96 { // memory holds a week
			clear(w.held)
		}
	}
	for q, device := range w.held {
		w.must[q] = device
	}
	clear(w.held)
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
	if w.clock.ahead != 0 {
		return
	}
	w.did(t, "an event is told")
	at := form.DateOf(w.now).AddDays(rapid.IntRange(0, 2).Draw(t, "days")).Midnight()
	if at < w.history(t).Versions[0].From {
		return
	}
	query := url.Values{"kind": {form.ParametersChanged.String()}, "at": {at.String()}, "malo": {rapid.SampledFrom([]string{"41373559241", "51238696781"}).Draw(t, "malo")}}
	var e control.Event
	require.NoError(t, inside(w.agent).Do(context.Background(), http.MethodPost, control.EventsPath+"?"+query.Encode(), &e))
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

// lateImport brings what the meter itself remembers of the last gap.
func (w *world) lateImport(t *rapid.T) {
	if w.gap == 0 || w.gapEnd < w.gap || w.gapOf != w.meter || w.clock.ahead != 0 {
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
	w.checked, w.gap = min(w.checked, w.gap), 0
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

// noise is a line on which some telegrams are damaged.
func (w *world) noise(t *rapid.T) {
	w.did(t, "noise on the line")
	for range rapid.IntRange(1, 12).Draw(t, "telegrams") {
		w.now = meter.QuarterOf(w.now).Next().Time()
		line := w.meter.AppendTelegram(nil, w.now)
		n := rapid.IntRange(0, len(line)-1).Draw(t, "at")
		sound := false
		switch rapid.SampledFrom([]string{"a bit", "an end", "a beginning", "nothing", "before it"}).Draw(t, "what is lost") {
		case "a bit":
			line[n] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "an end":
			line = line[:max(n, 1)]
		case "a beginning":
			line = line[n:]
			sound = n == 0
		case "nothing":
			sound = true
		case "before it":
			line = append(bytes.Repeat([]byte{byte(n)}, n), line...)
			sound = true
		}
		if !w.hear(line) {
			return
		}
		if sound {
			w.boundaryRead()
		}
	}
}

// clockChanges is a time service that begins or ceases to set the clock.
func (w *world) clockChanges(t *rapid.T) {
	w.did(t, "the clock's quality changes")
	if w.clock.quality == meter.ClockSynchronised {
		w.clock.set(w.now, meter.ClockUnsynchronised, w.clock.ahead)
	} else {
		w.clock.set(w.now, meter.ClockSynchronised, 0)
	}
	w.quarterly(rapid.IntRange(1, 8).Draw(t, "quarters"))
}

// jump is by how much a clock is set wrong: minutes, hours or days, ahead or back.
func jump(t *rapid.T) time.Duration {
	minutes := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(60, 24*60), rapid.IntRange(24*60+1, 200*24*60)).Draw(t, "minutes")
	if rapid.Bool().Draw(t, "back") {
		minutes = -minutes
	}
	return time.Duration(minutes) * time.Minute
}

// clockSetByHand is a clock that nobody vouches for any more, and wrong until the
// time service gets through again.
func (w *world) clockSetByHand(t *rapid.T) {
	w.did(t, "the clock is set by hand")
	w.clock.set(w.now, meter.ClockUnsynchronised, jump(t))
	w.quarterly(rapid.IntRange(1, 40).Draw(t, "quarters"))
}

// clockLies is a clock that was right, and that for a while is wrong and calls
// itself synchronised: not so long that it must be believed (docs/time.md).
func (w *world) clockLies(t *rapid.T) {
	w.quarterly(1)
	if !w.clock.right(w.now) {
		return
	}
	w.did(t, "the clock lies")
	ahead := jump(t)
	w.clock.set(w.now, meter.ClockSynchronised, ahead)
	if ahead.Abs() > 24*time.Hour {
		w.quarterly(rapid.IntRange(1, 2*96).Draw(t, "quarters"))
	} else {
		w.play(w.now.Truncate(time.Minute).Add(time.Minute).Sub(w.now), 1)
		w.play(time.Minute, rapid.IntRange(1, 28).Draw(t, "for"))
	}
	w.clock.set(w.now, meter.ClockSynchronised, 0)
	w.quarterly(rapid.IntRange(1, 16).Draw(t, "quarters"))
}

func (w *world) headEndChanges(t *rapid.T) {
	w.did(t, "the head-end changes")
	w.mu.Lock()
	w.mode = rapid.SampledFrom([]string{"sound", "down", "500", "429", "301", "refuses"}).Draw(t, "mode")
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 30).Draw(t, "quarters"))
}

// supplierChanges is a supplier's endpoint that dies, or is there again.
func (w *world) supplierChanges(t *rapid.T) {
	w.did(t, "the supplier's endpoint dies, or is back")
	w.mu.Lock()
	w.away = !w.away
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 200).Draw(t, "quarters"))
}

func (w *world) ballast() string { return filepath.Join(w.dir, "ballast") }

// diskFull is a disk that has no room for a while, sometimes for longer than
// memory holds.
func (w *world) diskFull(t *rapid.T) {
	if !w.small {
		return
	}
	w.did(t, "the disk is full")
	fill(t, w.ballast())
	quarters := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 700)).Draw(t, "quarters")
	for ; quarters > 48; quarters -= 48 {
		w.quarterly(48)
		w.look() // before it gives way
	}
	w.quarterly(quarters)
	require.NoError(t, os.Remove(w.ballast()))
	w.quarterly(2)
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
// Many a clock is wrong when the power is back.
func (w *world) powerCut(t *rapid.T) {
	w.did(t, "power cuts")
	w.mu.Lock()
	w.freeze(t)
	w.mu.Unlock()
	off := time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes off")) * time.Minute
	switch rapid.SampledFrom([]string{"a battery", "none", "stood still"}).Draw(t, "the clock has") {
	case "none":
		w.clock.set(w.now, meter.ClockUnsynchronised, time.Unix(0, 0).Sub(w.now.Add(off)))
	case "stood still":
		w.clock.set(w.now, meter.ClockUnsynchronised, w.clock.ahead-off)
	}
	w.now = w.now.Add(off)
	w.clock.booted = w.now
	clear(w.sound) // nothing could leave
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
func (w *world) freeze(t require.TestingT) {
	delete(w.must, meter.QuarterOf(w.now)) // it may be decided in memory only
	var err error
	w.frozen, err = os.ReadFile(filepath.Join(w.dir, "store.db"))
	require.NoError(t, err)
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

// contractChanges gives the agent a file with another transformer factor or
// another supplier, which holds from the next midnight on.
func (w *world) contractChanges(t *rapid.T) {
	factor, lf := w.factor, w.lf
	if rapid.Bool().Draw(t, "supplier") {
		w.did(t, "the supplier changes")
		lf = rapid.SampledFrom(suppliers).Draw(t, "LF")
	} else {
		w.did(t, "the transformer changes")
		factor = rapid.IntRange(1, 3).Draw(t, "factor")
	}
	w.configure(factor, lf)
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

func (w *world) Put(_ context.Context, endpoint, id string, body []byte) (result deliver.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := func(status int, later time.Duration, why string) deliver.Result {
		w.done["answer: "+why]++
		delete(w.sound, endpoint)
		return deliver.Result{Status: status, Cause: deliver.Answer, RetryAfter: later, Err: errors.New(why)}
	}
	defer func() {
		if result.Status != 0 {
			result.Date = w.now
		}
		if w.wrong != "" {
			recover()
			result = failed(0, 0, "a complaint")
		}
	}()
	switch {
	case w.dead:
		return failed(0, 0, "the power is off")
	case w.mode == "down", w.away && slices.ContainsFunc(suppliers, func(lf string) bool { return endpoint == endpointOf(lf) }):
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
	complain := (*complaint)(w)
	result = w.take(complain, endpoint, id, body)
	switch {
	case w.cut:
		w.freeze(complain)
		return failed(0, 0, "the power went")
	case w.lose > 0:
		w.lose--
		return failed(0, 0, "acknowledgement lost")
	}
	return result
}

// complaint keeps what the head-end finds wrong until the telegram is over: the
// agent asks it, and a test fails in its own goroutine only.
type complaint world

func (c *complaint) Errorf(format string, args ...any) { c.wrong += fmt.Sprintf(format, args...) }
func (c *complaint) FailNow()                          { panic(c.wrong) }

// take is what docs/headend.md demands of a head-end. w.mu is held.
func (w *world) take(t require.TestingT, endpoint, id string, body []byte) deliver.Result {
	encoded, err := wire.Verify(body, &w.key.PublicKey)
	require.NoError(t, err)
	p, err := wire.Decode(encoded)
	require.NoError(t, err)
	require.Equal(t, wire.ID(p), id)
	if have, known := w.books[id]; known {
		require.True(t, bytes.Equal(have.encoded, encoded), "%s again, with other content", id)
		w.done["answer: 200"]++
		return deliver.Result{Outcome: deliver.AlreadyStored, Status: 200}
	}
	require.NoError(t, w.history(t).Permits(p), "row %d for %s", p.Row, p.To)
	require.False(t, w.now.Before(p.Period.To.Time()), "row %d came at %s, before its period %s ended", p.Row, w.now, p.Period)
	want := "https://headend.test"
	if p.To == form.LF && p.MaLo.String() == "41373559241" {
		want = endpointOf(p.PartnerID.String())
	}
	require.Equal(t, want, endpoint, "where row %d for %s went", p.Row, p.To)
	w.books[id] = delivery{encoded, p, w.now}
	w.order = append(w.order, id)
	w.done["answer: 201"]++
	return deliver.Result{Outcome: deliver.Stored, Status: 201}
}

// history is the contracts that the agent says held.
func (w *world) history(t require.TestingT) *form.History {
	stored, err := w.store.Contracts()
	require.NoError(t, err)
	versions, err := agent.ParseVersions(stored)
	require.NoError(t, err)
	return &form.History{Versions: versions}
}

// check is what holds at any time: each reading that is kept is what that meter
// showed at that instant, none is missing that must be there, none is of an
// instant to come, the journal is whole, and what may leave does not wait.
func (w *world) check(t *rapid.T) {
	w.t = t
	require.NoError(t, w.store.VerifyJournal())
	from := w.checked
	for q := range w.must {
		from = min(from, q)
	}
	w.checked = from
	kept := w.look()
	require.Empty(t, w.readings(meter.QuarterOf(w.now.Add(time.Minute)).Next(), 1<<40), "at %s: readings out of nothing", w.now)
	for q, device := range w.must {
		if q < meter.QuarterOf(w.now) { // the last one may not be decided yet
			if _, ok := kept[q]; !ok && w.lossTold(q) {
				w.done["a reading lost, and told"]++
				w.lost++
			} else {
				require.Equal(t, device, kept[q], "the reading at %s", q)
			}
			delete(w.must, q)
		}
	}
	if w.clock.right(w.now) { // else what was read may be dated later
		w.checked = meter.QuarterOf(w.now) - 1
	}
	w.requirePrompt()
}

// look holds what is kept from w.checked on against the truth.
func (w *world) look() map[meter.Quarter]meter.DeviceID {
	kept := map[meter.Quarter]meter.DeviceID{}
	for _, r := range w.readings(w.checked-1, meter.QuarterOf(w.now)) {
		kept[r.Boundary] = r.Device
		w.requireTrue(&r)
	}
	return kept
}

// requireTrue holds a reading that is kept against what its meter showed.
func (w *world) requireTrue(r *meter.BoundaryReading) {
	w.seen[r.Boundary.String()+r.Device.String()] = *r
	shown := w.truth[r.Device.String()].Shows(r.Boundary.Time().Add(r.Offset))
	for _, v := range r.Registers {
		require.True(w.t, shown[v.Code].Equal(v.Value), "%s at %s%+v: kept %s, it was %s", v.Code.Short(), r.Boundary, r.Offset, v.Value, shown[v.Code])
	}
}

// lossTold reports whether a boundary lies in a loss that is told.
func (w *world) lossTold(q meter.Quarter) bool {
	return slices.ContainsFunc(w.told(), func(n form.Notice) bool { return n.From <= q && q <= n.To })
}

// told are the losses of boundary readings that people or the head-end know of.
func (w *world) told() (all []form.Notice) {
	losses, err := w.store.Losses()
	require.NoError(w.t, err)
	for _, l := range losses {
		all = append(all, form.Notice{Kind: l.Kind, From: meter.QuarterOf(l.From), To: meter.QuarterOf(l.To), Count: int(l.Count)})
	}
	for _, d := range w.books {
		all = append(all, d.payload.Notices...) // the same in each until one is acknowledged
	}
	slices.SortFunc(all, func(a, b form.Notice) int { return cmp.Compare(a.From, b.From) })
	return slices.Compact(slices.DeleteFunc(all, func(n form.Notice) bool { return n.Kind != agent.ReadingsLost }))
}

// requirePrompt holds that one dead endpoint delays no other: where one has been
// sound for longer than any pause is, nothing waits that may leave.
func (w *world) requirePrompt() {
	const longest = 2 * time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode != "sound" || w.lose > 0 || !w.clock.right(w.now) {
		clear(w.sound)
		return
	}
	endpoints := []string{"https://headend.test"}
	for _, lf := range suppliers {
		if w.away {
			delete(w.sound, endpointOf(lf))
		} else {
			endpoints = append(endpoints, endpointOf(lf))
		}
	}
	for _, e := range endpoints {
		if _, ok := w.sound[e]; !ok {
			w.sound[e] = w.now
		}
	}
	require.NoError(w.t, w.store.Items(func(it buffer.Item) bool {
		since, sound := w.sound[it.Endpoint]
		if sound && it.State == buffer.Waiting && w.now.Sub(since) > longest {
			require.False(w.t, w.now.Sub(it.NotBefore) > longest, "at %s %s %v waits, though %s is sound since %s, and it may leave since %s", w.now, it.ID, it.Label, it.Endpoint, since, it.NotBefore)
		}
		return true
	}))
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
	w.mode, w.away, w.lose, w.cut = "sound", false, 0, false
	w.mu.Unlock()
	w.clock.set(w.now, meter.ClockSynchronised, 0)
	w.quarterly(8)
	w.check(t)
	w.retry(t)
	// A payload is looked at again in each step, and on a gateway there is one each second.
	w.quarterly(96 + 8)
	items := 0
	require.NoError(t, w.store.Items(func(buffer.Item) bool { items++; return true }))
	w.play(time.Second, items)
	w.quarterly(6 * 96)                                                                   // past the long weekends, and the pauses of all that failed
	w.quarterly(int(form.DateOf(w.now).AddDays(2).Midnight()-meter.QuarterOf(w.now)) - 2) // late in an evening
	w.check(t)
	require.NoError(t, w.store.Flush())
	for _, r := range w.readings(0, meter.QuarterOf(w.now)) { // also what was dated late
		w.requireTrue(&r)
	}
	told := 0
	for _, n := range w.told() {
		told += n.Count
	}
	require.GreaterOrEqual(t, told, w.lost, "of the readings lost, so many are told")

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
	h := w.history(t)
	came := map[string]bool{}
	revisions := map[what][]string{}
	for _, id := range w.order {
		p := w.books[id].payload
		key := what{p.Row, p.MaLo, p.To, p.Period}
		if p.Supersedes != "" && !came[p.Supersedes] {
			require.True(t, w.refused[p.Supersedes], "%v: revision %d came before the one that it supersedes", key, p.Revision)
		}
		came[id] = true
		revisions[key] = append(revisions[key], id)
	}
	last := map[what]*form.Payload{}
	for key, ids := range revisions {
		slices.SortStableFunc(ids, func(a, b string) int { return w.books[a].payload.Revision - w.books[b].payload.Revision })
		for i, id := range ids {
			p := w.books[id].payload
			before, there := w.books[p.Supersedes]
			require.Equal(t, p.Revision > 0, there, "%v", key)
			if there {
				require.Equal(t, p.Revision-1, before.payload.Revision, "%v", key)
			}
			if row, _ := key.row.Row(); row.Rhythm.Regular() { // an event that is told late cuts the period of another
				require.Equal(t, i, p.Revision, "%v", key)
			}
			last[key] = p
		}
	}
	readings := slices.SortedFunc(maps.Values(w.seen), func(a, b meter.BoundaryReading) int {
		return cmp.Or(cmp.Compare(a.Boundary, b.Boundary), cmp.Compare(a.Device, b.Device))
	})
	from := func(q meter.Quarter) int {
		i, _ := slices.BinarySearchFunc(readings, q, func(b meter.BoundaryReading, q meter.Quarter) int { return cmp.Compare(b.Boundary, q) })
		return i
	}
	first := h.Versions[0].From
	for _, d := range h.Plan(form.DateOf(first.Time()), form.DateOf(w.now).AddDays(62)) {
		if d.Period.To > form.DateOf(w.now).Midnight() {
			continue
		}
		key := what{d.Row, d.MaLo, d.To, d.Period}
		p := last[key]
		receiver, _ := h.Governing(d.Period).Location(d.MaLo).Receiver(d.To)
		require.NotNil(t, p, "row %d of %s for %s, %s, due %s: never came", d.Row, d.MaLo, d.To, d.Period, d.At)
		require.Equal(t, receiver.PartnerID, p.PartnerID)
		diff, err := h.Verify(p, readings[from(d.Period.From-62*96):from(d.Period.To+1)])
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
