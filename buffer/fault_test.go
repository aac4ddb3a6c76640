package buffer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

// TestFailingDisk fails each operation of a workload in turn: write, sync,
// grow, open, create, rename. Some call must report it, the store must go on
// when the fault is gone, and nothing that was acknowledged may be missing.
func TestFailingDisk(t *testing.T) {
	d := mountDisk(t)
	count := 1 << 30
	run := 0
	for _, fault := range []struct {
		errno syscall.Errno
		how   string
	}{{syscall.EIO, "once"}, {syscall.ENOSPC, "on"}, {syscall.EROFS, "on"}} {
		for n := 0; n < count; n++ {
			run++
			path := filepath.Join(d.dir, fmt.Sprint(run, ".db"))
			name := fmt.Sprintf("operation %d fails with %v", n, fault.errno)
			d.say("fail %d %d %s", n, int(fault.errno), fault.how)
			w := &faulty{t: t, path: path, name: name, heal: func() { count = min(count, 1<<30); d.say("heal") }}
			w.run()
			if w.errors == 0 {
				// No operation n any more, or nobody needed it.
				var done int
				fmt.Sscan(d.say("heal"), &done)
				if done <= n {
					break
				}
			} else if fault.errno == syscall.ENOSPC {
				require.ErrorIs(t, w.first, buffer.ErrFull, name)
			}
			d.say("heal")
			w.check()
			require.NoError(t, os.Remove(path))
		}
	}
	t.Logf("%d runs with a failing disk", run)
	require.Greater(t, run, 150)
}

// faulty does its steps one after the other. When one fails, the fault is
// taken away only after the next three were tried too, and then all that
// failed are done again: as an agent does that goes on reading.
type faulty struct {
	t      testing.TB
	path   string
	name   string
	heal   func()
	store  *buffer.Store
	errors int
	first  error
}

func (w *faulty) run() {
	var again []func() error
	tries := 0
	for _, step := range w.steps() {
		err := step()
		if err != nil {
			w.errors++
			if w.first == nil {
				w.first = err
			}
			again = append(again, step)
		} else if len(again) > 0 {
			again = append(again, step) // once more does no harm
		}
		if len(again) > 0 {
			if tries++; tries == 4 {
				break
			}
		}
	}
	if w.errors == 0 {
		return
	}
	w.heal()
	for _, step := range w.steps() {
		require.NoError(w.t, step(), w.name)
	}
}

func (w *faulty) steps() []func() error {
	with := func(fn func() error) func() error {
		return func() error {
			if w.store == nil {
				s, err := buffer.Open(w.path, buffer.Options{})
				if err != nil {
					return err
				}
				w.store = s
			}
			return fn()
		}
	}
	put := func(from, to meter.Quarter) func() error {
		return with(func() error {
			for q := from; q < to; q++ {
				if err := w.store.PutBoundary(reading("main", q)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	big := item(1)
	big.Body = make([]byte, 60_000) // the file must grow for it
	return []func() error{
		put(day0, day0+3),
		with(func() error { return w.store.Build("x", day0+3, []buffer.Item{item(0), big}, event("built")) }),
		with(func() error { return w.store.Acknowledge(item(0).ID, noon, event("acknowledged")) }),
		put(day0+3, day0+5),
		with(func() error { return w.store.Compact() }),
		put(day0+5, day0+16),
		with(func() error { err := w.store.Close(); w.store = nil; return err }),
	}
}

func (w *faulty) check() {
	require.NoError(w.t, buffer.Check(w.path), w.name)
	s, err := buffer.Open(w.path, buffer.Options{})
	require.NoError(w.t, err, w.name)
	defer s.Close()
	require.NoError(w.t, s.VerifyJournal(), w.name)
	got, err := s.Boundaries("main", day0, day0+100)
	require.NoError(w.t, err)
	require.Len(w.t, got, 16, w.name)
	it, ok, err := s.Item(item(0).ID)
	require.NoError(w.t, err)
	require.True(w.t, ok, w.name)
	require.Equal(w.t, buffer.Acknowledged, it.State, w.name)
	body, err := s.Body(item(1).ID)
	require.NoError(w.t, err, w.name)
	require.Len(w.t, body, 60_000)
}
