package profile_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/tls/authority"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ends are the two ends of a connection after the profile.
type ends struct{ client, server *tls.Config }

func newEnds(t *testing.T, flaw authority.Flaw) ends {
	t.Helper()
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, "gateway-1", false))
	_, err = pki.Enrol(dir)
	require.NoError(t, err)
	own, err := identity.Load(dir)
	require.NoError(t, err)
	key, chain, err := pki.HeadEnd([]string{"headend.example"}, flaw)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(chain, key)
	require.NoError(t, err)
	client := profile.Client(own.Roots, profile.Fixed(*own.TLSCertificate()))
	client.ServerName = "headend.example"
	return ends{client, profile.Server(own.Roots, profile.Fixed(pair))}
}

// meet lets both ends shake hands and the client read one byte, for in TLS 1.3
// only that tells it what the server thinks of its certificate.
func (e ends) meet(t *testing.T) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	result := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			result <- err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, e.server)
		if err = conn.Handshake(); err == nil {
			_, err = conn.Write([]byte{1})
		}
		result <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	conn := tls.Client(raw, e.client)
	if clientErr = conn.Handshake(); clientErr == nil {
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	raw.Close()
	return conn.ConnectionState(), clientErr, <-result
}

func TestEndsAfterTheProfileMeet(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			e := newEnds(t, authority.Sound)
			e.client.MaxVersion = version
			state, clientErr, serverErr := e.meet(t)
			require.NoError(t, clientErr)
			require.NoError(t, serverErr)
			require.Equal(t, version, state.Version)
			require.Equal(t, tls.CurveP256, state.CurveID)
			require.Contains(t, tls.CipherSuiteName(state.CipherSuite), "_GCM_")
			require.False(t, state.DidResume)
		})
	}
}

// A peer that can do only what the profile forbids is refused, whichever end it is.
func TestNothingElseIsSpoken(t *testing.T) {
	weaken := map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"ChaCha20 in TLS 1.2": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
		},
		"X25519":             func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
		"P-521":              func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} },
		"X25519 with ML-KEM": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} },
	}
	for name, weaken := range weaken {
		t.Run(name+" of a client", func(t *testing.T) {
			e := newEnds(t, authority.Sound)
			weaken(e.client)
			_, clientErr, serverErr := e.meet(t)
			require.Error(t, clientErr)
			require.Error(t, serverErr)
		})
		t.Run(name+" of a server", func(t *testing.T) {
			e := newEnds(t, authority.Sound)
			weaken(e.server)
			_, clientErr, _ := e.meet(t)
			require.Error(t, clientErr)
		})
	}
}

func TestTheOfferIsAESGCMOnly(t *testing.T) {
	e := newEnds(t, authority.Sound)
	var offered []uint16
	var curves []tls.CurveID
	e.server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered, curves = hello.CipherSuites, hello.SupportedCurves
		return nil, nil
	}
	_, clientErr, _ := e.meet(t)
	require.NoError(t, clientErr)
	require.ElementsMatch(t, []uint16{
		tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	}, offered)
	require.Equal(t, []tls.CurveID{tls.CurveP256, tls.CurveP384}, curves)
}

func TestPeersNeedKeysOnP256OrP384(t *testing.T) {
	for _, flaw := range []authority.Flaw{authority.RSAKey, authority.P521Key} {
		t.Run(flaw.String(), func(t *testing.T) {
			_, clientErr, _ := newEnds(t, flaw).meet(t)
			var outside *profile.Error
			require.ErrorAs(t, clientErr, &outside)
			require.Equal(t, "smgw reference head-end", outside.Certificate.Subject.CommonName)
		})
	}
}

func TestAServerWantsACertificate(t *testing.T) {
	e := newEnds(t, authority.Sound)
	e.client.GetClientCertificate = nil
	_, clientErr, serverErr := e.meet(t)
	require.Error(t, clientErr)
	require.ErrorContains(t, serverErr, "didn't provide a certificate")
}

func TestAServerWantsACertificateOfItsRoots(t *testing.T) {
	e := newEnds(t, authority.Sound)
	e.server.ClientCAs = x509.NewCertPool()
	_, _, serverErr := e.meet(t)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, serverErr, &unknown)
}

func TestASignatureCertificateIsNoTLSCertificate(t *testing.T) {
	e := newEnds(t, authority.Sound)
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, "gateway-1", false))
	_, err = pki.Enrol(dir)
	require.NoError(t, err)
	own, err := identity.Load(dir)
	require.NoError(t, err)
	own.TLS = own.Signature
	e.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.TLSCertificate(), nil }
	e.server.ClientCAs = own.Roots
	_, _, serverErr := e.meet(t)
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, serverErr, &invalid)
	require.Equal(t, x509.IncompatibleUsage, invalid.Reason)
}

func TestTheSourceIsAskedAtEveryHandshake(t *testing.T) {
	e := newEnds(t, authority.Sound)
	locked := errors.New("the security module is locked")
	e.client.GetClientCertificate = profile.Client(nil, func() (*tls.Certificate, error) { return nil, locked }).GetClientCertificate
	_, clientErr, _ := e.meet(t)
	require.ErrorIs(t, clientErr, locked)
}
