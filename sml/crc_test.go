package sml

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestChecksumsAreThoseOfTheCatalogue(t *testing.T) {
	// The check values of both for "123456789"; on the wire X.25 is low byte first.
	require.EqualValues(t, 0x6e90, X25.sum([]byte("123456789")))
	require.EqualValues(t, 0x2189, Kermit.sum([]byte("123456789")))
}

func TestChecksumsOfPartsMakeThatOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "b")
		whole := crcUpdate(crcUpdate(0, a), b)
		require.Equal(t, whole, crcShift(crcUpdate(0, a), len(b))^crcUpdate(0, b))
		bytewise := uint16(0)
		for _, c := range append(a, b...) {
			bytewise = crcUpdate(bytewise, []byte{c})
		}
		require.Equal(t, bytewise, whole)
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{32, 256, 4096} { // a small message, a usual telegram, a large one
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			buffer := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				crcUpdate(0, buffer)
			}
		})
	}
}
