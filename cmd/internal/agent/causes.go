package agent

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"smgw/board"
	"smgw/buffer"
	"smgw/meter"
)

// What lamps and status call silent, unreachable and near its end: long enough
// that a pulled cable or a head-end's restart is not an alarm, and early enough
// that a certificate is renewed in time.
const (
	silentAfter      = 30 * time.Second
	unreachableAfter = 3 // attempts in a row
	endsSoon         = 30 * 24 * time.Hour
)

// causes are what is wrong now, the most urgent first.
func (a *Agent) causes(now meter.Stamp) []board.Cause {
	all := board.Causes()
	held := make([]bool, len(all))
	a.burdens.ask(a, now.Time)
	held[board.StoreInTrouble] = a.unsaved.err != nil || a.burdens.spoilt > 0 || a.Store.Trouble() != nil
	for _, m := range a.meters {
		if c := m.cause(now.Time, a.started); c != board.AllWell {
			held[c] = true
		}
		held[board.PINNeeded] = held[board.PINNeeded] || m.last.Coarse
	}
	held[board.ClockNotSet] = now.Quality != meter.ClockSynchronised || clockNeverSet(now.Time)
	for _, s := range a.senders {
		state := s.snapshot()
		held[board.HeadEndUnreachable] = held[board.HeadEndUnreachable] || state.failures >= unreachableAfter
		held[board.StoreInTrouble] = held[board.StoreInTrouble] || state.storeErr != nil
	}
	held[board.CertificateEnding] = a.renewal.cause(now.Time)
	for _, queue := range a.burdens.backlog {
		held[board.PayloadRefused] = held[board.PayloadRefused] || queue.SetAside > 0
	}

	causes := []board.Cause{} // and not nil, which JSON calls null
	for _, c := range all {
		if held[c] {
			causes = append(causes, c)
		}
	}
	return causes
}

// burdens are what the store holds that a person must know of.
type burdens struct {
	backlog []buffer.EndpointBacklog // what memory knows of the outbox
	asked   time.Time                // when flash was last asked for the losses: once a minute is enough for a lamp
	untold  int                      // losses that no head-end knows of yet
	spoilt  int                      // those of them that are the store's
}

// renew has the losses asked for anew, for somebody who looks now.
func (b *burdens) renew() { b.asked = time.Time{} }

func (b *burdens) ask(a *Agent, now time.Time) {
	backlog, err := a.Store.Backlog(now)
	b.backlog = backlog
	if since := now.Sub(b.asked); since >= 0 && since < time.Minute && err == nil {
		return
	}
	b.asked, b.untold, b.spoilt = now, 0, 0
	losses, lossErr := a.Store.Losses()
	b.untold = len(losses)
	for _, l := range losses {
		if l.Kind != ReadingsUndated {
			b.spoilt++
		}
	}
	if err := errors.Join(err, lossErr); err != nil {
		a.Log.Error("looking into the store", "err", err)
	}
}

// cause says what is wrong with a meter's line: it cannot be opened, nothing
// comes, no SML comes, or SML comes and none of it is good.
func (m *meterState) cause(now, started time.Time) board.Cause {
	line := m.line.State()
	if !line.Open && line.Error != "" {
		return board.ReaderSilent
	}
	last := m.last.At.Time
	if last.IsZero() {
		last = started
	}
	if now.Sub(last) <= silentAfter {
		return board.AllWell
	}
	if line.LastByte.IsZero() || now.Sub(line.LastByte) > silentAfter {
		return board.ReaderSilent
	}
	if !line.LastTorn.IsZero() && now.Sub(line.LastTorn) <= silentAfter {
		return board.SMLRefused
	}
	return board.NoSML
}

// trouble tells the log what is wrong from when to when, and the journal no oftener
// than once a quarter hour: a reader with a loose plug must not wear out the flash.
type trouble struct {
	logged  []board.Cause // hold, as far as the log says
	quarter meter.Quarter
	held    map[board.Cause]bool // at any moment of the quarter hour
	said    string               // what the journal says last
}

func (t *trouble) note(a *Agent, now meter.Stamp, causes []board.Cause) {
	t.log(a, causes)
	if t.held == nil {
		t.held = map[board.Cause]bool{}
	}
	for _, c := range causes {
		t.held[c] = true
	}
	quarter := meter.QuarterOf(now.Time)
	if quarter == t.quarter {
		return
	}
	var names []string
	for _, c := range board.Causes() {
		if t.held[c] {
			names = append(names, c.String())
		}
	}
	clear(t.held)
	first := t.quarter == 0
	t.quarter = quarter
	if all := cmp.Or(strings.Join(names, " "), board.AllWell.String()); all != t.said && !first {
		if err := a.Store.Append(a.event(Causes, "held", all, "before", t.said)); err != nil {
			a.Log.Error("writing the journal", "err", err)
			return
		}
		t.said = all
	}
}

// log says what ended and what began; that comes last.
func (t *trouble) log(a *Agent, causes []board.Cause) {
	for _, c := range t.logged {
		if !slices.Contains(causes, c) {
			a.Log.Info("no more: "+c.Meaning(), "cause", c)
		}
	}
	for _, c := range causes {
		if !slices.Contains(t.logged, c) {
			a.Log.Warn("wrong: "+c.Meaning(), "cause", c)
		}
	}
	t.logged = causes
}
