// Package clitest holds what the tests of both programs ask of their verbs.
package clitest

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// RequireExamples fails where a verb below root does not show how it is used, with
// flags that it has.
func RequireExamples(t *testing.T, root *cobra.Command) {
	t.Helper()
	var walk func(*cobra.Command)
	verbs := 0
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "version" {
			return
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.HasSubCommands() && cmd.Example == "" {
			return
		}
		verbs++
		require.Contains(t, cmd.Example, cmd.CommandPath(), cmd.CommandPath())
		for line := range strings.Lines(cmd.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
			words := strings.Fields(line)
			if words[0] != cmd.Root().Name() {
				continue // another program's part of the story
			}
			used, rest, err := cmd.Root().Find(words[1:])
			require.NoError(t, err, line)
			require.NoError(t, used.ParseFlags(rest), line)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			what, _ := pflag.UnquoteUsage(f)
			require.NotContains(t, what, "string", "--%s of %s says what it wants", f.Name, cmd.CommandPath())
			if f.Name == "config" {
				require.Equal(t, "c", f.Shorthand, cmd.CommandPath())
			}
		})
	}
	walk(root)
	require.Greater(t, verbs, 5)
}
