package sml

import "fmt"

// Reason is a short stable word for why something was refused: a key for
// counters.
type Reason string

// Of bytes in a stream.
const (
	Noise         Reason = "noise"          // bytes outside any frame
	Torn          Reason = "torn"           // the frame has no end: another began within it, or the stream ended
	FrameChecksum Reason = "frame_checksum" // no CRC fits
	FrameTooLong  Reason = "frame_too_long" // no end within MaxFrame bytes
	BadEscape     Reason = "bad_escape"     // 1b1b1b1b, then neither data nor an end
	BadFill       Reason = "bad_fill"       // a fill count above 4, or above the payload
)

// Of a message in a payload.
const (
	MessageChecksum Reason = "message_checksum" // no CRC fits
	BadMessage      Reason = "bad_message"      // bytes where a message should begin
	PastEnd         Reason = "past_end"         // a length or a count claims more than there is
	BadLength       Reason = "bad_length"       // a length smaller than its own TL bytes, or an unknown type
	IntegerSize     Reason = "integer_size"     // an integer of no byte or of more than eight
	WrongType       Reason = "wrong_type"       // another type than the field has
	WrongCount      Reason = "wrong_count"      // a list with another count of elements than its type has
	OutOfRange      Reason = "out_of_range"     // a value that its field cannot hold
	SearchLimit     Reason = "search_limit"     // too many broken messages to look for the next one
)

// Reasons are all there are, those of a stream first.
func Reasons() []Reason {
	return []Reason{
		Noise, Torn, FrameChecksum, FrameTooLong, BadEscape, BadFill,
		MessageChecksum, BadMessage, PastEnd, BadLength, IntegerSize, WrongType, WrongCount, OutOfRange, SearchLimit,
	}
}

// RefusedError says which bytes were refused and why. It concerns only those
// bytes: reading goes on after it.
type RefusedError struct {
	Offset, End int64  // in the stream; in the payload when it came from Messages; End is exclusive
	Reason      Reason //
	Limit       int64  // the limit that was reached, or 0
}

func (e *RefusedError) Error() string {
	if e.Limit != 0 {
		return fmt.Sprintf("sml: refused bytes %d to %d: %s, limit %d", e.Offset, e.End, e.Reason, e.Limit)
	}
	return fmt.Sprintf("sml: refused bytes %d to %d: %s", e.Offset, e.End, e.Reason)
}
