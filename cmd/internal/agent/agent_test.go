package agent_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

func TestMain(m *testing.M) {
	if fault := os.Getenv("SMGW_TEST_FAULT"); fault != "" {
		runFaulty(fault)
		return
	}
	if check := agent.NewCheckStoreCommand(); len(os.Args) > 1 && os.Args[1] == check.Name() {
		check.SetArgs(os.Args[2:])
		check.Execute() // ends the process
	}
	goleak.VerifyTestMain(m)
}

const contractText = `
[gateway]
id = "ESMG0000000001"
state_dir = "STATE"

[[meter]]
port = "file:TELEGRAMS"

[headend]
endpoint = "https://headend.test"
` + homeText

const homeText = `
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"
transformer_factor = 1

[[market_location]]
malo = "41373559241"
direction = "draw"
class = "B"
receiver = [
    { role = "LF", partner_id = "9900357000004", endpoint = "https://supplier.test" },
    { role = "NB", partner_id = "9900357000011" },
    { role = "ÜNB", partner_id = "9900357000028" },
]
`

// roofText is what a roof adds to it, but for momentary figures.
const roofText = `
[[market_location]]
malo = "51238696781"
direction = "feed_in"
receiver = [
    { role = "LF", partner_id = "9900357000035" },
    { role = "NB", partner_id = "9900357000059" },
    { role = "ÜNB", partner_id = "9900357000028" },
    { role = "AB", partner_id = "9900357000042" },
]
`

// bench is an agent over a real store, a household and a head-end that can be
// told what to answer. It can be run again and again, as after power cuts.
type bench struct {
	t      *testing.T
	config *config.Config
	store  *buffer.Store
	key    *ecdsa.PrivateKey
	home   *sim.Household
	device meter.DeviceID // "": the model's own
	end    meter.Quarter  // where the gateway's work ends, once it does
	model  string         // of the meter; "": the first
	lamps  *lamps
	papers *agent.Papers // nil: signer signs for ever
	signer crypto.Signer // nil: key
	log    io.Writer     // nil: nobody reads it
	uptime time.Duration
	every  time.Duration // between telegrams; 0: a minute
	// What is wrong with the clock; nil for nothing.
	distort func(meter.Stamp) meter.Stamp

	mu       sync.Mutex
	answer   func(endpoint, id string, now time.Time) deliver.Result
	payloads map[string]*form.Payload // by id
	at       map[string]time.Time
	order    []string
	clock    agent.Clock
}

var began = form.Date{Year: 2026, Month: time.October, Day: 23} // a Friday

func newBench(t *testing.T) *bench { return newBenchIn(t, quickDir(t)) }

func newBenchIn(t *testing.T, state string) *bench {
	telegrams := filepath.Join(t.TempDir(), "telegrams.bin")
	require.NoError(t, os.WriteFile(telegrams, nil, 0o644))
	text := []byte(strings.NewReplacer("STATE", state, "TELEGRAMS", telegrams).Replace(contractText))
	path := filepath.Join(state, "smgw.toml")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	c, err := config.Load(path)
	require.NoError(t, err)
	b := &bench{t: t, config: c, lamps: &lamps{}, payloads: map[string]*form.Payload{}, at: map[string]time.Time{}}
	b.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Stored, Status: 201}
	}
	b.reopen()
	t.Cleanup(func() { b.store.Close() })
	return b
}

func (b *bench) reopen() {
	if b.store != nil {
		require.NoError(b.t, b.store.Close())
	}
	var err error
	b.store, err = buffer.Open(filepath.Join(b.config.Gateway.StateDir, "store.db"), buffer.Options{})
	require.NoError(b.t, err)
}

// Reach and Put are the head-end.
func (b *bench) Reach(context.Context, string) error { return nil }

func (b *bench) Put(_ context.Context, endpoint, id string, body []byte) deliver.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now().Time
	result := b.answer(endpoint, id, now)
	if !result.Outcome.Delivered() {
		return result
	}
	encoded, err := wire.Verify(body, &b.key.PublicKey)
	require.NoError(b.t, err)
	p, err := wire.Decode(encoded)
	require.NoError(b.t, err)
	require.Equal(b.t, wire.ID(p), id)
	require.NoError(b.t, b.history().Permits(p))
	b.payloads[id], b.at[id] = p, now
	b.order = append(b.order, id)
	return result
}

