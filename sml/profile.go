package sml

// GetProfilePackRequest asks for a profile, packed: one header and rows of
// values.
type GetProfilePackRequest struct {
	ServerID, Username, Password []byte
	WithRawData                  Value // a boolean, or absent
	Begin, EndTime               Time
	Path                         ListOf[Name]
	Objects                      ListOf[Name]
	Details                      Tree
}

// GetProfileListRequest asks for a profile, one message for each period.
type GetProfileListRequest GetProfilePackRequest

// GetProfilePackResponse is a packed profile.
type GetProfilePackResponse struct {
	ServerID  []byte
	Time      Time
	Period    Uint // seconds from row to row
	Path      ListOf[Name]
	Header    ListOf[Column]
	Rows      ListOf[Row]
	RawData   []byte
	Signature []byte
}

// Column says what one value of each row is.
type Column struct {
	Name   []byte // the OBIS code
	Unit   Uint
	Scaler Int
}

// Row is a packed profile's values at one time.
type Row struct {
	Time      Time
	Status    Uint
	Values    ListOf[Cell]
	Signature []byte
}

// Cell is one value of a Row.
type Cell struct {
	Value     Value
	Signature []byte
}

// GetProfileListResponse is one period of a profile.
type GetProfileListResponse struct {
	ServerID  []byte
	Time      Time
	Period    Uint // seconds
	Path      ListOf[Name]
	ValueTime Time
	Status    Uint
	Values    ListOf[Period]
	RawData   []byte
	Signature []byte
}

// Period is one value of a period.
type Period struct {
	Name      []byte // the OBIS code
	Unit      Uint
	Scaler    Int
	Value     Value
	Signature []byte
}

func (*GetProfilePackRequest) Tag() Tag  { return TagGetProfilePackRequest }
func (*GetProfileListRequest) Tag() Tag  { return TagGetProfileListRequest }
func (*GetProfilePackResponse) Tag() Tag { return TagGetProfilePackResponse }
func (*GetProfileListResponse) Tag() Tag { return TagGetProfileListResponse }

func (m *GetProfilePackRequest) decode(c cursor) Reason {
	c.list(9)
	*m = GetProfilePackRequest{c.octets(), c.octets(), c.octets(), c.value(), c.time(), c.time(),
		listOf[Name](&c), listOf[Name](&c), c.tree()}
	if k := m.WithRawData.Kind; k != Absent && k != Bool {
		c.fail(WrongType)
	}
	return c.why
}

func (m *GetProfilePackRequest) append(dst []byte) []byte {
	dst = append(dst, 0x79)
	for _, b := range [...][]byte{m.ServerID, m.Username, m.Password} {
		dst = appendOctets(dst, b)
	}
	dst = m.WithRawData.append(dst)
	dst = m.EndTime.append(m.Begin.append(dst))
	dst = m.Objects.append(m.Path.append(dst))
	return m.Details.append(dst)
}

func (m *GetProfileListRequest) decode(c cursor) Reason {
	return (*GetProfilePackRequest)(m).decode(c)
}

func (m *GetProfileListRequest) append(dst []byte) []byte {
	return (*GetProfilePackRequest)(m).append(dst)
}

func (m *GetProfilePackResponse) decode(c cursor) Reason {
	c.list(8)
	*m = GetProfilePackResponse{c.octets(), c.time(), c.uint(), listOf[Name](&c),
		listOf[Column](&c), listOf[Row](&c), c.octets(), c.octets()}
	return c.why
}

func (m *GetProfilePackResponse) append(dst []byte) []byte {
	dst = appendOctets(append(dst, 0x78), m.ServerID)
	dst = m.Period.append(m.Time.append(dst))
	dst = m.Rows.append(m.Header.append(m.Path.append(dst)))
	return appendOctets(appendOctets(dst, m.RawData), m.Signature)
}

func (m *GetProfileListResponse) decode(c cursor) Reason {
	c.list(9)
	*m = GetProfileListResponse{c.octets(), c.time(), c.uint(), listOf[Name](&c), c.time(), c.status(),
		listOf[Period](&c), c.octets(), c.octets()}
	return c.why
}

func (m *GetProfileListResponse) append(dst []byte) []byte {
	dst = appendOctets(append(dst, 0x79), m.ServerID)
	dst = m.Path.append(m.Period.append(m.Time.append(dst)))
	dst = m.Status.append(m.ValueTime.append(dst))
	dst = m.Values.append(dst)
	return appendOctets(appendOctets(dst, m.RawData), m.Signature)
}

func (c *cursor) column() Column {
	c.list(3)
	return Column{c.octets(), c.unit(), c.scaler()}
}

func (v Column) append(dst []byte) []byte {
	return v.Scaler.append(v.Unit.append(appendOctets(append(dst, 0x73), v.Name)))
}

func (c *cursor) row() Row {
	c.list(4)
	return Row{c.time(), c.status(), listOf[Cell](c), c.octets()}
}

func (v Row) append(dst []byte) []byte {
	dst = v.Status.append(v.Time.append(append(dst, 0x74)))
	return appendOctets(v.Values.append(dst), v.Signature)
}

func (c *cursor) cell() Cell {
	c.list(2)
	return Cell{c.value(), c.octets()}
}

func (v Cell) append(dst []byte) []byte {
	return appendOctets(v.Value.append(append(dst, 0x72)), v.Signature)
}

func (c *cursor) period() Period {
	c.list(5)
	return Period{c.octets(), c.unit(), c.scaler(), c.value(), c.octets()}
}

func (v Period) append(dst []byte) []byte {
	dst = v.Scaler.append(v.Unit.append(appendOctets(append(dst, 0x75), v.Name)))
	return appendOctets(v.Value.append(dst), v.Signature)
}
