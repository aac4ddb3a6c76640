package sml

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
	m.SensorTime = c.time()
	m.Entries = listOf[Entry](&c)
	m.Signature = c.octets()
	m.GatewayTime = c.time()
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

func (Entry) take(b []byte) (e Entry, rest []byte, why Reason) {
	c := cursor{b: b}
	if len(b) >= 8 && b[0] == 0x77 && b[1] == 0x07 { // as all are
		e.Name, c.i = b[2:8:8], 8
	} else {
		c.list(7)
		e.Name = c.octets()
	}
	e.Status = c.uint()
	e.Time = c.time()
	e.Unit = c.unit()
	e.Scaler = c.scaler()
	e.Value = c.value()
	e.Signature = c.octets()
	return e, b[c.i:], c.why
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

func (c *cursor) unit() Uint {
	u := c.uint()
	if u.Value > 255 {
		c.fail(OutOfRange)
	}
	return u
}

func (c *cursor) scaler() Int {
	if c.i+1 < len(c.b) && c.b[c.i] == 0x52 {
		c.i += 2
		return I8(int8(c.b[c.i-1]))
	}
	s := c.int()
	if s.Value != int64(int8(s.Value)) {
		c.fail(OutOfRange)
	}
	return s
}
