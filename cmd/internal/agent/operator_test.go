package agent_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/sim"
	"smgw/tls/authority"
	"smgw/tls/identity"
)

// roofedText is the household that has most rows: of class B, with a roof. All of
// it goes to one head-end.
var roofedText = regexp.MustCompile(`, endpoint = "[^"]*"`).ReplaceAllString(homeText+roofText, "")

// operator is a metering point operator: a head-end, a real one with TLS and a
// store that syncs, and what makes gateways known to it.
type operator struct {
	dir     string
	pki     *authority.Authority
	headend *headend.HeadEnd
}

func newOperator(t testing.TB, dir string) *operator {
	t.Helper()
	pki, err := authority.Create(filepath.Join(dir, "pki"))
	require.NoError(t, err)
	key, chain, err := pki.HeadEnd([]string{"127.0.0.1"}, authority.Sound)
	require.NoError(t, err)
	m := &operator{dir: dir, pki: pki}
	require.NoError(t, headend.Install(m.books(), key, chain, pki.Roots()))
	m.headend, err = headend.Open(headend.Options{Dir: m.books(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.headend.Close()) })
	return m
}

func (m *operator) books() string { return filepath.Join(m.dir, "headend") }

// gateway is one of an operator: what outlives its agents.
type gateway struct {
	config *config.Config
	papers *agent.Papers
	store  *buffer.Store
	home   *sim.Household
	clock  *agent.SteppedClock
}

// gateway is a new one, in a household that is roofed.
func (m *operator) gateway(t testing.TB, id, endpoint string, home *sim.Household) *gateway {
	t.Helper()
	state, file := filepath.Join(m.dir, id), filepath.Join(m.dir, id+".toml")
	require.NoError(t, identity.Create(filepath.Join(state, "identity"), id, false))
	issued, err := m.pki.Enrol(filepath.Join(state, "identity"))
	require.NoError(t, err)
	text := fmt.Sprintf("[gateway]\nid = %q\nstate_dir = %q\n[[meter]]\nport = \"/dev/reader\"\n[headend]\nendpoint = %q\n", id, state, endpoint) + roofedText
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	_, err = headend.Enrol(m.books(), id, issued, file)
	require.NoError(t, err)
	g := &gateway{home: home, clock: agent.NewSteppedClock(home.Since())}
	g.config, err = config.Load(file)
	require.NoError(t, err)
	g.papers, err = agent.OpenPapers(g.config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(g.papers.Close)
	g.store, err = buffer.Open(agent.StorePath(g.config), buffer.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.store.Close()) })
	return g
}

// play lets the agent read the meter from one instant to another.
func (g *gateway) play(t testing.TB, from, until time.Time) {
	t.Helper()
	g.agent(t, &stream{meter: sim.NewMeter(g.home, sim.Models[0], sim.Models[0].Device), next: from, until: until})()
}

// agent is one over the gateway's store that reads a stream.
func (g *gateway) agent(t testing.TB, s *stream) (run func()) {
	own, err := g.papers.Look()
	require.NoError(t, err)
	a, err := agent.New(agent.Options{
		Config: g.config, Store: g.store, Signer: own.Signature.Signer, KeyID: own.Signature.KeyID(), Papers: g.papers, Client: g.papers,
		Lamps: &lamps{}, Clock: g.clock, Log: slog.New(slog.DiscardHandler), InStep: true,
		Source: func(string) (meter.Source, error) { return s, nil },
	})
	require.NoError(t, err)
	return func() { require.NoError(t, a.Run(t.Context())) }
}

// stream is a recording of a telegram each pause that is made while it is read.
type stream struct {
	meter       *sim.Meter
	next, until time.Time
	pause       time.Duration      // 0: a minute
	before      func(at time.Time) // called before each telegram, when all before it are read; nil: not
	rest        []byte
}

func (s *stream) Open(context.Context) (io.ReadCloser, error) { return io.NopCloser(s), nil }
func (s *stream) Live() bool                                  { return false }
func (s *stream) String() string                              { return "stream" }

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.next.After(s.until) {
			return 0, io.EOF
		}
		if s.before != nil {
			s.before(s.next)
		}
		s.rest = s.meter.AppendTelegram(s.rest[:0], s.next)
		s.next = s.next.Add(cmp.Or(s.pause, time.Minute))
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
