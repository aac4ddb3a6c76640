package sml

import (
	"fmt"
	"iter"
)

// Tag says what the body of a message is.
type Tag uint32

const (
	TagOpenRequest              Tag = 0x0100
	TagOpenResponse             Tag = 0x0101
	TagCloseRequest             Tag = 0x0200
	TagCloseResponse            Tag = 0x0201
	TagGetProfilePackRequest    Tag = 0x0300
	TagGetProfilePackResponse   Tag = 0x0301
	TagGetProfileListRequest    Tag = 0x0400
	TagGetProfileListResponse   Tag = 0x0401
	TagGetProcParameterRequest  Tag = 0x0500
	TagGetProcParameterResponse Tag = 0x0501
	TagSetProcParameterRequest  Tag = 0x0600
	TagSetProcParameterResponse Tag = 0x0601
	TagGetListRequest           Tag = 0x0700
	TagGetListResponse          Tag = 0x0701
	TagGetCosemRequest          Tag = 0x0800
	TagGetCosemResponse         Tag = 0x0801
	TagSetCosemRequest          Tag = 0x0900
	TagSetCosemResponse         Tag = 0x0901
	TagActionCosemRequest       Tag = 0x0a00
	TagActionCosemResponse      Tag = 0x0a01
	TagAttention                Tag = 0xff01
)

var tagNames = map[Tag]string{
	TagOpenRequest: "Open.Req", TagOpenResponse: "Open.Res",
	TagCloseRequest: "Close.Req", TagCloseResponse: "Close.Res",
	TagGetProfilePackRequest: "GetProfilePack.Req", TagGetProfilePackResponse: "GetProfilePack.Res",
	TagGetProfileListRequest: "GetProfileList.Req", TagGetProfileListResponse: "GetProfileList.Res",
	TagGetProcParameterRequest: "GetProcParameter.Req", TagGetProcParameterResponse: "GetProcParameter.Res",
	TagSetProcParameterRequest: "SetProcParameter.Req", TagSetProcParameterResponse: "SetProcParameter.Res",
	TagGetListRequest: "GetList.Req", TagGetListResponse: "GetList.Res",
	TagGetCosemRequest: "GetCosem.Req", TagGetCosemResponse: "GetCosem.Res",
	TagSetCosemRequest: "SetCosem.Req", TagSetCosemResponse: "SetCosem.Res",
	TagActionCosemRequest: "ActionCosem.Req", TagActionCosemResponse: "ActionCosem.Res",
	TagAttention: "Attention.Res",
}

// String gives the name of the standard, "GetList.Res", or the number.
func (t Tag) String() string {
	if name, ok := tagNames[t]; ok {
		return name
	}
	return fmt.Sprintf("0x%04x", uint32(t))
}

// Message is one SML message. Its slices are borrowed from the payload.
type Message struct {
	TransactionID []byte
	GroupNo       uint8
	AbortOnError  uint8
	Tag           Tag
	TagSize       uint8    // octets of the tag on the wire; 0 encodes 4
	Checksum      Checksum // which CRC the message carries; 0 encodes X25
	Body          []byte   // the body's TLV; see Decode

	Offset, End int64 // where it stood: in the payload, or in the stream when it came from Frame.Messages

	list1, list2 int // where in Body its longest part stands, as found on the way to the message's end
}

// Body is what a message can say: *OpenResponse, *GetListResponse and so on,
// one type for each tag but those of Cosem.
type Body interface {
	// Tag is the tag under which messages carry this body.
	Tag() Tag
	append(dst []byte) []byte
	decode(c cursor) Reason
}

// NewMessage encodes a body. The other fields of the message may be set after.
func NewMessage(transactionID []byte, body Body) Message {
	return Message{TransactionID: transactionID, Tag: body.Tag(), Body: body.append(nil)}
}

