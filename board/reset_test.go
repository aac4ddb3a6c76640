package board_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
)

func TestResetIsPulledForItsTimeAndLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		reset := board.NewReset(&line)
		require.NoError(t, reset.Pulse(t.Context()))
		time.Sleep(time.Second)
		require.Equal(t, "on 2s, off 1s", line.seen())

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, reset.Pulse(ctx), "an agent that stops lets the head go")
		require.Equal(t, "off 1s, on 1s, off 0s", line.seen())
		require.NoError(t, reset.Close())
		require.True(t, line.closed)
	})
}

func TestResetThatCannotBePulledSaysWhichLine(t *testing.T) {
	var line recorder
	line.breakWith(errors.New("input/output error"))
	err := board.NewReset(&line).Pulse(t.Context())
	require.ErrorContains(t, err, "reset on line 4: input/output error")
}
