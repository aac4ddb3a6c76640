package meter_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/obis"
)

const tableHeader = "time,obis,value,unit,state,offset_ms"

func TestReadTableTakesLinesInAnyOrder(t *testing.T) {
	got, err := meter.ReadTable(strings.NewReader(tableHeader + `
2026-10-25T00:15:00Z,1-0:1.8.0,16824.8565,kWh,true,-412
2026-10-25T00:00:00Z,1-0:1.8.0,16824000.5,Wh,true,0
2026-10-25T00:15:00Z,1-0:2.8.0,7,Wh,true,-412
`))
	require.NoError(t, err)
	require.Len(t, got, 3)
	late, early := got[0], got[1]
	require.Equal(t, "2026-10-25T00:15:00Z", late.Boundary.String())
	require.Equal(t, -412*time.Millisecond, late.Offset)
	require.Equal(t, meter.ClockSynchronised, late.Clock)
	value, ok := late.Register(obis.Drawn)
	require.True(t, ok)
	require.Equal(t, "16824856.5", value.String())
	require.Equal(t, "2026-10-25T00:00:00Z", early.Boundary.String())
}

func TestReadTableUnderstandsTheOptionalColumns(t *testing.T) {
	got, err := meter.ReadTable(strings.NewReader(tableHeader + `,reason,method,server_id
2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,unusable,0,ZA0,,0a01495452000347f040
2026-10-25T00:15:00Z,1-0:1.8.0,1,kWh,true,0,ZC4,,
`))
	require.NoError(t, err)
	require.Equal(t, meter.ClockUnsynchronised, got[0].Clock)
	require.Equal(t, "0a01495452000347f040", got[0].Device.String())
	require.True(t, got[1].Coarse)
	require.Equal(t, meter.ClockSynchronised, got[1].Clock)
}

