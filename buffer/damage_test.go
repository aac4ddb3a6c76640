package buffer_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

const page = 4096

// filled makes a store with some of everything and returns its file.
func filled(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(fastDir(t), "store.db")
	s, err := buffer.Open(path, buffer.Options{})
	require.NoError(t, err)
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0, Text: []byte("[contract]")}))
	for q := day0; q < day0+filledBoundaries; q++ {
		require.NoError(t, s.PutBoundary(reading("main", q), event("boundary")))
		require.NoError(t, s.PutMinute(minute("main", int(q-day0))))
	}
	for n := range filledItems {
		it := item(n)
		it.Body = bytes.Repeat([]byte{byte(n)}, 1000+n*200)
		require.NoError(t, s.Build("5/NB", day0+meter.Quarter(n), []buffer.Item{it}, event("payload.built")))
	}
	for n := range filledNotes {
		require.NoError(t, s.PutNote(note(n)))
	}
	for n := range 10 {
		require.NoError(t, s.Acknowledge(item(n).ID, noon, event("payload.acknowledged")))
	}
	require.NoError(t, s.SetAside(item(10).ID, "refused", noon))
	require.NoError(t, s.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

const (
	filledBoundaries = 300
	filledItems      = 30
	filledNotes      = 20
)

// damages are ways to break a file: at every page, and at random.
func damages(file []byte, seed uint64) map[string]func([]byte) []byte {
	all := map[string]func([]byte) []byte{
		"empty meta":   func(b []byte) []byte { clear(b[:2*page]); return b },
		"foreign":      func([]byte) []byte { return bytes.Repeat([]byte("SQLite format 3\x00"), 1000) },
		"tiny":         func([]byte) []byte { return []byte("x") },
		"text":         func([]byte) []byte { return []byte("hello, this is no store\n") },
		"all ones":     func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },
		"all zero":     func(b []byte) []byte { clear(b); return b },
		"other endian": func(b []byte) []byte { b[16], b[19] = b[19], b[16]; return b },
	}
	pages := len(file) / page
	used := 0
	for n := range pages {
		if bytes.Equal(file[n*page:(n+1)*page], make([]byte, page)) {
			continue
		}
		if used++; used > 45 {
			break
		}
		at := n * page
		add := func(name string, do func([]byte)) {
			all[fmt.Sprintf("page %d %s", n, name)] = func(b []byte) []byte { do(b); return b }
		}
		add("zeroed", func(b []byte) { clear(b[at : at+page]) })
		add("half zeroed", func(b []byte) { clear(b[at+page/2 : at+page]) })
		add("copied over the next", func(b []byte) { copy(b[min(at+page, len(b)-page):], b[at:at+page]) })
		add("of another kind", func(b []byte) { b[at+8] ^= 3 })
		add("with a huge count", func(b []byte) { binary.LittleEndian.PutUint16(b[at+10:], 0xffff) })
		add("with a huge overflow", func(b []byte) { binary.LittleEndian.PutUint32(b[at+12:], 0xffffffff) })
		add("with its first offset outside", func(b []byte) { binary.LittleEndian.PutUint32(b[at+16+4:], 0xfffffff0) })
		add("with a child that is itself", func(b []byte) { binary.LittleEndian.PutUint64(b[at+16+8:], uint64(n)) })
	}
	for i := range 60 {
		r := rand.New(rand.NewPCG(uint64(i), seed))
		all[fmt.Sprintf("bit %d", i)] = func(b []byte) []byte {
			b[r.IntN(used*page)] ^= 1 << r.IntN(8)
			return b
		}
	}
	for i := range 20 {
		r := rand.New(rand.NewPCG(uint64(i), seed+1))
		all[fmt.Sprintf("cut %d", i)] = func(b []byte) []byte { return b[:1+r.IntN(used*page)] }
		all[fmt.Sprintf("noise %d", i)] = func(b []byte) []byte {
			at := r.IntN(used * page)
			for j := at; j < min(len(b), at+600); j++ {
				b[j] = byte(r.Uint32())
			}
			return b
		}
	}
	return all
}

