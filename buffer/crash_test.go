package buffer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

// TestPowerCuts records every write and sync of a workload, and then makes the
// files that a power cut could leave at each point of it: of what was written
// since the last sync nothing, everything, each alone, random subsets, and torn
// at a sector. The store must open from each and hold all that was acknowledged.
func TestPowerCuts(t *testing.T) {
	d := mountDisk(t)
	s, err := buffer.Open(filepath.Join(d.dir, "store.db"), buffer.Options{})
	require.NoError(t, err)
	d.say("mark begun")
	const steps = 60
	for n := range steps {
		require.NoError(t, s.PutBoundary(reading("main", day0+meter.Quarter(n)), event("boundary")))
		d.say("mark boundary %d", n)
		if n%3 == 0 && n > 0 {
			d.say("mark acknowledged %d", n-3) // by the last step, and on flash with this one's commit
		}
		if n%3 == 0 {
			it := item(n)
			it.Body = bytes.Repeat([]byte{byte(n)}, 100+n*150)
			require.NoError(t, s.Build("x", day0+meter.Quarter(n), []buffer.Item{it}, event("built")))
			d.say("mark built %d", n)
		}
		if n%5 == 0 {
			require.NoError(t, s.PutNote(note(n), event("noted")))
			d.say("mark noted %d", n)
		}
		if n%3 == 2 {
			require.NoError(t, s.Acknowledge(item(n-2).ID, noon, event("acknowledged")))
		}
	}
	require.NoError(t, s.Close())

	c := &cutter{t: t, path: filepath.Join(fastDir(t), "cut.db"), boundary: -1, built: -1, noted: -1, acknowledged: -1, r: rand.New(rand.NewPCG(seed(t), 7))}
	for _, o := range d.log() {
		switch o.Kind {
		case "mark":
			var what string
			var n int
			fmt.Sscan(o.Name, &what, &n)
			switch what {
			case "begun":
				c.begun = true
			case "boundary":
				c.boundary = n
			case "built":
				c.built = n
			case "noted":
				c.noted = n
			case "acknowledged":
				c.acknowledged = n
			}
			c.cut()
		case "write", "truncate":
			c.pending = append(c.pending, o)
			c.cut()
		case "sync":
			if o.Name == "" {
				continue // the folder's
			}
			c.durable = apply(c.durable, c.pending...)
			c.pending = nil
			c.cut()
		}
	}
	t.Logf("%d states after a power cut", c.states)
	require.GreaterOrEqual(t, c.states, 2000)
}

type cutter struct {
	t                                    testing.TB
	path                                 string
	durable                              []byte
	pending                              []op // since the last sync
	begun                                bool
	boundary, built, noted, acknowledged int // what was acknowledged last
	r                                    *rand.Rand
	states                               int
}

func apply(b []byte, ops ...op) []byte {
	b = bytes.Clone(b)
	for _, o := range ops {
		if o.Kind == "truncate" {
			b = resize(b, o.Off)
		} else {
			b = write(b, o.Off, o.Data)
		}
	}
	return b
}

// cut tries the states that are possible here. Before the store has its name
// nobody looks at the file.
func (c *cutter) cut() {
	if !c.begun {
		return
	}
	c.try(c.durable)
	if len(c.pending) == 0 {
		return
	}
	c.try(apply(c.durable, c.pending...))
	if len(c.pending) > 1 {
		for _, o := range c.pending {
			c.try(apply(c.durable, o))
		}
		for range 3 {
			var some []op
			for _, o := range c.pending {
				if c.r.IntN(2) == 0 {
					some = append(some, o)
				}
			}
			c.try(apply(c.durable, some...))
		}
	}
	// The last write reached the medium only in part: sectors before or after a place.
	last, before := c.pending[len(c.pending)-1], c.pending[:len(c.pending)-1]
	if sectors := len(last.Data) / 512; last.Kind == "write" && sectors > 1 {
		at := 512 * (1 + c.r.IntN(sectors-1))
		c.try(apply(apply(c.durable, before...), op{Kind: "write", Off: last.Off, Data: last.Data[:at]}))
		c.try(apply(apply(c.durable, before...), op{Kind: "write", Off: last.Off + int64(at), Data: last.Data[at:]}))
	}
}

func (c *cutter) try(state []byte) {
	t := c.t
	c.states++
	require.NoError(t, os.WriteFile(c.path, state, 0o600))
	s, err := buffer.Open(c.path, buffer.Options{})
	require.NoError(t, err, "state %d", c.states)
	require.NoError(t, s.VerifyJournal())
	got, err := s.Boundaries("main", day0, day0+1000)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(got), c.boundary+1, "state %d", c.states)
	for n, b := range got {
		require.Equal(t, reading("main", day0+meter.Quarter(n)), b)
	}
	notes, err := s.Notes()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(notes), (c.noted+5)/5, "state %d", c.states)
	for n, have := range notes {
		require.Equal(t, note(n*5), have)
	}
	for n := 0; n <= c.built; n += 3 {
		it, ok, err := s.Item(item(n).ID)
		require.NoError(t, err)
		require.True(t, ok, "state %d: item %d", c.states, n)
		if n <= c.acknowledged {
			require.Equal(t, buffer.Acknowledged, it.State)
		} else if it.State == buffer.Waiting {
			body, err := s.Body(it.ID)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat([]byte{byte(n)}, 100+n*150), body)
		}
	}
	require.NoError(t, s.Close())
}
