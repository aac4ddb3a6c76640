//go:build !race

// Under the race detector it takes minutes, and finds nothing that
// TestAgentLivesThroughBothChangesOfSummerTime does not: the same goroutines.

package agent_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/meter/form"
	"smgw/meter/sim"
)

// optic is a line whose telegrams come whole, at every full interval.
type optic struct {
	meter    *sim.Meter
	truth    func() time.Time
	interval time.Duration
}

func (o optic) Open(ctx context.Context) (io.ReadCloser, error) {
	return &opticEnd{optic: o, ctx: ctx}, nil
}
func (optic) Live() bool     { return true }
func (optic) String() string { return "optic" }

type opticEnd struct {
	optic
	ctx context.Context
}

func (e *opticEnd) Read(p []byte) (int, error) {
	next := e.truth().Truncate(e.interval).Add(e.interval)
	select {
	case <-e.ctx.Done():
		return 0, e.ctx.Err()
	case <-time.After(next.Sub(e.truth())):
	}
	return copy(p, e.meter.AppendTelegram(nil, next)), nil
}

func (e *opticEnd) Close() error { return nil }

// An agent that is never stopped, second by second over the weeks round each change
// of summer time: its clock begins in 1970, loses its source for a day and lies
// meanwhile, and it delivers each day and month, once and true.
func TestAgentRunsForMonthsWithoutAStop(t *testing.T) {
	t.Parallel()
	at := inThatWinter
	day, hour := 24*time.Hour, time.Hour
	for name, c := range map[string]struct {
		life boot
		more int // quarter hours of the day of the change than 96
	}{
		"summer time ends": {boot{from: at(time.October, 20, 21, 0), until: at(time.December, 2, 13, 0), begins: never, ppm: 150, changes: []change{
			{at: at(time.October, 20, 22, 20), sync: true},
			{at: at(time.October, 24, 23, 0), keep: true}, // for the night of the change
			{at: at(time.October, 25, 9, 0), sync: true},
			{at: at(time.November, 3, 7, 0), keep: true}, // for a day and a half
			{at: at(time.November, 4, 16, 0), sync: true},
			{at: at(time.November, 12, 7, 1), sync: true, ahead: 3 * hour}, // a lie
			{at: at(time.November, 12, 7, 22), sync: true},
		}}, 4},
		"summer time begins": {boot{from: at(time.February, 25, 21, 0), until: at(time.April, 8, 13, 0), begins: never, ppm: -150, changes: []change{
			{at: at(time.February, 26, 4, 20), sync: true},
			{at: at(time.March, 10, 2, 0), sync: true, ahead: -day},
			{at: at(time.March, 10, 2, 20), sync: true},
			{at: at(time.March, 28, 1, 50), keep: true}, // ten minutes before the change
			{at: at(time.March, 28, 3, 40), sync: true},
		}}, -4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const interval = 5 * time.Minute
			b := newLives(t)
			b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: c.life.from})
			require.NoError(t, b.store.Close())
			synctest.Test(t, func(t *testing.T) {
				b.t = t
				b.store = nil
				clock := &wiredClock{&c.life, time.Until(c.life.from)}
				b.clock = clock
				b.reopen()
				ctx, cut := context.WithDeadline(t.Context(), time.Now().Add(c.life.until.Sub(c.life.from)))
				defer cut()
				a := b.agent(false)
				a.ReadFrom(optic{sim.NewMeter(b.home, b.model, b.model.Device), clock.truth, interval})
				require.NoError(t, a.Run(ctx))
				require.NoError(t, b.store.Close())
			})
			b.t = t
			b.reopen()
			b.requireTruth(t, []boot{c.life}, interval, 30*time.Second)

			first, last := form.DateOf(c.life.from).AddDays(1), form.DateOf(c.life.until)
			days, changed, months := map[form.Date]int{}, 0, 0
			for _, p := range b.payloads {
				switch {
				case p.Row == 5 && p.To == form.NB && p.Revision == 0:
					for d := form.DateOf(p.Period.From.Time()); d.Midnight() < p.Period.To; d = d.AddDays(1) {
						days[d]++
					}
					if (len(p.Values[0].Intervals)-c.more)%96 == 0 {
						changed++
					}
				case p.Row == 7 && p.To == form.NB && p.Revision == 0:
					months++
				}
			}
			for d := first; d.Midnight() < last.AddDays(-1).Midnight(); d = d.AddDays(1) {
				require.Equal(t, 1, days[d], d)
			}
			require.Equal(t, 1, changed, "a payload has the day of the change")
			require.Equal(t, 2, months, "the one in which it began, and the whole one")
		})
	}
}
