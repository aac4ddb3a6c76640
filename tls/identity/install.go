package identity

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Issued is what a PKI gives back for a gateway's two requests, in PEM.
type Issued struct {
	TLS       []byte // certificate, then sub-CAs
	Signature []byte
	Roots     []byte
}

// Install puts certificates into dir after checking that they are certificates,
// that they belong to the keys there, and to one gateway. If it fails, the folder
// is as before.
func Install(dir string, issued Issued) error {
	files := []struct {
		name string
		text []byte
		use  Use
	}{
		{TLS.CertificateFile(), issued.TLS, TLS},
		{Signature.CertificateFile(), issued.Signature, Signature},
		{RootsFile, issued.Roots, Use{}},
	}
	var gateway string
	for _, f := range files {
		certs, err := ParseCertificates(f.text)
		if err != nil {
			return fmt.Errorf("install %s: %w", f.name, err)
		}
		if f.use == (Use{}) {
			continue
		}
		key, err := loadKey(dir, f.use)
		if err != nil {
			return err
		}
		if !key.PublicKey.Equal(certs[0].PublicKey) {
			return &Error{File: filepath.Join(dir, f.name), What: fmt.Sprintf("the certificate %q was not issued for the key in %s", certs[0].Subject, f.use.KeyFile()), Hint: "ask for one with " + f.use.RequestFile()}
		}
		if gateway != "" && certs[0].Subject.CommonName != gateway {
			return fmt.Errorf("install %s: it is gateway %q's, and the TLS certificate is gateway %q's", f.name, certs[0].Subject.CommonName, gateway)
		}
		gateway = certs[0].Subject.CommonName
	}
	for _, f := range files {
		if err := renameio.WriteFile(filepath.Join(dir, f.name), bytes.Clone(f.text), 0o644); err != nil {
			return fmt.Errorf("install %s: %w", f.name, err)
		}
	}
	return nil
}
