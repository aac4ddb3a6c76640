package meter_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/obis"
	"smgw/sml"
)

// corpus gives the recordings in one folder of the corpus.
func corpus(t testing.TB, folder string) []string {
	t.Helper()
	dir := os.Getenv("SML_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	files, err := filepath.Glob(filepath.Join(dir, folder, "*.bin"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skipf("no recordings in %s: set SML_CORPUS", filepath.Join(dir, folder))
	}
	return files
}

// truth is what stands beside a recording.
type truth struct {
	Telegrams []struct {
		Offset, End int64
		CRC         string
		Messages    []struct {
			Tag           sml.Tag
			Server        string
			ActSensorTime *struct {
				Tag sml.TimeChoice
				V   json.RawMessage
			} `json:"act_sensor_time"`
			Values []truthValue
		}
	}
	GoodTelegrams int           `json:"good_telegrams"`
	PowerRaw      []json.Number `json:"power_raw"`
	PowerValue    []string      `json:"power_value"`
}

type truthValue struct {
	OBIS   string
	Status *uint64
	Time   *struct {
		Tag sml.TimeChoice
		V   json.RawMessage
	}
	Unit   *uint64
	Scaler *int64
	Type   string
	Value  json.RawMessage
}

func truthOf(t testing.TB, recording string) (tr truth) {
	t.Helper()
	b, err := os.ReadFile(recording[:len(recording)-len(".bin")] + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &tr))
	return tr
}

// decodeAll calls see with every telegram of a stream and gives what was refused.
func decodeAll(t testing.TB, r io.Reader, see func(*meter.Telegram)) (refused []*sml.RefusedError) {
	t.Helper()
	frames := sml.NewReader(r)
	var decoder meter.Decoder
	for {
		frame, err := frames.Next()
		var one *sml.RefusedError
		if errors.As(err, &one) {
			refused = append(refused, one)
			continue
		}
		if err == io.EOF {
			return refused
		}
		require.NoError(t, err)
		telegram, messages := decoder.Decode(frame)
		refused = append(refused, messages...)
		if telegram.OK {
			see(&telegram)
		}
	}
}

func TestRecordingsDecodeToTheirTruth(t *testing.T) {
	for _, path := range corpus(t, "dumps") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			recording, err := os.ReadFile(path)
			require.NoError(t, err)
			want := truthOf(t, path).Telegrams
			n := 0
			decodeAll(t, bytes.NewReader(recording), func(got *meter.Telegram) {
				require.Less(t, n, len(want), "a telegram more than there are")
				w := want[n]
				n++
				require.Equal(t, w.Offset, got.Offset)
				require.Equal(t, w.End, got.End)
				require.Equal(t, w.CRC, got.Checksum.String())
				var values []truthValue
				for _, m := range w.Messages {
					if m.Tag != sml.TagGetListResponse {
						continue
					}
					require.Equal(t, m.Server, got.Device.String())
					require.Equal(t, m.ActSensorTime != nil, got.SensorTime.Valid())
					if m.ActSensorTime != nil {
						requireTime(t, m.ActSensorTime.Tag, m.ActSensorTime.V, got.SensorTime)
					}
					values = append(values, m.Values...)
				}
				require.Len(t, got.Values, len(values))
				for i := range values {
					requireValue(t, values[i], &got.Values[i])
				}
			})
			require.Equal(t, len(want), n)
		})
	}
}

func requireTime(t testing.TB, choice sml.TimeChoice, v json.RawMessage, got sml.Time) {
	t.Helper()
	require.Equal(t, choice, got.Choice)
	if choice == sml.LocalTimestamp {
		require.JSONEq(t, string(v), "["+strconv.FormatUint(uint64(got.Value), 10)+","+
			strconv.Itoa(int(got.LocalOffset))+","+strconv.Itoa(int(got.SeasonOffset))+"]")
		return
	}
	require.JSONEq(t, string(v), strconv.FormatUint(uint64(got.Value), 10))
}