// Decode reads the message's body into body, whose slices are then borrowed
// from the message. The error is a *RefusedError; another type than the
// message's own is refused as WrongType.
func (m *Message) Decode(body Body) error {
	why := WrongType
	if body.Tag() == m.Tag {
		why = body.decode(cursor{b: m.Body, list1: m.list1, list2: m.list2})
	}
	if why != "" {
		return m.Refuse(why)
	}
	return nil
}

// Refuse is the error that refuses the whole message: for one whose list
// turned out malformed while it was read.
func (m *Message) Refuse(why Reason) *RefusedError {
	return &RefusedError{Offset: m.Offset, End: m.End, Reason: why}
}

// AppendMessage encodes m.
func AppendMessage(dst []byte, m Message) []byte {
	start := len(dst)
	dst = append(dst, 0x76)
	dst = appendOctets(dst, m.TransactionID)
	dst = append(dst, 0x62, m.GroupNo, 0x62, m.AbortOnError, 0x72)
	dst = Uint{uint64(m.Tag), orSize(m.TagSize, 4)}.append(dst)
	dst = append(dst, m.Body...)
	sum := max(m.Checksum, X25).sum(dst[start:])
	return append(dst, 0x63, byte(sum>>8), byte(sum), 0x00)
}

// AppendFile encodes messages and wraps them as one transport file, with the
// given checksum over the frame. A meter's push is Open, GetList and Close.
func AppendFile(dst []byte, checksum Checksum, messages ...Message) []byte {
	var payload []byte
	for _, m := range messages {
		payload = AppendMessage(payload, m)
	}
	return AppendFrame(dst, checksum, payload)
}

// Messages yields the messages of a payload in order. A broken one yields a
// *RefusedError with offsets in the payload, and the next one follows: where a
// message's structure is so broken that its end is not known, the next
// is looked for. Bodies are not looked into: see Message.Decode.
func Messages(payload []byte) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		w := walker{b: payload, end: len(payload), effort: searchEffort * len(payload)}
		for w.next() {
			if w.why != "" {
				if !yield(Message{}, w.m.Refuse(w.why)) {
					return
				}
			} else if !yield(w.m, nil) {
				return
			}
		}
	}
}

// Messages is like the function Messages, with offsets in the stream. A fill
// count that takes the last message's end for fill costs no message.
func (f Frame) Messages() iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		b := f.withFill()
		w := walker{b: b, end: len(f.Payload), effort: searchEffort * len(b)}
		l := f.locator()
		for w.next() {
			w.m.Offset, w.m.End = l.locate(w.m.Offset), l.locate(w.m.End)
			if w.why != "" {
				if !yield(Message{}, w.m.Refuse(w.why)) {
					return
				}
			} else if !yield(w.m, nil) {
				return
			}
		}
	}
}

// searchEffort bounds the search for the next message after broken ones: so
// many times the payload's length, in bytes moved over, for the whole payload.
// What a walk cost is charged when it is known, so one more length may come on
// top. A meter's payload of three messages, all broken, needs less than three
// times its length; only one that is made of pretended messages reaches the
// limit.
const searchEffort = 8

// walker moves from message to message.
type walker struct {
	b      []byte
	i      int
	end    int // no message begins from here on: it is fill
	effort int

	m   Message // the last one
	why Reason  // it, or the region from its Offset to its End, was refused, if not ""
}

// next moves to the next message or refused region, if there is one.
func (w *walker) next() bool {
	for w.i < w.end && w.b[w.i] == 0x00 { // fill, also what a wrong fill count left
		w.i++
	}
	start := w.i
	if start >= w.end {
		return false
	}
	c := cursor{b: w.b, i: start}
	w.m.list1, w.m.list2 = 0, 0
	w.why = c.message(&w.m)
	w.m.Offset, w.i = int64(start), c.i
	if w.why != "" {
		w.effort -= c.walked() - start
		if w.why == MessageChecksum {
			w.i = w.swallowed(start, c.i)
		} else {
			w.i = w.search(start+1, w.end)
		}
	}
	w.m.End = int64(w.i)
	return true
}

