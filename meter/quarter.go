package meter

import (
	"fmt"
	"time"
)

// QuarterLength is the length of a quarter hour.
const QuarterLength = 15 * time.Minute

// Quarter is a quarter-hour boundary, counted from 1970-01-01T00:00Z. As an
// interval it is the quarter hour that begins there. German local time is
// always whole hours from UTC, so local and UTC boundaries are the same.
type Quarter int64

// QuarterOf returns the quarter hour that contains t.
func QuarterOf(t time.Time) Quarter {
	s := t.Unix()
	q := s / 900
	if s%900 < 0 {
		q--
	}
	return Quarter(q)
}

// Time returns the instant of the boundary, in UTC.
func (q Quarter) Time() time.Time { return time.Unix(int64(q)*900, 0).UTC() }

// Next returns the boundary fifteen minutes later.
func (q Quarter) Next() Quarter { return q + 1 }

// String gives the boundary in RFC 3339, UTC.
func (q Quarter) String() string { return q.Time().Format(time.RFC3339) }

// MarshalText is String, for JSON.
func (q Quarter) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads a boundary in RFC 3339; any other instant is an error.
func (q *Quarter) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return err
	}
	if *q = QuarterOf(t); !q.Time().Equal(t) {
		return fmt.Errorf("%s is no quarter-hour boundary", b)
	}
	return nil
}
