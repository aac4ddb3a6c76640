package buffer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/obis"
)

// store is a store under test that is checked when its test ends.
type store struct {
	*buffer.Store
	t       testing.TB
	path    string
	options buffer.Options
}

func open(t testing.TB) *store { return openWith(t, buffer.Options{}) }

func openWith(t testing.TB, o buffer.Options) *store {
	s := &store{t: t, path: filepath.Join(fastDir(t), "store.db"), options: o}
	s.reopen()
	t.Cleanup(func() {
		if s.Store == nil {
			return
		}
		require.NoError(t, s.VerifyJournal())
		s.close()
		require.NoError(t, buffer.Check(s.path))
	})
	return s
}

func (s *store) close() {
	s.t.Helper()
	require.NoError(s.t, s.Close())
	s.Store = nil
}

func (s *store) reopen() {
	s.t.Helper()
	if s.Store != nil {
		s.close()
	}
	var err error
	s.Store, err = buffer.Open(s.path, s.options)
	require.NoError(s.t, err)
}

// fastDir is a folder in memory where there is one: tests write thousands of
// small files and sync each.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "buffer")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// seed chooses what a test does at random: SMGW_SEED, or the same each time.
func seed(t testing.TB) uint64 {
	text := os.Getenv("SMGW_SEED")
	if text == "" {
		return 7
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "SMGW_SEED")
	return n
}

// day0 is a local midnight, 2026-11-22 in Germany.
const day0 = meter.Quarter(1994012)

var (
	noon    = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	device  = meter.DeviceID("\x0a\x01ISK\x00\x03\x47\xf0\x40")
	device2 = meter.DeviceID("\x0a\x01DZG\x00\x02\x81\x11\x22")
)

// reading is a boundary reading as real ones are: its register follows from
// its boundary, so that a test can tell whether it got the right one.
func reading(meterName string, q meter.Quarter) meter.BoundaryReading {
	return meter.BoundaryReading{
		Meter: meterName, Boundary: q, Device: device, Offset: 1234 * time.Millisecond, Clock: meter.ClockSynchronised,
		SecIndex: meter.SecIndex{Seconds: uint32(int64(q)%1_000_000) * 900, Valid: true},
		Status:   meter.StatusWord{Bits: 0x1c0104, Valid: true},
		Registers: []meter.RegisterValue{
			{Code: obis.Drawn, Value: decimal.New(168_248_565+int64(q-day0)*731, -1)},
			{Code: obis.FedIn, Value: decimal.New(1_248_565+int64(q-day0)*97, -1)},
		},
	}
}

// minute is the reading of the n-th minute after noon, told by its register.
func minute(meterName string, n int) meter.Reading {
	return meter.Reading{
		Meter: meterName, Device: device, At: meter.Stamp{Time: noon.Add(time.Duration(n)*time.Minute + 59_123*time.Millisecond), Quality: meter.ClockSynchronised},
		SecIndex:  meter.SecIndex{Seconds: uint32(n) * 60, Valid: true},
		Status:    meter.StatusWord{Bits: 0x1c0104, Valid: true},
		Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(168_248_565+int64(n)*49, -1)}},
		Power:     decimal.NewNullDecimal(decimal.New(int64(n)*10-500, -1)),
	}
}

func item(n int) buffer.Item {
	return buffer.Item{
		ID: fmt.Sprintf("%032x", int64(n)*0x9e3779b9), Endpoint: "https://head.example", Body: []byte(fmt.Sprintf("body of %d", n)),
		Label: map[string]string{"row": "5", "malo": "41373559241", "to": "NB"}, Needs: buffer.Span{Meter: "main", From: day0, To: day0 + 96},
		Created: noon, NotBefore: noon, Due: noon.Add(24 * time.Hour),
	}
}

// note is the n-th note, at its quarter hour after day0; every third is done.
func note(n int) buffer.Note {
	return buffer.Note{ID: fmt.Sprintf("supply_start %03d", n), At: day0 + meter.Quarter(n), Done: n%3 == 0, Text: []byte(fmt.Sprintf(`{"n":%d}`, n))}
}

func event(kind string) buffer.Event {
	return buffer.Event{At: noon, Kind: kind, Detail: map[string]string{"row": "5", "to": "NB"}}
}
