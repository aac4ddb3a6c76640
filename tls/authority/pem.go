package authority

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"smgw/tls/identity"
)

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func writePair(dir, name string, key crypto.Signer, cert *x509.Certificate) error {
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, name+".key.pem"), text, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s key: %w", name, err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, name+".cert.pem"), identity.EncodeCertificates(cert), 0o644); err != nil {
		return fmt.Errorf("write %s certificate: %w", name, err)
	}
	return nil
}

// keyID is a subject key identifier after RFC 7093, method 1: the first 160
// bits of the SHA-256 of the public key. crypto/x509 makes one for CAs only, and
// gateways name their signature key by it.
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(spki.Key.Bytes)
	return sum[:20], nil
}
