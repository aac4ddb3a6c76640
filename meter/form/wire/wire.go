// Package wire is a payload of the form as it travels: CBOR in Core
// Deterministic Encoding (RFC 8949, 4.2.1), in a COSE_Sign1 with ES256 (RFC
// 9052). docs/payload.cddl describes every byte.
//
//	encoded, err := wire.Encode(&payload)
//	signed, err := wire.Sign(encoded, key, keyID)
//	…
//	encoded, err := wire.Verify(signed, publicKey)
//	payload, err := wire.Decode(encoded)
//
// The same payload is the same bytes, for ever: what Decode accepts, Encode
// gives back. A signature differs each time it is made, so sameness is judged
// on the encoded payload, and named by ID.
package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

const (
	// MaxSize is the largest encoded payload that is read or written, in bytes.
	MaxSize = 256 << 10
	// maxIntervals is the longest load profile: six weeks and more.
	maxIntervals = 4096
	// maxQuarters is the longest period: a decade.
	maxQuarters = 400_000
	// maxBoundary is in the year 2448.
	maxBoundary = 1<<24 - 1
	// maxCount is the largest revision, or count of a notice: an int on every board.
	maxCount = 1<<31 - 1
)

// The modes are made once and never changed.
var (
	tags   = mustTags()
	encode = must(cbor.CoreDetEncOptions().EncModeWithTags(tags))
	decode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   6,
		MaxArrayElements:  maxIntervals,
		MaxMapPairs:       16,
	}.DecModeWithTags(tags))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants
	}
	return v
}

func mustTags() cbor.TagSet {
	s := cbor.NewTagSet()
	required := cbor.TagOptions{EncTag: cbor.EncTagRequired, DecTag: cbor.DecTagRequired}
	must(0, s.Add(required, reflect.TypeFor[fraction](), 4))
	return s
}

// edition1 is the number of edition BK6-18-032 on the wire.
const edition1 = 1

// document is "payload" of docs/payload.cddl.
type document struct {
	Edition    uint8    `cbor:"1,keyasint"`
	Gateway    string   `cbor:"2,keyasint"`
	MeLo       string   `cbor:"3,keyasint"`
	MaLo       string   `cbor:"4,keyasint"`
	Row        uint8    `cbor:"5,keyasint"`
	To         string   `cbor:"6,keyasint"`
	Partner    string   `cbor:"7,keyasint"`
	From       int64    `cbor:"8,keyasint"`
	Quarters   int64    `cbor:"9,keyasint"`
	Values     []value  `cbor:"10,keyasint"`
	Revision   uint32   `cbor:"11,keyasint,omitempty"`
	Supersedes []byte   `cbor:"12,keyasint,omitempty"`
	Notices    []notice `cbor:"13,keyasint,omitempty"`
	Moment     int64    `cbor:"14,keyasint,omitempty"` // Unix seconds
}

// value is "value" of docs/payload.cddl.
type value struct {
	Code      []byte    `cbor:"1,keyasint"`
	Kind      uint8     `cbor:"2,keyasint"`
	At        int64     `cbor:"3,keyasint,omitempty"` // of a load profile left out: its period says it
	Amount    *fraction `cbor:"4,keyasint,omitempty"`
	State     uint8     `cbor:"5,keyasint,omitempty"` // 0: true
	Reason    string    `cbor:"6,keyasint,omitempty"`
	Method    string    `cbor:"7,keyasint,omitempty"`
	Warning   uint8     `cbor:"8,keyasint,omitempty"`
	Missing   uint32    `cbor:"9,keyasint,omitempty"`
	Exponent  int32     `cbor:"10,keyasint,omitempty"`
	Intervals []byte    `cbor:"11,keyasint,omitempty"`
	Runs      []run     `cbor:"12,keyasint,omitempty"`
	Final     bool      `cbor:"13,keyasint,omitempty"`
}

// notice is "notice" of docs/payload.cddl.
type notice struct {
	_     struct{} `cbor:",toarray"`
	Kind  string
	From  int64
	Until int64
	Count uint32
}

// ID names a payload by what it is, not by what it says: the first 16 bytes of
// SHA-256 over the deterministic CBOR array [gateway, market location, row,
// role, partner, from, to, revision], in hexadecimal. A momentary figure's has its
// moment at the end.
func ID(p *form.Payload) string {
	identity := []any{
		p.Gateway, p.MaLo.String(), uint64(p.Row), p.To.String(), p.PartnerID.String(),
		int64(p.Period.From), int64(p.Period.To), uint64(p.Revision),
	}
	if !p.Moment.IsZero() {
		identity = append(identity, p.Moment.Unix())
	}
	b, err := encode.Marshal(identity)
	if err != nil {
		panic(err) // text and integers
	}
	return digest(b)
}

