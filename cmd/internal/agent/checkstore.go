package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"smgw/buffer"
)

// checkVerb is the hidden verb by which a program checks a store for itself.
const checkVerb = "check-store"

// NewCheckStoreCommand is the hidden verb that every program needs which calls
// Serve: bbolt can kill the process it runs in when a file is damaged, so that
// the agent has the file checked by a process of its own before it opens it.
func NewCheckStoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:    checkVerb + " FILE",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		Run: func(cmd *cobra.Command, args []string) {
			debug.SetGCPercent(collectAt) // the agent waits beside it, on the same board
			mapped(slog.New(slog.DiscardHandler)).giveBack()
			err := buffer.Check(args[0])
			if err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), err)
			}
			os.Exit(buffer.CheckStatus(err))
		},
	}
}

// CheckStore is buffer.Check in a process of its own.
func CheckStore(path string) error {
	// Who may not read it is told so by name, which another process's text is not.
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	f.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	out, err := exec.Command(self, checkVerb, path).Output()
	// CheckResult says again what kind of error it is, and about which file.
	text := strings.TrimSpace(string(out))
	for _, said := range []string{"check store " + path + ": ", buffer.ErrInUse.Error() + ": ", buffer.ErrNewerSchema.Error() + ": "} {
		text = strings.TrimPrefix(text, said)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return buffer.CheckResult(path, exit.ExitCode(), text)
	}
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	return buffer.CheckResult(path, 0, text)
}
