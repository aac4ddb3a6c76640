package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
)

func TestJournalWritesEveryInstantAsTheTimeOfItsEntries(t *testing.T) {
	out := &strings.Builder{}
	require.NoError(t, writeEntry(out, &buffer.Entry{Seq: 7, Event: buffer.Event{At: time.Date(2026, 11, 22, 5, 20, 11, 0, time.UTC), Kind: agent.ClockJumped,
		Detail: map[string]string{"from": "2026-11-22T04:20:11Z", "to": "2026-11-22T06:20:11+01:00", "by": "1h0m0s"}}}))
	require.Equal(t, "     7  2026-11-22 06:20:11  clock_jumped    by=1h0m0s from=2026-11-22 05:20:11 to=2026-11-22 06:20:11\n", out.String())
}
