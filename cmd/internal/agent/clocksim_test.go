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
	boot *boot
	at   []time.Time
	now  int
}

func (c *bootClock) Now() meter.Stamp { return c.boot.stamp(c.at[max(c.now-1, 0)]) }

func (c *bootClock) Received(*meter.Telegram) meter.Stamp {
	c.now++
	return c.Now()
}

// live runs a gateway through boots, each with a new agent over the same store.
// The meter speaks every pause, from the beginning of the boot on.
func (b *bench) live(boots []boot, pause time.Duration) {
	model := sim.Models[0]
	m := sim.NewMeter(b.home, model, model.Device)
	for i := range boots {
		boot := &boots[i]
		if i > 0 && boot.meterStops {
			m.Installed = m.Installed.Add(boot.from.Sub(boots[i-1].until))
		}
		clock := &bootClock{boot: boot}
		var telegrams []byte
		for at := boot.from; !at.After(boot.until); at = at.Add(pause) {
			telegrams = m.AppendTelegram(telegrams, at)
			clock.at = append(clock.at, at)
		}
		if b.spoil != nil {
			telegrams = b.spoil(m, clock.at)
		}
		require.NoError(b.t, os.WriteFile(strings.TrimPrefix(b.config.Meters[0].Port, "file:"), telegrams, 0o644))
		b.clock = clock
		require.NoError(b.t, b.agent(true).Run(b.t.Context()))
		var seq uint64 // retention forgets the journal while months go by
		if n := len(b.entries); n > 0 {
			seq = b.entries[n-1].Seq
		}
		require.NoError(b.t, b.store.Journal(seq+1, func(e buffer.Entry) bool {
			b.entries = append(b.entries, e)
			return true
		}))
		b.reopen()
	}
}

// shown is what the meter had counted at an instant.
func (b *bench) shown(at time.Time) decimal.Decimal { return b.home.Registers(at).Drawn.Wh(-1) }

// requireTruth holds everything that is kept and was delivered against what the
// household really drew. slack is by how much an unsynchronised clock may have
// been off.
func (b *bench) requireTruth(t require.TestingT, boots []boot, pause, slack time.Duration) {
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
		off := 2 * time.Second // the meter's count has whole seconds
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
func (b *bench) happened() map[string]int {
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
	b := newBench(t)
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

// From October to April on one board: both changes of summer time, power cuts
// with and without the meter, a clock that starts in 1970 or where it was when
// the power went, a time service that comes late or not at all, and one that
// lies for a while.
func TestAgentLivesHalfAYearWithABadClock(t *testing.T) {
	b := newBenchIn(t, quickDir(t))
	at := func(month time.Month, day, hour, minute int) time.Time {
		year := 2026
		if month < time.July {
			year++
		}
		return form.Date{Year: year, Month: month, Day: day}.At(hour, minute)
	}
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
	rapid.Check(t, func(rt *rapid.T) {
		b := newBenchIn(t, quickDir(t))
		defer b.store.Close()
		pause := time.Duration(rapid.SampledFrom([]int{15, 20, 60}).Draw(rt, "pause")) * time.Second
		minutes := func(low, high int, label string) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(rt, label)) * time.Minute
		}
		at := form.Date{Year: 2026, Month: time.October, Day: 24}.At(12, 0).Add(minutes(0, 900, "begins"))
		var boots []boot
		shown := never
		for range rapid.IntRange(1, 4).Draw(rt, "boots") {
			boot := boot{from: at, begins: never, ppm: int64(rapid.IntRange(-200, 200).Draw(rt, "ppm")), meterStops: rapid.Bool().Draw(rt, "meter stops")}
			if rapid.Bool().Draw(rt, "goes on where it stopped") {
				boot.begins = shown
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
			at = at.Add(minutes(1, 300, "off"))
		}
		b.live(boots, pause)
		b.requireTruth(rt, boots, pause, 40*time.Second)
	})
}
