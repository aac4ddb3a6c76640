package sml

import "encoding/binary"

// GetListRequest asks for a list of values.
type GetListRequest struct {
	ClientID, ServerID, Username, Password, ListName []byte
}

// GetListResponse is what a meter says: its registers.
type GetListResponse struct {
	ClientID, ServerID, ListName []byte
	SensorTime                   Time // when the meter measured
	Entries                      ListOf[Entry]
	Signature                    []byte
	GatewayTime                  Time
}

// Entry is one register of a list. Its value is an integer times ten to the
// power of Scaler, in Unit.
type Entry struct {
	Name      []byte // the OBIS code, six octets
	Status    Uint   // of one to eight octets; its bits are the maker's
	Time      Time   // when the value was measured
	Unit      Uint   // DLMS unit, of one octet: 27 W, 30 Wh, 255 none
	Scaler    Int    // of one octet; absent means 0
	Value     Value
	Signature []byte
}

func (*GetListRequest) Tag() Tag  { return TagGetListRequest }
func (*GetListResponse) Tag() Tag { return TagGetListResponse }

func (m *GetListRequest) decode(c cursor) Reason {
	c.list(5)
	*m = GetListRequest{c.octets(), c.octets(), c.octets(), c.octets(), c.octets()}
	return c.why
}

func (m *GetListRequest) append(dst []byte) []byte {
	dst = append(dst, 0x75)
	for _, b := range [...][]byte{m.ClientID, m.ServerID, m.Username, m.Password, m.ListName} {
		dst = appendOctets(dst, b)
	}
	return dst
}

func (m *GetListResponse) decode(c cursor) Reason {
	c.list(7)
	m.ClientID, m.ServerID, m.ListName = c.octets(), c.octets(), c.octets()
	c.timeInto(&m.SensorTime)
	m.Entries = listOf[Entry](&c)
	m.Signature = c.octets()
	c.timeInto(&m.GatewayTime)
	return c.why
}

func (m *GetListResponse) append(dst []byte) []byte {
	dst = append(dst, 0x77)
	for _, b := range [...][]byte{m.ClientID, m.ServerID, m.ListName} {
		dst = appendOctets(dst, b)
	}
	dst = m.SensorTime.append(dst)
	dst = m.Entries.append(dst)
	dst = appendOctets(dst, m.Signature)
	return m.GatewayTime.append(dst)
}

func (e *Entry) take(c *cursor) {
	if n := e.takeUsual(c.b[c.i:]); n > 0 {
		c.i += n
	} else {
		e.takeAny(c)
	}
}

func (e *Entry) takeAny(c *cursor) {
	c.list(7)
	e.Name, e.Status = c.octets(), c.status()
	c.timeInto(&e.Time)
	e.Unit, e.Scaler = c.unit(), c.scaler()
	e.Value, e.Signature = c.value(), c.octets()
}

// takeUsual reads an entry in the form that nearly all have, in one go: six
// octets of name, short TLs, no time but a SecIndex, unit and scaler both or
// neither, and no signature. It gives the entry's length, or 0 where takeAny has
// to judge.
func (e *Entry) takeUsual(b []byte) int {
	const none = 0x01
	if len(b) < 14 || b[0] != 0x77 || b[1] != 0x07 {
		return 0
	}
	e.Name = b[2:8:8]
	i := 8 // so a word of 8 octets can end wherever an integer ends

	e.Status = Uint{}
	if b[i] == none {
		i++
	} else {
		n := int(b[i]) - kindUnsigned<<4 - 1
		i += 1 + n
		if n < 1 || n > 8 || i > len(b) {
			return 0
		}
		e.Status = Uint{binary.BigEndian.Uint64(b[i-8:]) & (1<<(8*n) - 1), uint8(n)}
	}

	e.Time = Time{}
	if i+8 <= len(b) && b[i] == 0x72 && b[i+1] == 0x62 && b[i+2] == byte(SecIndex) {
		n := int(b[i+3]) - kindUnsigned<<4 - 1
		i += 4 + n
		if n < 1 || n > 4 || i > len(b) {
			return 0
		}
		value := binary.BigEndian.Uint32(b[i-4:]) & (1<<(8*n) - 1)
		e.Time = Time{Choice: SecIndex, Value: value, sizes: [4]uint8{1, uint8(n)}}
	} else if i < len(b) && b[i] == none {
		i++
	} else {
		return 0
	}

	if i+4 < len(b) && b[i] == 0x62 && b[i+2] == 0x52 {
		e.Unit, e.Scaler = U8(b[i+1]), I8(int8(b[i+3]))
		i += 4
	} else if i+2 < len(b) && b[i] == none && b[i+1] == none {
		e.Unit, e.Scaler = Uint{}, Int{}
		i += 2
	} else {
		return 0
	}

	kind, n := b[i]>>4, int(b[i]&0x0f)-1
	i += 1 + n
	if n < 1 || i >= len(b) || b[i] != none {
		return 0
	}
	switch word := binary.BigEndian.Uint64(b[i-8:]); {
	case kind == kindOctets:
		e.Value = Value{Kind: Octets, Bytes: b[i-n : i : i]}
	case n > 8:
		return 0
	case kind == kindUnsigned:
		e.Value = Value{Kind: Unsigned, Size: uint8(n), Bits: word & (1<<(8*n) - 1)}
	case kind == kindSigned:
		shift := 64 - 8*n
		e.Value = Value{Kind: Signed, Size: uint8(n), Bits: uint64(int64(word<<shift) >> shift)}
	default:
		return 0
	}
	e.Signature = nil
	return i + 1
}

func (e Entry) append(dst []byte) []byte {
	dst = appendOctets(append(dst, 0x77), e.Name)
	dst = e.Status.append(dst)
	dst = e.Time.append(dst)
	dst = e.Unit.append(dst)
	dst = e.Scaler.append(dst)
	dst = e.Value.append(dst)
	return appendOctets(dst, e.Signature)
}

// status reads a status. It is an unsigned integer; only its bits matter, so
// those of a signed one and of octets are taken as well.
func (c *cursor) status() Uint {
	if c.absent() {
		return Uint{}
	}
	kind, n := c.tl()
	switch kind {
	case kindOctets:
		if n == 0 {
			return Uint{}
		}
	case kindUnsigned, kindSigned:
	default:
		c.fail(WrongType)
		return Uint{}
	}
	return Uint{c.bigEndian(n), uint8(n)}
}

// unit reads a unit, which may have come as a signed integer.
func (c *cursor) unit() Uint {
	if c.next() == kindSigned {
		s := c.int()
		if s.Value < 0 || s.Value > 255 {
			c.fail(OutOfRange)
		}
		return Uint{uint64(s.Value), s.Size}
	}
	u := c.uint()
	if u.Value > 255 {
		c.fail(OutOfRange)
	}
	return u
}

// scaler reads a scaler, which may have come as an unsigned integer.
func (c *cursor) scaler() Int {
	if c.i+1 < len(c.b) && c.b[c.i] == 0x52 {
		c.i += 2
		return I8(int8(c.b[c.i-1]))
	}
	if c.next() == kindUnsigned {
		u := c.uint()
		if u.Value > 127 {
			c.fail(OutOfRange)
		}
		return Int{int64(u.Value), u.Size}
	}
	s := c.int()
	if s.Value != int64(int8(s.Value)) {
		c.fail(OutOfRange)
	}
	return s
}
