package agent_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
	"smgw/meter/sim"
)

// boot is a gateway's life from one power-up to the next power cut, and what
// its clock did meanwhile. Instants in it are true.
type boot struct {
	from, until time.Time
	begins      time.Time // what the clock shows at from
	ppm         int64     // by how much the host's crystal is fast
	changes     []change  // ascending
	meterStops  bool      // the meter was without power as well since the boot before, and counts only when it has some
}

// change is what happens to the clock at an instant, until the next change.
type change struct {
	at    time.Time
	sync  bool          // the kernel calls it synchronised
	ahead time.Duration // of the truth; when sync it stays so, when not it drifts from there
	keep  bool          // not set at all: it goes on from where it is
}

// sheet gives, for a true instant, what the clock shows.
func (b *boot) stamp(at time.Time) meter.Stamp {
	drifted := func(span time.Duration) time.Duration { return span + time.Duration(int64(span/1e6)*b.ppm) }
	set, shows, quality := b.from, b.begins, meter.ClockUnsynchronised
	shown := func(at time.Time) time.Time {
		if quality == meter.ClockSynchronised {
			return shows.Add(at.Sub(set))
		}
		return shows.Add(drifted(at.Sub(set)))
	}
	for _, c := range b.changes {
		if c.at.After(at) {
			break
		}
		next := c.at.Add(c.ahead)
		if c.keep {
			next = shown(c.at)
		}
		set, shows, quality = c.at, next, meter.ClockUnsynchronised
		if c.sync {
			quality = meter.ClockSynchronised
		}
	}
	return meter.Stamp{Time: shown(at), Quality: quality, Elapsed: time.Minute + drifted(at.Sub(b.from))}
}

