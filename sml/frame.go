package sml

// The transport's signs.
const (
	escape = "\x1b\x1b\x1b\x1b"
	start  = escape + "\x01\x01\x01\x01"
)

// MaxFrame is the longest frame that is read, in bytes on the wire from the
// start sequence to the CRC. It bounds the memory of a Reader. At 9600 baud it
// is more than a minute of one frame; real ones have less than 1 KiB.
const MaxFrame = 64 << 10

// Frame is one transport file with a good CRC.
type Frame struct {
	Offset, End int64    // in the stream; End is exclusive
	Checksum    Checksum // which CRC it carries
	Payload     []byte   // unescaped, without fill; borrowed until the next call of Next

	escaped bool // the payload had escapes, so its offsets are not the stream's
}

// locate gives where the payload's byte i stands in the stream.
func (f Frame) locate(i int64) int64 {
	at := f.Offset + int64(len(start)) + i
	if !f.escaped {
		return at
	}
	run := 0
	for _, b := range f.Payload[:i] {
		if b != escape[0] {
			run = 0
		} else if run++; run == len(escape) {
			at, run = at+int64(len(escape)), 0
		}
	}
	return at
}

// AppendFrame wraps a payload as a transport file: escapes it, fills it up to a multiple of
// four bytes and appends the checksum.
func AppendFrame(dst []byte, checksum Checksum, payload []byte) []byte {
	begin := len(dst)
	dst = append(dst, start...)
	run := 0
	for _, b := range payload {
		dst = append(dst, b)
		if b != escape[0] {
			run = 0
		} else if run++; run == len(escape) {
			dst, run = append(dst, escape...), 0
		}
	}
	fill := -(len(dst) - begin) & 3
	dst = append(dst, 0, 0, 0)[:len(dst)+fill]
	dst = append(append(dst, escape...), 0x1a, byte(fill))
	sum := checksum.sum(dst[begin:])
	return append(dst, byte(sum>>8), byte(sum))
}

// unescape appends b, as it stood on the wire, to dst with every escaped
// 1b1b1b1b single again.
func unescape(dst, b []byte) []byte {
	run := 0
	for i := 0; i < len(b); i++ {
		dst = append(dst, b[i])
		if b[i] != escape[0] {
			run = 0
		} else if run++; run == len(escape) {
			i, run = i+len(escape), 0
		}
	}
	return dst
}
