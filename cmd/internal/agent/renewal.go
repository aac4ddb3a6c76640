package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/tls/deliver"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

// Papers are who the gateway is, as its identity folder says at the moment, and
// the deliveries made in that name. The folder is looked at before each
// connection, and by the agent once a minute: a renewed certificate needs no
// restart. What is not whole or is another gateway's is not taken; the papers
// that were good remain.
type Papers struct {
	config *config.Config
	log    *slog.Logger
	client atomic.Pointer[deliver.Client] // in the name of own

	mu   sync.Mutex
	own  *identity.Identity
	seen string // how the files were when they were last read
	bad  error  // why they could not be taken; nil when they were
}

// OpenPapers reads the identity folder of a configuration's gateway.
func OpenPapers(c *config.Config, log *slog.Logger) (*Papers, error) {
	p := &Papers{config: c, log: log}
	p.seen = p.files()
	own, err := p.load()
	if err != nil {
		return nil, err
	}
	p.take(own)
	return p, nil
}

// Close gives up the connections that are kept.
func (p *Papers) Close() { p.client.Load().Close() }

// Reach makes a handshake, with the papers of this moment.
func (p *Papers) Reach(ctx context.Context, endpoint string) error {
	p.Look()
	return p.client.Load().Reach(ctx, endpoint)
}

// Put makes one attempt at delivery, with the papers of this moment.
func (p *Papers) Put(ctx context.Context, endpoint, id string, body []byte) deliver.Result {
	p.Look()
	return p.client.Load().Put(ctx, endpoint, id, body)
}

// Look reads the folder where its files changed, and returns the papers that
// hold now, and why those in the folder do not, where they differ.
func (p *Papers) Look() (own *identity.Identity, bad error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := p.files()
	if files == p.seen {
		return p.own, p.bad
	}
	p.seen = files
	renewed, err := p.load()
	p.bad = err
	if err != nil {
		p.log.Error("the certificates were changed and cannot be used; those from before hold on", "err", err)
		return p.own, p.bad
	}
	before := p.client.Load()
	p.take(renewed)
	before.Close()
	p.log.Info("the certificates were renewed", "valid_until", renewed.NotAfter())
	return p.own, nil
}

func (p *Papers) take(own *identity.Identity) {
	p.own = own
	p.client.Store(deliver.NewClient(profile.Client(own.Roots, profile.Fixed(*own.TLSCertificate())), deliver.DefaultLimits))
}

func (p *Papers) load() (*identity.Identity, error) {
	own, err := identity.Load(IdentityDir(p.config))
	if err == nil && own.GatewayID != p.config.Gateway.ID {
		err = fmt.Errorf("%s says the gateway is %q, but the certificates in %s are for %q: correct the id, or enrol this gateway anew",
			p.config.File, p.config.Gateway.ID, IdentityDir(p.config), own.GatewayID)
	}
	return own, err
}

// files says how the files of the folder are, without reading them: whatever
// changes one changes that.
func (p *Papers) files() string {
	var b strings.Builder
	names := []string{identity.RootsFile}
	for _, use := range identity.Uses {
		names = append(names, use.KeyFile(), use.CertificateFile())
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(IdentityDir(p.config), name)); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// renewal is what the agent knows of its papers.
type renewal struct {
	asked time.Time // when it last looked: once a minute is enough
	own   *identity.Identity
	bad   error
}

// ask looks at the papers, and signs with what they say.
func (r *renewal) ask(a *Agent, now time.Time) {
	if since := now.Sub(r.asked); a.Papers == nil || since >= 0 && since < time.Minute {
		return
	}
	r.asked = now
	r.own, r.bad = a.Papers.Look()
	a.Signer, a.KeyID = r.own.Signature.Signer, r.own.Signature.KeyID()
}

// cause reports whether a person must see to the certificates.
func (r *renewal) cause(now time.Time) bool {
	return r.bad != nil || r.own != nil && now.After(r.own.NotAfter().Add(-endsSoon))
}

func (r *renewal) status(s *control.Status) {
	s.Certificates = []control.CertificateStatus{}
	if r.own == nil {
		return
	}
	s.CertsEnd = r.own.NotAfter()
	s.Certificates = append(s.Certificates,
		control.CertificateStatus{Use: identity.TLS.String(), End: r.own.TLS.NotAfter()},
		control.CertificateStatus{Use: identity.Signature.String(), End: r.own.Signature.NotAfter()})
	if r.bad != nil {
		s.RenewalError = r.bad.Error()
	}
}
