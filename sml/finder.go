package sml

import "bytes"

// finder finds frames in a window of the stream.
//
// Two automata run side by side over all bytes. One looks for a start
// sequence anywhere: match counts how much of it stands before the next byte.
// The other follows the frame: escape counts the 1b before the next byte, of
// which four are an escape and eight are four as data.
//
// A start sequence within a frame may be data (then its escape stands doubled)
// or a new frame after a torn one, and before the end no byte tells which. So
// each is kept as a candidate. That costs nothing on the way: behind 01010101
// the second automaton is in the same state whichever candidate is true, so
// all share it, and what ends one, an end sequence or a bad escape, ends all.
// At an end sequence the CRC decides, oldest candidate first. Candidates are at
// least twelve bytes apart, so there are never more than MaxFrame/12, and no
// byte is checked twice: no input costs more than linear time, or a good frame
// for its neighbour's fault.
type finder struct {
	window []byte
	base   int64 // offset of window[0] in the stream
	at     int   // the window is scanned up to here

	match   uint8   // bytes of a start sequence that stand before at, 0 to 7
	starts  []int64 // candidates, in order; none outside a frame
	first   int     // the oldest candidate in starts
	escape  uint8   // 1b that stand before at, 0 to 7, since the last data
	ended   uint8   // bytes seen from the 1a of an end sequence on, 0 to 3
	literal int64   // behind the last escaped 1b1b1b1b

	open   int64  // outside a frame: from here on bytes belong to none
	reason Reason // why, where a frame was given up; "" for noise
	closed int64  // where the frame given up ends, unless a start begins before

	queue   []found // what was found and is not handed on yet
	scratch []byte  // of a payload that had escapes

	errors []RefusedError // to be handed out, made many at once
}

// found is a frame, or a refused region if there is a reason.
type found struct {
	frame  Frame
	reason Reason
}

// next hands on what was found, or scans for more. It is not ok when more
// bytes are needed.
func (f *finder) next() (frame Frame, refused *RefusedError, ok bool) {
	if len(f.queue) == 0 && !f.scan() {
		return Frame{}, nil, false
	}
	head := &f.queue[0]
	if head.reason == "" {
		frame = head.frame
		f.queue = f.queue[:0] // a frame is always the last
		return frame, nil, true
	}
	if len(f.errors) == 0 {
		f.errors = make([]RefusedError, 64)
	}
	refused, f.errors = &f.errors[0], f.errors[1:]
	*refused = RefusedError{Offset: head.frame.Offset, End: head.frame.End, Reason: head.reason}
	if head.reason == FrameTooLong {
		refused.Limit = MaxFrame
	}
	// Long noise is told in parts, so that a silent line with a wrong speed
	// is heard of; always the same parts, however the bytes came in.
	if head.reason == Noise && refused.End-refused.Offset > MaxFrame {
		refused.End = refused.Offset + MaxFrame
		head.frame.Offset = refused.End
		return Frame{}, refused, true
	}
	f.queue = append(f.queue[:0], f.queue[1:]...)
	return Frame{}, refused, true
}

// refuse queues a region.
func (f *finder) refuse(from, to int64, why Reason) {
	if from < to {
		f.queue = append(f.queue, found{Frame{Offset: from, End: to}, why})
	}
}

