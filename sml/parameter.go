package sml

// GetProcParameterRequest asks for a parameter of a device.
type GetProcParameterRequest struct {
	ServerID, Username, Password []byte
	Path                         ListOf[Name]
	Attribute                    []byte
}

// GetProcParameterResponse gives a parameter, with all that hangs below it.
type GetProcParameterResponse struct {
	ServerID  []byte
	Path      ListOf[Name]
	Parameter Tree
}

// SetProcParameterRequest sets a parameter; an Attention answers.
type SetProcParameterRequest struct {
	ServerID, Username, Password []byte
	Path                         ListOf[Name]
	Parameter                    Tree
}

// SetProcParameterResponse has a tag of its own and the form of
// GetProcParameterResponse; meters answer with an Attention instead.
type SetProcParameterResponse struct {
	ServerID  []byte
	Path      ListOf[Name]
	Parameter Tree
}

// Tree is a parameter: a name, a value and children, all but the name
// optional. The zero Tree is an absent one.
type Tree struct {
	Name     []byte
	Value    Parameter
	Children ListOf[Tree]
	given    bool
}

// NewTree is a parameter with its children.
func NewTree(name []byte, value Parameter, children ...Tree) Tree {
	t := Tree{Name: name, Value: value, given: true}
	if children != nil {
		t.Children = NewList(children...)
	}
	return t
}

// Given reports whether the tree was there.
func (t Tree) Given() bool { return t.given }

// ParameterKind says which of its fields a Parameter has.
type ParameterKind uint8

const (
	ParameterValue  ParameterKind = 1 // Value
	ParameterPeriod ParameterKind = 2 // Period
	ParameterTuple  ParameterKind = 3 // Raw: a tuple entry
	ParameterTime   ParameterKind = 4 // Time
	ParameterList   ParameterKind = 5 // Entry: a list entry, since SML 1.04
)

// Parameter is a parameter's value, an SML_ProcParValue. The zero Parameter is
// an absent one.
type Parameter struct {
	Kind   ParameterKind
	Value  Value
	Period Period
	Time   Time
	Raw    []byte // TLV of a kind that is not taken apart
}

func (p Parameter) append(dst []byte) []byte {
	if p.Kind == 0 {
		return append(dst, 0x01)
	}
	dst = append(dst, 0x72, 0x62, byte(p.Kind))
	switch p.Kind {
	case ParameterValue:
		return p.Value.append(dst)
	case ParameterPeriod:
		return p.Period.append(dst)
	case ParameterTime:
		return p.Time.append(dst)
	}
	return append(dst, p.Raw...)
}

func (c *cursor) parameter() (p Parameter) {
	switch kind, n := c.tl(); {
	case kind == kindOctets && n == 0:
		return Parameter{}
	case kind != kindList:
		c.fail(WrongType)
	case n != 2:
		c.fail(WrongCount)
	}
	choice, _ := c.byte()
	p.Kind = ParameterKind(choice)
	switch p.Kind {
	case ParameterValue:
		p.Value = c.value()
	case ParameterPeriod:
		p.Period = c.period()
	case ParameterTime:
		p.Time = c.time()
	case 0:
		c.fail(OutOfRange)
	default:
		p.Raw = c.element()
	}
	return p
}

func (c *cursor) tree() (t Tree) {
	switch kind, n := c.tl(); {
	case kind == kindOctets && n == 0:
		return Tree{}
	case kind != kindList:
		c.fail(WrongType)
	case n != 3:
		c.fail(WrongCount)
	}
	return Tree{c.octets(), c.parameter(), listOf[Tree](c), true}
}

func (t Tree) append(dst []byte) []byte {
	if !t.given {
		return append(dst, 0x01)
	}
	dst = appendOctets(append(dst, 0x73), t.Name)
	return t.Children.append(t.Value.append(dst))
}

func (*GetProcParameterRequest) Tag() Tag  { return TagGetProcParameterRequest }
func (*GetProcParameterResponse) Tag() Tag { return TagGetProcParameterResponse }
func (*SetProcParameterRequest) Tag() Tag  { return TagSetProcParameterRequest }
func (*SetProcParameterResponse) Tag() Tag { return TagSetProcParameterResponse }

func (m *GetProcParameterRequest) decode(c cursor) Reason {
	c.list(5)
	*m = GetProcParameterRequest{c.octets(), c.octets(), c.octets(), listOf[Name](&c), c.octets()}
	return c.why
}

func (m *GetProcParameterRequest) append(dst []byte) []byte {
	dst = append(dst, 0x75)
	for _, b := range [...][]byte{m.ServerID, m.Username, m.Password} {
		dst = appendOctets(dst, b)
	}
	return appendOctets(m.Path.append(dst), m.Attribute)
}

func (m *GetProcParameterResponse) decode(c cursor) Reason {
	c.list(3)
	*m = GetProcParameterResponse{c.octets(), listOf[Name](&c), c.tree()}
	return c.why
}

func (m *GetProcParameterResponse) append(dst []byte) []byte {
	dst = appendOctets(append(dst, 0x73), m.ServerID)
	return m.Parameter.append(m.Path.append(dst))
}

func (m *SetProcParameterRequest) decode(c cursor) Reason {
	c.list(5)
	*m = SetProcParameterRequest{c.octets(), c.octets(), c.octets(), listOf[Name](&c), c.tree()}
	return c.why
}

func (m *SetProcParameterRequest) append(dst []byte) []byte {
	dst = append(dst, 0x75)
	for _, b := range [...][]byte{m.ServerID, m.Username, m.Password} {
		dst = appendOctets(dst, b)
	}
	return m.Parameter.append(m.Path.append(dst))
}

func (m *SetProcParameterResponse) decode(c cursor) Reason {
	return (*GetProcParameterResponse)(m).decode(c)
}

func (m *SetProcParameterResponse) append(dst []byte) []byte {
	return (*GetProcParameterResponse)(m).append(dst)
}
