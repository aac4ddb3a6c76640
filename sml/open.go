package sml

// OpenRequest begins a file that asks. All fields but ClientID and ReqFileID
// are optional.
type OpenRequest struct {
	Codepage, ClientID, ReqFileID, ServerID, Username, Password []byte
	Version                                                     Uint // of SML, absent means 1
}

// OpenResponse begins a file that answers, or that a meter pushes. ReqFileID
// and ServerID are there always.
type OpenResponse struct {
	Codepage, ClientID, ReqFileID, ServerID []byte
	RefTime                                 Time
	Version                                 Uint // of SML, absent means 1
}

// CloseRequest ends a file that asks.
type CloseRequest struct{ Signature []byte }

// CloseResponse ends a file that answers.
type CloseResponse struct{ Signature []byte }

func (*OpenRequest) Tag() Tag   { return TagOpenRequest }
func (*OpenResponse) Tag() Tag  { return TagOpenResponse }
func (*CloseRequest) Tag() Tag  { return TagCloseRequest }
func (*CloseResponse) Tag() Tag { return TagCloseResponse }

func (m *OpenRequest) decode(c cursor) Reason {
	c.list(7)
	*m = OpenRequest{c.octets(), c.octets(), c.octets(), c.octets(), c.octets(), c.octets(), c.uint()}
	return c.why
}

func (m *OpenRequest) append(dst []byte) []byte {
	dst = append(dst, 0x77)
	for _, b := range [...][]byte{m.Codepage, m.ClientID, m.ReqFileID, m.ServerID, m.Username, m.Password} {
		dst = appendOctets(dst, b)
	}
	return m.Version.append(dst)
}

func (m *OpenResponse) decode(c cursor) Reason {
	c.list(6)
	*m = OpenResponse{c.octets(), c.octets(), c.octets(), c.octets(), c.time(), c.uint()}
	return c.why
}

func (m *OpenResponse) append(dst []byte) []byte {
	dst = append(dst, 0x76)
	for _, b := range [...][]byte{m.Codepage, m.ClientID, m.ReqFileID, m.ServerID} {
		dst = appendOctets(dst, b)
	}
	return m.Version.append(m.RefTime.append(dst))
}

func (m *CloseRequest) decode(c cursor) (why Reason) {
	m.Signature, why = decodeSignature(c)
	return why
}

func (m *CloseResponse) decode(c cursor) (why Reason) {
	m.Signature, why = decodeSignature(c)
	return why
}

func (m *CloseRequest) append(dst []byte) []byte { return appendOctets(append(dst, 0x71), m.Signature) }
func (m *CloseResponse) append(dst []byte) []byte {
	return appendOctets(append(dst, 0x71), m.Signature)
}

func decodeSignature(c cursor) ([]byte, Reason) {
	c.list(1)
	signature := c.octets()
	return signature, c.why
}