// scan goes on through the window until something is found.
func (f *finder) scan() bool {
	w := f.window
	for f.at < len(w) {
		i, limit := f.at, len(w)
		if f.inside() {
			limit = min(limit, int(f.starts[f.first]-f.base)+MaxFrame)
		}
		if f.match|f.escape|f.ended == 0 {
			skip := bytes.IndexByte(w[i:limit], 0x1b)
			if skip < 0 {
				skip = limit - i
			}
			i += skip
			// Most 1b are the unit W of a value and stand alone.
			if i+1 < limit && w[i+1] != 0x1b {
				i += 2
			}
		}
		f.at = i
		switch rest := w[i:limit]; {
		case len(rest) == 0:
		// Whole signs at once, which is what nearly all come to: a flood first.
		case f.ended == 0 && hasPrefix(rest, escape+escape):
			f.at += len(escape + escape)
			f.match = 4
			if f.inside() {
				f.literal = f.base + int64(f.at) - int64(f.escape)
			}
		case !f.inside() && hasPrefix(rest, start):
			f.at += len(start)
			f.begin(f.base + int64(i))
		case f.inside() && f.escape|f.ended == 0 && hasPrefix(rest, escape+"\x1a"):
			f.at += len(escape) + 1
			f.match, f.escape, f.ended = 0, 4, 1
		default:
			f.at++
			f.step(w[i])
		}
		if f.inside() {
			if f.base+int64(f.at) == f.starts[f.first]+MaxFrame {
				f.tooLong()
			}
		} else {
			f.settle()
		}
		if len(f.queue) > 0 {
			return true
		}
	}
	return false
}

func hasPrefix(b []byte, sign string) bool {
	return len(b) >= len(sign) && string(b[:len(sign)]) == sign
}

// inside reports whether a frame may have begun.
func (f *finder) inside() bool { return f.first < len(f.starts) }

// step moves both automata over the byte before at.
func (f *finder) step(b byte) {
	switch {
	case b == 0x1b && f.match <= 4:
		f.match = min(f.match+1, 4) // a fifth 1b may still be the fourth
	case b == 0x1b:
		f.match = 1
	case b == 0x01 && f.match >= 4:
		f.match++
	default:
		f.match = 0
	}
	if f.inside() {
		switch {
		case f.ended > 0:
			if f.ended++; f.ended == 4 { // 1a, fill count, CRC
				f.end()
			}
		case b == 0x1b:
			if f.escape++; f.escape == 8 {
				f.escape, f.literal = 0, f.base+int64(f.at)
			}
		case f.escape < 4:
			f.escape = 0
		case b == 0x1a:
			// With an escape of 5 to 7 the payload's last bytes are 1b.
			f.ended = 1
		default:
			f.giveUp(BadEscape)
		}
	}
	if f.match == 8 {
		f.begin(f.base + int64(f.at) - 8)
	}
}

// begin notes a start sequence at offset at.
func (f *finder) begin(at int64) {
	f.match = 0
	if !f.inside() {
		f.leave(at)
		f.starts, f.first, f.escape, f.ended, f.literal = f.starts[:0], 0, 0, 0, 0
	}
	if len(f.starts) == cap(f.starts) && f.first > len(f.starts)/2 {
		f.starts, f.first = f.starts[:copy(f.starts, f.starts[f.first:])], 0
	}
	f.starts = append(f.starts, at)
}

// leave queues what lies between frames, up to offset to.
func (f *finder) leave(to int64) {
	if f.reason != "" {
		end := min(f.closed, to)
		if end < f.closed && f.reason == BadEscape {
			f.reason = Torn // what looked like a bad escape was a start
		}
		f.refuse(f.open, end, f.reason)
		f.open, f.reason = end, ""
	}
	f.refuse(f.open, to, Noise)
	f.open = to
}

// settle queues a frame that was given up once no start can begin within it
// any more, and long noise.
func (f *finder) settle() {
	sure := f.base + int64(f.at) - int64(f.match)
	if f.reason != "" && sure >= f.closed {
		f.leave(f.closed)
	}
	if whole := (sure - f.open) / MaxFrame * MaxFrame; f.reason == "" && whole > 0 {
		f.leave(f.open + whole)
	}
}

// giveUp ends all candidates: what began with the oldest ends here.
func (f *finder) giveUp(why Reason) {
	f.open, f.reason, f.closed = f.starts[f.first], why, f.base+int64(f.at)
	f.starts, f.first, f.escape, f.ended = f.starts[:0], 0, 0, 0
}

