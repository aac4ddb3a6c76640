package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
	"smgw/meter/sim"
)

// Power cuts at random moments, of the gateway and of the head-end: what either
// had said it kept is there, every payload arrives under one id, and every
// quarter hour that is called true is what the meter counted between its two
// readings. What lay in the port when the power went is lost, and says so.
//
// SMGW_KILLS is how many kills (20; the long run has 300), SMGW_SEED which.
func TestNothingIsLostToSIGKILL(t *testing.T) {
	kills, seed := fromEnvironment(t, "SMGW_KILLS", 20), fromEnvironment(t, "SMGW_SEED", 1)
	c := &cuts{line: newLine(t), random: rand.New(rand.NewPCG(uint64(seed), 0)), kept: map[meter.Quarter]meter.BoundaryReading{}}
	first := form.DateOf(mustTime(t, lineFrom))
	end := first.AddDays(4+kills/6).At(13, 0)
	c.until = end.Format(time.RFC3339)

	// Twice as many telegrams as elsewhere make the meter slow enough to be struck in
	// between: an agent reads a day of them in half a second.
	m := c.meter("--interval", "5s")
	c.start()
	for _, cut := range c.plan(kills, first.At(1, 0), end.AddDate(0, 0, -2)) {
		c.waitUntil(cut.at.Format(time.RFC3339))
		c.cut(cut.of)
	}
	require.NoError(t, m.Wait())
	c.waitUntil(c.until)
	c.terminate(c.running)

	c.requireKept("at the end", 0)
	deliveries, err := c.control.Deliveries(t.Context())
	require.NoError(t, err)
	c.requireAllDue(deliveries)
	c.requireAcknowledgedOnce(deliveries)
	c.requireEnergy(deliveries)
	t.Logf("%d kills of the agent while it ran, %d while it started, %d of the head-end; %d quarter hours true, %d missing", c.done[agentCut], c.done[startCut], c.done[headEndCut], c.exact, c.missing)
	require.Equal(t, kills, c.done[agentCut]+c.done[startCut]+c.done[headEndCut])
	require.Greater(t, c.exact, 10*c.missing)
}

func fromEnvironment(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// cuts is a line whose processes are killed.
type cuts struct {
	*line
	random  *rand.Rand
	running *exec.Cmd                               // the agent
	kept    map[meter.Quarter]meter.BoundaryReading // what the store once had
	done    [3]int
	exact   int // quarter hours whose energy is what the meter counted
	missing int
}

// whom a cut strikes.
const (
	agentCut   = iota // the agent, while it runs
	startCut          // and again while it starts
	headEndCut        // the head-end
)

type powerCut struct {
	at time.Time
	of int
}

// plan is when the cuts strike, and whom.
func (c *cuts) plan(n int, from, until time.Time) []powerCut {
	plan := make([]powerCut, n)
	for i := range plan {
		plan[i] = powerCut{from.Add(time.Duration(c.random.Int64N(int64(until.Sub(from))))), []int{agentCut, agentCut, startCut, headEndCut}[c.random.IntN(4)]}
	}
	slices.SortFunc(plan, func(a, b powerCut) int { return a.at.Compare(b.at) })
	return plan
}

func (c *cuts) start() { c.running = c.agent() }

// cut kills, looks at what is left, and starts again.
func (c *cuts) cut(of int) {
	c.t.Helper()
	c.done[of]++
	// A moment of no process's own choosing: it is the kernel's business what
	// each of them does then.
	moment := func() { time.Sleep(time.Duration(c.random.Int64N(int64(40 * time.Millisecond)))) }
	if of == headEndCut {
		moment()
		c.kill(c.headEnd)
		moment()
		endpoint, err := url.Parse(c.config.HeadEnd.Endpoint)
		require.NoError(c.t, err)
		require.Equal(c.t, c.config.HeadEnd.Endpoint, c.startHeadEnd(endpoint.Host))
		return
	}
	said, err := c.status()
	require.NoError(c.t, err)
	moment()
	c.kill(c.running)
	if of == startCut {
		c.start()
		moment()
		c.kill(c.running)
	}
	last := meter.Quarter(0)
	if said.Meters[0].LastBoundary != nil {
		last = *said.Meters[0].LastBoundary
	}
	c.requireKept("after a cut at "+said.Now.Time.String(), last)
	c.start()
}

// kill is a power cut for one process.
func (c *cuts) kill(p *exec.Cmd) {
	c.t.Helper()
	require.NoError(c.t, p.Process.Kill())
	require.Error(c.t, p.Wait(), "it was killed, and had not ended before")
}

// requireKept checks the store at rest: it is sound, its journal's chain
// unbroken, and it has every reading that it ever had, and the one that the
// agent said it kept.
func (c *cuts) requireKept(when string, said meter.Quarter) {
	c.t.Helper()
	path := agent.StorePath(c.config)
	require.NoError(c.t, buffer.Check(path), when)
	store, err := buffer.Open(path, buffer.Options{ReadOnly: true})
	require.NoError(c.t, err, when)
	defer store.Close()
	require.NoError(c.t, store.VerifyJournal(), when)
	last, _, err := store.LastBoundary("main")
	require.NoError(c.t, err)
	require.GreaterOrEqual(c.t, last.Boundary, said, when)
	readings, err := store.Boundaries("main", 0, last.Boundary)
	require.NoError(c.t, err)
	now := map[meter.Quarter]meter.BoundaryReading{}
	for _, b := range readings {
		now[b.Boundary] = b
	}
	for q, b := range c.kept {
		require.Equal(c.t, b, now[q], "%s: the reading at %s", when, q)
	}
	c.kept = now
}

// requireAcknowledgedOnce checks that what the agent took off its outbox is in
// the head-end's books, each once.
func (c *cuts) requireAcknowledgedOnce(deliveries []headend.Delivery) {
	c.t.Helper()
	var delivered, acknowledged []string
	for _, d := range deliveries {
		delivered = append(delivered, d.ID)
	}
	store, err := buffer.Open(agent.StorePath(c.config), buffer.Options{ReadOnly: true})
	require.NoError(c.t, err)
	defer store.Close()
	require.NoError(c.t, store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind == agent.Delivered {
			acknowledged = append(acknowledged, e.Detail["id"])
		}
		return true
	}))
	require.ElementsMatch(c.t, delivered, acknowledged)
}

