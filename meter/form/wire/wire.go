// Package wire is a payload of the form as signed CBOR.
package wire

import (
	"crypto"
	"crypto/ecdsa"

	"smgw/meter/form"
)

func ID(p *form.Payload) string                                              { panic("not yet") }
func Encode(p *form.Payload) ([]byte, error)                                 { panic("not yet") }
func Decode(b []byte) (*form.Payload, error)                                 { panic("not yet") }
func Sign(encoded []byte, key crypto.Signer, keyID []byte) ([]byte, error)   { panic("not yet") }
func Verify(signed []byte, pub *ecdsa.PublicKey) (encoded []byte, err error) { panic("not yet") }