// Content names a payload by what it says: two revisions with the same content
// tell their receiver the same. It is made as ID is, of the encoded payload
// without its revision, what it supersedes, and its notices of losses.
func Content(p *form.Payload) (string, error) {
	c := *p
	c.Revision, c.Supersedes = 0, ""
	c.Notices = slices.DeleteFunc(slices.Clone(p.Notices), form.Notice.OfLoss)
	b, err := Encode(&c)
	return digest(b), err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Encode gives the payload's bytes. Equal payloads give equal bytes. An error
// says which value cannot be written.
func Encode(p *form.Payload) ([]byte, error) {
	d := document{
		Edition: edition1, Gateway: p.Gateway, MeLo: p.MeLo.String(), MaLo: p.MaLo.String(),
		Row: uint8(p.Row), To: p.To.String(), Partner: p.PartnerID.String(),
		From: int64(p.Period.From), Quarters: int64(p.Period.To - p.Period.From), Revision: uint32(p.Revision),
	}
	if p.Edition != form.EditionBK618032 {
		return nil, fmt.Errorf("encode payload: edition %q has no number on the wire", p.Edition)
	}
	if _, ok := p.Row.Row(); !ok {
		return nil, fmt.Errorf("encode payload: row %d: the form has rows 1 to 9, and 56 is the grid's state", p.Row)
	}
	if !inTime(p.Period.From, p.Period.To) || d.Quarters < fewestQuarters(p.Row) || d.Quarters > maxQuarters {
		return nil, fmt.Errorf("encode payload: period from %d to %d: want %d to %d quarter hours since 1970", p.Period.From, p.Period.To, fewestQuarters(p.Row), maxQuarters)
	}
	if !p.Moment.IsZero() {
		at := p.Moment.Truncate(time.Second)
		if !at.Equal(p.Moment) || at.Before(p.Period.From.Time()) || !at.Before(p.Period.To.Time()) || at.Unix() == 0 {
			return nil, fmt.Errorf("encode payload: moment %s: want a whole second in its period", p.Moment.Format(time.RFC3339Nano))
		}
		d.Moment = at.Unix()
	}
	if len(p.Values) == 0 {
		return nil, errors.New("encode payload: it says nothing: want at least one value")
	}
	if p.Revision < 0 || p.Revision > maxCount {
		return nil, fmt.Errorf("encode payload: revision %d: want 0 to %d", p.Revision, maxCount)
	}
	if (p.Revision > 0) != (p.Supersedes != "") {
		return nil, fmt.Errorf("encode payload: revision %d supersedes %q: only a correction names what it replaces", p.Revision, p.Supersedes)
	}
	if p.Supersedes != "" {
		id, err := hex.DecodeString(p.Supersedes)
		if err != nil || len(id) != 16 {
			return nil, fmt.Errorf("encode payload: superseded id %q: want 32 hexadecimal digits", p.Supersedes)
		}
		d.Supersedes = id
	}
	for i := range p.Values {
		if (p.Values[i].Kind == form.Momentary) == p.Moment.IsZero() {
			return nil, fmt.Errorf("encode payload: %s of %s: only momentary figures are of a moment, and no other", p.Values[i].Kind, p.Values[i].Code.Short())
		}
		v, err := encodeValue(&p.Values[i], p.Period.From)
		if err != nil {
			return nil, fmt.Errorf("encode payload: %s of %s: %w", p.Values[i].Kind, p.Values[i].Code.Short(), err)
		}
		d.Values = append(d.Values, v)
	}
	for _, n := range p.Notices {
		if !inTime(n.From, n.To) {
			return nil, fmt.Errorf("encode payload: notice %q from %d to %d: want quarter hours since 1970", n.Kind, n.From, n.To)
		}
		if n.Count < 0 || n.Count > maxCount {
			return nil, fmt.Errorf("encode payload: notice %q of %d: want 0 to %d", n.Kind, n.Count, maxCount)
		}
		d.Notices = append(d.Notices, notice{Kind: n.Kind, From: int64(n.From), Until: int64(n.To), Count: uint32(n.Count)})
	}
	b, err := encode.Marshal(&d)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("encode payload: %d bytes are more than %d", len(b), MaxSize)
	}
	return b, nil
}

// fewestQuarters is how short a row's period may be: an event may ask for registers
// at an instant alone.
func fewestQuarters(n form.RowNumber) int64 {
	if row, _ := n.Row(); row.Rhythm == form.OnEvent {
		return 0
	}
	return 1
}

