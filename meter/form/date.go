package form

import (
	_ "embed"
	"fmt"
	"time"

	"smgw/meter"
)

// berlin is Europe/Berlin of the time zone database as Go ships it (RFC 8536). A
// gateway may have no zoneinfo of its own, and time/tzdata would carry all the
// world, which is 450 KB.
//
//go:embed berlin.tzif
var berlin []byte

// Berlin is German local time, by which all legal days and months run: as the
// system knows it, which may know a later law.
var Berlin = loadBerlin()

func loadBerlin() *time.Location {
	const name = "Europe/Berlin"
	if l, err := time.LoadLocation(name); err == nil {
		return l
	}
	l, err := time.LoadLocationFromTZData(name, berlin)
	if err != nil {
		panic(err) // it is linked in
	}
	return l
}

// Date is a local calendar day in Germany.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the local day in Germany that contains t.
func DateOf(t time.Time) Date {
	y, m, d := t.In(Berlin).Date()
	return Date{y, m, d}
}

// ParseDate reads "2026-10-25".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("date %q: want a day such as 2026-10-25", s)
	}
	y, m, d := t.Date()
	return Date{y, m, d}, nil
}

func (d Date) String() string                { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }
func (d Date) MarshalText() ([]byte, error)  { return []byte(d.String()), nil }
func (d *Date) UnmarshalText(b []byte) error { return set(d, b, ParseDate) }

// At returns the instant of a local clock time on the day.
func (d Date) At(hour, minute int) time.Time {
	return time.Date(d.Year, d.Month, d.Day, hour, minute, 0, 0, Berlin)
}

// Midnight returns the boundary at which the local day begins. German summer
// time changes at 02:00 or 03:00, so every midnight is a quarter-hour boundary.
func (d Date) Midnight() meter.Quarter { return meter.QuarterOf(d.At(0, 0)) }

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date {
	return dateOfUTC(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC))
}

// FirstOfMonth returns the first day of d's month.
func (d Date) FirstOfMonth() Date { return Date{d.Year, d.Month, 1} }

// FirstOfNextMonth returns the first day of the month after d's.
func (d Date) FirstOfNextMonth() Date {
	return dateOfUTC(time.Date(d.Year, d.Month+1, 1, 0, 0, 0, 0, time.UTC))
}

// Weekday returns the day's weekday.
func (d Date) Weekday() time.Weekday {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Weekday()
}

// Before reports whether d is earlier than e.
func (d Date) Before(e Date) bool {
	if d.Year != e.Year {
		return d.Year < e.Year
	}
	if d.Month != e.Month {
		return d.Month < e.Month
	}
	return d.Day < e.Day
}

func dateOfUTC(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}
