// Package headend is the reference head-end: the other end of docs/headend.md,
// for bench and tests. It answers over mutual TLS only, checks every payload's
// signature, contract and id, and stores what it accepts once. It can be told to
// misbehave: see Faults.
//
// Everything it has lies in one folder:
//
//	headend.key.pem headend.cert.pem roots.pem    who it is, whom it trusts
//	gateways/ID/tls.cert.pem                      the gateways enrolled: their certificates,
//	gateways/ID/signature.cert.pem                where a pair is renewed the old one beside
//	gateways/ID/contract.toml                     it as tls-2.cert.pem, and what they may send;
//	gateways/ID/contract-2026-12-01.toml          versions that say from when they hold
//	deliveries.db                                 what they delivered
package headend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"smgw/tls/identity"
	"smgw/tls/profile"
)

const (
	keyFile         = "headend.key.pem"
	certificateFile = "headend.cert.pem"
)

// Options of a head-end.
type Options struct {
	Dir     string
	Listen  string // address and port; port 0 takes a free one
	Control string // path of the control socket; "" for none
	Faults  Faults // from the start
	Log     *slog.Logger
}

// HeadEnd is a running head-end.
type HeadEnd struct {
	gateways enrolment
	store    *store
	tls      *tls.Config
	port     *port
	control  *http.Server // nil without a control socket
	log      *slog.Logger
	tasks    sync.WaitGroup // what serves
	stopped  chan struct{}  // closed by Close

	mu     sync.Mutex
	faults Faults
	server *http.Server // nil while it is down
}

// Open starts a head-end.
func Open(o Options) (_ *HeadEnd, err error) {
	h := &HeadEnd{gateways: enrolment{o.Dir}, log: o.Log, stopped: make(chan struct{})}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if err := o.Faults.validate(); err != nil {
		return nil, err
	}
	if h.tls, err = loadTLS(o.Dir); err != nil {
		return nil, err
	}
	if h.store, err = openStore(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.port, err = reserve(o.Listen); err != nil {
		return nil, err
	}
	if err = h.start(); err != nil {
		return nil, err
	}
	if err = h.SetFaults(o.Faults); err != nil {
		return nil, err
	}
	if o.Control != "" {
		err = h.serveControl(o.Control)
	}
	return h, err
}

// Endpoint is the base URL for gateways.
func (h *HeadEnd) Endpoint() string { return h.port.endpoint() }

// Close lets requests under way end, for at most two seconds, and stops.
func (h *HeadEnd) Close() error {
	h.mu.Lock()
	close(h.stopped)
	servers := []*http.Server{h.server, h.control}
	h.server = nil
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, server := range servers {
		if server != nil && server.Shutdown(ctx) != nil {
			server.Close()
		}
	}
	h.tasks.Wait()
	var portErr error
	if h.port != nil {
		portErr = h.port.Close()
	}
	return errors.Join(portErr, h.store.Close())
}

// start begins to listen. h.mu is held, or nobody else knows h yet.
func (h *HeadEnd) start() error {
	listener, err := h.port.listen()
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler:           h.handler(),
		TLSConfig:         h.tls,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       10 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       rememberConn,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	h.server = server
	h.tasks.Go(func() {
		if err := server.ServeTLS(profile.Listener(listener), "", ""); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("the head-end stopped serving", "err", err)
		}
	})
	return nil
}

// connKey is where a request's context has its TCP connection, so that a fault
// can cut it.
type connKey struct{}

func rememberConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn() // closing a tls.Conn would say good-bye
	}
	return context.WithValue(ctx, connKey{}, c)
}

func loadTLS(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certificateFile), filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("head-end certificate: %w; make one with smgw-sim pki init", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, identity.RootsFile))
	if err != nil {
		return nil, fmt.Errorf("head-end roots: %w", err)
	}
	certs, err := identity.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("head-end roots: %w", err)
	}
	roots := x509.NewCertPool()
	for _, c := range certs {
		roots.AddCert(c)
	}
	return profile.Server(roots, profile.Fixed(pair)), nil
}