func requireValue(t testing.TB, want truthValue, got *meter.Value) {
	t.Helper()
	require.Equal(t, want.OBIS, hex.EncodeToString(got.Name))
	require.Equal(t, want.Status != nil, got.Status.Valid, want.OBIS)
	if want.Status != nil {
		require.Equal(t, *want.Status, got.Status.Bits, want.OBIS)
	}
	require.Equal(t, want.Unit != nil, got.Unit.Valid(), want.OBIS)
	if want.Unit != nil {
		require.Equal(t, *want.Unit, got.Unit.Value, want.OBIS)
	}
	require.Equal(t, want.Scaler != nil, got.Scaler.Valid(), want.OBIS)
	if want.Scaler != nil {
		require.Equal(t, *want.Scaler, got.Scaler.Value, want.OBIS)
	}
	require.Equal(t, want.Time != nil, got.Time.Valid(), want.OBIS)
	if want.Time != nil {
		requireTime(t, want.Time.Tag, want.Time.V, got.Time)
	}
	switch got.Raw.Kind {
	case sml.Octets:
		require.JSONEq(t, string(want.Value), strconv.Quote(hex.EncodeToString(got.Raw.Bytes)))
	case sml.Unsigned:
		require.Equal(t, want.Type, "u"+strconv.Itoa(8*int(got.Raw.Size)))
		require.Equal(t, string(want.Value), strconv.FormatUint(got.Raw.Bits, 10))
	case sml.Signed:
		require.Equal(t, want.Type, "i"+strconv.Itoa(8*int(got.Raw.Size)))
		require.Equal(t, string(want.Value), strconv.FormatInt(int64(got.Raw.Bits), 10))
	case sml.Absent:
		require.Equal(t, "null", string(want.Value))
	case sml.List:
		require.Equal(t, "list", want.Type)
		var held struct{ V []uint64 }
		require.NoError(t, json.Unmarshal(want.Value, &held))
		at, ok := got.Raw.Time()
		require.True(t, ok)
		require.Equal(t, held.V, []uint64{uint64(at.Choice), uint64(at.Value)})
	default:
		t.Fatalf("%s: a kind that no recording has: %v", want.OBIS, got.Raw)
	}
}

func TestHardCasesGiveTheirPower(t *testing.T) {
	for _, path := range corpus(t, "synthetic") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			recording, err := os.ReadFile(path)
			require.NoError(t, err)
			want := truthOf(t, path)
			telegrams := 0
			raw, value := []json.Number{}, []string{}
			decodeAll(t, bytes.NewReader(recording), func(got *meter.Telegram) {
				telegrams++
				for i := range got.Values {
					v := &got.Values[i]
					exact, isNumber := v.Exact()
					if v.Code != obis.Power || !isNumber {
						continue
					}
					value = append(value, exact.String())
					if v.Raw.Kind == sml.Signed {
						raw = append(raw, json.Number(strconv.FormatInt(int64(v.Raw.Bits), 10)))
					} else {
						raw = append(raw, json.Number(strconv.FormatUint(v.Raw.Bits, 10)))
					}
				}
			})
			require.Equal(t, want.GoodTelegrams, telegrams)
			require.Equal(t, want.PowerRaw, raw)
			if want.PowerValue != nil {
				require.Equal(t, want.PowerValue, value)
			}
		})
	}
}

func TestRecordingsInOneStreamLoseNoTelegramToANeighbour(t *testing.T) {
	var stream []byte
	var want [][2]int64
	for _, folder := range []string{"dumps", "synthetic"} {
		for _, path := range corpus(t, folder) {
			recording, err := os.ReadFile(path)
			require.NoError(t, err)
			base := int64(len(stream))
			decodeAll(t, bytes.NewReader(recording), func(got *meter.Telegram) {
				want = append(want, [2]int64{base + got.Offset, base + got.End})
			})
			stream = append(stream, recording...)
		}
	}
	var got [][2]int64
	decodeAll(t, bytes.NewReader(stream), func(t *meter.Telegram) { got = append(got, [2]int64{t.Offset, t.End}) })
	require.Equal(t, want, got)
}
