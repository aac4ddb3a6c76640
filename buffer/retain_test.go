package buffer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

const day = 24 * time.Hour

func TestRetention(t *testing.T) {
	t.Run("erases what is old and nothing waits for", func(t *testing.T) {
		s := open(t)
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+200*96, reading))
		now := (day0 + 200*96).Time()
		require.NoError(t, s.Build("x", day0+200*96, nil))
		r, err := s.Retain(now, buffer.Policy{History: 100 * day})
		require.NoError(t, err)
		require.EqualValues(t, 100*96, r.Boundaries)
		first, _, err := s.FirstBoundary("main")
		require.NoError(t, err)
		require.Equal(t, day0+100*96, first.Boundary)
		r, err = s.Retain(now, buffer.Policy{History: 100 * day})
		require.NoError(t, err)
		require.Zero(t, r.Boundaries)
	})
	t.Run("keeps what an item or a series needs, however old", func(t *testing.T) {
		s := open(t)
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+200*96, reading))
		it := item(1)
		it.Needs = buffer.Span{Meter: "main", From: day0 + 96, To: day0 + 192}
		require.NoError(t, s.Build("daily", day0+150*96, []buffer.Item{it}))
		require.NoError(t, s.Build("monthly", day0+50*96, nil))
		for _, want := range []meter.Quarter{day0 + 96, day0 + 50*96, day0 + 150*96} {
			_, err := s.Retain((day0 + 200*96).Time(), buffer.Policy{History: day})
			require.NoError(t, err)
			first, _, err := s.FirstBoundary("main")
			require.NoError(t, err)
			require.Equal(t, want, first.Boundary)
			switch want {
			case day0 + 96:
				require.NoError(t, s.Acknowledge(it.ID, noon))
			case day0 + 50*96:
				require.NoError(t, s.EndSeries("monthly"))
			}
		}
	})
	t.Run("keeps a month before what is noted, until the note is done", func(t *testing.T) {
		s := open(t)
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+200*96, reading))
		require.NoError(t, s.Build("x", day0+200*96, nil))
		late := buffer.Note{ID: "late", At: day0 + 40*96}
		require.NoError(t, s.PutNote(late))
		for _, want := range []meter.Quarter{day0 + 9*96, day0 + 199*96} {
			_, err := s.Retain((day0 + 200*96).Time(), buffer.Policy{History: day})
			require.NoError(t, err)
			first, _, err := s.FirstBoundary("main")
			require.NoError(t, err)
			require.Equal(t, want, first.Boundary)
			late.Done = true
			require.NoError(t, s.PutNote(late))
		}
	})
	t.Run("remembers an item for as long after it was made as after it was settled, whatever clock settled it", func(t *testing.T) {
		s := open(t)
		it := item(1)
		require.NoError(t, s.Build("x", day0, []buffer.Item{it}))
		require.NoError(t, s.Acknowledge(it.ID, time.Unix(0, 0)))
		for _, now := range []time.Time{it.Created.Add(day), it.Created.Add(buffer.EvidenceCeiling)} {
			_, err := s.Retain(now, buffer.Policy{})
			require.NoError(t, err)
			_, found, err := s.Item(it.ID)
			require.NoError(t, err)
			require.True(t, found, "at %s", now)
		}
		r, err := s.Retain(it.Created.Add(buffer.EvidenceCeiling+day), buffer.Policy{})
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Items)
	})
	t.Run("drops at the legal ceiling what nobody took, and says so", func(t *testing.T) {
		s := open(t)
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+10, reading))
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1)}))
		r, err := s.Retain(time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC), buffer.Policy{})
		require.NoError(t, err)
		require.Zero(t, r.Expired)
		r, err = s.Retain(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), buffer.Policy{})
		require.NoError(t, err)
		require.EqualValues(t, 11, r.Expired)
		losses, err := s.Losses()
		require.NoError(t, err)
		require.Len(t, losses, 2)
		require.Equal(t, buffer.LossExpired, losses[0].Kind)
		require.NoError(t, s.LossesTold(losses[1].Seq))
		losses, err = s.Losses()
		require.NoError(t, err)
		require.Empty(t, losses)
	})
	t.Run("cuts the journal's old end with a signed anchor, and the rest verifies", func(t *testing.T) {
		s := open(t)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		for n := range 200 {
			require.NoError(t, s.Append(buffer.Event{At: noon.Add(time.Duration(n) * day), Kind: "x"}))
		}
		r, err := s.Retain(noon.Add(200*day), buffer.Policy{Key: key})
		require.NoError(t, err)
		require.EqualValues(t, 110, r.Entries)
		require.NoError(t, s.VerifyJournal())
		a, err := s.Anchor()
		require.NoError(t, err)
		require.EqualValues(t, 110, a.Seq)
		require.NoError(t, a.Verify(&key.PublicKey))
		a.Seq--
		require.Error(t, a.Verify(&key.PublicKey))
		require.NoError(t, s.Append(event("after")))
		s.reopen()
		require.NoError(t, s.VerifyJournal())
		n := 0
		require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { n++; return true }))
		require.Equal(t, 91, n)
	})
	t.Run("forgets ids of settled items with the evidence", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.Build("x", day0, []buffer.Item{item(1), item(2)}))
		require.NoError(t, s.Acknowledge(item(1).ID, noon))
		_, err := s.Retain(noon.Add(89*day), buffer.Policy{})
		require.NoError(t, err)
		_, ok, err := s.Item(item(1).ID)
		require.NoError(t, err)
		require.True(t, ok)
		r, err := s.Retain(noon.Add(91*day), buffer.Policy{})
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Items)
		_, ok, err = s.Item(item(2).ID)
		require.NoError(t, err)
		require.True(t, ok, "not acknowledged")
	})
	t.Run("erases done notes with the evidence, others at the legal ceiling", func(t *testing.T) {
		s := open(t)
		for n := range 3 { // the first is done
			require.NoError(t, s.PutNote(note(n)))
		}
		left := func(now time.Time) (ids []string) {
			_, err := s.Retain(now, buffer.Policy{})
			require.NoError(t, err)
			notes, err := s.Notes()
			require.NoError(t, err)
			for _, n := range notes {
				ids = append(ids, n.ID)
			}
			return ids
		}
		require.Len(t, left(day0.Time().Add(90*day)), 3)
		require.Equal(t, []string{note(1).ID, note(2).ID}, left(day0.Time().Add(91*day)))
		require.Len(t, left(time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC)), 2)
		require.Empty(t, left(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
	})
	t.Run("erases a contract that ended before all that is kept of the history", func(t *testing.T) {
		s := open(t)
		for n := range meter.Quarter(3) {
			require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + n*100*96, Text: []byte{byte(n)}}))
		}
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+10, reading))
		require.NoError(t, s.Build("monthly", day0+50*96, nil))
		first := func(now time.Time) meter.Quarter {
			_, err := s.Retain(now, buffer.Policy{History: 150 * day})
			require.NoError(t, err)
			versions, err := s.Contracts()
			require.NoError(t, err)
			return versions[0].From
		}
		require.NoError(t, s.PutBoundary(reading("main", day0+250*96)))
		require.Equal(t, day0, first((day0 + 251*96).Time()), "a series is not built beyond it yet")
		require.NoError(t, s.Build("monthly", day0+150*96, nil))
		require.Equal(t, day0, first((day0 + 250*96).Time()))
		require.Equal(t, day0+100*96, first((day0 + 251*96).Time()))
		require.Equal(t, day0+100*96, first(time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC)), "a series still needs it")
		require.Equal(t, day0+200*96, first(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)), "the legal ceiling")
	})
	t.Run("refuses to keep more than the ceilings", func(t *testing.T) {
		s := open(t)
		_, err := s.Retain(noon, buffer.Policy{History: buffer.HistoryCeiling + 1})
		require.Error(t, err)
		_, err = s.Retain(noon, buffer.Policy{Evidence: buffer.EvidenceCeiling + 1})
		require.Error(t, err)
	})
}