// good reports whether the clock was synchronised and right from an instant of
// the boot on for long enough that nobody can doubt it any more, after at.
func (b *boot) good(at time.Time) bool {
	for i, c := range b.changes {
		end := b.until
		if i+1 < len(b.changes) {
			end = b.changes[i+1].at
		}
		if c.sync && c.ahead == 0 && !c.keep && end.After(at) && end.Sub(later(c.at, at)) > 40*time.Minute {
			return true
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// bootClock is the clock of a boot, stepped to the true instant of each telegram.
type bootClock struct {
	boot      *boot
	at        []time.Time
	now       int
	uncounted bool
}

func (c *bootClock) Now() meter.Stamp {
	s := c.boot.stamp(c.truth())
	if c.uncounted {
		s.Elapsed = 0
	}
	return s
}

func (c *bootClock) Received(*meter.Telegram) meter.Stamp {
	c.now++
	return c.Now()
}

func (c *bootClock) truth() time.Time { return c.at[max(c.now-1, 0)] }

// lives is a bench whose gateway lives through boots.
type lives struct {
	*bench
	model     *sim.Model
	counts    func(m *sim.Meter, at time.Time) // changes what the meter counts from, before each telegram; nil: nothing
	uncounted bool                             // the host does not count time beside its clock
	entries   []buffer.Entry                   // what the journal said
}

func newLives(t *testing.T) *lives {
	return &lives{bench: newBench(t), model: sim.Models[0]}
}

// live runs a gateway through boots, each with a new agent over the same store,
// and returns the last one. The meter speaks every pause, from the beginning of
// the boot on.
func (b *lives) live(boots []boot, pause time.Duration) (a *agent.Agent) {
	m := sim.NewMeter(b.home, b.model, b.model.Device)
	for i := range boots {
		boot := &boots[i]
		if i > 0 && boot.meterStops {
			m.Installed = m.Installed.Add(boot.from.Sub(boots[i-1].until))
		}
		clock := &bootClock{boot: boot, uncounted: b.uncounted}
		var telegrams []byte
		for at := boot.from; !at.After(boot.until); at = at.Add(pause) {
			if b.counts != nil {
				b.counts(m, at)
			}
			telegrams = m.AppendTelegram(telegrams, at)
			clock.at = append(clock.at, at)
		}
		require.NoError(b.t, os.WriteFile(strings.TrimPrefix(b.config.Meters[0].Port, "file:"), telegrams, 0o644))
		b.clock = clock
		a = b.agent(true)
		require.NoError(b.t, a.Run(b.t.Context()))
		var seq uint64 // retention forgets the journal while months go by
		if n := len(b.entries); n > 0 {
			seq = b.entries[n-1].Seq
		}
		require.NoError(b.t, b.store.Journal(seq+1, func(e buffer.Entry) bool {
			b.entries = append(b.entries, e)
			return true
		}))
		if i < len(boots)-1 {
			b.reopen()
		}
	}
	return a
}

// shown is what the meter had counted at an instant.
func (b *bench) shown(at time.Time) decimal.Decimal { return b.home.Registers(at).Drawn.Wh(-1) }

// requireTruth holds everything that is kept and was delivered against what the
// household really drew. slack is by how much an unsynchronised clock may have
// been off.
func (b *lives) requireTruth(t require.TestingT, boots []boot, pause, slack time.Duration) {
	first, last := boots[0].from, boots[len(boots)-1].until
	readings, err := b.store.Boundaries("main", 0, meter.QuarterOf(last.AddDate(50, 0, 0)))
	require.NoError(t, err)
	kept := map[meter.Quarter]meter.BoundaryReading{}
	for _, r := range readings {
		_, twice := kept[r.Boundary]
		require.False(t, twice, "%s has two readings", r.Boundary)
		kept[r.Boundary] = r
		at := r.Boundary.Time().Add(r.Offset)
		require.False(t, at.Before(first.Add(-slack)) || at.After(last.Add(slack)), "a boundary out of nothing: %s", r.Boundary)
		off := 2 * time.Second // the meter's count is in whole seconds
		if r.Clock != meter.ClockSynchronised {
			off = slack
		}
		value, _ := r.Register(obis.Drawn)
		require.False(t, value.LessThan(b.shown(at.Add(-off))) || value.GreaterThan(b.shown(at.Add(off))),
			"%s (%s, %s): kept %s, counted %s", r.Boundary, r.Offset, r.Clock, value, b.shown(at))
		require.True(t, slices.ContainsFunc(boots, func(boot boot) bool {
			return !at.Before(boot.from.Add(-off)) && !at.After(boot.until.Add(off))
		}), "%s: the gateway was off", r.Boundary)
	}
	// What is absent has a reason: the gateway was off, or its clock was never
	// right again before the power went.
	for i := range boots {
		boot := &boots[i]
		q := meter.QuarterOf(boot.from.Add(pause + slack)).Next()
		for ; q.Time().Before(boot.until.Add(-pause - slack)); q++ {
			off := q.Time().Sub(boot.from) % pause
			if off = min(off, pause-off); off <= 20*time.Second && boot.good(q.Time()) {
				_, ok := kept[q]
				require.True(t, ok, "%s is absent without a reason", q)
			}
		}
	}
	// What was delivered is what is kept.
	spans := map[string]bool{}
	for _, p := range b.payloads {
		for _, v := range p.Values {
			if v.Kind != form.LoadProfile {
				continue
			}
			require.Len(t, v.Intervals, int(p.Period.To-p.Period.From))
			sum, whole := decimal.Zero, true
			for i, interval := range v.Intervals {
				q := p.Period.From + meter.Quarter(i)
				from, ok1 := kept[q]
				to, ok2 := kept[q+1]
				if !interval.Amount.Valid {
					whole = false
					continue
				}
				require.True(t, ok1 && ok2)
				sum = sum.Add(interval.Amount.Decimal)
				x, _ := from.Register(obis.Drawn)
				y, _ := to.Register(obis.Drawn)
				require.Equal(t, y.Sub(x).Shift(-3).String(), interval.Amount.Decimal.String())
				require.Equal(t, from.Clock == meter.ClockSynchronised && to.Clock == meter.ClockSynchronised, interval.State == form.True, q)
			}
			if a, ok := kept[p.Period.From]; whole && ok {
				x, _ := a.Register(obis.Drawn)
				end := kept[p.Period.To]
				y, _ := end.Register(obis.Drawn)
				require.Equal(t, y.Sub(x).Shift(-3).String(), sum.String(), "a profile adds up to what the register counted")
			}
		}
		span := fmt.Sprint(p.Row, p.To, p.Period, p.Revision)
		require.NotContains(t, spans, span, "delivered twice")
		spans[span] = true
	}
	require.Len(t, b.order, len(b.payloads))
	require.NoError(t, b.store.VerifyJournal())
}

// happened counts the journal's entries of each kind.
func (b *lives) happened() map[string]int {
	n := map[string]int{}
	for _, e := range b.entries {
		n[e.Kind]++
	}
	return n
}

// quickDir is a folder where a commit does not wait for a disk, if there is one.
func quickDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "smgw")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

var never = time.Unix(0, 0)

// A board without a battery: on from 9:58 in 1970, and 40 minutes later the time
// service gets through.
func TestAgentDatesWhatWasReadBeforeTheClockWasSet(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	from := began.AddDays(1).At(9, 58)
	set := from.Add(40*time.Minute + 17*time.Second)
	boots := []boot{{from: from, until: from.Add(5 * time.Hour), begins: never, ppm: -200, changes: []change{{at: set, sync: true}}}}
	b.live(boots, 4*time.Second)
	b.requireTruth(t, boots, 4*time.Second, 10*time.Second)
	readings, err := b.store.Boundaries("main", 0, 1<<40)
	require.NoError(t, err)
	require.Equal(t, meter.QuarterOf(from).Next(), readings[0].Boundary)
	for _, r := range readings {
		require.LessOrEqual(t, r.Offset.Abs(), form.WarnOffset)
		require.Equal(t, r.Boundary.Time().Before(set), r.Clock != meter.ClockSynchronised, r.Boundary)
	}
	happened := b.happened()
	require.Equal(t, 1, happened[agent.ReadingsDated])
	require.Equal(t, 1, happened[agent.ClockJumped])
	require.Zero(t, happened[agent.ClockDoubted], "a clock that is set for the first time is not doubted")
}

// inThatWinter is a local time of the winter from 2026 to 2027.
func inThatWinter(month time.Month, day, hour, minute int) time.Time {
	year := 2026
	if month < time.July {
		year++
	}
	return form.Date{Year: year, Month: month, Day: day}.At(hour, minute)
}

// From October to April on one board: both changes of summer time, power cuts
// with and without the meter, a clock that starts in 1970 or where it was when
// the power went, a time service that comes late or not at all, and one that
// lies for a while.
func TestAgentLivesHalfAYearWithABadClock(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	at := inThatWinter
	hour := time.Hour
	boots := []boot{
		// over the end of summer time; set after twenty minutes
		{from: b.home.Since(), until: at(time.November, 3, 16, 20), begins: never, ppm: 200, changes: []change{
			{at: began.At(0, 20), sync: true},
			{at: at(time.October, 24, 23, 50), keep: true}, // loses its source for the night of the change
			{at: at(time.October, 25, 9, 0), sync: true},
			{at: at(time.October, 28, 7, 1), sync: true, ahead: 3 * hour}, // lies
			{at: at(time.October, 28, 7, 22), sync: true},
			{at: at(time.October, 30, 7, 1), sync: true, ahead: -26 * hour},
			{at: at(time.October, 30, 7, 29), sync: true},
		}},
		// a power cut of the whole house; the clock goes on where it stopped
		{from: at(time.November, 3, 21, 47), until: at(time.November, 20, 3, 0), begins: at(time.November, 3, 16, 20), ppm: -200, meterStops: true, changes: []change{
			{at: at(time.November, 4, 3, 33), sync: true},
			{at: at(time.November, 10, 12, 0), ahead: 2 * hour}, // somebody sets it by hand
			{at: at(time.November, 10, 15, 0), ahead: -2 * hour},
			{at: at(time.November, 11, 12, 0), sync: true},
		}},
		// four short lives without any time at all
		{from: at(time.November, 20, 3, 5), until: at(time.November, 20, 9, 0), begins: never},
		{from: at(time.November, 20, 9, 5), until: at(time.November, 20, 11, 0), begins: never},
		{from: at(time.November, 20, 11, 5), until: at(time.November, 20, 11, 50), begins: at(time.November, 20, 3, 0)},
		{from: at(time.November, 20, 12, 5), until: at(time.November, 20, 12, 50), begins: never},
		// the time comes after two days
		{from: at(time.November, 20, 13, 0), until: at(time.March, 26, 10, 0), begins: never, ppm: 120, changes: []change{
			{at: at(time.November, 22, 13, 0), sync: true},
		}},
		// over the beginning of summer time; set in the middle of it
		{from: at(time.March, 26, 12, 0), until: at(time.April, 6, 12, 30), begins: never, ppm: -90, changes: []change{
			{at: at(time.March, 28, 3, 40), sync: true},
			{at: at(time.April, 1, 0, 0), sync: true, ahead: 24 * hour},
			{at: at(time.April, 1, 0, 20), sync: true},
		}},
	}
	pause := 150 * time.Second
	b.live(boots, pause)
	b.requireTruth(t, boots, pause, 30*time.Second)

	days := map[int]int{}
	for _, p := range b.payloads {
		for _, v := range p.Values {
			if v.Kind == form.LoadProfile && p.Row == 5 && p.To == form.NB {
				days[len(v.Intervals)%96]++
			}
		}
	}
	require.Equal(t, 1, days[4], "a payload has the day of 100 quarter hours")
	require.Equal(t, 1, days[92], "a payload has the day of 92 quarter hours")
	happened := b.happened()
	require.Equal(t, 4, happened[agent.ReadingsUndated], "each life without any time says what it lost")
	require.Equal(t, 1, happened[agent.ClockDoubted], "the meter stood still with the house")
	require.Equal(t, 5, happened[agent.ClockBelieved])
}

// Whatever happens to the clock: what is kept and delivered is true, once, and
// what is absent has a reason.
func TestAgentKeepsToTheTruthWhateverTheClockDoes(t *testing.T) {
	if !given("rapid.seed") {
		setFlag(t, "rapid.seed", "1") // the same histories each time; -rapid.seed draws others
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := newLives(t)
		defer b.store.Close()
		pause := time.Duration(rapid.SampledFrom([]int{15, 20, 60}).Draw(rt, "pause")) * time.Second
		minutes := func(low, high int, label string) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(rt, label)) * time.Minute
		}
		at := form.Date{Year: 2026, Month: time.October, Day: 24}.At(12, 0).Add(minutes(0, 900, "begins"))
		switch since := b.home.Since(); rapid.SampledFrom([]string{"well", "well", "stands still", "fast"}).Draw(rt, "the meter counts") {
		case "stands still":
			b.counts = func(m *sim.Meter, at time.Time) { m.Installed = at.Add(-time.Hour) }
		case "fast":
			b.counts = func(m *sim.Meter, at time.Time) { m.Installed = since.Add(-at.Sub(since) / 100) }
		}
		var boots []boot
		shown := never
		var stood []time.Duration // by how much the meter may have stood still since a reading, by boots back
		off := time.Duration(0)
		for range rapid.IntRange(1, 4).Draw(rt, "boots") {
			boot := boot{from: at, begins: never, ppm: int64(rapid.IntRange(-200, 200).Draw(rt, "ppm")), meterStops: rapid.Bool().Draw(rt, "meter stops")}
			if rapid.Bool().Draw(rt, "goes on where it stopped") {
				boot.begins = shown
			}
			if boot.meterStops {
				for i := range stood {
					stood[i] += off
				}
				stood = append(stood, off)
			}
			right := false
			for range rapid.IntRange(0, 5).Draw(rt, "changes") {
				at = at.Add(minutes(1, 200, "after"))
				c := change{at: at}
				switch rapid.SampledFrom([]string{"set right", "loses its source", "set by hand", "lies"}).Draw(rt, "change") {
				case "set right":
					c.sync = true
				case "loses its source":
					c.keep = true
				case "set by hand":
					c.ahead = minutes(-3000, 3000, "by hand")
				case "lies":
					// One that lies from the start, or for ever, deceives anybody.
					if !right {
						c.keep = true
						break
					}
					c.sync, c.ahead = true, minutes(1, 3000, "ahead")*time.Duration(rapid.SampledFrom([]int{-1, 1}).Draw(rt, "sign"))
					// So does one that is wrong by just what the meter stood still: its count bears it out.
					for slices.Contains(stood, -c.ahead) {
						c.ahead -= time.Minute
					}
					boot.changes = append(boot.changes, c)
					at = at.Add(minutes(1, 28, "lies for"))
					c = change{at: at, sync: true}
				}
				right = c.sync || right && c.keep
				boot.changes = append(boot.changes, c)
			}
			at = at.Add(minutes(1, 300, "goes on for"))
			boot.until, shown = at, boot.stamp(at).Time
			boots = append(boots, boot)
			off = minutes(1, 300, "off")
			at = at.Add(off)
		}
		b.live(boots, pause)
		b.requireTruth(rt, boots, pause, 40*time.Second)
	})
}

