package meter

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter/obis"
)

// The table of readings is how they leave a gateway and how anyone may check a
// payload made from them: one line for each register at each boundary, in any
// order.
//
//	time,obis,value,unit,state,offset_ms,reason,method,server_id
//	2026-10-25T00:00:00Z,1-0:1.8.0,16824856.5,Wh,true,412,,,0a01495452000347f040
//
// The value is what the meter showed, before any transformer factor; offset_ms
// is when it was read minus the boundary. Each of the last three columns may be
// left out. A reading taken with a clock that was not synchronised is "unusable"
// with reason ZA0; one of a front port that gives whole kWh has reason ZC4, which
// needs its column to be told.
var tableColumns = []string{"time", "obis", "value", "unit", "state", "offset_ms", "reason", "method", "server_id"}

// OptionalColumns are the columns that a table of readings may do without.
var OptionalColumns = tableColumns[requiredColumns:]

const (
	requiredColumns = 6
	maxDigits       = 40 // of a value; a meter shows a dozen

	stateTrue     = "true"
	stateUnusable = "unusable"
	reasonClock   = "ZA0"
	reasonCoarse  = "ZC4"
)

// TableError is one line of a table of readings that cannot be taken.
type TableError struct {
	Line int    // from 1, the header included
	What string // what is wrong, and what would be right
}

