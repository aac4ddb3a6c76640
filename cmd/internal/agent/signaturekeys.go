package agent

import (
	"crypto"
	"crypto/ecdsa"
	"io"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/tls/identity"
)

// SignatureKeys are the keys by which a gateway's signatures are verified. An
// anchor of the journal can be older than the key that signs now.
type SignatureKeys struct {
	Now      *ecdsa.PublicKey // of its signature certificate; nil where that is not to be had
	Replaced []*ecdsa.PublicKey
}

// SignatureKeysOf reads them from the identity folder whenever it is asked.
func SignatureKeysOf(c *config.Config) func() SignatureKeys {
	return func() SignatureKeys {
		keys := SignatureKeys{Replaced: identity.Replaced(IdentityDir(c))}
		if pair, err := identity.LoadPair(IdentityDir(c), identity.Signature); err == nil {
			keys.Now = publicKey(pair.Signer)
		}
		return keys
	}
}

// signatureKeys are the running agent's: of the papers that hold, which need not
// be those in the folder.
func (a *Agent) signatureKeys() SignatureKeys {
	keys := SignatureKeys{Replaced: identity.Replaced(IdentityDir(a.Config))}
	if a.Papers != nil {
		keys.Now = publicKey(a.Papers)
	} else {
		keys.Now = publicKey(a.Signer) // for ever, so that no lock guards it
	}
	return keys
}

func (k SignatureKeys) none() bool { return k.Now == nil && len(k.Replaced) == 0 }

// verify says whose signature an anchor has, with an error where it is not the gateway's.
func (k SignatureKeys) verify(anchor buffer.Anchor) (signed string, err error) {
	for _, key := range k.Replaced {
		if err = anchor.Verify(key); err == nil {
			signed = "signed by this gateway, with a key that was replaced since"
		}
	}
	if k.Now != nil {
		if err = anchor.Verify(k.Now); err == nil {
			return "signed by this gateway", nil
		}
	}
	if signed != "" {
		return signed, nil
	}
	return "signed by somebody else", err
}

func publicKey(s crypto.Signer) *ecdsa.PublicKey {
	key, _ := s.Public().(*ecdsa.PublicKey)
	return key
}

// Public is the signature key of this moment.
func (p *Papers) Public() crypto.PublicKey { return p.signer().Public() }

// Sign signs with the signature key of this moment.
func (p *Papers) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return p.signer().Sign(random, digest, opts)
}

func (p *Papers) signer() crypto.Signer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own.Signature.Signer
}

var _ crypto.Signer = (*Papers)(nil)
