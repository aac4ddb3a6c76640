package board

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reset is the line that restarts the optical head: its reset input, or the
// switch of its power.
type Reset interface {
	// Pulse pulls the line for ResetPulse and lets it go again, also when ctx
	// ends before.
	Pulse(ctx context.Context) error
	// Close lets the line go and gives it back.
	Close() error
}

// ResetPulse is how long the line is pulled: milliseconds are enough for a
// reset input, but a head whose power is cut lives on its capacitors for a while.
const ResetPulse = 2 * time.Second

// resetLine is a Reset on a GPIO line.
type resetLine struct {
	out line
	id  LineID
}

// Pulse implements Reset.
func (r *resetLine) Pulse(ctx context.Context) error {
	err := r.out.SetValue(1)
	if err == nil {
		timer := time.NewTimer(ResetPulse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := errors.Join(err, r.out.SetValue(0)); err != nil {
		return fmt.Errorf("reset on line %v: %w", r.id, err)
	}
	return nil
}

// Close implements Reset.
func (r *resetLine) Close() error { return errors.Join(r.out.SetValue(0), r.out.Close()) }
