package buffer_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

func TestBoundaries(t *testing.T) {
	t.Run("come back as they were put, also after reopening", func(t *testing.T) {
		s := open(t)
		var want []meter.BoundaryReading
		for q := day0; q < day0+100; q++ {
			b := reading("main", q)
			require.NoError(t, s.PutBoundary(b))
			require.NoError(t, s.PutBoundary(reading("roof", q)))
			want = append(want, b)
		}
		for range 2 {
			got, err := s.Boundaries("main", day0, day0+99)
			require.NoError(t, err)
			require.Equal(t, want, got)
			first, ok, err := s.FirstBoundary("main")
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, want[0], first)
			last, ok, err := s.LastBoundary("main")
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, want[99], last)
			some, err := s.Boundaries("roof", day0+10, day0+12)
			require.NoError(t, err)
			require.Len(t, some, 3)
			names, err := s.Meters()
			require.NoError(t, err)
			require.Equal(t, []string{"main", "roof"}, names)
			s.reopen()
		}
		_, ok, err := s.LastBoundary("mai")
		require.NoError(t, err)
		require.False(t, ok)
	})
	t.Run("keep every value a meter can send", func(t *testing.T) {
		s := open(t)
		b := reading("main", day0)
		b.SecIndex, b.Status, b.Coarse, b.Offset = meter.SecIndex{}, meter.StatusWord{}, true, -27*time.Second
		b.Registers[0].Value = decimal.RequireFromString("18446744073709551615e-3")
		b.Registers[1].Value = decimal.RequireFromString("-0.5")
		require.NoError(t, s.PutBoundary(b))
		got, err := s.Boundaries("main", day0, day0)
		require.NoError(t, err)
		require.Equal(t, []meter.BoundaryReading{b}, got)
	})
	t.Run("are never overwritten", func(t *testing.T) {
		s := open(t)
		b := reading("main", day0)
		require.NoError(t, s.PutBoundary(b))
		require.NoError(t, s.PutBoundary(b), "the same again")
		other := b
		other.Offset++
		other.Offset = 5 * time.Millisecond
		require.ErrorIs(t, s.PutBoundary(other), buffer.ErrConflict)
		got, err := s.Boundaries("main", day0, day0)
		require.NoError(t, err)
		require.Equal(t, []meter.BoundaryReading{b}, got)
	})
	t.Run("of two devices at an exchange stay apart", func(t *testing.T) {
		s := open(t)
		old, new := reading("main", day0), reading("main", day0)
		new.Device = device2
		require.NoError(t, s.PutBoundary(old))
		require.NoError(t, s.PutBoundary(new, event("device.changed")))
		got, err := s.Boundaries("main", day0, day0)
		require.NoError(t, err)
		require.Len(t, got, 2)
	})
	t.Run("refuse what could not be read back", func(t *testing.T) {
		s := open(t)
		for _, change := range []func(*meter.BoundaryReading){
			func(b *meter.BoundaryReading) { b.Meter = "" },
			func(b *meter.BoundaryReading) { b.Meter = "a\x00b" },
			func(b *meter.BoundaryReading) { b.Boundary = -1 },
			func(b *meter.BoundaryReading) { b.Offset = time.Microsecond },
		} {
			b := reading("main", day0)
			change(&b)
			require.Error(t, s.PutBoundary(b))
		}
	})
}

