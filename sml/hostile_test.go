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
	// Heads of messages without end, each claiming all that follows.
	payload := bytes.Repeat([]byte("\x00\x76\x02\x31\x62\x00\x62\x00\x72\x62\x01\x7f"), 5000)
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
