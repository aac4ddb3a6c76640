package sml_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/sml"
)

// bodies are one empty body for each message that can be taken apart.
func bodies() []sml.Body {
	return []sml.Body{
		&sml.OpenRequest{}, &sml.OpenResponse{}, &sml.CloseRequest{}, &sml.CloseResponse{},
		&sml.GetProfilePackRequest{}, &sml.GetProfilePackResponse{},
		&sml.GetProfileListRequest{}, &sml.GetProfileListResponse{},
		&sml.GetProcParameterRequest{}, &sml.GetProcParameterResponse{},
		&sml.SetProcParameterRequest{}, &sml.SetProcParameterResponse{},
		&sml.GetListRequest{}, &sml.GetListResponse{}, &sml.Attention{},
	}
}

// rebuild decodes a message into its type and encodes it from there, every
// element of every list taken apart and put together. A message without a type
// stays as it is.
func rebuild(m sml.Message) (again sml.Message, err error) {
	for _, body := range bodies() {
		if body.Tag() != m.Tag {
			continue
		}
		if err := m.Decode(body); err != nil {
			return m, err
		}
		switch b := body.(type) {
		case *sml.GetListResponse:
			b.Entries = sml.Relist(&err, b.Entries, same)
		case *sml.GetProfilePackRequest:
			b.Path, b.Objects, b.Details = sml.Relist(&err, b.Path, same), sml.Relist(&err, b.Objects, same), retree(&err, b.Details)
		case *sml.GetProfileListRequest:
			b.Path, b.Objects, b.Details = sml.Relist(&err, b.Path, same), sml.Relist(&err, b.Objects, same), retree(&err, b.Details)
		case *sml.GetProfilePackResponse:
			b.Path, b.Header = sml.Relist(&err, b.Path, same), sml.Relist(&err, b.Header, same)
			b.Rows = sml.Relist(&err, b.Rows, func(r sml.Row) sml.Row {
				r.Values = sml.Relist(&err, r.Values, same)
				return r
			})
		case *sml.GetProfileListResponse:
			b.Path, b.Values = sml.Relist(&err, b.Path, same), sml.Relist(&err, b.Values, same)
		case *sml.GetProcParameterRequest:
			b.Path = sml.Relist(&err, b.Path, same)
		case *sml.GetProcParameterResponse:
			b.Path, b.Parameter = sml.Relist(&err, b.Path, same), retree(&err, b.Parameter)
		case *sml.SetProcParameterRequest:
			b.Path, b.Parameter = sml.Relist(&err, b.Path, same), retree(&err, b.Parameter)
		case *sml.SetProcParameterResponse:
			b.Path, b.Parameter = sml.Relist(&err, b.Path, same), retree(&err, b.Parameter)
		case *sml.Attention:
			b.Details = retree(&err, b.Details)
		}
		again = sml.NewMessage(m.TransactionID, body)
		again.GroupNo, again.AbortOnError, again.TagSize, again.Checksum = m.GroupNo, m.AbortOnError, m.TagSize, m.Checksum
		return again, err
	}
	return m, nil
}

func same[T any](v T) T { return v }

// retree puts a tree together again.
func retree(err *error, tree sml.Tree) sml.Tree {
	if !tree.Given() {
		return tree
	}
	again := sml.NewTree(tree.Name, tree.Value)
	again.Children = sml.Relist(err, tree.Children, func(child sml.Tree) sml.Tree { return retree(err, child) })
	return again
}

// drawing draws the parts of messages.
type drawing struct{ *rapid.T }

func (d drawing) octets(name string) []byte {
	n := rapid.SampledFrom([]int{0, 1, 6, 10, 14, 15, 16, 253, 254, 300}).Draw(d.T, name)
	if n == 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), n, n).Draw(d.T, name)
}

