package agent

import (
	"time"

	"smgw/board"
)

// What lamps call silent and unreachable: long enough that a pulled cable or a
// head-end's restart is not an alarm.
const (
	silentAfter      = 30 * time.Second
	unreachableAfter = 3 // attempts in a row
)

// causes are what is wrong now, for the lamps and the status.
func (a *Agent) causes(now time.Time) []board.Cause {
	var causes []board.Cause
	if a.unsaved.err != nil {
		causes = append(causes, board.StoreInTrouble)
	}
	for _, m := range a.meters {
		last := m.last.At.Time
		if last.IsZero() {
			last = a.started
		}
		if now.Sub(last) > silentAfter {
			causes = append(causes, board.ReaderSilent)
			break
		}
	}
	for _, s := range a.senders {
		if s.snapshot().failures >= unreachableAfter {
			causes = append(causes, board.HeadEndUnreachable)
			break
		}
	}
	return causes
}
