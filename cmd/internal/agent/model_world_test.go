package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
)

// world is a gateway and all that is round it.
type world struct {
	t      *rapid.T
	dir    string
	done   map[string]int // what happened, and how often
	config *config.Config
	key    *ecdsa.PrivateKey
	store  *buffer.Store
	agent  *agent.Agent // nil when the gateway is no more
	ended  chan error   // of the agent that runs

	// The truth.
	zero   time.Time // of the meters' count of seconds
	now    time.Time // of the last telegram
	places []*place
	clock  *worldClock
	truth  map[string]*sim.Meter // by device

	steps     int
	endsAfter int // steps the gateway may be taken out of service
	outages   int
	lost      int                              // readings, that had to be kept
	seen      map[string]meter.BoundaryReading // all that was ever kept: on a full disk what nobody needs gives way
	events    map[string]form.Event            // what happened, as the agent knew it
	gone      map[string]buffer.Item           // what was given up, by a person or by a store at its limit
	replaced  map[string]bool                  // ids that another payload supersedes
	small     bool                             // the disk is, and can be filled
	full      bool                             // it is
	factor    int                              // of the contract
	lf        string                           // the supplier of the contract
	limit     int64                            // of the store; 0: its own
	moments   bool                             // the contract has momentary figures sent by themselves
	figures   map[figure]bool                  // those that must come
	doubtful  map[meter.Quarter]bool           // quarter hours that a wrong clock named
	farewell  *control.Farewell                // the gateway is taken out of service
	lastRead  time.Time                        // when it was

	headEnd
}

// place is where a meter hangs, and the line from it.
type place struct {
	name   string
	line   *feed
	meter  *sim.Meter
	pulled bool // the line is, and another is not

	gap     meter.Quarter                    // where the line was last pulled; 0: not since an import
	gapEnd  meter.Quarter                    // and where it was back
	gapOf   *sim.Meter                       // the meter behind it
	must    map[meter.Quarter]meter.DeviceID // boundaries whose readings must be kept, and are not checked yet
	held    map[meter.Quarter]meter.DeviceID // those whose readings must be kept when the clock is right again
	checked meter.Quarter                    // up to which all is checked
	glances []glance                         // what came while the clock was right, ascending
}

// glance is a telegram that came: sound, or perhaps mended by what noise left of the
// one before it.
type glance struct {
	at    time.Time
	meter *sim.Meter
	sound bool
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
	next   chan []byte
	idle   chan struct{}
	closed chan struct{} // by the agent
	once   sync.Once
	rest   []byte
}

func newFeed() *feed {
	return &feed{next: make(chan []byte), idle: make(chan struct{}), closed: make(chan struct{})}
}

func (f *feed) Open(context.Context) (io.ReadCloser, error) { return f, nil }
func (f *feed) Live() bool                                  { return false }
func (f *feed) String() string                              { return "feed" }

func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