// tooLong ends the oldest candidate.
func (f *finder) tooLong() {
	if f.first+1 == len(f.starts) {
		f.giveUp(FrameTooLong)
		f.settle()
		return
	}
	f.refuse(f.starts[f.first], f.starts[f.first+1], FrameTooLong)
	f.first++
}

// end decides which candidate the end sequence before at belongs to.
func (f *finder) end() {
	end := f.base + int64(f.at)
	tail := f.window[f.at-4 : f.at] // 1a, fill count, CRC
	checksum, which := f.verify(uint16(tail[2])<<8 | uint16(tail[3]))
	if checksum == 0 {
		f.giveUp(FrameChecksum)
		return
	}
	begin := f.starts[which]
	payload := f.window[int(begin-f.base)+len(start) : f.at-8]
	escaped := f.literal > begin+int64(len(start))
	if escaped {
		f.scratch = unescape(f.scratch[:0], payload)
		payload = f.scratch
	}
	// A fill count of four is sent by DZG, where it says as much as none. The
	// bytes stay behind the payload, for Frame.Messages to judge.
	fill := int(tail[1])
	if fill > 4 || fill > len(payload) {
		f.giveUp(BadFill)
		return
	}
	payload = payload[: len(payload)-fill : len(payload)]
	f.refuse(f.starts[f.first], begin, Torn)
	f.queue = append(f.queue, found{frame: Frame{begin, end, checksum, payload, escaped, uint8(fill)}})
	f.starts, f.first, f.escape, f.ended, f.match = f.starts[:0], 0, 0, 0, 0
	f.open, f.reason = end, ""
}

// verify finds the oldest candidate that the CRC sent fits.
func (f *finder) verify(sent uint16) (c Checksum, which int) {
	end := f.at - 2
	if f.first+1 == len(f.starts) {
		c, _ = verify(f.window[f.starts[f.first]-f.base:end], sent)
		return c, f.first
	}
	// From the newest back, so that each byte is read once: the CRC of a
	// candidate is that of the bytes up to the next one, moved, and that one's.
	behind, rest := end, uint16(0)
	shifted := uint16(0xffff) // the start value of X.25, moved over all up to end
	for i := len(f.starts) - 1; i >= f.first; i-- {
		at := int(f.starts[i] - f.base)
		rest ^= crcShift(crcUpdate(0, f.window[at:behind]), end-behind)
		shifted = crcShift(shifted, behind-at)
		behind = at
		x25 := ^(rest ^ shifted)
		switch sent {
		case x25<<8 | x25>>8:
			c, which = X25, i
		case rest:
			c, which = Kermit, i
		}
	}
	return c, which
}

// finish says that the stream ends here. It reports whether that led to
// anything new.
func (f *finder) finish() bool {
	end := f.base + int64(f.at)
	if f.inside() {
		f.refuse(f.starts[f.first], end, Torn)
	} else {
		f.leave(end)
	}
	f.starts, f.first, f.match, f.escape, f.ended = f.starts[:0], 0, 0, 0, 0
	f.open, f.reason = end, ""
	return len(f.queue) > 0
}

// room gives space for at least n more bytes behind the window's.
func (f *finder) room(n int) []byte {
	if cap(f.window)-len(f.window) < n {
		keep := f.at - int(f.match) // a start may have begun
		if f.inside() {
			keep = int(f.starts[f.first] - f.base)
		}
		kept := f.window[keep:]
		window := f.window[:0]
		// Twice what is kept, so that moving it costs each byte a constant.
		if need := 2*len(kept) + n; need > cap(window) {
			window = make([]byte, 0, need+n)
		}
		f.window = append(window, kept...)
		f.base, f.at = f.base+int64(keep), f.at-keep
	}
	return f.window[len(f.window):cap(f.window)]
}

// grow says that n bytes were put where room gave space.
func (f *finder) grow(n int) { f.window = f.window[:len(f.window)+n] }
