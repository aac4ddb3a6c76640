package sml_test

import (
	"bytes"
	"errors"
	"fmt"

	"smgw/sml"
)

// push is what a meter sends every second or so.
func push() []byte {
	server := []byte("\x0a\x01ISK\x00\x04\x54\xa9\x5f")
	return sml.AppendFile(nil, sml.X25,
		sml.NewMessage([]byte("0001"), &sml.OpenResponse{ReqFileID: []byte("0001"), ServerID: server}),
		sml.NewMessage([]byte("0002"), &sml.GetListResponse{
			ServerID:   server,
			SensorTime: sml.Time{Choice: sml.SecIndex, Value: 107341989},
			Entries: sml.NewList(
				sml.Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Unit: sml.U8(30), Scaler: sml.I8(-1), Value: sml.UnsignedValue(168248565, 4)},
				sml.Entry{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: sml.U8(27), Scaler: sml.I8(0), Value: sml.SignedValue(-42, 1)},
			),
		}),
		sml.NewMessage([]byte("0003"), &sml.CloseResponse{}))
}

func Example() {
	line := bytes.NewReader(append([]byte("noise"), push()...))
	r := sml.NewReader(line)
	var list sml.GetListResponse
	for {
		frame, err := r.Next()
		var refused *sml.RefusedError
		if errors.As(err, &refused) {
			fmt.Println(refused)
			continue
		} else if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("frame of bytes %d to %d, %v\n", frame.Offset, frame.End, frame.Checksum)
		for m, err := range frame.Messages() {
			if err != nil || m.Tag != sml.TagGetListResponse || m.Decode(&list) != nil {
				continue
			}
			for e, err := range list.Entries.All() {
				if err != nil {
					break
				}
				fmt.Printf("%x %d × 10^%d, unit %d\n", e.Name, int64(e.Value.Bits), e.Scaler.Value, e.Unit.Value)
			}
		}
	}
	// Output:
	// sml: refused bytes 0 to 5: noise
	// frame of bytes 5 to 169, x25
	// 0100010800ff 168248565 × 10^-1, unit 30
	// 0100100700ff -42 × 10^0, unit 27
	// EOF
}

func ExampleAppendFile() {
	file := sml.AppendFile(nil, sml.X25, sml.NewMessage([]byte("1"), &sml.CloseResponse{}))
	fmt.Printf("% x\n", file)
	// Output:
	// 1b 1b 1b 1b 01 01 01 01 76 02 31 62 00 62 00 72 65 00 00 02 01 71 01 63 02 70 00 00 1b 1b 1b 1b 1a 01 1b 39
}

// The parts of a payload can be read without a Reader, where the transport is
// another one.
func ExampleMessages() {
	payload := sml.AppendMessage(nil, sml.NewMessage([]byte("1"), &sml.GetListRequest{ServerID: []byte("meter")}))
	payload = append(payload, "broken"...)
	for m, err := range sml.Messages(payload) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(m.Tag, "from", m.Offset, "to", m.End)
	}
	// Output:
	// GetList.Req from 0 to 28
	// sml: refused bytes 28 to 34: bad_message
}
