package main

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

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