// requireEnergy checks that every reading is what the meter showed when it was
// read, and that every quarter hour that is true is the difference of its two.
func (c *cuts) requireEnergy(deliveries []headend.Delivery) {
	c.t.Helper()
	meterOf := simulatedMeter{seed: 1, roof: 8000, model: sim.Models[0].Name, start: lineFrom, until: c.until, interval: 5 * time.Second}
	head, err := meterOf.head()
	require.NoError(c.t, err)
	for q, b := range c.kept {
		shown := head.Meter.Shows(q.Time().Add(b.Offset))
		for _, r := range b.Registers {
			require.True(c.t, shown[r.Code].Equal(r.Value), "%s at %s%+v: kept %s Wh, the meter showed %s Wh", r.Code.Short(), q, b.Offset, r.Value, shown[r.Code])
		}
	}
	code := map[form.MarketLocationID]obis.Code{}
	for _, m := range c.config.Contract.MarketLocations {
		code[m.MaLo] = map[form.Direction]obis.Code{form.Draw: obis.Drawn, form.FeedIn: obis.FedIn}[m.Direction]
	}
	for _, d := range deliveries {
		if d.Payload.Row != 6 {
			continue
		}
		for i, got := range d.Payload.Values[0].Intervals {
			q := d.Payload.Period.From + meter.Quarter(i)
			from, has := c.register(q, code[d.Payload.MaLo])
			to, hasNext := c.register(q.Next(), code[d.Payload.MaLo])
			what := fmt.Sprintf("quarter hour %s of %s", q, d.Payload.MaLo)
			if !has || !hasNext {
				require.Equal(c.t, form.Missing, got.State, what)
				require.Equal(c.t, form.Communication, got.Reason, what)
				c.missing++
				continue
			}
			require.Equal(c.t, form.True, got.State, what)
			require.Equal(c.t, to.Sub(from).String(), got.Amount.Decimal.Shift(3).String(), what)
			c.exact++
		}
	}
	require.NotZero(c.t, c.exact)
}

// register is what was kept of a register at a boundary, if it can be used.
func (c *cuts) register(q meter.Quarter, code obis.Code) (decimal.Decimal, bool) {
	b, kept := c.kept[q]
	if !kept || b.Offset.Abs() > c.config.Readings.OffsetLimit {
		return decimal.Decimal{}, false
	}
	return b.Register(code)
}