// Every damage is either noticed, or did not matter: whatever a store hands out
// afterwards is what was put into it, and a recovered store works.
func TestDamagedFiles(t *testing.T) {
	file := filled(t)
	all := damages(file, seed(t))
	require.GreaterOrEqual(t, len(all), 200)
	noticed, carried := 0, 0
	for name, do := range all {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(fastDir(t), "store.db")
			damaged := do(bytes.Clone(file))
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			s, r, err := buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
			require.NoError(t, err)
			defer func() {
				require.NoError(t, s.Close())
				require.NoError(t, buffer.Check(path))
			}()
			require.NoError(t, s.VerifyJournal())
			got, err := s.Boundaries("main", 0, day0+10_000)
			require.NoError(t, err)
			for _, b := range got {
				require.Equal(t, reading("main", b.Boundary), b)
			}
			minutes, err := s.Minutes("main", noon, noon.Add(30*day))
			require.NoError(t, err)
			for _, r := range minutes {
				require.Equal(t, minute("main", int(r.At.Time.Sub(noon)/time.Minute)), r)
			}
			notes, err := s.Notes()
			require.NoError(t, err)
			for _, n := range notes {
				require.Equal(t, note(int(n.At-day0)), n)
			}
			for it, ok, err := s.Next(item(0).Endpoint, noon); ok; it, ok, err = s.Next(item(0).Endpoint, noon) {
				require.NoError(t, err)
				require.NoError(t, s.Acknowledge(it.ID, noon))
			}
			require.NoError(t, s.PutBoundary(reading("main", day0+5000), event("after")))
			if r == nil {
				require.Len(t, minutes, filledBoundaries)
				require.Len(t, notes, filledNotes)
				require.Len(t, got, filledBoundaries, "the check found nothing, but something is missing")
				return
			}
			noticed++
			carried += len(got)
			aside, err := os.ReadFile(r.SetAside)
			require.NoError(t, err)
			require.True(t, bytes.Equal(damaged, aside), "the damaged file was changed")
			require.Equal(t, path+".damaged-20261122T110000Z", r.SetAside)
			losses, err := s.Losses()
			require.NoError(t, err)
			require.NotEmpty(t, losses)
			told := false
			require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { told = told || e.Kind == buffer.EventRecovered; return true }))
			require.True(t, told)
		})
	}
	t.Logf("%d damages, %d noticed, %.0f of %d boundary readings carried over on average", len(all), noticed, float64(carried)/float64(noticed), filledBoundaries)
}

func TestDamageOfOnePageCostsAtMostThatPage(t *testing.T) {
	file := filled(t)
	for n := 2; n < len(file)/page; n++ {
		b := bytes.Clone(file)
		clear(b[n*page : (n+1)*page])
		path := filepath.Join(fastDir(t), "store.db")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		s, _, err := buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
		require.NoError(t, err)
		got, err := s.Boundaries("main", day0, day0+10_000)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(got), filledBoundaries-60, "page %d", n)
		q, _, err := s.BuiltUpTo("5/NB")
		require.NoError(t, err)
		require.GreaterOrEqual(t, q, day0+filledItems-3, "page %d", n)
		require.NoError(t, s.Close())
	}
}

func TestNewestCommitSurvivesItsMetaPage(t *testing.T) {
	for n := range 2 {
		b := filled(t)
		clear(b[n*page : n*page+100])
		path := filepath.Join(fastDir(t), "store.db")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		s, r, err := buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
		require.NoError(t, err)
		require.NotNil(t, r)
		it, ok, err := s.Item(item(10).ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, buffer.SetAside, it.State, "the last commit")
		require.NoError(t, s.Close())
	}
}

