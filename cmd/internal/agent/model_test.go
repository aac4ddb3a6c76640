package agent_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// TestEverythingAtRandom drives a gateway (the real wiring over a real store), its
// head-end, its clock, its meters' lines and faults of all of them through random
// steps, and holds what comes of it against a model that is as simple as the
// promise: whoever is entitled gets what the readings say, once, and nobody else
// anything. Every life ends with all well, and some with the gateway's own end.
//
// AGENT_STEPS is how many steps at least (400; make model has 10,000). What fails is
// shrunk and written to testdata/rapid, from where it is run again each time.
func TestEverythingAtRandom(t *testing.T) {
	const stepsOfALife = 40 // about
	steps, seed := 400, uint64(1)
	if text := os.Getenv("AGENT_STEPS"); text != "" {
		var err error
		steps, err = strconv.Atoi(text)
		require.NoError(t, err, "AGENT_STEPS")
		seed = uint64(time.Now().UnixNano())
		if !given("rapid.shrinktime") {
			setFlag(t, "rapid.shrinktime", "5m") // a life takes half a second
		}
	}
	if given("rapid.seed") {
		seed = flag.Lookup("rapid.seed").Value.(flag.Getter).Get().(uint64)
	} // else make test lives the same lives each time, and make model others
	dir := quickDir(t)
	small := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=48m")
	if small == nil {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	} else {
		t.Logf("the disk is never full, for want of a small one: mounting a tmpfs: %v", small)
	}
	setFlag(t, "rapid.steps", strconv.Itoa(stepsOfALife))
	lives, done := 0, map[string]int{}
	for once := given("rapid.checks") || given("rapid.failfile"); done["steps"] < steps; seed += 1 << 32 { // lives end early
		setFlag(t, "rapid.seed", strconv.FormatUint(seed, 10))
		if !once {
			setFlag(t, "rapid.checks", strconv.Itoa(max(1, (steps-done["steps"])/stepsOfALife)))
		}
		rapid.Check(t, func(t *rapid.T) {
			lives++
			w := newWorld(t, filepath.Join(dir, fmt.Sprint(lives)), done)
			defer w.end()
			w.small = small == nil
			actions := w.actions()
			actions[""] = w.check
			t.Repeat(actions)
			w.allIsWell()
			if w.farewell != nil {
				w.erased()
			}
		})
		if once {
			break
		}
	}
	done["lives"] = lives
	for _, name := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%-46s %d", name, done[name])
	}
}

// setFlag sets a flag until the test ends.
func setFlag(t *testing.T, name, value string) {
	before := flag.Lookup(name).Value.String()
	require.NoError(t, flag.Set(name, value))
	t.Cleanup(func() { require.NoError(t, flag.Set(name, before)) })
}

// given reports whether a flag is on the command line.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// check is what holds at any time: each reading that is kept is what that meter
// showed at that instant, none is missing that must be there, none is of an
// instant to come, the journal is whole, what may leave does not wait, and what
// is given up is known.
func (w *world) check(t *rapid.T) {
	w.t = t
	require.NoError(t, w.store.VerifyJournal())
	for _, p := range w.places {
		for q := range p.must {
			p.checked = min(p.checked, q)
		}
		kept := w.look(p)
		require.Empty(t, w.readings(p, meter.QuarterOf(w.now.Add(time.Minute)).Next(), 1<<40), "at %s: readings out of nothing", w.now)
		for q, device := range p.must {
			if q >= meter.QuarterOf(w.now) && w.farewell == nil { // the last one may not be decided yet
				continue
			}
			if _, ok := kept[q]; !ok && w.lossTold(q) {
				w.done["a reading lost, and told"]++
				w.lost++
			} else {
				require.Equal(t, device, kept[q], "the reading of %s at %s", p.name, q)
			}
			delete(p.must, q)
		}
		if w.clock.right(w.now) { // else what was read may be dated later
			p.checked = meter.QuarterOf(w.now) - 1
		}
	}
	w.requirePrompt()
	w.noteGivenUp()
	w.requireFigures(false)
	w.noteEvents()
}

// look holds what is kept of a place, from where all is checked on, against the truth.
func (w *world) look(p *place) map[meter.Quarter]meter.DeviceID {
	kept := map[meter.Quarter]meter.DeviceID{}
	for _, r := range w.readings(p, p.checked-1, meter.QuarterOf(w.now)) {
		kept[r.Boundary] = r.Device
		w.requireTrue(&r)
	}
	return kept
}

