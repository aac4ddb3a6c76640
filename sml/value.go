package sml

// Uint is an unsigned integer with the count of octets it has on the wire.
// Size 0 is an absent one; Size is 1 to 8 otherwise.
type Uint struct {
	Value uint64
	Size  uint8
}

// Int is a signed integer with the count of octets it has on the wire. Size 0
// is an absent one; Size is 1 to 8 otherwise.
type Int struct {
	Value int64
	Size  uint8
}

// U8 is an unsigned integer of one octet, as in units.
func U8(v uint8) Uint { return Uint{uint64(v), 1} }

// I8 is a signed integer of one octet, as in scalers.
func I8(v int8) Int { return Int{int64(v), 1} }

// Valid reports whether the integer is there.
func (u Uint) Valid() bool { return u.Size != 0 }

// Valid reports whether the integer is there.
func (i Int) Valid() bool { return i.Size != 0 }

func (u Uint) append(dst []byte) []byte {
	if u.Size == 0 {
		return append(dst, 0x01)
	}
	return appendBigEndian(append(dst, kindUnsigned<<4|(u.Size+1)), u.Value, u.Size)
}

func (i Int) append(dst []byte) []byte {
	if i.Size == 0 {
		return append(dst, 0x01)
	}
	return appendBigEndian(append(dst, kindSigned<<4|(i.Size+1)), uint64(i.Value), i.Size)
}

// Kind says what a Value is.
type Kind uint8

const (
	Absent   Kind = iota // no value: 01 on the wire
	Octets               // an octet string, in Bytes
	Bool                 // a boolean
	Signed               // a signed integer of Size octets
	Unsigned             // an unsigned integer of Size octets
	List                 // a list, its TLV in Bytes; see Time
)

// Value is an SML_Value: what a register or parameter holds. The zero Value is
// an absent one.
type Value struct {
	Kind  Kind
	Size  uint8  // octets of an integer on the wire, 1 to 8
	Bits  uint64 // an integer, sign-extended to 64 bits when Signed; a boolean as 0 or 1
	Bytes []byte // an octet string, or the TLV of a list; borrowed
}

// SignedValue is a signed integer of size octets, 1 to 8.
func SignedValue(v int64, size uint8) Value { return Value{Kind: Signed, Size: size, Bits: uint64(v)} }

// UnsignedValue is an unsigned integer of size octets, 1 to 8.
func UnsignedValue(v uint64, size uint8) Value { return Value{Kind: Unsigned, Size: size, Bits: v} }

// OctetValue is an octet string.
func OctetValue(b []byte) Value { return Value{Kind: Octets, Bytes: b} }

// BoolValue is a boolean.
func BoolValue(b bool) Value {
	v := Value{Kind: Bool, Size: 1}
	if b {
		v.Bits = 1
	}
	return v
}

// TimeValue is a list that holds a time, as meters send them for a value.
func TimeValue(t Time) Value {
	return Value{Kind: List, Bytes: t.append([]byte{0x72, 0x62, 0x01})}
}

// IsInteger reports whether the value is an integer, of either type.
func (v Value) IsInteger() bool { return v.Kind == Signed || v.Kind == Unsigned }

// Time gives the time that a list holds.
func (v Value) Time() (Time, bool) {
	if v.Kind != List {
		return Time{}, false
	}
	c := cursor{b: v.Bytes}
	c.list(2)
	if tag := c.uint(); tag.Value != 1 {
		return Time{}, false
	}
	t := c.formal()
	return t, c.why == "" && c.i == len(c.b) && t.Valid()
}

// MinSize is the count of octets that v needs as an unsigned integer.
func MinSize(v uint64) (n uint8) {
	for n = 1; n < 8 && v>>(8*n) != 0; n++ {
	}
	return n
}

// MinSignedSize is the count of octets that v needs as a signed integer.
func MinSignedSize(v int64) (n uint8) {
	for n = 1; n < 8 && v>>(8*n-1) != 0 && v>>(8*n-1) != -1; n++ {
	}
	return n
}

func (v Value) append(dst []byte) []byte {
	switch v.Kind {
	case Octets:
		return appendOctets(dst, v.Bytes)
	case Bool:
		return append(dst, kindBool<<4|2, byte(v.Bits))
	case Signed:
		return Int{int64(v.Bits), v.Size}.append(dst)
	case Unsigned:
		return Uint{v.Bits, v.Size}.append(dst)
	case List:
		return append(dst, v.Bytes...)
	}
	return append(dst, 0x01)
}

func (c *cursor) value() (v Value) {
	start := c.i
	if c.absent() {
		return Value{}
	}
	kind, n := c.tl()
	switch kind {
	case kindUnsigned:
		return Value{Kind: Unsigned, Size: uint8(n), Bits: c.bigEndian(n)}
	case kindSigned:
		return Value{Kind: Signed, Size: uint8(n), Bits: uint64(c.signed(n))}
	case kindOctets:
		if n == 0 {
			return Value{}
		}
		v = Value{Kind: Octets, Bytes: c.b[c.i : c.i+n : c.i+n]}
		c.i += n
	case kindBool:
		if n != 1 {
			c.fail(BadLength)
			return Value{}
		}
		v = Value{Kind: Bool, Size: 1, Bits: uint64(c.b[c.i])}
		c.i++
	case kindList:
		c.skip(n)
		if c.why == "" {
			v = Value{Kind: List, Bytes: c.b[start:c.i:c.i]}
		}
	}
	return v
}
