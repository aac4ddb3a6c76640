package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// FoldFor is for how long a message that was said is only counted when it comes again.
const FoldFor = 10 * time.Minute

// foldMost is how many different messages are remembered at once.
const foldMost = 64

// Fold keeps a log small: a message that comes again within FoldFor is counted
// and not said. Once that time is over it is said again, with repeated=N.
//
// Messages are the same when level, text and every field of text or truth agree;
// counts, durations and instants may differ. Several that come in turn are each
// folded.
func Fold(next slog.Handler) slog.Handler { return fold{next: next, said: &folded{}} }

type fold struct {
	next slog.Handler
	said *folded
	of   string // the fields that the logger itself has
}

// folded are the messages said of late, the oldest first.
type folded struct {
	mu   sync.Mutex
	list []*said
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
	fresh, repeated, over := f.said.take(key, r, f.next)
	// Outside the lock: what writes may wait.
	for _, s := range over {
		s.last.AddAttrs(slog.Int("repeated", s.repeated))
		if err := s.by.Handle(ctx, s.last); err != nil {
			return err
		}
	}
	if !fresh {
		return nil
	}
	if repeated > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", repeated))
	}
	return f.next.Handle(ctx, r)
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
// came since it last was; over are other messages whose time is over and that
// came again meanwhile.
func (f *folded) take(key string, r slog.Record, by slog.Handler) (fresh bool, repeated int, over []*said) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh = true
	kept := f.list[:0]
	for i, s := range f.list {
		since := r.Time.Sub(s.at)
		old := since < 0 || since >= FoldFor
		switch {
		case s.key == key && old:
			repeated = s.repeated
		case s.key == key:
			fresh = false
			s.repeated++
			s.last, s.by = r.Clone(), by
			kept = append(kept, s)
		case !old && len(f.list)-i < foldMost:
			kept = append(kept, s)
		case s.repeated > 0:
			over = append(over, s)
		}
	}
	clear(f.list[len(kept):])
	f.list = kept
	if fresh {
		f.list = append(f.list, &said{key: key, at: r.Time})
	}
	return fresh, repeated, over
}
