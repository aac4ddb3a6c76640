package agent_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// dates makes the head-ends say what time they think it is: how far each is off.
func (b *lives) dates(off map[string]time.Duration) {
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		r := sound(endpoint, id, now)
		if ahead, says := off[endpoint]; says {
			r.Date = b.clock.(*bootClock).truth().Add(ahead).Truncate(time.Second)
		}
		return r
	}
}

// A clock that calls itself synchronised is ten minutes slow from the start.
// What the head-ends' dates make of it depends on who else speaks.
func TestHeadEndsDatesAreWitnesses(t *testing.T) {
	t.Parallel()
	const headEnd, supplier = "https://headend.test", "https://supplier.test"
	slow := -10 * time.Minute
	for name, c := range map[string]struct {
		dates  map[string]time.Duration
		counts func(m *sim.Meter, at time.Time)
		marked bool
		doubt  string
	}{
		"both contradict, and nothing bears the clock out": {
			dates: map[string]time.Duration{headEnd: 0, supplier: 0}, counts: func(m *sim.Meter, at time.Time) { m.Installed = at.Add(-time.Hour) },
			marked: true, doubt: "nothing bears it out"},
		"one contradicts, the other agrees": {
			dates: map[string]time.Duration{headEnd: 0, supplier: slow}, counts: func(m *sim.Meter, at time.Time) { m.Installed = at.Add(-time.Hour) },
			doubt: "another's agree"},
		"both contradict, and the meter's count goes as the clock does": {
			dates: map[string]time.Duration{headEnd: 0, supplier: 0}, doubt: "the meter's count of seconds agrees"},
		"both are near":         {dates: map[string]time.Duration{headEnd: slow + 29*time.Second, supplier: slow - 29*time.Second}},
		"nobody says any thing": {dates: nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLives(t)
			b.counts = c.counts
			b.dates(c.dates)
			from := began.At(0, 30)
			boots := []boot{{from: from, until: began.AddDays(6).At(12, 0), begins: from.Add(slow), changes: []change{{at: from, sync: true, ahead: slow}}}}
			a := b.live(boots, time.Minute)
			status, err := a.Status()
			require.NoError(t, err)
			require.Equal(t, c.doubt != "", status.ClockDoubt != "", status.ClockDoubt)
			require.Contains(t, status.ClockDoubt, c.doubt)
			for _, e := range status.Endpoints {
				switch off, says := c.dates[e.Endpoint]; {
				case !says:
					require.Nil(t, e.ClockOff)
				case (off - slow).Abs() > 30*time.Second:
					require.InDelta(t, (off - slow).Seconds(), *e.ClockOff, 2)
				default:
					require.Zero(t, *e.ClockOff)
				}
			}
			readings, err := b.store.Boundaries("main", 0, 1<<40)
			require.NoError(t, err)
			require.Equal(t, meter.ClockSynchronised, readings[0].Clock)
			require.Equal(t, c.marked, readings[len(readings)-1].Clock != meter.ClockSynchronised)
			if c.marked {
				require.Contains(t, b.lamps.last, board.ClockNotSet)
				require.NotEmpty(t, b.happenings(agent.ClockDoubted, "why"))
			} else {
				require.NotContains(t, b.lamps.last, board.ClockNotSet)
				require.Empty(t, b.happenings(agent.ClockDoubted, "why"))
			}
			require.Greater(t, len(b.payloads), 6)
		})
	}
}

// A clock that nobody vouches for is off by what an answer's date says, for who
// looks: it proves nothing.
func TestADateIsShownBesideAClockThatIsNotSynchronised(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sound := b.answer
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Err: errors.New("connection refused")}
	}
	until := began.AddDays(4).At(12, 0)
	b.play(b.home.Since(), until)
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		r := sound(endpoint, id, now)
		if endpoint == "https://headend.test" {
			r.Date = now.Add(10 * time.Minute)
		}
		return r
	}
	b.distort = func(s meter.Stamp) meter.Stamp {
		return meter.Stamp{Time: s.Time.Add(-10 * time.Minute), Quality: meter.ClockUnsynchronised, Elapsed: s.Elapsed}
	}
	status, err := b.play(until.Add(time.Hour), until.Add(2*time.Hour)).Status()
	require.NoError(t, err)
	require.NotEmpty(t, b.payloads)
	for _, e := range status.Endpoints {
		if e.Endpoint == "https://headend.test" {
			require.InDelta(t, 600, *e.ClockOff, 1)
		} else {
			require.Nil(t, e.ClockOff, "it says nothing")
		}
	}
	require.Empty(t, status.ClockDoubt)
}

// A head-end's date shortens the half hour after a jump, or makes it a day.
func TestHeadEndsDateIsHeardAfterAJump(t *testing.T) {
	t.Parallel()
	const slow = -40 * time.Minute
	day := began.AddDays(3) // its payload waits for this gateway's time of sending
	from := began.At(0, 45)
	boots := func(jump time.Time) []boot {
		return []boot{{from: from, until: began.AddDays(5).At(12, 0), begins: from.Add(slow), changes: []change{
			{at: from, sync: true, ahead: slow}, {at: jump, sync: true},
		}}}
	}
	b := newLives(t)
	b.live(boots(began.AddDays(5).At(11, 0)), time.Minute)
	var sends time.Time // by the slow clock
	for id, p := range b.payloads {
		if p.Period.To == day.Midnight() {
			sends = b.at[id]
		}
	}
	require.True(t, sends.After(day.At(0, 30)), "there is a while between building and sending")
	jump := sends.Add(-slow - 20*time.Minute) // sent at once, by the clock that is right now
	for dates, why := range map[time.Duration]string{
		0:    "a head-end's date agrees",
		slow: "it has stayed synchronised for 24h0m0s",
	} {
		b := newLives(t)
		b.dates(map[string]time.Duration{"https://headend.test": dates, "https://supplier.test": dates})
		b.live(boots(jump), time.Minute)
		require.Equal(t, []string{why}, b.happenings(agent.ClockBelieved, "why"))
		first := meter.QuarterOf(jump.Add(-1)).Next()
		readings, err := b.store.Boundaries("main", first, 1<<40)
		require.NoError(t, err)
		require.Equal(t, int(meter.QuarterOf(began.AddDays(5).At(12, 0))-first)+1, len(readings), "all are dated in the end")
		for _, r := range readings {
			require.Equal(t, meter.ClockSynchronised, r.Clock, "and were right from the start")
		}
	}
}
