package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	target   = regexp.MustCompile("(?:`|^|&& )make ([a-z]+)")
	gotest   = regexp.MustCompile(`go test (\./\S+)([^` + "`" + `]*)`)
	chosen   = regexp.MustCompile(`-(run|bench|fuzz) '?([^' ` + "`" + `]+)`)
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w*)\(`)
)

// A page tells nobody to make what the Makefile has not, or to run a test that
// is gone.
func TestPagesNameOnlyCommandsThatDoSomething(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	targets, tests := 0, 0
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				targets++
				require.Contains(t, string(makefile), "\n"+m[1]+":", "%s: make %s", page, m[1])
			}
			for _, m := range gotest.FindAllStringSubmatch(line, -1) {
				for _, c := range chosen.FindAllStringSubmatch(m[2], -1) {
					if c[2] == "^$" || c[2] == "xxx" { // none of them, for the sake of a benchmark
						continue
					}
					tests++
					require.True(t, has(t, filepath.Join("..", m[1]), c[2]), "%s: %s has no test that matches -%s %s", page, m[1], c[1], c[2])
				}
			}
		}
	}
	require.Greater(t, targets, 5)
	require.Greater(t, tests, 5)
}

func has(t *testing.T, folder, pattern string) bool {
	matches := regexp.MustCompile(pattern)
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			if matches.MatchString(m[1]) {
				return true
			}
		}
	}
	return false
}
