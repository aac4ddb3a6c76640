package buffer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
)

func TestForgetErasesItemsWithAllThatIsKnownOfThem(t *testing.T) {
	s := open(t)
	require.NoError(t, s.PutItems([]buffer.Item{item(1), item(2), item(3)}, nil))
	require.NoError(t, s.Acknowledge(item(1).ID, noon))
	lost := buffer.Loss{At: noon, Kind: "moments_lost", Subject: "main", Count: 1}
	require.NoError(t, s.Forget([]string{item(1).ID, item(2).ID, "unknown"}, []buffer.Loss{lost}, event("counted")))
	for range 2 {
		var left []string
		require.NoError(t, s.Items(func(it buffer.Item) bool { left = append(left, it.ID); return true }))
		require.Equal(t, []string{item(3).ID}, left)
		it, ok, err := s.Next(item(3).Endpoint, noon)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, item(3).ID, it.ID)
		_, err = s.Body(item(2).ID)
		require.ErrorIs(t, err, buffer.ErrUnknownItem)
		losses, err := s.Losses()
		require.NoError(t, err)
		require.Len(t, losses, 1)
		backlog, err := s.Backlog(noon)
		require.NoError(t, err)
		require.Equal(t, 1, backlog[0].Waiting)
		var kinds []string
		require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { kinds = append(kinds, e.Kind); return true }))
		require.Equal(t, []string{"counted"}, kinds)
		s.reopen()
	}
	require.ErrorIs(t, s.Acknowledge(item(2).ID, noon), buffer.ErrUnknownItem, "it was being sent as it was forgotten")
}

// What was made from no reading says something about an instant that is over:
// it gives way before what is billed.
func TestFullStoreGivesUpMomentsFirst(t *testing.T) {
	s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
	big := func(n int) buffer.Item {
		it := item(n)
		it.Body = make([]byte, 100<<10)
		return it
	}
	require.NoError(t, s.Build("x", day0, []buffer.Item{big(1)}))
	for n := 2; n <= 5; n++ {
		it := big(n)
		it.Created, it.Needs = noon.AddDate(0, 0, n), buffer.Span{}
		require.NoError(t, s.PutItems([]buffer.Item{it}, nil))
	}
	for n := 6; n <= 12; n++ {
		require.NoError(t, s.Build("x", day0, []buffer.Item{big(n)}))
	}
	waits := map[string]bool{}
	require.NoError(t, s.Items(func(it buffer.Item) bool { waits[it.ID] = it.State == buffer.Waiting; return true }))
	for n := 1; n <= 12; n++ {
		require.Equal(t, n < 2 || n > 5, waits[item(n).ID], n)
	}
}
