package agent_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
)

// outage is a gateway whose head-end was away.
type outage struct {
	*gateway
	headend     *headend.HeadEnd
	connections atomic.Int32 // to the head-end
}

// newOutage reads the meters from one instant to another without a head-end, a
// telegram each minute. The head-end is there at the end.
func newOutage(t testing.TB, dir string, from, until time.Time) *outage {
	t.Helper()
	m := newOperator(t, dir)
	o := &outage{headend: m.headend}
	endpoint := o.counted(t, strings.TrimPrefix(m.headend.Endpoint(), "https://"))
	o.gateway = m.gateway(t, "ESMG0000000001", endpoint, sim.NewHousehold(sim.Options{Seed: 7, Since: from, RoofPeak: 8000}))
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
