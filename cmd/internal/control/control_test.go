package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/cmd/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handlers answer in every way that there is.
func handlers() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /object", control.Answer(func(r *http.Request) (string, error) { return "hello " + r.URL.Query().Get("name"), nil }))
	mux.Handle("GET /who", control.Answer(func(r *http.Request) (control.Peer, error) {
		p, ok := control.PeerOf(r.Context())
		if !ok {
			return p, errors.New("nobody")
		}
		return p, nil
	}))
	mux.Handle("GET /refused", control.Answer(func(*http.Request) (int, error) { return 0, errors.New("it does not please me") }))
	mux.Handle("GET /list", control.Stream(func(w http.ResponseWriter, _ *http.Request) error {
		for n := range 100_000 { // more than any buffer on the way
			if err := json.NewEncoder(w).Encode(n); err != nil {
				return err
			}
		}
		return nil
	}))
	mux.Handle("GET /empty", control.Stream(func(http.ResponseWriter, *http.Request) error { return nil }))
	mux.Handle("GET /refusedlist", control.Stream(func(http.ResponseWriter, *http.Request) error { return errors.New("not today") }))
	mux.Handle("GET /cut", control.Stream(func(w http.ResponseWriter, _ *http.Request) error {
		fmt.Fprintln(w, 1)
		return errors.New("the disk is gone")
	}))
	return mux
}

// everyWay runs a test through the socket and within the process: both must do the same.
func everyWay(t *testing.T, test func(*testing.T, *control.Client)) {
	t.Run("through the socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "control.sock")
		l, err := control.Listen(path)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- control.Serve(ctx, l, handlers()) }()
		test(t, control.Dial(path))
		stop()
		require.NoError(t, <-done)
	})
	t.Run("within the process", func(t *testing.T) { test(t, control.Within(handlers(), "store at rest")) })
}

func TestAnswersAreTheSameOnBothWays(t *testing.T) {
	everyWay(t, func(t *testing.T, c *control.Client) {
		var text string
		require.NoError(t, c.Do(t.Context(), http.MethodGet, "/object?name=world", &text))
		require.Equal(t, "hello world", text)
		require.ErrorContains(t, c.Do(t.Context(), http.MethodGet, "/refused", &text), "it does not please me")
		require.Error(t, c.Do(t.Context(), http.MethodGet, "/unheard-of", &text))
		require.Error(t, c.Do(t.Context(), http.MethodPost, "/object", &text))
		next := 0
		require.NoError(t, control.Each(t.Context(), c, "/list", func(n int) error {
			require.Equal(t, next, n)
			next++
			return nil
		}))
		require.Equal(t, 100_000, next)
		require.NoError(t, control.Each(t.Context(), c, "/empty", func(int) error { return errors.New("there is none") }))
		require.ErrorContains(t, control.Each(t.Context(), c, "/refusedlist", func(int) error { return nil }), "not today")
	})
}

func TestAnAnswerThatIsCutOffDoesNotLookWhole(t *testing.T) {
	everyWay(t, func(t *testing.T, c *control.Client) {
		body, err := c.Ask(t.Context(), http.MethodGet, "/cut")
		if err != nil {
			return // nothing came at all
		}
		defer body.Close()
		_, err = io.ReadAll(body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

func TestAReaderThatGoesAwayEndsTheAnswer(t *testing.T) {
	everyWay(t, func(t *testing.T, c *control.Client) { // and leaves no goroutine behind
		enough := errors.New("enough")
		require.ErrorIs(t, control.Each(t.Context(), c, "/list", func(int) error { return enough }), enough)
	})
}

func TestWhoIsToldToStopStops(t *testing.T) {
	everyWay(t, func(t *testing.T, c *control.Client) {
		ctx, stop := context.WithCancel(t.Context())
		last := 0
		require.Error(t, control.Each(ctx, c, "/list", func(n int) error {
			stop()
			last = n
			return nil
		}))
		require.Less(t, last, 99_999)
	})
}

func TestTheKernelSaysWhoAsks(t *testing.T) {
	everyWay(t, func(t *testing.T, c *control.Client) {
		var who control.Peer
		require.NoError(t, c.Do(t.Context(), http.MethodGet, "/who", &who))
		require.Equal(t, uint32(os.Getuid()), who.UID)
		require.NotEmpty(t, who.Name())
		require.Equal(t, "uid 4294967294", control.Peer{UID: 4294967294}.Name())
	})
}

func TestWhereNoAgentAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	runs, err := control.Answers(path)
	require.NoError(t, err)
	require.False(t, runs)
	err = control.Get(t.Context(), path, "/object", new(string))
	require.ErrorIs(t, err, control.ErrNoAgent)
	require.True(t, strings.Contains(err.Error(), "smgw run"), err)

	// A socket that a dead agent left behind is replaced, one that answers is not.
	l, err := control.Listen(path)
	require.NoError(t, err)
	runs, err = control.Answers(path)
	require.NoError(t, err)
	require.True(t, runs)
	_, err = control.Listen(path)
	require.ErrorContains(t, err, "answers there already")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	require.NoError(t, l.Close())
}
