package agent_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// figure is a momentary figure: of row 9 or of the grid's state, at an instant.
type figure struct {
	row form.RowNumber
	at  int64 // Unix seconds
}

// oweFigures notes the figures that a telegram at a quarter hour makes due.
func (w *world) oweFigures(p *place) {
	w.figures[figure{9, w.now.Unix()}] = true
	c := w.history(w.t).At(meter.QuarterOf(w.now))
	for code := range p.meter.Shows(w.now) {
		if c != nil && sendsGrid(code, c.TransformerFactor) {
			w.figures[figure{form.GridState, w.now.Unix()}] = true
		}
	}
}

// sendsGrid reports whether a value is one of the grid's state: behind a
// transformer voltages and currents are not.
func sendsGrid(code obis.Code, factor int64) bool {
	unit, ok := meter.GridUnit(code)
	return ok && (factor == 1 || unit != meter.Volt && unit != meter.Ampere)
}

// requireShown holds a momentary figure against what the meter showed within the
// limit from its instant, unless a wrong clock named that quarter hour.
func (w *world) requireShown(t require.TestingT, p *form.Payload, h *form.History) {
	if w.doubtful[p.Period.From] {
		w.done["a figure of a doubtful instant"]++
		return
	}
	require.False(t, w.now.Before(p.Moment), "row %d of %s came at %s", p.Row, p.Moment, w.now)
	if w.farewell != nil {
		require.False(t, p.Moment.After(w.lastRead), "row %d of %s, after the gateway's end", p.Row, p.Moment)
	}
	c := h.At(p.Period.From)
	var near []glance
	exactly := false
	for _, g := range slices.Backward(w.roof().glances) {
		if off := p.Moment.Sub(g.at); off > c.OffsetLimit {
			break
		} else if off.Abs() <= c.OffsetLimit {
			near, exactly = append(near, g), exactly || g.sound && off == 0
		}
	}
	for _, v := range p.Values {
		if !v.Amount.Valid {
			require.False(t, exactly, "row %d of %s has nothing, and the meter showed it", p.Row, p.Moment)
			continue
		}
		require.True(t, slices.ContainsFunc(near, func(g glance) bool {
			return v.Amount.Decimal.Equal(tells(g.meter.Shows(g.at), v.Code, c.TransformerFactor))
		}), "row %d of %s says that %s was %s", p.Row, p.Moment, v.Code.Short(), v.Amount.Decimal)
	}
	w.done["a momentary figure as the meter showed it"]++
}

// tells is what the form makes of what a meter shows.
func tells(shown map[obis.Code]decimal.Decimal, code obis.Code, factor int64) decimal.Decimal {
	if code != obis.PowerFedIn {
		return shown[code]
	}
	fedIn := decimal.Max(decimal.Zero, shown[obis.Power].Neg())
	return fedIn.Mul(decimal.New(factor, -3))
}

// requireFigures holds that each figure that must come waits, or came; in the end
// each came. What waited too long, or had no room, was given up, and that is told.
func (w *world) requireFigures(all bool) {
	if len(w.figures) == 0 {
		return
	}
	there := map[figure]bool{}
	for _, d := range w.books {
		if !d.payload.Moment.IsZero() {
			there[figure{d.payload.Row, d.payload.Moment.Unix()}] = true
		}
	}
	ofItem := func(it buffer.Item) {
		if at, err := time.Parse(time.RFC3339, it.Label["moment"]); err == nil {
			row, _ := strconv.Atoi(it.Label["row"])
			there[figure{form.RowNumber(row), at.Unix()}] = true
		}
	}
	for _, it := range w.gone {
		ofItem(it)
	}
	if !all {
		require.NoError(w.t, w.store.Items(func(it buffer.Item) bool { ofItem(it); return true }))
	}
	lost := append(w.told(agent.MomentsLost), w.told(buffer.LossFull)...)
	for f := range w.figures {
		q := meter.QuarterOf(time.Unix(f.at, 0))
		if !there[f] {
			require.True(w.t, slices.ContainsFunc(lost, func(n form.Notice) bool { return n.From <= q && q <= n.To }),
				"row %d of %s is nowhere", f.row, time.Unix(f.at, 0).UTC())
			w.done["a momentary figure lost, and told"]++
			delete(w.figures, f)
		}
	}
	if all {
		clear(w.figures)
	}
}

// demanded is a network operator who wants to know what is fed in now.
func (w *world) demanded(t *rapid.T) {
	if !w.clock.right(w.now) || w.full || w.farewell != nil {
		t.Skip()
	}
	w.play(time.Second, 1) // an agent that has just begun has not looked at the clock
	var d control.Demanded
	err := inside(w.agent).Do(context.Background(), http.MethodPost, control.DemandPath+"?malo="+fedInAt, &d)
	if w.took(err) {
		w.figures[figure{9, w.now.Unix()}] = true
	}
	w.play(time.Second, 1)
}
