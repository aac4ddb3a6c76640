package form

import (
	"testing"
	"time"
	_ "time/tzdata" // all the world, to compare with

	"github.com/stretchr/testify/require"
)

// The embedded zone is what a gateway without zoneinfo runs by.
func TestEmbeddedBerlinIsThatOfTheDatabase(t *testing.T) {
	want, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	have, err := time.LoadLocationFromTZData("Europe/Berlin", berlin)
	require.NoError(t, err)
	end := time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(end); at = at.Add(time.Hour) {
		if w, h := at.In(want).Format(time.RFC3339), at.In(have).Format(time.RFC3339); w != h {
			require.Equal(t, w, h)
		}
	}
}
