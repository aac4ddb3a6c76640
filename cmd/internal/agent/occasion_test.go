package agent_test

import (
	"net/http"
	"net/url"
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

func (b *bench) tell(c *control.Client, kind form.EventKind, at meter.Quarter, more ...string) (e control.Event, err error) {
	query := url.Values{"kind": {kind.String()}, "at": {at.String()}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return e, c.Do(b.t.Context(), http.MethodPost, control.EventsPath+"?"+query.Encode(), &e)
}

func (b *bench) events(c *control.Client) (all []control.Event) {
	require.NoError(b.t, control.Each(b.t.Context(), c, control.EventsPath, func(e control.Event) error {
		all = append(all, e)
		return nil
	}))
	return all
}

func rows(numbers ...form.RowNumber) func(*form.Payload) bool {
	return func(p *form.Payload) bool {
		for _, n := range numbers {
			if p.Row == n {
				return true
			}
		}
		return false
	}
}

func TestEventToComeWaitsForItsDay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	told := began.AddDays(2).At(15, 0)
	ends := began.AddDays(5).Midnight() // a Wednesday
	c := inside(b.play(b.home.Since(), told))
	first, err := b.tell(c, form.SupplyEnds, ends, "malo", "41373559241")
	require.NoError(t, err)
	require.Equal(t, "waits", first.State)
	again, err := b.tell(c, form.SupplyEnds, ends)
	require.NoError(t, err)
	require.Equal(t, first, again, "told twice it is one")
	mistaken, err := b.tell(c, form.ParametersChanged, began.AddDays(4).Midnight())
	require.NoError(t, err)
	var back control.Event
	require.NoError(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"/"+mistaken.ID+"/withdraw", &back))
	require.Equal(t, "withdrawn", back.State)

	// Over a power cut.
	b.reopen()
	b.play(told.Add(time.Minute), ends.Time().Add(-time.Minute))
	require.Empty(t, b.take(rows(3)))
	until := began.AddDays(11).At(12, 0)
	c = inside(b.play(ends.Time(), until))
	payloads := b.take(rows(2, 3))
	require.Len(t, payloads, 2)
	require.ElementsMatch(t, []form.Role{form.LF, form.NB}, []form.Role{payloads[0].To, payloads[1].To})
	for _, p := range payloads {
		require.Equal(t, form.Period{From: began.Midnight(), To: ends}, p.Period, "from where this gateway's work began")
		for _, v := range p.Values {
			require.Equal(t, form.True, v.State, v.Kind)
		}
		require.Equal(t, form.Register, p.Values[2].Kind)
		require.Equal(t, b.home.Registers(ends.Time()).Drawn.Wh(-1).Shift(-3).String(), p.Values[2].Amount.Decimal.String())
	}
	b.requireDelivered(b.due(until))
	var states []string
	for _, e := range b.events(c) {
		states = append(states, e.Kind+" "+e.State)
	}
	require.Equal(t, []string{"parameters_changed withdrawn", "supply_end built"}, states)
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"/"+first.ID+"/withdraw", &back), "is built: what is sent cannot be taken back")
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"/0815/withdraw", &back), `there is no event "0815"`)

	// Told once more, and told afterwards: nothing is sent twice.
	again, err = b.tell(c, form.SupplyEnds, ends)
	require.NoError(t, err)
	require.Equal(t, "built", again.State)
	_, err = b.tell(c, form.ParametersChanged, ends)
	require.NoError(t, err)
	b.play(until.Add(time.Minute), until.Add(20*time.Hour))
	require.Empty(t, b.take(rows(2, 3)), "the same reading for the same receiver is one payload")
	require.Len(t, b.journal(agent.EventTold), 3)
	for _, e := range b.journal(agent.EventTold) {
		require.NotEmpty(t, e.Detail["who"])
		require.NotEmpty(t, e.Detail["uid"])
	}
	require.Len(t, b.journal(agent.EventWithdrawn), 1)
}

// An event that was told too early and taken back hides none that the contract says.
func TestWithdrawnEventStillHappens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	changed := began.AddDays(4).At(15, 0)
	ends := began.AddDays(5).Midnight()
	c := inside(b.play(b.home.Since(), changed))
	for _, kind := range []form.EventKind{form.SupplyEnds, form.SupplyStarts} {
		told, err := b.tell(c, kind, ends)
		require.NoError(t, err)
		require.NoError(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"/"+told.ID+"/withdraw", &told))
	}
	b.configure("9900357000004", "9900357000042")
	b.play(changed.Add(time.Minute), began.AddDays(7).At(12, 0))
	require.Len(t, b.take(rows(3)), 3)
}

