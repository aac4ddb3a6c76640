package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"smgw/meter"
	"smgw/sml"
)

// table shows the newest telegram for people: who says it, then a line for
// each register; below it, what was refused. Following, it shows each telegram, on a
// terminal always at the same place.
type table struct {
	out     *bufio.Writer
	follow  bool
	redraw  bool
	newest  []string
	seen    int
	devices map[meter.DeviceID]bool
	faults  map[sml.Reason]int
	drawn   int // lines on the screen, to be drawn over
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func (t *table) telegram(m *meter.Telegram) {
	if t.devices == nil {
		t.devices = map[meter.DeviceID]bool{}
	}
	t.seen++
	t.devices[m.Device] = true
	t.newest = linesOf(m)
	if t.follow {
		t.show(append(t.newest, ""))
	}
}

func (t *table) rejected(r *sml.RefusedError) {
	if t.faults == nil {
		t.faults = map[sml.Reason]int{}
	}
	t.faults[r.Reason]++
}

func (t *table) end(bytes int64) error {
	if !t.follow && t.newest != nil {
		t.show(append(t.newest, ""))
	}
	fmt.Fprintf(t.out, "%s in %s", count(t.seen, "telegram"), count(int(bytes), "byte"))
	if len(t.devices) > 1 {
		fmt.Fprintf(t.out, ", from %d meters; the newest is shown", len(t.devices))
	}
	fmt.Fprintln(t.out)
	for _, reason := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(t.out, "  refused %4d ×  %s\n", t.faults[reason], reasonWords[reason])
	}
	return nil
}

