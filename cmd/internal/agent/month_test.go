package agent_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/config/configtest"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/obis"
)

// BenchmarkMonthStored reads what a load profile of about a month needs from a
// store that syncs, with the 62 days before it, builds and signs it, and stores it
// for delivery: months one after another. A period of a month is what a contract
// makes that has one working day in it.
func BenchmarkMonthStored(b *testing.B) {
	first := form.Date{Year: 2026, Month: time.January, Day: 2}
	last := first.AddDays(367)
	c, err := config.ParseContract([]byte(strings.Replace(configtest.ClassB, "[contract]\n", "[contract]\ntransformer_factor = 30\n", 1)))
	require.NoError(b, err)
	for day, month := first, time.Month(0); day.Before(last); day = day.AddDays(1) {
		if c.WorkingDay(day) && day.Month != month {
			month = day.Month
		} else {
			c.ExtraHolidays = append(c.ExtraHolidays, day)
		}
	}
	h := c.Always()
	store, err := buffer.Open(filepath.Join(b.TempDir(), "store.db"), buffer.Options{})
	require.NoError(b, err)
	defer store.Close()
	name := c.MarketLocations[0].Meter
	var readings []meter.BoundaryReading
	from := first.AddDays(-62).Midnight()
	for q := from; q <= last.Midnight(); q++ {
		readings = append(readings, meter.BoundaryReading{Meter: name, Boundary: q, Device: "0123456789", Clock: meter.ClockSynchronised,
			Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(int64(q-from)*1234, -1)}}})
	}
	_, err = store.PutBoundaries(readings)
	require.NoError(b, err)
	readings = nil
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	var dues []form.Due
	for _, d := range h.Settled(first.Midnight(), last.Midnight()) {
		if d.Row == 6 {
			dues = append(dues, d)
		}
	}

	build := func(gateway string, d form.Due) {
		readings, err := store.Boundaries(name, d.Period.From-62*96, d.Period.To)
		require.NoError(b, err)
		p, err := h.Build(d, readings)
		require.NoError(b, err)
		p.Gateway = gateway
		encoded, err := wire.Encode(&p)
		require.NoError(b, err)
		signed, err := wire.Sign(encoded, key, []byte("kid"))
		require.NoError(b, err)
		item := buffer.Item{ID: wire.ID(&p), Endpoint: "https://localhost", Body: signed, Created: d.At, NotBefore: d.At, Due: d.At,
			Needs: buffer.Span{Meter: name, From: d.Period.From, To: d.Period.To}}
		require.NoError(b, store.Build(gateway, d.Period.To, []buffer.Item{item}))
	}
	run := 0
	for _, months := range []int{1, 3, 12} {
		b.Run(fmt.Sprintf("months=%d", months), func(b *testing.B) {
			quarters := dues[months-1].Period.To - dues[0].Period.From
			var most uint64
			var m runtime.MemStats
			b.ReportAllocs()
			for b.Loop() {
				run++
				for _, d := range dues[:months] {
					build(fmt.Sprintf("G%d", run), d)
				}
				b.StopTimer()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapSys)
				b.StartTimer()
			}
			b.ReportMetric(float64(quarters), "quarters")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(quarters), "ns/quarter")
			b.ReportMetric(float64(most)/1e6, "heap-MB")
		})
	}
}
