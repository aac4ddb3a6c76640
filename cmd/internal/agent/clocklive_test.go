package agent_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
)

// wiredClock is the clock of a boot in a bubble: its time is the truth, moved.
type wiredClock struct {
	boot  *boot
	moved time.Duration // from the bubble's time to the truth
}

func (c *wiredClock) truth() time.Time                     { return time.Now().Add(c.moved) }
func (c *wiredClock) Now() meter.Stamp                     { return c.boot.stamp(c.truth()) }
func (c *wiredClock) Received(*meter.Telegram) meter.Stamp { return c.Now() }

// pipe is a meter's line: each opening gives the meter's end to plug.
type pipe struct{ plug func(net.Conn) }

func (p pipe) Open(context.Context) (io.ReadCloser, error) {
	ours, meters := net.Pipe()
	p.plug(meters)
	return ours, nil
}
func (pipe) Live() bool     { return true }
func (pipe) String() string { return "pipe" }

// As on a gateway: readers, senders and the second hand side by side, a meter
// that speaks every ten seconds at 9600 baud, power cuts, clocks set late, and
// months between the two changes of summer time.
func TestAgentLivesThroughBothChangesOfSummerTime(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	at := inThatWinter
	boots := []boot{
		{from: at(time.October, 24, 21, 0), until: at(time.October, 25, 12, 0), begins: never, ppm: 150, changes: []change{
			{at: at(time.October, 24, 22, 20), sync: true},
			{at: at(time.October, 25, 1, 40), keep: true},
			{at: at(time.October, 25, 6, 0), sync: true},
		}},
		{from: at(time.October, 25, 20, 7), until: at(time.October, 26, 12, 0), begins: at(time.October, 25, 12, 0), ppm: -150, changes: []change{
			{at: at(time.October, 25, 22, 0), sync: true},
			{at: at(time.October, 26, 7, 2), sync: true, ahead: 5 * time.Hour},
			{at: at(time.October, 26, 7, 25), sync: true},
		}},
		{from: at(time.March, 27, 21, 0), until: at(time.March, 30, 12, 0), begins: never, changes: []change{
			{at: at(time.March, 27, 23, 50), sync: true},
			{at: at(time.March, 28, 1, 50), sync: true, ahead: -24 * time.Hour},
			{at: at(time.March, 28, 2, 10), sync: true},
		}},
	}
	const interval = 10 * time.Second
	b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: boots[0].from})
	require.NoError(t, b.store.Close())
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.store = nil
		m := sim.NewMeter(b.home, b.model, b.model.Device)
		for i := range boots {
			boot := &boots[i]
			time.Sleep(time.Minute)
			clock := &wiredClock{boot, time.Until(boot.from)}
			b.clock = clock
			b.reopen()
			ctx, cut := context.WithDeadline(t.Context(), time.Now().Add(boot.until.Sub(boot.from)))
			a := b.agent(false)
			a.ReadFrom(pipe{func(line net.Conn) {
				go func() {
					defer line.Close()
					head := sim.Head{Meter: m, From: clock.truth().Truncate(time.Second), Interval: interval}
					head.Run(ctx, line)
				}()
			}})
			require.NoError(t, a.Run(ctx))
			cut()
			synctest.Wait()
			require.NoError(t, b.store.Close())
		}
	})
	b.t = t
	b.reopen()
	b.requireTruth(t, boots, interval, 30*time.Second)
	days := map[int]int{}
	for _, p := range b.payloads {
		if p.Row == 5 && p.To == form.NB {
			days[len(p.Values[0].Intervals)]++
		}
	}
	require.Equal(t, 1, days[3*4+100], "from 21:00 to the end of the day on which summer time ends")
	require.Equal(t, 1, days[4*96+92], "over Easter, when it begins")
	require.NotContains(t, b.lamps.last, board.ReaderSilent)
}

// The clock is set while the meter is silent, and the day is built without what
// was read before. When the meter speaks again that is dated, and the day corrected.
func TestAgentCorrectsWhatWasBuiltBeforeReadingsWereDated(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	day := form.Date{Year: 2026, Month: time.November, Day: 4} // a Wednesday
	life := boot{from: day.At(20, 0), until: day.AddDays(1).At(13, 0), begins: never, changes: []change{{at: day.At(23, 50), sync: true}}}
	speaks := []time.Time{day.AddDays(-1).At(22, 0), day.At(23, 30), day.AddDays(1).At(0, 40)} // from, until, from again
	b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: speaks[0]})
	// The day before, so that the day has begun.
	b.live([]boot{{from: speaks[0], until: speaks[0].Add(4 * time.Hour), begins: speaks[0], changes: []change{{at: speaks[0], sync: true}}}}, time.Minute)
	require.NoError(t, b.store.Close())
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.store = nil
		m := sim.NewMeter(b.home, b.model, b.model.Device)
		clock := &wiredClock{&life, time.Until(life.from)}
		b.clock = clock
		b.reopen()
		ctx, cut := context.WithDeadline(t.Context(), time.Now().Add(life.until.Sub(life.from)))
		defer cut()
		a := b.agent(false)
		a.ReadFrom(pipe{func(line net.Conn) {
			go func() {
				defer line.Close()
				head := sim.Head{Meter: m, From: clock.truth().Truncate(time.Second), Until: speaks[1], Interval: 5 * time.Second}
				if head.From.After(speaks[1]) {
					time.Sleep(speaks[2].Sub(clock.truth()))
					head.From, head.Until = clock.truth(), time.Time{}
				}
				head.Run(ctx, line)
			}()
		}})
		require.NoError(t, a.Run(ctx))
		synctest.Wait()
		require.NoError(t, b.store.Close())
	})
	b.t = t
	b.reopen()
	states := map[int]map[form.State]int{} // by revision
	for _, p := range b.payloads {
		if p.Row != 6 || p.Period.From != day.Midnight() {
			continue
		}
		states[p.Revision] = map[form.State]int{}
		for _, i := range p.Values[0].Intervals {
			states[p.Revision][i.State]++
		}
	}
	require.Equal(t, map[int]map[form.State]int{
		0: {form.True: 8, form.Missing: 88},                    // until 2:00
		1: {form.True: 8, form.Unusable: 14, form.Missing: 74}, // and from 20:00 to 23:30
	}, states)
}

func TestSystemClockCountsBesideTheClock(t *testing.T) {
	t.Parallel()
	var c agent.SystemClock
	a := c.Now()
	b := c.Now()
	require.Positive(t, a.Elapsed)
	require.GreaterOrEqual(t, b.Elapsed, a.Elapsed)
	require.NotContains(t, a.Time.String(), "m=", "a monotonic part would hide a jump")
}