// search gives where a message may begin from i on: a plausible head, or limit.
// Once the effort is spent, that is why, and no more is found.
func (w *walker) search(i, limit int) int {
	for ; i < limit; i++ {
		if w.effort--; w.effort < 0 {
			w.why = SearchLimit
			break
		}
		if w.b[i] != 0x76 {
			continue
		}
		var m Message
		c := cursor{b: w.b, i: i}
		if c.head(&m); c.why == "" {
			return i
		}
		w.effort -= 16
	}
	return limit
}

// swallowed gives where to go on after a message from start to end whose
// structure is whole and whose CRC is wrong. That is its end, unless one of its
// lengths is wrong and good messages begin within. Nothing that is billed may
// come from inside an octet string: where all that look like messages lie
// wholly in octet strings of this one, they are data. Once one reaches over
// the bounds of its elements, it is these that are wrong.
func (w *walker) swallowed(start, end int) int {
	first := end
	for i := start + 1; ; i++ {
		if i = w.search(i, end); i >= end {
			return end
		}
		var m Message
		c := cursor{b: w.b, i: i}
		why := c.message(&m)
		w.effort -= c.walked() - i
		if why == "" {
			first = min(first, i)
			if !w.isData(start, i, c.i) {
				return first
			}
		}
	}
}

// isData reports whether the bytes from i to j lie in one octet string of the
// message that begins at start.
func (w *walker) isData(start, i, j int) bool {
	w.effort -= i - start
	c := cursor{b: w.b, i: start}
	for c.why == "" && c.i <= i {
		kind, n := c.tl()
		if kind == kindList {
			continue
		}
		if c.i <= i && j <= c.i+n {
			return kind == kindOctets
		}
		c.i += n
	}
	return false
}

// message reads a message and checks its CRC.
func (c *cursor) message(m *Message) Reason {
	start := c.i
	c.head(m)
	body := c.i
	if c.why == "" && m.Tag == TagGetListResponse {
		m.list1, m.list2 = c.skipList(body)
	} else {
		c.skip(1)
	}
	end := c.i
	if c.why != "" {
		return c.why
	}
	m.Body = c.b[body:end:end]
	// Two octets as they stand, high octet absent when it is zero in meters
	// that send no leading zeros.
	sent := c.uint()
	if c.i < len(c.b) && c.b[c.i] == 0x00 {
		c.i++
	}
	if c.why != "" {
		return c.why
	}
	if sent.Size == 0 || sent.Value > 0xffff {
		return MessageChecksum
	}
	var ok bool
	if m.Checksum, ok = verify(c.b[start:end], uint16(sent.Value)); !ok {
		return MessageChecksum
	}
	return ""
}

// skipList moves over the body of a GetList.Res and gives where in it the list
// of entries begins and ends.
func (c *cursor) skipList(body int) (begin, end int) {
	if c.i >= len(c.b) || c.b[c.i] != 0x77 {
		c.skip(1)
		return 0, 0
	}
	c.i++
	c.skip(4) // client, server, list name, sensor time
	begin = c.i - body
	c.skip(1)
	end = c.i - body
	c.skip(2) // signature, gateway time
	return begin, end
}

// head reads a message up to its tag.
func (c *cursor) head(m *Message) {
	if c.i < len(c.b) && c.b[c.i] != 0x76 {
		if kind, n := c.tl(); kind != kindList || n != 6 {
			c.why = BadMessage
			return
		}
	} else {
		c.i++
	}
	m.TransactionID = c.octets()
	m.GroupNo, _ = c.byte()
	m.AbortOnError, _ = c.byte()
	c.list(2)
	tag := c.uint()
	if tag.Value > 1<<32-1 {
		c.fail(OutOfRange)
	}
	m.Tag, m.TagSize = Tag(tag.Value), tag.Size
}
