package form

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"smgw/meter"
)

// Due is one regular payload that the contract makes due: what it covers, who
// gets it, and by when it must have been received.
type Due struct {
	Row     RowNumber
	MaLo    MarketLocationID
	To      Role
	Period  Period
	At      time.Time
	Purpose string
}

// Plan lists every regular payload due on a local day from one date to another,
// both included, sorted by due time, row, market location and receiver
// (alphabetical). There is one for each market location, row and receiver.
func Plan(c *Contract, from, to Date) []Due {
	var due []Due
	calendar := newCalendar(c.ExtraHolidays)
	for day := from; !to.Before(day); day = day.AddDays(1) {
		if calendar.working(day) {
			since := calendar.workingDayBefore(day)
			due = c.due(due, EachWorkingDay, Period{since.Midnight(), day.Midnight()}, day.At(11, 0))
		}
		if day.Day == 1 {
			month := day.AddDays(-1).FirstOfMonth()
			due = c.due(due, EachMonth, Period{month.Midnight(), day.Midnight()}, day.At(12, 0))
		}
	}
	slices.SortFunc(due, Due.compare)
	return due
}

// Settled lists the regular payloads whose period ends after one boundary and
// not after another, sorted as Plan: what can be built once every boundary up to
// upTo is settled. A period ends at the local midnight of the day it is due on.
func (c *Contract) Settled(after, upTo meter.Quarter) []Due {
	if upTo <= after {
		return nil
	}
	due := Plan(c, DateOf(after.Time()), DateOf(upTo.Time()))
	return slices.DeleteFunc(due, func(d Due) bool { return d.Period.To <= after || upTo < d.Period.To })
}

// due appends what is due in one rhythm for one period.
func (c *Contract) due(list []Due, rhythm Rhythm, p Period, at time.Time) []Due {
	for _, row := range Rows {
		if row.Rhythm != rhythm {
			continue
		}
		for i := range c.MarketLocations {
			m := &c.MarketLocations[i]
			if !row.For(m.Class) {
				continue
			}
			for _, to := range row.To {
				list = append(list, Due{row.Number, m.MaLo, to, p, at, row.Purpose})
			}
		}
	}
	return list
}

func (d Due) compare(e Due) int {
	return cmp.Or(
		d.At.Compare(e.At),
		cmp.Compare(d.Row, e.Row),
		strings.Compare(d.MaLo.String(), e.MaLo.String()),
		d.To.compare(e.To),
	)
}