// Five years in a gateway's life, a commit for each boundary: what is kept stays
// within its times, the file stops growing, and a day costs as many bytes as at
// first. Under the race detector and on emulated boards all but one day in ten is
// filled in at once; BUFFER_LONG does every day in every case.
func TestFiveYears(t *testing.T) {
	if testing.Short() {
		t.Skip("five years take some seconds")
	}
	every := 1
	if (raceDetector || runtime.GOARCH == "arm") && os.Getenv("BUFFER_LONG") == "" {
		every = 10
	}
	s := open(t)
	h := &household{store: s, q: day0}
	var sizes, costs []int64
	compactions := 0
	for d := range 5 * 365 {
		before := written(t)
		if d%every == 0 {
			h.day()
		} else {
			require.NoError(t, buffer.Fill(s.Store, "main", h.q, h.q+96, reading))
			require.NoError(t, s.Build("daily", h.q, []buffer.Item{h.item()}))
			h.q += 96
			h.deliver()
		}
		cost := written(t) - before
		if d == every { // of those with commits the first that is not also the first of the file
			costs = append(costs, cost)
		}
		r, err := s.Retain(h.q.Time(), buffer.Policy{})
		require.NoError(t, err)
		if r.Compacted {
			compactions++
		}
		if d > 0 && d%360 == 0 { // a day with commits, in every case
			costs = append(costs, cost)
			info, err := os.Stat(s.path)
			require.NoError(t, err)
			sizes = append(sizes, info.Size())
			first, _, err := s.FirstBoundary("main")
			require.NoError(t, err)
			require.GreaterOrEqual(t, first.Boundary.Time(), h.q.Time().Add(-buffer.HistoryCeiling))
			oldest := time.Time{}
			require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { oldest = e.At; return false }))
			require.GreaterOrEqual(t, oldest, h.q.Time().Add(-buffer.EvidenceCeiling))
			require.NoError(t, s.VerifyJournal())
		}
	}
	t.Log("file at the end of each year:", sizes, "compactions:", compactions)
	t.Log("bytes of a day, the first and at the end of each year:", costs)
	require.Less(t, compactions, 10, "each writes the whole file")
	require.LessOrEqual(t, sizes[4], sizes[2]+sizes[2]/5)
	require.Less(t, costs[len(costs)-1], costs[0]+costs[0]/4)
}

