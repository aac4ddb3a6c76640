package identity

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// ReplacedFile holds the signature certificates whose keys were replaced, the
// oldest first: what those keys signed is still to be verified.
const ReplacedFile = "signature.replaced.pem"

// Replaced returns the public keys of a folder's replaced signature
// certificates, none where none can be read.
func Replaced(dir string) (keys []*ecdsa.PublicKey) {
	certs, _ := readCertificates(filepath.Join(dir, ReplacedFile))
	for _, c := range certs {
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// keepReplaced puts the signature certificate, which is void now, with those that
// were replaced before. One that cannot be read is of no use there either.
func keepReplaced(dir string) error {
	chain, err := readCertificates(filepath.Join(dir, Signature.CertificateFile()))
	if err != nil {
		return nil
	}
	file := filepath.Join(dir, ReplacedFile)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read replaced certificates: %w", err)
	}
	if err := renameio.WriteFile(file, append(text, EncodeCertificates(chain[0])...), 0o644); err != nil {
		return fmt.Errorf("keep replaced certificate: %w", err)
	}
	return nil
}
