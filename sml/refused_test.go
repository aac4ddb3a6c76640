package sml_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/sml"
)

func TestReasonsAreAllThereAre(t *testing.T) {
	source, err := os.ReadFile("refused.go")
	require.NoError(t, err)
	doc, err := os.ReadFile("../docs/decode.md")
	require.NoError(t, err)
	var all []sml.Reason
	for _, found := range regexp.MustCompile(`Reason += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		all = append(all, sml.Reason(found[1]))
		require.Contains(t, string(doc), "`"+found[1]+"`")
	}
	require.Equal(t, all, sml.Reasons())
}
