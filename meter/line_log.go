package meter

import (
	"context"
	"log/slog"
	"time"
)

// foldingLog says that a line was lost and found again, but never fills a log
// with it: the same loss is said again after an hour, then after two, four …,
// once a day at least; and of a line that comes and goes, or is lost
// each time by another error, no more than a burst is told, then one message
// each toldEach. What was left out is counted in the next message that is not.
type foldingLog struct {
	log    *slog.Logger
	source string

	said    string // the loss that was last said; empty once the line was found
	saidAt  time.Time
	again   time.Duration // after which it is said again
	told    float64       // messages told, forgotten at one each toldEach
	toldAt  time.Time
	leftOut int
}

const (
	firstAgain = time.Hour
	lastAgain  = 24 * time.Hour
	burst      = 8
	toldEach   = 4 * time.Hour
)

// lost says that the line was lost by err and is tried again after the pause.
func (f *foldingLog) lost(err error, pause time.Duration) {
	text := err.Error()
	same := text == f.said
	if same && time.Since(f.saidAt) < f.again {
		f.leftOut++
		return
	}
	if !f.tell(slog.LevelWarn, "meter line lost", slog.String("err", text), slog.Duration("again_in", pause)) {
		return
	}
	f.said, f.saidAt = text, time.Now()
	if !same {
		f.again = firstAgain
	} else {
		f.again = min(2*f.again, lastAgain)
	}
}

// found says that telegrams come again, if it was said that they did not.
func (f *foldingLog) found() {
	if f.said == "" {
		return
	}
	f.said = ""
	f.tell(slog.LevelInfo, "meter line found again", slog.Duration("after", time.Since(f.saidAt).Round(time.Second)))
}

func (f *foldingLog) tell(level slog.Level, message string, attrs ...any) bool {
	if f.log == nil {
		return false
	}
	now := time.Now()
	f.told = max(0, f.told-float64(now.Sub(f.toldAt))/float64(toldEach))
	f.toldAt = now
	if f.told > burst-1 {
		f.leftOut++
		return false
	}
	f.told++
	attrs = append([]any{slog.String("source", f.source)}, attrs...)
	if f.leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", f.leftOut))
		f.leftOut = 0
	}
	f.log.Log(context.Background(), level, message, attrs...)
	return true
}
