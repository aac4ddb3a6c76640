package agent_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/tls/authority"
	"smgw/tls/deliver"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

// enrolled makes a gateway's identity where a configuration wants it, and
// returns what issues its certificates.
func enrolled(t *testing.T, c *config.Config) *authority.Authority {
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	require.NoError(t, identity.Create(agent.IdentityDir(c), c.Gateway.ID, false))
	enrol(t, pki, c)
	return pki
}

// openPapers has the next agents sign and deliver with the papers in the folder.
func (b *bench) openPapers() {
	b.t.Helper()
	var err error
	b.papers, err = agent.OpenPapers(b.config, slog.New(slog.DiscardHandler))
	require.NoError(b.t, err)
	b.t.Cleanup(b.papers.Close)
	own, _ := b.papers.Look()
	b.key = own.Signature.Signer.(*ecdsa.PrivateKey)
}

func enrol(t *testing.T, pki *authority.Authority, c *config.Config) {
	_, err := pki.Enrol(agent.IdentityDir(c))
	require.NoError(t, err)
}

func serial(t *testing.T, c *config.Config) string {
	id, err := identity.Load(agent.IdentityDir(c))
	require.NoError(t, err)
	return id.TLS.Certificate().SerialNumber.String()
}

func spoil(t *testing.T, c *config.Config) {
	require.NoError(t, os.WriteFile(filepath.Join(agent.IdentityDir(c), identity.TLS.CertificateFile()), []byte("no certificate"), 0o644))
}

// The head-end sees a renewed certificate with the next delivery, though the
// connection of the one before was kept; one that is broken changes nothing and
// is said once.
func TestRenewedCertificateIsUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pki := enrolled(t, b.config)
	key, chain, err := pki.HeadEnd([]string{"127.0.0.1"}, authority.Sound)
	require.NoError(t, err)
	own, err := tls.X509KeyPair(chain, key)
	require.NoError(t, err)
	first, err := identity.Load(agent.IdentityDir(b.config))
	require.NoError(t, err)
	var seen []string
	headEnd := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.TLS.PeerCertificates[0].SerialNumber.String())
		w.WriteHeader(http.StatusCreated)
	}))
	headEnd.TLS = profile.Server(first.Roots, profile.Fixed(own))
	headEnd.TLS.Certificates = []tls.Certificate{own} // or httptest has one of its own
	headEnd.EnableHTTP2 = true
	headEnd.StartTLS()
	defer headEnd.Close()

	log := &bytes.Buffer{}
	papers, err := agent.OpenPapers(b.config, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	defer papers.Close()
	put := func() {
		result := papers.Put(t.Context(), headEnd.URL, strings.Repeat("0", 32), []byte("payload"))
		require.Equal(t, deliver.Stored, result.Outcome, "%v", result.Err)
	}
	put()
	before := serial(t, b.config)
	enrol(t, pki, b.config)
	put()
	after := serial(t, b.config)
	require.NotEqual(t, before, after)
	require.Equal(t, []string{before, after}, seen)

	spoil(t, b.config)
	put()
	put()
	require.Equal(t, []string{before, after, after, after}, seen, "those from before hold on")
	require.Equal(t, 1, strings.Count(log.String(), "cannot be used"), log)
	_, bad := papers.Look()
	require.ErrorContains(t, bad, identity.TLS.CertificateFile())

	// Another gateway's are no renewal either.
	other := t.TempDir()
	require.NoError(t, identity.Create(other, "ESMG0000000002", false))
	_, err = pki.Enrol(other)
	require.NoError(t, err)
	for _, e := range []string{identity.TLS.KeyFile(), identity.TLS.CertificateFile(), identity.Signature.KeyFile(), identity.Signature.CertificateFile()} {
		text, err := os.ReadFile(filepath.Join(other, e))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(agent.IdentityDir(b.config), e), text, 0o600))
	}
	put()
	require.Equal(t, after, seen[len(seen)-1])
	_, bad = papers.Look()
	require.ErrorContains(t, bad, "ESMG0000000002")
}

