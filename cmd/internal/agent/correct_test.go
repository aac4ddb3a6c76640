package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/sim"
)

// table is what the household's meter showed at boundaries, both included.
func (b *bench) table(from, to meter.Quarter, device meter.DeviceID) string {
	var t strings.Builder
	t.WriteString("time,obis,value,unit,state,offset_ms,server_id\n")
	for q := from; q <= to; q++ {
		fmt.Fprintf(&t, "%s,1-0:1.8.0,%s,Wh,true,0,%s\n", q, b.home.Registers(q.Time()).Drawn.Wh(-1), device)
	}
	return t.String()
}

func (b *bench) imports(c *control.Client, table string) (done control.Imported, err error) {
	return done, c.Send(b.t.Context(), control.ImportPath, strings.NewReader(table), &done)
}

// revision are the payloads of a revision.
func revision(n int) func(*form.Payload) bool {
	return func(p *form.Payload) bool { return p.Revision == n }
}

var (
	gapFrom = began.AddDays(4).At(10, 7)
	gapTo   = began.AddDays(4).At(12, 7)
)

// playWithGap plays until an instant, and the gateway is off for two hours.
func (b *bench) playWithGap(until time.Time) *agent.Agent {
	b.play(b.home.Since(), gapFrom)
	return b.play(gapTo, until)
}

func TestLateReadingsCorrectWhatWasSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 2}.At(12, 30)
	c := inside(b.playWithGap(until))
	dues := b.due(until)
	b.requireDelivered(dues)
	sent := map[string]*form.Payload{}
	for id, p := range b.payloads {
		sent[id] = p
	}

	device := sim.Models[0].Device
	done, err := b.imports(c, b.table(meter.QuarterOf(gapFrom)-3, meter.QuarterOf(gapTo)+5, device))
	require.NoError(t, err)
	require.Equal(t, 8, done.Stored)
	require.Equal(t, done.Readings-8, done.Present)
	b.play(until.Add(time.Minute), until.Add(40*time.Hour))
	corrected := b.take(revision(1))
	// The load profile of that day for NB, ÜNB and LF; the month for NB and LF. The
	// energy of row 1 was true without them.
	require.Len(t, corrected, 5)
	for _, p := range corrected {
		before := sent[p.Supersedes]
		require.NotNil(t, before)
		require.Equal(t, []any{before.Row, before.To, before.Period}, []any{p.Row, p.To, p.Period})
		for _, v := range p.Values {
			if v.Kind == form.LoadProfile {
				require.False(t, slices.ContainsFunc(v.Intervals, func(q form.Quantity) bool { return q.State != form.True }))
			} else {
				require.Equal(t, form.True, v.State)
			}
		}
		first, err := wire.Content(before)
		require.NoError(t, err)
		second, err := wire.Content(p)
		require.NoError(t, err)
		require.NotEqual(t, first, second)
	}

	// The same table once more changes nothing, and nothing is left for the 8th.
	done, err = b.imports(inside(b.agent(true)), b.table(meter.QuarterOf(gapFrom)-3, meter.QuarterOf(gapTo)+5, device))
	require.NoError(t, err)
	require.Zero(t, done.Stored)
	b.play(until.Add(40*time.Hour+time.Minute), form.Date{Year: 2026, Month: time.November, Day: 9}.At(12, 0))
	require.Empty(t, b.take(func(p *form.Payload) bool { return p.Revision > 0 }))
	entries := b.journal(agent.Imported)
	require.Len(t, entries, 1)
	require.Equal(t, "8", entries[0].Detail["readings"])
	require.NotEmpty(t, entries[0].Detail["who"])
}

// A gateway that is read once in a quarter hour compares no more than 96 payloads a
// day: the next day it goes on where it was.
func TestComparingGoesOnOverMidnight(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.every = meter.QuarterLength
	early, lately := began.AddDays(4).At(10, 0), began.AddDays(52).At(10, 0)
	const gap = 2 * time.Hour
	b.play(b.home.Since(), early)
	b.play(early.Add(gap), lately)
	until := began.AddDays(54).At(12, 0)
	c := inside(b.play(lately.Add(gap), until))
	compared := len(b.due(until))
	require.Greater(t, compared, 100)

	done, err := b.imports(c, b.table(meter.QuarterOf(early), meter.QuarterOf(lately.Add(gap)), sim.Models[0].Device))
	require.NoError(t, err)
	require.Equal(t, 14, done.Stored)
	b.play(until.Add(meter.QuarterLength), until.AddDate(0, 0, 3))
	got := map[form.Date]int{}
	for _, p := range b.take(revision(1)) {
		got[form.DateOf(p.Period.From.Time())]++
	}
	require.Equal(t, map[form.Date]int{form.DateOf(early): 3, began: 2, form.DateOf(lately): 3}, got, "two days, and the month")
}

