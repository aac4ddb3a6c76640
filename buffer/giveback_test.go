package buffer_test

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/meter"
)

// What a look at the store touched is not this process's memory when it ends, and
// counting does not make all of it that meanwhile.
func TestALookKeepsNoPages(t *testing.T) {
	if runtime.GOARCH == "arm" {
		t.Skip("under qemu the memory is qemu's")
	}
	s := open(t)
	var all []meter.BoundaryReading
	for n := range meter.Quarter(20_000) {
		all = append(all, reading("main", n))
	}
	stored, err := s.PutBoundaries(all)
	require.NoError(t, err)
	require.Equal(t, len(all), stored)
	s.reopen()
	metas := (2*4096 + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize() >> 10 // they stay
	require.LessOrEqual(t, s.resident(), metas)

	stats, err := s.Stats()
	require.NoError(t, err)
	require.EqualValues(t, len(all), stats.Boundaries)
	require.LessOrEqual(t, s.resident(), metas)

	got, err := s.Boundaries("main", 0, 20_000)
	require.NoError(t, err)
	require.Equal(t, all, got, "and all of it is still there")
	require.LessOrEqual(t, s.resident(), metas)
}

// resident is how much of the store's file this process has in memory, in kB.
func (s *store) resident() (n int) {
	text, err := os.ReadFile("/proc/self/smaps")
	require.NoError(s.t, err)
	_, mapping, found := strings.Cut(string(text), " "+s.path+"\n")
	require.True(s.t, found, "the file is not mapped")
	n, err = strconv.Atoi(regexp.MustCompile(`(?m)^Rss: +(\d+) kB`).FindStringSubmatch(mapping)[1])
	require.NoError(s.t, err)
	return n
}
