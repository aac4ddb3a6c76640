package sml

// Attention answers a request that could not be fulfilled, or one that has no
// other answer. Number is the cause, as an OBIS code of six octets
// (8181c7c7fe00 to 8181c7c7fe14 are those of the standard).
type Attention struct {
	ServerID, Number, Text []byte
	Details                Tree
}

func (*Attention) Tag() Tag { return TagAttention }

func (m *Attention) decode(c cursor) Reason {
	c.list(4)
	*m = Attention{c.octets(), c.octets(), c.octets(), c.tree()}
	return c.why
}

func (m *Attention) append(dst []byte) []byte {
	dst = append(dst, 0x74)
	for _, b := range [...][]byte{m.ServerID, m.Number, m.Text} {
		dst = appendOctets(dst, b)
	}
	return m.Details.append(dst)
}
