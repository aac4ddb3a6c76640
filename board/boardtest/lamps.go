// Package boardtest has lamps that remember what they were told, for tests.
package boardtest

import (
	"slices"
	"sync"

	"smgw/board"
)

// Lamps record every change of what they show. The zero value is ready.
type Lamps struct {
	// Fault, when set, is returned by Show.
	Fault error

	mu      sync.Mutex
	shown   [][]board.Cause
	closed  bool
	changed chan struct{}
}

// Show implements board.Lamps. The same causes again are not recorded again.
func (l *Lamps) Show(causes ...board.Cause) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := slices.Clone(causes)
	slices.Sort(now)
	if n := len(l.shown); n == 0 || !slices.Equal(l.shown[n-1], now) {
		l.shown = append(l.shown, now)
		if l.changed != nil {
			close(l.changed)
			l.changed = nil
		}
	}
	return l.Fault
}

// Close implements board.Lamps.
func (l *Lamps) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// Shown returns all that was shown, in order, each set sorted by urgency.
func (l *Lamps) Shown() [][]board.Cause {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.shown)
}

// Closed reports whether the lamps were darkened.
func (l *Lamps) Closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Changed returns a channel that is closed at the next change of what is
// shown, so that a test can wait for it instead of sleeping.
func (l *Lamps) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}
