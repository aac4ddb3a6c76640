package sml

import "encoding/binary"

// The kinds of a TL byte: its high nibble without the bit that says that
// another TL byte follows.
const (
	kindOctets   = 0x0
	kindBool     = 0x4
	kindSigned   = 0x5
	kindUnsigned = 0x6
	kindList     = 0x7
)

// cursor reads TLV. The first failure stays in why; from then on every read
// gives zeros and moves nowhere, so that callers check once, at the end.
type cursor struct {
	b   []byte
	i   int
	why Reason
	bad int // where it failed

	list1, list2 int // where one list is known to begin and end, so that it need not be walked again
}

// next is the kind of the next element.
func (c *cursor) next() byte {
	if c.i >= len(c.b) {
		return kindOctets
	}
	return c.b[c.i] >> 4 & 0x7
}

// absent reads an absent field. Most fields of most telegrams are.
func (c *cursor) absent() bool {
	if c.i < len(c.b) && c.b[c.i] == 0x01 {
		c.i++
		return true
	}
	return false
}

func (c *cursor) fail(why Reason) {
	if c.why == "" {
		c.why, c.bad = why, min(c.i, len(c.b))
	}
	c.i = len(c.b)
}

// walked is how far reading came.
func (c *cursor) walked() int {
	if c.why != "" {
		return c.bad
	}
	return c.i
}

// tl reads a type and a length: of a list the count of its elements, else the
// count of octets that follow, which are there. A list has at least as many
// octets left as it claims elements, since none is shorter than one: so no
// claim is believed beyond what came in.
func (c *cursor) tl() (kind byte, n int) {
	if c.i >= len(c.b) {
		c.fail(PastEnd)
		return 0, 0
	}
	first := c.b[c.i]
	if first >= 0x80 {
		return c.longTL()
	}
	c.i++
	kind, n = first>>4, int(first&0x0f)
	if kind != kindList {
		n--
		if n < 0 || plain>>kind&1 == 0 {
			c.fail(BadLength)
			return 0, 0
		}
	}
	if n > len(c.b)-c.i {
		c.fail(PastEnd)
		return 0, 0
	}
	return kind, n
}

// longTL reads a TL of several bytes. Their lengths are nibbles, high first;
// all but a list's count their own bytes too.
func (c *cursor) longTL() (kind byte, n int) {
	kind = c.b[c.i] >> 4 & 0x7
	start := c.i
	for more := true; more; c.i++ {
		if c.i >= len(c.b) {
			c.fail(PastEnd)
			return 0, 0
		}
		b := c.b[c.i]
		// More than any payload holds is too much, whatever follows: so n
		// cannot overflow, nor a row of f0 f0 f0 … be believed.
		if n = n<<4 | int(b&0x0f); n > 1<<24 {
			c.fail(PastEnd)
			return 0, 0
		}
		more = b >= 0x80
	}
	if kind != kindList {
		n -= c.i - start
		if n < 0 || plain>>kind&1 == 0 {
			c.fail(BadLength)
			return 0, 0
		}
	}
	if n > len(c.b)-c.i {
		c.fail(PastEnd)
		return 0, 0
	}
	return kind, n
}

// skip moves over n elements, however deep they are nested: a list only adds
// its elements to those that are still to come, so nothing recurses.
func (c *cursor) skip(n int) {
	b, i := c.b, c.i
	for ; n > 0; n-- {
		if uint(i) >= uint(len(b)) {
			c.i = i
			c.fail(PastEnd)
			return
		}
		switch tl := b[i]; {
		case tl == 0x01: // most fields; known here, the next TL can be guessed before this one is read
			i++
		case tl < kindList<<4 && plain>>(tl>>4)&1 != 0 && tl&0x0f != 0:
			i += int(tl & 0x0f)
		case tl>>4 == kindList:
			i++
			n += int(tl & 0x0f)
		default: // of several bytes, or wrong
			c.i = i
			kind, m := c.tl()
			if c.why != "" {
				return
			}
			i = c.i
			if kind == kindList {
				n += m
			} else {
				i += m
			}
		}
	}
	c.i = i
	if i > len(b) {
		c.fail(PastEnd)
	}
}