// play runs the agent over the telegrams between two instants.
func (b *bench) play(from, until time.Time) *agent.Agent {
	a, err := b.tryPlay(from, until)
	require.NoError(b.t, err)
	return a
}

func (b *bench) tryPlay(from, until time.Time) (*agent.Agent, error) {
	a := b.live(b.telegrams(from, until))
	return a, a.Run(b.t.Context())
}

// telegrams are what the meter says between two instants.
func (b *bench) telegrams(from, until time.Time) (telegrams []byte) {
	model := sim.Models[0]
	if b.model != "" {
		var err error
		model, err = sim.FindModel(b.model)
		require.NoError(b.t, err)
	}
	m := sim.NewMeter(b.home, model, model.Device)
	if b.device != "" {
		m.Device = b.device
	}
	for at := from; !at.After(until); at = at.Add(cmp.Or(b.every, time.Minute)) {
		telegrams = m.AppendTelegram(telegrams, at)
	}
	return telegrams
}

// live is an agent that is to read telegrams.
func (b *bench) live(telegrams []byte) *agent.Agent {
	require.NoError(b.t, os.WriteFile(strings.TrimPrefix(b.config.Meters[0].Port, "file:"), telegrams, 0o644))
	b.clock = agent.NewSteppedClock(b.home.Since())
	if b.distort != nil {
		b.clock = distorted{b.clock, b.distort}
	}
	return b.agent(true)
}

func (b *bench) agent(inStep bool) *agent.Agent {
	a, err := agent.New(agent.Options{
		Config: b.config, Store: b.store, Signer: cmp.Or[crypto.Signer](b.signer, b.key), KeyID: []byte("key"),
		Client: b, Lamps: b.lamps, Clock: b.clock, Log: slog.New(slog.NewTextHandler(cmp.Or(b.log, io.Discard), nil)), InStep: inStep, Uptime: b.uptime, Papers: b.papers,
	})
	require.NoError(b.t, err)
	return a
}

// distorted is a clock that is wrong.
type distorted struct {
	agent.Clock
	distort func(meter.Stamp) meter.Stamp
}

func (d distorted) Now() meter.Stamp                       { return d.distort(d.Clock.Now()) }
func (d distorted) Received(t *meter.Telegram) meter.Stamp { return d.distort(d.Clock.Received(t)) }

// history is the contracts that the agent kept.
func (b *bench) history() *form.History {
	stored, err := b.store.Contracts()
	require.NoError(b.t, err)
	versions, err := agent.ParseVersions(stored)
	require.NoError(b.t, err)
	return &form.History{Versions: versions, End: b.end}
}

// due is the plan of all that ends after the first boundary and is due by until.
func (b *bench) due(until time.Time) []form.Due {
	h := &form.History{Versions: []form.Version{{From: meter.QuarterOf(b.home.Since()), Contract: &b.config.Contract}}}
	return slices.DeleteFunc(h.Plan(began, form.DateOf(until)), func(d form.Due) bool { return d.At.After(until) })
}

// take takes the chosen payloads out of what the head-end got, in order.
func (b *bench) take(chosen func(*form.Payload) bool) (taken []*form.Payload) {
	b.order = slices.DeleteFunc(b.order, func(id string) bool {
		p := b.payloads[id]
		if !chosen(p) {
			return false
		}
		taken = append(taken, p)
		delete(b.payloads, id)
		return true
	})
	return taken
}

func (b *bench) requireDelivered(dues []form.Due) {
	b.t.Helper()
	type what struct {
		row    form.RowNumber
		to     form.Role
		period form.Period
	}
	var want, got []what
	for _, d := range dues {
		want = append(want, what{d.Row, d.To, d.Period})
	}
	for _, p := range b.payloads {
		got = append(got, what{p.Row, p.To, p.Period})
	}
	require.ElementsMatch(b.t, want, got)
	require.Len(b.t, b.order, len(b.payloads), "delivered and acknowledged once each")
}

func TestAgentDeliversWhatIsDueInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 3}.At(12, 30)
	b.play(b.home.Since(), until)
	dues := b.due(until)
	require.NotEmpty(t, dues)
	b.requireDelivered(dues)
	for _, d := range dues {
		for id, p := range b.payloads {
			if p.Row == d.Row && p.To == d.To && p.Period == d.Period {
				require.False(t, b.at[id].After(d.At), "row %d due %s came at %s", d.Row, d.At, b.at[id])
				require.False(t, b.at[id].Before(d.Period.To.Time()), "row %d came before its period ended", d.Row)
			}
		}
	}
	// The supplier's load profiles add up to what the meter counted.
	sum, last := decimal.Zero, began.Midnight()
	for _, p := range b.payloads {
		if p.Row != 6 {
			continue
		}
		last = max(last, p.Period.To)
		for _, i := range p.Values[0].Intervals {
			require.Equal(t, form.True, i.State)
			sum = sum.Add(i.Amount.Decimal.Shift(3))
		}
	}
	counted := b.home.Registers(last.Time()).Drawn.Wh(-1).Sub(b.home.Registers(b.home.Since()).Drawn.Wh(-1))
	require.Equal(t, counted.String(), sum.String())
	require.Empty(t, b.lamps.last)
}

func TestAgentGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 3}.At(12, 30)
	for at := b.home.Since(); at.Before(until); at = at.Add(17 * time.Hour) {
		end := at.Add(17*time.Hour - time.Minute)
		if end.After(until) {
			end = until
		}
		b.play(at, end)
		b.reopen()
	}
	b.requireDelivered(b.due(until))
	require.NoError(t, b.store.VerifyJournal())
}

func TestAgentKeepsWhatADeadHeadEndDoesNotTake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	from, to := began.AddDays(3).At(4, 0), began.AddDays(6).At(4, 0)
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		if endpoint == "https://headend.test" && now.After(from) && now.Before(to) {
			return deliver.Result{Outcome: deliver.Failed, Err: errors.New("connection refused")}
		}
		return sound(endpoint, id, now)
	}
	b.play(b.home.Since(), to.Add(-time.Minute))
	require.Equal(t, []board.Cause{board.HeadEndUnreachable}, b.lamps.last)
	for id, p := range b.payloads {
		if b.at[id].After(from) {
			require.Equal(t, form.LF, p.To, "the supplier's endpoint is not delayed by the dead one")
		}
	}
	suppliers := 0
	for _, d := range b.due(to) {
		if d.To == form.LF {
			suppliers++
		}
	}
	got := 0
	for _, p := range b.payloads {
		if p.To == form.LF {
			got++
		}
	}
	require.GreaterOrEqual(t, got, suppliers, "and perhaps what is due later this day")

	until := began.AddDays(7).At(12, 0)
	b.play(to, until)
	b.requireDelivered(b.due(until))
	require.Empty(t, b.lamps.last)
}

func TestAgentSetsAsideWhatIsRefusedForGood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		if endpoint == "https://supplier.test" {
			return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("the contract is unknown")}
		}
		return sound(endpoint, id, now)
	}
	a := b.play(b.home.Since(), began.AddDays(3).At(12, 0))
	status, err := a.Status()
	require.NoError(t, err)
	for _, e := range status.Endpoints {
		require.Zero(t, e.Waiting)
		if e.Endpoint == "https://supplier.test" {
			require.Equal(t, 1, e.SetAside)
			require.Nil(t, e.LastSuccess, "a refusal delivers nothing")
		} else {
			require.NotNil(t, e.LastSuccess)
		}
		require.NotNil(t, e.Reached)
	}
	refused := 0
	require.NoError(t, b.store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind == agent.Refused {
			refused++
			require.Equal(t, "the contract is unknown", e.Detail["reason"])
		}
		return true
	}))
	require.Equal(t, 1, refused)
	require.Equal(t, []board.Cause{board.PayloadRefused}, b.lamps.last)
}

