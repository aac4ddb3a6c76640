package meter_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/obis"
	"smgw/sml"
)

var (
	dzgBroken   = []byte("\x0a\x01DZG\x00\x02\x83\xeb\xc0") // 42,200,000
	dzgNegative = []byte("\x0a\x01DZG\x00\x02\x63\x23\x16") // 40,051,478
	emh         = []byte("\x06EMH\x01\x02\x71\x56\xcd\x45")
	other       = []byte("\x0a\x01TES\x00\x00\x00\x00\x2a")
)

func power(raw sml.Value, scaler int8) sml.Entry {
	return sml.Entry{Name: obis.Power[:], Unit: sml.U8(27), Scaler: sml.I8(scaler), Value: raw}
}

func energy(c obis.Code, raw uint64, scaler int8) sml.Entry {
	return sml.Entry{Name: c[:], Unit: sml.U8(30), Scaler: sml.I8(scaler), Value: sml.UnsignedValue(raw, 8)}
}

func withStatus(e sml.Entry, bits uint64) sml.Entry {
	e.Status = sml.Uint{Value: bits, Size: sml.MinSize(bits)}
	return e
}

// say gives the telegram of a meter that says these entries.
func say(t testing.TB, server []byte, entries ...sml.Entry) meter.Telegram {
	t.Helper()
	return sayTo(t, new(meter.Decoder), server, sml.Time{}, entries...)
}

// sayTo is say with a decoder that has heard others before, and a sensor time.
func sayTo(t testing.TB, d *meter.Decoder, server []byte, at sml.Time, entries ...sml.Entry) meter.Telegram {
	t.Helper()
	file := sml.AppendFile(nil, sml.X25,
		sml.NewMessage([]byte("1"), &sml.OpenResponse{ReqFileID: []byte("1"), ServerID: server}),
		sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: server, SensorTime: at, Entries: sml.NewList(entries...)}),
		sml.NewMessage([]byte("3"), &sml.CloseResponse{}))
	frame, err := sml.NewReader(bytes.NewReader(file)).Next()
	require.NoError(t, err)
	telegram, refused := d.Decode(frame)
	require.Empty(t, refused)
	require.True(t, telegram.OK)
	return telegram
}

func TestQuirksArePutRightInTheirMetersOnly(t *testing.T) {
	signed16 := func(v int64) sml.Value { return sml.SignedValue(v, 2) }
	powerAbs := power(signed16(1371), -1)
	powerAbs.Name = obis.PowerAbs[:]
	serial := func(n uint32) []byte {
		return []byte{0x0a, 1, 'D', 'Z', 'G', 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	for _, c := range []struct {
		what    string
		server  []byte
		entries []sml.Entry
		value   string
		quirk   string
	}{
		{"an old DZG", dzgBroken, []sml.Entry{power(signed16(-32731), -2)}, "328.05", "dzg_unsigned_power"},
		{"an old DZG with one byte", dzgBroken, []sml.Entry{power(sml.SignedValue(-1, 1), 0)}, "255", "dzg_unsigned_power"},
		{"an old DZG with three bytes", dzgBroken, []sml.Entry{power(sml.SignedValue(-1, 3), 0)}, "16777215", "dzg_unsigned_power"},
		{"an old DZG with four bytes", dzgBroken, []sml.Entry{power(sml.SignedValue(-1, 4), 0)}, "-1", ""},
		{"an old DZG without need", dzgBroken, []sml.Entry{power(signed16(622), -2)}, "6.22", ""},
		{"an old DZG with the bit of feeding in", dzgBroken, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0904), power(signed16(622), -2)}, "6.22", ""},
		{"the first of the range", serial(42_000_000), []sml.Entry{power(signed16(-1), 0)}, "65535", "dzg_unsigned_power"},
		{"the last of the range", serial(58_999_999), []sml.Entry{power(signed16(-1), 0)}, "65535", "dzg_unsigned_power"},
		{"one before the range", serial(41_999_999), []sml.Entry{power(signed16(-1), 0)}, "-1", ""},
		{"one between the ranges", serial(49_000_000), []sml.Entry{power(signed16(-1), 0)}, "-1", ""},
		{"one behind the range", serial(59_000_000), []sml.Entry{power(signed16(-1), 0)}, "-1", ""},
		{"a DZG that feeds in", dzgNegative, []sml.Entry{power(signed16(-32731), -2)}, "-327.31", ""},
		{"another maker in the range", []byte("\x0a\x01ISK\x00\x02\x83\xeb\xc0"), []sml.Entry{power(signed16(-32731), -2)}, "-327.31", ""},
		{"an EMH drawing", emh, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x182), powerAbs}, "137.1", ""},
		{"an EMH feeding in", emh, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1b0), powerAbs}, "-137.1", "emh_direction"},
		{"another maker with the EMH's bit", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1b0), powerAbs}, "137.1", ""},
		{"an AS2020 feeding in", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0904), power(sml.UnsignedValue(21, 1), 0)}, "-21", "fnn_direction"},
		{"an AS2020 drawing", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0104), power(sml.UnsignedValue(21, 1), 0)}, "21", ""},
		{"an AS2020 with a status at its second register", other, []sml.Entry{energy(obis.Drawn, 1, 0), withStatus(energy(obis.FedIn, 1, 0), 0x1c0904), power(sml.UnsignedValue(21, 1), 0)}, "-21", "fnn_direction"},
		{"an old DZG that says it twice", dzgBroken, []sml.Entry{power(signed16(-1), 0), power(signed16(-2), 0)}, "65534", "dzg_unsigned_power"},
		{"an AS2020 that says it twice", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0904), power(signed16(21), 0), power(signed16(22), 0)}, "-22", "fnn_direction"},
		{"an AS2020 with a bare time", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0904), bare(power(signed16(21), 0))}, "-21", "fnn_direction"},
		{"a meter that has both sign and bit", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x1c0904), power(signed16(-21), 0)}, "-21", ""},
		{"a vendor's word with bit 11", other, []sml.Entry{withStatus(energy(obis.Drawn, 1, 0), 0x900), power(signed16(21), 0)}, "21", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			telegram := say(t, c.server, c.entries...)
			last := &telegram.Values[len(telegram.Values)-1]
			exact, ok := last.Exact()
			require.True(t, ok)
			require.Equal(t, c.value, exact.String())
			require.Equal(t, c.quirk, last.Quirk)
			require.Equal(t, c.entries[len(c.entries)-1].Value, last.Raw, "raw is what the meter sent")
		})
	}
}

