package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
)

// Readings that wait for the clock lie in memory alone: an end of the agent's
// work would lose them without a word.
func TestDecommissionKeepsAnAgentWhoseReadingsWaitForTheClock(t *testing.T) {
	handler := func(undated int, begun *bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != control.StatusPath {
				*begun = true
				http.Error(w, "so far and no farther", http.StatusConflict)
				return
			}
			s := wellStatus(t)
			s.Meters[0].Undated = undated
			require.NoError(t, json.NewEncoder(w).Encode(s))
		}
	}
	for _, c := range []struct {
		undated int
		force   bool
		begins  bool
	}{{0, false, true}, {7, false, false}, {7, true, true}} {
		var begun bool
		f := &farewell{out: io.Discard, lines: io.Discard, force: c.force}
		err := f.sayGoodbye(t.Context(), control.Within(handler(c.undated, &begun), "an agent"))
		require.Equal(t, c.begins, begun, "%+v", c)
		if !c.begins {
			require.ErrorContains(t, err, `readings of meter "main" wait in memory until the clock is right`)
		}
	}
}

// Ctrl-C at the question ends it, and not only the Enter after it.
func TestAnInterruptedQuestionIsAnswered(t *testing.T) {
	c, err := config.Load("../../docs/smgw.example.toml")
	require.NoError(t, err)
	c.Gateway.StateDir = t.TempDir()
	keyboard, tty, err := pty.Open()
	require.NoError(t, err)
	defer keyboard.Close()
	defer tty.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	f := &farewell{config: c, in: tty, out: io.Discard, lines: io.Discard, log: io.Discard}
	require.ErrorContains(t, f.run(ctx), "interrupted: nothing was changed")
	_, err = keyboard.WriteString("\n") // lets go of the reader
	require.NoError(t, err)
}

// Who interrupts a decommissioning before its agent answers has erased nothing,
// with --force either.
func TestAnInterruptedDecommissionErasesNothing(t *testing.T) {
	c, err := config.Load("../../docs/smgw.example.toml")
	require.NoError(t, err)
	c.Gateway.StateDir = t.TempDir()
	require.NoError(t, os.WriteFile(agent.StorePath(c), []byte("all that there is"), 0o600))
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	f := &farewell{config: c, out: io.Discard, lines: io.Discard, log: io.Discard, yes: true, force: true}
	require.ErrorContains(t, f.run(ctx), "interrupted: nothing is erased")
	require.FileExists(t, agent.StorePath(c))
	require.NoFileExists(t, agent.MarkerPath(c))
}