// A lost acknowledgement: the payload is there, the agent does not know, tries
// again and learns it with a 200.
func TestAgentSurvivesLostAcknowledgements(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stored := map[string]bool{}
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		if !stored[id] {
			stored[id] = true
			return deliver.Result{Outcome: deliver.Failed, Err: errors.New("connection cut")}
		}
		r := sound(endpoint, id, now)
		r.Outcome, r.Status = deliver.AlreadyStored, 200
		return r
	}
	until := began.AddDays(4).At(12, 0)
	b.play(b.home.Since(), until)
	b.requireDelivered(b.due(until))
}

// What a register that falls and a head-end that was away leave in the journal.
func TestJournalTellsWhatWasWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), began.At(12, 0))
	b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(12, 0)}) // begins at zero again
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Failed, Err: errors.New("connection refused")}
	}
	b.play(began.At(12, 1), began.AddDays(3).At(12, 0))
	kinds := map[string][]string{}
	require.NoError(t, b.store.Journal(0, func(e buffer.Entry) bool {
		kinds[e.Kind] = append(kinds[e.Kind], e.Detail["register"]+e.Detail["held"])
		return true
	}))
	require.Equal(t, []string{"1-0:1.8.0"}, kinds[agent.RegisterFell])
	require.Equal(t, []string{"all_well", board.HeadEndUnreachable.String()}, kinds[agent.Causes][len(kinds[agent.Causes])-2:])
}

// What no meter is and no store takes must not stand before all that comes after it.
func TestAgentReadsOnAfterTelegramsOfNoMeter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.device = meter.DeviceID(strings.Repeat("x", meter.MaxDeviceID+1))
	mended := b.home.Since().Add(time.Hour)
	before := b.telegrams(b.home.Since(), mended)
	b.device = ""
	until := mended.Add(time.Hour)
	require.NoError(t, b.live(append(before, b.telegrams(mended.Add(time.Minute), until)...)).Run(t.Context()))
	readings, err := b.store.Boundaries("main", 0, meter.QuarterOf(until))
	require.NoError(t, err)
	require.Len(t, readings, 4)
}

func TestAgentBeginsANewSeriesWithANewDevice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	exchange := began.AddDays(1).At(10, 7)
	b.play(b.home.Since(), exchange)
	b.device = "\x0a\x01SIM\x00\x00\x00\x00\x63"
	until := began.AddDays(3).At(12, 0)
	b.play(exchange.Add(5*time.Minute), until)

	devices := map[string]int{}
	readings, err := b.store.Boundaries("main", began.Midnight(), began.AddDays(3).Midnight())
	require.NoError(t, err)
	for _, r := range readings {
		devices[r.Device.String()]++
	}
	require.Len(t, devices, 2)
	var seen []string
	require.NoError(t, b.store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind == agent.DeviceSeen {
			seen = append(seen, e.Detail["before"])
		}
		return true
	}))
	require.Len(t, seen, 2)
	require.NotEmpty(t, seen[1])
	// The exchange made row 3 due: up to the old device's last reading, and what the
	// new one began with.
	told := b.take(func(p *form.Payload) bool { return p.Row == 3 })
	require.Len(t, told, 4)
	for _, p := range told {
		at := meter.QuarterOf(exchange)
		if p.Period.From == p.Period.To {
			at++
			require.Len(t, p.Values, 1, "its register, and nothing of the time before it")
		}
		require.Equal(t, at, p.Period.To)
		require.Equal(t, form.True, p.Values[len(p.Values)-1].State)
	}
	b.requireDelivered(b.due(until))
}

