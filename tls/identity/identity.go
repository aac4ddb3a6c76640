// Package identity keeps who a gateway is: two keys made on the gateway, and the
// certificates that a PKI issued for them. They lie in one folder:
//
//	tls.key.pem        tls.csr.pem        tls.cert.pem         for connections
//	signature.key.pem  signature.csr.pem  signature.cert.pem   for payloads
//	roots.pem                                                  whom the gateway trusts
//	signature.replaced.pem                                     of signature keys before this one
//
// [Create] makes keys and certificate signing requests; a PKI answers with
// certificates, which [Install] puts beside them after it has checked that they
// fit; [Load] reads it all. Keys never leave the folder, and users of the package
// see no more of them than a crypto.Signer, so that a security module can take
// their place.
//
// Keys are ECDSA on P-256, PKCS #8 in PEM, readable by their owner only.
// Certificate files hold the certificate first, then the sub-CAs up to the root.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Use is what a key pair is for: never both, so that nothing a peer makes the
// gateway sign in a handshake can be taken for a payload.
type Use struct{ name string }

var (
	TLS       = Use{"tls"}
	Signature = Use{"signature"}
)

// Uses are all of them.
var Uses = []Use{TLS, Signature}

// String names the use as its files are named.
func (u Use) String() string { return u.name }

// KeyFile, RequestFile and CertificateFile are the names of a use's files.
func (u Use) KeyFile() string         { return u.name + ".key.pem" }
func (u Use) RequestFile() string     { return u.name + ".csr.pem" }
func (u Use) CertificateFile() string { return u.name + ".cert.pem" }

// RootsFile holds the roots a gateway trusts.
const RootsFile = "roots.pem"

// Error is something that is not as it should be in an identity folder, with
// what a person can do about it.
type Error struct {
	File string // what it is about
	What string
	Hint string
	Err  error // the cause, where there is one
}

func (e *Error) Error() string {
	s := e.File + ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; " + e.Hint
}

func (e *Error) Unwrap() error { return e.Err }

// Pair is a key with the certificate chain issued for it.
type Pair struct {
	Signer crypto.Signer
	Chain  []*x509.Certificate // its own certificate first
}

// Certificate is the pair's own certificate.
func (p Pair) Certificate() *x509.Certificate { return p.Chain[0] }

// KeyID names the pair's key in what it signs: the subject key identifier of
// its certificate.
func (p Pair) KeyID() []byte { return p.Chain[0].SubjectKeyId }

// Identity is a complete identity folder.
type Identity struct {
	GatewayID string // common name of both certificates
	TLS       Pair
	Signature Pair
	Roots     *x509.CertPool
}

// TLSCertificate is the TLS pair as crypto/tls wants it.
func (id *Identity) TLSCertificate() *tls.Certificate {
	c := &tls.Certificate{PrivateKey: id.TLS.Signer, Leaf: id.TLS.Certificate()}
	for _, x := range id.TLS.Chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

// NotAfter is when the first of the identity's certificates ends, sub-CAs included.
func (id *Identity) NotAfter() time.Time {
	if s := id.Signature.NotAfter(); s.Before(id.TLS.NotAfter()) {
		return s
	}
	return id.TLS.NotAfter()
}

// NotAfter is when the first certificate of the pair's chain ends.
func (p Pair) NotAfter() time.Time {
	end := p.Chain[0].NotAfter
	for _, c := range p.Chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// Check reports the first certificate that is not valid at now, as an *Error.
// Load does not, because a gateway starts before its clock is set.
func (id *Identity) Check(now time.Time) error {
	for _, use := range Uses {
		pair := id.TLS
		if use == Signature {
			pair = id.Signature
		}
		if err := checkChain(use, pair.Chain, now); err != nil {
			return err
		}
	}
	return nil
}

func checkChain(use Use, chain []*x509.Certificate, now time.Time) error {
	for _, c := range chain {
		switch {
		case now.Before(c.NotBefore):
			return &Error{File: use.CertificateFile(), What: fmt.Sprintf("certificate %q is valid only from %s, and it is %s", c.Subject, stamp(c.NotBefore), stamp(now)), Hint: "set the clock"}
		case now.After(c.NotAfter):
			return &Error{File: use.CertificateFile(), What: fmt.Sprintf("certificate %q expired at %s, and it is %s", c.Subject, stamp(c.NotAfter), stamp(now)), Hint: "check the clock; if it is right, ask the metering point operator's PKI for a new certificate"}
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Load reads the identity in dir. What is missing or does not fit comes back
// as an *Error with a hint. It reads no clock: see Check.
func Load(dir string) (*Identity, error) {
	id := &Identity{Roots: x509.NewCertPool()}
	var err error
	if id.TLS, err = LoadPair(dir, TLS); err != nil {
		return nil, err
	}
	if id.Signature, err = LoadPair(dir, Signature); err != nil {
		return nil, err
	}
	id.GatewayID = id.TLS.Certificate().Subject.CommonName
	if other := id.Signature.Certificate().Subject.CommonName; other != id.GatewayID {
		return nil, &Error{File: filepath.Join(dir, Signature.CertificateFile()), What: fmt.Sprintf("it is gateway %q's, and the TLS certificate is gateway %q's", other, id.GatewayID), Hint: "put the certificates of one gateway here"}
	}
	rootsFile := filepath.Join(dir, RootsFile)
	roots, err := readCertificates(rootsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{File: rootsFile, What: "there are no roots to trust a head-end by", Hint: "put the root certificates of the metering point operator's PKI there, in PEM"}
	}
	if err != nil {
		return nil, err
	}
	for _, c := range roots {
		id.Roots.AddCert(c)
	}
	return id, nil
}

// LoadPair reads one pair. Errors are as in Load.
func LoadPair(dir string, use Use) (Pair, error) {
	key, err := loadKey(dir, use)
	if err != nil {
		return Pair{}, err
	}
	file := filepath.Join(dir, use.CertificateFile())
	chain, err := readCertificates(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Pair{}, &Error{File: file, What: "there is no certificate yet", Hint: fmt.Sprintf("give %s to the metering point operator's PKI and put the certificate that comes back there", filepath.Join(dir, use.RequestFile()))}
	}
	if err != nil {
		return Pair{}, err
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return Pair{}, notIssuedFor(file, chain[0], use)
	}
	return Pair{Signer: key, Chain: chain}, nil
}

func loadKey(dir string, use Use) (*ecdsa.PrivateKey, error) {
	file := filepath.Join(dir, use.KeyFile())
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{File: file, What: "this gateway has no key yet", Hint: "run smgw identity create"}
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, &Error{File: file, What: "this is no key of ours", Err: err, Hint: "restore the file, or make new keys with smgw identity create --replace and new certificates for them"}
	}
	return key, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, &Error{File: file, What: "this is no certificate in PEM", Err: err, Hint: "put the file there again as the PKI sent it"}
	}
	return certs, nil
}
