package sml_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/sml"
)

// seedFiles are files of every kind of message and of every odd encoding that
// our own encoder makes.
func seedFiles() (files [][]byte) {
	server := []byte("\x0a\x01TES\x00\x00\x00\x00\x2a")
	at := sml.Time{Choice: sml.LocalTimestamp, Value: 1 << 30, LocalOffset: 60, SeasonOffset: 60}
	tree := sml.NewTree([]byte("name"), sml.Parameter{Kind: sml.ParameterTime, Time: at},
		sml.NewTree([]byte("child"), sml.Parameter{Kind: sml.ParameterValue, Value: sml.SignedValue(-5, 3)}))
	path := sml.NewList(sml.Name("a"), sml.Name("b"))
	for _, body := range []sml.Body{
		&sml.OpenRequest{ClientID: []byte("me"), ReqFileID: []byte("1")},
		&sml.OpenResponse{ReqFileID: []byte("1"), ServerID: server, RefTime: at, Version: sml.U8(1)},
		&sml.CloseRequest{}, &sml.CloseResponse{Signature: []byte("signature")},
		&sml.GetListRequest{ServerID: server},
		&sml.GetListResponse{ServerID: server, SensorTime: sml.Time{Choice: sml.SecIndex, Value: 7}.OfSize(1), Entries: sml.NewList(
			sml.Entry{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: sml.U8(27), Scaler: sml.I8(-2), Value: sml.SignedValue(-29912, 2)},
			sml.Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Status: sml.Uint{Value: 0x1c0104, Size: 8}, Time: sml.Time{Choice: sml.SecIndex, Value: 9, Form: sml.Bare}, Value: sml.UnsignedValue(1<<64-1, 8)},
			sml.Entry{Name: []byte{129, 129, 199, 130, 5, 255}, Value: sml.OctetValue(bytes.Repeat([]byte{0x1b}, 300))},
			sml.Entry{Name: []byte{129, 0, 96, 8, 0, 1}, Value: sml.TimeValue(at)},
		)},
		&sml.GetProfilePackRequest{ServerID: server, WithRawData: sml.BoolValue(true), Begin: at, Path: path, Objects: path, Details: tree},
		&sml.GetProfilePackResponse{ServerID: server, Path: path, Header: sml.NewList(sml.Column{Name: []byte("column")}),
			Rows: sml.NewList(sml.Row{Time: at, Values: sml.NewList(sml.Cell{Value: sml.BoolValue(false)})})},
		&sml.GetProfileListResponse{ServerID: server, Path: path, ValueTime: at, Values: sml.NewList(sml.Period{Name: []byte("value")})},
		&sml.GetProcParameterRequest{ServerID: server, Path: path},
		&sml.GetProcParameterResponse{ServerID: server, Path: path, Parameter: tree},
		&sml.SetProcParameterRequest{ServerID: server, Path: path, Parameter: tree},
		&sml.Attention{ServerID: server, Number: []byte("\x81\x81\xc7\xc7\xfe\x00"), Text: []byte("no"), Details: tree},
	} {
		m := sml.NewMessage([]byte("1"), body)
		files = append(files, sml.AppendFile(nil, sml.X25, m))
		m.Checksum, m.TagSize = sml.Kermit, 2
		files = append(files, sml.AppendFile(nil, sml.Kermit, m, m))
	}
	return files
}

// FuzzReader holds that whatever comes in, the whole stream is told, the same
// however it is cut, and a good frame behind it is found.
func FuzzReader(f *testing.F) {
	for _, file := range seedFiles() {
		f.Add(file, byte(7))
		f.Add(file[:len(file)-3], byte(1))
		f.Add(slices.Concat([]byte{0x1b}, file[:20], file), byte(3))
	}
	good := sml.AppendFrame(nil, sml.X25, []byte("good\x00"))
	f.Fuzz(func(t *testing.T, stream []byte, cut byte) {
		want := readAll(t, bytes.NewReader(stream), len(stream))
		require.Equal(t, want, readAll(t, &pieces{stream, max(int(cut), 1)}, len(stream)))
		if len(stream) < sml.MaxFrame/2 {
			stream = append(slices.Clone(stream), good...)
			all := payloads(readAll(t, bytes.NewReader(stream), len(stream)))
			require.NotEmpty(t, all)
			// One stream in some 2^15 has an older start from which a CRC fits as well.
			require.Regexp(t, "good\x00$", all[len(all)-1])
		}
	})
}

// FuzzMessages holds that no payload does harm, that messages and refusals are
// in order, and that what has a type is the same after encode and decode.
func FuzzMessages(f *testing.F) {
	for _, file := range seedFiles() {
		for frame, err := sml.NewReader(bytes.NewReader(file)).Next(); err == nil; err = errors.New("one is enough") {
			f.Add(slices.Clone(frame.Payload))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		end := int64(0)
		for m, err := range sml.Messages(payload) {
			var refused *sml.RefusedError
			if errors.As(err, &refused) {
				m.Offset, m.End = refused.Offset, refused.End
			}
			require.GreaterOrEqual(t, m.Offset, end)
			require.Greater(t, m.End, m.Offset)
			require.LessOrEqual(t, m.End, int64(len(payload)))
			end = m.End
			if err == nil {
				requireStable(t, m)
			}
		}
	})
}

// FuzzBody is FuzzMessages behind the CRC, which a fuzzer cannot guess.
func FuzzBody(f *testing.F) {
	for _, file := range seedFiles() {
		frame, err := sml.NewReader(bytes.NewReader(file)).Next()
		require.NoError(f, err)
		for m := range sml.Messages(frame.Payload) {
			f.Add(uint16(m.Tag), slices.Clone(m.Body))
		}
	}
	f.Fuzz(func(t *testing.T, tag uint16, body []byte) {
		requireStable(t, sml.Message{Tag: sml.Tag(tag), Body: body})
	})
}

// requireStable holds that a body that decodes encodes to one that decodes to the same.
func requireStable(t *testing.T, m sml.Message) {
	first, err := rebuild(m)
	if err != nil {
		return
	}
	second, err := rebuild(first)
	require.NoError(t, err)
	require.Equal(t, first.Body, second.Body)
}

// FuzzRoundTrip is the whole path: any payload, framed, is found again whole,
// and what its messages encode to is decoded again.
func FuzzRoundTrip(f *testing.F) {
	for _, file := range seedFiles() {
		frame, err := sml.NewReader(bytes.NewReader(file)).Next()
		require.NoError(f, err)
		f.Add(slices.Clone(frame.Payload), true)
	}
	f.Fuzz(func(t *testing.T, payload []byte, kermit bool) {
		checksum := sml.X25
		if kermit {
			checksum = sml.Kermit
		}
		frame := sml.AppendFrame(nil, checksum, payload)
		if len(frame) > sml.MaxFrame {
			return
		}
		require.Equal(t, []string{string(payload)}, payloads(readAll(t, bytes.NewReader(frame), len(frame))))
		var again []byte
		n := 0
		for m, err := range sml.Messages(payload) {
			if err == nil {
				again = sml.AppendMessage(again, m)
				n++
			}
		}
		for m, err := range sml.Messages(again) {
			require.NoError(t, err)
			require.NotZero(t, m.Checksum)
			n--
		}
		require.Zero(t, n)
	})
}