func TestWhatIsPreliminaryIsSettledOnThe8th(t *testing.T) {
	t.Parallel()
	for _, interpolates := range []bool{false, true} {
		t.Run(fmt.Sprintf("interpolate=%v", interpolates), func(t *testing.T) {
			b := newBench(t)
			if interpolates {
				b.config.Contract.MarketLocations[0].Interpolate = 6 * time.Hour
			}
			eighth := form.Date{Year: 2026, Month: time.November, Day: 8}
			b.playWithGap(eighth.At(0, 0).Add(-time.Minute))
			require.Empty(t, b.take(revision(1)))
			until := eighth.AddDays(3).At(12, 0)
			c := inside(b.play(eighth.At(0, 0), until))
			settled := b.take(revision(1))
			require.Len(t, settled, 2, "the month for NB and LF, once")
			for _, p := range settled {
				require.EqualValues(t, 7, p.Row)
				require.NotNil(t, b.payloads[p.Supersedes])
				require.Equal(t, form.Preliminary, b.payloads[p.Supersedes].Values[1].State)
				power := p.Values[1]
				require.Equal(t, form.MaxPower, power.Kind)
				if interpolates {
					require.Equal(t, form.Substitute, power.State)
					require.Equal(t, form.Interpolation, power.Method)
				} else {
					require.Equal(t, form.Preliminary, power.State)
					require.True(t, power.Final)
				}
			}
			for _, it := range b.items(c, control.OutboxPath+"?all=1") {
				if it.Label["revision"] == "1" {
					require.Equal(t, eighth.AddDays(1).At(0, 0).UTC(), it.Due.UTC(), "by the end of the 8th")
				}
			}

			// What comes even later is better still.
			b.imports(c, b.table(meter.QuarterOf(gapFrom), meter.QuarterOf(gapTo)+1, sim.Models[0].Device))
			b.play(until.Add(time.Minute), until.Add(40*time.Hour))
			again := b.take(revision(2))
			require.Len(t, again, 2)
			for _, p := range again {
				require.Equal(t, form.True, p.Values[1].State)
			}
		})
	}
}

func TestTableThatContradictsIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := inside(b.playWithGap(began.AddDays(5).At(15, 0)))
	device := sim.Models[0].Device
	from, to := meter.QuarterOf(gapFrom)+1, meter.QuarterOf(gapTo)
	good := b.table(from, to, device)
	lines := strings.Split(strings.TrimSpace(good), "\n")
	replaced := func(n int, line string) string {
		other := slices.Clone(lines)
		other[n] = line
		return strings.Join(other, "\n")
	}
	first := strings.Split(lines[1], ",")
	with := func(column int, text string) string {
		fields := slices.Clone(first)
		fields[column] = text
		return strings.Join(fields, ",")
	}
	for _, bad := range []struct{ table, want string }{
		{replaced(1, with(2, "0.1")), "a register does not fall"},
		{replaced(1, with(2, "99999999.9")), "more than the "},
		{replaced(3, strings.Replace(lines[3], "true,0", "true,0,0", 1)), "line 4: 8 columns: want 7"},
		{replaced(2, with(0, "2026-10-27T09:20:00Z")), "line 3: "},
		{strings.ReplaceAll(good, ","+device.String(), ","), "want the column server_id"},
		{strings.ReplaceAll(good, device.String(), "0a01534f4d454f4e45"), "is this the table of another meter?"},
		{b.table(meter.QuarterOf(began.AddDays(40).At(0, 0)), meter.QuarterOf(began.AddDays(40).At(1, 0)), device), "lies in the future"},
	} {
		_, err := b.imports(c, bad.table)
		require.ErrorContains(t, err, bad.want)
	}
	readings, err := b.store.Boundaries("main", from, to)
	require.NoError(t, err)
	require.Empty(t, readings)
	require.Empty(t, b.journal(agent.Imported))
	done, err := b.imports(c, good)
	require.NoError(t, err)
	require.Equal(t, len(lines)-1, done.Stored)
}

