package agent

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"smgw/board"
)

// box is what hangs on the board's lines. What cannot be had is left out.
type box struct {
	lamps  board.Lamps
	button board.Button
	reset  board.Reset
}

func openBox(c board.Config, log *slog.Logger) (b box) {
	var err error
	if b.lamps, err = board.Open(c); err != nil {
		log.Warn("running without this lamp, or these", "err", err)
	}
	if b.button, err = board.OpenButton(c); err != nil {
		log.Warn("running without the button", "err", err)
	}
	if b.reset, err = board.OpenReset(c); err != nil {
		log.Warn("running without the reset line", "err", err)
	}
	return b
}

func (b *box) close(log *slog.Logger) {
	err := b.lamps.Close()
	if b.button != nil {
		err = errors.Join(err, b.button.Close())
	}
	if b.reset != nil {
		err = errors.Join(err, b.reset.Close())
	}
	if err != nil {
		log.Warn("giving the board's lines back", "err", err)
	}
}

// attend looks after the box until ctx ends.
func (a *Agent) attend(ctx context.Context, running *sync.WaitGroup) {
	if a.Button != nil {
		running.Go(func() { a.answerButton(ctx) })
	}
	for _, m := range a.meters {
		if a.Reset != nil && m.name == a.Config.ResetOf {
			running.Go(func() { a.watchHead(ctx, m) })
		}
	}
}

// answerButton lets the lamps answer whoever presses the button.
func (a *Agent) answerButton(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case press := <-a.Button.Presses():
			a.Log.Info("somebody pressed the button", "press", press.String())
			if press == board.Long {
				a.Lamps.Spell(lastDigits(a.Config.Gateway.ID))
				continue
			}
			a.look()
			a.Lamps.SelfTest()
		}
	}
}

// look shows the causes as they are at this moment.
func (a *Agent) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.burdens.renew()
	now, _ := a.judge(a.Clock.Now())
	if err := a.Lamps.Show(a.causes(a.mark(now))...); err != nil {
		a.Log.Warn("a lamp cannot be set", "err", err)
	}
}

// spelt is how many digits a long press shows: enough to tell the gateways of a
// stairwell apart, and few enough to be read off.
const spelt = 4

// lastDigits are the last four digits of a gateway's id, or those it has.
func lastDigits(id string) string {
	var digits []byte
	for i := range len(id) {
		if '0' <= id[i] && id[i] <= '9' {
			digits = append(digits, id[i])
		}
	}
	return string(digits[max(0, len(digits)-spelt):])
}

// When an optical head is restarted: first when no telegram has come for
// firstPatience, then each time after twice as long. After calm without a
// restart it begins anew.
const (
	firstPatience = 5 * time.Minute
	lastPatience  = 6 * time.Hour
	calm          = 2 * time.Hour
)

// watchHead pulls the reset line while the meter's port is open and brings no
// SML, or nothing. A port that cannot be opened has no head that could hang.
// It measures by the monotonic clock: the wall clock may be set meanwhile.
func (a *Agent) watchHead(ctx context.Context, m *meterState) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var heard int64
	var pulled time.Time
	well, patience := time.Now(), firstPatience
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, line := time.Now(), m.line.State()
		switch stuck := line.Open || line.Silent; {
		case line.Telegrams != heard:
			heard, well = line.Telegrams, now
			if now.Sub(pulled) > calm {
				patience = firstPatience
			}
		case !stuck:
			well = now
		case now.Sub(well) >= patience:
			well, pulled = now, now
			patience = min(2*patience, lastPatience)
			a.restartHead(ctx, m)
		}
	}
}

// restartHead pulls the reset line, and says so.
func (a *Agent) restartHead(ctx context.Context, m *meterState) {
	if err := a.Reset.Pulse(ctx); err != nil {
		a.Log.Warn("the optical head cannot be restarted", "meter", m.name, "err", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now().Time
	m.restarts++
	m.restarted = now
	cause := m.cause(now, a.started)
	a.Log.Warn("the optical head was restarted by its reset line", "meter", m.name, "cause", cause, "restarts", m.restarts)
	if err := a.Store.Append(a.event(HeadRestarted, "meter", m.name, "cause", cause.String(), "restarts", strconv.Itoa(m.restarts))); err != nil {
		a.Log.Error("writing the journal", "err", err)
	}
}