func (d drawing) uint(name string) sml.Uint {
	v := rapid.Uint64().Draw(d.T, name)
	size := rapid.Uint8Range(0, 8).Draw(d.T, name)
	if size == 0 {
		return sml.Uint{}
	}
	return sml.Uint{Value: v >> (64 - 8*size), Size: size}
}

func (d drawing) value() sml.Value {
	size := rapid.Uint8Range(1, 8).Draw(d.T, "size")
	bits := rapid.Uint64().Draw(d.T, "bits")
	switch rapid.IntRange(0, 6).Draw(d.T, "kind") {
	case 0:
		return sml.Value{}
	case 1:
		if b := d.octets("octets"); b != nil {
			return sml.OctetValue(b)
		}
		return sml.Value{}
	case 2:
		return sml.BoolValue(bits&1 != 0)
	case 3:
		return sml.SignedValue(int64(bits)>>(64-8*size), size)
	case 4:
		return sml.TimeValue(d.time())
	case 5: // lists within lists
		return sml.Value{Kind: sml.List, Bytes: []byte{0x72, 0x71, 0x71, 0x62, 0x07, 0x01}}
	default:
		return sml.UnsignedValue(bits>>(64-8*size), size)
	}
}

func (d drawing) time() sml.Time {
	t := sml.Time{Choice: sml.TimeChoice(rapid.IntRange(0, 3).Draw(d.T, "choice"))}
	if t.Choice == 0 {
		return t
	}
	t.Value = rapid.Uint32().Draw(d.T, "seconds")
	t.Form = rapid.SampledFrom([]sml.TimeForm{sml.Standard, sml.Bare, sml.BareLocal, sml.LocalIndex}).Draw(d.T, "form")
	switch t.Form {
	case sml.Bare:
		t.Choice = sml.SecIndex
	case sml.BareLocal:
		t.Choice = sml.LocalTimestamp
	case sml.LocalIndex:
		t.Choice = sml.SecIndex
	}
	if t.Choice == sml.LocalTimestamp || t.Form == sml.LocalIndex {
		t.LocalOffset = rapid.Int16().Draw(d.T, "local")
		t.SeasonOffset = rapid.Int16().Draw(d.T, "season")
	}
	return t.OfSize(max(int(sml.MinSize(uint64(t.Value))), rapid.IntRange(1, 4).Draw(d.T, "size")))
}

func (d drawing) unit() sml.Uint {
	return rapid.SampledFrom([]sml.Uint{{}, sml.U8(30), sml.U8(255)}).Draw(d.T, "unit")
}

func (d drawing) scaler() sml.Int {
	return rapid.SampledFrom([]sml.Int{{}, sml.I8(-1), sml.I8(127), sml.I8(-128)}).Draw(d.T, "scaler")
}

func (d drawing) path() sml.ListOf[sml.Name] {
	if rapid.Bool().Draw(d.T, "no path") {
		return sml.ListOf[sml.Name]{}
	}
	return sml.NewList(sml.Name(d.octets("step")), sml.Name(d.octets("step")))
}

func (d drawing) tree(depth int) sml.Tree {
	if rapid.IntRange(0, 3).Draw(d.T, "no tree") == 0 {
		return sml.Tree{}
	}
	var p sml.Parameter
	switch rapid.IntRange(0, 5).Draw(d.T, "parameter") {
	case 1:
		p = sml.Parameter{Kind: sml.ParameterValue, Value: d.value()}
	case 2:
		p = sml.Parameter{Kind: sml.ParameterPeriod, Period: sml.Period{Name: d.octets("name"), Unit: d.unit(), Scaler: d.scaler(), Value: d.value()}}
	case 3:
		p = sml.Parameter{Kind: sml.ParameterTime, Time: d.time()}
	case 4:
		p = sml.Parameter{Kind: sml.ParameterTuple, Raw: []byte{0x72, 0x01, 0x62, 0x05}}
	case 5:
		p = sml.Parameter{Kind: sml.ParameterList, Raw: []byte{0x71, 0x01}}
	}
	if depth == 0 {
		return sml.NewTree(d.octets("name"), p)
	}
	children := []sml.Tree{}
	for range rapid.IntRange(0, 3).Draw(d.T, "children") {
		children = append(children, d.tree(depth-1))
	}
	return sml.NewTree(d.octets("name"), p, children...)
}

