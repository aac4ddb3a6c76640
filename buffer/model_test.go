package buffer_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/buffer"
	"smgw/meter"
)

// model is what a store should say, in maps.
type model struct {
	boundaries map[meter.Quarter]meter.BoundaryReading
	items      map[string]buffer.Item
	marks      map[string]meter.Quarter
	journal    []string
}

// TestStoreAgreesWithItsModel drives a store and a model of maps through the
// same random steps, with reopenings between.
func TestStoreAgreesWithItsModel(t *testing.T) {
	dir := fastDir(t)
	run, steps := 0, 0
	if text := os.Getenv("BUFFER_STEPS"); text != "" { // the long run: in runs of a hundred
		n, err := strconv.Atoi(text)
		require.NoError(t, err, "BUFFER_STEPS")
		require.NoError(t, flag.Set("rapid.steps", "100"))
		require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(n/100)))
	}
	defer func() { t.Logf("%d steps against the model", steps) }()
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run))
		defer os.Remove(path)
		s, err := buffer.Open(path, buffer.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		m := model{map[meter.Quarter]meter.BoundaryReading{}, map[string]buffer.Item{}, map[string]meter.Quarter{}, nil}
		now := noon
		number := rapid.IntRange(0, 12)
		log := func(kind string) buffer.Event {
			m.journal = append(m.journal, kind)
			return event(kind)
		}
		settle := func(n int, to buffer.ItemState, err error, from ...buffer.ItemState) {
			it, known := m.items[item(n).ID]
			switch {
			case known && it.State == to:
				require.NoError(t, err)
			case known && slices.Contains(from, it.State):
				require.NoError(t, err)
				it.State = to
				if to == buffer.Waiting {
					it.NotBefore = now
				}
				m.items[it.ID] = it
			default:
				require.ErrorIs(t, err, buffer.ErrUnknownItem)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				b := reading("main", day0+meter.Quarter(rapid.IntRange(0, 60).Draw(t, "quarter")))
				b.Coarse = rapid.Bool().Draw(t, "coarse")
				err := s.PutBoundary(b)
				if have, ok := m.boundaries[b.Boundary]; ok && have.Coarse != b.Coarse {
					require.ErrorIs(t, err, buffer.ErrConflict)
					return
				}
				require.NoError(t, err)
				m.boundaries[b.Boundary] = b
			},
			"build": func(t *rapid.T) {
				n, upTo := number.Draw(t, "n"), day0+meter.Quarter(rapid.IntRange(0, 9).Draw(t, "up to"))
				it := item(n)
				it.Due = noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "due")) * time.Hour)
				require.NoError(t, s.Build("x", upTo, []buffer.Item{it}, log("built")))
				if _, known := m.items[it.ID]; !known {
					m.items[it.ID] = it
				}
				m.marks["x"] = max(m.marks["x"], upTo)
			},
			"try": func(t *rapid.T) {
				it, known := m.items[item(number.Draw(t, "n")).ID]
				later := now.Add(time.Hour)
				err := s.Tried(it.ID, "503", now, later)
				if known && it.State == buffer.Waiting {
					require.NoError(t, err)
					it.Attempts++
					it.NotBefore = later
					m.items[it.ID] = it
				} else {
					require.Error(t, err)
				}
			},
			"acknowledge": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settle(n, buffer.Acknowledged, s.Acknowledge(item(n).ID, now), buffer.Waiting, buffer.SetAside)
			},
			"set aside": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settle(n, buffer.SetAside, s.SetAside(item(n).ID, "no", now), buffer.Waiting)
			},
			"retry": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settle(n, buffer.Waiting, s.Retry(item(n).ID, now), buffer.SetAside)
			},
			"give up": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settle(n, buffer.GivenUp, s.GiveUp(item(n).ID, "no", now), buffer.SetAside)
			},
			"append": func(*rapid.T) { require.NoError(t, s.Append(log("a"), log("b"))) },
			"wait":   func(*rapid.T) { now = now.Add(30 * time.Minute) },
			"reopen": func(*rapid.T) {
				require.NoError(t, s.Close())
				require.NoError(t, buffer.Check(path))
				s, err = buffer.Open(path, buffer.Options{})
				require.NoError(t, err)
			},
			"compact": func(*rapid.T) { require.NoError(t, s.Compact()) },
			"":        func(t *rapid.T) { steps++; m.compare(t, s, now) },
		})
	})
}

func (m *model) compare(t *rapid.T, s *buffer.Store, now time.Time) {
	got, err := s.Boundaries("main", day0, day0+100)
	require.NoError(t, err)
	require.Len(t, got, len(m.boundaries))
	for _, b := range got {
		require.Equal(t, m.boundaries[b.Boundary], b)
	}
	if len(got) > 0 {
		first, _, err := s.FirstBoundary("main")
		require.NoError(t, err)
		require.Equal(t, got[0], first)
		last, _, err := s.LastBoundary("main")
		require.NoError(t, err)
		require.Equal(t, got[len(got)-1], last)
	}
	n := 0
	require.NoError(t, s.Items(func(it buffer.Item) bool {
		n++
		require.Equal(t, m.items[it.ID].State, it.State)
		require.Equal(t, m.items[it.ID].Attempts, it.Attempts)
		return true
	}))
	require.Len(t, m.items, n)
	marks, err := s.Series()
	require.NoError(t, err)
	require.Equal(t, m.marks, marks)
	var kinds []string
	require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { kinds = append(kinds, e.Kind); return true }))
	require.Equal(t, m.journal, kinds)
	require.NoError(t, s.VerifyJournal())
	want, found := m.next(now)
	it, ok, err := s.Next(item(0).Endpoint, now)
	require.NoError(t, err)
	require.Equal(t, found, ok)
	require.Equal(t, want.ID, it.ID)
	require.Equal(t, want.Body, it.Body)
}

// next is the rule of Store.Next, said once more and slowly.
func (m *model) next(now time.Time) (buffer.Item, bool) {
	ready := slices.DeleteFunc(slices.Collect(maps.Values(m.items)), func(it buffer.Item) bool {
		return it.State != buffer.Waiting || it.NotBefore.After(now)
	})
	if len(ready) == 0 {
		return buffer.Item{}, false
	}
	late := func(it buffer.Item) int {
		if it.Due.Before(now) {
			return 1
		}
		return 0
	}
	return slices.MinFunc(ready, func(a, b buffer.Item) int {
		return cmp.Or(late(a)-late(b), a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	}), true
}
