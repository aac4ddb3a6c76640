package sml

import "bytes"

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
	Payload     []byte   // unescaped, without as much fill as it claims; borrowed until the next call of Next

	escaped bool  // the payload had escapes, so its offsets are not the stream's
	fill    uint8 // bytes of fill, which stand behind the payload
}

// withFill gives the payload and its fill.
func (f Frame) withFill() []byte {
	return f.Payload[:min(len(f.Payload)+int(f.fill), cap(f.Payload))]
}

// locator gives where a payload's bytes stand in the stream. Asked in
// ascending order, it reads no byte twice.
type locator struct {
	Frame
	i, at int64 // the payload's byte i stands at offset at
	run   int   // 1b before it, less than an escape
}

func (f Frame) locator() locator {
	return locator{Frame: f, at: f.Offset + int64(len(start))}
}

func (l *locator) locate(i int64) int64 {
	if l.escaped {
		for _, b := range l.Payload[l.i:i] {
			if b != escape[0] {
				l.run = 0
			} else if l.run++; l.run == len(escape) {
				l.at, l.run = l.at+int64(len(escape)), 0
			}
		}
	}
	l.at, l.i = l.at+i-l.i, i
	return l.at
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
	for {
		i := bytes.Index(b, []byte(escape))
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i+len(escape)]...)
		b = b[min(i+2*len(escape), len(b)):]
	}
}
