package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/control"
)

// Sixty figures of a row have the same hour, and fifteen the same quarter of it.
func TestAnItemOfAMomentSaysWhichMoment(t *testing.T) {
	it := control.Item{ID: "aa", State: buffer.Waiting, Label: map[string]string{
		"row": "9", "malo": "51238696781", "to": "NB", "from": "2026-11-20 10:15", "until": "2026-11-20 10:30", "moment": "2026-11-20T10:17:00+01:00",
	}}
	require.Equal(t, "row 9 of 51238696781 for NB at 2026-11-20T10:17:00+01:00, id aa", describeItem(&it))
	var out strings.Builder
	require.NoError(t, writeItem(&out, &it))
	require.Regexp(t, `(?m)^moment +2026-11-20T10:17:00\+01:00$`, out.String())
}