// Two meters may share a frame: each has its own quirks, and only the first is
// the one that the telegram, and its reading, is of.
func TestTwoMetersInOneFrameAreKeptApart(t *testing.T) {
	list := func(server []byte, entries ...sml.Entry) sml.Message {
		return sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: server, Entries: sml.NewList(entries...)})
	}
	wrapped := power(sml.SignedValue(-29912, 2), -2) // 356.24 W of a meter that has dzg_unsigned_power
	for name, c := range map[string]struct {
		first, second []byte
		watts         [2]string
	}{
		"the first has the quirk":  {dzgBroken, dzgNegative, [2]string{"356.24", "-299.12"}},
		"the second has the quirk": {dzgNegative, dzgBroken, [2]string{"-299.12", "356.24"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := sml.AppendFile(nil, sml.X25,
				list(c.first, energy(obis.Drawn, 1000, 0), wrapped),
				list(c.second, energy(obis.Drawn, 7000, 0), energy(obis.FedIn, 8000, 0), wrapped))
			frame, err := sml.NewReader(bytes.NewReader(file)).Next()
			require.NoError(t, err)
			var decoder meter.Decoder
			telegram, refused := decoder.Decode(frame)
			require.Empty(t, refused)
			require.Len(t, telegram.Values, 5, "what was said is all there to look at")
			for i, v := range []meter.Value{telegram.Values[1], telegram.Values[4]} {
				watts, ok := v.Decimal()
				require.True(t, ok)
				require.Equal(t, c.watts[i], watts.String())
			}
			reading, ok := telegram.Reading("main", meter.Stamp{})
			require.True(t, ok)
			require.Equal(t, meter.DeviceID(c.first), reading.Device)
			require.Len(t, reading.Registers, 1)
			require.Equal(t, "1000", reading.Registers[0].Value.String())
			require.Equal(t, c.watts[0], reading.Power.Decimal.String())
			require.False(t, telegram.FeedsIn())
			require.Zero(t, testing.AllocsPerRun(10, func() { decoder.Decode(frame) }))
		})
	}
}

func TestHolleysBareTimesGiveItsSecIndex(t *testing.T) {
	e := energy(obis.Drawn, 5, -1)
	e.Time = sml.Time{Choice: sml.SecIndex, Value: 1347075, Form: sml.Bare}
	telegram := say(t, []byte("\x0a\x01HLY\x02\x00\x03\xa9\x10"), e)
	require.False(t, telegram.SensorTime.Valid())
	require.Equal(t, meter.SecIndex{Seconds: 1347075, Valid: true}, telegram.SecIndex())
	require.Equal(t, "holley_bare_time", telegram.Values[0].Quirk)
}

func bare(e sml.Entry) sml.Entry {
	e.Time = sml.Time{Choice: sml.SecIndex, Value: 7, Form: sml.Bare}
	return e
}