// The agent says that certificates in its folder cannot be used, and stops
// saying it when they can; status and signatures follow what holds.
func TestAgentTellsOfCertificatesThatItCannotUse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pki := enrolled(t, b.config)
	b.openPapers()

	broken, whole := began.AddDays(1).At(10, 0), began.AddDays(1).At(11, 0)
	var told []time.Time
	b.lamps.shown = func(causes []board.Cause) {
		now := b.clock.Now().Time
		if now.Equal(broken) {
			spoil(t, b.config)
		} else if now.Equal(whole) {
			enrol(t, pki, b.config)
		}
		if slices.Contains(causes, board.CertificateEnding) {
			told = append(told, now)
		}
	}
	until := began.AddDays(3).At(12, 0)
	a := b.play(b.home.Since(), until)
	b.requireDelivered(b.due(until))
	require.Len(t, told, 60, "an hour of minutes")
	require.True(t, told[0].After(broken))

	s, err := a.Status()
	require.NoError(t, err)
	own, _ := b.papers.Look()
	require.Empty(t, s.RenewalError)
	require.Equal(t, own.NotAfter(), s.CertsEnd)
	require.Equal(t, []control.CertificateStatus{{Use: "tls", End: own.TLS.NotAfter()}, {Use: "signature", End: own.Signature.NotAfter()}}, s.Certificates)
}

// New keys in the folder, while the agent runs and after it was started again:
// the journal's anchor is verified with the key that signed it.
func TestAnchorIsVerifiedWithTheKeyThatSignedIt(t *testing.T) {
	b := newBench(t)
	pki := enrolled(t, b.config)
	b.openPapers()
	b.clock = agent.NewSteppedClock(b.home.Since())
	c := inside(b.agent(true))
	anchor := func() string {
		var v control.JournalVerdict
		require.NoError(t, c.Do(t.Context(), http.MethodGet, control.VerifyPath, &v))
		require.True(t, v.OK, v.Problem)
		return v.Anchor
	}
	cut := func() {
		require.NoError(t, b.store.Append(buffer.Event{At: b.clock.Now().Time, Kind: "test"}))
		_, err := b.store.Retain(b.clock.Now().Time.AddDate(0, 0, 1), buffer.Policy{Evidence: time.Hour, Key: b.papers})
		require.NoError(t, err)
	}
	cut()
	require.Equal(t, "signed by this gateway", anchor())

	replaced := "signed by this gateway, with a key that was replaced since"
	require.NoError(t, identity.Create(agent.IdentityDir(b.config), b.config.Gateway.ID, true))
	require.Equal(t, "signed by this gateway", anchor(), "the old papers hold until there are new certificates")
	enrol(t, pki, b.config)
	_, bad := b.papers.Look()
	require.NoError(t, bad)
	require.Equal(t, replaced, anchor())
	cut()
	require.Equal(t, "signed by this gateway", anchor(), "with the new key, and nobody started the agent again")

	require.NoError(t, identity.Create(agent.IdentityDir(b.config), b.config.Gateway.ID, true))
	enrol(t, pki, b.config)
	b.openPapers()
	c = inside(b.agent(true))
	require.Equal(t, replaced, anchor(), "after a restart")
	rest := &agent.Inspection{Store: b.store, Now: time.Now, Keys: agent.SignatureKeysOf(b.config)}
	c = control.Within(rest.Handler(), "store")
	require.Equal(t, replaced, anchor(), "and at rest")
	require.Len(t, identity.Replaced(agent.IdentityDir(b.config)), 2)
}

// Who asks for the journal's verdict while the papers are renewed reads nothing
// that is being written.
func TestVerdictWhilePapersAreRenewed(t *testing.T) {
	b := newBench(t)
	pki := enrolled(t, b.config)
	b.openPapers()
	b.play(b.home.Since(), b.home.Since().Add(5*time.Hour))

	b.clock = agent.NewSteppedClock(b.home.Since())
	a := b.agent(true)
	var runs sync.WaitGroup
	ended := make(chan struct{})
	runs.Go(func() {
		defer close(ended)
		_ = a.Run(t.Context())
	})
	defer runs.Wait()
	for n := 0; ; n++ {
		var v control.JournalVerdict
		require.NoError(t, inside(a).Do(t.Context(), http.MethodGet, control.VerifyPath, &v))
		require.True(t, v.OK)
		select {
		case <-ended:
			return
		default:
			if n == 3 {
				enrol(t, pki, b.config)
			}
		}
	}
}
