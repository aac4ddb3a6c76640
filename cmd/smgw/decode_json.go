package main

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"

	"smgw/meter"
	"smgw/sml"
)

// lines shows everything as JSON, one object a line (DESIGN.md, Interfaces;
// docs/decode.md).
type lines struct {
	out     *json.Encoder
	err     error
	summary struct {
		Type      string         `json:"type"`
		Bytes     int64          `json:"bytes"`
		Telegrams int            `json:"telegrams"`
		Rejected  map[string]int `json:"rejected"`
	}
}

func newLines(w io.Writer) *lines {
	l := &lines{out: json.NewEncoder(w)}
	l.out.SetEscapeHTML(false)
	l.summary.Type, l.summary.Rejected = "summary", map[string]int{}
	return l
}

func (l *lines) write(v any) {
	if l.err == nil {
		l.err = l.out.Encode(v)
	}
}

type telegramLine struct {
	Type       string          `json:"type"`
	Offset     int64           `json:"offset"`
	End        int64           `json:"end"`
	CRC        sml.Checksum    `json:"crc"`
	ServerID   *meter.DeviceID `json:"server_id"`
	SensorTime *timeObject     `json:"sensor_time"`
	Values     []valueObject   `json:"values"`
	Quirk      string          `json:"quirk,omitempty"` // of the sensor time
}

type timeObject struct {
	Choice       sml.TimeChoice `json:"choice"`
	Value        uint32         `json:"value"`
	LocalOffset  *int16         `json:"local_offset,omitempty"` // choice 3 only
	SeasonOffset *int16         `json:"season_offset,omitempty"`
}

// valueObject has one of raw, octets, boolean, time and list; raw is null
// beside the last three and where there is no value.
type valueObject struct {
	OBIS     string          `json:"obis"`
	Code     *string         `json:"code"`
	Raw      json.RawMessage `json:"raw,omitempty"`
	Octets   string          `json:"octets,omitempty"`
	Boolean  *bool           `json:"boolean,omitempty"`
	Time     *timeObject     `json:"time,omitempty"`
	List     string          `json:"list,omitempty"`
	Scaler   *int64          `json:"scaler"`
	Unit     *uint64         `json:"unit"`
	Status   *uint64         `json:"status"`
	Value    *string         `json:"value"`
	UnitName *string         `json:"unit_name"`
	Quirk    string          `json:"quirk,omitempty"`
}

func (l *lines) telegram(t *meter.Telegram) {
	l.summary.Telegrams++
	line := telegramLine{Type: "telegram", Offset: t.Offset, End: t.End, CRC: t.Checksum,
		SensorTime: timeOf(t.SensorTime), Quirk: t.Quirk, Values: make([]valueObject, 0, len(t.Values))}
	if t.Device != "" {
		line.ServerID = &t.Device
	}
	for i := range t.Values {
		line.Values = append(line.Values, objectOf(&t.Values[i]))
	}
	l.write(line)
}

func (l *lines) rejected(r *sml.RefusedError) {
	l.summary.Rejected[string(r.Reason)]++
	l.write(struct {
		Type   string     `json:"type"`
		Offset int64      `json:"offset"`
		End    int64      `json:"end"`
		Reason sml.Reason `json:"reason"`
		Limit  int64      `json:"limit,omitempty"`
	}{"rejected", r.Offset, r.End, r.Reason, r.Limit})
}

func (l *lines) end(bytes int64) error {
	l.summary.Bytes = bytes
	l.write(l.summary)
	return l.err
}

func timeOf(t sml.Time) *timeObject {
	if !t.Valid() {
		return nil
	}
	o := &timeObject{Choice: t.Choice, Value: t.Value}
	if t.Choice == sml.LocalTimestamp {
		o.LocalOffset, o.SeasonOffset = &t.LocalOffset, &t.SeasonOffset
	}
	return o
}

func objectOf(v *meter.Value) valueObject {
	o := valueObject{OBIS: hex.EncodeToString(v.Name), Quirk: v.Quirk}
	if len(v.Name) == len(v.Code) {
		code := v.Code.String()
		o.Code = &code
	}
	switch v.Raw.Kind {
	case sml.Unsigned:
		o.Raw = strconv.AppendUint(nil, v.Raw.Bits, 10)
	case sml.Signed:
		o.Raw = strconv.AppendInt(nil, int64(v.Raw.Bits), 10)
	case sml.Octets:
		o.Octets = hex.EncodeToString(v.Raw.Bytes)
	default:
		o.Raw = json.RawMessage("null")
	}
	switch v.Raw.Kind {
	case sml.Bool:
		is := v.Raw.Bits != 0
		o.Boolean = &is
	case sml.List:
		if t, ok := v.Raw.Time(); ok {
			o.Time = timeOf(t)
		} else {
			o.List = hex.EncodeToString(v.Raw.Bytes)
		}
	}
	if v.Scaler.Valid() {
		o.Scaler = &v.Scaler.Value
	}
	if v.Unit.Valid() {
		o.Unit = &v.Unit.Value
		if name := meter.Unit(v.Unit.Value).String(); name != "" {
			o.UnitName = &name
		}
	}
	if v.Status.Valid {
		o.Status = &v.Status.Bits
	}
	if exact, ok := v.Exact(); ok {
		value := exact.String()
		o.Value = &value
	}
	return o
}
