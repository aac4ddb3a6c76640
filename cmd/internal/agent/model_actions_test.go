package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// actions are what may happen. Each counts as a step when it has: one that cannot
// happen now skips, before it draws anything.
func (w *world) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"quarter hours pass":                  w.timePasses,
		"a line is pulled":                    w.linePulled,
		"telegrams off their time":            w.ragged,
		"a meter is exchanged":                w.exchange,
		"noise on a line":                     w.noise,
		"the clock's quality changes":         w.clockChanges,
		"the clock is set by hand":            w.clockSetByHand,
		"the clock lies":                      w.clockLies,
		"the head-ends change":                w.headEndChanges,
		"the head-ends' Date is wrong":        w.dateLies,
		"an endpoint dies, or is back":        w.endpointChanges,
		"all are away for weeks":              w.outage,
		"the disk is full":                    w.diskFull,
		"acknowledgements are lost":           w.acknowledgementsLost,
		"the head-ends swap 200 and 201":      w.swap,
		"a clean restart":                     w.restart,
		"the power is cut":                    w.powerCut,
		"the power is cut in a delivery":      w.powerCutInADelivery,
		"an event is told":                    w.eventTold,
		"a gap is filled by hand":             w.lateImport,
		"the contract changes":                w.contractChanges,
		"refused payloads are tried again":    w.triedAgain,
		"refused payloads are given up":       w.givenUp,
		"the gateway is taken out of service": w.takenOutOfService,
		"the network operator asks for row 9": w.demanded,
	}
	for name, do := range actions {
		actions[name] = func(t *rapid.T) {
			w.t = t
			do(t)
			w.done[name]++
			w.done["steps"]++
			w.steps++
		}
	}
	return actions
}

// aPlace is one of the places.
func (w *world) aPlace(t *rapid.T) *place {
	return w.places[rapid.IntRange(0, len(w.places)-1).Draw(t, "place")]
}

func (w *world) timePasses(t *rapid.T) { w.quarterly(rapid.IntRange(1, 200).Draw(t, "quarters")) }

// linePulled is a line that is pulled, of one meter while the other is read, or of all.
func (w *world) linePulled(t *rapid.T) {
	from := meter.QuarterOf(w.now).Next()
	var pulled []*place
	if len(w.places) > 1 && rapid.Bool().Draw(t, "one of two") {
		p := w.aPlace(t)
		pulled = []*place{p}
		p.pulled = true
		w.quarterly(rapid.IntRange(1, 300).Draw(t, "quarters"))
		p.pulled = false
		w.play(time.Minute, 1)
	} else {
		minutes := rapid.OneOf(rapid.IntRange(1, 90), rapid.IntRange(90, 4*24*60), rapid.IntRange(4*24*60, 40*24*60)).Draw(t, "minutes")
		pulled = w.places
		w.play(time.Duration(minutes)*time.Minute, 1)
	}
	for _, p := range pulled {
		p.gap, p.gapEnd, p.gapOf = from, meter.QuarterOf(w.now), p.meter
	}
}