func TestOutbox(t *testing.T) {
	const endpoint = "https://head.example"
	t.Run("keeps an item until it is acknowledged, and knows its id after", func(t *testing.T) {
		s := open(t)
		want := item(1)
		require.NoError(t, s.Build("5/NB", day0+96, []buffer.Item{want}, event("payload.built")))
		for range 2 {
			got, ok, err := s.Next(endpoint, noon)
			require.NoError(t, err)
			require.True(t, ok)
			got.Revision = 0
			require.Equal(t, want, got)
			s.reopen()
		}
		require.NoError(t, s.Acknowledge(want.ID, noon, event("payload.acknowledged")))
		require.NoError(t, s.Acknowledge(want.ID, noon), "twice")
		for range 2 {
			require.NoError(t, s.Build("5/NB", day0+96, []buffer.Item{want}))
			_, ok, err := s.Next(endpoint, noon)
			require.NoError(t, err)
			require.False(t, ok, "built again")
			_, err = s.Body(want.ID)
			require.ErrorIs(t, err, buffer.ErrUnknownItem)
			s.reopen()
		}
		it, ok, err := s.Item(want.ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, buffer.Acknowledged, it.State)
	})
	t.Run("marks a series with the items, and never back", func(t *testing.T) {
		s := open(t)
		_, ok, err := s.BuiltUpTo("5/NB")
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, s.Build("5/NB", day0+96, nil))
		require.NoError(t, s.Build("5/NB", day0, nil))
		s.reopen()
		q, ok, err := s.BuiltUpTo("5/NB")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, day0+96, q)
	})
	t.Run("gives what can be in time before what was missed, each from old to new", func(t *testing.T) {
		s := open(t)
		var items []buffer.Item
		for n, due := range []time.Duration{-48, -24, 24, 72} { // hours from noon
			it := item(n)
			it.Due = noon.Add(due * time.Hour)
			items = append(items, it)
		}
		require.NoError(t, s.Build("x", day0, items))
		for _, n := range []int{2, 3, 0, 1} {
			it, ok, err := s.Next(endpoint, noon)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, items[n].ID, it.ID)
			require.NoError(t, s.Acknowledge(it.ID, noon))
		}
	})
	t.Run("gives the newest day first though it was missed, also when it was begun before", func(t *testing.T) {
		s := open(t)
		var items []buffer.Item
		for n := range 5 {
			it := item(n)
			it.Needs.From += meter.Quarter(96 * (n / 2)) // two of the same day
			it.Needs.To = it.Needs.From + 96
			it.Due = noon.Add(time.Duration(n/2-5) * 24 * time.Hour)
			items = append(items, it)
		}
		month, event := item(5), item(6)
		month.Needs.From, month.Due = day0-30*96, noon.Add(-time.Hour)
		event.Needs.From, event.Due = day0-10*96, noon.Add(time.Hour)
		event.Needs.To = event.Needs.From + 1000
		items = append(items, month, event)
		twin := item(7)
		twin.Needs, twin.Due = items[4].Needs, items[4].Due
		items = append(items, twin)
		require.NoError(t, s.Build("x", day0, items))
		for i, want := range []int{4, 7, 6, 0, 1, 2, 3, 5} {
			it, ok, err := s.Next(endpoint, noon)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, items[want].ID, it.ID, i)
			require.NoError(t, s.Acknowledge(it.ID, noon))
			s.reopen()
		}
	})
	t.Run("waits after a failed attempt and remembers it at no commit of its own", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1)}))
		before, err := s.Stats()
		require.NoError(t, err)
		later := noon.Add(time.Hour)
		require.NoError(t, s.Tried(item(1).ID, "503", noon, later))
		after, err := s.Stats()
		require.NoError(t, err)
		require.Equal(t, before.Commits, after.Commits)
		s.reopen()
		_, ok, err := s.Next(endpoint, noon)
		require.NoError(t, err)
		require.False(t, ok)
		at, ok := s.NextTime(endpoint)
		require.True(t, ok)
		require.Equal(t, later, at)
		it, ok, err := s.Next(endpoint, later)
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, 1, it.Attempts)
		require.Equal(t, "503", it.LastError)
	})
	t.Run("knows which waiting one was tried last, also when it is opened again", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1), item(2), item(3), item(4)}))
		_, found := s.LastTried(endpoint)
		require.False(t, found)
		for n, minute := range map[int]time.Duration{1: 2, 2: 1, 3: 3} {
			require.NoError(t, s.Tried(item(n).ID, "503", noon.Add(minute*time.Minute), noon))
		}
		require.NoError(t, s.Acknowledge(item(3).ID, noon.Add(4*time.Minute)))
		s.reopen()
		it, found := s.LastTried(endpoint)
		require.True(t, found)
		require.Equal(t, item(1).ID, it.ID)
		require.Equal(t, noon.Add(2*time.Minute), it.LastTried)
		_, found = s.LastTried("https://elsewhere")
		require.False(t, found)
	})
	t.Run("is hastened where it waits too long, and was not tried by that", func(t *testing.T) {
		s := open(t)
		far, near, elsewhere := item(1), item(2), item(3)
		far.NotBefore, near.NotBefore = noon.AddDate(1, 0, 0), noon.Add(time.Minute)
		elsewhere.NotBefore, elsewhere.Endpoint = far.NotBefore, "https://elsewhere"
		require.NoError(t, s.Build("x", day0, []buffer.Item{far, near, elsewhere}))
		s.Hasten(endpoint, noon.Add(time.Hour), noon)
		s.reopen()
		for id, want := range map[string]time.Time{far.ID: noon, near.ID: near.NotBefore, elsewhere.ID: elsewhere.NotBefore} {
			it, _, err := s.Item(id)
			require.NoError(t, err)
			require.Equal(t, want, it.NotBefore)
			require.Zero(t, it.Attempts)
			require.Zero(t, it.LastTried)
		}
	})
	t.Run("sets aside, and lets a person retry or give up", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1), item(2)}))
		for n := 1; n <= 2; n++ {
			require.NoError(t, s.SetAside(item(n).ID, "422 not permitted", noon, event("payload.set_aside")))
		}
		s.reopen()
		_, ok, err := s.Next(endpoint, noon)
		require.NoError(t, err)
		require.False(t, ok)
		backlog, err := s.Backlog(noon)
		require.NoError(t, err)
		require.Equal(t, []buffer.EndpointBacklog{{Endpoint: endpoint, SetAside: 2}}, backlog)
		require.NoError(t, s.Retry(item(1).ID, noon))
		it, ok, err := s.Next(endpoint, noon)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, item(1).Body, it.Body)
		require.EqualValues(t, 1, it.Attempts)
		require.Equal(t, noon, it.LastTried)
		require.NoError(t, s.Acknowledge(it.ID, noon.Add(time.Hour)))
		s.reopen()
		it, _, err = s.Item(it.ID)
		require.NoError(t, err)
		require.EqualValues(t, 2, it.Attempts)
		require.Equal(t, noon.Add(time.Hour), it.LastTried)
		require.NoError(t, s.GiveUp(item(2).ID, "contract ended", noon))
		it, _, err = s.Item(item(2).ID)
		require.NoError(t, err)
		require.EqualValues(t, 1, it.Attempts, "to give up is no attempt")
		require.ErrorIs(t, s.Retry(item(2).ID, noon), buffer.ErrUnknownItem)
		require.ErrorIs(t, s.Acknowledge("no such id", noon), buffer.ErrUnknownItem)
	})
	t.Run("has a queue for each endpoint", func(t *testing.T) {
		s := open(t)
		a, b := item(1), item(2)
		b.Endpoint = "https://network.example"
		require.NoError(t, s.Build("x", day0, []buffer.Item{a, b}))
		backlog, err := s.Backlog(noon)
		require.NoError(t, err)
		require.Len(t, backlog, 2)
		it, ok, err := s.Next(b.Endpoint, noon)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, b.ID, it.ID)
	})
}

