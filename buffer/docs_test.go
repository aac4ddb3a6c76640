package buffer_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryPromiseNamesATest(t *testing.T) {
	doc, err := os.ReadFile("../docs/reliability.md")
	require.NoError(t, err)
	var code []byte
	for _, folder := range []string{".", "../cmd/smgw-sim", "../cmd/internal/agent"} {
		files, err := filepath.Glob(folder + "/*_test.go")
		require.NoError(t, err)
		for _, f := range files {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			code = append(code, b...)
		}
	}
	for _, name := range regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(doc), -1) {
		require.True(t, regexp.MustCompile(`(?m)^func `+name+`\(`).Match(code), "there is no %s", name)
	}
	promises := regexp.MustCompile(`(?m)^\|[^|]+\|([^|]+)\|$`).FindAllSubmatch(doc, -1)
	require.Greater(t, len(promises), 20)
	for _, p := range promises[2:] { // below the heading
		require.Contains(t, string(p[1]), "`Test", "the promise %s", p[0])
	}
}
