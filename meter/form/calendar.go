package form

import (
	"slices"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/de"

	"smgw/meter"
)

// holidays is the union of the public holidays of all German states: a holiday
// of one of them is no working day anywhere (FORM.md, "When").
var holidays = []*cal.Holiday{
	de.Neujahr,
	de.HeiligeDreiKoenige,
	de.Frauentag,
	de.Karfreitag,
	de.Ostermontag,
	de.TagderArbeit,
	de.ChristiHimmelfahrt,
	de.Pfingstmontag,
	de.Fronleichnam,
	de.MariaHimmelfahrt,
	de.Weltkindertag,
	de.DeutschenEinheit,
	de.Reformationstag,
	de.Allerheiligen,
	de.BussUndBettag,
	de.Weihnachtstag,
	de.ZweiterWeihnachtsfeiertag,
}

// calendar knows the working days of the years it was asked about. Whether a day
// is a one-off holiday is asked of the contract that holds on it, so that every
// day has one answer and periods meet without gap or overlap.
type calendar struct {
	history *History
	free    map[Date]bool
	years   map[int]bool // years whose holidays are in free
}

func newCalendar(h *History) *calendar {
	return &calendar{history: h, free: map[Date]bool{}, years: map[int]bool{}}
}

// working reports whether the day is a working day (Werktag, GPKE/WiM).
func (c *calendar) working(d Date) bool {
	if w := d.Weekday(); w == time.Saturday || w == time.Sunday {
		return false
	}
	if !c.years[d.Year] {
		c.years[d.Year] = true
		for _, h := range holidays {
			if day, _ := h.Calc(d.Year); !day.IsZero() {
				c.free[Date{d.Year, day.Month(), day.Day()}] = true
			}
		}
		// 24 and 31 December count as holidays.
		c.free[Date{d.Year, time.December, 24}] = true
		c.free[Date{d.Year, time.December, 31}] = true
	}
	return !c.free[d] && !slices.Contains(c.history.near(d.Midnight()).ExtraHolidays, d)
}

func (c *calendar) workingDayBefore(d Date) Date {
	for d = d.AddDays(-1); !c.working(d); d = d.AddDays(-1) {
	}
	return d
}

// period is the period of a regular rhythm that contains a quarter hour.
func (c *calendar) period(r Rhythm, q meter.Quarter) Period {
	day := DateOf(q.Time())
	from, to := day.FirstOfMonth(), day.FirstOfNextMonth()
	if r == EachWorkingDay {
		if from = day; !c.working(day) {
			from = c.workingDayBefore(day)
		}
		for to = day.AddDays(1); !c.working(to); to = to.AddDays(1) {
		}
	}
	return Period{from.Midnight(), to.Midnight()}
}

// WorkingDay reports whether a day is a working day (Werktag, GPKE/WiM): no
// Saturday, no Sunday, no public holiday of any German state, not 24 or 31
// December, and none of the contract's one-off holidays.
func (c *Contract) WorkingDay(d Date) bool { return newCalendar(c.Always()).working(d) }
