package agent_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/tls/deliver"
)

// Whoever looks sees causes and figures of the same moment: what was refused just
// now, what a person did about it, and what was lost.
func TestStatusNamesWhatTheStoreHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("the contract is unknown")}
	}
	a := b.play(b.home.Since(), began.AddDays(3).At(12, 0))
	requireStatus := func(refused int, untold int, causes ...board.Cause) {
		t.Helper()
		s, err := a.Status()
		require.NoError(t, err)
		held := slices.DeleteFunc(s.Causes, func(c board.Cause) bool { return c == board.ReaderSilent }) // the file is read
		require.ElementsMatch(t, causes, held)
		require.Equal(t, untold, s.Store.Untold)
		for _, e := range s.Endpoints {
			refused -= e.SetAside
		}
		require.Zero(t, refused)
	}
	var ids []string
	require.NoError(t, b.store.Items(func(it buffer.Item) bool {
		require.Equal(t, buffer.SetAside, it.State)
		ids = append(ids, it.ID)
		return true
	}))
	require.Len(t, ids, 3)
	now := b.clock.Now().Time
	requireStatus(3, 0, board.PayloadRefused)
	for _, id := range ids[1:] {
		require.NoError(t, b.store.GiveUp(id, "nobody wants it", now))
	}
	requireStatus(1, 0, board.PayloadRefused)
	require.NoError(t, b.store.Retry(ids[0], now))
	requireStatus(0, 0)
	require.NoError(t, b.store.SetAside(ids[0], "the contract is unknown", now))
	requireStatus(1, 0, board.PayloadRefused)
	require.NoError(t, b.store.AddLoss([]buffer.Loss{{At: now, Kind: agent.ReadingsLost, Subject: "main", From: now, To: now, Count: 1}}))
	requireStatus(1, 1, board.StoreInTrouble, board.PayloadRefused)
}
