package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"smgw/tls/identity"
)

// Flaw is something wrong with a head-end's certificate, for tests of what
// gateways say to it.
type Flaw struct{ name string }

var (
	Sound       = Flaw{""}
	OtherName   = Flaw{"name"}    // made for another host
	OtherRoot   = Flaw{"root"}    // issued by a PKI that nobody trusts
	Expired     = Flaw{"expired"} // its life ended yesterday
	NotYetValid = Flaw{"early"}   // its life begins tomorrow
	RSAKey      = Flaw{"rsa"}     // outside the TLS profile
	P521Key     = Flaw{"p521"}    // outside the TLS profile
)

// Flaws are all of them, Sound excepted.
var Flaws = []Flaw{OtherName, OtherRoot, Expired, NotYetValid, RSAKey, P521Key}

// String names the flaw as the command line does.
func (f Flaw) String() string { return f.name }

// ParseFlaw is the reverse of String.
func ParseFlaw(s string) (Flaw, error) {
	names := make([]string, len(Flaws))
	for i, f := range append([]Flaw{Sound}, Flaws...) {
		if f.name == s {
			return f, nil
		}
		if i > 0 {
			names[i-1] = f.name
		}
	}
	return Flaw{}, fmt.Errorf("flaw %q: want one of %s", s, strings.Join(names, ", "))
}

// HeadEnd makes a key and a server certificate for the hosts (names or IP
// addresses), both in PEM, the certificate with the sub-CA behind it.
func (a *Authority) HeadEnd(hosts []string, flaw Flaw) (key, chain []byte, err error) {
	issuer, by := a.sub, a.key
	from := time.Now().Add(-slack)
	var signer crypto.Signer
	switch flaw {
	case RSAKey:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case P521Key:
		signer, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		signer, err = newKey()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	switch flaw {
	case OtherName:
		hosts = []string{"other.headend.invalid"}
	case Expired:
		from = time.Now().Add(-24*time.Hour - leafLife)
	case NotYetValid:
		from = time.Now().Add(24 * time.Hour)
	case OtherRoot:
		strange, err := newKey()
		if err != nil {
			return nil, nil, err
		}
		template := ca("strange root", 0, time.Now(), leafLife)
		if issuer, err = sign(template, template, strange.Public(), strange); err != nil {
			return nil, nil, err
		}
		by = strange
	}
	template := leaf("smgw reference head-end", from, leafLife)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := sign(template, issuer, signer.Public(), by)
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(signer)
	return key, identity.EncodeCertificates(cert, issuer), err
}