// eventTold is a technician who says that parameters change or changed.
func (w *world) eventTold(t *rapid.T) {
	if w.clock.ahead != 0 || w.farewell != nil {
		t.Skip()
	}
	at := max(form.DateOf(w.now).AddDays(rapid.IntRange(0, 2).Draw(t, "days")).Midnight(), form.DateOf(w.zero).AddDays(1).Midnight())
	query := url.Values{"kind": {form.ParametersChanged.String()}, "at": {at.String()}, "malo": {rapid.SampledFrom([]string{drawnAt, fedInAt}).Draw(t, "malo")}}
	var e control.Event
	w.took(inside(w.agent).Do(context.Background(), http.MethodPost, control.EventsPath+"?"+query.Encode(), &e))
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

// lateImport brings what a meter itself remembers of the last gap.
func (w *world) lateImport(t *rapid.T) {
	i := slices.IndexFunc(w.places, func(p *place) bool { return p.gap != 0 && p.gap <= p.gapEnd && p.gapOf == p.meter })
	if i < 0 || w.clock.ahead != 0 || w.farewell != nil {
		t.Skip()
	}
	p := w.places[i]
	var table strings.Builder
	table.WriteString("time,obis,value,unit,state,offset_ms,server_id\n")
	for q := p.gap; q < p.gapEnd; q++ {
		for code, value := range p.meter.Shows(q.Time()) {
			if code == obis.Drawn || code == obis.FedIn {
				fmt.Fprintf(&table, "%s,%s,%s,Wh,true,0,%s\n", q, code.Short(), value, p.meter.Device)
			}
		}
	}
	var done control.Imported
	w.took(inside(w.agent).Send(context.Background(), control.ImportPath+"?meter="+p.name, strings.NewReader(table.String()), &done))
	p.checked, p.gap = min(p.checked, p.gap), 0
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

func (w *world) ragged(t *rapid.T) {
	off := rapid.SampledFrom([]time.Duration{-40, -20, -5, 5, 12, 26, 28, 300}).Draw(t, "seconds") * time.Second
	next := meter.QuarterOf(w.now.Add(time.Minute)).Next().Time().Add(off)
	w.play(next.Sub(w.now), 1)
	w.play(meter.QuarterLength, rapid.IntRange(0, 8).Draw(t, "n"))
}

func (w *world) exchange(t *rapid.T) {
	w.built(w.aPlace(t))
	w.quarterly(rapid.IntRange(1, 8).Draw(t, "quarters"))
}

// noise is a line on which some telegrams are damaged.
func (w *world) noise(t *rapid.T) {
	noisy := w.aPlace(t)
	for range rapid.IntRange(1, 12).Draw(t, "telegrams") {
		w.now = meter.QuarterOf(w.now).Next().Time()
		for _, p := range w.places {
			line, sound := p.meter.AppendTelegram(nil, w.now), true
			if p == noisy {
				line, sound = damaged(t, line)
			}
			if !w.hear(p, line, sound) {
				return
			}
		}
	}
}

// damaged is a telegram as noise leaves it, and whether it is still sound.
func damaged(t *rapid.T, line []byte) (heard []byte, sound bool) {
	n := rapid.IntRange(0, len(line)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"a bit", "an end", "a beginning", "nothing", "before it"}).Draw(t, "what is lost") {
	case "a bit":
		line[n] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return line, false
	case "an end":
		return line[:max(n, 1)], false
	case "a beginning":
		return line[n:], n == 0
	case "before it":
		line = append(bytes.Repeat([]byte{byte(n)}, n), line...)
	}
	return line, true
}

// setClock sets the clock. The head-ends' Date is right then: a clock that is wrong
// and has a head-end that agrees with it is believed (docs/time.md).
func (w *world) setClock(quality meter.ClockQuality, ahead time.Duration) {
	w.clock.set(w.now, quality, ahead)
	w.mu.Lock()
	w.dateOff = 0
	w.mu.Unlock()
}

// clockChanges is a time service that begins or ceases to set the clock.
func (w *world) clockChanges(t *rapid.T) {
	if w.clock.quality == meter.ClockSynchronised {
		w.setClock(meter.ClockUnsynchronised, w.clock.ahead)
	} else {
		w.setClock(meter.ClockSynchronised, 0)
	}
	w.quarterly(rapid.IntRange(1, 8).Draw(t, "quarters"))
}

// jump is by how much a clock is set wrong: minutes, hours or days, ahead or back.
func jump(t *rapid.T) time.Duration {
	minutes := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(60, 24*60), rapid.IntRange(24*60+1, 200*24*60)).Draw(t, "minutes")
	if rapid.Bool().Draw(t, "back") {
		minutes = -minutes
	}
	return time.Duration(minutes) * time.Minute
}

