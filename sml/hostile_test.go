package sml_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/sml"
)

// entryWith is a list whose one entry has these bytes for a value.
func entryWith(value []byte) sml.Message {
	return sml.NewMessage([]byte("1"), &sml.GetListResponse{
		Entries: sml.NewList(sml.Entry{Name: []byte("poison"), Value: sml.Value{Kind: sml.List, Bytes: value}})})
}

func TestHostileValuesAreRefusedByName(t *testing.T) {
	for what, c := range map[string]struct {
		value []byte
		why   sml.Reason
	}{
		"nine-byte integer":         {[]byte("\x6a\x01\x02\x03\x04\x05\x06\x07\x08\x09"), sml.IntegerSize},
		"integer of no byte":        {[]byte("\x61"), sml.IntegerSize},
		"octet string of 4 GB":      {[]byte("\x8f\x8f\x8f\x8f\x8f\x8f\x8f\x0f"), sml.PastEnd},
		"list of 2^32 elements":     {[]byte("\xff\x8f\x8f\x8f\x8f\x8f\x8f\x8f\x0f"), sml.PastEnd},
		"length below its TL":       {[]byte("\xd0\x01"), sml.BadLength},
		"unknown type":              {[]byte("\x22\x00"), sml.BadLength},
		"boolean of two bytes":      {[]byte("\x43\x00\x00"), sml.BadLength},
		"endless TL":                {bytes.Repeat([]byte{0x80}, 1000), sml.BadLength},
		"2,000 lists in each other": {append(bytes.Repeat([]byte{0x71}, 2000), 0x01), ""},
	} {
		t.Run(what, func(t *testing.T) {
			good := entryWith([]byte("\x62\x07"))
			payload := sml.AppendMessage(sml.AppendMessage(nil, entryWith(c.value)), good)
			var reasons []sml.Reason
			values := 0
			for m, err := range sml.Messages(payload) {
				var list sml.GetListResponse
				if err == nil {
					err = m.Decode(&list)
				}
				for _, broken := range list.Entries.All() {
					if err = broken; err == nil {
						values++
					}
				}
				if err != nil {
					reasons = append(reasons, err.(*sml.RefusedError).Reason)
				}
			}
			if c.why == "" {
				require.Empty(t, reasons)
				require.Equal(t, 2, values)
				return
			}
			require.Equal(t, []sml.Reason{c.why}, reasons)
			require.Equal(t, 1, values, "the message behind it counts")
		})
	}
}

func TestPretendedMessagesCostNoMoreThanLinearTime(t *testing.T) {
	// Heads, each with a list that goes through all that follows and past it.
	head := []byte("\x76\x02\x31\x62\x00\x62\x00\x72\x62\x01\xf8\x80\x80\x00")
	payload := append(bytes.Repeat(head, 2000), bytes.Repeat([]byte{0x01}, 32_000)...)
	n := 0
	var last sml.Reason
	for _, err := range sml.Messages(payload) {
		n++
		require.Error(t, err)
		last = err.(*sml.RefusedError).Reason
	}
	require.Equal(t, sml.SearchLimit, last)
	require.Less(t, n, 20)
}

func TestManyBrokenMessagesCostNoneOfTheGoodOnesBetween(t *testing.T) {
	var payload []byte
	for range 20 {
		payload = sml.AppendMessage(payload, entryWith([]byte("\x8f\x8f\x8f\x8f\x8f\x8f\x8f\x0f")))
		payload = sml.AppendMessage(payload, entryWith([]byte("\x62\x07")))
	}
	good, refused := 0, 0
	for _, err := range sml.Messages(payload) {
		if err == nil {
			good++
		} else {
			require.Equal(t, sml.PastEnd, err.(*sml.RefusedError).Reason)
			refused++
		}
	}
	require.Equal(t, 20, good)
	require.Equal(t, 20, refused)
}

// idsOf gives the transaction ids of the good messages of a payload.
func idsOf(payload []byte) (ids []string) {
	for m, err := range sml.Messages(payload) {
		if err == nil {
			ids = append(ids, string(m.TransactionID))
		}
	}
	return ids
}

func list(id string, octets []byte) []byte {
	return sml.AppendMessage(nil, sml.NewMessage([]byte(id), &sml.GetListResponse{ServerID: []byte("meter"),
		Entries: sml.NewList(sml.Entry{Name: []byte("serial"), Value: sml.OctetValue(octets)})}))
}

func TestADamagedLengthCostsNoOtherMessage(t *testing.T) {
	first, second, last := list("first", []byte("value")), list("second", []byte("value")), list("last", []byte("value"))
	for at := range first {
		for _, with := range [...]byte{0x00, 0x01, 0x05, 0x0c, 0x0f, 0x4c, 0x5c, 0x6f, 0x70, 0x76, 0x7f, 0x80, 0x83, 0x84, 0x85, 0xc4, 0xf0, 0xff} {
			damaged := bytes.Clone(first)
			damaged[at] = with
			if with == first[at] {
				continue
			}
			ids := idsOf(bytes.Join([][]byte{damaged, second, last}, nil))
			require.Contains(t, ids, "second", "%d %#x", at, with)
			require.Contains(t, ids, "last", "%d %#x", at, with)
		}
	}
	for cut := range first[:len(first)-1] { // all but its end of message
		ids := idsOf(bytes.Join([][]byte{first[:cut], second, last}, nil))
		require.Equal(t, []string{"second", "last"}, ids, cut)
	}
}

func TestWhatABrokenMessageHoldsAsDataIsNoMessage(t *testing.T) {
	outer, good := list("outer", append([]byte{0x00}, list("inner", []byte("billed"))...)), list("good", []byte("value"))
	outer[len(outer)-2] ^= 0x55 // its CRC
	require.Equal(t, []string{"good"}, idsOf(append(bytes.Clone(outer), good...)))
	require.Empty(t, idsOf(outer))
	rubbish := []byte("rubbish")
	require.Equal(t, []string{"good"}, idsOf(bytes.Join([][]byte{outer, rubbish, good}, nil)))
}