func (d drawing) entries() (e []sml.Entry) {
	for range rapid.SampledFrom([]int{0, 1, 3, 15, 16, 20}).Draw(d.T, "entries") {
		e = append(e, sml.Entry{Name: d.octets("name"), Status: d.uint("status"), Time: d.time(),
			Unit: d.unit(), Scaler: d.scaler(), Value: d.value(), Signature: d.octets("signature")})
	}
	return e
}

func (d drawing) body() sml.Body {
	switch b := rapid.SampledFrom(bodies()).Draw(d.T, "body").(type) {
	case *sml.OpenRequest:
		return &sml.OpenRequest{Codepage: d.octets("a"), ClientID: d.octets("b"), ReqFileID: d.octets("c"), ServerID: d.octets("d"),
			Username: d.octets("e"), Password: d.octets("f"), Version: d.uint("version")}
	case *sml.OpenResponse:
		return &sml.OpenResponse{Codepage: d.octets("a"), ClientID: d.octets("b"), ReqFileID: d.octets("c"), ServerID: d.octets("d"),
			RefTime: d.time(), Version: d.uint("version")}
	case *sml.CloseRequest:
		return &sml.CloseRequest{Signature: d.octets("signature")}
	case *sml.CloseResponse:
		return &sml.CloseResponse{Signature: d.octets("signature")}
	case *sml.GetListRequest:
		return &sml.GetListRequest{ClientID: d.octets("a"), ServerID: d.octets("b"), Username: d.octets("c"), Password: d.octets("d"), ListName: d.octets("e")}
	case *sml.GetListResponse:
		return &sml.GetListResponse{ClientID: d.octets("a"), ServerID: d.octets("b"), ListName: d.octets("c"), SensorTime: d.time(),
			Entries: sml.NewList(d.entries()...), Signature: d.octets("signature"), GatewayTime: d.time()}
	case *sml.GetProfilePackRequest:
		return d.profileRequest()
	case *sml.GetProfileListRequest:
		return (*sml.GetProfileListRequest)(d.profileRequest())
	case *sml.GetProfilePackResponse:
		return &sml.GetProfilePackResponse{ServerID: d.octets("a"), Time: d.time(), Period: d.uint("period"), Path: d.path(),
			Header: sml.NewList(sml.Column{Name: d.octets("name"), Unit: d.unit(), Scaler: d.scaler()}),
			Rows: sml.NewList(sml.Row{Time: d.time(), Status: d.uint("status"),
				Values: sml.NewList(sml.Cell{Value: d.value()}, sml.Cell{Value: d.value(), Signature: d.octets("s")})}),
			RawData: d.octets("raw"), Signature: d.octets("signature")}
	case *sml.GetProfileListResponse:
		return &sml.GetProfileListResponse{ServerID: d.octets("a"), Time: d.time(), Period: d.uint("period"), Path: d.path(),
			ValueTime: d.time(), Status: d.uint("status"),
			Values:  sml.NewList(sml.Period{Name: d.octets("name"), Unit: d.unit(), Scaler: d.scaler(), Value: d.value()}),
			RawData: d.octets("raw"), Signature: d.octets("signature")}
	case *sml.GetProcParameterRequest:
		return &sml.GetProcParameterRequest{ServerID: d.octets("a"), Username: d.octets("b"), Password: d.octets("c"), Path: d.path(), Attribute: d.octets("d")}
	case *sml.GetProcParameterResponse:
		return &sml.GetProcParameterResponse{ServerID: d.octets("a"), Path: d.path(), Parameter: d.tree(2)}
	case *sml.SetProcParameterRequest:
		return &sml.SetProcParameterRequest{ServerID: d.octets("a"), Username: d.octets("b"), Password: d.octets("c"), Path: d.path(), Parameter: d.tree(2)}
	case *sml.SetProcParameterResponse:
		return &sml.SetProcParameterResponse{ServerID: d.octets("a"), Path: d.path(), Parameter: d.tree(2)}
	case *sml.Attention:
		return &sml.Attention{ServerID: d.octets("a"), Number: d.octets("b"), Text: d.octets("c"), Details: d.tree(1)}
	default:
		d.Fatalf("no drawing of %T", b)
		return nil
	}
}

