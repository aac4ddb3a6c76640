package sml

import "encoding/binary"

// Checksum says which CRC-16 a frame or a message carries. Both are the
// reflected polynomial 0x1021; they differ in the start value, in the final
// inversion and in the order of their two bytes on the wire.
type Checksum uint8

const (
	X25    Checksum = iota + 1 // CRC-16/X.25, low byte first: the standard's
	Kermit                     // CRC-16/Kermit, high byte first: Holley over RS485
)

// String gives "x25" or "kermit".
func (c Checksum) String() string {
	switch c {
	case X25:
		return "x25"
	case Kermit:
		return "kermit"
	}
	return "none"
}

// MarshalText is String, for JSON.
func (c Checksum) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// crcTable[k][b] is the register that byte b leaves after k more zero bytes:
// with it sixteen bytes are taken at once ("slicing by 16", 8 KiB).
var crcTable = func() (t [16][256]uint16) {
	for b := range t[0] {
		r := uint16(b)
		for range 8 {
			if r&1 != 0 {
				r = r>>1 ^ 0x8408
			} else {
				r >>= 1
			}
		}
		t[0][b] = r
	}
	for k := 1; k < len(t); k++ {
		for b := range t[k] {
			r := t[k-1][b]
			t[k][b] = r>>8 ^ t[0][byte(r)]
		}
	}
	return t
}()

// crcUpdate runs the register r over b.
func crcUpdate(r uint16, b []byte) uint16 {
	if len(b) >= 3*len(crcBlock{}) { // less is not worth it
		var block crcBlock
		block, b = crcFold(r, b)
		r = crcSlice(0, block[:])
	}
	return crcSlice(r, b)
}

// crcSlice runs the register r over b, sixteen bytes at once. The two terms
// that need r stand last, so that the processor has the others ready by then.
func crcSlice(r uint16, b []byte) uint16 {
	t := &crcTable
	for len(b) >= 16 {
		x := binary.LittleEndian.Uint64(b)
		y := binary.LittleEndian.Uint64(b[8:])
		z := t[13][byte(x>>16)] ^ t[12][byte(x>>24)] ^
			t[11][byte(x>>32)] ^ t[10][byte(x>>40)] ^ t[9][byte(x>>48)] ^ t[8][byte(x>>56)] ^
			t[7][byte(y)] ^ t[6][byte(y>>8)] ^ t[5][byte(y>>16)] ^ t[4][byte(y>>24)] ^
			t[3][byte(y>>32)] ^ t[2][byte(y>>40)] ^ t[1][byte(y>>48)] ^ t[0][byte(y>>56)]
		r ^= uint16(x)
		r = z ^ (t[15][byte(r)] ^ t[14][r>>8])
		b = b[16:]
	}
	for _, c := range b {
		r = r>>8 ^ t[0][byte(r)^c]
	}
	return r
}

// crcBlock is what crcFold leaves of whatever it folds.
type crcBlock [128]byte

// crcFold gives 128 bytes whose CRC, with start value 0, is that of r and the
// front of b, and the rest of b. It needs at least 128 bytes, and no table.
//
// The polynomial is p = x^16 + x^12 + x^5 + 1. Squaring modulo 2 only doubles
// exponents, so p^64 = x^1024 + x^768 + x^320 + 1, and what is a multiple of p
// does not change a CRC. So a word of 64 bits, x^1024 before another, may be
// taken away if it is added (^) to the words 1024-768, 1024-320 and 1024 bits
// behind it: 4, 11 and 16 words.
func crcFold(r uint16, b []byte) (block crcBlock, rest []byte) {
	var sums [16]uint64 // sums[i%16] is what was added to word i
	sums[0] = uint64(r)
	i := 0
	for ; len(b) >= len(block)+8; b = b[8:] {
		word := binary.LittleEndian.Uint64(b) ^ sums[i&15]
		sums[i&15] = word
		sums[(i+4)&15] ^= word
		sums[(i+11)&15] ^= word
		i++
	}
	for k := range sums {
		word := binary.LittleEndian.Uint64(b[8*k:]) ^ sums[(i+k)&15]
		binary.LittleEndian.PutUint64(block[8*k:], word)
	}
	return block, b[len(block):]
}

// crcPower[k] is the operator that moves a register over 2^k zero bytes: the
// polynomial x^(8·2^k), reflected.
var crcPower = func() (p [17]uint16) {
	p[0] = 0x0080 // x^8: bit 15-i stands for x^i
	for k := 1; k < len(p); k++ {
		p[k] = crcMultiply(p[k-1], p[k-1])
	}
	return p
}()

// crcMultiply multiplies two reflected polynomials modulo 0x1021.
func crcMultiply(a, b uint16) (product uint16) {
	for ; a != 0; a <<= 1 {
		if a&0x8000 != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ 0x8408
		} else {
			b >>= 1
		}
	}
	return product
}

// crcShift moves the register r over n zero bytes in O(log n), n < 2^17. With
// it the CRC of a whole is made from the CRCs of its parts:
// crc(ab) = crcShift(crc(a), len(b)) ^ crc(b), start value 0.
func crcShift(r uint16, n int) uint16 {
	for k := 0; n != 0 && k < len(crcPower); k, n = k+1, n>>1 {
		if n&1 != 0 {
			r = crcMultiply(crcPower[k], r)
		}
	}
	return r
}

// sum is the checksum of b as it stands on the wire, first byte high.
func (c Checksum) sum(b []byte) uint16 {
	if c == Kermit {
		return crcUpdate(0, b)
	}
	r := ^crcUpdate(0xffff, b)
	return r<<8 | r>>8
}

// verify finds the checksum that sent, the two bytes on the wire, is of b.
func verify(b []byte, sent uint16) (Checksum, bool) {
	if X25.sum(b) == sent {
		return X25, true
	}
	if Kermit.sum(b) == sent {
		return Kermit, true
	}
	return 0, false
}
