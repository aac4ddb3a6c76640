package board_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/board"
)

func TestClockIsSynchronisedOnlyWhenStateAndStatusSaySo(t *testing.T) {
	for name, c := range map[string]struct {
		state  int
		status int32
		want   bool
	}{
		"follows a source":             {unix.TIME_OK, unix.STA_PLL, true},
		"leap second ahead":            {unix.TIME_INS, unix.STA_PLL | unix.STA_INS, true},
		"never set":                    {unix.TIME_ERROR, unix.STA_UNSYNC, false},
		"status alone says it":         {unix.TIME_OK, unix.STA_UNSYNC, false},
		"pulse per second out of sync": {unix.TIME_ERROR, unix.STA_PPSFREQ, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock, err := board.ClockFrom(func(x *unix.Timex) (int, error) {
				require.Zero(t, x.Modes, "it only reads")
				x.Status, x.Esterror, x.Maxerror = c.status, 1500, 16_000_000
				return c.state, nil
			})
			require.NoError(t, err)
			require.Equal(t, board.Clock{Synchronised: c.want, EstimatedError: 1500 * time.Microsecond, MaxError: 16 * time.Second}, clock)
		})
	}
}

func TestClockErrorSaysWhatWasTried(t *testing.T) {
	_, err := board.ClockFrom(func(*unix.Timex) (int, error) { return -1, unix.EPERM })
	require.True(t, errors.Is(err, unix.EPERM))
	require.ErrorContains(t, err, "adjtimex")
}

func TestKernelAnswersWithoutPrivileges(t *testing.T) {
	clock, err := board.ClockState()
	require.NoError(t, err)
	require.GreaterOrEqual(t, clock.MaxError, time.Duration(0))
}
