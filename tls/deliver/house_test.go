package deliver_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/tls/authority"
	"smgw/tls/deliver"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const payloadID = "00112233445566778899aabbccddeeff"

// house is a PKI with one gateway.
type house struct {
	pki     *authority.Authority
	gateway *identity.Identity
}

func newHouse(t *testing.T) house {
	t.Helper()
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	return house{pki, newGateway(t, pki)}
}

func newGateway(t *testing.T, pki *authority.Authority) *identity.Identity {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, "gateway-1", false))
	_, err := pki.Enrol(dir)
	require.NoError(t, err)
	id, err := identity.Load(dir)
	require.NoError(t, err)
	return id
}

// serverConfig is that of a head-end with a certificate for 127.0.0.1.
func (h house) serverConfig(t *testing.T, flaw authority.Flaw) *tls.Config {
	t.Helper()
	key, chain, err := h.pki.HeadEnd([]string{"127.0.0.1"}, flaw)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(chain, key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(h.pki.Roots()))
	return profile.Server(roots, profile.Fixed(pair))
}

// serve answers on loopback with real TLS until the test ends.
func serve(t *testing.T, config *tls.Config, answer http.HandlerFunc) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	server := &http.Server{Handler: answer, TLSConfig: config.Clone(), Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeTLS(profile.Listener(l), "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return "https://" + l.Addr().String()
}

// patient never runs out of time in a test; who tests a time limit sets his own.
var patient = deliver.Limits{Connect: time.Minute, Handshake: time.Minute, Header: time.Minute, Whole: time.Minute}

func (h house) client(t *testing.T, limits deliver.Limits) *deliver.Client {
	t.Helper()
	c := deliver.NewClient(profile.Client(h.gateway.Roots, profile.Fixed(*h.gateway.TLSCertificate())), limits)
	t.Cleanup(c.Close)
	return c
}

func (h house) put(t *testing.T, endpoint string, limits deliver.Limits) deliver.Result {
	t.Helper()
	return h.client(t, limits).Put(t.Context(), endpoint, payloadID, []byte("payload"))
}
