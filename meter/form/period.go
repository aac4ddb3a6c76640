package form

import (
	"fmt"
	"strings"
	"time"

	"smgw/meter"
)

// Period is a span between two boundaries, From included, To excluded. Those of
// the calendar run from local midnight to local midnight.
type Period struct {
	From meter.Quarter
	To   meter.Quarter
}

// ParsePeriod reads a local month, "2026-10", a local day, "2026-10-25", several,
// both included, "2026-10-23..2026-10-26", or two boundaries in RFC 3339, from the
// one to the other.
func ParsePeriod(s string) (Period, error) {
	if month, err := time.Parse("2006-01", s); err == nil {
		first := Date{month.Year(), month.Month(), 1}
		return Period{first.Midnight(), first.FirstOfNextMonth().Midnight()}, nil
	}
	from, to, several := strings.Cut(s, "..")
	var p Period
	if several && p.From.UnmarshalText([]byte(from)) == nil && p.To.UnmarshalText([]byte(to)) == nil {
		if p.To <= p.From {
			return Period{}, fmt.Errorf("period %q ends before it begins", s)
		}
		return p, nil
	}
	if !several {
		to = from
	}
	first, err1 := ParseDate(from)
	last, err2 := ParseDate(to)
	if err1 != nil || err2 != nil {
		return Period{}, fmt.Errorf("period %q: want 2026-10, 2026-10-25, 2026-10-23..2026-10-26 or from one quarter-hour boundary to another, 2026-10-25T00:00:00Z..2026-10-25T12:00:00Z", s)
	}
	if last.Before(first) {
		return Period{}, fmt.Errorf("period %q ends before it begins", s)
	}
	return Period{first.Midnight(), last.AddDays(1).Midnight()}, nil
}