// Sixty days without a head-end, and then it is back.
func TestDrainedBacklogGivesItsSpaceBack(t *testing.T) {
	s := open(t)
	h := &household{store: s, q: day0}
	size := func() int64 {
		info, err := os.Stat(s.path)
		require.NoError(t, err)
		return info.Size()
	}
	live := func(days int, deliver bool) {
		for range days {
			require.NoError(t, buffer.Fill(s.Store, "main", h.q, h.q+96, reading))
			h.q += 96
			var items []buffer.Item
			for range 20 {
				it := h.item()
				it.Body = make([]byte, 3000)
				items = append(items, it)
			}
			require.NoError(t, s.Build("daily", h.q, items))
			if deliver {
				h.deliver()
			}
			_, err := s.Retain(h.q.Time(), buffer.Policy{History: 300 * day, Evidence: 30 * day})
			require.NoError(t, err)
		}
	}
	require.NoError(t, buffer.Fill(s.Store, "main", h.q-300*96, h.q, reading))
	live(60, true)
	steady := size()
	live(60, false)
	full := size()
	live(60, true)
	t.Logf("%d bytes before, %d at the end of the outage, %d after", steady, full, size())
	require.Greater(t, full, steady+steady/2)
	require.LessOrEqual(t, size(), steady+steady/5)
}