// A clock that is years ahead for two days, and calls itself synchronised, makes
// no payloads of years to come and erases nothing.
func TestAgentWaitsForAClockThatIsFarAhead(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	from := began.At(0, 0)
	lie := began.AddDays(4).At(10, 5)
	boots := []boot{{from: from, until: began.AddDays(12).At(12, 0), begins: from, changes: []change{
		{at: from, sync: true}, {at: lie, sync: true, ahead: 4 * 365 * 24 * time.Hour}, {at: lie.Add(48 * time.Hour), sync: true},
	}}}
	b.live(boots, 20*time.Second)
	b.requireTruth(t, boots, 20*time.Second, 10*time.Second)
	b.requireDelivered(b.due(boots[0].until))
	require.Equal(t, []string{"it is back where it was"}, b.happenings(agent.ClockBelieved, "why"))
}

// What is held is what was read, a reading each twelve seconds.
func TestAgentHoldsReadingsAsTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := meter.Stamp{Time: never.UTC(), Elapsed: time.Second}
		var readings []meter.Reading
		for range rapid.IntRange(1, 200).Draw(t, "readings") {
			pause := time.Duration(rapid.IntRange(12_000, 100_000).Draw(t, "pause")) * time.Millisecond
			at.Elapsed += pause
			at.Time = at.Time.Add(pause + time.Duration(rapid.SampledFrom([]int64{0, 0, 0, 1, -3_600_000, 1_700_000_000_000}).Draw(t, "jump"))*time.Millisecond)
			at.Quality = rapid.SampledFrom([]meter.ClockQuality{meter.ClockUnknown, meter.ClockUnsynchronised, meter.ClockSynchronised}).Draw(t, "quality")
			r := meter.Reading{Meter: "main", Device: rapid.SampledFrom([]meter.DeviceID{"a", "a", "a", "b"}).Draw(t, "device"), At: at, Coarse: rapid.Bool().Draw(t, "coarse")}
			if r.SecIndex.Valid = rapid.Bool().Draw(t, "counts"); r.SecIndex.Valid {
				r.SecIndex.Seconds = rapid.Uint32().Draw(t, "seconds")
			}
			if r.Status.Valid = rapid.Bool().Draw(t, "status"); r.Status.Valid {
				r.Status.Bits = rapid.SampledFrom([]uint64{0, 0x1c0104, 1<<64 - 1}).Draw(t, "bits")
			}
			for _, code := range []obis.Code{obis.Drawn, obis.FedIn}[:rapid.IntRange(1, 2).Draw(t, "registers")] {
				r.Registers = append(r.Registers, meter.RegisterValue{Code: code, Value: meter.Exact{
					Magnitude: rapid.Uint64().Draw(t, "magnitude"), Scaler: int8(rapid.IntRange(-1, 0).Draw(t, "scaler")),
				}.Decimal()})
			}
			readings = append(readings, r)
		}
		held := agent.Hold(readings)
		require.Len(t, held, len(readings))
		for i := range held {
			require.Equal(t, fmt.Sprint(readings[i]), fmt.Sprint(held[i]))
		}
	})
}

