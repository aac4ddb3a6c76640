package buffer_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

func TestReadingsThatComeLate(t *testing.T) {
	t.Run("go where nothing is, and nowhere else", func(t *testing.T) {
		s := open(t)
		for q := day0 + 500; q < day0+600; q++ {
			require.NoError(t, s.PutBoundary(reading("main", q)))
		}
		var late []meter.BoundaryReading
		for q := day0; q < day0+700; q++ {
			b := reading("main", q)
			if q >= day0+500 && q < day0+600 {
				b.Registers = []meter.RegisterValue{{Code: b.Registers[0].Code, Value: decimal.NewFromInt(1)}} // says something else
			}
			late = append(late, b)
		}
		stored, err := s.PutBoundaries(late)
		require.NoError(t, err)
		require.Equal(t, 600, stored)
		for range 2 {
			got, err := s.Boundaries("main", 0, day0+1000)
			require.NoError(t, err)
			require.Len(t, got, 700)
			for i, b := range got {
				require.Equal(t, reading("main", day0+meter.Quarter(i)), b)
			}
			s.reopen()
		}
		stored, err = s.PutBoundaries(late)
		require.NoError(t, err)
		require.Zero(t, stored)
		require.NoError(t, s.PutBoundary(reading("main", day0+700)), "the store goes on")
	})
	t.Run("all or none of them", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: 1 << 20})
		var late []meter.BoundaryReading
		for q := day0; q < day0+20_000; q++ {
			late = append(late, reading("main", q))
		}
		_, err := s.PutBoundaries(late)
		require.ErrorIs(t, err, buffer.ErrFull)
		bad := reading("", day0)
		_, err = s.PutBoundaries([]meter.BoundaryReading{reading("main", day0), bad})
		require.ErrorContains(t, err, "meter name")
		got, err := s.Boundaries("main", 0, day0+20_000)
		require.NoError(t, err)
		require.Empty(t, got)
	})
}
