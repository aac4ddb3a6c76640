package sml

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheUsualEntryIsReadAsAnyOtherIs(t *testing.T) {
	usual := 0
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint8Range(0, 8)
		e := Entry{
			Name:   []byte{1, 0, 1, 8, 0, 255},
			Status: Uint{Value: 0, Size: size.Draw(t, "status")},
			Unit:   U8(30), Scaler: I8(-1),
			Value: rapid.SampledFrom([]Value{{}, UnsignedValue(7, 3), UnsignedValue(1<<64-1, 8), SignedValue(-2, 1), SignedValue(-1<<62, 8),
				OctetValue([]byte("EMH")), OctetValue([]byte("fifteen octets.")), BoolValue(true)}).Draw(t, "value"),
		}
		if rapid.Bool().Draw(t, "time") {
			e.Time = Time{Choice: TimeChoice(rapid.IntRange(1, 3).Draw(t, "choice")), Value: 5}.OfSize(rapid.IntRange(1, 4).Draw(t, "octets"))
		}
		if rapid.Bool().Draw(t, "text") {
			e.Unit, e.Scaler = Uint{}, Int{}
		}
		b := e.append(nil)
		// Anything may be wrong with it, and it may be cut.
		for range rapid.IntRange(0, 2).Draw(t, "faults") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:rapid.IntRange(len(b)-rapid.SampledFrom([]int{0, 0, len(b)}).Draw(t, "cut"), len(b)).Draw(t, "length")]

		var got, want Entry
		n := got.takeUsual(b)
		if n == 0 {
			return
		}
		usual++
		c := cursor{b: b}
		want.takeAny(&c)
		require.Empty(t, c.why)
		require.Equal(t, c.i, n)
		require.Equal(t, want, got)
	})
	require.NotZero(t, usual)
}