// happenings gives the details of the journal's entries of a kind, by one name.
func (b *lives) happenings(kind, detail string) (all []string) {
	for _, e := range b.entries {
		if e.Kind == kind {
			all = append(all, e.Detail[detail])
		}
	}
	return all
}

// The meter's count of seconds is no use, but the host has counted as well.
func TestAgentDatesWithoutAMetersCount(t *testing.T) {
	t.Parallel()
	from := began.AddDays(1).At(9, 58)
	holley, err := sim.FindModel("holley")
	require.NoError(t, err)
	for name, spoil := range map[string]func(b *lives){
		"absent": func(b *lives) { // zero means none in this model
			b.model, b.counts = holley, func(m *sim.Meter, at time.Time) { m.Installed = at }
		},
		"stands still": func(b *lives) { b.counts = func(m *sim.Meter, at time.Time) { m.Installed = at.Add(-time.Hour) } },
		"too fast": func(b *lives) {
			b.counts = func(m *sim.Meter, at time.Time) { m.Installed = from.Add(-time.Hour - at.Sub(from)/10) }
		},
		"begins anew": func(b *lives) {
			b.counts = func(m *sim.Meter, at time.Time) {
				if at.After(from.Add(30 * time.Minute)) {
					m.Installed = from.Add(30 * time.Minute)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLives(t)
			spoil(b)
			boots := []boot{{from: from, until: from.Add(3 * time.Hour), begins: never, ppm: 50, changes: []change{{at: from.Add(70 * time.Minute), sync: true}}}}
			b.live(boots, 10*time.Second)
			b.requireTruth(t, boots, 10*time.Second, 10*time.Second)
			by := b.happenings(agent.ReadingsDated, "by")
			require.Len(t, by, 1)
			require.Contains(t, by[0], "the host's count of time")
		})
	}
}

// A meter whose count runs fast by a hundredth does not make a right clock wrong
// after a power cut, and so does not bear out the next lie either: what was seen
// over a quarter hour says little of three hours.
func TestAgentTrustsAMetersCountNoFurtherThanItsRateIsKnown(t *testing.T) {
	t.Parallel()
	from := began.AddDays(1).At(12, 0)
	again := from.Add(4 * time.Hour)
	lie := again.Add(10 * time.Minute)
	for name, until := range map[string]time.Time{
		"seen for half an hour":    from.Add(35 * time.Minute),
		"seen for an hour":         from.Add(65 * time.Minute),
		"seen for nearly all time": again.Add(-2 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			b := newLives(t)
			b.counts = func(m *sim.Meter, at time.Time) { m.Installed = b.home.Since().Add(-at.Sub(b.home.Since()) / 100) }
			boots := []boot{
				{from: from, until: until, begins: from, changes: []change{{at: from, sync: true}}},
				{from: again, until: again.Add(3 * time.Hour), begins: never, changes: []change{
					{at: again.Add(time.Minute), sync: true}, {at: lie, sync: true, ahead: 2 * time.Minute}, {at: lie.Add(20 * time.Minute), sync: true},
				}},
			}
			b.live(boots, 15*time.Second)
			b.requireTruth(t, boots, 15*time.Second, 10*time.Second)
			require.Empty(t, b.happenings(agent.ClockDoubted, "why"))
			require.Equal(t, []string{"it is back where it was"}, b.happenings(agent.ClockBelieved, "why"))
		})
	}
}