func TestContracts(t *testing.T) {
	s := open(t)
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0, Text: []byte("one")}, event("contract.changed")))
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + 96, Text: []byte("two")}))
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + 96, Text: []byte("three")}))
	s.reopen()
	got, err := s.Contracts()
	require.NoError(t, err)
	require.Equal(t, []buffer.ContractVersion{{From: day0, Text: []byte("one")}, {From: day0 + 96, Text: []byte("three")}}, got)
}

func TestContractsThatNeverHeldAreForgotten(t *testing.T) {
	s := open(t)
	for n := range meter.Quarter(4) {
		require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + n*96, Text: []byte{byte(n)}}))
	}
	require.NoError(t, s.ForgetContracts(day0+96, event("contract.changed")))
	s.reopen()
	got, err := s.Contracts()
	require.NoError(t, err)
	require.Equal(t, []buffer.ContractVersion{{From: day0, Text: []byte{0}}, {From: day0 + 96, Text: []byte{1}}}, got)
}

func TestBeginningMovesBack(t *testing.T) {
	s := open(t)
	require.ErrorContains(t, s.BeginEarlier(day0, nil), "begin at ")
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + 50, Text: []byte("one")}))
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + 96, Text: []byte("two")}))
	require.NoError(t, s.Build("day", day0+50, nil))
	require.NoError(t, s.Build("other", day0+51, nil))
	require.ErrorContains(t, s.BeginEarlier(day0+50, []string{"day"}), "does not hold from later")
	require.NoError(t, s.BeginEarlier(day0+10, []string{"day"}, event("handed.over")))
	s.reopen()
	got, err := s.Contracts()
	require.NoError(t, err)
	require.Equal(t, []buffer.ContractVersion{{From: day0 + 10, Text: []byte("one")}, {From: day0 + 96, Text: []byte("two")}}, got)
	marks, err := s.Series()
	require.NoError(t, err)
	require.Equal(t, map[string]meter.Quarter{"day": day0 + 10, "other": day0 + 51}, marks)
	require.NoError(t, s.VerifyJournal())
}