// requireTrue holds a reading that is kept against what its meter showed.
func (w *world) requireTrue(r *meter.BoundaryReading) {
	key := r.Meter + r.Boundary.String() + r.Device.String()
	if before, known := w.seen[key]; known {
		require.Equal(w.t, before.Offset, r.Offset, "the reading of %s at %s is another than it was", r.Meter, r.Boundary)
	}
	w.seen[key] = *r
	shown := w.truth[r.Device.String()].Shows(r.Boundary.Time().Add(r.Offset))
	for _, v := range r.Registers {
		require.True(w.t, shown[v.Code].Equal(v.Value), "%s of %s at %s%+v: kept %s, it was %s", v.Code.Short(), r.Meter, r.Boundary, r.Offset, v.Value, shown[v.Code])
	}
}

// lossTold reports whether a boundary lies in a loss that is told.
func (w *world) lossTold(q meter.Quarter) bool {
	return slices.ContainsFunc(w.told(agent.ReadingsLost), func(n form.Notice) bool { return n.From <= q && q <= n.To })
}

// told are the losses of a kind that people or the head-end know of.
func (w *world) told(kind string) (all []form.Notice) {
	losses, err := w.store.Losses()
	require.NoError(w.t, err)
	for _, l := range losses {
		n := form.Notice{Kind: l.Kind, Count: int(l.Count)}
		if !l.From.IsZero() {
			n.From, n.To = meter.QuarterOf(l.From), meter.QuarterOf(l.To)
		}
		all = append(all, n)
	}
	for _, d := range w.books {
		all = append(all, d.payload.Notices...) // the same in each until one is acknowledged
	}
	slices.SortFunc(all, func(a, b form.Notice) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return slices.Compact(slices.DeleteFunc(all, func(n form.Notice) bool { return n.Kind != kind }))
}

// requirePrompt holds that one dead endpoint delays no other: where one has been
// sound for longer than any pause is, nothing waits that may leave.
func (w *world) requirePrompt() {
	const longest = 2 * time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode != "sound" || w.lose > 0 || !w.clock.right(w.now) {
		clear(w.sound)
		return
	}
	for _, e := range w.endpoints() {
		if _, ok := w.sound[e]; w.away[e] {
			delete(w.sound, e)
		} else if !ok {
			w.sound[e] = w.now
		}
	}
	require.NoError(w.t, w.store.Items(func(it buffer.Item) bool {
		since, sound := w.sound[it.Endpoint]
		if sound && it.State == buffer.Waiting && w.now.Sub(since) > longest {
			require.False(w.t, w.now.Sub(it.NotBefore) > longest, "at %s %s %v waits, though %s is sound since %s, and it may leave since %s", w.now, it.ID, it.Label, it.Endpoint, since, it.NotBefore)
		}
		return true
	}))
}

// noteGivenUp remembers the payloads that a person or a full store gave up: of a
// store that has room none but a person may, and what the store gave up is told.
func (w *world) noteGivenUp() {
	var dropped []buffer.Item
	require.NoError(w.t, w.store.Items(func(it buffer.Item) bool {
		if _, known := w.gone[it.ID]; it.State == buffer.GivenUp && !known {
			require.Equal(w.t, buffer.LossFull, it.LastError, "%s %v is given up", it.ID, it.Label)
			require.NotZero(w.t, w.limit, "%s %v is given up, though there is room", it.ID, it.Label)
			w.gone[it.ID] = it
			dropped = append(dropped, it)
		}
		return true
	}))
	if len(dropped) == 0 {
		return
	}
	w.done["a payload given up by a full store, and told"] += len(dropped)
	told := w.told(buffer.LossFull)
	for _, it := range dropped {
		from, to := it.Needs.From, it.Needs.To
		if it.Needs == (buffer.Span{}) {
			from, to = meter.QuarterOf(it.Created), meter.QuarterOf(it.Created)
		}
		require.True(w.t, slices.ContainsFunc(told, func(n form.Notice) bool { return n.From <= from && to <= n.To }), "nobody is told that %s %v is given up", it.ID, it.Label)
	}
}

// noteEvents remembers what happened at the metering point as the agent knows it:
// the store forgets it after 90 days.
func (w *world) noteEvents() {
	require.NoError(w.t, control.Each(w.t.Context(), inside(w.agent), control.EventsPath, func(e control.Event) error {
		kind, err := form.ParseEventKind(e.Kind)
		known := form.Event{Kind: kind, Meter: e.Meter, At: e.At}
		if e.MaLo != "" && err == nil {
			known.MaLo, err = form.ParseMarketLocationID(e.MaLo)
		}
		w.events[e.ID] = known
		return err
	}))
}

func (w *world) readings(p *place, from, to meter.Quarter) []meter.BoundaryReading {
	readings, err := w.store.Boundaries(p.name, max(0, from), to)
	require.NoError(w.t, err)
	return readings
}

// allIsWell mends everything, lets days pass, and holds what the head-end has
// against what the readings say it must have.
func (w *world) allIsWell() {
	t := w.t
	w.mend()
	w.quarterly(8)
	w.check(t)
	w.decideAll(w.setAside(), "retry")
	// A payload is looked at again in each step, and on a gateway there is one each second.
	w.quarterly(96 + 8)
	items := 0
	require.NoError(t, w.store.Items(func(buffer.Item) bool { items++; return true }))
	w.play(time.Second, items)
	w.quarterly(6 * 96)                                                                   // past the long weekends, and the pauses of all that failed
	w.quarterly(int(form.DateOf(w.now).AddDays(2).Midnight()-meter.QuarterOf(w.now)) - 2) // late in an evening
	w.check(t)
	require.NoError(t, w.store.Flush())
	for _, p := range w.places {
		for _, r := range w.readings(p, 0, meter.QuarterOf(w.now)) { // also what was dated late
			w.requireTrue(&r)
		}
	}
	told := 0
	for _, n := range w.told(agent.ReadingsLost) {
		told += n.Count
	}
	require.GreaterOrEqual(t, told, w.lost, "of the readings lost, so many are told")
	require.NoError(t, w.store.Items(func(it buffer.Item) bool {
		if _, gone := w.gone[it.ID]; gone {
			return true
		}
		require.Equal(t, buffer.Acknowledged, it.State, "at %s: %s, from %s, due %s, made %s %v: %s", w.now, it.ID, it.NotBefore, it.Due, it.Created, it.Label, it.LastError)
		_, there := w.books[it.ID]
		require.True(t, there, "%s %v: acknowledged, and not in the head-end's books", it.ID, it.Label)
		return true
	}))
	w.requireFigures(true)
	w.requireBooks()
	w.requireEvidence()
}

// requireEvidence holds that the journal says of no payload twice that it was
// delivered.
func (w *world) requireEvidence() {
	said := map[string]int{}
	require.NoError(w.t, w.store.Journal(0, func(e buffer.Entry) bool {
		if id := e.Detail["id"]; e.Kind == agent.Delivered && id != "" {
			said[id]++
			require.Equal(w.t, 1, said[id], "%s was delivered once, and the journal says it again", id)
		}
		return true
	}))
}

// about is what a payload says, in whatever revision.
type about struct {
	row    form.RowNumber
	malo   form.MarketLocationID
	to     form.Role
	period form.Period
}

// requireBooks holds what must be there, each once, in its last revision, and
// nothing else, against the readings.
func (w *world) requireBooks() {
	t := w.t
	h := w.history(t)
	if w.farewell != nil {
		h.End = w.farewell.End
	}
	last := w.lastRevisions()
	require.NotEmpty(t, h.Versions)
	upTo := form.DateOf(w.now).Midnight()
	first := h.Versions[0].From
	dues := h.Plan(form.DateOf(first.Time()), form.DateOf(w.now).AddDays(62))
	if w.farewell != nil {
		upTo = h.End
	}
	dues = append(dues, h.Occasioned(slices.Collect(maps.Values(w.events)), first-1, min(upTo, meter.QuarterOf(w.now)))...)
	for _, d := range dues {
		if d.Period.To > upTo {
			continue
		}
		key := about{d.Row, d.MaLo, d.To, d.Period}
		location := h.Governing(d.Period).Location(d.MaLo)
		receiver, _ := location.Receiver(d.To)
		if w.isGone(key) {
			w.done["a payload due, and given up"]++
			delete(last, key)
			continue
		}
		require.Contains(t, last, key, "row %d of %s for %s, %s, due %s: never came", d.Row, d.MaLo, d.To, d.Period, d.At)
		p := w.books[last[key]].payload
		require.Equal(t, receiver.PartnerID, p.PartnerID)
		diff, err := h.Verify(p, w.seenOf(location.Meter, d.Period))
		require.NoError(t, err)
		if diff != nil {
			require.Fail(t, "not what the readings say", "row %d of %s for %s, %s, revision %d: it says %+v, the readings %+v", d.Row, d.MaLo, d.To, d.Period, p.Revision, diff.Payload, diff.Readings)
		}
		w.done["a payload as the readings say"]++
		delete(last, key)
	}
	for key, id := range last {
		require.True(t, w.replaced[id] || key.period.From == h.End, "nobody asked for %v", key)
	}
}

// lastRevisions are the ids of what came, but for momentary figures, each in its
// last revision; one came after that which it supersedes.
func (w *world) lastRevisions() map[about]string {
	t := w.t
	came := map[string]bool{}
	revisions := map[about][]string{}
	w.replaced = map[string]bool{}
	for _, id := range w.order {
		p := w.books[id].payload
		if !p.Moment.IsZero() {
			continue
		}
		key := about{p.Row, p.MaLo, p.To, p.Period}
		if p.Supersedes != "" && !came[p.Supersedes] {
			_, gone := w.gone[p.Supersedes]
			require.True(t, gone || w.refused[p.Supersedes], "%v: revision %d came before the one that it supersedes", key, p.Revision)
		}
		came[id], w.replaced[p.Supersedes] = true, true
		revisions[key] = append(revisions[key], id)
	}
	last := map[about]string{}
	for key, ids := range revisions {
		slices.SortStableFunc(ids, func(a, b string) int { return w.books[a].payload.Revision - w.books[b].payload.Revision })
		for i, id := range ids {
			p := w.books[id].payload
			last[key] = id
			if w.isGone(key) {
				continue
			}
			before, there := w.books[p.Supersedes]
			_, gone := w.gone[p.Supersedes]
			require.Equal(t, p.Revision > 0, there || gone, "%v", key)
			if there {
				require.Equal(t, p.Revision-1, before.payload.Revision, "%v", key)
			}
			if row, _ := key.row.Row(); row.Rhythm.Regular() { // an event that is told late cuts the period of another
				require.Equal(t, i, p.Revision, "%v", key)
			}
		}
	}
	return last
}

// isGone reports whether a payload about something was given up.
func (w *world) isGone(key about) bool {
	for _, it := range w.gone {
		if it.Label["row"] == fmt.Sprint(key.row) && it.Label["malo"] == key.malo.String() && it.Label["to"] == key.to.String() &&
			it.Needs.From == key.period.From && it.Needs.To == key.period.To {
			return true
		}
	}
	return false
}

// seenOf are the readings of a meter that decide a payload of a period.
func (w *world) seenOf(name string, p form.Period) (readings []meter.BoundaryReading) {
	for _, r := range w.seen {
		if r.Meter == name && p.From-62*96 <= r.Boundary && r.Boundary <= p.To {
			readings = append(readings, r)
		}
	}
	slices.SortFunc(readings, func(a, b meter.BoundaryReading) int {
		return cmp.Or(cmp.Compare(a.Boundary, b.Boundary), cmp.Compare(a.Device, b.Device))
	})
	return readings
}

// erased holds that a gateway which has delivered everything ends, and leaves
// nothing.
func (w *world) erased() {
	t := w.t
	answered := make(chan error, 1)
	var done control.Erased
	go func() { answered <- w.askErase(&done) }()
	require.NoError(t, <-w.ended)
	require.NoError(t, w.agent.EraseIfAsked())
	require.NoError(t, <-answered)
	require.Empty(t, done.Lost)
	require.NoFileExists(t, agent.StorePath(w.config))
	require.ErrorContains(t, agent.RefuseDecommissioned(w.config), "was decommissioned")
	marker, err := os.ReadFile(agent.MarkerPath(w.config))
	require.NoError(t, err)
	require.True(t, json.Valid(marker))
	w.agent = nil
	w.done["a gateway erased"]++
}
