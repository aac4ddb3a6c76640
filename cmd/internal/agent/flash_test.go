package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/board/boardtest"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
)

// The typical dead card can only be read. The lamp says what keeps the agent from
// starting until it can be counted, and the error what to do.
func TestAFlashThatCanOnlyBeReadIsShownAtTheStart(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	require.NoError(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	c := *newBench(t).config
	c.Gateway.StateDir = filepath.Join(disk, "state")
	for _, lamps := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			c.Board.Lamps = make([]board.Lamp, lamps)
			log, shown, start := &bytes.Buffer{}, &boardtest.Lamps{}, time.Now()
			err := agent.ServeOn(t.Context(), &c, shown, slog.New(slog.NewTextHandler(log, nil)))
			require.ErrorIs(t, err, unix.EROFS)
			require.ErrorContains(t, err, "change the card")
			if lamps == 0 {
				require.Zero(t, time.Since(start), "there is nothing to wait for")
				require.Empty(t, shown.Shown())
				return
			}
			require.Equal(t, [][]board.Cause{{board.StoreInTrouble}}, shown.Shown())
			require.GreaterOrEqual(t, time.Since(start), 3*2*time.Second, "long enough to be counted")
			require.True(t, shown.Closed())
			require.Contains(t, log.String(), "cause=store_in_trouble")
		})
	}
}

func TestAdviceIsGivenWhereTheFlashFails(t *testing.T) {
	c := newBench(t).config
	at := func(errno unix.Errno) error {
		return fmt.Errorf("open store: %w", &fs.PathError{Op: "open", Path: "store.db", Err: errno})
	}
	for advice, err := range map[string]error{
		"reading only when it fails":          at(unix.EROFS),
		"the card fails: dmesg":               at(unix.EIO),
		"fsck":                                at(unix.EUCLEAN),
		"free space in " + c.Gateway.StateDir: at(unix.ENOSPC),
	} {
		require.ErrorContains(t, agent.AdviseFlash(c, err), advice)
		require.ErrorContains(t, agent.AdviseFlash(c, errors.New(err.Error())), advice, "what the checking process said")
	}
	for _, other := range []error{at(unix.EACCES), buffer.ErrInUse, buffer.ErrNewerSchema} {
		require.Equal(t, other, agent.AdviseFlash(c, other))
	}
}