// Where only the meter counts, its count is believed as far as two instants of
// a good clock, one before and one after, bear it out.
func TestAgentDatesByTheMetersCountWhereTwoInstantsBearItOut(t *testing.T) {
	t.Parallel()
	from := began.AddDays(1).At(0, 0)
	boots := []boot{
		{from: from, until: from.Add(3 * time.Hour), begins: from, changes: []change{{at: from, sync: true}}},
		{from: from.Add(5 * time.Hour), until: from.Add(10 * time.Hour), begins: never, changes: []change{{at: from.Add(7 * time.Hour), sync: true}}},
	}
	b := newLives(t)
	b.uncounted = true
	b.live(boots, 15*time.Second)
	b.requireTruth(t, boots, 15*time.Second, 10*time.Second)
	require.Equal(t, []string{"the meter's count of seconds"}, b.happenings(agent.ReadingsDated, "by"))

	b = newLives(t)
	b.uncounted = true
	boots[1].meterStops = true
	b.live(boots, 15*time.Second)
	require.Empty(t, b.happenings(agent.ReadingsDated, "by"))
	require.Equal(t, []string{"7"}, b.happenings(agent.ReadingsUndated, "quarter_hours"))
	readings, err := b.store.Boundaries("main", meter.QuarterOf(boots[1].from), meter.QuarterOf(boots[1].until))
	require.NoError(t, err)
	require.Equal(t, meter.QuarterOf(boots[1].changes[0].at), readings[0].Boundary, "none is invented")
}