func TestABareSensorTimeIsNamed(t *testing.T) {
	telegram := sayTo(t, new(meter.Decoder), other, sml.Time{Choice: sml.SecIndex, Value: 7, Form: sml.Bare}, energy(obis.Drawn, 5, -1))
	require.Equal(t, "holley_bare_time", telegram.Quirk)
	require.Empty(t, telegram.Values[0].Quirk)
	require.Empty(t, say(t, other, energy(obis.Drawn, 5, -1)).Quirk)
}

func TestWholeKWhForOnceAreNotCoarse(t *testing.T) {
	d := new(meter.Decoder)
	coarse := func(wh uint64, scaler int8, more ...sml.Entry) bool {
		telegram := sayTo(t, d, other, sml.Time{}, append(more, energy(obis.Drawn, wh, scaler))...)
		return telegram.Coarse()
	}
	require.True(t, coarse(25_688_000, 0), "nothing else is known yet")
	require.False(t, coarse(25_688_001, 0))
	require.False(t, coarse(25_689_000, 0), "it has shown finer digits")
	require.False(t, coarse(25_689_000, 0), "and draws nothing")
	require.False(t, coarse(25_689_001, 0))
	require.False(t, coarse(25_690_000, 0))
	require.True(t, coarse(25_691_000, 0), "nothing between two whole kWh")
	require.True(t, coarse(25_692_000, 0))

	require.False(t, coarse(25_692_001, 0))
	require.True(t, coarse(25_693, 3), "a scaler of 3 is certain")

	require.False(t, coarse(25_693_001, 0, power(sml.UnsignedValue(5, 1), 0)))
	require.True(t, coarse(25_694_000, 0), "its power is gone")

	require.False(t, coarse(25_694_001, 0))
	stranger := sayTo(t, d, emh, sml.Time{}, energy(obis.Drawn, 1_000, 0))
	require.True(t, stranger.Coarse(), "another device")
}

func TestExactIsPlainDecimalText(t *testing.T) {
	for _, c := range []struct {
		e    meter.Exact
		want string
	}{
		{meter.Exact{Magnitude: 168248565, Scaler: -1}, "16824856.5"},
		{meter.Exact{Magnitude: 13024, Scaler: 3}, "13024000"},
		{meter.Exact{Magnitude: 100, Scaler: -2}, "1"},
		{meter.Exact{Magnitude: 5, Scaler: -3, Negative: true}, "-0.005"},
		{meter.Exact{Magnitude: 0, Scaler: 5, Negative: true}, "0"},
		{meter.Exact{Magnitude: 1<<64 - 1}, "18446744073709551615"},
		{meter.Exact{Magnitude: 1 << 63, Negative: true}, "-9223372036854775808"},
	} {
		require.Equal(t, c.want, c.e.String())
	}
	rapid.Check(t, func(t *rapid.T) {
		e := meter.Exact{rapid.Bool().Draw(t, "negative"), rapid.Uint64().Draw(t, "magnitude"), rapid.Int8().Draw(t, "scaler")}
		require.Equal(t, e.Decimal().String(), e.String())
	})
}

func TestATelegramGivesAReading(t *testing.T) {
	at := meter.Stamp{Time: time.Unix(1_800_000_000, 0), Quality: meter.ClockSynchronised}
	telegram := say(t, other,
		withStatus(energy(obis.Drawn, 168248565, -1), 0x1c0904),
		energy(obis.FedIn, 1<<63, 0),
		power(sml.SignedValue(-42, 1), 0),
		sml.Entry{Name: obis.DrawnT1[:], Unit: sml.U8(32), Value: sml.UnsignedValue(1, 1)}, // varh
	)
	r, ok := telegram.Reading("main", at)
	require.True(t, ok)
	require.Equal(t, "main", r.Meter)
	require.Equal(t, at, r.At)
	require.Equal(t, meter.StatusWord{Bits: 0x1c0904, Valid: true}, r.Status)
	require.Equal(t, "-42", r.Power.Decimal.String())
	require.False(t, r.Coarse)
	require.Len(t, r.Registers, 2)
	require.Equal(t, "16824856.5", r.Registers[0].Value.String())
	require.Equal(t, "9223372036854775808", r.Registers[1].Value.String())

	nothing := say(t, other, power(sml.SignedValue(1, 1), 0))
	_, ok = nothing.Reading("main", at)
	require.False(t, ok)
}

func TestATelegramOfNoMeterGivesNoReading(t *testing.T) {
	many := func(n int) []sml.Entry { return slices.Repeat([]sml.Entry{energy(obis.Drawn, 1, 0)}, n) }
	for _, c := range []struct {
		octets, registers int
		want              bool
	}{
		{meter.MaxDeviceID, meter.MaxRegisters, true},
		{meter.MaxDeviceID + 1, 1, false},
		{10, meter.MaxRegisters + 1, false},
	} {
		telegram := say(t, make([]byte, c.octets), many(c.registers)...)
		_, ok := telegram.Reading("main", meter.Stamp{})
		require.Equal(t, c.want, ok, "%+v", c)
	}
}