// A full disk: the agent reads on, says so, and stores what waited as soon as
// there is room.
func TestAgentReadsOnWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	b := newBenchIn(t, disk)
	full, room, until := began.AddDays(1).At(0, 0), began.AddDays(3).At(20, 0), began.AddDays(7).At(12, 0)

	ballast := filepath.Join(disk, "ballast")
	troubled := false
	var written [2]int64 // pages, when the disk gets full, and when there is room again
	pages := func() int64 {
		size, err := b.store.Size()
		require.NoError(t, err)
		return size.Commits
	}
	b.lamps.shown = func(causes []board.Cause) {
		switch now := b.clock.Now().Time; {
		case now.Equal(full):
			fill(t, ballast)
			written[0] = pages()
		case now.Equal(room):
			written[1] = pages()
			require.NoError(t, os.Remove(ballast))
		}
		troubled = troubled || slices.Contains(causes, board.StoreInTrouble)
	}
	b.play(b.home.Since(), until)
	require.True(t, troubled)
	require.Empty(t, b.lamps.last)
	require.Less(t, written[1]-written[0], 5*int64(room.Sub(full)/time.Minute), "pages written in vain: a few each minute, not with each telegram")
	readings, err := b.store.Boundaries("main", began.Midnight(), meter.QuarterOf(until))
	require.NoError(t, err)
	require.Len(t, readings, int(meter.QuarterOf(until)-began.Midnight())+1, "every boundary has its reading")
	b.requireDelivered(b.due(until))
}

// A disk that is full is named with the first thing that it does not take, and
// not with the next quarter hour only.
func TestAFullDiskIsNamedBeforeAReadingWaits(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	b := newBenchIn(t, disk)
	a := b.play(b.home.Since(), began.AddDays(1).At(10, 0))
	status := func() *control.Status {
		s, err := a.Status()
		require.NoError(t, err)
		require.Zero(t, s.Store.Unsaved)
		return s
	}
	require.NotContains(t, status().Causes, board.StoreInTrouble)

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	long := buffer.Event{At: b.clock.Now().Time, Kind: "long", Detail: map[string]string{"text": strings.Repeat("long ", 10_000)}}
	var err error
	for n := 0; n < 100 && err == nil; n++ { // the file has free pages yet
		err = b.store.Append(long)
	}
	require.ErrorIs(t, err, buffer.ErrFull)
	require.Contains(t, status().Causes, board.StoreInTrouble)
	require.Contains(t, status().Store.Error, "no space left")

	require.NoError(t, os.Remove(ballast))
	require.NoError(t, b.store.Append(long))
	require.NotContains(t, status().Causes, board.StoreInTrouble)
	require.Empty(t, status().Store.Error)
}

// smallDisk is a disk of its own, to be filled.
func smallDisk(t *testing.T) string {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no small disk to fill: mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	return disk
}

// fill writes a file until the disk has no room for one byte more.
func fill(t require.TestingT, path string) {
	f, err := os.Create(path)
	require.NoError(t, err)
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		require.ErrorIs(t, err, unix.ENOSPC)
	}
	require.NoError(t, f.Close())
}

// A clock that runs a year ahead for minutes, and nobody vouches for it, costs
// nothing: what was read meanwhile is dated when the clock is right again, and
// says that it was not.
func TestAgentDisbelievesAClockThatRanAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	from, to := began.AddDays(1).At(10, 0), began.AddDays(1).At(10, 40)
	b.distort = func(s meter.Stamp) meter.Stamp {
		if s.Time.Before(from) || !s.Time.Before(to) {
			return s
		}
		return meter.Stamp{Time: s.Time.AddDate(1, 0, 0), Quality: meter.ClockUnsynchronised}
	}
	b.play(b.home.Since(), began.AddDays(2).At(0, 0))
	b.reopen()
	until := began.AddDays(5).At(12, 0)
	b.play(began.AddDays(2).At(0, 1), until)
	b.requireDelivered(b.due(until))
	readings, err := b.store.Boundaries("main", began.Midnight(), meter.QuarterOf(until.AddDate(2, 0, 0)))
	require.NoError(t, err)
	require.Equal(t, int(meter.QuarterOf(until)-began.Midnight())+1, len(readings))
	for i, r := range readings {
		during := !r.Boundary.Time().Before(from) && r.Boundary.Time().Before(to)
		require.Equal(t, began.Midnight()+meter.Quarter(i), r.Boundary)
		require.Equal(t, !during, r.Clock == meter.ClockSynchronised, r.Boundary)
	}
}