// Memory is bounded: after more than a week without a clock the oldest readings
// have given way, and that is told with its span when the span is known.
func TestAgentTellsWhichReadingsGaveWay(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	from := began.At(0, 0)
	set := from.AddDate(0, 0, 9)
	boots := []boot{{from: from, until: set.Add(time.Hour), begins: never, changes: []change{{at: set, sync: true}}}}
	b.live(boots, 12*time.Second)
	var lost form.Notice
	for _, p := range b.payloads {
		for _, n := range p.Notices {
			if n.Kind == agent.ReadingsUndated {
				lost = n
			}
		}
	}
	require.Equal(t, meter.QuarterOf(from), lost.From)
	readings, err := b.store.Boundaries("main", 0, 1<<40)
	require.NoError(t, err)
	require.InDelta(t, 7*24, set.Sub(readings[0].Boundary.Time()).Hours(), 5)
	require.Equal(t, lost.To.Next(), readings[0].Boundary)
	require.EqualValues(t, lost.To-lost.From, lost.Count)
	for i, r := range readings {
		require.Equal(t, readings[0].Boundary+meter.Quarter(i), r.Boundary)
	}
}

// A clock that goes on saying something else is believed in the end: the time
// service knows better, and nobody else sets it. What is kept stays.
func TestAgentGivesInToAClockThatStaysSynchronised(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	from := began.At(0, 0)
	lie, right := began.AddDays(1).At(10, 5), began.AddDays(1).At(12, 5)
	boots := []boot{{from: from, until: began.AddDays(4).At(12, 0), begins: from, changes: []change{
		{at: from, sync: true}, {at: lie, sync: true, ahead: 3 * time.Hour}, {at: right, sync: true},
	}}}
	b.live(boots, time.Minute)
	why := b.happenings(agent.ClockBelieved, "why")
	require.Equal(t, []string{"it has stayed synchronised for 30m0s", "it has stayed synchronised for 30m0s"}, why)
	readings, err := b.store.Boundaries("main", 0, 1<<40)
	require.NoError(t, err)
	next := meter.QuarterOf(from)
	for _, r := range readings {
		if next.Time().Equal(lie.Add(10 * time.Minute)) {
			next += 8 // what was read then was kept as of three hours later
		}
		require.Equal(t, next, r.Boundary)
		next++
		at := r.Boundary.Time()
		if at.After(lie.Add(3*time.Hour)) && at.Before(right.Add(3*time.Hour)) {
			at = at.Add(-3 * time.Hour)
		}
		value, _ := r.Register(obis.Drawn)
		require.Equal(t, b.shown(at).String(), value.String(), r.Boundary)
	}
	require.Equal(t, meter.QuarterOf(boots[0].until), next-1)
	b.requireDelivered(b.due(boots[0].until))
}

