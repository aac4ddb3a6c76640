package buffer_test

import (
	"bytes"
	"cmp"
	"errors"
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
	now        time.Time
	boundaries map[meter.Quarter]meter.BoundaryReading
	minutes    map[int]meter.Reading
	notes      map[string]buffer.Note
	items      map[string]buffer.Item
	marks      map[string]meter.Quarter
	journal    []buffer.Event
	waited     int // acknowledgements did, though there was a commit
	// What a power cut leaves of items and journal: attempts and
	// acknowledgements since the last commit are not in it.
	durable struct {
		items   map[string]buffer.Item
		journal []buffer.Event
	}
}

// modelItem is one of a few items. From the 13th on they are so large that
// ten fill the store.
func modelItem(n int) buffer.Item {
	it := item(n)
	it.Needs = buffer.Span{Meter: "main", From: day0 + meter.Quarter(n*2), To: day0 + meter.Quarter(n*2) + 8}
	if n > 12 {
		it.Body = bytes.Repeat([]byte{byte(n)}, 100_000)
	}
	return it
}

// TestStoreAgreesWithItsModel drives a small store and a model of maps through the
// same random steps: with reopenings, power cuts, retention, and a limit that is
// reached. BUFFER_STEPS is about how many (3,000; the long run has 10,000). A
// sequence that fails is shrunk and written to testdata/rapid, from where it is
// run again each time: leave it there.
func TestStoreAgreesWithItsModel(t *testing.T) {
	dir := fastDir(t)
	run, steps, cuts, full, waited := 0, 0, 0, 0, 0
	if text := os.Getenv("BUFFER_STEPS"); text != "" { // the long run: in runs of a hundred
		n, err := strconv.Atoi(text)
		require.NoError(t, err, "BUFFER_STEPS")
		require.NoError(t, flag.Set("rapid.steps", "100"))
		require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(n/100)))
	}
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run))
		defer func() { os.Remove(path) }()
		options := buffer.Options{Limit: buffer.MinLimit}
		s, err := buffer.Open(path, options)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		m := &model{
			now: noon, boundaries: map[meter.Quarter]meter.BoundaryReading{}, minutes: map[int]meter.Reading{}, notes: map[string]buffer.Note{},
			items: map[string]buffer.Item{}, marks: map[string]meter.Quarter{},
		}
		m.committed()
		number := rapid.IntRange(0, 24)
		settle := func(n int, to buffer.ItemState, err error, from ...buffer.ItemState) bool {
			it, known := m.items[item(n).ID]
			switch {
			case known && it.State == to:
				require.NoError(t, err)
				return false
			case known && slices.Contains(from, it.State):
				require.NoError(t, err)
				it.State, it.Settled = to, m.now
				if to == buffer.SetAside || to == buffer.Acknowledged {
					it.Attempts++
				}
				if to == buffer.Waiting {
					it.NotBefore = m.now
				}
				m.items[it.ID] = it
				return true
			default:
				require.ErrorIs(t, err, buffer.ErrUnknownItem)
				return false
			}
		}
		settleNow := func(n int, to buffer.ItemState, err error, from ...buffer.ItemState) {
			settle(n, to, err, from...)
			if err == nil {
				m.committed()
			}
		}
		build := func(t *rapid.T, which *rapid.Generator[int], least int) {
			upTo := day0 + meter.Quarter(rapid.IntRange(0, 60).Draw(t, "up to"))
			var items []buffer.Item
			for _, n := range rapid.SliceOfNDistinct(which, least, 4, rapid.ID[int]).Draw(t, "n") {
				it := modelItem(n)
				it.Due = noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "due")) * time.Hour)
				items = append(items, it)
			}
			built := m.event("built")
			require.NoError(t, s.Build("x", upTo, items, built))
			full += m.gaveWay(t, s, built.At)
			m.journal = append(m.journal, built)
			for _, it := range items {
				if _, known := m.items[it.ID]; !known {
					m.items[it.ID] = it
				}
			}
			m.marks["x"] = max(m.marks["x"], upTo)
			m.committed()
		}
		defer func() { waited += m.waited }()
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
				full += m.gaveWay(t, s, b.Boundary.Time().Add(b.Offset))
				m.boundaries[b.Boundary] = b
				m.committed()
			},
			"put minute": func(t *rapid.T) {
				n := rapid.IntRange(0, 90).Draw(t, "minute")
				err := s.PutMinute(minute("main", n))
				if errors.Is(err, buffer.ErrFull) {
					if len(m.minutes) > 0 { // they went, and it was not enough
						m.committed()
					}
					m.minutes = map[int]meter.Reading{}
					return
				}
				require.NoError(t, err)
				if got, err := s.Minutes("main", noon, noon.Add(day)); len(got) == 1 {
					require.NoError(t, err)
					m.minutes = map[int]meter.Reading{}
				}
				m.minutes[n] = minute("main", n)
				m.committed()
			},
			"note": func(t *rapid.T) {
				i := rapid.IntRange(0, 60).Draw(t, "note")
				n := note(i)
				n.Done = rapid.Bool().Draw(t, "done")
				if i%2 == 0 { // one that needs some of the readings only
					n.At += 31 * 96
				}
				noted := m.event("noted")
				require.NoError(t, s.PutNote(n, noted))
				full += m.gaveWay(t, s, noted.At)
				m.journal = append(m.journal, noted)
				m.notes[n.ID] = n
				m.committed()
			},
			"build": func(t *rapid.T) { build(t, number, 1) },
			"fill":  func(t *rapid.T) { build(t, rapid.IntRange(13, 24), 4) },
			"try": func(t *rapid.T) {
				it, known := m.items[item(number.Draw(t, "n")).ID]
				later := m.now.Add(time.Hour)
				err := s.Tried(it.ID, "503", m.now, later)
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
				n, e := number.Draw(t, "n"), m.event("delivered")
				if settle(n, buffer.Acknowledged, s.Acknowledge(item(n).ID, m.now, e), buffer.Waiting, buffer.SetAside) {
					m.journal = append(m.journal, e)
				}
			},
			"set aside": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settleNow(n, buffer.SetAside, s.SetAside(item(n).ID, "no", m.now), buffer.Waiting)
			},
			"retry": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settleNow(n, buffer.Waiting, s.Retry(item(n).ID, m.now), buffer.SetAside)
			},
			"give up": func(t *rapid.T) {
				n := number.Draw(t, "n")
				settleNow(n, buffer.GivenUp, s.GiveUp(item(n).ID, "no", m.now), buffer.SetAside)
			},
			"append": func(*rapid.T) { m.append(t, s) },
			"wait":   func(*rapid.T) { m.now = m.now.Add(30 * time.Minute) },
			"retain": func(t *rapid.T) {
				hours := rapid.IntRange(1, 9)
				p := buffer.Policy{
					History:  time.Duration(hours.Draw(t, "history")) * time.Hour,
					Minutes:  time.Duration(hours.Draw(t, "minutes")) * time.Hour,
					Evidence: time.Duration(hours.Draw(t, "evidence")) * time.Hour,
				}
				m.append(t, s) // nothing is left that only memory knows
				_, err := s.Retain(m.now, p)
				require.NoError(t, err)
				m.retain(p)
				m.committed()
			},
			"reopen": func(*rapid.T) {
				require.NoError(t, s.Close())
				require.NoError(t, buffer.Check(path))
				s, err = buffer.Open(path, options)
				require.NoError(t, err)
				m.committed()
			},
			"power cut": func(*rapid.T) {
				cuts++
				file, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, s.Close())
				require.NoError(t, os.WriteFile(path, file, 0o600))
				s, err = buffer.Open(path, options)
				require.NoError(t, err)
				m.items, m.journal = maps.Clone(m.durable.items), slices.Clone(m.durable.journal)
			},
			"compact": func(*rapid.T) { require.NoError(t, s.Compact()) },
			"":        func(t *rapid.T) { steps++; m.compare(t, s) },
		})
	})
	require.LessOrEqual(t, waited, 1+steps/1000, "an acknowledgement is written with the next commit")
	t.Logf("%d steps against the model, %d power cuts, %d times something gave way", steps, cuts, full)
}