func encodeValue(v *form.Value, start meter.Quarter) (value, error) {
	w := value{Code: v.Code[:], Kind: uint8(v.Kind), At: int64(v.At), Missing: uint32(v.MissingIntervals)}
	if !inTime(v.At) {
		return w, fmt.Errorf("at %d: want quarter hours since 1970", v.At)
	}
	if v.Kind == form.LoadProfile {
		if v.Final {
			return w, errors.New("a load profile has no preliminary figures")
		}
		if v.At != start {
			return w, fmt.Errorf("it starts at %s, its period at %s", v.At, start)
		}
		w.At = 0
		err := w.setIntervals(v.Intervals)
		return w, err
	}
	switch {
	case v.Kind == form.Momentary && v.At != 0:
		return w, errors.New("its payload says when")
	case v.Kind == form.Energy && v.At != 0:
		return w, errors.New("it is of the period, and of no boundary")
	case v.MissingIntervals != 0 && v.Kind != form.MaxPower:
		return w, errors.New("only a maximum power counts missing quarter hours")
	case v.MissingIntervals < 0 || v.MissingIntervals > maxQuarters:
		return w, fmt.Errorf("%d missing quarter hours: want 0 to %d", v.MissingIntervals, maxQuarters)
	}
	s, err := stateOf(v.Quantity)
	if err != nil {
		return w, err
	}
	if v.Final && v.State != form.Preliminary {
		return w, fmt.Errorf("state %s is final by itself", v.State)
	}
	w.State, w.Reason, w.Method, w.Warning, w.Final = s.code(), string(s.Reason), string(s.Method), s.warning(), v.Final
	if v.Amount.Valid {
		w.Amount, err = newFraction(v.Amount.Decimal)
	}
	return w, err
}

// inTime keeps hostile boundaries away from the calendar.
func inTime(boundaries ...meter.Quarter) bool {
	for _, q := range boundaries {
		if q < 0 || q > maxBoundary {
			return false
		}
	}
	return true
}

// Decode reads a payload, strictly: unknown or doubled keys, indefinite lengths,
// other than the shortest form, ids that fail their check digit and figures
// that contradict their state are refused. It allocates no more than a small
// multiple of the input, and MaxSize bounds that.
func Decode(b []byte) (*form.Payload, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("decode payload: %d bytes are more than %d", len(b), MaxSize)
	}
	var d document
	if err := decode.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	p, err := d.payload()
	if err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	again, err := Encode(p)
	if err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	if !bytes.Equal(b, again) {
		return nil, errors.New("decode payload: not in the deterministic form of docs/payload.cddl")
	}
	return p, nil
}

func (d *document) payload() (*form.Payload, error) {
	p := &form.Payload{
		Gateway: d.Gateway, Edition: form.EditionBK618032, Row: form.RowNumber(d.Row), Revision: int(d.Revision),
		Period: form.Period{From: meter.Quarter(d.From), To: meter.Quarter(d.From + d.Quarters)},
	}
	if d.Edition != edition1 {
		return nil, fmt.Errorf("edition %d: want 1, which is BK6-18-032", d.Edition)
	}
	if least := fewestQuarters(p.Row); d.Quarters < least || d.Quarters > maxQuarters {
		return nil, fmt.Errorf("period of %d quarter hours: want %d to %d", d.Quarters, least, maxQuarters)
	}
	var err error
	if p.MeLo, err = form.ParseMeteringLocationID(d.MeLo); err != nil {
		return nil, err
	}
	if p.MaLo, err = form.ParseMarketLocationID(d.MaLo); err != nil {
		return nil, err
	}
	if _, ok := p.Row.Row(); !ok {
		return nil, fmt.Errorf("row %d: the form has rows 1 to 9, and 56 is the grid's state", d.Row)
	}
	if p.To, err = form.ParseRole(d.To); err != nil {
		return nil, err
	}
	if p.PartnerID, err = form.ParsePartnerID(d.Partner); err != nil {
		return nil, err
	}
	if d.Moment != 0 {
		p.Moment = time.Unix(d.Moment, 0).UTC()
	}
	if d.Supersedes != nil {
		p.Supersedes = hex.EncodeToString(d.Supersedes)
	}
	for i := range d.Values {
		v, err := d.Values[i].value(p.Period)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		p.Values = append(p.Values, v)
	}
	for _, n := range d.Notices {
		p.Notices = append(p.Notices, form.Notice{Kind: n.Kind, From: meter.Quarter(n.From), To: meter.Quarter(n.Until), Count: int(n.Count)})
	}
	return p, nil
}

func (w *value) value(p form.Period) (form.Value, error) {
	v := form.Value{Kind: form.Kind(w.Kind), At: meter.Quarter(w.At), MissingIntervals: int(w.Missing), Final: w.Final}
	if len(w.Code) != len(obis.Code{}) {
		return v, fmt.Errorf("obis code of %d bytes: want 6", len(w.Code))
	}
	v.Code = obis.Code(w.Code)
	if v.Kind < form.Energy || form.Momentary < v.Kind {
		return v, fmt.Errorf("kind %d: want 1 to 5", w.Kind)
	}
	if v.Kind == form.LoadProfile {
		var err error
		v.At = p.From
		v.Intervals, err = w.intervals(int64(p.To - p.From))
		return v, err
	}
	s := status{Reason: form.Reason(w.Reason), Method: form.Method(w.Method)}
	q, err := s.quantity(w.State, w.Warning)
	if err != nil {
		return v, err
	}
	if w.Amount != nil {
		if q.Amount.Decimal, err = w.Amount.decimal(); err != nil {
			return v, err
		}
		q.Amount.Valid = true
	}
	v.Quantity = q
	return v, nil
}
