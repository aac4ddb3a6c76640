package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/tls/authority"
	"smgw/tls/identity"
)

func newPKI(t *testing.T) *authority.Authority {
	t.Helper()
	pki, err := authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	return pki
}

func created(t *testing.T, id string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, id, false))
	return dir
}

func enrolled(t *testing.T, id string) (dir string, issued identity.Issued) {
	t.Helper()
	dir = created(t, id)
	issued, err := newPKI(t).Enrol(dir)
	require.NoError(t, err)
	return dir, issued
}

func TestAnEnrolledIdentityLoads(t *testing.T) {
	dir, _ := enrolled(t, "EPPC0210000001")
	id, err := identity.Load(dir)
	require.NoError(t, err)
	require.Equal(t, "EPPC0210000001", id.GatewayID)
	require.NoError(t, id.Check(time.Now()))

	sum := sha256.Sum256([]byte("payload"))
	for _, pair := range []identity.Pair{id.TLS, id.Signature} {
		signature, err := pair.Signer.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		key := pair.Certificate().PublicKey.(*ecdsa.PublicKey)
		require.Equal(t, elliptic.P256(), key.Curve)
		require.True(t, ecdsa.VerifyASN1(key, sum[:], signature))
		require.Len(t, pair.KeyID(), 20)
		require.Len(t, pair.Chain, 2)
	}
	require.NotEqual(t, id.TLS.KeyID(), id.Signature.KeyID(), "one key for two uses")
	require.Len(t, id.TLSCertificate().Certificate, 2)
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	dir := created(t, "gateway-1")
	for _, use := range identity.Uses {
		info, err := os.Stat(filepath.Join(dir, use.KeyFile()))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}

func TestKeysAreNotOverwrittenByMistake(t *testing.T) {
	dir, _ := enrolled(t, "gateway-1")
	before := folder(t, dir)
	for _, missing := range []string{"", "tls.key.pem"} { // one key alone is reason enough
		if missing != "" {
			require.NoError(t, os.Remove(filepath.Join(dir, missing)))
			delete(before, missing)
		}
		err := identity.Create(dir, "gateway-1", false)
		require.ErrorIs(t, err, identity.ErrExists)
		require.ErrorContains(t, err, "--replace")
		require.Equal(t, before, folder(t, dir))
	}
}

func TestReplacedKeysVoidTheirCertificates(t *testing.T) {
	dir, old := enrolled(t, "gateway-1")
	before := folder(t, dir)
	require.NoError(t, identity.Create(dir, "gateway-1", true))
	after := folder(t, dir)
	require.NotEqual(t, before["tls.key.pem"], after["tls.key.pem"])
	require.NotContains(t, after, "tls.cert.pem")
	require.NotContains(t, after, "signature.cert.pem")

	err := identity.Install(dir, old)
	require.ErrorContains(t, err, "was not issued for the key")
	require.Equal(t, after, folder(t, dir))
}

func TestInstallTakesAllOrNothing(t *testing.T) {
	dir, issued := enrolled(t, "gateway-1")
	before := folder(t, dir)
	_, others := enrolled(t, "gateway-1")
	for name, bad := range map[string]identity.Issued{
		"another's signature certificate": {TLS: issued.TLS, Signature: others.Signature, Roots: issued.Roots},
		"pairs exchanged":                 {TLS: issued.Signature, Signature: issued.TLS, Roots: issued.Roots},
		"no roots":                        {TLS: issued.TLS, Signature: issued.Signature},
		"roots that are none":             {TLS: issued.TLS, Signature: issued.Signature, Roots: []byte("roots")},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, identity.Install(dir, bad))
			require.Equal(t, before, folder(t, dir))
		})
	}
}

func TestLoadSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, name))) }
	}
	tests := []struct {
		name  string
		spoil func(*testing.T, string)
		file  string
		says  []string
	}{
		{"no folder", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) }, "tls.key.pem", []string{"no key yet", "run smgw identity create"}},
		{"no signature key", remove("signature.key.pem"), "signature.key.pem", []string{"no key yet"}},
		{"key of zeros", write("tls.key.pem", "\x00\x00\x00"), "tls.key.pem", []string{"no key of ours", "restore the file"}},
		{"no TLS certificate", remove("tls.cert.pem"), "tls.cert.pem", []string{"no certificate yet", "tls.csr.pem to the metering point operator's PKI"}},
		{"no signature certificate", remove("signature.cert.pem"), "signature.cert.pem", []string{"signature.csr.pem"}},
		{"empty certificate", write("tls.cert.pem", ""), "tls.cert.pem", []string{"the file is empty"}},
		{"torn certificate", write("tls.cert.pem", "-----BEGIN CERTIFICATE-----\nMIIB"), "tls.cert.pem", []string{"block 1"}},
		{"no roots", remove("roots.pem"), "roots.pem", []string{"no roots to trust"}},
		{"certificate for another key", func(t *testing.T, dir string) {
			_, other := enrolled(t, "gateway-1")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.cert.pem"), other.TLS, 0o600))
		}, "tls.cert.pem", []string{"was not issued for the key in tls.key.pem", "tls.csr.pem"}},
		{"two gateways' certificates", func(t *testing.T, dir string) {
			other, _ := enrolled(t, "gateway-2")
			for _, name := range []string{"signature.key.pem", "signature.cert.pem"} {
				text, err := os.ReadFile(filepath.Join(other, name))
				require.NoError(t, err)
				write(name, string(text))(t, dir)
			}
		}, "signature.cert.pem", []string{`"gateway-2"`, `"gateway-1"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := enrolled(t, "gateway-1")
			tt.spoil(t, dir)
			_, err := identity.Load(dir)
			var e *identity.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, filepath.Join(dir, tt.file), e.File)
			require.NotEmpty(t, e.Hint)
			for _, says := range tt.says {
				require.ErrorContains(t, err, says)
			}
			found := inspect(t, dir, "", time.Now())
			require.False(t, found.Complete())
			require.Contains(t, states(found), tt.file)
		})
	}
}

func inspect(t *testing.T, dir, gateway string, now time.Time) identity.Inspection {
	t.Helper()
	found, err := identity.Inspect(dir, gateway, now)
	require.NoError(t, err)
	return found
}

// states are the files of an inspection that are not there as they should be.
func states(i identity.Inspection) map[string]identity.FileState {
	all := map[string]identity.FileState{}
	for _, f := range i.Files {
		if f.State != identity.There {
			all[f.Name] = f.State
		}
	}
	return all
}

func TestInspectWantsAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := identity.Inspect(file, "", time.Now())
	require.ErrorContains(t, err, "look into the identity folder: ")
}

func TestInspectFindsEveryFileByItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	found := inspect(t, dir, "", time.Now())
	require.Empty(t, found.GatewayID)
	require.Len(t, states(found), 7, "of no folder every file is missing")

	require.NoError(t, identity.Create(dir, "gateway-1", false))
	found = inspect(t, dir, "", time.Now())
	require.Equal(t, "gateway-1", found.GatewayID, "the requests say it")
	require.Equal(t, map[string]identity.FileState{"tls.cert.pem": identity.Missing, "signature.cert.pem": identity.Missing, "roots.pem": identity.Missing}, states(found))

	_, err := newPKI(t).Enrol(dir)
	require.NoError(t, err)
	require.True(t, inspect(t, dir, "gateway-1", time.Now()).Complete())
	require.Equal(t, map[string]identity.FileState{"tls.cert.pem": identity.Wrong, "signature.cert.pem": identity.Wrong},
		states(inspect(t, dir, "gateway-2", time.Now())), "another gateway's")
	require.Equal(t, map[string]identity.FileState{"tls.cert.pem": identity.Wrong, "signature.cert.pem": identity.Wrong},
		states(inspect(t, dir, "", time.Now().AddDate(50, 0, 0))), "expired")

	for _, use := range identity.Uses {
		require.NoError(t, os.Remove(filepath.Join(dir, use.RequestFile())))
	}
	require.True(t, inspect(t, dir, "", time.Now()).Complete(), "requests have done their duty")
	require.NoError(t, os.Chmod(filepath.Join(dir, "tls.key.pem"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "signature.cert.pem"), []byte("garbage"), 0o600))
	require.Equal(t, map[string]identity.FileState{"tls.key.pem": identity.Wrong, "signature.cert.pem": identity.Wrong, "signature.csr.pem": identity.Missing},
		states(inspect(t, dir, "", time.Now())))
}

func TestCheckKnowsBothEndsOfACertificatesLife(t *testing.T) {
	dir, _ := enrolled(t, "gateway-1")
	id, err := identity.Load(dir)
	require.NoError(t, err)

	require.ErrorContains(t, id.Check(time.Unix(0, 0)), "set the clock")
	require.NoError(t, id.Check(id.NotAfter()))
	err = id.Check(id.NotAfter().Add(time.Second))
	require.ErrorContains(t, err, "expired at")
	require.ErrorContains(t, err, "ask the metering point operator's PKI")
	require.WithinDuration(t, time.Now().AddDate(2, 0, 0), id.NotAfter(), 3*24*time.Hour)
}

func TestGatewayIDsAreFitForFileNames(t *testing.T) {
	for _, good := range []string{"1", "EPPC0210000001", "e-1.a_b"} {
		require.NoError(t, identity.ValidGatewayID(good))
	}
	for _, bad := range []string{"", ".", "..", "-x", "a/b", "a b", "ä", string(make([]byte, 65))} {
		require.Error(t, identity.ValidGatewayID(bad), bad)
		require.Error(t, identity.Create(filepath.Join(t.TempDir(), "identity"), bad, false))
	}
}

// folder is what is in a folder: names and contents.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = string(text)
	}
	return files
}
