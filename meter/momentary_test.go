package meter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/obis"
	"smgw/meter/sim"
	"smgw/sml"
)

// Every family of meters: what the household feeds in comes out, 0 while it draws,
// and nothing where the front port does not tell the power or its direction.
func TestPowerFedInOfEveryModel(t *testing.T) {
	since := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	home := sim.NewHousehold(sim.Options{Seed: 3, Since: since, RoofPeak: 8000})
	untold := map[string]bool{"ebz": true, "itron": true, "dzg-old": true}
	for _, model := range sim.Models {
		m := sim.NewMeter(home, model, "")
		var fed, drew int
		for at := since.Add(time.Hour); at.Before(since.Add(48 * time.Hour)); at = at.Add(17 * time.Minute) {
			telegram := decodeOne(t, m.AppendTelegram(nil, at))
			power, ok := telegram.PowerFedIn()
			watts := home.Power(at)
			if untold[model.Name] {
				require.False(t, ok, model.Name)
				continue
			}
			require.True(t, ok, model.Name)
			require.Equal(t, decimal.NewFromInt(max(0, -watts)).String(), power.Decimal().String(), model.Name)
			if watts < 0 {
				fed++
			} else {
				drew++
			}
		}
		require.True(t, untold[model.Name] || fed > 0 && drew > 0, model.Name)
	}
}

// What a plant's meter shows as power that is drawn is what it feeds in, where it has
// the sign of that: to the last digit.
func TestPowerFedInOfARecordedPlant(t *testing.T) {
	for _, path := range corpus(t, "dumps") {
		if filepath.Base(path) != "EMH_eHZ361L5R.bin" {
			continue
		}
		recording, err := os.ReadFile(path)
		require.NoError(t, err)
		telegram := decodeOne(t, recording)
		fed, ok := telegram.PowerFedIn()
		require.True(t, ok)
		require.Equal(t, "5632.1916", fed.Decimal().String())
		power, ok := telegram.Power()
		require.True(t, ok)
		require.Equal(t, "-5632.1916", power.Decimal().String())
		return
	}
	t.Skip("the corpus has no EMH_eHZ361L5R.bin")
}

func TestPowerFedInOfEveryForm(t *testing.T) {
	signed := func(v int64) sml.Value { return sml.SignedValue(v, 4) }
	unsigned := func(v uint64) sml.Value { return sml.UnsignedValue(v, 4) }
	for _, c := range []struct {
		what  string
		shown []sml.Entry
		fed   string // "": nobody knows
	}{
		{"2.7.0", []sml.Entry{watts("1-0:2.7.0", unsigned(4625))}, "462.5"},
		{"2.7.1", []sml.Entry{watts("1-0:2.7.1", unsigned(4625))}, "462.5"},
		{"2.7.1 below nothing", []sml.Entry{watts("1-0:2.7.1", signed(-1))}, ""},
		{"2.7.0 before what is drawn", []sml.Entry{watts("1-0:1.7.0", signed(0)), watts("1-0:2.7.0", unsigned(4625))}, "462.5"},
		{"1.7.0 with the sign of feeding in", []sml.Entry{watts("1-0:1.7.0", signed(-4625))}, "462.5"},
		{"1.7.1 with the sign of feeding in", []sml.Entry{watts("1-0:1.7.1", signed(-4625))}, "462.5"},
		{"1.7.1 that draws", []sml.Entry{watts("1-0:1.7.1", signed(4625))}, "0"},
		{"1.7.1 at a standstill", []sml.Entry{watts("1-0:1.7.1", signed(0))}, "0"},
		{"1.7.1 without a sign", []sml.Entry{watts("1-0:1.7.1", unsigned(0))}, ""},
		{"the sum before what is drawn", []sml.Entry{watts("1-0:1.7.0", signed(0)), watts("1-0:16.7.0", signed(-1))}, "0.1"},
		{"a second tariff's", []sml.Entry{watts("1-0:1.7.2", signed(-4625))}, ""},
	} {
		telegram := say(t, []byte("1000001"), c.shown...)
		fed, ok := telegram.PowerFedIn()
		require.Equal(t, c.fed != "", ok, c.what)
		if ok {
			require.Equal(t, c.fed, fed.Decimal().String(), c.what)
		}
	}
}

