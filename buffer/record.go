package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// kind says which table a record belongs to. It is part of the checksum and
// not stored.
type kind byte

const (
	kindMeta     kind = 's'
	kindBoundary kind = 'b'
	kindItem     kind = 'i'
	kindBody     kind = 'p'
	kindMark     kind = 'm'
	kindContract kind = 'c'
	kindJournal  kind = 'j'
	kindLoss     kind = 'l'
	kindMinute   kind = 'n'
	kindNote     kind = 'o'
)

// recordVersion is the first byte of every record. A reader refuses versions
// that it does not know.
const recordVersion = 1

var (
	errChecksum = errors.New("checksum does not match")
	errVersion  = errors.New("record version is not known")
	errEncoding = errors.New("record does not decode")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal makes the stored value of a record.
func seal(k kind, key, payload []byte) []byte {
	v := make([]byte, 0, 1+len(payload)+4)
	v = append(v, recordVersion)
	v = append(v, payload...)
	return binary.BigEndian.AppendUint32(v, checksum(k, key, v))
}

// unseal returns the payload of a stored value whose checksum holds.
func unseal(k kind, key, value []byte) ([]byte, error) {
	if len(value) < 5 {
		return nil, errChecksum
	}
	body, sum := value[:len(value)-4], binary.BigEndian.Uint32(value[len(value)-4:])
	if checksum(k, key, body) != sum {
		return nil, errChecksum
	}
	if body[0] != recordVersion {
		return nil, fmt.Errorf("%w: %d", errVersion, body[0])
	}
	return body[1:], nil
}

func checksum(k kind, key, versioned []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte{byte(k)})
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, versioned)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime writes milliseconds, or one zero byte for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMilli()<<1|1)
}

// appendFields writes a map in the order of its keys: equal maps, equal bytes.
func appendFields(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendText(appendText(b, k), m[k])
	}
	return b
}

// appendDecimal writes exponent, sign and length, and the digits as an integer.
func appendDecimal(b []byte, d decimal.Decimal) []byte {
	c := d.Coefficient()
	mag := c.Bytes()
	head := uint64(len(mag)) << 1
	if c.Sign() < 0 {
		head |= 1
	}
	b = binary.AppendVarint(b, int64(d.Exponent()))
	return append(binary.AppendUvarint(b, head), mag...)
}

// decoder reads a payload from its front. After the first failure it returns
// zero values and keeps the error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b, d.err = nil, errEncoding
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func (d *decoder) time() time.Time {
	v := d.varint()
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v >> 1).UTC()
}

func (d *decoder) fields() map[string]string {
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each pair takes at least two bytes
		d.fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.text()
		m[k] = d.text()
	}
	return m
}

// maxMagnitude bounds a decimal's digits: a register is at most 64 bits wide.
const maxMagnitude = 32

func (d *decoder) decimal() decimal.Decimal {
	exp := d.varint()
	head := d.uvarint()
	if exp < -1000 || exp > 1000 || head>>1 > maxMagnitude {
		d.fail()
		return decimal.Decimal{}
	}
	c := new(big.Int).SetBytes(d.take(head >> 1))
	if head&1 == 1 {
		c.Neg(c)
	}
	return decimal.NewFromBigInt(c, int32(exp))
}

// end returns the first failure, or an error when bytes are left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail()
	}
	return d.err
}
