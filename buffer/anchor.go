package buffer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Anchor is where the journal begins after its old end was erased: the number
// and hash of the last erased entry, from which the rest still verifies, signed
// by the gateway, so that nobody else can cut a journal unnoticed.
type Anchor struct {
	Seq       uint64 // 0: nothing was erased yet
	Hash      Hash
	At        time.Time // when the end was erased
	Signature []byte    // ECDSA, ASN.1; none when retention ran without a key
}

// Anchor returns where the journal begins.
func (s *Store) Anchor() (a Anchor, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		a, err = readAnchor(tx)
		return err
	})
	return a, err
}

// Verify checks the signature with the gateway's public key.
func (a Anchor) Verify(key *ecdsa.PublicKey) error {
	if digest := a.digest(); !ecdsa.VerifyASN1(key, digest[:], a.Signature) {
		return errors.New("journal's anchor: the signature is not of this gateway")
	}
	return nil
}

// digest is what is signed.
func (a Anchor) digest() [sha256.Size]byte {
	b := []byte("smgw journal anchor 1\n")
	b = binary.BigEndian.AppendUint64(b, a.Seq)
	b = append(b, a.Hash[:]...)
	return sha256.Sum256(appendTime(b, a.At))
}

func readAnchor(tx *bolt.Tx) (Anchor, error) {
	v := tx.Bucket(bucketMeta).Get(metaAnchor)
	if v == nil {
		return Anchor{}, nil
	}
	p, err := unseal(kindMeta, metaAnchor, v)
	if err != nil {
		return Anchor{}, fmt.Errorf("journal's anchor: %w", err)
	}
	d := decoder{b: p}
	a := Anchor{Seq: d.uvarint()}
	copy(a.Hash[:], d.take(uint64(len(a.Hash))))
	a.At = d.time()
	a.Signature = append([]byte(nil), d.take(d.uvarint())...)
	return a, d.end()
}

func writeAnchor(tx *bolt.Tx, a Anchor) error {
	p := append(binary.AppendUvarint(nil, a.Seq), a.Hash[:]...)
	p = appendTime(p, a.At)
	p = appendText(p, string(a.Signature))
	return tx.Bucket(bucketMeta).Put(metaAnchor, seal(kindMeta, metaAnchor, p))
}

func sign(a Anchor, key crypto.Signer) (Anchor, error) {
	if key == nil {
		return a, nil
	}
	digest := a.digest()
	var err error
	a.Signature, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return a, err
}

// eraseJournalUpTo deletes entries up to a number, or up to the anchor where
// that is further.
func eraseJournalUpTo(tx *bolt.Tx, seq uint64) (erased int64, err error) {
	anchor, err := anchorLink(tx)
	if err != nil {
		return 0, err
	}
	seq = max(seq, anchor.seq)
	c := tx.Bucket(bucketJournal).Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= seq; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return erased, err
		}
		erased++
	}
	return erased, nil
}
