package buffer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

// previous makes a file as a program of an older schema left it.
func previous(t testing.TB, schema uint64) []byte {
	path := filepath.Join(fastDir(t), "store.db")
	require.NoError(t, os.WriteFile(path, filled(t), 0o600))
	require.NoError(t, buffer.MakeSchema(path, schema))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	return file
}

// requireFilled checks that a store holds what filled put into it, and a program
// of an older schema knew.
func requireFilled(t testing.TB, s *buffer.Store, schema uint64, why ...any) {
	t.Helper()
	minutes, err := s.Minutes("main", noon, noon.Add(day))
	require.NoError(t, err)
	if schema < 2 {
		require.Empty(t, minutes)
	} else {
		require.Len(t, minutes, filledBoundaries, why...)
	}
	notes, err := s.Notes()
	require.NoError(t, err)
	require.Empty(t, notes, why...)
	require.NoError(t, s.VerifyJournal(), why...)
	got, err := s.Boundaries("main", day0, day0+10_000)
	require.NoError(t, err)
	require.Len(t, got, filledBoundaries, why...)
	for n, b := range got {
		require.Equal(t, reading("main", day0+meter.Quarter(n)), b)
	}
	backlog, err := s.Backlog(noon)
	require.NoError(t, err)
	require.Equal(t, filledItems-11, backlog[0].Waiting, why...)
	require.Equal(t, 1, backlog[0].SetAside, why...)
	body, err := s.Body(item(filledItems - 1).ID)
	require.NoError(t, err)
	require.Len(t, body, 1000+(filledItems-1)*200)
	mark, _, err := s.BuiltUpTo("5/NB")
	require.NoError(t, err)
	require.Equal(t, day0+filledItems-1, mark)
	contracts, err := s.Contracts()
	require.NoError(t, err)
	require.Len(t, contracts, 1)
}

func kept(t testing.TB, path string) []string {
	names, err := filepath.Glob(path + ".schema*")
	require.NoError(t, err)
	return names
}

func TestPreviousSchemaIsMigrated(t *testing.T) {
	for schema := uint64(1); schema < buffer.Schema; schema++ {
		t.Run(fmt.Sprint(schema), func(t *testing.T) { testPreviousSchemaIsMigrated(t, schema) })
	}
}

