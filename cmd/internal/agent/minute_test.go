package agent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAgentKeepsMinutesOnlyWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	from := b.home.Since()
	b.play(from, from.Add(time.Hour))
	got, err := b.store.Minutes("main", from, from.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, got)
	b.config.Readings.Minutes = true
	b.play(from.Add(time.Hour), from.Add(2*time.Hour))
	got, err = b.store.Minutes("main", from, from.Add(3*time.Hour))
	require.NoError(t, err)
	require.Len(t, got, 60, "each but that of the minute that is not over")
	require.True(t, got[0].Power.Valid)
}