func TestWhatAMeterTellsAboutItself(t *testing.T) {
	whole := say(t, other, energy(obis.Drawn, 25688, 3), energy(obis.FedIn, 1000_0, -1))
	require.True(t, whole.Coarse())
	require.True(t, whole.FeedsIn())
	require.False(t, whole.TwoTariffs())

	fine := say(t, other, energy(obis.Drawn, 25_688_001, 0), energy(obis.DrawnT1, 1, 0), energy(obis.DrawnT2, 2, 0))
	require.False(t, fine.Coarse())
	require.False(t, fine.FeedsIn())
	require.True(t, fine.TwoTariffs())

	itron := meter.DeviceID("\x0a\x01ITR\x00\x03\x47\xf0\x40")
	require.Equal(t, "ITR", itron.Maker())
	require.Equal(t, "1 ITR00 5504 6208", itron.Plate())
	serial, ok := itron.Serial()
	require.True(t, ok)
	require.EqualValues(t, 55_046_208, serial)
	require.Equal(t, "EMH", meter.DeviceID(emh).Maker())
	require.Empty(t, meter.DeviceID("1001185").Maker())
	require.Empty(t, meter.DeviceID("1001185").Plate())

	fnn, ok := meter.StatusWord{Bits: 0x1c0904, Valid: true}.FNN()
	require.True(t, ok)
	require.Equal(t, []string{"feeding in"}, fnn.Words())
	_, ok = meter.StatusWord{Bits: 0x182, Valid: true}.FNN()
	require.False(t, ok)
}

func TestARefusedMessageCostsNoOther(t *testing.T) {
	list := func(entries ...sml.Entry) sml.Message {
		return sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: other, Entries: sml.NewList(entries...)})
	}
	good, bad := list(energy(obis.Drawn, 1, 0)), list(energy(obis.FedIn, 2, 0))
	at := bytes.IndexByte(bad.Body, 0x69) // the TL of the eight-byte value
	bad.Body = slices.Insert(bad.Body, at+1, 0)
	bad.Body[at] = 0x6a // nine bytes
	decode := func(messages ...sml.Message) (meter.Telegram, []*sml.RefusedError) {
		frame, err := sml.NewReader(bytes.NewReader(sml.AppendFile([]byte("noise"), sml.X25, messages...)[5:])).Next()
		require.NoError(t, err)
		var d meter.Decoder
		return d.Decode(frame)
	}

	telegram, refused := decode(bad, good)
	require.True(t, telegram.OK)
	require.Len(t, telegram.Values, 1)
	require.Len(t, refused, 1)
	require.Equal(t, sml.IntegerSize, refused[0].Reason)
	require.EqualValues(t, 8, refused[0].Offset)

	telegram, refused = decode(bad)
	require.False(t, telegram.OK)
	require.Len(t, refused, 1)

	telegram, refused = decode(sml.NewMessage([]byte("1"), &sml.Attention{ServerID: other}))
	require.True(t, telegram.OK)
	require.Empty(t, telegram.Values)
	require.Empty(t, refused)
}

func TestDecodingAllocatesNothing(t *testing.T) {
	file := sml.AppendFile(nil, sml.X25, sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: dzgBroken,
		Entries: sml.NewList(withStatus(energy(obis.Drawn, 1, 0), 0x1c0104), power(sml.SignedValue(-1, 2), -2))}))
	stream := bytes.NewReader(bytes.Repeat(file, 1000))
	r := sml.NewReader(stream)
	var d meter.Decoder
	sum := uint64(0)
	step := func() {
		frame, err := r.Next()
		if err == io.EOF {
			stream.Seek(0, io.SeekStart)
			return
		}
		telegram, _ := d.Decode(frame)
		for i := range telegram.Values {
			exact, _ := telegram.Values[i].Exact()
			sum += exact.Magnitude
		}
	}
	for range 2000 {
		step() // until its memory has the size it needs
	}
	require.Zero(t, testing.AllocsPerRun(2000, step))
	require.NotZero(t, sum)
}

func BenchmarkDecoder(b *testing.B) {
	var entries []sml.Entry
	for i := range 8 {
		entries = append(entries, energy(obis.Code{1, 0, 1, 8, byte(i), 255}, 168248565, -1))
	}
	file := sml.AppendFile(nil, sml.X25, sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: other, Entries: sml.NewList(entries...)}))
	stream := bytes.Repeat(file, 1000)
	source := bytes.NewReader(stream)
	r := sml.NewReader(source)
	var d meter.Decoder
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		frame, err := r.Next()
		if err == io.EOF {
			source.Reset(stream)
			continue
		}
		if telegram, _ := d.Decode(frame); len(telegram.Values) != 8 {
			b.Fatal(fmt.Sprint(telegram))
		}
	}
}
