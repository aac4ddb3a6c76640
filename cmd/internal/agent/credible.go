package agent

import (
	"time"

	"smgw/meter"
)

// clockNeverSet reports whether now is an instant before this program existed:
// a board without a battery begins in 1970.
func clockNeverSet(now time.Time) bool { return now.Year() < 2020 }

// What an instant of a clock that is not synchronised may differ from what the
// newest kept reading leads to: the meter's count of seconds drifts little; a
// gateway may have been without power for a day and its clock still be right.
const (
	countTolerance = 10 * time.Minute
	blindTolerance = 24 * time.Hour
)

// credible reports whether a reading's instant can be believed. A synchronised
// clock is. Another is believed as far as the meter's secIndex bears it out
// against the newest reading that was kept, and where there is none to compare
// with, as far as it has not run away.
func (a *Agent) credible(r *meter.Reading) bool {
	if clockNeverSet(r.At.Time) {
		return false
	}
	kept, found := a.kept[r.Meter]
	if r.At.Quality == meter.ClockSynchronised || !found {
		return true
	}
	since := r.At.Time.Sub(kept.Boundary.Time().Add(kept.Offset))
	if r.Device == kept.Device && r.SecIndex.Valid && kept.SecIndex.Valid && r.SecIndex.Seconds >= kept.SecIndex.Seconds {
		counted := time.Duration(r.SecIndex.Seconds-kept.SecIndex.Seconds) * time.Second
		return (since - counted).Abs() <= countTolerance+counted/1000
	}
	return -countTolerance <= since && since <= blindTolerance
}