// A new gateway at the same point takes the readings of the one before it: its
// months then have their past, and what that one sent it does not send again.
func TestNewGatewayTakesWhatTheOldOneRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	exchanged := began.AddDays(5).At(14, 7)
	b.play(b.home.Since(), exchanged)
	var table strings.Builder
	w := meter.NewTableWriter(&table, "reason", "server_id")
	readings, err := b.store.Boundaries("main", 0, meter.QuarterOf(exchanged))
	require.NoError(t, err)
	for i := range readings {
		require.NoError(t, w.Write(&readings[i]))
	}
	require.NoError(t, w.Flush())

	old := b
	b = newBench(t)
	b.home, b.key = old.home, old.key
	b.config.Gateway.ID = "ESMG0000000002"
	_, err = b.imports(inside(b.agentAt(exchanged)), table.String())
	require.ErrorContains(t, err, "own work has not begun")
	c := inside(b.play(exchanged.Add(time.Hour), exchanged.Add(2*time.Hour)))
	done, err := b.imports(c, table.String())
	require.NoError(t, err)
	require.Equal(t, len(readings), done.Stored)

	b.play(exchanged.Add(2*time.Hour+time.Minute), form.Date{Year: 2026, Month: time.November, Day: 3}.At(12, 30))
	begin := meter.QuarterOf(exchanged.Add(time.Hour)) + 1
	require.NotEmpty(t, b.payloads)
	for _, p := range b.payloads {
		require.GreaterOrEqual(t, p.Period.From, begin-1, "row %d", p.Row)
		require.Zero(t, p.Revision)
	}
}

// agentAt is an agent that was never run, at an instant.
func (b *bench) agentAt(at time.Time) *agent.Agent {
	b.clock = agent.NewSteppedClock(at)
	return b.agent(true)
}

// A cut between the readings' commit and the corrections': they are made at the
// next start.
func TestCorrectionsOutliveAPowerCut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := began.AddDays(6).At(12, 0)
	b.playWithGap(until)
	rest := &agent.Inspection{Store: b.store, Config: b.config, Now: func() time.Time { return until }, Looked: func(buffer.Event) error { return nil }}
	done, err := b.imports(control.Within(rest.Handler(), "the store"), b.table(meter.QuarterOf(gapFrom), meter.QuarterOf(gapTo)+1, sim.Models[0].Device))
	require.NoError(t, err)
	require.Equal(t, 8, done.Stored)
	b.reopen()
	b.play(until.Add(time.Minute), until.Add(26*time.Hour))
	require.Len(t, b.take(revision(1)), 3)
}

// An agent that looks at what came late while a large table is still on its way
// looks again when all of it is there.
func TestCorrectionsAreMadeOfAllOfATable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := began.AddDays(6).At(12, 0)
	b.playWithGap(until)
	looked := locker(func() {
		notes, err := b.store.Notes()
		require.NoError(t, err)
		for _, n := range notes {
			n.Done = true
			require.NoError(t, b.store.PutNote(n))
		}
	})
	rest := &agent.Inspection{Store: b.store, Config: b.config, Now: func() time.Time { return until }, Looked: func(buffer.Event) error { return nil }, Alone: looked}
	_, err := b.imports(control.Within(rest.Handler(), "the store"), b.table(meter.QuarterOf(gapFrom), meter.QuarterOf(gapTo)+1, sim.Models[0].Device))
	require.NoError(t, err)
	b.play(until.Add(time.Minute), until.Add(26*time.Hour))
	require.Len(t, b.take(revision(1)), 3)
	require.Len(t, b.journal(agent.Imported), 1)
}

// locker is called when somebody locks it.
type locker func()

func (l locker) Lock() { l() }
func (locker) Unlock() {}

// What gave way on a full disk is not missing: readings that come late do not let
// a payload be made anew whose own are erased.
func TestNoCorrectionIsMadeWithoutTheReadingsOfBefore(t *testing.T) {
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 2}.At(12, 30)
	c := inside(b.playWithGap(until))
	b.requireDelivered(b.due(until))
	erased, err := b.store.Retain(until, buffer.Policy{History: until.Sub(gapFrom.Add(-time.Hour))})
	require.NoError(t, err)
	require.NotZero(t, erased.Boundaries)
	done, err := b.imports(c, b.table(meter.QuarterOf(gapFrom)+1, meter.QuarterOf(gapTo), sim.Models[0].Device))
	require.NoError(t, err)
	require.NotZero(t, done.Stored)
	b.play(until.Add(time.Minute), until.Add(40*time.Hour))
	require.Empty(t, b.take(revision(1)))
}

// Nor where a damaged store lost all of them, and the meter was not read since.
func TestNoCorrectionIsMadeOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 2}.At(12, 30)
	b.playWithGap(until)
	require.NoError(t, b.store.Close())
	file, err := bolt.Open(b.store.Path(), 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, file.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"boundaries", "fresh"} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, file.Close())
	b.reopen()
	on8th := form.Date{Year: 2026, Month: time.November, Day: 8}.At(12, 1)
	c := inside(b.play(on8th, on8th.Add(5*time.Minute)))
	for _, it := range b.items(c, control.OutboxPath+"?all=1") {
		require.Equal(t, "0", it.Label["revision"])
	}
}