func (t *table) show(lines []string) {
	if t.redraw && t.drawn > 0 {
		fmt.Fprintf(t.out, "\x1b[%dA\x1b[J", t.drawn) // up, and clear below
	}
	for _, line := range lines {
		fmt.Fprintln(t.out, line)
	}
	t.drawn = len(lines)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// reasonWords says for people what each reason means.
var reasonWords = map[sml.Reason]string{
	sml.Noise:           "noise: bytes outside any telegram",
	sml.Torn:            "torn: the telegram has no end",
	sml.FrameChecksum:   "damaged: the telegram's checksum is wrong",
	sml.FrameTooLong:    "endless: no end of the telegram in 64 KiB",
	sml.BadEscape:       "damaged: an impossible escape sequence",
	sml.BadFill:         "damaged: an impossible count of fill bytes",
	sml.MessageChecksum: "a message's checksum is wrong",
	sml.BadMessage:      "something stood where a message begins",
	sml.PastEnd:         "a message claims to be longer than it is",
	sml.BadLength:       "a field's length is impossible",
	sml.IntegerSize:     "a number has no byte, or more than eight",
	sml.WrongType:       "a field has another type than it should",
	sml.WrongCount:      "a list has more or fewer elements than it should",
	sml.OutOfRange:      "a number is larger than its field",
	sml.SearchLimit:     "too many broken messages in one telegram",
}

// linesOf makes the lines of a telegram.
func linesOf(m *meter.Telegram) []string {
	lines := head(m)
	rows := make([][4]string, 0, len(m.Values)) // code, words, number, unit
	var widths [4]int
	var quirks []string
	if m.Quirk != "" {
		quirks = append(quirks, m.Quirk)
	}
	for i := range m.Values {
		row, quirk := rowOf(&m.Values[i])
		if quirk != "" && !slices.Contains(quirks, quirk) {
			quirks = append(quirks, quirk)
		}
		rows = append(rows, row)
		for k, cell := range row {
			// Texts stand in the number's column and may run over it.
			if k != 2 || row[3] != "" {
				widths[k] = max(widths[k], utf8.RuneCountInString(cell))
			}
		}
	}
	if len(rows) > 0 {
		lines = append(lines, "")
	}
	for _, r := range rows {
		number := r[2]
		if r[3] != "" {
			number = pad(widths[2]-utf8.RuneCountInString(number)) + number
		}
		line := "  " + r[0] + pad(widths[0]-utf8.RuneCountInString(r[0])) + "  " +
			r[1] + pad(widths[1]-utf8.RuneCountInString(r[1])) + "  " + number + " " + r[3]
		lines = append(lines, strings.TrimRight(line, " "))
	}
	for _, q := range quirks {
		lines = append(lines, "", "  * "+quirkWords(q))
	}
	return lines
}

func pad(n int) string { return strings.Repeat(" ", max(n, 0)) }

// head says who speaks, and how.
func head(m *meter.Telegram) (lines []string) {
	say := func(what, text string) {
		if text != "" {
			lines = append(lines, fmt.Sprintf("%-9s %s", what, text))
		}
	}
	who := m.Device.Plate()
	if maker := makers[m.Device.Maker()]; maker != "" {
		who = strings.TrimSpace(who + "  " + maker)
	}
	say("Meter", who)
	say("Server id", m.Device.String())
	say("Its time", timeWords(m))
	for i := range m.Values {
		if fnn, ok := m.Values[i].Status.FNN(); ok {
			say("Status", strings.Join(fnn.Words(), ", "))
			break
		}
	}
	var counts []string
	if m.FeedsIn() {
		counts = append(counts, "what is fed in")
	}
	if m.TwoTariffs() {
		counts = append(counts, "two tariffs")
	}
	if counts != nil {
		say("Counts", strings.Join(append([]string{"what is drawn"}, counts...), ", "))
	}
	if m.Coarse() {
		say("Detail", "whole kWh only, no power: enter the meter's PIN and turn its extended information (InF) on")
	}
	if m.Checksum == sml.Kermit {
		say("Checksum", "CRC-16/Kermit")
	}
	return lines
}

func timeWords(m *meter.Telegram) string {
	if s := m.SecIndex(); s.Valid {
		text := fmt.Sprintf("second %d since it was installed", s.Seconds)
		if days := s.Seconds / 86400; days > 0 {
			text += fmt.Sprintf(" (%s)", count(int(days), "day"))
		}
		return text
	}
	if m.SensorTime.Valid() {
		return sensorClock(m.SensorTime)
	}
	return ""
}

func sensorClock(t sml.Time) string {
	if t.Choice == sml.SecIndex {
		return fmt.Sprintf("second %d", t.Value)
	}
	return time.Unix(int64(t.Value), 0).UTC().Format("2006-01-02 15:04:05") + " by its own clock"
}

// rowOf gives a register's cells and the quirk that was put right in it.
func rowOf(v *meter.Value) (row [4]string, quirk string) {
	row[0], row[1] = fmt.Sprintf("%x", v.Name), meter.Describe(v.Code)
	if len(v.Name) == len(v.Code) {
		row[0] = v.Code.Short()
	}
	switch v.Raw.Kind {
	case sml.Octets:
		row[2] = octetWords(v)
	case sml.Bool:
		row[2] = fmt.Sprint(v.Raw.Bits != 0)
	case sml.List:
		row[2] = "a list"
		if t, ok := v.Raw.Time(); ok {
			row[2] = sensorClock(t)
		}
	case sml.Absent:
		row[2] = "–"
	default:
		exact, _ := v.Exact()
		unit := meter.Unit(v.Unit.Value)
		row[3] = unit.String()
		if unit == meter.WattHour && exact.Scaler > -100 { // as meters show it themselves
			exact.Scaler -= 3
			row[3] = "kWh"
		}
		row[2] = exact.String()
		if v.Quirk != "" && exact != (meter.Exact{}) {
			row[3] = strings.TrimSpace(row[3] + " *")
		}
	}
	return row, v.Quirk
}

// octetWords shows text as text, an identification as printed on the meter,
// and all else in hexadecimal.
func octetWords(v *meter.Value) string {
	b := v.Raw.Bytes
	if plate := meter.DeviceID(b).Plate(); plate != "" {
		return plate
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			if len(b) > 16 {
				return fmt.Sprintf("%x… (%d bytes)", b[:12], len(b))
			}
			return fmt.Sprintf("%x", b)
		}
	}
	return string(b)
}

// quirkWords says what was put right.
func quirkWords(name string) string {
	switch name {
	case "dzg_unsigned_power":
		return "this DZG sends its power as a signed number though it is not; put right"
	case "emh_direction":
		return "this EMH has the direction of its power in its status only; put right"
	case "fnn_direction":
		return "this meter has the direction of its power in its status only; put right"
	case "holley_bare_time":
		return "this Holley sends its times shortened; read as seconds since it was installed"
	}
	return name
}

// makers are the letters in server ids that are met in German cellars.
var makers = map[string]string{
	"APA": "Apator", "DZG": "DZG", "EBZ": "eBZ", "EFR": "EFR", "ELS": "Elster", "EMH": "EMH", "ESY": "EasyMeter",
	"HAG": "Hager", "HLY": "Holley", "HON": "Honeywell", "ISK": "Iskraemeco", "ITR": "Itron", "ITF": "FROETEC",
	"LGZ": "Landis+Gyr", "LOG": "Logarex", "NOR": "Norax", "SAG": "Sagemcom",
}
