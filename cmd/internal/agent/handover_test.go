package agent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
)

func (b *bench) handsOver(c *control.Client, table string) (done control.Imported, err error) {
	return done, c.Send(b.t.Context(), control.ImportPath+"?handover=1", strings.NewReader(table), &done)
}

// exported is what a gateway leaves, as smgw decommission --export writes it.
func (b *bench) exported() string {
	var table strings.Builder
	w := meter.NewTableWriter(&table, "reason", "server_id")
	readings, err := b.store.Boundaries("main", 0, meter.QuarterOf(time.Now().AddDate(9, 0, 0)))
	require.NoError(b.t, err)
	for i := range readings {
		require.NoError(b.t, w.Write(&readings[i]))
	}
	require.NoError(b.t, w.Flush())
	return table.String()
}

// follower is a new gateway at the metering point of another.
func (b *bench) follower() *bench {
	n := newBench(b.t)
	n.home, n.key = b.home, b.key
	n.config.Gateway.ID = "ESMG0000000002"
	return n
}

// One gateway ends at 12:00 and the next has its first reading an hour or a day
// later: both together tell all that the meter counted, and nothing twice.
func TestNothingIsLostBetweenTwoGateways(t *testing.T) {
	for _, away := range []time.Duration{time.Hour, 25 * time.Hour} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			old := newBench(t)
			taken := began.AddDays(5).At(12, 7) // a Wednesday
			end := meter.QuarterOf(taken)
			old.decommission(inside(old.play(old.home.Since(), taken)))
			old.end = end
			old.play(taken.Add(time.Minute), taken.Add(time.Hour))

			b := old.follower()
			first := end.Time().Add(away)
			installed := first.Add(2 * time.Hour)
			b.play(first.Add(-5*time.Minute), first.Add(time.Hour))
			c := inside(b.play(first.Add(time.Hour+time.Minute), installed))
			marks, err := b.store.Series()
			require.NoError(t, err)
			require.Len(t, marks, 2, "its series are begun, and nothing of them is built")
			require.Equal(t, meter.QuarterOf(first), b.history().Versions[0].From)
			done, err := b.handsOver(c, old.exported())
			require.NoError(t, err)
			require.Equal(t, done.Readings, done.Stored)
			require.Equal(t, &end, done.Begins)
			require.Equal(t, end, b.history().Versions[0].From)
			done, err = b.handsOver(c, old.exported())
			require.NoError(t, err, "once more is nothing more")
			require.Zero(t, done.Stored)
			entries := b.journal(agent.HandedOver)
			require.Len(t, entries, 1)
			require.Equal(t, end.String(), entries[0].Detail["from"])
			require.Equal(t, meter.QuarterOf(first).String(), entries[0].Detail["before"])
			require.NotEmpty(t, entries[0].Detail["who"])

			b.reopen()
			until := form.Date{Year: 2026, Month: time.November, Day: 3}.At(12, 30)
			b.play(installed.Add(time.Minute), until)
			november := form.Date{Year: 2026, Month: time.November, Day: 1}.Midnight()
			type receiver struct {
				form.RowNumber
				form.Role
			}
			energy := map[receiver]decimal.Decimal{}
			quarters := map[receiver]map[meter.Quarter]bool{}
			profile := decimal.Zero
			absent := 0
			for _, g := range []*bench{old, b} {
				for _, p := range g.payloads {
					to := receiver{p.Row, p.To}
					switch v := p.Values[0]; {
					case v.Kind == form.Energy && p.Row != 3 && p.Period.To <= november:
						require.Equal(t, form.True, v.State, p.Period)
						energy[to] = energy[to].Add(v.Amount.Decimal)
					case v.Kind == form.LoadProfile:
						if quarters[to] == nil {
							quarters[to] = map[meter.Quarter]bool{}
						}
						for n, i := range v.Intervals {
							q := p.Period.From + meter.Quarter(n)
							require.False(t, quarters[to][q], "%s is told twice to %s", q, p.To)
							quarters[to][q] = true
							gone := q >= end && q.Time().Before(first)
							require.Equal(t, gone, !i.Amount.Valid, q)
							if gone {
								require.Equal(t, form.Communication, i.Reason)
								absent++
							} else if p.Row == 6 && q < november {
								profile = profile.Add(i.Amount.Decimal)
							}
						}
					}
				}
			}
			wh := func(q meter.Quarter) decimal.Decimal { return b.home.Registers(q.Time()).Drawn.Wh(-1) }
			counted := wh(november).Sub(wh(began.Midnight())).Shift(-3)
			require.Len(t, energy, 3, "row 1 for LF, row 7 for NB and LF")
			for to, sum := range energy {
				require.Equal(t, counted.String(), sum.String(), to)
			}
			between := wh(meter.QuarterOf(first)).Sub(wh(end)).Shift(-3)
			require.Positive(t, between.Sign())
			require.Equal(t, counted.Sub(between).String(), profile.String())
			require.Len(t, quarters, 3)
			for to, all := range quarters {
				for q := began.Midnight(); q < november; q++ {
					require.True(t, all[q], "%s is not told to %s", q, to.Role)
				}
			}
			require.Equal(t, 3*int(away/meter.QuarterLength), absent)
		})
	}
}

func TestHandoverThatCannotBeIsRefused(t *testing.T) {
	b := newBench(t)
	from := b.home.Since().Add(7 * time.Hour)
	installed := began.At(15, 7)
	c := inside(b.play(from, installed))
	begin := meter.QuarterOf(from)
	device := sim.Models[0].Device
	refused := func(table, why string) {
		t.Helper()
		_, err := b.handsOver(c, table)
		require.ErrorContains(t, err, "nothing is imported: ")
		require.ErrorContains(t, err, why)
		require.Equal(t, begin, b.history().Versions[0].From)
		require.Empty(t, b.journal(agent.Imported))
		require.Empty(t, b.journal(agent.HandedOver))
	}
	before := b.table(begin-8, begin-4, device)
	refused(b.table(begin-4, begin+1, device), "the table ends at 2026-10-23T07:15:00+02:00, and this gateway's own work began before, at 2026-10-23T07:00:00+02:00: both have the time between; without --handover")
	refused("time,obis,value,unit,state,offset_ms,server_id\n", "the table has no reading")
	refused(b.table(begin-90*96, begin-90*96, device), "more than 80 days before")
	b.config.Contract.From = began.AddDays(1)
	refused(before, "and the contract holds from 2026-10-24: put the day from which it holds")
	b.config.Contract.From = form.Date{}

	// The day is over, and its payloads are built.
	c = inside(b.play(installed.Add(time.Minute), began.AddDays(4).At(12, 0)))
	refused(before, "payloads are built already (row ")
	refused(before, "A gateway is handed over on the day of its installation, before its first midnight")
	_, err := b.imports(c, before)
	require.NoError(t, err)
}
