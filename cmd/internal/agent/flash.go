package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/cmd/internal/config"
)

// flashShown is how long the lamp shows that the agent cannot start for its
// flash: eight rounds of the code. Then the process ends, to be started again.
const flashShown = 20 * time.Second

// flashError is that the state folder cannot be used, and what to do about it.
type flashError struct {
	err    error
	advice string
}

func (e *flashError) Error() string { return e.err.Error() + ": " + e.advice }
func (e *flashError) Unwrap() error { return e.err }

// adviseFlash says what to do where it is the flash that fails, and leaves any
// other error as it is.
func adviseFlash(c *config.Config, err error) error {
	const change = "dmesg says more; change the card where this comes back"
	for errno, advice := range map[unix.Errno]string{
		unix.EROFS:   "Linux takes a card for reading only when it fails: " + change,
		unix.EIO:     "the card fails: " + change,
		unix.EUCLEAN: "the file system is damaged: check it with fsck; " + change,
		unix.ENOSPC:  "free space in " + c.Gateway.StateDir,
		unix.EDQUOT:  "free space in " + c.Gateway.StateDir,
	} {
		// What another process found, when it checked the store, is a text.
		if errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error()) {
			return &flashError{err, advice}
		}
	}
	return err
}

// showFlash has the lamp say that the flash keeps an agent from starting, until
// somebody can have counted.
func showFlash(ctx context.Context, err error, c *config.Config, log *slog.Logger, openBox func(board.Config, *slog.Logger) box) {
	if _, flash := errors.AsType[*flashError](err); !flash || len(c.Board.Lamps) == 0 {
		return
	}
	log.Error("the agent cannot start; the lamp shows it, and then the agent ends", "cause", board.StoreInTrouble, "err", err)
	box := openBox(board.Config{Chip: c.Board.Chip, Lamps: c.Board.Lamps, Dev: c.Board.Dev}, log)
	defer box.close(log)
	if err := box.lamps.Show(board.StoreInTrouble); err != nil {
		log.Warn("a lamp cannot be set", "err", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(flashShown):
	}
}