// An event that is told after a later one was sent cuts that one's span: both
// together are what was sent before, and nothing is in two of them.
func TestEventToldLateCutsTheSpanOfALaterOne(t *testing.T) {
	b := newBench(t)
	late, later := meter.QuarterOf(began.AddDays(4).At(9, 0)), began.AddDays(6).Midnight()
	c := inside(b.playWithGap(began.AddDays(6).At(12, 0)))
	_, err := b.tell(c, form.ParametersChanged, later)
	require.NoError(t, err)
	until := began.AddDays(7).At(12, 0)
	c = inside(b.play(began.AddDays(6).At(12, 1), until))
	whole := map[form.Role]string{}
	for id, p := range b.payloads {
		if p.Row == 3 {
			require.Equal(t, form.Period{From: began.Midnight(), To: later}, p.Period)
			whole[p.To] = id
		}
	}
	require.Len(t, whole, 2)
	b.take(rows(3))

	_, err = b.tell(c, form.DeviceTakenOver, late)
	require.NoError(t, err)
	end := began.AddDays(9).At(12, 0)
	b.play(until.Add(time.Minute), end)
	wh := func(q meter.Quarter) decimal.Decimal { return b.home.Registers(q.Time()).Drawn.Wh(-1) }
	power := func(p form.Period) (most decimal.Decimal) { // of the quarter hours that were read
		for q := p.From; q < p.To; q++ {
			if !q.Next().Time().After(gapFrom) || !q.Time().Before(gapTo) {
				most = decimal.Max(most, wh(q.Next()).Sub(wh(q)).Shift(-3).Mul(decimal.NewFromInt(4)))
			}
		}
		return most
	}
	cut := map[form.Role]string{}
	parts := map[form.Period]int{}
	for id, p := range b.payloads {
		if p.Row != 3 {
			continue
		}
		parts[p.Period]++
		require.Equal(t, wh(p.Period.To).Sub(wh(p.Period.From)).Shift(-3).String(), p.Values[0].Amount.Decimal.String(), p.Period)
		require.Equal(t, power(p.Period).String(), p.Values[1].Amount.Decimal.String(), p.Period)
		require.Equal(t, wh(p.Period.To).Shift(-3).String(), p.Values[2].Amount.Decimal.String(), p.Period)
		if p.Period.To == late {
			require.Zero(t, p.Revision)
			continue
		}
		require.Equal(t, 1, p.Revision)
		require.Equal(t, whole[p.To], p.Supersedes)
		cut[p.To] = id
	}
	require.Equal(t, map[form.Period]int{{From: began.Midnight(), To: late}: 2, {From: late, To: later}: 2}, parts)
	b.take(rows(3))

	// What comes late corrects the part that counts, and no more what it took the place of.
	c = inside(b.agent(true))
	_, err = b.imports(c, b.table(meter.QuarterOf(gapFrom), meter.QuarterOf(gapTo)+1, sim.Models[0].Device))
	require.NoError(t, err)
	b.play(end.Add(time.Minute), end.Add(24*time.Hour))
	corrected := b.take(rows(3))
	require.Len(t, corrected, 2)
	for _, p := range corrected {
		require.Equal(t, form.Period{From: late, To: later}, p.Period)
		require.Equal(t, 2, p.Revision)
		require.Equal(t, cut[p.To], p.Supersedes)
		require.Equal(t, form.True, p.Values[1].State)
	}

	// And one before both cuts what came first, which nothing had cut yet.
	first := began.AddDays(2).Midnight()
	_, err = b.tell(c, form.ParametersChanged, first)
	require.NoError(t, err)
	b.play(end.Add(24*time.Hour+time.Minute), end.Add(48*time.Hour))
	parts = map[form.Period]int{}
	for _, p := range b.take(rows(3)) {
		parts[p.Period]++
		require.Equal(t, p.Period.From == first, p.Revision == 1)
	}
	require.Equal(t, map[form.Period]int{{From: began.Midnight(), To: first}: 2, {From: first, To: late}: 2}, parts)
}

func TestEventThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := began.AddDays(2).At(15, 0)
	c := inside(b.play(b.home.Since(), now))
	midnight := began.AddDays(3).Midnight()
	for _, bad := range []struct {
		kind form.EventKind
		at   meter.Quarter
		more []string
		want string
	}{
		{form.SupplyEnds, midnight, []string{"malo", "51238696781"}, "the contract has no market location 51238696781: it has 41373559241"},
		{form.SupplyEnds, midnight, []string{"malo", "41373559242"}, "its check digit should be 1, not 2"},
		{form.SupplyEnds, midnight + 1, nil, "want a local midnight"},
		{form.SupplyEnds, midnight + 500*96, nil, "more than a year ahead"},
		{form.SupplyEnds, form.Date{Year: 2026, Month: time.July, Day: 1}.Midnight(), nil, "more than 80 days ago"},
		{form.SupplyEnds, began.AddDays(-3).Midnight(), nil, "where this gateway's own work begins"},
		{form.DeviceRemoved, midnight, nil, "lies in the future"},
		{form.DeviceRemoved, began.AddDays(1).Midnight(), []string{"meter", "roof"}, `there is no meter "roof"`},
		{form.DeviceRemoved, began.AddDays(1).Midnight(), []string{"meter", "main", "malo", "41373559241"}, "not both"},
	} {
		_, err := b.tell(c, bad.kind, bad.at, bad.more...)
		require.ErrorContains(t, err, bad.want)
	}
	var e control.Event
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"?kind=moved_house&at="+midnight.String(), &e), `event "moved_house": want supply_start`)
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.EventsPath+"?kind=supply_end&at=tomorrow", &e), "want a quarter-hour boundary")
	require.Empty(t, b.events(c))
	require.Empty(t, b.journal(agent.EventTold))
}

// The gateway saw an exchange, and somebody tells it by his watch: the old device's
// register must not become the new one's.
func TestDeviceIsNotBuiltInWhileTheOneBeforeIsRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	exchanged := began.AddDays(2).At(14, 7)
	b.play(b.home.Since(), exchanged)
	b.device = "\x0a\x01SIM\x00\x00\x00\x00b"
	c := inside(b.play(exchanged.Add(time.Minute), exchanged.Add(time.Hour)))
	first := meter.QuarterOf(exchanged) + 1
	for _, early := range []meter.Quarter{first - 1, first - 2} {
		_, err := b.tell(c, form.DeviceBuiltIn, early)
		require.ErrorContains(t, err, "device 0a0153494d0000000062 was first read at "+form.Local(first)+": tell that one")
	}
	for _, right := range []meter.Quarter{first, first + 1} {
		_, err := b.tell(c, form.DeviceBuiltIn, right)
		require.NoError(t, err)
	}
}

// Two devices that answer in turn, because two heads sit on one line, make one
// exchange a day and not one a quarter hour.
func TestDevicesThatAnswerInTurnAreNoFlood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := b.home.Since()
	for n := range 12 {
		b.device = meter.DeviceID("\x0a\x01SIM\x00\x00\x00\x00" + string(rune('a'+n%2)))
		b.play(at, at.Add(29*time.Minute))
		at = at.Add(30 * time.Minute)
	}
	b.play(at, began.AddDays(1).At(12, 0))
	require.Len(t, b.take(rows(3)), 4)
	require.Len(t, b.events(inside(b.agent(true))), 2)
}

// A new contract says itself that the supplier changed.
func TestNewSupplierInTheContractIsAnEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	changed := began.AddDays(4).At(15, 0)
	b.play(b.home.Since(), changed)
	partner, err := form.ParsePartnerID("9900357000042")
	require.NoError(t, err)
	receivers := b.config.Contract.MarketLocations[0].Receivers
	old := receivers[0].PartnerID
	receivers[0].PartnerID = partner
	b.play(changed.Add(time.Minute), began.AddDays(7).At(12, 0))
	at := began.AddDays(5).Midnight()
	told := b.take(rows(3))
	require.Len(t, told, 3)
	for _, p := range told {
		require.Equal(t, at, p.Period.To)
		switch p.PartnerID {
		case old, receivers[1].PartnerID:
			require.Equal(t, began.Midnight(), p.Period.From)
		case partner:
			require.Equal(t, at, p.Period.From, "what lay before is the business of the one before him")
		}
	}
}