// Even one that is synchronised to a wrong source does not silence the gateway
// for as long as it was ahead.
func TestAgentGoesOnAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), began.AddDays(1).At(10, 0))
	from, to := began.AddDays(1).At(10, 1), began.AddDays(1).At(10, 20)
	b.distort = func(s meter.Stamp) meter.Stamp {
		if s.Time.After(from) && s.Time.Before(to) {
			s.Time = s.Time.Add(40 * time.Minute)
		}
		return s
	}
	until := began.AddDays(4).At(12, 0)
	b.play(from, until)
	b.requireDelivered(b.due(until))
}

// A market location that is new in the contract gets nothing from before it, nor
// its supplier; the one that it takes the place of gets all up to then.
func TestNewMarketLocationBeginsWithItsContract(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	changed := began.AddDays(4).At(15, 0)
	b.play(b.home.Since(), changed)
	old := b.config.Contract.MarketLocations[0].MaLo
	var err error
	m := &b.config.Contract.MarketLocations[0]
	m.MaLo, err = form.ParseMarketLocationID("51238696781")
	require.NoError(t, err)
	until := began.AddDays(12).At(12, 0)
	b.play(changed.Add(time.Minute), until)

	midnight := form.DateOf(changed).AddDays(1).Midnight()
	var ended, begun meter.Quarter
	for _, p := range b.payloads {
		if p.MaLo == old {
			require.LessOrEqual(t, p.Period.To, midnight, "row %d", p.Row)
			ended = max(ended, p.Period.To)
			continue
		}
		require.GreaterOrEqual(t, p.Period.From, midnight, "row %d", p.Row)
		begun = max(begun, p.Period.From)
	}
	require.Equal(t, midnight, ended)
	require.Greater(t, begun, midnight)
	marks, err := b.store.Series()
	require.NoError(t, err)
	require.Len(t, marks, 2)
	for mark := range marks {
		require.Contains(t, mark, "51238696781")
	}
}

// As on a gateway: senders beside the reading, a slow head-end, questions
// meanwhile, and a stop in the middle of it all.
func TestAgentDeliversBesideReading(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sound := b.answer
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Failed, Err: errors.New("connection refused")}
	}
	until := began.AddDays(4).At(12, 0)
	b.play(b.home.Since(), until)
	require.Empty(t, b.order)

	require.NoError(t, os.Truncate(strings.TrimPrefix(b.config.Meters[0].Port, "file:"), 0))
	start := time.Now()
	b.answer = sound
	b.clock = distorted{&agent.SystemClock{}, func(s meter.Stamp) meter.Stamp {
		return meter.Stamp{Time: until.Add(2*time.Hour + time.Since(start)), Quality: meter.ClockSynchronised}
	}}
	a := b.agent(false)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	require.Eventually(t, func() bool {
		status, err := a.Status()
		require.NoError(t, err)
		for _, e := range status.Endpoints {
			if e.Waiting > 0 || e.Reached == nil {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	b.requireDelivered(b.due(until))
}

func TestControlSocketAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.play(b.home.Since(), began.AddDays(3).At(12, 0))
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(a.Handler())
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()

	_, err = control.Listen(socket)
	require.ErrorContains(t, err, "answers there already")
	var s control.Status
	require.NoError(t, control.Get(t.Context(), socket, control.StatusPath, &s))
	require.Equal(t, "ESMG0000000001", s.Gateway)
	require.Equal(t, "main", s.Meters[0].Name)
	require.NotNil(t, s.NextDue)
	delivered := 0
	require.NoError(t, control.Journal(t.Context(), socket, func(e buffer.Entry) error {
		if e.Kind == agent.Delivered {
			delivered++
		}
		return nil
	}))
	require.Equal(t, len(b.payloads), delivered)

	err = control.Get(t.Context(), filepath.Join(t.TempDir(), "none"), control.StatusPath, &s)
	require.ErrorIs(t, err, control.ErrNoAgent)
}

// lamps records what was shown last.
type lamps struct {
	board.Dark
	last  []board.Cause
	shown func([]board.Cause) // called with each, where it is set
}

func (l *lamps) Show(causes ...board.Cause) error {
	if l.last = causes; l.shown != nil {
		l.shown(causes)
	}
	return nil
}
