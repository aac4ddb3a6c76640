package agent

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
)

// RunSender runs the sender of one endpoint, after a wait.
func RunSender(ctx context.Context, endpoint string, store *buffer.Store, client Putter, clock Clock, log *slog.Logger, holdOff time.Duration) {
	s := newSender(endpoint, store, client, clock, log)
	s.holdOff = holdOff
	s.run(ctx)
}

// StepSender lets a sender send what is ready, a minute and more after the store
// failed with before, and returns why the store fails then.
func StepSender(ctx context.Context, endpoint string, store *buffer.Store, client Putter, before error) error {
	s := newSender(endpoint, store, client, &SystemClock{}, slog.New(slog.DiscardHandler))
	if before != nil {
		s.storeFailed(s.clock.Now().Time.Add(-2*time.Minute), before)
	}
	s.step(ctx)
	return s.snapshot().storeErr
}

// CloseStore closes a store at the stop.
func CloseStore(store *buffer.Store, log *slog.Logger) error { return closeStore(store, log) }

// HoldOff is how long the agent's senders wait before they begin.
func (a *Agent) HoldOff() time.Duration { return a.holdOff() }

// Demand is what the network operator asks for once.
func (a *Agent) Demand(malo form.MarketLocationID) error { return a.demand(malo) }

// ReadFrom lets the agent's only meter be read from a source that a test makes.
func (a *Agent) ReadFrom(s meter.Source) { a.meters[0].line.Source = s }

// Nudge tells every sender that its queue has grown.
func (a *Agent) Nudge() {
	for _, s := range a.senders {
		s.nudge()
	}
}

// Lose has readings found no place, and others wait for the store.
func (a *Agent) Lose(dropped, waiting []meter.BoundaryReading) {
	a.unsaved.add(append(slices.Clone(dropped), waiting...))
	a.unsaved.drop(len(dropped))
}

// Hold gives what is held of readings that cannot be dated.
func Hold(readings []meter.Reading) (held []meter.Reading) {
	var u undated
	for i := range readings {
		u.add(&readings[i])
	}
	u.all(func(r *meter.Reading) { held = append(held, *r) })
	return held
}

// EraseIfAsked does, when the agent has ended, what somebody waits for.
func (a *Agent) EraseIfAsked() error { return a.eraseIfAsked() }

// ServeOn is Serve on a board that a test makes.
func ServeOn(ctx context.Context, c *config.Config, lamps board.Lamps, log *slog.Logger) error {
	return serve(ctx, c, &SystemClock{}, log, false, func(board.Config, *slog.Logger) box { return box{lamps: lamps} })
}

// AdviseFlash says what to do where it is the flash that fails.
func AdviseFlash(c *config.Config, err error) error { return adviseFlash(c, err) }

// GiveBack gives the program's pages back to the kernel.
func GiveBack() { mapped(slog.New(slog.DiscardHandler)).giveBack() }

// Answering is what answers the command line beside a running agent.
func Answering(h http.Handler) http.Handler {
	return mapped(slog.New(slog.DiscardHandler)).answering(h)
}