// event is a journal entry of now; the caller writes it to the model.
func (m *model) event(kind string) buffer.Event {
	return buffer.Event{At: m.now, Kind: kind, Detail: map[string]string{"row": "5"}}
}

func (m *model) append(t *rapid.T, s *buffer.Store) {
	a, b := m.event("a"), m.event("b")
	require.NoError(t, s.Append(a, b))
	m.journal = append(m.journal, a, b)
	m.committed()
}

// entries are what the store's journal says.
func (m *model) entries(t *rapid.T, s *buffer.Store) (all []buffer.Event) {
	require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { all = append(all, e.Event); return true }))
	return all
}

func kindsOf(events []buffer.Event) (kinds []string) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// committed says that all is on flash now.
func (m *model) committed() {
	m.durable.items, m.durable.journal = maps.Clone(m.items), slices.Clone(m.journal)
}

func (m *model) unsettled() []buffer.Item {
	all := slices.DeleteFunc(slices.Collect(maps.Values(m.items)), func(it buffer.Item) bool {
		return it.State != buffer.Waiting && it.State != buffer.SetAside
	})
	slices.SortFunc(all, func(a, b buffer.Item) int {
		return cmp.Or(a.Created.Compare(b.Created), a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// needed is the first boundary that anything unsettled or unbuilt, or a note that
// is not done, needs.
func (m *model) needed() meter.Quarter {
	if len(m.marks) == 0 {
		return 0
	}
	first := m.marks["x"]
	for _, it := range m.unsettled() {
		first = min(first, it.Needs.From)
	}
	for _, n := range m.notes {
		if !n.Done {
			first = min(first, n.At-31*96)
		}
	}
	return first
}

func (m *model) eraseBefore(q meter.Quarter) {
	maps.DeleteFunc(m.boundaries, func(b meter.Quarter, _ meter.BoundaryReading) bool { return b < q })
}

// gaveWay finds out what a call had to erase to find room, and checks that it was
// the right things in the right order: minutes, then what nothing needs, then items.
func (m *model) gaveWay(t *rapid.T, s *buffer.Store, at time.Time) (times int) {
	minutes, err := s.Minutes("main", noon, noon.Add(day))
	require.NoError(t, err)
	boundaries, err := s.Boundaries("main", day0, day0+100)
	require.NoError(t, err)
	kept := map[meter.Quarter]bool{}
	for _, b := range boundaries {
		kept[b.Boundary] = true
	}
	losses, err := s.Losses()
	require.NoError(t, err)
	if len(losses) > 0 {
		require.NoError(t, s.LossesTold(losses[len(losses)-1].Seq))
	}
	for ; ; times++ {
		spare := min(m.needed(), slices.Max(append(slices.Collect(maps.Keys(m.boundaries)), 0)))
		erased, left := 0, 0
		for q := range m.boundaries {
			if q >= spare {
				continue
			}
			if left++; !kept[q] {
				erased++
			}
		}
		switch {
		case len(m.minutes) > 0 && len(minutes) == 0:
			m.minutes = map[int]meter.Reading{}
		case erased > 0:
			require.Empty(t, m.minutes, "they go first")
			require.Equal(t, left, erased)
			m.eraseBefore(spare)
		case len(losses) > 0:
			require.Empty(t, m.minutes, "they go first")
			require.Zero(t, left, "they go before items")
			for _, it := range m.unsettled()[:min(8, len(m.unsettled()))] {
				if len(losses) == 0 {
					break // the file was compacted meanwhile, and that was enough
				}
				require.Equal(t, it.ID, losses[0].Subject)
				losses = losses[1:]
				it.State, it.Settled = buffer.GivenUp, at
				m.items[it.ID] = it
				m.journal = append(m.journal, buffer.Event{At: at, Kind: buffer.EventDropped})
			}
		default:
			return times
		}
	}
}

// retain is what Retain does, said once more.
func (m *model) retain(p buffer.Policy) {
	m.eraseBefore(min(m.needed(), meter.QuarterOf(m.now.Add(-p.History))))
	maps.DeleteFunc(m.minutes, func(n int, _ meter.Reading) bool {
		return noon.Add(time.Duration(n) * time.Minute).Before(m.now.Add(-p.Minutes))
	})
	cutoff := m.now.Add(-p.Evidence)
	maps.DeleteFunc(m.notes, func(_ string, n buffer.Note) bool { return n.Done && n.At < meter.QuarterOf(cutoff) })
	maps.DeleteFunc(m.items, func(_ string, it buffer.Item) bool {
		return (it.State == buffer.Acknowledged || it.State == buffer.GivenUp) && it.Settled.Before(cutoff) && it.Created.Before(cutoff)
	})
	for len(m.journal) > 0 && m.journal[0].At.Before(cutoff) {
		m.journal = m.journal[1:]
	}
}

func (m *model) compare(t *rapid.T, s *buffer.Store) {
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
	minutes, err := s.Minutes("main", noon, noon.Add(day))
	require.NoError(t, err)
	require.Len(t, minutes, len(m.minutes))
	for _, r := range minutes {
		require.Equal(t, m.minutes[int(r.At.Time.Sub(noon)/time.Minute)], r)
	}
	notes, err := s.Notes()
	require.NoError(t, err)
	require.Len(t, notes, len(m.notes))
	for _, n := range notes {
		require.Equal(t, m.notes[n.ID], n)
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
	if kinds := kindsOf(m.entries(t, s)); !slices.Equal(kindsOf(m.durable.journal), kinds) {
		// Acknowledgements that found no free pages in one piece waited on, and come
		// later in the journal.
		m.waited++
		require.NoError(t, s.Compact())
		require.NoError(t, s.Flush())
		written := m.entries(t, s)
		require.ElementsMatch(t, kindsOf(m.journal), kindsOf(written))
		m.journal = written
		m.committed()
		delivered := func(kind string) bool { return kind == "delivered" }
		require.Equal(t, slices.DeleteFunc(kindsOf(written), delivered), slices.DeleteFunc(kinds, delivered))
	}
	require.NoError(t, s.VerifyJournal())
	next, found := m.next(m.now)
	it, ok, err := s.Next(item(0).Endpoint, m.now)
	require.NoError(t, err)
	require.Equal(t, found, ok)
	require.Equal(t, next.ID, it.ID)
	require.True(t, bytes.Equal(next.Body, it.Body))
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
