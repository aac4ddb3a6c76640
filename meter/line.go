package meter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"smgw/sml"
)

// Line is the line of one meter: it opens the source, finds frames, decodes
// them and hands the telegrams on. A live source is opened again for ever,
// with growing pauses. Set the fields before Run and leave them alone after.
type Line struct {
	Source Source
	Log    *slog.Logger     // nil: says nothing
	Now    func() time.Time // dates the State; nil: the system's clock

	// Progress, where set, is called at each turn of Run: after every attempt to
	// open the source, every read and every pause, whatever came of it. While
	// Run reads a live source that is at least once in TurnLimit, a silent meter
	// and an unplugged reader included; a line that hangs, or whose handle does,
	// calls it no more. It must not wait.
	Progress func()

	mu    sync.Mutex
	state LineState
}

// LineState is how a line is at the moment.
type LineState struct {
	Source       string           `json:"source"`
	At           string           `json:"at,omitempty"` // the device node that it was found at, where that is another
	Open         bool             `json:"open"`
	Since        time.Time        `json:"since,omitzero"` // when it was opened, or was lost
	Opened       int64            `json:"opened"`         // how often it was
	Error        string           `json:"error,omitempty"`
	ErrorAt      time.Time        `json:"error_at,omitzero"` // when Error was last met
	Silent       bool             `json:"silent,omitempty"`  // it can be opened, but was lost because nothing came
	Bytes        int64            `json:"bytes"`
	LastByte     time.Time        `json:"last_byte,omitzero"`
	Telegrams    int64            `json:"telegrams"`
	LastTelegram time.Time        `json:"last_telegram,omitzero"`
	Refused      map[string]int64 `json:"refused"`            // by reason
	LastTorn     time.Time        `json:"last_torn,omitzero"` // when SML was last refused: noise does not count
}

// Pauses before a source is opened again. They double while no telegram
// comes, so that a port that opens and fails at once is not hammered either.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second // a technician with the plug in his hand is watching
)

// TurnLimit is the longest time between two calls of a Line's Progress while
// its source is live and its handle returns at once.
const TurnLimit = SilenceLimit + lastPause

// Run reads until the context is cancelled, and returns its error, or until
// the end of a source that is not live, and returns io.EOF. Another error is
// that of such a source. A line runs once at a time.
//
// It calls handle with every telegram, which borrows its memory until handle
// returns. Nothing is read meanwhile: what a slow handle cannot take waits in
// the source.
func (l *Line) Run(ctx context.Context, handle func(Telegram)) error {
	log := foldingLog{log: l.Log, source: l.Source.String()}
	for pause := firstPause; ; {
		heard := l.telegrams()
		err := l.runOnce(ctx, &log, handle)
		if ctx.Err() != nil {
			l.closed(nil)
			return ctx.Err()
		}
		l.closed(err)
		if !l.Source.Live() {
			return err
		}
		if l.telegrams() != heard {
			pause = firstPause
		}
		log.lost(err, pause)
		if !l.pause(ctx, pause) {
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

// runOnce reads from the opening of the source to its end, which a live
// source has only by a fault.
func (l *Line) runOnce(ctx context.Context, log *foldingLog, handle func(Telegram)) error {
	source, err := l.Source.Open(ctx)
	l.progress()
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		source.Close()
		close(closed)
	})
	defer func() {
		if stop() {
			source.Close()
			return
		}
		<-closed
	}()
	l.opened(source)

	frames := sml.NewReader(lineReader{source, l})
	var decoder Decoder
	flood := flood{credit: floodBurst, at: time.Now()}
	for {
		frame, err := frames.Next()
		var refused *sml.RefusedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused):
			l.refuse(refused)
			l.withstand(ctx, &flood, refused.End-refused.Offset, log)
			continue
		case err != nil:
			return err
		}
		telegram, refusals := decoder.Decode(frame)
		l.refuse(refusals...)
		if !telegram.OK {
			l.withstand(ctx, &flood, frame.End-frame.Offset, log)
			continue
		}
		flood.heard()
		l.received()
		log.found()
		handle(telegram)
	}
}

// lineReader counts what is read.
type lineReader struct {
	io.Reader
	line *Line
}

func (r lineReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.line.progress()
	if n > 0 {
		l := r.line
		l.mu.Lock()
		defer l.mu.Unlock()
		l.state.Bytes += int64(n)
		l.state.LastByte = l.now()
	}
	return n, err
}

// State returns a snapshot. It may be called at any time.
func (l *Line) State() LineState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	s.Source = l.Source.String()
	s.Refused = maps.Clone(s.Refused)
	if s.Refused == nil {
		s.Refused = map[string]int64{}
	}
	return s
}

func (l *Line) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

func (l *Line) progress() {
	if l.Progress != nil {
		l.Progress()
	}
}

func (l *Line) opened(source io.ReadCloser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.At = ""
	if found, ok := source.(interface{ at() string }); ok && !strings.HasSuffix(l.Source.String(), ":"+found.at()) {
		l.state.At = found.at()
	}
	l.state.Open, l.state.Since = true, l.now()
	l.state.Opened++
}

func (l *Line) closed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.state.Open || l.state.Since.IsZero() {
		l.state.Open, l.state.Since = false, now
	}
	if err != nil {
		l.state.Error, l.state.ErrorAt = err.Error(), now
		_, l.state.Silent = errors.AsType[*SilentError](err)
	}
}

func (l *Line) received() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Telegrams++
	l.state.LastTelegram = l.now()
	l.state.Error, l.state.ErrorAt, l.state.Silent = "", time.Time{}, false
}

func (l *Line) telegrams() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Telegrams
}

func (l *Line) refuse(refused ...*sml.RefusedError) {
	if len(refused) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Refused == nil {
		l.state.Refused = map[string]int64{}
	}
	for _, r := range refused {
		l.state.Refused[string(r.Reason)]++
		if r.Reason != sml.Noise {
			l.state.LastTorn = l.now()
		}
	}
}