// clockSetByHand is a clock that nobody vouches for any more, and wrong until the
// time service gets through again.
func (w *world) clockSetByHand(t *rapid.T) {
	w.setClock(meter.ClockUnsynchronised, jump(t))
	w.quarterly(rapid.IntRange(1, 40).Draw(t, "quarters"))
}

// clockLies is a clock that was right, and that for a while is wrong and calls
// itself synchronised: not so long that it must be believed (docs/time.md).
func (w *world) clockLies(t *rapid.T) {
	if !w.clock.right(w.now) {
		t.Skip()
	}
	w.quarterly(1)
	ahead := jump(t)
	w.setClock(meter.ClockSynchronised, ahead)
	if ahead.Abs() > 24*time.Hour {
		w.quarterly(rapid.IntRange(1, 2*96).Draw(t, "quarters"))
	} else {
		w.play(w.now.Truncate(time.Minute).Add(time.Minute).Sub(w.now), 1)
		w.play(time.Minute, rapid.IntRange(1, 28).Draw(t, "for"))
	}
	w.setClock(meter.ClockSynchronised, 0)
	w.quarterly(rapid.IntRange(1, 16).Draw(t, "quarters"))
}

// dateLies is a Date in the head-ends' answers that is wrong from now on, or right
// again. It sets nothing.
func (w *world) dateLies(t *rapid.T) {
	if !w.clock.right(w.now) {
		t.Skip()
	}
	off := jump(t) * time.Duration(rapid.IntRange(0, 1).Draw(t, "wrong"))
	w.mu.Lock()
	w.dateOff = off
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 100).Draw(t, "quarters"))
}

func (w *world) headEndChanges(t *rapid.T) {
	mode := rapid.SampledFrom([]string{"sound", "down", "500", "429", "301", "refuses"}).Draw(t, "mode")
	w.mu.Lock()
	w.mode = mode
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 30).Draw(t, "quarters"))
}

// endpointChanges is an endpoint that dies, or is there again.
func (w *world) endpointChanges(t *rapid.T) {
	e := rapid.SampledFrom(w.endpoints()).Draw(t, "endpoint")
	w.mu.Lock()
	w.away[e] = !w.away[e]
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 200).Draw(t, "quarters"))
}

// outage is a head-end that is away for up to 40 days, and then sound.
func (w *world) outage(t *rapid.T) {
	if w.outages > 0 {
		t.Skip() // once in a life: it takes as long as all the rest
	}
	w.outages++
	w.mu.Lock()
	w.mode = "down"
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 40*96).Draw(t, "quarters"))
	w.mu.Lock()
	w.mode = "sound"
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 30).Draw(t, "quarters"))
}

// diskFull is a disk that has no room for a while, sometimes for longer than
// memory holds.
func (w *world) diskFull(t *rapid.T) {
	if !w.small {
		t.Skip()
	}
	fill(t, w.ballast())
	w.full = true
	quarters := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 700)).Draw(t, "quarters")
	for ; quarters > 0; quarters -= 48 {
		w.quarterly(min(quarters, 48))
		for _, p := range w.places { // before it gives way
			w.look(p)
		}
	}
	require.NoError(t, os.Remove(w.ballast()))
	w.quarterly(2)
	w.full = false
}

func (w *world) acknowledgementsLost(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "n")
	w.mu.Lock()
	w.lose = n
	w.mu.Unlock()
	w.quarterly(rapid.IntRange(1, 60).Draw(t, "quarters"))
}

// swap is a head-end that says that it had what is new, and that it stores what it had.
func (w *world) swap(*rapid.T) {
	w.mu.Lock()
	w.swapped = !w.swapped
	w.mu.Unlock()
	w.quarterly(2)
}

func (w *world) restart(*rapid.T) {
	w.stop()
	require.NoError(w.t, w.store.Close())
	w.open()
	w.begin()
}