// At the boundary of an exchange both devices may have been read.
func TestReadTableTakesARegisterOfTwoDevicesAtOneBoundary(t *testing.T) {
	const exchange = ",reason,method,server_id\n" +
		"2026-10-25T00:00:00Z,1-0:1.8.0,9000,Wh,true,-20000,,,0a01495452000347f040\n" +
		"2026-10-25T00:00:00Z,1-0:1.8.0,3,Wh,true,20000,,,0a01495452000347f041\n"
	got, err := meter.ReadTable(strings.NewReader(tableHeader + exchange))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.NotEqual(t, got[0].Device, got[1].Device)

	_, err = meter.ReadTable(strings.NewReader(tableHeader + exchange + "2026-10-25T00:00:00Z,1-0:1.8.0,3,Wh,true,20000,,,0a01495452000347f041\n"))
	require.ErrorContains(t, err, "line 4: 1-0:1.8.0 at 2026-10-25T00:00:00Z was already given on line 3")
	_, err = meter.ReadTable(strings.NewReader(tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,9000,Wh,true,0\n2026-10-25T00:00:00Z,1-0:1.8.0,3,Wh,true,0\n"))
	require.ErrorContains(t, err, "already given on line 2; where a meter was exchanged the column server_id")
}

func TestReadTableTakesASpreadsheetsMarkBeforeIt(t *testing.T) {
	got, err := meter.ReadTable(strings.NewReader("\ufeff" + tableHeader + "\r\n2026-10-25T00:15:00Z,1-0:1.8.0,1,kWh,true,0\r\n"))
	require.NoError(t, err)
	require.Len(t, got, 1)
}

func TestReadTableSaysWhichLineIsWrong(t *testing.T) {
	const good = "2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,true,0\n"
	tests := map[string]struct {
		table string
		line  int
		what  string
	}{
		"an empty file":         {"", 1, "empty"},
		"no header":             {good, 1, "header"},
		"a header out of order": {"time,obis,unit,value,state,offset_ms\n", 1, "header"},
		"a foreign column":      {tableHeader + ",colour\n", 1, "header"},
		"too few columns":       {tableHeader + "\n" + good + "2026-10-25T00:15:00Z,1-0:1.8.0,1\n", 3, "3 columns: want 6"},
		"a doubled line":        {tableHeader + "\n" + good + "\n" + strings.Replace(good, "1-0:1.8.0", "1-0:1.8.0*255", 1), 4, "already given on line 2"},
		"off the boundary":      {tableHeader + "\n2026-10-25T00:00:01Z,1-0:1.8.0,1,Wh,true,0\n", 2, "no quarter-hour boundary"},
		"local time":            {tableHeader + "\n2026-10-25T02:00:00+02:00,1-0:1.8.0,1,Wh,true,0\n", 2, "want UTC, as 2026-10-25T00:00:00Z"},
		"no time":               {tableHeader + "\n25.10.2026,1-0:1.8.0,1,Wh,true,0\n", 2, "want RFC 3339"},
		"no obis code":          {tableHeader + "\n2026-10-25T00:00:00Z,1.8.0,1,Wh,true,0\n", 2, "obis code"},
		"a register of power":   {tableHeader + "\n2026-10-25T00:00:00Z,1-0:16.7.0,1,Wh,true,0\n", 2, "register of energy"},
		"an exponent":           {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1e3,Wh,true,0\n", 2, "plain decimal"},
		"a plus":                {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,+1,Wh,true,0\n", 2, "plain decimal"},
		"no digit behind":       {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1.,Wh,true,0\n", 2, "plain decimal"},
		"no digit before":       {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,.1,Wh,true,0\n", 2, "plain decimal"},
		"a comma":               {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,\"1,5\",Wh,true,0\n", 2, "plain decimal"},
		"no value":              {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,,Wh,true,0\n", 2, "plain decimal"},
		"too many digits":       {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0," + strings.Repeat("1", 41) + ",Wh,true,0\n", 2, "at most 40"},
		"a unit of power":       {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1,kW,true,0\n", 2, "want Wh or kWh"},
		"an unknown state":      {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,good,0\n", 2, `state "good"`},
		"half a millisecond":    {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,true,0.5\n", 2, "whole milliseconds"},
		"no offset":             {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,true,\n", 2, "whole milliseconds"},
		"an open quote":         {tableHeader + "\n2026-10-25T00:00:00Z,1-0:1.8.0,\"1,Wh,true,0\n", 2, "quote"},
		"unusable without why":  {tableHeader + ",reason\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,unusable,0,\n", 2, "want ZA0"},
		"an unknown reason":     {tableHeader + ",reason\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,true,0,Z99\n", 2, `reason "Z99"`},
		"a method":              {tableHeader + ",reason,method\n2026-10-25T00:00:00Z,1-0:1.8.0,1,Wh,true,0,,Z92\n", 2, "only a substitute"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := meter.ReadTable(strings.NewReader(test.table))
			var at *meter.TableError
			require.ErrorAs(t, err, &at)
			require.Equal(t, test.line, at.Line)
			require.ErrorContains(t, err, test.what)
		})
	}
}

func TestTableKeepsWhatAPayloadIsMadeFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "readings")
		var want []meter.BoundaryReading
		var out bytes.Buffer
		w := meter.NewTableWriter(&out, meter.OptionalColumns...)
		for i := range n {
			b := meter.BoundaryReading{
				Boundary: meter.Quarter(1_990_000 + i),
				Device:   meter.DeviceID(rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "device")),
				Offset:   time.Duration(rapid.IntRange(-450_000, 450_000).Draw(t, "offset")) * time.Millisecond,
				Clock:    meter.ClockSynchronised,
			}
			switch rapid.IntRange(0, 2).Draw(t, "quality") {
			case 0:
				b.Clock = meter.ClockUnsynchronised
			case 1:
				b.Coarse = true
			}
			for _, code := range []obis.Code{obis.Drawn, obis.FedIn} {
				value := decimal.New(rapid.Int64().Draw(t, "value"), rapid.Int32Range(-6, 3).Draw(t, "exponent"))
				b.Registers = append(b.Registers, meter.RegisterValue{Code: code, Value: value})
			}
			require.NoError(t, w.Write(&b))
			want = append(want, b)
		}
		require.NoError(t, w.Flush())
		got, err := meter.ReadTable(&out)
		require.NoError(t, err)
		require.True(t, slices.EqualFunc(want, got, func(a, b meter.BoundaryReading) bool {
			same := a.Boundary == b.Boundary && a.Device == b.Device && a.Offset == b.Offset && a.Clock == b.Clock && a.Coarse == b.Coarse
			return same && slices.EqualFunc(a.Registers, b.Registers, func(x, y meter.RegisterValue) bool {
				return x.Code == y.Code && x.Value.Equal(y.Value)
			})
		}))
	})
}

func TestTableHasOptionalColumnsOnlyWhereTheyAreWanted(t *testing.T) {
	b := meter.BoundaryReading{
		Boundary: 1_990_000, Device: "\x0a\x01", Offset: -412 * time.Millisecond, Clock: meter.ClockUnsynchronised,
		Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.RequireFromString("16824856.5")}},
	}
	for wanted, want := range map[string]string{
		"":                 "time,obis,value,unit,state,offset_ms\n2026-10-03T04:00:00Z,1-0:1.8.0,16824856.5,Wh,unusable,-412\n",
		"server_id":        "time,obis,value,unit,state,offset_ms,server_id\n2026-10-03T04:00:00Z,1-0:1.8.0,16824856.5,Wh,unusable,-412,0a01\n",
		"server_id,reason": "time,obis,value,unit,state,offset_ms,reason,server_id\n2026-10-03T04:00:00Z,1-0:1.8.0,16824856.5,Wh,unusable,-412,ZA0,0a01\n",
	} {
		var out bytes.Buffer
		w := meter.NewTableWriter(&out, strings.Split(wanted, ",")...)
		require.NoError(t, w.Write(&b))
		require.NoError(t, w.Flush())
		require.Equal(t, want, out.String())
		got, err := meter.ReadTable(&out)
		require.NoError(t, err)
		require.Equal(t, meter.ClockUnsynchronised, got[0].Clock)
	}
}

func TestTableInJSONKeepsOffsetsAsNumbers(t *testing.T) {
	b := meter.BoundaryReading{
		Boundary: 1_990_000, Offset: -412 * time.Millisecond, Clock: meter.ClockSynchronised,
		Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.RequireFromString("16824856.5")}},
	}
	var out bytes.Buffer
	w := meter.NewJSONTableWriter(&out, "reason")
	require.NoError(t, w.Write(&b))
	require.NoError(t, w.Flush())
	require.Equal(t, `{"time":"2026-10-03T04:00:00Z","obis":"1-0:1.8.0","value":"16824856.5","unit":"Wh","state":"true","offset_ms":-412,"reason":null}`+"\n", out.String())
}
