package buffer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
)

func TestFloodedJournalGivesUpItsOldEndAndNothingElse(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	s := openWith(t, buffer.Options{Limit: buffer.MinLimit, Key: key})
	require.NoError(t, s.Build("x", day0, []buffer.Item{item(1)}))
	for q := day0; q < day0+500; q++ {
		require.NoError(t, s.PutBoundary(reading("main", q)))
	}
	for n := range 20_000 {
		require.NoError(t, s.Append(buffer.Event{At: noon.Add(time.Duration(n) * time.Second), Kind: "looked", Detail: map[string]string{
			"what": strings.Repeat("x", n%7*300),
		}}))
		if n%5000 == 0 {
			s.reopen()
		}
	}
	require.NoError(t, s.VerifyJournal())
	a, err := s.Anchor()
	require.NoError(t, err)
	require.Greater(t, a.Seq, uint64(10_000))
	require.NoError(t, a.Verify(&key.PublicKey))
	var last buffer.Entry
	size, cuts := 0, 0
	require.NoError(t, s.Journal(0, func(e buffer.Entry) bool {
		require.LessOrEqual(t, len(e.Detail["what"]), 1024)
		size += len(e.Detail["what"])
		if e.Kind == buffer.EventJournalCut {
			cuts++
		}
		last = e
		return true
	}))
	require.Positive(t, cuts, "and says so")
	require.Less(t, size, buffer.MinLimit/8)
	require.Equal(t, noon.Add(19_999*time.Second), last.At)
	require.LessOrEqual(t, fileSize(t, s.path), int64(buffer.MinLimit))
	boundaries, err := s.Boundaries("main", day0, day0+1000)
	require.NoError(t, err)
	require.Len(t, boundaries, 500)
	losses, err := s.Losses()
	require.NoError(t, err)
	require.Empty(t, losses)
	_, found, err := s.Next("https://head.example", noon)
	require.NoError(t, err)
	require.True(t, found)
}
