package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"

	"github.com/veraison/go-cose"
)

// Sign puts an encoded payload into a tagged COSE_Sign1 with ES256: algorithm
// in the protected header, the key's id in the unprotected one. The signature
// differs each time.
func Sign(encoded []byte, key crypto.Signer, keyID []byte) ([]byte, error) {
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		return nil, fmt.Errorf("sign payload: %w", err)
	}
	headers := cose.Headers{
		Protected:   cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmES256},
		Unprotected: cose.UnprotectedHeader{cose.HeaderLabelKeyID: keyID},
	}
	signed, err := cose.Sign1(rand.Reader, signer, headers, encoded, nil)
	if err != nil {
		return nil, fmt.Errorf("sign payload: %w", err)
	}
	return signed, nil
}

// Verify checks a COSE_Sign1 against the key a gateway was enrolled with, and
// returns the encoded payload inside.
func Verify(signed []byte, pub *ecdsa.PublicKey) (encoded []byte, err error) {
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, pub)
	if err != nil {
		return nil, fmt.Errorf("verify payload: %w", err)
	}
	message, err := parse(signed)
	if err != nil {
		return nil, fmt.Errorf("verify payload: %w", err)
	}
	if err := message.Verify(nil, verifier); err != nil {
		return nil, fmt.Errorf("verify payload: %w", err)
	}
	return message.Payload, nil
}

// Unwrap returns the encoded payload inside a COSE_Sign1 without checking who
// signed it: for people who look at one, and for nobody who believes it.
func Unwrap(signed []byte) (encoded []byte, err error) {
	message, err := parse(signed)
	if err != nil {
		return nil, fmt.Errorf("unwrap payload: %w", err)
	}
	return message.Payload, nil
}

// IsSigned tells a COSE_Sign1 from a bare payload by its first byte, that of tag 18.
func IsSigned(b []byte) bool { return len(b) > 0 && b[0] == 0xd2 }

func parse(signed []byte) (*cose.Sign1Message, error) {
	if len(signed) > MaxSize+1024 {
		return nil, fmt.Errorf("%d bytes are too many", len(signed))
	}
	var message cose.Sign1Message
	err := message.UnmarshalCBOR(signed)
	return &message, err
}