// plain has a bit for each kind whose length counts octets.
const plain = 1<<kindOctets | 1<<kindBool | 1<<kindSigned | 1<<kindUnsigned

// element gives the bytes of the next element, TL included.
func (c *cursor) element() []byte {
	start := c.i
	c.skip(1)
	if c.why != "" {
		return nil
	}
	return c.b[start:c.i:c.i]
}

// list enters a list that must have n elements.
func (c *cursor) list(n int) {
	if kind, m := c.tl(); kind != kindList {
		c.fail(WrongType)
	} else if m != n {
		c.fail(WrongCount)
	}
}

// octets reads an octet string; an absent one is nil.
func (c *cursor) octets() []byte {
	if c.absent() {
		return nil
	}
	kind, n := c.tl()
	if kind != kindOctets {
		c.fail(WrongType)
		return nil
	}
	if n == 0 {
		return nil
	}
	b := c.b[c.i : c.i+n : c.i+n]
	c.i += n
	return b
}

// bigEndian reads n octets as an unsigned integer.
func (c *cursor) bigEndian(n int) (v uint64) {
	if n < 1 || n > 8 {
		c.fail(IntegerSize)
		return 0
	}
	if c.i+8 <= len(c.b) {
		v = binary.BigEndian.Uint64(c.b[c.i:]) >> (64 - 8*n)
	} else {
		for _, b := range c.b[c.i : c.i+n] {
			v = v<<8 | uint64(b)
		}
	}
	c.i += n
	return v
}

// signed reads n octets as a signed integer.
func (c *cursor) signed(n int) int64 {
	shift := uint(64 - 8*n)
	return int64(c.bigEndian(n)<<shift) >> shift
}

// uint reads an unsigned integer of any width, or an absent one.
func (c *cursor) uint() Uint {
	if c.i+1 < len(c.b) && c.b[c.i] == 0x62 {
		c.i += 2
		return Uint{uint64(c.b[c.i-1]), 1}
	}
	if c.absent() {
		return Uint{}
	}
	switch kind, n := c.tl(); {
	case kind == kindUnsigned:
		return Uint{c.bigEndian(n), uint8(n)}
	case kind != kindOctets || n != 0:
		c.fail(WrongType)
	}
	return Uint{}
}

// int reads a signed integer of any width, or an absent one.
func (c *cursor) int() Int {
	if c.absent() {
		return Int{}
	}
	switch kind, n := c.tl(); {
	case kind == kindSigned:
		return Int{c.signed(n), uint8(n)}
	case kind != kindOctets || n != 0:
		c.fail(WrongType)
	}
	return Int{}
}

// byte reads an unsigned integer of any width whose value fits one octet.
func (c *cursor) byte() (v uint8, present bool) {
	u := c.uint()
	if u.Value > 255 {
		c.fail(OutOfRange)
	}
	return uint8(u.Value), u.Size != 0
}

// appendTL appends a type and the length n: of a list the count of its
// elements, else the count of octets without the TL.
func appendTL(dst []byte, kind byte, n int) []byte {
	size := 1
	if kind != kindList {
		for n+size >= 1<<(4*size) {
			size++
		}
		n += size
	} else {
		for n >= 1<<(4*size) {
			size++
		}
	}
	for k := size - 1; k >= 0; k-- {
		b := byte(n>>(4*k)) & 0x0f
		if k == size-1 {
			b |= kind << 4
		}
		if k > 0 {
			b |= 0x80
		}
		dst = append(dst, b)
	}
	return dst
}

func appendOctets(dst, b []byte) []byte {
	return append(appendTL(dst, kindOctets, len(b)), b...)
}

func appendBigEndian(dst []byte, v uint64, size uint8) []byte {
	for k := int(size) - 1; k >= 0; k-- {
		dst = append(dst, byte(v>>(8*k)))
	}
	return dst
}
