package board_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/board"
)

func TestDocumentedTableIsTheBlinkCode(t *testing.T) {
	doc, err := os.ReadFile("../docs/lamps.md")
	require.NoError(t, err)
	for _, c := range board.Causes() {
		flashes := fmt.Sprint(c.Flashes())
		if c == board.AllWell {
			flashes = "steady"
		}
		require.Contains(t, string(doc), fmt.Sprintf("\n| %s | `%s` | %s | %s |\n", flashes, c, c.Meaning(), c.Remedy()))
	}
}
