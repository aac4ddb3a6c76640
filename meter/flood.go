package meter

import (
	"context"
	"fmt"
	"time"
)

// flood slows the reading of what is no telegram. A serial line does that by
// itself; behind a network somebody may send gigabytes, which must not take all of
// the processor, nor cost a meter a telegram: each one makes up for all before it.
type flood struct {
	credit int64 // bytes that are read as fast as they come; negative: as much too many
	at     time.Time
}

const (
	// floodRate is how fast a flood is read, in bytes a second: that of a line at
	// 115,200 baud, twelve times a meter's.
	floodRate = 11_520
	// floodBurst is how many bytes without a telegram are no flood yet: more than a
	// network keeps back while a line hangs.
	floodBurst = 256 << 10
)

// heard takes a telegram.
func (f *flood) heard() { f.credit = floodBurst }

// refused takes n bytes that were no telegram, and returns how long it is until a
// line would have brought them.
func (f *flood) refused(n int64) (pause time.Duration) {
	now := time.Now()
	f.credit = min(floodBurst, f.credit+now.Sub(f.at).Microseconds()*floodRate/1e6) - n
	f.at = now
	return time.Duration(-min(f.credit, 0)) * time.Second / floodRate
}

// withstand pauses where a live source floods.
func (l *Line) withstand(ctx context.Context, f *flood, n int64, log *foldingLog) {
	pause := f.refused(n)
	if pause == 0 || !l.Source.Live() {
		return
	}
	log.lost(errFlood, pause)
	l.pause(ctx, pause)
}

var errFlood = fmt.Errorf("more than %d kB came without a telegram in them, faster than any meter sends: it is read slowly until one comes", floodBurst>>10)

// pause waits, and reports whether it came to its end.
func (l *Line) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		l.progress()
		return true
	}
}
