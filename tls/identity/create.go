package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// ErrExists is returned by Create when the folder has a key already.
var ErrExists = errors.New("this gateway has keys already")

// Create makes new keys for a gateway, and the certificate signing requests to
// hand to the PKI, in dir. Where a key exists, nothing is touched and ErrExists
// comes back, unless replace asks for it: whatever certificates there were are
// void then and removed, but that of the signature is kept in ReplacedFile.
func Create(dir, gatewayID string, replace bool) error {
	if err := ValidGatewayID(gatewayID); err != nil {
		return err
	}
	if !replace {
		for _, use := range Uses {
			file := filepath.Join(dir, use.KeyFile())
			if _, err := os.Lstat(file); err == nil {
				return &Error{File: file, What: "will not overwrite it", Err: ErrExists, Hint: "if they are really to be replaced: smgw identity create --replace, and then new certificates are needed"}
			} else if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("look for a key: %w", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make identity folder: %w", err)
	}
	for _, use := range Uses {
		if err := createPair(dir, gatewayID, use); err != nil {
			return err
		}
	}
	return nil
}

func createPair(dir, gatewayID string, use Use) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make %v key: %w", use, err)
	}
	keyText, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encode %v key: %w", use, err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: gatewayID, OrganizationalUnit: []string{use.name}},
	}, key)
	if err != nil {
		return fmt.Errorf("make %v certificate signing request: %w", use, err)
	}
	if use == Signature {
		if err := keepReplaced(dir); err != nil {
			return err
		}
	}
	// The certificate goes first: a power cut must not leave one beside a key
	// that it does not belong to.
	if err := os.Remove(filepath.Join(dir, use.CertificateFile())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove void certificate: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, use.KeyFile()), keyText, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %v key: %w", use, err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, use.RequestFile()), encodeRequest(request), 0o644); err != nil {
		return fmt.Errorf("write %v certificate signing request: %w", use, err)
	}
	return nil
}

// ValidGatewayID checks that id can name a gateway in certificates, payloads and
// folders alike: 1 to 64 letters, digits, dots, hyphens or underscores, the first a
// letter or digit.
func ValidGatewayID(id string) error {
	ok := 1 <= len(id) && len(id) <= 64 // ub-common-name, RFC 5280, A.1
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		ok = alnum || i > 0 && (c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return fmt.Errorf("gateway id %q: want 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit", id)
	}
	return nil
}
