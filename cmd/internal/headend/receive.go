package headend

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/veraison/go-cose"

	"smgw/meter/form/wire"
)

// MaxBody is the largest signed payload that is taken, in bytes: the largest
// payload and what the signature adds.
const MaxBody = wire.MaxSize + 1024

func (h *HeadEnd) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/payloads/{id}", func(w http.ResponseWriter, r *http.Request) {
		h.misbehave(h.nextFaults(), w, r, h.put)
	})
	return mux
}

func (h *HeadEnd) put(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	client := r.TLS.PeerCertificates[0].Subject.CommonName
	stored, err := h.receive(w, r, id)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		h.log.Warn("payload refused", "gateway", client, "id", id, "status", refused.status, "err", err)
		refused.write(w)
	case err != nil:
		h.log.Error("payload not stored", "gateway", client, "id", id, "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	case stored:
		h.log.Info("payload stored", "gateway", client, "id", id)
		w.WriteHeader(http.StatusCreated)
	default:
		h.log.Info("payload was here already", "gateway", client, "id", id)
		w.WriteHeader(http.StatusOK)
	}
}

// receive checks a payload and stores it: true when it is new, false when it
// was there. What is sound otherwise and already there is not measured against the
// contract again, which may have changed since.
func (h *HeadEnd) receive(w http.ResponseWriter, r *http.Request, id string) (stored bool, err error) {
	sender, err := h.gateways.find(r.TLS.PeerCertificates[0])
	if errors.Is(err, errNotEnrolled) {
		return false, unknownGateway(err)
	}
	if err != nil {
		return false, err
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/cose" {
		return false, refuse(http.StatusUnsupportedMediaType, "media-type", "Content-Type is %q, want application/cose", r.Header.Get("Content-Type"))
	}
	signed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return false, refuse(http.StatusRequestEntityTooLarge, "too-large", "the signed payload has more than %d bytes", MaxBody)
	}
	if err != nil {
		return false, fmt.Errorf("read body: %w", err)
	}
	encoded, err := sender.open(signed)
	if err != nil {
		return false, err
	}
	payload, err := wire.Decode(encoded)
	if err != nil {
		return false, malformed(err)
	}
	if payload.Gateway != sender.id {
		return false, refuse(http.StatusUnprocessableEntity, "other-gateway", "the payload is gateway %q's, and gateway %q delivers it", payload.Gateway, sender.id)
	}
	if want := wire.ID(payload); want != id {
		return false, refuse(http.StatusBadRequest, "id-mismatch", "the payload's id is %s, not %s", want, id)
	}
	permit := func() error {
		if err := sender.contracts.Permits(payload); err != nil {
			return notPermitted(err)
		}
		return nil
	}
	stored, err = h.store.put(id, signed, encoded, time.Now(), permit)
	if errors.Is(err, errConflict) {
		return false, refuse(http.StatusConflict, "conflict", "payload %s is here already, with other content", id)
	}
	return stored, err
}

// open checks the signature and returns the encoded payload inside. A key that
// is not enrolled is no fault of the payload, and passes once it is; a wrong
// signature with a key that is enrolled stays wrong.
func (g *gateway) open(signed []byte) (encoded []byte, err error) {
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(signed); err != nil {
		return nil, malformed(err)
	}
	keyID, _ := message.Headers.Unprotected[cose.HeaderLabelKeyID].([]byte)
	key, ok := g.publicKey(keyID)
	if !ok {
		return nil, refuse(http.StatusForbidden, "unknown-key", "no signature certificate with key id %x is enrolled for gateway %q", keyID, g.id)
	}
	encoded, err = wire.Verify(signed, key)
	if err != nil {
		return nil, badSignature(err)
	}
	return encoded, nil
}