// Days were built before they came, by a clock that was believed for an hour and
// was twenty hours ahead. When they come, what was said of them is corrected: once
// for each day and receiver, and with every quarter hour that was read.
func TestAgentCorrectsWhatAClockThatWasAheadHadBuilt(t *testing.T) {
	t.Parallel()
	b := newLives(t)
	from := began.At(0, 0)
	lie, right := began.AddDays(4).At(10, 5), began.AddDays(4).At(11, 5) // built up to Wednesday
	boots := []boot{{from: from, until: began.AddDays(14).At(12, 0), begins: from, changes: []change{
		{at: from, sync: true}, {at: lie, sync: true, ahead: 20 * time.Hour}, {at: right, sync: true},
	}}}
	b.live(boots, time.Minute)
	last := map[form.Period]*form.Payload{}
	revisions := 0
	for _, p := range b.payloads {
		if p.Row != 6 {
			continue
		}
		revisions = max(revisions, p.Revision)
		if was := last[p.Period]; was == nil || was.Revision < p.Revision {
			last[p.Period] = p
		}
	}
	require.LessOrEqual(t, revisions, 2)
	missing := 0
	for day := began.AddDays(4); day.Before(began.AddDays(13)); day = day.AddDays(1) {
		for period, p := range last {
			if period.From != day.Midnight() {
				continue
			}
			for _, i := range p.Values[0].Intervals {
				if i.State == form.Missing {
					missing++
				}
			}
		}
	}
	require.Equal(t, 2*5, missing, "those round the hour in which it was believed, and round that of which it spoke")
}
