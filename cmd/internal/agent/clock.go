package agent

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/meter"
)

// Clock is the wall clock and what it is worth. The agent never sets it.
type Clock interface {
	// Now is the present instant, the quality of the clock that tells it, and a
	// count of time that does not move when the clock is set.
	Now() meter.Stamp
	// Received is the instant at which t was received.
	Received(t *meter.Telegram) meter.Stamp
}

// SystemClock is the one clock of production: the kernel's time, with the
// quality that the kernel gives it, asked once a second.
type SystemClock struct {
	mu      sync.Mutex
	asked   time.Time
	quality meter.ClockQuality
}

// Now returns the kernel's time, its quality, and the time since the host started.
func (c *SystemClock) Now() meter.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, elapsed := time.Now(), sinceBoot()
	if since := now.Sub(c.asked); since < 0 || since >= time.Second {
		c.asked, c.quality = now, meter.ClockUnknown
		if state, err := board.ClockState(); err == nil {
			c.quality = meter.ClockUnsynchronised
			if state.Synchronised {
				c.quality = meter.ClockSynchronised
			}
		}
	}
	// Without the monotonic part, which would hide that the wall clock was set.
	return meter.Stamp{Time: now.Round(0), Quality: c.quality, Elapsed: elapsed}
}

// sinceBoot is the kernel's count of time since the host started, sleep included.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Received is Now: a telegram is dated when its end has come.
func (c *SystemClock) Received(*meter.Telegram) meter.Stamp { return c.Now() }

// SteppedClock is the bench's fast clock. It stands still between telegrams
// and steps to what the simulated meter's secIndex says, so that simulated
// time can never outrun the agent. It is synchronised by definition.
type SteppedClock struct {
	mu   sync.Mutex
	zero time.Time
	now  time.Time
}

// NewSteppedClock returns a clock on which secIndex 0 is the instant zero and
// which stands there until the first telegram.
func NewSteppedClock(zero time.Time) *SteppedClock {
	return &SteppedClock{zero: zero.UTC(), now: zero.UTC()}
}

// Now returns the instant of the newest telegram.
func (c *SteppedClock) Now() meter.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return meter.Stamp{Time: c.now, Quality: meter.ClockSynchronised, Elapsed: c.now.Sub(c.zero) + time.Second}
}

// Received steps the clock to t's secIndex.
func (c *SteppedClock) Received(t *meter.Telegram) meter.Stamp {
	if index := t.SecIndex(); index.Valid {
		c.mu.Lock()
		c.now = c.zero.Add(time.Duration(index.Seconds) * time.Second)
		c.mu.Unlock()
	}
	return c.Now()
}
