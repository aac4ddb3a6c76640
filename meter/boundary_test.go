package meter_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/obis"
)

const offsetLimit = 27 * time.Second // FORM.md, Values

var noon = time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC)

func readingAt(device string, offset time.Duration, wh int64) meter.Reading {
	return meter.Reading{
		Meter:     "main",
		Device:    meter.DeviceID(device),
		At:        meter.Stamp{Time: noon.Add(offset), Quality: meter.ClockSynchronised},
		Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.NewFromInt(wh)}},
	}
}

func TestPickerTakesTheNearestReading(t *testing.T) {
	q := meter.QuarterOf(noon)
	s := time.Second
	type picked struct {
		device   string
		boundary meter.Quarter
		offset   time.Duration
	}
	cases := []struct {
		name     string
		readings []meter.Reading
		expire   time.Duration // 0: not asked
		want     []picked
	}{
		{"the one before, when it is nearer",
			[]meter.Reading{readingAt("a", -1*s, 1), readingAt("a", 2*s, 2)}, 0, []picked{{"a", q, -1 * s}}},
		{"the one after, when it is nearer",
			[]meter.Reading{readingAt("a", -2*s, 1), readingAt("a", 1*s, 2)}, 0, []picked{{"a", q, 1 * s}}},
		{"the earlier, when both are as near",
			[]meter.Reading{readingAt("a", -2*s, 1), readingAt("a", 2*s, 2)}, 0, []picked{{"a", q, -2 * s}}},
		{"the one on the boundary, once",
			[]meter.Reading{readingAt("a", -2*s, 1), readingAt("a", 0, 2), readingAt("a", 1*s, 3)}, 0, []picked{{"a", q, 0}}},
		{"the very first reading, shortly after a boundary",
			[]meter.Reading{readingAt("a", 20*s, 1)}, 0, []picked{{"a", q, 20 * s}}},
		{"none beyond the limit",
			[]meter.Reading{readingAt("a", -28*s, 1), readingAt("a", 28*s, 2)}, 0, nil},
		{"one exactly at the limit",
			[]meter.Reading{readingAt("a", -40*s, 1), readingAt("a", 27*s, 2)}, 0, []picked{{"a", q, 27 * s}}},
		{"the last one before a silence, once the limit has passed",
			[]meter.Reading{readingAt("a", -5*s, 1)}, 28 * s, []picked{{"a", q, -5 * s}}},
		{"nothing yet while a nearer one may still come",
			[]meter.Reading{readingAt("a", -5*s, 1)}, 27 * s, nil},
		{"both ends of a gap",
			[]meter.Reading{readingAt("a", -5*s, 1), readingAt("a", time.Hour+3*s, 2)}, 0, []picked{{"a", q, -5 * s}, {"a", q + 4, 3 * s}}},
		{"each device on its own side of an exchange",
			[]meter.Reading{readingAt("a", -5*s, 1), readingAt("b", 3*s, 2)}, 0, []picked{{"a", q, -5 * s}, {"b", q, 3 * s}}},
		{"none twice when the clock goes back",
			[]meter.Reading{readingAt("a", 0, 1), readingAt("a", -3*s, 2), readingAt("a", 2*s, 3)}, 0, []picked{{"a", q, 0}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := meter.NewPicker(offsetLimit, q-1)
			var got []picked
			add := func(bs []meter.BoundaryReading) {
				for _, b := range bs {
					got = append(got, picked{string(b.Device), b.Boundary, b.Offset})
				}
			}
			for _, r := range c.readings {
				add(p.Observe(r))
			}
			if c.expire != 0 {
				add(p.Expire(noon.Add(c.expire)))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// A clock that was ahead, perhaps before a restart, must not silence the meter
// until time has caught up.
func TestPickerGoesOnWhenTheClockWasAhead(t *testing.T) {
	p := meter.NewPicker(offsetLimit, meter.QuarterOf(noon)+365*96)
	require.Len(t, p.Observe(readingAt("a", 2*time.Second, 1)), 1)
	require.Empty(t, p.Observe(readingAt("a", 4*time.Second, 2)))
}

func TestPickerLeavesDecidedBoundariesAlone(t *testing.T) {
	p := meter.NewPicker(offsetLimit, meter.QuarterOf(noon))
	require.Empty(t, p.Observe(readingAt("a", 2*time.Second, 1)))
}

func TestPickerForgetsWhatAnotherClockDated(t *testing.T) {
	p := meter.NewPicker(offsetLimit, meter.QuarterOf(noon)-1)
	require.Empty(t, p.Observe(readingAt("a", -5*time.Second, 1)))
	p.Forget()
	require.Empty(t, p.Expire(noon.Add(time.Hour)))
	require.Empty(t, p.Observe(readingAt("a", 40*time.Second, 2)))
}

// Whatever the readings' instants, each boundary is picked at most once, in
// order, and from the nearest of all readings within the limit.
func TestPickerAgreesWithLookingAtAllReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Duration(0)
		var readings []meter.Reading
		for i := range rapid.IntRange(1, 60).Draw(t, "readings") {
			at += time.Duration(rapid.IntRange(1, 1200_000).Draw(t, "pause in ms")) * time.Millisecond
			readings = append(readings, readingAt("a", at, int64(i)))
		}
		p := meter.NewPicker(offsetLimit, meter.QuarterOf(noon)-1)
		got := map[meter.Quarter]time.Duration{}
		previous := meter.QuarterOf(noon) - 1
		for _, r := range readings {
			for _, b := range append(p.Expire(r.At.Time), p.Observe(r)...) {
				require.Greater(t, b.Boundary, previous)
				previous = b.Boundary
				got[b.Boundary] = b.Offset
			}
		}
		// The boundary after the newest reading is still open.
		want := map[meter.Quarter]time.Duration{}
		for q := meter.QuarterOf(noon); q <= meter.QuarterOf(readings[len(readings)-1].At.Time); q++ {
			for _, r := range readings {
				off := r.At.Time.Sub(q.Time())
				best, have := want[q]
				if off.Abs() <= offsetLimit && (!have || off.Abs() < best.Abs()) {
					want[q] = off
				}
			}
		}
		require.Equal(t, want, got)
	})
}
