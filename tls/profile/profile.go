// Package profile says what a connection between gateway and head-end must be,
// after BSI TR-03116-3 as far as Go's TLS goes:
//
//   - TLS 1.2 or 1.3, both ends with a certificate (mutual TLS)
//   - ECDHE-ECDSA with AES-GCM, nothing else
//   - key exchange and certificates on P-256 or P-384, nothing else
//   - no session tickets, no renegotiation
//   - closed after 48 hours at the latest ([MaxAge], [LimitAge], [Listener])
//
// A program that imports this package offers no ChaCha20 in TLS 1.3, anywhere: a
// Config cannot say so for one connection.
//
// Brainpool curves and encrypt-then-MAC, which the profile of the Federal
// Office knows too, do not exist in Go: DESIGN.md, Honest limits.
package profile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
)

var (
	suites    = slices.Concat(suites13, suites12)
	exchanges = []tls.CurveID{tls.CurveP256, tls.CurveP384}
)

// Source gives an end's own certificate. It is asked at every handshake, so a
// renewed certificate is used without a restart.
type Source func() (*tls.Certificate, error)

// Fixed is the source of one certificate that never changes.
func Fixed(cert tls.Certificate) Source {
	return func() (*tls.Certificate, error) { return &cert, nil }
}

// Client returns the configuration of a gateway: it trusts servers that chain
// to roots and shows its own certificate.
func Client(roots *x509.CertPool, own Source) *tls.Config {
	c := common()
	c.RootCAs = roots
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() }
	return c
}

// Server returns the configuration of a head-end: it answers only clients with
// a certificate that chains to roots.
func Server(roots *x509.CertPool, own Source) *tls.Config {
	c := common()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = roots
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() }
	return c
}

func common() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           slices.Clone(suites12), // rules TLS 1.2 only
		CurvePreferences:       slices.Clone(exchanges),
		SessionTicketsDisabled: true,
		VerifyConnection:       verify,
	}
}

// Error is a connection, or a peer's certificate, that TLS itself would have
// accepted and the profile does not.
type Error struct {
	Certificate *x509.Certificate // the certificate at fault; nil when it is the connection
	Reason      string
}

func (e *Error) Error() string { return "outside the TLS profile: " + e.Reason }

// verify has the last word on a connection whose chain is already verified.
func verify(s tls.ConnectionState) error {
	if !slices.Contains(suites, s.CipherSuite) {
		return &Error{Reason: fmt.Sprintf("cipher suite %s, want ECDHE-ECDSA with AES-GCM", tls.CipherSuiteName(s.CipherSuite))}
	}
	// A TLS 1.2 server does not know the curve yet, 0; it has chosen it itself.
	if s.CurveID != 0 && !slices.Contains(exchanges, s.CurveID) {
		return &Error{Reason: fmt.Sprintf("key exchange %v, want P-256 or P-384", s.CurveID)}
	}
	var bad *x509.Certificate
	for _, chain := range s.VerifiedChains {
		i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return !allowedKey(c) })
		if i < 0 {
			return nil
		}
		bad = chain[i]
	}
	if bad == nil {
		return &Error{Reason: "no verified certificate"}
	}
	return &Error{Certificate: bad, Reason: fmt.Sprintf("certificate %q has a key of type %s, want ECDSA on P-256 or P-384", bad.Subject, keyType(bad))}
}

func allowedKey(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384())
}

func keyType(c *x509.Certificate) string {
	if k, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
		return "ECDSA on " + k.Curve.Params().Name
	}
	return c.PublicKeyAlgorithm.String()
}
