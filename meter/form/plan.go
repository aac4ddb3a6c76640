package form

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"smgw/meter"
)

// Due is one payload that the contract makes due: what it covers, who gets it,
// and by when it must have been received.
type Due struct {
	Row     RowNumber
	MaLo    MarketLocationID
	To      Role
	Period  Period // From is To where an event asks for registers at an instant only
	At      time.Time
	Purpose string
	Event   EventKind // what made it due; zero for a regular one
}

// Plan lists every regular payload of a contract due on a local day from one date
// to another, both included, sorted by due time, row, market location and receiver
// (alphabetical). There is one for each market location, row and receiver.
func Plan(c *Contract, from, to Date) []Due { return c.Always().Plan(from, to) }

// Plan lists every regular payload due on a local day from one date to another,
// both included, sorted by due time, row, market location, receiver
// (alphabetical) and period.
func (h *History) Plan(from, to Date) []Due {
	var due []Due
	calendar := newCalendar(h)
	for day := from; !to.Before(day); day = day.AddDays(1) {
		if calendar.working(day) {
			since := calendar.workingDayBefore(day)
			due = h.parts(due, EachWorkingDay, Period{since.Midnight(), day.Midnight()}, Due{At: day.At(11, 0)})
		}
		if day.Day == 1 {
			month := day.AddDays(-1).FirstOfMonth()
			due = h.parts(due, EachMonth, Period{month.Midnight(), day.Midnight()}, Due{At: day.At(12, 0)})
		}
	}
	slices.SortFunc(due, Due.compare)
	return due
}

// Settled lists the regular payloads whose period ends after one boundary and
// not after another, sorted as Plan: what can be built once every boundary up to
// upTo is settled.
func (h *History) Settled(after, upTo meter.Quarter) []Due {
	if upTo <= after {
		return nil
	}
	until := upTo
	if len(h.Versions) > 1 || h.End != 0 {
		// A part of a period may end long before the day on which it is due.
		calendar := newCalendar(h)
		until = max(calendar.period(EachMonth, upTo-1).To, calendar.period(EachWorkingDay, upTo-1).To)
	}
	due := h.Plan(DateOf(after.Time()), DateOf(until.Time()))
	return slices.DeleteFunc(due, func(d Due) bool { return d.Period.To <= after || upTo < d.Period.To })
}

// FinalOn is the local day on which what is still preliminary in the payload is
// settled (FORM.md, When): the 8th calendar day of the month after a month, or of
// part of one, and the 8th after an event.
func (d Due) FinalOn() Date {
	if row, _ := d.Row.Row(); row.Rhythm == EachMonth {
		return DateOf((d.Period.To - 1).Time()).FirstOfNextMonth().AddDays(7)
	}
	return DateOf(d.Period.To.Time()).AddDays(8)
}

func (d Due) compare(e Due) int {
	return cmp.Or(
		d.At.Compare(e.At),
		cmp.Compare(d.Row, e.Row),
		strings.Compare(d.MaLo.String(), e.MaLo.String()),
		d.To.compare(e.To),
		cmp.Compare(d.Period.From, e.Period.From),
		cmp.Compare(d.Period.To, e.Period.To),
	)
}
