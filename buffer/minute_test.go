package buffer_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

func TestMinutes(t *testing.T) {
	t.Run("come back as they were put, also after reopening", func(t *testing.T) {
		s := open(t)
		var want []meter.Reading
		for n := range 100 {
			r := minute("main", n)
			r.Power.Valid = n%2 == 0
			if !r.Power.Valid {
				r.Power = decimal.NullDecimal{}
			}
			require.NoError(t, s.PutMinute(r))
			require.NoError(t, s.PutMinute(minute("roof", n)))
			want = append(want, r)
		}
		for range 2 {
			got, err := s.Minutes("main", noon, noon.Add(24*time.Hour))
			require.NoError(t, err)
			require.Equal(t, want, got)
			got, err = s.Minutes("main", want[10].At.Time, want[12].At.Time)
			require.NoError(t, err)
			require.Equal(t, want[10:13], got, "both included")
			got, err = s.Minutes("main", want[10].At.Time.Add(1), want[12].At.Time.Add(-1))
			require.NoError(t, err)
			require.Equal(t, want[11:12], got)
			s.reopen()
		}
		names, err := s.Meters()
		require.NoError(t, err)
		require.Empty(t, names, "they are no boundary readings")
		st, err := s.Stats()
		require.NoError(t, err)
		require.EqualValues(t, 200, st.Minutes)
	})
	t.Run("are one for each minute and device: the newest", func(t *testing.T) {
		s := open(t)
		first, second, other := minute("main", 1), minute("main", 1), minute("main", 1)
		second.At.Time = second.At.Time.Add(500 * time.Millisecond)
		other.Device = device2
		for _, r := range []meter.Reading{first, second, other} {
			require.NoError(t, s.PutMinute(r))
		}
		got, err := s.Minutes("main", noon, noon.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, []meter.Reading{other, second}, got)
	})
	t.Run("are erased after a week, whatever waits", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1)}))
		for n := range 300 {
			require.NoError(t, s.PutMinute(minute("main", n)))
		}
		r, err := s.Retain(noon.Add(7*day+100*time.Minute), buffer.Policy{})
		require.NoError(t, err)
		require.EqualValues(t, 100, r.Minutes)
		got, err := s.Minutes("main", noon, noon.Add(day))
		require.NoError(t, err)
		require.Len(t, got, 200)
		require.Equal(t, minute("main", 100), got[0])
		_, err = s.Retain(noon, buffer.Policy{Minutes: buffer.MinuteCeiling + 1})
		require.Error(t, err)
	})
	t.Run("give way before anything else", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, buffer.Fill(s.Store, "main", day0-96, day0, reading))
		require.NoError(t, s.Build("x", day0, nil))
		for n := range 20_000 { // more than fits
			require.NoError(t, s.PutMinute(minute("main", n)))
		}
		minutes, err := s.Minutes("main", noon, noon.Add(30*day))
		require.NoError(t, err)
		require.Less(t, len(minutes), 19_000)
		require.Equal(t, minute("main", 19_999), minutes[len(minutes)-1], "the oldest go")
		for n := range 60 {
			it := item(n)
			it.Body = make([]byte, 10_000)
			require.NoError(t, s.Build("x", day0, []buffer.Item{it}))
		}
		left, err := s.Minutes("main", noon, noon.Add(30*day))
		require.NoError(t, err)
		require.Less(t, len(left), len(minutes))
		boundaries, err := s.Boundaries("main", day0-96, day0)
		require.NoError(t, err)
		require.Len(t, boundaries, 96)
		losses, err := s.Losses()
		require.NoError(t, err)
		require.Empty(t, losses)
	})
	t.Run("make nothing give way", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, s.Build("x", day0, nil))
		require.NoError(t, buffer.Fill(s.Store, "main", day0-20_000, day0, reading))
		require.ErrorIs(t, s.PutMinute(minute("main", 0)), buffer.ErrFull)
		boundaries, err := s.Boundaries("main", 0, day0)
		require.NoError(t, err)
		require.Len(t, boundaries, 20_000)
	})
}