func (e *TableError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// ReadTable reads a table of readings; registers in kWh become Wh. A boundary
// whose registers were read at different moments, or by different devices,
// gives several boundary readings. The first line that is malformed, not at a
// boundary, or doubled (a register of one device at one time) ends it with a
// *TableError.
func ReadTable(r io.Reader) ([]BoundaryReading, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1 // counted here, with a better message
	in.ReuseRecord = true
	header, err := in.Read()
	if err == io.EOF {
		return nil, &TableError{1, "the file is empty: want the header " + strings.Join(tableColumns[:requiredColumns], ",")}
	}
	if err != nil {
		return nil, tableError(err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // a spreadsheet's byte order mark
	columns := len(header)
	optional := slices.Clone(header[min(columns, requiredColumns):]) // in.Read reuses header
	if !slices.Equal(header, columnsWith(optional)) {
		return nil, &TableError{1, fmt.Sprintf("header %q: want %s, and perhaps %s", strings.Join(header, ","),
			strings.Join(tableColumns[:requiredColumns], ","), strings.Join(tableColumns[requiredColumns:], ","))}
	}

	type key struct {
		at     Quarter
		code   obis.Code
		device DeviceID
	}
	seen := map[key]int{} // line
	var readings []BoundaryReading
	for {
		fields, err := in.Read()
		if err == io.EOF {
			return readings, nil
		}
		if err != nil {
			return nil, tableError(err)
		}
		line, _ := in.FieldPos(0)
		if len(fields) != columns {
			return nil, &TableError{line, fmt.Sprintf("%d columns: want %d as in the header", len(fields), columns)}
		}
		b, value, err := parseLine(fields, optional)
		if err != nil {
			return nil, &TableError{line, err.Error()}
		}
		k := key{b.Boundary, value.Code, b.Device}
		if earlier, ok := seen[k]; ok {
			what := fmt.Sprintf("%s at %s was already given on line %d", value.Code.Short(), b.Boundary, earlier)
			if !slices.Contains(optional, "server_id") {
				what += "; where a meter was exchanged the column server_id tells the old one from the new"
			}
			return nil, &TableError{line, what}
		}
		seen[k] = line
		if last := len(readings) - 1; last >= 0 && readings[last].sameMoment(b) {
			readings[last].Registers = append(readings[last].Registers, value)
			continue
		}
		b.Registers = []RegisterValue{value}
		readings = append(readings, b)
	}
}

func (b *BoundaryReading) sameMoment(o BoundaryReading) bool {
	return b.Boundary == o.Boundary && b.Device == o.Device && b.Offset == o.Offset && b.Clock == o.Clock && b.Coarse == o.Coarse
}

func tableError(err error) error {
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return &TableError{syntax.Line, syntax.Err.Error()}
	}
	return fmt.Errorf("read table of readings: %w", err)
}

// columnsWith are the required columns and, in their order, those of the
// optional ones that are wanted.
func columnsWith(wanted []string) []string {
	columns := slices.Clone(tableColumns[:requiredColumns])
	for _, c := range OptionalColumns {
		if slices.Contains(wanted, c) {
			columns = append(columns, c)
		}
	}
	return columns
}

func parseLine(fields, optional []string) (b BoundaryReading, v RegisterValue, err error) {
	at, err := time.Parse(time.RFC3339, fields[0])
	if err != nil {
		return b, v, fmt.Errorf("time %q: want RFC 3339 in UTC, as 2026-10-25T00:15:00Z", fields[0])
	}
	if _, offset := at.Zone(); offset != 0 {
		return b, v, fmt.Errorf("time %q: want UTC, as %s", fields[0], at.UTC().Format(time.RFC3339))
	}
	b.Boundary = QuarterOf(at)
	if !b.Boundary.Time().Equal(at) {
		return b, v, fmt.Errorf("time %q is no quarter-hour boundary; how far off it was read belongs into offset_ms", fields[0])
	}
	if v.Code, err = obis.Parse(fields[1]); err != nil {
		return b, v, err
	}
	if !v.Code.IsEnergy() {
		return b, v, fmt.Errorf("obis code %q: want a register of energy, as 1-0:1.8.0 or 1-0:2.8.0", fields[1])
	}
	if v.Value, err = parsePlain(fields[2]); err != nil {
		return b, v, err
	}
	switch fields[3] {
	case "Wh":
	case "kWh":
		v.Value = v.Value.Shift(3)
	default:
		return b, v, fmt.Errorf("unit %q: want Wh or kWh", fields[3])
	}
	if fields[4] != stateTrue && fields[4] != stateUnusable {
		return b, v, fmt.Errorf("state %q: want true, or unusable with reason ZA0", fields[4])
	}
	ms, err := strconv.ParseInt(fields[5], 10, 32)
	if err != nil {
		return b, v, fmt.Errorf("offset_ms %q: want whole milliseconds", fields[5])
	}
	b.Offset = time.Duration(ms) * time.Millisecond

	column := func(name string) string {
		if i := slices.Index(optional, name); i >= 0 {
			return fields[requiredColumns+i]
		}
		return ""
	}
	b.Clock = ClockSynchronised
	if fields[4] == stateUnusable {
		b.Clock = ClockUnsynchronised // the one cause there is
	}
	switch reason := column("reason"); {
	case reason == reasonClock:
		b.Clock = ClockUnsynchronised
	case reason == reasonCoarse && fields[4] == stateTrue:
		b.Coarse = true
	case reason != "":
		return b, v, fmt.Errorf("reason %q of a reading that is %s: want ZA0, ZC4 or none", reason, fields[4])
	case fields[4] == stateUnusable && slices.Contains(optional, "reason"):
		return b, v, errors.New("an unusable reading without a reason: want ZA0")
	}
	if method := column("method"); method != "" {
		return b, v, fmt.Errorf("method %q: a reading has none, only a substitute has", method)
	}
	server := column("server_id")
	b.Device = DeviceID(server) // only sameness matters, so any name of a device will do
	if octets, err := hex.DecodeString(server); err == nil {
		b.Device = DeviceID(octets)
	}
	return b, v, nil
}

// parsePlain reads a decimal number in plain notation: digits, with a minus
// before and a fraction behind where there is one. No exponent, no other sign.
func parsePlain(s string) (decimal.Decimal, error) {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if !onlyDigits(whole) || point && !onlyDigits(fraction) {
		return decimal.Decimal{}, fmt.Errorf("value %q: want a plain decimal number, as 16824856.5", s)
	}
	if len(digits) > maxDigits {
		return decimal.Decimal{}, fmt.Errorf("value of %d digits: want at most %d", len(digits), maxDigits)
	}
	return decimal.NewFromString(s)
}

func onlyDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// TableWriter writes a table of readings one by one, in constant memory.
type TableWriter struct {
	columns []string
	line    func(fields []string) error
	flush   func() error
}

// NewTableWriter begins a table in CSV with its header. It has the required
// columns and those of OptionalColumns that are named.
func NewTableWriter(w io.Writer, optional ...string) *TableWriter {
	out := csv.NewWriter(w)
	t := &TableWriter{columns: columnsWith(optional), line: out.Write, flush: func() error {
		out.Flush()
		return out.Error()
	}}
	out.Write(t.columns) // an error stays in the writer until Flush
	return t
}

// NewJSONTableWriter begins the same table as JSON, an object a line. The value
// is text, the offset an integer, and what is absent null.
func NewJSONTableWriter(w io.Writer, optional ...string) *TableWriter {
	out := bufio.NewWriter(w)
	t := &TableWriter{columns: columnsWith(optional), flush: out.Flush}
	t.line = func(fields []string) error {
		line := []byte{'{'}
		for i, f := range fields {
			if i > 0 {
				line = append(line, ',')
			}
			line = append(strconv.AppendQuote(line, t.columns[i]), ':')
			switch {
			case f == "":
				line = append(line, "null"...)
			case t.columns[i] == "offset_ms":
				line = append(line, f...)
			default:
				line = strconv.AppendQuote(line, f) // plain ASCII, all of it
			}
		}
		_, err := out.Write(append(line, '}', '\n'))
		return err
	}
	return t
}

// Write writes a line for each register of a reading.
func (t *TableWriter) Write(b *BoundaryReading) error {
	state, reason := stateTrue, ""
	switch {
	case b.Clock != ClockSynchronised:
		state, reason = stateUnusable, reasonClock // comes before ZC4 (FORM.md, Precedence)
	case b.Coarse:
		reason = reasonCoarse
	}
	for _, r := range b.Registers {
		fields := []string{b.Boundary.String(), r.Code.Short(), r.Value.String(), "Wh", state, strconv.FormatInt(b.Offset.Milliseconds(), 10)}
		for _, c := range t.columns[requiredColumns:] {
			fields = append(fields, map[string]string{"reason": reason, "server_id": b.Device.String()}[c])
		}
		if err := t.line(fields); err != nil {
			return fmt.Errorf("write table of readings: %w", err)
		}
	}
	return nil
}

// Flush writes what is buffered and reports the first error.
func (t *TableWriter) Flush() error {
	if err := t.flush(); err != nil {
		return fmt.Errorf("write table of readings: %w", err)
	}
	return nil
}
