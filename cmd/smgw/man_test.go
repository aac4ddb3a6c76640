package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/stretchr/testify/require"
)

// troff is what a man page has beside words: requests, fonts and escapes.
var troff = regexp.MustCompile(`(?m)^\.[A-Z]+|^\.[a-z]{2}\b|\\f[BIRPCW]+|\\fC|\\&|\\`)

// The man pages say what --help says: every word of it, though they were written
// from another markup. `make man` has this test leave them in a folder; nothing of
// what makes them is in the program.
func TestManPages(t *testing.T) {
	dir := os.Getenv("SMGW_MAN")
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRootCommand()
	root.DisableAutoGenTag = true
	require.NoError(t, doc.GenManTree(root, &doc.GenManHeader{Section: "8", Source: "smgw", Manual: "smart meter gateway"}, dir))
	pages := 0
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd.HasParent() {
			return
		}
		pages++
		text, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".8"))
		require.NoError(t, err)
		said := strings.Join(strings.Fields(troff.ReplaceAllString(string(text), "")), " ")
		for _, part := range []string{cmd.Short, cmd.Long, cmd.Example} {
			for _, line := range strings.Split(part, "\n") {
				require.Contains(t, said, strings.Join(strings.Fields(line), " "), cmd.CommandPath())
			}
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(root)
	require.Greater(t, pages, 30)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, left, pages, "and of what is hidden there is none")
}
