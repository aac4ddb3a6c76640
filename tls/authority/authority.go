// Package authority is a development PKI: a root, a sub-CA, and the certificates
// of a head-end and its gateways. It is for bench and tests and never goes on a
// gateway; a metering point operator has a PKI of his own.
//
//	root (10 years) ─ sub-CA (5 years, path length 0) ┬ head-end (2 years, server)
//	                                                  ├ gateway, TLS (2 years, client)
//	                                                  └ gateway, signature (2 years, nothing but signatures)
//
// All keys are ECDSA on P-256. A gateway's keys stay with the gateway: only its
// signing requests come here.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"smgw/tls/identity"
)

const (
	rootLife = 10 * year
	subLife  = 5 * year
	leafLife = 2 * year
	year     = 365 * 24 * time.Hour
	// slack forgives a clock that is a little slow.
	slack = time.Hour
)

// Authority is the PKI in one folder.
type Authority struct {
	root *x509.Certificate
	sub  *x509.Certificate
	key  crypto.Signer // the sub-CA's
}

// Create makes a new PKI in dir, which must not have one.
func Create(dir string) (*Authority, error) {
	if _, err := os.Lstat(filepath.Join(dir, "root.key.pem")); err == nil {
		return nil, fmt.Errorf("there is a PKI in %s already; remove the folder if it is to be replaced", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make PKI: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make PKI: %w", err)
	}
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	subKey, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := ca("smgw development root", 1, now, rootLife)
	root, err := sign(template, template, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	sub, err := sign(ca("smgw development sub-CA", 0, now, subLife), root, subKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	if err := writePair(dir, "root", rootKey, root); err != nil {
		return nil, err
	}
	if err := writePair(dir, "sub-ca", subKey, sub); err != nil {
		return nil, err
	}
	return &Authority{root, sub, subKey}, nil
}

// Open reads the PKI in dir.
func Open(dir string) (*Authority, error) {
	text, err := os.ReadFile(filepath.Join(dir, "root.cert.pem"))
	if err != nil {
		return nil, fmt.Errorf("open PKI: %w; make one with smgw-sim pki init", err)
	}
	roots, err := identity.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("open PKI: root: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "sub-ca.cert.pem"), filepath.Join(dir, "sub-ca.key.pem"))
	if err != nil {
		return nil, fmt.Errorf("open PKI: sub-CA: %w", err)
	}
	return &Authority{roots[0], pair.Leaf, pair.PrivateKey.(crypto.Signer)}, nil
}

// Roots are the root certificates in PEM.
func (a *Authority) Roots() []byte { return identity.EncodeCertificates(a.root) }

// Enrol answers the requests in a gateway's identity folder: it issues both
// certificates and installs them there, with the roots. It returns them as well,
// for the head-end.
func (a *Authority) Enrol(identityDir string) (identity.Issued, error) {
	issued := identity.Issued{Roots: a.Roots()}
	for _, use := range identity.Uses {
		file := filepath.Join(identityDir, use.RequestFile())
		text, err := os.ReadFile(file)
		if err != nil {
			return identity.Issued{}, fmt.Errorf("enrol: %w; make keys with smgw identity create", err)
		}
		request, err := identity.ParseRequest(text)
		if err != nil {
			return identity.Issued{}, fmt.Errorf("enrol: %s: %w", file, err)
		}
		chain, err := a.Issue(request, use)
		if err != nil {
			return identity.Issued{}, fmt.Errorf("enrol: %s: %w", file, err)
		}
		if use == identity.TLS {
			issued.TLS = chain
		} else {
			issued.Signature = chain
		}
	}
	return issued, identity.Install(identityDir, issued)
}

// Issue answers one request with a certificate for one use, in PEM with the
// sub-CA behind it. Of the request only key and common name are taken over.
func (a *Authority) Issue(request *x509.CertificateRequest, use identity.Use) ([]byte, error) {
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the request's key is not ECDSA on P-256")
	}
	if err := identity.ValidGatewayID(request.Subject.CommonName); err != nil {
		return nil, err
	}
	template := leaf(request.Subject.CommonName, time.Now().Add(-slack), leafLife)
	if use == identity.TLS {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	} else {
		// It must not pass for a TLS certificate. Without an extended use it
		// would (RFC 5280, 4.2.1.12), so there is one that no TLS peer accepts.
		template.KeyUsage |= x509.KeyUsageContentCommitment
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	}
	cert, err := sign(template, a.sub, request.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return identity.EncodeCertificates(cert, a.sub), nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

func ca(name string, pathLength int, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-slack),
		NotAfter:              now.Add(life),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            pathLength,
		MaxPathLenZero:        pathLength == 0,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leaf(name string, from time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             from,
		NotAfter:              from.Add(life),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
}

// sign makes a certificate; crypto/x509 draws its serial number at random.
func sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	if template.SubjectKeyId == nil {
		id, err := keyID(key)
		if err != nil {
			return nil, err
		}
		template.SubjectKeyId = id
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %q: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}
