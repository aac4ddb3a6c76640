package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link  = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	named = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_]\.(md|cddl)\b`)
)

// A page sends nobody to a file that is not here.
func TestPagesNameOnlyFilesThatAreHere(t *testing.T) {
	pages := []string{"../README.md"}
	for _, pattern := range []string{"*.md", "*.cddl", "*.toml", "vectors/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	require.Greater(t, len(pages), 10)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join(filepath.Dir(page), m[1]), "a link of %s", page)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			_, beside := os.Stat(filepath.Join(filepath.Dir(page), name))
			_, inDocs := os.Stat(name)
			_, fromRoot := os.Stat(filepath.Join("..", name))
			require.True(t, beside == nil || inDocs == nil || fromRoot == nil, "%s names %s, which is not here", page, name)
		}
	}
}