// watts is a power in tenths of a watt.
func watts(code string, tenths sml.Value) sml.Entry {
	c, err := obis.Parse(code)
	if err != nil {
		panic(err)
	}
	return sml.Entry{Name: c[:], Unit: sml.U8(uint8(meter.Watt)), Scaler: sml.I8(-1), Value: tenths}
}

func TestMomentHasWhatTheMeterSendsOfTheGrid(t *testing.T) {
	code := func(s string) obis.Code {
		c, err := obis.Parse(s)
		require.NoError(t, err)
		return c
	}
	at := meter.Stamp{Time: time.Unix(1_800_000_000, 0), Quality: meter.ClockSynchronised}
	telegram := decodeOne(t, gridTelegram(t))
	got := telegram.Moment(at)
	require.Equal(t, at, got.At)
	require.Equal(t, "462.5", got.FedIn.Decimal.String(), "1-0:2.7.0 where the meter sends it")
	var all []string
	for _, v := range got.Grid {
		unit, ok := meter.GridUnit(v.Code)
		require.True(t, ok)
		all = append(all, v.Code.Short()+" "+v.Value.String()+" "+unit.String())
	}
	require.Equal(t, []string{
		"1-0:32.7.0 232.4 V", "1-0:52.7.0 232.6 V", "1-0:31.7.0 1.07 A", "1-0:14.7.0 49.98 Hz", "1-0:81.7.1 120 °", "1-0:81.7.26 288 °",
	}, all)
	_, ok := meter.GridUnit(code("1-0:16.7.0"))
	require.False(t, ok)
}

// gridTelegram is a telegram with values of the grid, one of them in a unit that
// none of them has, and one that is no number.
func gridTelegram(t *testing.T) []byte {
	entry := func(code string, unit meter.Unit, scaler int8, value sml.Value) sml.Entry {
		c, err := obis.Parse(code)
		require.NoError(t, err)
		return sml.Entry{Name: c[:], Unit: sml.U8(uint8(unit)), Scaler: sml.I8(scaler), Value: value}
	}
	list := sml.GetListResponse{ServerID: []byte("\x0a\x01HLY\x02\x00\x00\x00\x01"), Entries: sml.NewList(
		entry("1-0:1.8.0", meter.WattHour, -1, sml.UnsignedValue(12345, 4)),
		entry("1-0:2.7.0", meter.Watt, -1, sml.UnsignedValue(4625, 4)),
		entry("1-0:16.7.0", meter.Watt, 0, sml.SignedValue(-1, 4)),
		entry("1-0:81.7.26", meter.Degree, 0, sml.UnsignedValue(288, 4)),
		entry("1-0:81.7.1", meter.Degree, 0, sml.UnsignedValue(120, 4)),
		entry("1-0:32.7.0", meter.Volt, -1, sml.UnsignedValue(2324, 4)),
		entry("1-0:52.7.0", meter.Volt, -1, sml.UnsignedValue(2326, 4)),
		entry("1-0:72.7.0", meter.Watt, -1, sml.UnsignedValue(2325, 4)),
		entry("1-0:31.7.0", meter.Ampere, -2, sml.UnsignedValue(107, 4)),
		entry("1-0:51.7.0", meter.Ampere, -2, sml.OctetValue([]byte("1"))),
		entry("1-0:14.7.0", meter.Hertz, -2, sml.UnsignedValue(4998, 4)),
	)}
	return sml.AppendFile(nil, sml.X25, sml.NewMessage([]byte{1}, &sml.OpenResponse{ServerID: list.ServerID}), sml.NewMessage([]byte{2}, &list), sml.NewMessage([]byte{3}, &sml.CloseResponse{}))
}

// decodeOne decodes a telegram, whose values are borrowed until the next.
func decodeOne(t *testing.T, b []byte) *meter.Telegram {
	t.Helper()
	var telegram *meter.Telegram
	decodeAll(t, bytes.NewReader(b), func(got *meter.Telegram) { telegram = got })
	require.NotNil(t, telegram)
	return telegram
}
