package buffer

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/meter"
)

// FuzzRecords: no bytes, even with a good checksum, crash a decoder, and what
// decodes can be encoded and decoded to the same again.
func FuzzRecords(f *testing.F) {
	now := time.UnixMilli(1_795_000_000_000).UTC()
	b := meter.BoundaryReading{Offset: time.Second, SecIndex: meter.SecIndex{Seconds: 1, Valid: true}}
	f.Add(encodeBoundary(&b))
	f.Add(encodeMinute(&b, &meter.Reading{Power: decimal.NewNullDecimal(decimal.New(2314, -1))}))
	f.Add(encodeItem(&Item{Endpoint: "e", Due: now, Label: map[string]string{"a": "b"}}))
	f.Add(encodeEvent(&Event{At: now, Kind: "k", Detail: map[string]string{"a": "b"}}))
	f.Add(encodeNote(&Note{At: 1_994_012, Done: true, Text: []byte("{}")}))
	f.Add(encodeLoss(&Loss{At: now, Kind: "k", Count: 3}))
	f.Add([]byte{0x02, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, p []byte) {
		if b, err := decodeBoundary(p); err == nil {
			again, err := decodeBoundary(encodeBoundary(&b))
			require.NoError(t, err)
			require.Equal(t, len(b.Registers), len(again.Registers))
			for i, r := range b.Registers {
				require.True(t, r.Value.Equal(again.Registers[i].Value))
			}
		}
		if r, err := decodeMinute(p, 29_000_000); err == nil {
			b := minuteRecord(&r)
			again, err := decodeMinute(encodeMinute(&b, &r), int64(b.Boundary))
			require.NoError(t, err)
			require.Equal(t, r.At, again.At)
			require.Equal(t, r.Power.Valid, again.Power.Valid)
			require.True(t, r.Power.Decimal.Equal(again.Power.Decimal))
		}
		if it, err := decodeItem(p); err == nil && len(it.LastError) <= maxErrorText {
			again, err := decodeItem(encodeItem(&it))
			require.NoError(t, err)
			require.Equal(t, it, again)
		}
		if n, err := decodeNote(p); err == nil {
			again, err := decodeNote(encodeNote(&n))
			require.NoError(t, err)
			require.Equal(t, n, again)
		}
		for _, k := range []kind{kindMeta, kindBoundary, kindItem, kindBody, kindMark, kindContract, kindJournal, kindLoss, kindMinute, kindNote} {
			key := []byte("01234567")
			_ = checkRecord(k, key, seal(k, key, p))
			_ = checkRecord(k, p, p)
		}
	})
}

// FuzzPages: no page crashes the reader of pages.
func FuzzPages(f *testing.F) {
	f.Add(make([]byte, pageSize))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		pg := parsePage(b)
		for i := range pg.count {
			pg.branch(i)
		}
		strayIn(pg, 0, func(key, value []byte) {})
	})
}
