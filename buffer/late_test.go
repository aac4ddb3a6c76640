package buffer_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
)

func TestAcknowledgementsCostNoCommitOfTheirOwn(t *testing.T) {
	const endpoint = "https://head.example"
	begin := func(t testing.TB) (*store, int64) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1), item(2)}))
		st, err := s.Stats()
		require.NoError(t, err)
		return s, st.Commits
	}
	commits := func(s *store) int64 {
		st, err := s.Stats()
		require.NoError(s.t, err)
		return st.Commits
	}
	t.Run("they settle the item at once, and are written with the next one", func(t *testing.T) {
		s, before := begin(t)
		require.NoError(t, s.Acknowledge(item(1).ID, noon, event("delivered")))
		require.NoError(t, s.Acknowledge(item(1).ID, noon, event("twice")))
		require.Equal(t, before, commits(s))
		it, _, err := s.Next(endpoint, noon)
		require.NoError(t, err)
		require.Equal(t, item(2).ID, it.ID, "the other one")
		require.ErrorIs(t, s.SetAside(item(1).ID, "no", noon), buffer.ErrUnknownItem)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1)}), "built again")
		states := map[string]buffer.ItemState{}
		require.NoError(t, s.Items(func(it buffer.Item) bool { states[it.ID] = it.State; return true }))
		require.Equal(t, map[string]buffer.ItemState{item(1).ID: buffer.Acknowledged, item(2).ID: buffer.Waiting}, states)
		var kinds []string
		require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { kinds = append(kinds, e.Kind); return true }))
		require.Equal(t, []string{"delivered"}, kinds)
	})
	t.Run("Flush writes them for who wants to see them now", func(t *testing.T) {
		s, before := begin(t)
		require.NoError(t, s.Flush())
		require.Equal(t, before, commits(s), "nothing waits")
		require.NoError(t, s.Acknowledge(item(1).ID, noon, event("delivered")))
		require.NoError(t, s.Flush())
		require.Greater(t, commits(s), before)
	})
	t.Run("a power cut before that makes the item wait again", func(t *testing.T) {
		s, _ := begin(t)
		require.NoError(t, s.Acknowledge(item(1).ID, noon, event("delivered")))
		file, err := os.ReadFile(s.path)
		require.NoError(t, err)
		path := filepath.Join(fastDir(t), "cut.db")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		after, err := buffer.Open(path, buffer.Options{})
		require.NoError(t, err)
		it, found, err := after.Next(endpoint, noon)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, item(1).Body, it.Body)
		require.NoError(t, after.Close())
	})
	t.Run("closing writes them", func(t *testing.T) {
		s, _ := begin(t)
		require.NoError(t, s.Acknowledge(item(1).ID, noon, event("delivered")))
		s.reopen()
		it, _, err := s.Item(item(1).ID)
		require.NoError(t, err)
		require.Equal(t, buffer.Acknowledged, it.State)
	})
	t.Run("after a minute they are written in any case", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, before := begin(t)
			require.NoError(t, s.Acknowledge(item(1).ID, noon, event("delivered")))
			require.NoError(t, s.Acknowledge(item(2).ID, noon, event("delivered")))
			time.Sleep(59 * time.Second)
			synctest.Wait()
			require.Equal(t, before, commits(s))
			time.Sleep(time.Second)
			synctest.Wait()
			require.Greater(t, commits(s), before, "both in one commit")
			written := commits(s)
			time.Sleep(time.Hour)
			require.Equal(t, written, commits(s))
		})
	})
}