func testPreviousSchemaIsMigrated(t *testing.T, schema uint64) {
	file := previous(t, schema)
	path := filepath.Join(fastDir(t), "store.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	require.NoError(t, os.Chtimes(path, noon, noon))

	look, err := buffer.Open(path, buffer.Options{ReadOnly: true})
	require.NoError(t, err)
	requireFilled(t, look, schema)
	_, err = look.Stats()
	require.NoError(t, err)
	require.NoError(t, look.Close())
	require.Empty(t, kept(t, path), "who only looks changes nothing")

	s, r, err := buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
	require.NoError(t, err)
	require.Nil(t, r, "it is not damaged")
	requireFilled(t, s, schema)
	require.Equal(t, []string{fmt.Sprintf("%s.schema%d-20261122T110000Z", path, schema)}, kept(t, path))
	old, err := os.ReadFile(kept(t, path)[0])
	require.NoError(t, err)
	require.Equal(t, file, old, "the old file was changed")
	require.NoError(t, s.PutMinute(minute("main", filledBoundaries)))
	require.NoError(t, s.PutNote(note(1)))
	require.NoError(t, s.Close())
	require.NoError(t, buffer.Check(path))
	require.NoError(t, buffer.Check(kept(t, path)[0]), "one can go back to it")

	s, _, err = buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
	require.NoError(t, err)
	notes, err := s.Notes()
	require.NoError(t, err)
	require.Equal(t, []buffer.Note{note(1)}, notes)
	require.Empty(t, kept(t, path), "the new one was found sound at a later start")
	var kinds []string
	require.NoError(t, s.Journal(0, func(e buffer.Entry) bool { kinds = append(kinds, e.Kind); return true }))
	require.Equal(t, []string{buffer.EventMigrated, buffer.EventProved}, kinds[len(kinds)-2:])
	require.NoError(t, s.Close())
}

func TestPreviousFileIsKeptWhileTheNewOneIsDamaged(t *testing.T) {
	path := filepath.Join(fastDir(t), "store.db")
	require.NoError(t, os.WriteFile(path, previous(t, buffer.Schema-1), 0o600))
	s, err := buffer.Open(path, buffer.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(b[4*page : 8*page])
	require.NoError(t, os.WriteFile(path, b, 0o600))
	s, r, err := buffer.OpenChecked(path, buffer.Options{}, noon, buffer.Check)
	require.NoError(t, err)
	require.NotNil(t, r)
	require.Len(t, kept(t, path), 1)
	_, err = s.Retain(noon, buffer.Policy{})
	require.NoError(t, err)
	require.Len(t, kept(t, path), 1)
	old := noon.Add(-31 * day)
	require.NoError(t, os.Chtimes(kept(t, path)[0], old, old))
	_, err = s.Retain(noon, buffer.Policy{})
	require.NoError(t, err)
	require.Empty(t, kept(t, path), "what is in it grows old too")
	require.NoError(t, s.Close())
}

// TestMigrationSurvivesEveryFault fails each operation of a migration in turn,
// once or for good, as when power goes there. Before and after the file must be
// whole, of the one schema or the other, and the next opening brings it home.
func TestMigrationSurvivesEveryFault(t *testing.T) {
	d := mountDisk(t)
	runs := 0
	for schema := uint64(1); schema < buffer.Schema; schema++ {
		runs += migrateWithFaults(t, d, schema)
	}
	t.Logf("%d migrations with a failing disk", runs)
	require.Greater(t, runs, 120)
}

func migrateWithFaults(t *testing.T, d *disk, schema uint64) (runs int) {
	file := previous(t, schema)
	for _, fault := range []struct {
		errno syscall.Errno
		how   string
	}{{syscall.EIO, "once"}, {syscall.EIO, "on"}, {syscall.ENOSPC, "on"}} {
		for n, reached := 0, true; reached; n++ {
			runs++
			path := filepath.Join(d.dir, fmt.Sprint(schema, "-", runs, ".db"))
			name := fmt.Sprintf("operation %d fails with %v %s", n, fault.errno, fault.how)
			require.NoError(t, os.WriteFile(path, file, 0o600))
			d.say("fail %d %d %s", n, int(fault.errno), fault.how)
			s, err := buffer.Open(path, buffer.Options{})
			var done int
			fmt.Sscan(d.say("heal"), &done)
			if reached = err != nil || done > n; err == nil {
				require.NoError(t, s.Close())
			}
			require.NoError(t, buffer.Check(path), name)
			if now, _ := os.ReadFile(path); !slices.Equal(now, file) {
				require.Len(t, kept(t, path), 1, name)
			}
			s, err = buffer.Open(path, buffer.Options{})
			require.NoError(t, err, name)
			requireFilled(t, s, schema, name)
			require.NoError(t, s.PutNote(note(0)))
			require.NoError(t, s.Close())
			require.Len(t, kept(t, path), 1, name)
			old, err := os.ReadFile(kept(t, path)[0])
			require.NoError(t, err)
			require.True(t, slices.Equal(file, old), "the old file was changed: %s", name)
			for _, f := range append(kept(t, path), path) {
				require.NoError(t, os.Remove(f))
			}
		}
	}
	return runs
}

// TestMigrationReachesTheMediumInOrder: the new file is whole on the medium
// before it has the name, and the old one's second name before it loses its first.
func TestMigrationReachesTheMediumInOrder(t *testing.T) {
	d := mountDisk(t)
	path := filepath.Join(d.dir, "store.db")
	require.NoError(t, os.WriteFile(path, previous(t, buffer.Schema-1), 0o600))
	d.log()
	s, err := buffer.Open(path, buffer.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	unsynced, linked := false, false
	var order []string
	for _, o := range d.log() {
		switch {
		case (o.Kind == "write" || o.Kind == "truncate") && o.Name == "store.db.new":
			unsynced = true
		case o.Kind == "write" && o.Name == "store.db":
			require.Fail(t, "the old file was written to")
		case o.Kind == "sync" && o.Name == "store.db.new":
			unsynced = false
		case o.Kind == "link":
			order, linked = append(order, "link"), true
		case o.Kind == "sync" && o.Name == "" && linked:
			order = append(order, "sync")
		case o.Kind == "rename":
			require.False(t, unsynced, "the new file got its name before it was on the medium")
			order = append(order, "rename")
		}
	}
	require.Equal(t, "link sync rename sync", strings.Join(order, " "))
}

// Root looks after a gateway whose agent has a user of its own: what it compacts,
// migrates or recovers stays the agent's.
func TestAFileKeepsItsOwnerUnderRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const agents = 12345
	made := func(file []byte) (path string) {
		path = filepath.Join(fastDir(t), "store.db")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		require.NoError(t, os.Chown(path, agents, agents+1))
		return path
	}
	requireKept := func(path string) {
		t.Helper()
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, agents, info.Sys().(*syscall.Stat_t).Uid)
		require.EqualValues(t, agents+1, info.Sys().(*syscall.Stat_t).Gid)
	}
	migrated := made(previous(t, 1))
	s, err := buffer.Open(migrated, buffer.Options{})
	require.NoError(t, err)
	requireKept(migrated)
	require.NoError(t, s.Compact())
	requireKept(migrated)
	require.NoError(t, s.Close())

	damaged := made(filled(t))
	_, err = buffer.Recover(damaged, noon, errors.New("a bit fell"))
	require.NoError(t, err)
	requireKept(damaged)
}
