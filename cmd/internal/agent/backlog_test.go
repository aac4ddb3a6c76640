package agent_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
	"smgw/tls/authority"
	"smgw/tls/identity"
)

// roofedText is the household that has most rows: of class B, with a roof.
const roofedText = `
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"

[[market_location]]
malo = "41373559241"
direction = "draw"
class = "B"
receiver = [
    { role = "LF", partner_id = "9900357000004" },
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

// outage is a gateway whose head-end, a real one with TLS and a store that
// syncs, was away.
type outage struct {
	config      *config.Config
	papers      *agent.Papers
	store       *buffer.Store
	headend     *headend.HeadEnd
	connections atomic.Int32 // to the head-end
	home        *sim.Household
	clock       *agent.SteppedClock
}

// newOutage reads the meters from one instant to another without a head-end, a
// telegram each minute. The head-end is there at the end.
func newOutage(t testing.TB, dir string, from, until time.Time) *outage {
	t.Helper()
	o := &outage{}
	pki, err := authority.Create(filepath.Join(dir, "pki"))
	require.NoError(t, err)
	key, chain, err := pki.HeadEnd([]string{"127.0.0.1"}, authority.Sound)
	require.NoError(t, err)
	books := filepath.Join(dir, "headend")
	require.NoError(t, headend.Install(books, key, chain, pki.Roots()))
	o.headend, err = headend.Open(headend.Options{Dir: books, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.headend.Close()) })
	endpoint := o.counted(t, strings.TrimPrefix(o.headend.Endpoint(), "https://"))

	const id = "ESMG0000000001"
	state := filepath.Join(dir, "gateway")
	require.NoError(t, identity.Create(filepath.Join(state, "identity"), id, false))
	issued, err := pki.Enrol(filepath.Join(state, "identity"))
	require.NoError(t, err)
	text := fmt.Sprintf("[gateway]\nid = %q\nstate_dir = %q\n[[meter]]\nport = \"/dev/reader\"\n[headend]\nendpoint = %q\n", id, state, endpoint) + roofedText
	file := filepath.Join(dir, "smgw.toml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	_, err = headend.Enrol(books, id, issued, file)
	require.NoError(t, err)
	o.config, err = config.Load(file)
	require.NoError(t, err)
	o.papers, err = agent.OpenPapers(o.config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(o.papers.Close)
	o.store, err = buffer.Open(agent.StorePath(o.config), buffer.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.store.Close()) })

	o.home = sim.NewHousehold(sim.Options{Seed: 7, Since: from, RoofPeak: 8000})
	o.clock = agent.NewSteppedClock(from)
	require.NoError(t, o.headend.SetFaults(headend.Faults{Down: true}))
	o.play(t, from, until)
	require.NoError(t, o.headend.SetFaults(headend.Faults{}))
	return o
}

// counted passes connections on to an address, and counts them.
func (o *outage) counted(t testing.TB, address string) (endpoint string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", address)
			if err != nil {
				conn.Close()
				continue
			}
			o.connections.Add(1)
			pass := func(a, b net.Conn) {
				io.Copy(a, b)
				a.Close()
				b.Close()
			}
			passing.Go(func() { pass(conn, to) })
			passing.Go(func() { pass(to, conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		passing.Wait()
	})
	return "https://" + l.Addr().String()
}

// play lets the agent read the meter from one instant to another.
func (o *outage) play(t testing.TB, from, until time.Time) {
	t.Helper()
	o.agent(t, &stream{meter: sim.NewMeter(o.home, sim.Models[0], sim.Models[0].Device), next: from, until: until})()
}

// agent is one over the gateway's store that reads a stream.
func (o *outage) agent(t testing.TB, s *stream) (run func()) {
	own, err := o.papers.Look()
	require.NoError(t, err)
	a, err := agent.New(agent.Options{
		Config: o.config, Store: o.store, Signer: own.Signature.Signer, KeyID: own.Signature.KeyID(), Papers: o.papers, Client: o.papers,
		Lamps: &lamps{}, Clock: o.clock, Log: slog.New(slog.DiscardHandler), InStep: true,
		Source: func(string) (meter.Source, error) { return s, nil },
	})
	require.NoError(t, err)
	return func() { require.NoError(t, a.Run(t.Context())) }
}

// stream is a recording of a telegram each pause that is made while it is read.
type stream struct {
	meter       *sim.Meter
	next, until time.Time
	pause       time.Duration      // 0: a minute
	before      func(at time.Time) // called before each telegram, when all before it are read; nil: not
	rest        []byte
}

func (s *stream) Open(context.Context) (io.ReadCloser, error) { return io.NopCloser(s), nil }
func (s *stream) Live() bool                                  { return false }
func (s *stream) String() string                              { return "stream" }

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.next.After(s.until) {
			return 0, io.EOF
		}
		if s.before != nil {
			s.before(s.next)
		}
		s.rest = s.meter.AppendTelegram(s.rest[:0], s.next)
		s.next = s.next.Add(cmp.Or(s.pause, time.Minute))
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// The last telegram before the head-end is back, and the first after it: late on a
// working day, when the day before it is overdue as well.
var (
	awayFrom  = form.Date{Year: 2026, Month: time.October, Day: 16}.At(0, 0)
	backAgain = form.Date{Year: 2026, Month: time.November, Day: 17}.At(15, 0) // a Tuesday
)

// What waited for a month arrives once, over one connection: the newest day first,
// then from old to new.
func TestABacklogIsDeliveredInOrderOverOneConnection(t *testing.T) {
	t.Parallel()
	awayFrom := awayFrom.AddDate(0, 0, 13) // a commit for each quarter hour takes its time
	o := newOutage(t, quickDir(t), awayFrom, backAgain)
	before := o.connections.Load()
	o.play(t, backAgain.Add(time.Hour), backAgain.Add(time.Hour))

	deliveries, err := o.headend.Deliveries()
	require.NoError(t, err)
	h := &form.History{Versions: []form.Version{{From: meter.QuarterOf(awayFrom), Contract: &o.config.Contract}}}
	dues := slices.DeleteFunc(h.Plan(form.DateOf(awayFrom), form.DateOf(backAgain)), func(d form.Due) bool { return d.At.After(backAgain) })
	require.Greater(t, len(dues), 60)
	type what struct {
		row    form.RowNumber
		malo   form.MarketLocationID
		to     form.Role
		period form.Period
	}
	var want, got []what
	for _, d := range dues {
		want = append(want, what{d.Row, d.MaLo, d.To, d.Period})
	}
	for _, d := range deliveries {
		got = append(got, what{d.Payload.Row, d.Payload.MaLo, d.Payload.To, d.Payload.Period})
	}
	require.ElementsMatch(t, want, got)
	require.EqualValues(t, 1, o.connections.Load()-before, "connections")

	const newest = 6 // two market locations, three receivers
	monday := meter.QuarterOf(form.Date{Year: 2026, Month: time.November, Day: 16}.At(0, 0))
	var ends []meter.Quarter
	for i, w := range got {
		if i < newest {
			require.Equal(t, monday, w.period.From, "delivery %d", i)
		} else {
			require.NotEqual(t, monday, w.period.From, "delivery %d", i)
			ends = append(ends, w.period.To)
		}
	}
	require.True(t, slices.IsSorted(ends), "then from old to new")
}

// BenchmarkBacklog is a month of all rows of a household with a roof, from the
// moment that the head-end is back: TLS, a store that syncs, and the head-end's
// own that syncs before each answer.
func BenchmarkBacklog(b *testing.B) {
	for range b.N {
		b.StopTimer()
		o := newOutage(b, b.TempDir(), awayFrom, backAgain)
		run := o.agent(b, &stream{meter: sim.NewMeter(o.home, sim.Models[0], sim.Models[0].Device), next: backAgain.Add(time.Hour), until: backAgain.Add(time.Hour)})
		b.StartTimer()
		run()
		b.StopTimer()
		deliveries, err := o.headend.Deliveries()
		require.NoError(b, err)
		require.Greater(b, len(deliveries), 100)
		b.ReportMetric(float64(len(deliveries)), "payloads")
		b.StartTimer()
	}
}

// The real thing once more: a head-end that stores and whose answer is lost, three
// times. It is asked again until its answer comes through, and has it once.
func TestALostAcknowledgementLeadsToNoSecondValue(t *testing.T) {
	t.Parallel()
	from := form.Date{Year: 2026, Month: time.November, Day: 13}.At(0, 0) // a Friday
	back := form.Date{Year: 2026, Month: time.November, Day: 16}.At(15, 0)
	o := newOutage(t, quickDir(t), from, back)
	require.NoError(t, o.headend.SetFaults(headend.Faults{LoseAck: true, Times: 3}))
	o.play(t, back.Add(time.Hour), back.Add(6*time.Hour))
	require.Zero(t, o.headend.Faults(), "it has lost three")

	deliveries, err := o.headend.Deliveries()
	require.NoError(t, err)
	const due = 6 // two market locations, three receivers
	require.Len(t, deliveries, due)
	answers := map[string]int{}
	require.NoError(t, o.store.Flush())
	require.NoError(t, o.store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind == agent.Delivered {
			answers[e.Detail["status"]]++
		}
		return true
	}))
	require.Equal(t, map[string]int{"201": due - 1, "200": 1}, answers, "one payload was sent four times")
}
