package agent_test

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
)

// rest opens the bench's store as a verb does where no agent runs.
func (b *bench) rest() (*agent.Rest, *control.Client) {
	b.t.Helper()
	require.NoError(b.t, b.store.Close())
	rest, err := agent.OpenRest(b.config, false)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { rest.Close() })
	return rest, control.Within(rest.Handler(), "the store")
}

// Who looks is written down before anything is shown, so that neither a verb that
// is killed nor a store that takes nothing lets anybody look unseen.
func TestNobodyLooksUnseenAtAStoreAtRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), began.At(2, 0))
	_, c := b.rest()
	table, err := c.Ask(t.Context(), http.MethodGet, control.ReadingsPath+"?format=csv")
	require.NoError(t, err)
	defer table.Close()
	text, err := io.ReadAll(table)
	require.NoError(t, err)
	require.Contains(t, string(text), "1-0:1.8.0")
	looked := 0
	require.NoError(t, control.Each(t.Context(), c, control.JournalPath, func(e buffer.Entry) error {
		if e.Kind == agent.Looked {
			looked++
		}
		return nil
	}))
	require.Equal(t, 1, looked)

	other, err := buffer.Open(agent.StorePath(b.config), buffer.Options{ReadOnly: true})
	require.NoError(t, err)
	defer other.Close()
	_, err = c.Ask(t.Context(), http.MethodGet, control.ReadingsPath+"?format=csv")
	require.ErrorContains(t, err, "nothing is shown, because it cannot be written down who looks")
	require.NoError(t, control.Each(t.Context(), c, control.JournalPath, func(buffer.Entry) error { return nil }), "it is open to what is not personal")
}

// A journal that is cut while no agent runs begins with the gateway's signature all
// the same: without it the verdict would be that anybody may have cut it.
func TestAJournalThatIsCutAtRestIsSigned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	enrolled(t, b.config)
	b.openPapers()
	b.play(b.home.Since(), began.At(2, 0))
	flood := make([]buffer.Event, buffer.DefaultLimit/8/1000) // the next entry finds the journal full
	for n := range flood {
		flood[n] = buffer.Event{At: b.clock.Now().Time, Kind: "flood", Detail: map[string]string{"text": strings.Repeat("x", 1000)}}
	}
	require.NoError(t, b.store.Append(flood...))
	_, c := b.rest()
	table, err := c.Ask(t.Context(), http.MethodGet, control.ReadingsPath+"?format=csv")
	require.NoError(t, err)
	require.NoError(t, table.Close())
	var v control.JournalVerdict
	require.NoError(t, c.Do(t.Context(), http.MethodGet, control.VerifyPath, &v))
	require.True(t, v.OK, v.Problem)
	require.NotZero(t, v.ErasedUpTo)
	require.Equal(t, "signed by this gateway", v.Anchor)
}

// What keeps a store from being opened is said with what to do.
func TestWhyAStoreAtRestIsNotOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := agent.OpenRest(b.config, false)
	require.ErrorIs(t, err, buffer.ErrInUse)
	require.ErrorContains(t, err, "has it open; stop it first")
	require.ErrorContains(t, err, "an agent that is just starting answers in a moment")

	require.NoError(t, b.store.Close())
	require.NoError(t, os.Remove(agent.StorePath(b.config)))
	_, err = agent.OpenRest(b.config, true)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "smgw run")
	require.NoFileExists(t, agent.StorePath(b.config))

	// The error that says whose a file is, for those who may not read it.
	var at *fs.PathError
	absent := filepath.Join(t.TempDir(), "absent.db")
	require.ErrorAs(t, agent.CheckStore(absent), &at)
	require.Equal(t, absent, at.Path)
}