func (d drawing) profileRequest() *sml.GetProfilePackRequest {
	return &sml.GetProfilePackRequest{ServerID: d.octets("a"), Username: d.octets("b"), Password: d.octets("c"),
		WithRawData: rapid.SampledFrom([]sml.Value{{}, sml.BoolValue(true)}).Draw(d.T, "raw"),
		Begin:       d.time(), EndTime: d.time(), Path: d.path(), Objects: d.path(), Details: d.tree(1)}
}

func (d drawing) message() sml.Message {
	m := sml.NewMessage(d.octets("transaction"), d.body())
	m.GroupNo = rapid.Byte().Draw(d.T, "group")
	m.TagSize = rapid.SampledFrom([]uint8{2, 4}).Draw(d.T, "tag size")
	m.Checksum = anyChecksum(d.T)
	return m
}

func TestMessagesThatDecodeEncodeToTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawing{t}.message()
		payload := sml.AppendMessage(nil, m)
		n := 0
		for got, err := range sml.Messages(payload) {
			require.NoError(t, err)
			n++
			require.Equal(t, m.Tag, got.Tag)
			got.Checksum = m.Checksum // of one message in 65,536 both fit
			require.Equal(t, m.TransactionID, got.TransactionID)
			for _, body := range bodies() {
				if body.Tag() == got.Tag {
					require.NoError(t, got.Decode(body))
				}
			}
			again, err := rebuild(got)
			require.NoError(t, err)
			require.Equal(t, payload, sml.AppendMessage(nil, again))
		}
		require.Equal(t, 1, n)
	})
}

func TestABrokenMessageCostsNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var payload []byte
		var want [][]byte
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			list := &sml.GetListResponse{ServerID: []byte("server"), Entries: sml.NewList(drawing{t}.entries()...)}
			m := sml.AppendMessage(nil, sml.NewMessage([]byte("transaction"), list))
			if rapid.Bool().Draw(t, "broken") {
				at := rapid.IntRange(0, len(m)-2).Draw(t, "at") // its end of message stays
				before := m[at]
				m[at] ^= rapid.ByteRange(1, 255).Draw(t, "with")
				if before == m[at] {
					continue
				}
			} else {
				want = append(want, slices.Clone(m))
			}
			payload = append(payload, m...)
		}
		var got [][]byte
		end := int64(0)
		for m, err := range sml.Messages(payload) {
			var refused *sml.RefusedError
			if errors.As(err, &refused) {
				require.GreaterOrEqual(t, refused.Offset, end)
				end = refused.End
				continue
			}
			require.GreaterOrEqual(t, m.Offset, end) // zeros between are fill
			end = m.End
			got = append(got, payload[m.Offset:m.End])
		}
		for _, w := range want {
			require.Contains(t, got, w)
		}
	})
}

