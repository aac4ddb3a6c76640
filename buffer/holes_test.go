package buffer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
)

// A file full of holes takes what there is room for: payloads of all sizes come and
// give way until none of the holes is as long as what bbolt wants in one piece.
func TestRoomInHolesIsRoom(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		s, err := buffer.Open(filepath.Join(fastDir(t), fmt.Sprint(seed)), buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, err)
		defer s.Close()
		for n := range 120 {
			var items []buffer.Item
			for i := range 1 + random.IntN(4) {
				it := item(10*n + i)
				it.Body = bytes.Repeat([]byte{byte(n)}, 1+random.IntN(200_000))
				it.Due = noon.Add(time.Duration(random.IntN(100)) * time.Hour)
				items = append(items, it)
			}
			require.NoError(t, s.Build("x", day0, items), "seed %d, build %d", seed, n)
		}
	}
}