// What is taken back stays so: an older record of the same, on a page that was
// freed since, is not better than the one that holds.
func TestRecoveredStoreKeepsTheNewestOfEach(t *testing.T) {
	s := open(t)
	require.NoError(t, s.PutContract(buffer.ContractVersion{From: day0 + 10, Text: []byte("[contract]")}))
	require.NoError(t, s.PutBoundary(reading("main", day0+20)))
	require.NoError(t, s.PutItems([]buffer.Item{item(1)}, nil))
	require.NoError(t, s.Build("5/NB", day0+10, nil))
	require.NoError(t, s.BeginEarlier(day0, []string{"5/NB"}))
	for _, done := range []bool{true, false} {
		require.NoError(t, s.PutNote(buffer.Note{ID: "late", At: day0, Done: done}))
	}
	s.close()
	b, err := os.ReadFile(s.path)
	require.NoError(t, err)
	body := item(1).Body
	require.NoError(t, os.WriteFile(s.path, bytes.ReplaceAll(b, body, bytes.Repeat([]byte{'x'}, len(body))), 0o600))
	recovered, r, err := buffer.OpenChecked(s.path, buffer.Options{}, noon, buffer.Check)
	require.NoError(t, err)
	require.NotNil(t, r)
	defer recovered.Close()
	notes, err := recovered.Notes()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.False(t, notes[0].Done)
	marks, err := recovered.Series()
	require.NoError(t, err)
	require.Equal(t, map[string]meter.Quarter{"5/NB": day0}, marks)
}

func TestNewerSchemaIsRefusedUntouched(t *testing.T) {
	s := open(t)
	s.close()
	require.NoError(t, buffer.SetSchema(s.path, buffer.Schema+1))
	before, err := os.ReadFile(s.path)
	require.NoError(t, err)
	_, err = buffer.Open(s.path, buffer.Options{})
	require.ErrorIs(t, err, buffer.ErrNewerSchema)
	_, _, err = buffer.OpenChecked(s.path, buffer.Options{}, noon, buffer.Check)
	require.ErrorIs(t, err, buffer.ErrNewerSchema)
	after, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
	require.NoError(t, buffer.SetSchema(s.path, buffer.Schema))
}

func TestCheckSpeaksThroughAnExitStatus(t *testing.T) {
	s := open(t)
	require.NoError(t, buffer.CheckResult(s.path, buffer.CheckStatus(nil), ""))
	for _, want := range []error{buffer.ErrInUse, buffer.ErrNewerSchema} {
		require.ErrorIs(t, buffer.CheckResult(s.path, buffer.CheckStatus(fmt.Errorf("x: %w", want)), "x"), want)
	}
	var damaged *buffer.DamagedError
	require.ErrorAs(t, buffer.CheckResult(s.path, buffer.CheckStatus(&buffer.DamagedError{}), "x"), &damaged)
	require.ErrorAs(t, buffer.CheckResult(s.path, 2, "SIGSEGV"), &damaged, "killed by what it read")
	there := &buffer.DamagedError{Path: s.path, Where: "page 17", Reason: "no: such"}
	require.Equal(t, there, buffer.CheckResult(s.path, buffer.CheckStatus(there), "check store: "+there.Error()), "as if found here")
	require.NotErrorAs(t, buffer.CheckResult(s.path, 1, "permission denied"), &damaged)
}

func TestJournalFindsWhatWasDoneToIt(t *testing.T) {
	for name, do := range map[string]func(path string) error{
		"changed":   func(p string) error { return buffer.ForgeEntry(p, 3) },
		"taken out": func(p string) error { return buffer.DropEntry(p, 3) },
		"swapped":   func(p string) error { return buffer.SwapEntries(p, 3, 4) },
		"cut off":   func(p string) error { return buffer.DropEntry(p, 6) },
		"first":     func(p string) error { return buffer.DropEntry(p, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(fastDir(t), "store.db")
			s, err := buffer.Open(path, buffer.Options{})
			require.NoError(t, err)
			for n := range 6 {
				require.NoError(t, s.Append(buffer.Event{At: noon.Add(time.Duration(n) * time.Hour), Kind: fmt.Sprint("event ", n)}))
			}
			require.NoError(t, s.VerifyJournal())
			require.NoError(t, s.Close())
			require.NoError(t, do(path))
			s, err = buffer.Open(path, buffer.Options{})
			require.NoError(t, err)
			var broken *buffer.JournalError
			require.ErrorAs(t, s.VerifyJournal(), &broken)
			t.Log(broken)
			require.NoError(t, s.Close())
		})
	}
}