func TestAnOddTimeCostsNoRegister(t *testing.T) {
	none := sml.Time{}
	for _, c := range []struct {
		what, wire string
		want       sml.Time
	}{
		{"choice 0", "\x72\x62\x00\x65\x00\x00\x00\x05", none},
		{"choice 4", "\x72\x62\x04\x65\x00\x00\x00\x05", none},
		{"no inner time", "\x72\x62\x01\x01", none},
		{"no choice", "\x72\x01\x62\x05", none},
		{"more than 32 bits", "\x72\x62\x01\x66\x02\x00\x00\x00\x00", none},
		{"a bare u64", "\x69\x00\x00\x01\x00\x00\x00\x00\x00", none},
		{"octets", "\x03\x01\x02", none},
		{"a list of one", "\x71\x62\x05", none},
		{"a negative number", "\x52\xff", none},
		{"a bare i8", "\x52\x05", sml.Time{Choice: sml.SecIndex, Value: 5, Form: sml.Bare}},
		{"signed seconds", "\x72\x62\x01\x53\x00\x05", sml.Time{Choice: sml.SecIndex, Value: 5}},
		{"choice first of three", "\x73\x62\x01\x65\x00\x00\x00\x05\x53\x00\x3c", sml.Time{Choice: sml.SecIndex, Value: 5}},
		{"a long TL", "\xf0\x03\x62\x02\x65\x00\x00\x00\x05\x01", sml.Time{Choice: sml.Timestamp, Value: 5}},
		{"local without offsets", "\x72\x62\x03\x62\x05", sml.Time{Choice: sml.LocalTimestamp, Value: 5}},
		{"unsigned offsets", "\x72\x62\x03\x73\x62\x05\x62\x3c\x62\x1e", sml.Time{Choice: sml.LocalTimestamp, Value: 5, LocalOffset: 60, SeasonOffset: 30}},
		{"unsigned offsets, no choice", "\x73\x62\x05\x62\x3c\x62\x1e", sml.Time{Choice: sml.LocalTimestamp, Value: 5, LocalOffset: 60, SeasonOffset: 30, Form: sml.BareLocal}},
		{"offsets out of range", "\x73\x62\x05\x63\xff\xff\x62\x1e", none},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := sml.Message{Tag: sml.TagGetListResponse, Body: []byte("\x77\x01\x01\x01" + c.wire +
				"\x71\x77\x02A\x01" + c.wire + "\x01\x01\x62\x07\x01\x01" + c.wire)}
			var list sml.GetListResponse
			require.NoError(t, m.Decode(&list))
			require.Equal(t, c.want, list.SensorTime)
			require.Equal(t, c.want, list.GatewayTime)
			for e, err := range list.Entries.All() {
				require.NoError(t, err)
				require.Equal(t, c.want, e.Time)
				require.Equal(t, sml.UnsignedValue(7, 1), e.Value)
			}
			again, err := rebuild(m)
			require.NoError(t, err)
			require.NoError(t, again.Decode(&list))
			require.Equal(t, c.want.Value, list.SensorTime.Value, "it encodes as the standard says")
		})
	}
}

func TestUnitScalerAndStatusMayHaveTheOtherSign(t *testing.T) {
	entry := func(status, unit, scaler string) (e sml.Entry, err error) {
		m := sml.Message{Tag: sml.TagGetListResponse, Body: []byte("\x77\x01\x01\x01\x01\x71\x77\x02A" + status + "\x01" + unit + scaler + "\x62\x07\x01\x01\x01")}
		var list sml.GetListResponse
		require.NoError(t, m.Decode(&list))
		for e, err = range list.Entries.All() {
		}
		return e, err
	}
	e, err := entry("\x55\xff\x1c\x01\x04", "\x52\x1e", "\x62\x03")
	require.NoError(t, err)
	require.Equal(t, sml.Uint{Value: 0xff1c0104, Size: 4}, e.Status)
	require.Equal(t, sml.U8(30), e.Unit)
	require.Equal(t, sml.I8(3), e.Scaler)
	e, err = entry("\x04\x1c\x01\x04", "\x01", "\x01")
	require.NoError(t, err)
	require.Equal(t, sml.Uint{Value: 0x1c0104, Size: 3}, e.Status)
	for _, wrong := range [][3]string{{"\x01", "\x52\xff", "\x01"}, {"\x01", "\x01", "\x62\xff"}, {"\x0a123456789", "\x01", "\x01"}} {
		_, err = entry(wrong[0], wrong[1], wrong[2])
		require.Error(t, err)
	}
}
