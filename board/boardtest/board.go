// Package boardtest is a board that records what it is told and does what a
// test tells it: lamps, a button, a reset line.
package boardtest

import (
	"context"
	"fmt"
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
	played  []string
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
		l.change()
	}
	return l.Fault
}

// SelfTest implements board.Lamps.
func (l *Lamps) SelfTest() { l.play("self-test") }

// Spell implements board.Lamps.
func (l *Lamps) Spell(digits string) { l.play(digits) }

func (l *Lamps) play(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.played = append(l.played, what)
	l.change()
}

func (l *Lamps) change() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
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

// Played returns the self-tests ("self-test") and the digits that were spelt, in order.
func (l *Lamps) Played() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.played)
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

// Button is a button that a test presses.
type Button chan board.Press

// NewButton returns a button that nobody has pressed.
func NewButton() Button { return make(Button) }

// Press presses the button, and waits until somebody takes notice.
func (b Button) Press(p board.Press) { b <- p }

// Presses implements board.Button.
func (b Button) Presses() <-chan board.Press { return b }

// Close implements board.Button.
func (b Button) Close() error { return nil }

// Reset records its pulses. The zero value is ready.
type Reset struct {
	// Pulled, when set, is called at each pulse; its error is that of Pulse.
	Pulled func() error

	mu     sync.Mutex
	pulses int
}

// Pulse implements board.Reset. It takes no time.
func (r *Reset) Pulse(context.Context) error {
	r.mu.Lock()
	r.pulses++
	r.mu.Unlock()
	if r.Pulled == nil {
		return nil
	}
	if err := r.Pulled(); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return nil
}

// Pulses is how often the line was pulled.
func (r *Reset) Pulses() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulses
}

// Close implements board.Reset.
func (r *Reset) Close() error { return nil }