func (f *feed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		f.idle <- struct{}{}
		select {
		case rest, ok := <-f.next:
			if !ok {
				return 0, io.EOF
			}
			f.rest = rest
		case <-f.closed:
			return 0, io.EOF
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func newWorld(t *rapid.T, dir string, done map[string]int) *world {
	require.NoError(t, os.MkdirAll(dir, 0o700))
	w := &world{
		t: t, dir: dir, done: done, truth: map[string]*sim.Meter{}, seen: map[string]meter.BoundaryReading{}, events: map[string]form.Event{},
		gone: map[string]buffer.Item{}, figures: map[figure]bool{}, doubtful: map[meter.Quarter]bool{}, headEnd: newHeadEnd(),
	}
	var err error
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	day := form.Date{Year: 2026, Month: time.Month(rapid.IntRange(1, 12).Draw(t, "month")), Day: rapid.IntRange(1, 28).Draw(t, "day")}
	w.zero = day.At(rapid.IntRange(0, 23).Draw(t, "hour"), 0)
	w.now = w.zero
	w.endsAfter = rapid.IntRange(0, 120).Draw(t, "ends after steps")
	w.moments = rapid.Bool().Draw(t, "momentary figures")
	if rapid.Bool().Draw(t, "a small store") {
		w.limit = buffer.MinLimit
		if w.moments {
			w.limit = 3 << 20 // what was lost of them takes room as well, until it is told
		}
	}
	for _, name := range []string{"main", "roof"}[:rapid.IntRange(1, 2).Draw(t, "meters")] {
		p := &place{name: name, must: map[meter.Quarter]meter.DeviceID{}, held: map[meter.Quarter]meter.DeviceID{}}
		w.places = append(w.places, p)
		w.built(p)
	}
	w.configure(1, suppliers[0])
	w.clock = &worldClock{truth: func() time.Time { return w.now }, quality: meter.ClockSynchronised, booted: w.zero}
	w.open()
	w.begin()
	w.play(meter.QuarterLength, 4)
	return w
}

// suppliers are those that the contract may name.
var suppliers = []string{"9900357000004", "9900357000059"}

const (
	drawnAt = "41373559241" // the market locations
	fedInAt = "51238696781"
	grid    = "https://grid.test" // where momentary figures go
	theirs  = "https://headend.test"
)

// endpointOf is where a supplier listens.
func endpointOf(supplier string) string { return "https://" + supplier + ".test" }

// roof is where what is fed in is measured.
func (w *world) roof() *place { return w.places[len(w.places)-1] }

// configure writes the file of a contract with a transformer factor and a
// supplier, and reads it.
func (w *world) configure(factor int, lf string) {
	w.factor, w.lf = factor, lf
	text := fmt.Sprintf("[gateway]\nid = \"ESMG0000000001\"\nstate_dir = %q\n[headend]\nendpoint = %q\n", w.dir, theirs)
	for _, p := range w.places {
		text += fmt.Sprintf("[[meter]]\nname = %q\nport = \"/dev/%s\"\n", p.name, p.name)
	}
	network := theirs
	if w.moments {
		network = grid
	}
	text += fmt.Sprintf(modelContract, factor, w.places[0].name, lf, endpointOf(lf), w.roof().name, network)
	if w.moments {
		text += modelMoments
	}
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
meter = %q
receiver = [
    { role = "LF", partner_id = "%s", endpoint = %q },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
]

[[market_location]]
malo = "51238696781"
direction = "feed_in"
meter = %q
receiver = [
    { role = "LF", partner_id = "9900357000035" },
    { role = "NB", partner_id = "9900357000011", endpoint = %q },
    { role = "ÜNB", partner_id = "9900357000028" },
    { role = "AB", partner_id = "9900357000042" },
]
`

const modelMoments = `
[market_location.feed_in_power]
every = "15m"
above_kw = 3
below_kw = 0.6
hysteresis_kw = 0.4

[market_location.grid_state]
every = "15m"
because = "eeg_kwkg_plant"
`

// built puts another device at a place. It has two directions; some tell the state of the grid.
func (w *world) built(p *place) {
	n := len(w.truth) + 1
	seed := uint64(n) * 13
	home := sim.NewHousehold(sim.Options{Seed: seed, Since: w.zero, RoofPeak: 8000, Initial: sim.Registers{Drawn: sim.Energy(seed) * sim.KilowattHour}})
	name := rapid.SampledFrom([]string{"mme", "easymeter"}).Draw(w.t, "model")
	model, err := sim.FindModel(name)
	require.NoError(w.t, err)
	p.meter = sim.NewMeter(home, model, meter.DeviceID(fmt.Sprintf("\x0a\x01SIM\x00\x00\x00\x00%c", n)))
	w.truth[p.meter.Device.String()] = p.meter
}

func (w *world) open() {
	var err error
	w.store, err = buffer.Open(filepath.Join(w.dir, "store.db"), buffer.Options{Limit: w.limit})
	require.NoError(w.t, err)
}

// begin starts an agent, and returns when it waits for telegrams.
func (w *world) begin() {
	lines := map[string]*feed{}
	for _, p := range w.places {
		p.line = newFeed()
		lines["/dev/"+p.name] = p.line
	}
	a, err := agent.New(agent.Options{
		Config: w.config, Store: w.store, Signer: w.key, KeyID: []byte("key"), Client: w, Lamps: &lamps{}, Clock: w.clock,
		Log: slog.New(slog.DiscardHandler), InStep: true,
		Source: func(port string) (meter.Source, error) { return lines[port], nil },
	})
	require.NoError(w.t, err)
	w.agent = a
	w.ended = make(chan error, 1)
	go func(ended chan error) { ended <- a.Run(context.Background()) }(w.ended)
	for _, p := range w.places {
		<-p.line.idle
	}
}

// stop ends the agent as SIGTERM does.
func (w *world) stop() {
	for _, p := range w.places {
		clear(p.held) // was in memory only, perhaps
		close(p.line.next)
	}
	require.NoError(w.t, <-w.ended)
}

func (w *world) end() {
	os.Remove(w.ballast())
	if w.agent != nil {
		w.stop()
		require.NoError(w.t, w.store.Close())
	}
	os.RemoveAll(w.dir)
}

// play lets n telegrams of each meter pass, each a pause after the one before.
func (w *world) play(pause time.Duration, n int) {
	for i := range n {
		w.now = w.now.Add(pause)
		for _, p := range w.places {
			if p.pulled {
				continue
			}
			if !w.hear(p, p.meter.AppendTelegram(nil, w.now), true) {
				return
			}
		}
		if w.limit > 0 && i%48 == 47 { // before it gives way
			for _, p := range w.places {
				w.look(p)
			}
		}
	}
}

// hear lets the agent read what a line brings, with a sound telegram or none, and is
// false where the power went meanwhile.
func (w *world) hear(p *place, line []byte, sound bool) bool {
	if w.clock.right(w.now) {
		if w.farewell == nil {
			p.glances = append(p.glances, glance{w.now, p.meter, sound})
		}
	} else {
		named := meter.QuarterOf(w.clock.Now().Time)
		w.doubtful[named-1], w.doubtful[named], w.doubtful[named+1] = true, true, true
	}
	p.line.next <- line
	<-p.line.idle
	w.mu.Lock()
	dead, wrong := w.dead, w.wrong
	w.mu.Unlock()
	if wrong != "" {
		require.Fail(w.t, "the head-end complains", wrong)
	}
	if dead {
		w.revive()
	} else if sound && w.farewell == nil {
		w.heard(p)
	}
	return !dead
}

// heard notes what must come of the telegram that was just read, where it is one of
// a boundary: by a clock that is right and has been for a while, or by one that will
// be before the power goes.
func (w *world) heard(p *place) {
	q := meter.QuarterOf(w.now)
	if !q.Time().Equal(w.now) {
		return
	}
	if !w.clock.right(w.now) {
		p.held[q] = p.meter.Device
		return
	}
	p.must[q] = p.meter.Device
	for held := range p.held {
		if q-held > 7*96 { // memory holds a week
			clear(p.held)
		}
	}
	for q, device := range p.held {
		p.must[q] = device
	}
	clear(p.held)
	if w.moments && p == w.roof() && !w.full {
		w.oweFigures(p)
	}
}

// quarterly goes on to the next boundary, and then from one to the next.
func (w *world) quarterly(n int) {
	next := meter.QuarterOf(w.now).Next().Time()
	w.play(next.Sub(w.now), 1)
	w.play(meter.QuarterLength, n-1)
}

func (w *world) ballast() string { return filepath.Join(w.dir, "ballast") }

// took is false where the store has no room for what somebody wanted of the agent;
// only a store at its limit may have none.
func (w *world) took(err error) bool {
	if err != nil && w.limit > 0 && strings.Contains(err.Error(), buffer.ErrFull.Error()) {
		return false
	}
	require.NoError(w.t, err)
	return true
}