func TestFullStore(t *testing.T) {
	t.Run("lets acknowledged quarter hours go first, and loses nothing", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, s.Build("x", day0, nil))
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+12_000, reading))
		require.NoError(t, s.Build("x", day0+12_000, nil))
		h := &household{store: s, q: day0 + 12_000}
		for h.q < day0+14_000 {
			for range 96 {
				require.NoError(t, s.PutBoundary(reading("main", h.q)))
				h.q++
			}
			it := h.item()
			require.NoError(t, s.Build("x", h.q, []buffer.Item{it}))
			require.NoError(t, s.Acknowledge(it.ID, noon))
		}
		losses, err := s.Losses()
		require.NoError(t, err)
		require.Empty(t, losses)
		got, err := s.Boundaries("main", day0, h.q)
		require.NoError(t, err)
		require.Equal(t, reading("main", h.q-1), got[len(got)-1])
		require.Greater(t, got[0].Boundary, day0)
		require.Len(t, got, int(h.q-got[0].Boundary), "no hole")
		require.LessOrEqual(t, fileSize(t, s.path), int64(buffer.MinLimit+1300<<10))
	})
	t.Run("loses unacknowledged items last, the oldest first, and reports each", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, s.Build("x", day0, nil))
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+2000, reading))
		const made = 100
		for n := range made {
			it := item(n)
			it.Created = noon.Add(time.Duration(n) * time.Minute)
			it.Needs = buffer.Span{Meter: "main", From: day0 + 1900, To: day0 + 1999}
			it.Body = make([]byte, 20_000)
			require.NoError(t, s.Build("x", day0+2000, []buffer.Item{it}))
		}
		losses, err := s.Losses()
		require.NoError(t, err)
		require.NotEmpty(t, losses)
		st, err := s.Stats()
		require.NoError(t, err)
		require.EqualValues(t, made, int(st.Waiting)+len(losses))
		for n, l := range losses {
			require.Equal(t, item(n).ID, l.Subject)
			require.Equal(t, buffer.LossFull, l.Kind)
			require.Equal(t, (day0 + 1900).Time(), l.From)
		}
		first, _, err := s.FirstBoundary("main")
		require.NoError(t, err)
		require.GreaterOrEqual(t, first.Boundary, day0+1900, "went before any item")
		got, err := s.Boundaries("main", day0+1900, day0+1999)
		require.NoError(t, err)
		require.Len(t, got, 100, "needed by items")
		require.NoError(t, s.VerifyJournal())
	})
	t.Run("dates what gave way by what happened, and not by what it is about", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		told := noon.AddDate(0, 0, 30)
		for n := 0; ; n++ {
			it := item(n)
			it.Body = make([]byte, 20_000)
			require.NoError(t, s.PutItems([]buffer.Item{it}, nil))
			ahead := buffer.Note{ID: fmt.Sprint(n), At: meter.QuarterOf(noon.AddDate(1, 0, 0)), Text: make([]byte, 20_000)}
			require.NoError(t, s.PutItems(nil, []buffer.Note{ahead}, buffer.Event{At: told, Kind: "told"}))
			losses, err := s.Losses()
			require.NoError(t, err)
			if len(losses) > 0 {
				require.False(t, losses[0].At.After(told), losses[0].At)
				break
			}
		}
	})
	t.Run("drops quarter hours that nothing was built from only when nothing else is left", func(t *testing.T) {
		s := openWith(t, buffer.Options{Limit: buffer.MinLimit})
		require.NoError(t, buffer.Fill(s.Store, "main", day0, day0+12_000, reading))
		for q := day0 + 12_000; q < day0+14_000; q++ {
			require.NoError(t, s.PutBoundary(reading("main", q)))
		}
		losses, err := s.Losses()
		require.NoError(t, err)
		require.NotEmpty(t, losses)
		var lost int64
		for _, l := range losses {
			lost += l.Count
		}
		got, err := s.Boundaries("main", day0, day0+14_000)
		require.NoError(t, err)
		require.EqualValues(t, 14_000, int64(len(got))+lost)
		require.Equal(t, day0.Time(), losses[0].From)
		require.Equal(t, got[0].Boundary.Time(), losses[len(losses)-1].To)
	})
}

func fileSize(t testing.TB, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}