func TestNotes(t *testing.T) {
	s := open(t)
	notes, err := s.Notes()
	require.NoError(t, err)
	require.Empty(t, notes)
	require.NoError(t, s.PutNote(note(2), event("noted")))
	require.NoError(t, s.PutNote(note(1)))
	require.NoError(t, s.PutNote(note(1)))
	s.reopen()
	notes, err = s.Notes()
	require.NoError(t, err)
	require.Equal(t, []buffer.Note{note(1), note(2)}, notes)
	done := note(1)
	done.Done = true
	require.NoError(t, s.PutNote(done))
	notes, err = s.Notes()
	require.NoError(t, err)
	require.Equal(t, []buffer.Note{done, note(2)}, notes)
	for _, n := range []buffer.Note{{}, {ID: "x", At: -1}, {ID: "x", Text: make([]byte, 1<<20)}, {ID: strings.Repeat("x", 129)}} {
		require.Error(t, s.PutNote(n))
	}
}

func TestJournalIsAChain(t *testing.T) {
	s := open(t)
	var hashes []buffer.Hash
	for range 3 {
		require.NoError(t, s.Append(event("a"), event("b")))
		s.reopen()
	}
	var prev buffer.Hash
	require.NoError(t, s.Journal(0, func(e buffer.Entry) bool {
		require.Equal(t, prev, e.Prev)
		require.EqualValues(t, len(hashes)+1, e.Seq)
		require.Equal(t, event("a").Detail, e.Detail)
		prev = e.Hash
		hashes = append(hashes, e.Hash)
		return true
	}))
	require.Len(t, hashes, 6)
	require.NoError(t, s.Journal(4, func(e buffer.Entry) bool {
		require.EqualValues(t, 4, e.Seq)
		require.Equal(t, hashes[2], e.Prev)
		return false
	}))
}

func TestSecondOpenerIsToldWhoHasIt(t *testing.T) {
	s := open(t)
	_, err := buffer.Open(s.path, buffer.Options{})
	require.ErrorIs(t, err, buffer.ErrInUse)
	require.ErrorContains(t, err, "smgw status")
	require.ErrorIs(t, buffer.Check(s.path), buffer.ErrInUse)
}

func TestMethodsOfAClosedStoreSaySo(t *testing.T) {
	s := open(t)
	st := s.Store
	s.close()
	require.ErrorIs(t, st.PutBoundary(reading("main", day0)), buffer.ErrClosed)
	_, err := st.Boundaries("main", day0, day0)
	require.ErrorIs(t, err, buffer.ErrClosed)
	require.NoError(t, st.Close(), "twice")
}

func TestStoreServesManyGoroutines(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 25 {
				it := item(g*1000 + n)
				if err := errors.Join(
					s.PutBoundary(reading("main", day0+meter.Quarter(g*100+n)), event("x")),
					s.Build("x", day0, []buffer.Item{it}),
					s.Tried(it.ID, "x", noon, noon),
					s.Acknowledge(it.ID, noon),
				); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Boundaries("main", day0, day0+1000)
	require.NoError(t, err)
	require.Len(t, got, 100)
}

func TestReadOnlyStoreShowsAndChangesNothing(t *testing.T) {
	path := filepath.Join(fastDir(t), "store.db")
	_, err := buffer.Open(path, buffer.Options{ReadOnly: true})
	require.ErrorIs(t, err, fs.ErrNotExist, "none is begun")
	s, err := buffer.Open(path, buffer.Options{})
	require.NoError(t, err)
	require.NoError(t, s.PutBoundary(reading("main", day0)))
	_, err = buffer.Open(path, buffer.Options{ReadOnly: true})
	require.ErrorIs(t, err, buffer.ErrInUse)
	require.NoError(t, s.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	for range 2 { // side by side
		s, err := buffer.Open(path, buffer.Options{ReadOnly: true})
		require.NoError(t, err)
		defer s.Close()
		_, found, err := s.LastBoundary("main")
		require.NoError(t, err)
		require.True(t, found)
		stats, err := s.Stats()
		require.NoError(t, err)
		require.Positive(t, stats.UsedBytes)
		require.Error(t, s.PutBoundary(reading("main", day0+1)))
		require.Error(t, s.Compact())
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// What is wrong with a store is wrong with its snapshot, and what is right, right.
func TestSnapshotIsTheStore(t *testing.T) {
	s := open(t)
	for q := day0; q < day0+200; q++ {
		require.NoError(t, s.PutBoundary(reading("main", q)))
	}
	require.NoError(t, s.Compact()) // the file that is open has another name since
	path := filepath.Join(fastDir(t), "snapshot.db")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, s.Snapshot(f))
	require.NoError(t, f.Close())
	require.NoError(t, buffer.Check(path))
	copied, err := buffer.Open(path, buffer.Options{ReadOnly: true})
	require.NoError(t, err)
	defer copied.Close()
	readings, err := copied.Boundaries("main", day0, day0+1000)
	require.NoError(t, err)
	require.Len(t, readings, 200)
}
