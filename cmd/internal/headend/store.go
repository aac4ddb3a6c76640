package headend

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"smgw/meter/form"
	"smgw/meter/form/wire"
)

const storeFile = "deliveries.db"

// The store has two buckets: what came, under its number in the order of
// arrival, and the number of each id.
var (
	deliveriesBucket = []byte("deliveries") // number, big-endian → record
	numbersBucket    = []byte("numbers")    // id → number
)

// record is a delivery as it lies in the store, in CBOR. The signed payload is
// kept as it came, as evidence.
type record struct {
	Received int64  `cbor:"1,keyasint"` // Unix time in milliseconds
	ID       string `cbor:"2,keyasint"`
	Signed   []byte `cbor:"3,keyasint"`
}

var errConflict = errors.New("same id, other content")

type store struct{ db *bbolt.DB }

func openStore(dir string) (*store, error) {
	db, err := bbolt.Open(filepath.Join(dir, storeFile), 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("another head-end runs on the folder %s: end it first, or choose another with --dir", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the head-end's store: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(deliveriesBucket)
		if err == nil {
			_, err = tx.CreateBucketIfNotExists(numbersBucket)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the head-end's store: %w", err), db.Close())
	}
	return &store{db}, nil
}

func (s *store) Close() error { return s.db.Close() }

// put stores a payload and returns true once it is on disk; false when the same
// payload is there. Sameness is judged on the payload inside the signature, for
// ES256 gives other bytes each time. What is new must be permitted.
func (s *store) put(id string, signed, encoded []byte, now time.Time, permit func() error) (stored bool, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		deliveries, numbers := tx.Bucket(deliveriesBucket), tx.Bucket(numbersBucket)
		if number := numbers.Get([]byte(id)); number != nil {
			have, err := parseDelivery(deliveries.Get(number))
			if err == nil && !bytes.Equal(have.Encoded, encoded) {
				err = errConflict
			}
			return err
		}
		if err := permit(); err != nil {
			return err
		}
		text, err := cbor.Marshal(record{Received: now.UnixMilli(), ID: id, Signed: signed})
		if err != nil {
			return err
		}
		n, err := deliveries.NextSequence()
		if err != nil {
			return err
		}
		number := binary.BigEndian.AppendUint64(nil, n)
		stored = true
		return errors.Join(deliveries.Put(number, text), numbers.Put([]byte(id), number))
	})
	return stored && err == nil, err
}

// each hands on every delivery in the order of arrival.
func (s *store) each(fn func(Delivery) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(deliveriesBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, text []byte) error {
			d, err := parseDelivery(text)
			if err != nil {
				return err
			}
			return fn(d)
		})
	})
}

// Delivery is one payload that a head-end has accepted.
type Delivery struct {
	ID       string
	Received time.Time
	Bytes    int           // of the signed payload
	Encoded  []byte        // the payload inside, as wire.Decode takes it
	Payload  *form.Payload // the same, decoded
}

func parseDelivery(text []byte) (Delivery, error) {
	var r record
	if err := cbor.Unmarshal(text, &r); err != nil {
		return Delivery{}, fmt.Errorf("head-end's store: %w", err)
	}
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(r.Signed); err != nil {
		return Delivery{}, fmt.Errorf("head-end's store: delivery %s: %w", r.ID, err)
	}
	payload, err := wire.Decode(message.Payload)
	if err != nil {
		return Delivery{}, fmt.Errorf("head-end's store: delivery %s: %w", r.ID, err)
	}
	return Delivery{ID: r.ID, Received: time.UnixMilli(r.Received).UTC(), Bytes: len(r.Signed), Encoded: message.Payload, Payload: payload}, nil
}

// deliveryJSON is a delivery for people and for those who do not read CBOR;
// payload has the CBOR in base64.
type deliveryJSON struct {
	ID       string    `json:"id"`
	Gateway  string    `json:"gateway"`
	Row      int       `json:"row"`
	MaLo     string    `json:"malo"`
	To       string    `json:"to"`
	Period   span      `json:"period"`
	Received time.Time `json:"received"`
	Bytes    int       `json:"bytes"`
	Payload  []byte    `json:"payload"`
}

type span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// MarshalJSON gives what was delivered, by whom, for whom and when.
func (d Delivery) MarshalJSON() ([]byte, error) {
	p := d.Payload
	return json.Marshal(deliveryJSON{
		ID: d.ID, Gateway: p.Gateway, Row: int(p.Row), MaLo: p.MaLo.String(), To: p.To.String(),
		Period:   span{p.Period.From.Time().In(form.Berlin), p.Period.To.Time().In(form.Berlin)},
		Received: d.Received, Bytes: d.Bytes, Payload: d.Encoded,
	})
}

// UnmarshalJSON reads it back, the payload from its CBOR.
func (d *Delivery) UnmarshalJSON(text []byte) error {
	var j deliveryJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	payload, err := wire.Decode(j.Payload)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", j.ID, err)
	}
	*d = Delivery{ID: j.ID, Received: j.Received, Bytes: j.Bytes, Encoded: j.Payload, Payload: payload}
	return nil
}

// Deliveries are all that were accepted, in the order of arrival.
func (h *HeadEnd) Deliveries() ([]Delivery, error) { return h.store.all() }

func (s *store) all() ([]Delivery, error) {
	var all []Delivery
	err := s.each(func(d Delivery) error {
		d.Encoded = bytes.Clone(d.Encoded) // bbolt's memory ends with its transaction
		all = append(all, d)
		return nil
	})
	return all, err
}

// Dump reads what a head-end that does not run now has in its folder.
func Dump(dir string) ([]Delivery, error) {
	path := filepath.Join(dir, storeFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the head-end's store: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("a head-end runs on the folder %s: ask it with --control, by the path of its control socket", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the head-end's store: %w", err)
	}
	s := &store{db}
	all, err := s.all()
	return all, errors.Join(err, s.Close())
}
