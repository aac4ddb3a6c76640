package authority_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/tls/authority"
	"smgw/tls/identity"
)

func TestAPKIIsReopenedAndGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	made, err := authority.Create(dir)
	require.NoError(t, err)
	reopened, err := authority.Open(dir)
	require.NoError(t, err)
	require.Equal(t, made.Roots(), reopened.Roots())

	id := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(id, "gateway-1", false))
	issued, err := reopened.Enrol(id)
	require.NoError(t, err)
	chain, err := identity.ParseCertificates(issued.TLS)
	require.NoError(t, err)
	roots, sub := x509.NewCertPool(), x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(made.Roots()))
	sub.AddCert(chain[1])
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: sub, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: sub, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	require.Error(t, err, "a gateway's certificate must not pass for a head-end's")
}

func TestAPKIIsNotOverwritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	_, err := authority.Create(dir)
	require.NoError(t, err)
	_, err = authority.Create(dir)
	require.ErrorContains(t, err, "there is a PKI")
}

func TestNoPKISaysHowToMakeOne(t *testing.T) {
	_, err := authority.Open(t.TempDir())
	require.ErrorContains(t, err, "smgw-sim pki init")
}

func TestNoKeysSaysHowToMakeThem(t *testing.T) {
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	_, err = pki.Enrol(t.TempDir())
	require.ErrorContains(t, err, "smgw identity create")
}

func TestATornRequestIsRefused(t *testing.T) {
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, "gateway-1", false))
	file := filepath.Join(dir, identity.TLS.RequestFile())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text[:len(text)/2], 0o600))
	_, err = pki.Enrol(dir)
	require.ErrorContains(t, err, file)
}

func TestOfARequestOnlyKeyAndNameAreTakenOver(t *testing.T) {
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, "gateway-1", false))
	text, err := os.ReadFile(filepath.Join(dir, identity.TLS.RequestFile()))
	require.NoError(t, err)
	request, err := identity.ParseRequest(text)
	require.NoError(t, err)
	request.DNSNames = []string{"headend.example"}
	request.Subject = pkix.Name{CommonName: "gateway-1", Organization: []string{"Somebody Else"}}
	issued, err := pki.Issue(request, identity.TLS)
	require.NoError(t, err)
	chain, err := identity.ParseCertificates(issued)
	require.NoError(t, err)
	require.Equal(t, "CN=gateway-1", chain[0].Subject.String())
	require.Empty(t, chain[0].DNSNames)
	require.False(t, chain[0].IsCA)
	require.True(t, chain[1].IsCA && chain[1].MaxPathLenZero)
}

func TestFlawsHaveNames(t *testing.T) {
	for _, flaw := range append(authority.Flaws, authority.Sound) {
		parsed, err := authority.ParseFlaw(flaw.String())
		require.NoError(t, err)
		require.Equal(t, flaw, parsed)
	}
	_, err := authority.ParseFlaw("ugly")
	require.ErrorContains(t, err, "expired")
}
