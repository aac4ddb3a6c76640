package cli

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// FoldFor is for how long a message that was said is only counted when it comes again.
const FoldFor = 10 * time.Minute

// foldMost is how many different messages are remembered at once.
const foldMost = 64

// Fold keeps a log small: a message that comes again within FoldFor of when it was
// said is only counted. What was counted is said, as it last was and with
// repeated=N, before anything else is, and at the latest when that time is over:
// so a log is in order, and ends with what came last. end says what is counted
// yet; from then on nothing is.
//
// Messages are the same when level, text and every field of text or truth agree;
// counts, durations and instants may differ. Several that come in turn are each
// folded.
func Fold(next slog.Handler) (h slog.Handler, end func()) {
	f := &folded{}
	return fold{next: next, said: f}, f.end
}

type fold struct {
	next slog.Handler
	said *folded
	of   string // the fields that the logger itself has
}

// folded are the messages said of late, the oldest first.
type folded struct {
	mu    sync.Mutex
	list  []*said
	timer *time.Timer // until what was counted is said; nil where nothing was
	ended bool
}

// said is a message that was said, and how often it came again since.
type said struct {
	key      string
	at       time.Time
	repeated int
	last     slog.Record  // when it last came again
	by       slog.Handler // who would have said that
}

func (f fold) Enabled(ctx context.Context, level slog.Level) bool { return f.next.Enabled(ctx, level) }

func (f fold) WithGroup(name string) slog.Handler {
	return fold{f.next.WithGroup(name), f.said, f.of + name + "."}
}

func (f fold) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := f.of
	for _, a := range attrs {
		of += keyOf(a)
	}
	return fold{f.next.WithAttrs(attrs), f.said, of}
}

func (f fold) Handle(ctx context.Context, r slog.Record) error {
	key := r.Level.String() + r.Message + "\x00" + f.of
	r.Attrs(func(a slog.Attr) bool {
		key += keyOf(a)
		return true
	})
	fresh, repeated, counted := f.said.take(key, r, f.next)
	// Outside the lock: what writes may wait.
	if err := say(ctx, counted); err != nil || !fresh {
		return err
	}
	if repeated > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", repeated))
	}
	return f.next.Handle(ctx, r)
}

// say says what was counted.
func say(ctx context.Context, counted []*said) error {
	for _, s := range counted {
		s.last.AddAttrs(slog.Int("repeated", s.repeated))
		if err := s.by.Handle(ctx, s.last); err != nil {
			return err
		}
	}
	return nil
}

// keyOf is what of a field tells messages apart.
func keyOf(a slog.Attr) string {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString, slog.KindBool, slog.KindAny:
		return a.Key + "=" + v.String() + "\x00"
	}
	return a.Key + "\x00"
}

// take notes a message. It is fresh when it is to be said, with how often it
// came since it last was, and after all else that was counted.
func (f *folded) take(key string, r slog.Record, by slog.Handler) (fresh bool, repeated int, counted []*said) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.list, func(s *said) bool { return s.key == key }); i >= 0 {
		s := f.list[i]
		if since := r.Time.Sub(s.at); since >= 0 && since < FoldFor && !f.ended {
			s.repeated++
			s.last, s.by = r.Clone(), by
			if f.timer == nil {
				f.timer = time.AfterFunc(FoldFor-since, f.over)
			}
			return false, 0, nil
		}
		repeated = s.repeated
		f.list = slices.Delete(f.list, i, i+1)
	}
	counted = f.tell(r.Time)
	f.list = append(f.list, &said{key: key, at: r.Time})
	if more := len(f.list) - foldMost; more > 0 {
		f.list = slices.Delete(f.list, 0, more)
	}
	return true, repeated, counted
}

// tell takes out what was counted, in the order in which it last came: it is said now.
func (f *folded) tell(now time.Time) (counted []*said) {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	f.list = slices.DeleteFunc(f.list, func(s *said) bool {
		if s.repeated > 0 {
			counted = append(counted, s)
		}
		return s.repeated > 0
	})
	slices.SortStableFunc(counted, func(a, b *said) int { return a.last.Time.Compare(b.last.Time) })
	for _, s := range counted {
		f.list = append(f.list, &said{key: s.key, at: now})
	}
	return counted
}

// over says what was counted when its time is over.
func (f *folded) over() {
	f.mu.Lock()
	counted := f.tell(time.Now())
	f.mu.Unlock()
	_ = say(context.Background(), counted) // whoever logs next has the same error
}

func (f *folded) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.over()
}