// powerCut leaves the file as it is on the medium; what only memory knows is gone.
// Many a clock is wrong when the power is back.
func (w *world) powerCut(t *rapid.T) {
	off := time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes off")) * time.Minute
	clock := rapid.SampledFrom([]string{"a battery", "none", "stood still"}).Draw(t, "the clock has")
	w.mu.Lock()
	w.freeze(t)
	w.mu.Unlock()
	switch clock {
	case "none":
		w.setClock(meter.ClockUnsynchronised, time.Unix(0, 0).Sub(w.now.Add(off)))
	case "stood still":
		w.setClock(meter.ClockUnsynchronised, w.clock.ahead-off)
	}
	w.now = w.now.Add(off)
	w.clock.booted = w.now
	clear(w.sound) // nothing could leave
	w.revive()
}

// powerCutInADelivery strikes while the head-end has the next payload in its hands,
// which it has stored.
func (w *world) powerCutInADelivery(t *rapid.T) {
	quarters := rapid.IntRange(1, 120).Draw(t, "quarters")
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.quarterly(quarters)
	w.mu.Lock()
	w.cut = false
	w.mu.Unlock()
}

// contractChanges gives the agent a file with another transformer factor or
// another supplier, which holds from the next midnight on.
func (w *world) contractChanges(t *rapid.T) {
	if w.farewell != nil {
		t.Skip()
	}
	factor, lf := w.factor, w.lf
	if rapid.Bool().Draw(t, "supplier") {
		lf = rapid.SampledFrom(suppliers).Draw(t, "LF")
	} else {
		factor = rapid.IntRange(1, 3).Draw(t, "factor")
	}
	w.configure(factor, lf)
	w.restart(t)
	w.quarterly(rapid.IntRange(1, 120).Draw(t, "quarters"))
}

// setAside are the payloads that were refused for good.
func (w *world) setAside() (aside []buffer.Item) {
	require.NoError(w.t, w.store.Items(func(it buffer.Item) bool {
		if it.State == buffer.SetAside {
			aside = append(aside, it)
		}
		return true
	}))
	return aside
}

// triedAgain is a person who has what was set aside sent again.
func (w *world) triedAgain(t *rapid.T) {
	aside := w.setAside()
	if len(aside) == 0 {
		t.Skip()
	}
	w.decideAll(aside, "retry")
}

// givenUp is a person who looks at what was set aside, and gives some of it up.
func (w *world) givenUp(t *rapid.T) {
	aside := w.setAside()
	if len(aside) == 0 {
		t.Skip()
	}
	some := aside[:rapid.IntRange(1, len(aside)).Draw(t, "n")]
	w.decideAll(some, "give-up?reason=why")
	for _, it := range some {
		w.gone[it.ID] = it
	}
}

// decideAll is what a person decides about payloads that were refused for good.
func (w *world) decideAll(aside []buffer.Item, what string) {
	for _, it := range aside {
		var decided control.Item
		require.NoError(w.t, inside(w.agent).Do(context.Background(), http.MethodPost, control.OutboxPath+"/"+it.ID+"/"+what, &decided))
		verb, _, _ := strings.Cut(what, "?")
		w.done["a person's "+verb]++
	}
}

// takenOutOfService is the gateway's end: nothing is read any more, and whatever
// else happens all that is due comes before it is erased.
func (w *world) takenOutOfService(t *rapid.T) {
	if w.steps < w.endsAfter || w.farewell != nil || w.full {
		t.Skip()
	}
	var f control.Farewell
	require.NoError(t, inside(w.agent).Do(context.Background(), http.MethodPost, control.DecommissionPath, &f))
	w.farewell, w.lastRead = &f, w.now
}

// askErase has the gateway erased.
func (w *world) askErase(done *control.Erased) error {
	return inside(w.agent).Do(context.Background(), http.MethodPost, control.DecommissionPath+"/erase", done)
}
