package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/board"
	"smgw/cmd/internal/config"
	"smgw/meter/form"
)

const example = "../../../docs/smgw.example.toml"

func TestExampleIsRight(t *testing.T) {
	c, err := config.Load(example)
	require.NoError(t, err)
	require.Equal(t, config.Gateway{ID: "ESMG0000000001", StateDir: "/var/lib/smgw"}, c.Gateway)
	require.Equal(t, []config.Meter{{Name: "main", Port: "/dev/ttyUSB0"}}, c.Meters)
	require.Equal(t, "https://localhost:8443", c.HeadEnd.Endpoint)
	require.Equal(t, 27*time.Second, c.Readings.OffsetLimit)
	require.Equal(t, 27*time.Second, c.Contract.OffsetLimit)
	require.False(t, c.Readings.Minutes)
	require.Empty(t, c.Board)
	require.Equal(t, form.EditionBK618032, c.Contract.Edition)
	require.Equal(t, int64(1), c.Contract.TransformerFactor)
	require.Len(t, c.Contract.MarketLocations, 2)
	drawn, fedIn := c.Contract.MarketLocations[0], c.Contract.MarketLocations[1]
	require.Equal(t, form.ClassB, drawn.Class)
	require.Equal(t, form.ClassE, fedIn.Class)
	require.Equal(t, "main", fedIn.Meter, "the only meter is meant where none is named")
	require.Equal(t, "https://localhost:8443", c.EndpointOf(drawn.Receivers[0]))
}

// What stands in the example behind a comment sign must be right as well.
func TestExampleIsRightWithEverythingSwitchedOn(t *testing.T) {
	data, err := os.ReadFile(example)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && (strings.HasPrefix(rest, "[") || strings.Contains(rest, " = ")) &&
			!strings.Contains(rest, "tcp://") && !strings.Contains(rest, "serial:") && !strings.Contains(rest, "usb:") && !strings.Contains(rest, "https://…") {
			line = rest
		}
		lines = append(lines, line)
	}
	text := strings.NewReplacer(`direction = "feed_in"`, "direction = \"feed_in\"\nmeter = \"roof\"", "two_tariffs = false", "two_tariffs = true").Replace(strings.Join(lines, ""))
	c, err := config.Load(write(t, text))
	require.NoError(t, err)
	require.Len(t, c.Meters, 2)
	require.Equal(t, "roof", c.Contract.MarketLocations[1].Meter)
	require.Equal(t, board.Config{
		Chip:   "gpiochip0",
		Lamps:  []board.Lamp{{Line: board.LineName("STATUS"), ActiveLow: true, Causes: []board.Cause{board.ReaderSilent}}},
		Button: &board.Pin{Line: board.LineName("BUTTON"), ActiveLow: true},
		Reset:  &board.Pin{Line: board.LineOffset(22)},
	}, c.Board)
	require.Equal(t, "main", c.ResetOf)
	require.Equal(t, "/dev/watchdog", c.Watchdog.Device)
	require.Equal(t, "127.0.0.1:9110", c.Metrics.Listen)
	require.Equal(t, []form.Date{{Year: 2025, Month: 5, Day: 8}}, c.Contract.ExtraHolidays)
	require.Equal(t, 2*time.Hour, c.Contract.MarketLocations[0].Interpolate)
	require.Len(t, c.Contract.MarketLocations[0].HighTimes, 1)
	require.Equal(t, "[mon tue wed thu fri]", fmt.Sprint(c.Contract.MarketLocations[0].HighTimes[0].Days))
	require.Equal(t, "43", c.Contract.MaxPowerKW.Decimal.String())
	require.Equal(t, time.Date(2026, 10, 23, 8, 15, 0, 0, time.UTC), c.Contract.Commissioned)
}

func TestEveryKeyIsDocumentedAndInTheExample(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	toml, err := os.ReadFile(example)
	require.NoError(t, err)
	for _, key := range config.Keys() {
		require.Regexp(t, "\\n\\| `([a-z]+\\.)?"+key+"` \\|", string(doc))
		require.Regexp(t, "\\n(# )?"+key+" = ", string(toml))
	}
}

const contract = `[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"
transformer_factor = 1

[[market_location]]
malo = "41373559241"
direction = "draw"
class = "A"

[[market_location.receiver]]
role = "LF"
partner_id = "9900357000004"

[[market_location.receiver]]
role = "NB"
partner_id = "9900357000011"
`

const whole = `[gateway]
id = "G1"

[[meter]]
port = "tcp://127.0.0.1:2000"

[headend]
endpoint = "https://headend.example/smgw/"

` + contract

func TestContractAloneIsEnoughForPlan(t *testing.T) {
	path := write(t, contract)
	c, err := config.LoadContract(path)
	require.NoError(t, err)
	require.Equal(t, "main", c.MarketLocations[0].Meter)

	_, err = config.Load(path)
	require.Equal(t, []string{
		`:1:1: [gateway] is missing; add it with id = "ESMG0000000001"`,
		`:1:1: [[meter]] is missing; add it with port = "/dev/ttyUSB0"`,
		`:1:1: [headend] is missing; add it with endpoint = "https://…"`,
	}, problems(t, path, err))
}

func TestContractIsStrictAboutTheOtherTables(t *testing.T) {
	path := write(t, strings.Replace(whole, "127.0.0.1:2000", "127.0.0.1", 1))
	_, err := config.LoadContract(path)
	require.Equal(t, []string{`:5:8: port: source "tcp://127.0.0.1"; want tcp://host:port, as in tcp://192.168.1.20:7000`}, problems(t, path, err))
}

func TestSameMeaningInOtherToml(t *testing.T) {
	want, err := config.Load(write(t, whole))
	require.NoError(t, err)
	got, err := config.Load(write(t, `
gateway.id = 'G1'
"headend" = { endpoint = "https://headend.example/smgw" }
meter = [ {port = """tcp://127.0.0.1:2000"""} ]
market_location = [ { malo = "\u00341373559241", direction = "draw", class = "A", receiver = [
    { role = "LF", partner_id = "9900357000004" },  # the supplier
    { role = "NB", partner_id = "9900357000011" },
] } ]
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"
transformer_factor = 0x01
`))
	require.NoError(t, err)
	got.File = want.File
	require.Equal(t, want, got)
}

// Each case changes one text of the whole file to another, and names the
// problems that are then reported, without the file's name.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"unknown key": {`endpoint =`, `endpiont =`, []string{
			`:8:1: unknown key "endpiont" in [headend]; did you mean endpoint?`}},
		"unknown key that nothing resembles": {`id = "G1"`, "id = \"G1\"\ncolour = 1", []string{
			`:3:1: unknown key "colour" in [gateway]; known here: id, state_dir`}},
		"unknown table": {`[headend]`, `[head_end]`, []string{
			`:7:2: unknown key "head_end" in the file; did you mean headend?`}},
		"key of the location below its receiver": {`partner_id = "9900357000011"`, "partner_id = \"9900357000011\"\ntwo_tariffs = true", []string{
			`:27:1: unknown key "two_tariffs" in [[market_location.receiver]]; two_tariffs belongs into [[market_location]]: write it above the first [[market_location.receiver]]`}},
		"key of another table": {`id = "G1"`, "id = \"G1\"\nmelo = \"DE\"", []string{
			`:3:1: unknown key "melo" in [gateway]; melo belongs into [contract]`}},
		"syntax": {`id = "G1"`, `id = "G1`, []string{
			`:2:9: not valid TOML: basic strings cannot have new lines`}},
		"doubled key": {`id = "G1"`, "id = \"G1\"\nid = \"G2\"", []string{
			`:3:1: not valid TOML: key id is already defined`}},
		"single table for a list": {`[[meter]]`, `[meter]`, []string{
			`:4:2: meter is a table; want a line [[meter]] with its keys below it`}},
		"value for a table": {"[headend]\nendpoint", "[head.end]\nendpoint", []string{
			`:1:1: [headend] is missing; add it with endpoint = "https://…"`,
			`:7:2: unknown key "head" in the file; known here: gateway, meter, headend, readings, board, watchdog, metrics, contract, market_location`}},
		"number for a text": {`partner_id = "9900357000004"`, `partner_id = 9900357000004`, []string{
			`:22:14: partner_id is a whole number; want a text in quotes, as in partner_id = "9900357000004"`}},
		"truth for a text": {`"A"`, `true`, []string{
			`:18:9: class is true or false; want a text in quotes, as in class = "B"`}},
		"text for a number": {`transformer_factor = 1`, `transformer_factor = "1"`, []string{
			`:13:22: transformer_factor is a text in quotes; want a whole number, as in transformer_factor = 1`}},
		"fraction for a whole number": {`transformer_factor = 1`, `transformer_factor = 1.5`, []string{
			`:13:22: transformer_factor is a decimal number; want a whole number, as in transformer_factor = 1`}},
		"factor below one": {`transformer_factor = 1`, `transformer_factor = -20`, []string{
			`:13:22: transformer_factor: -20 is no factor; want a whole number of at least 1; 1 where no transformer stands before the meter`}},
		"factor beyond all": {`transformer_factor = 1`, `transformer_factor = 99999999999999999999`, []string{
			`:13:22: not valid TOML: decimal number is too large to fit in a 64-bit signed integer`}},
		"power that would fill the memory": {`transformer_factor = 1`, `max_power_kw = "1e999999999"`, []string{
			`:13:16: max_power_kw: power 1e999999999; want kilowatts above 0, such as 43 or 27.6`}},
		"power with its unit": {`transformer_factor = 1`, `max_power_kw = "43 kW"`, []string{
			`:13:16: max_power_kw: power "43 kW" has a unit; want the number of kilowatts alone, such as 43`}},
		"no power": {`transformer_factor = 1`, `max_power_kw = 0`, []string{
			`:13:16: max_power_kw: power 0; want kilowatts above 0, such as 43 or 27.6`}},
		"commissioned at a local time": {`transformer_factor = 1`, `commissioned = 2026-10-23T10:15:00`, []string{
			`:13:16: commissioned: time "2026-10-23T10:15:00"; want date, time and offset, such as 2026-10-23T10:15:00+02:00`}},
		"commissioned in a year": {`transformer_factor = 1`, `commissioned = 2026`, []string{
			`:13:16: commissioned is a whole number; want a text in quotes or a date, as in commissioned = "2026-10-23T10:15:00+02:00"`}},
		"holidays": {`transformer_factor = 1`, `extra_holidays = ["2025-05-08", "8.5.2026", 7]`, []string{
			`:13:33: extra_holidays: date "8.5.2026"; want a day such as 2026-10-25`,
			`:13:45: extra_holidays: date "7"; want a day such as 2026-10-25`}},
		"duration without unit": {`[headend]`, "[readings]\noffset_limit = 20\n[headend]", []string{
			`:8:16: offset_limit is a whole number; want a text in quotes, as in offset_limit = "27s"`}},
		"quoted duration without unit": {`[headend]`, "[readings]\noffset_limit = \"20\"\n[headend]", []string{
			`:8:16: offset_limit: duration "20"; want a number and its unit, such as "27s" or "500ms"`}},
		"duration of a wrong unit": {`[headend]`, "[readings]\noffset_limit = \"20 sec\"\n[headend]", []string{
			`:8:16: offset_limit: duration "20 sec"; want a number and its unit, such as "27s" or "500ms"`}},
		"limit above the form's": {`[headend]`, "[readings]\noffset_limit = \"1m\"\n[headend]", []string{
			`:8:16: offset_limit: duration "1m"; want 1s to 27s in whole milliseconds; the limit can only be made stricter`}},
		"check digit": {`41373559241`, `41373559214`, []string{
			`:16:8: malo: market location "41373559214": its check digit should be 7, not 4; a digit is mistyped or two are swapped`}},
		"metering location": {`DE00056266802AO6G56M11SN51G21M24S`, `de00056266802AO6G56M11SN51G21M24S`, []string{
			`:12:8: melo: metering location "de00056266802AO6G56M11SN51G21M24S" (33 characters); want DE and 31 capital letters or digits`}},
		"partner": {`9900357000011`, `990035700001`, []string{
			`:26:14: partner_id: market partner "990035700001"; want 13 digits`}},
		"edition": {`BK6-18-032`, `BK6-24-174`, []string{
			`:11:11: edition "BK6-24-174": this agent serves only BK6-18-032`}},
		"gap of a wrong length": {`class = "A"`, "class = \"A\"\ninterpolate = \"50m\"", []string{
			`:19:15: interpolate: 50m0s is no length of a gap; want quarter hours up to 24h, as 2h or 45m`}},
		"times without tariffs": {`class = "A"`, "class = \"A\"\n[[market_location.high_tariff]]\nfrom = \"06:00\"\nto = \"22:00\"", []string{
			`:19:19: high_tariff: times of a high tariff, but there is one tariff only; want two_tariffs = true, or leave them out`}},
		"times that are none": {`class = "A"`, "class = \"A\"\ntwo_tariffs = true\n[[market_location.high_tariff]]\ndays = [\"mo\"]\nfrom = \"6:00\"\n[[market_location.high_tariff]]\ndays = []\nfrom = \"22:00\"\nto = \"06:00\"", []string{
			`:20:19: to is missing in [[market_location.high_tariff]]; want to = "22:00"`,
			`:21:9: days: day "mo"; want mon, tue, wed, thu, fri, sat or sun`,
			`:22:8: from: clock time "6:00"; want a quarter hour from 00:00 to 24:00, as 06:15`,
			`:24:8: days is an empty list; name days, or leave it out for every day`}},
		"times over midnight": {`class = "A"`, "class = \"A\"\ntwo_tariffs = true\n[[market_location.high_tariff]]\nfrom = \"22:00\"\nto = \"06:00\"", []string{
			`:20:19: high_tariff: from 22:00 to 06:00 is no time; want from before to; a time over midnight is two: to 24:00, and from 00:00`}},
		"class missing": {"class = \"A\"\n", "", []string{
			`:15:3: class: missing for what is drawn; want A, B or C`}},
		"class with feed-in": {`direction = "draw"`, `direction = "feed_in"`, []string{
			`:15:3: rows of class E go to AB, but it is not given; want a [[market_location.receiver]] with role = "AB"`,
			`:15:3: rows of class E go to ÜNB, but it is not given; want a [[market_location.receiver]] with role = "ÜNB"`,
			`:18:9: class: A, but what is fed in has no class; leave it out`}},
		"two tariffs with feed-in": {"direction = \"draw\"\nclass = \"A\"", "direction = \"feed_in\"\ntwo_tariffs = true", []string{
			`:15:3: rows of class E go to AB, but it is not given; want a [[market_location.receiver]] with role = "AB"`,
			`:15:3: rows of class E go to ÜNB, but it is not given; want a [[market_location.receiver]] with role = "ÜNB"`,
			`:18:15: two_tariffs: tariffs are for what is drawn; leave it out`}},
		"role that a row needs": {`class = "A"`, `class = "C"`, []string{
			`:15:3: rows of class C go to ÜNB, but it is not given; want a [[market_location.receiver]] with role = "ÜNB"`}},
		"role that no row needs": {`role = "NB"`, `role = "UENB"`, []string{
			`:15:3: rows of class A go to NB, but it is not given; want a [[market_location.receiver]] with role = "NB"`,
			`:25:8: role: no row of class A goes to ÜNB; want only LF, NB`}},
		"role twice": {`role = "NB"`, `role = "LF"`, []string{
			`:15:3: rows of class A go to NB, but it is not given; want a [[market_location.receiver]] with role = "NB"`,
			`:25:8: role: LF was already given; want one receiver for each role`}},
		"role that cannot be read hides what follows from it": {`role = "NB"`, `role = "VNB"`, []string{
			`:25:8: role "VNB"; want LF, NB, ÜNB (or UENB) or AB`}},
		"market location twice": {"[[market_location]]", "[[market_location]]\nmalo = \"41373559241\"\ndirection = \"draw\"\nclass = \"A\"\n" + receivers + "[[market_location]]", []string{
			`:26:8: malo: this market location was already given; want each of them once`}},
		"unknown meter": {`class = "A"`, "class = \"A\"\nmeter = \"roof\"", []string{
			`:19:9: meter "roof" is not in the file; want "main"`}},
		"which of two meters": {`[[meter]]`, "[[meter]]\nname = \"a\"\nport = \"/dev/ttyUSB0\"\n[[meter]]\nname = \"b\"", []string{
			`:19:3: meter is missing in [[market_location]]; there are several meters: want "a" or "b"`}},
		"port that is a bare name": {`tcp://127.0.0.1:2000`, `ttyUSB0`, []string{
			`:5:8: port: source "ttyUSB0": there is no such file; did you mean /dev/ttyUSB0?`}},
		"port of an unknown kind": {`tcp://127.0.0.1:2000`, `udp://127.0.0.1:2000`, []string{
			`:5:8: port: source "udp://127.0.0.1:2000"; want a serial port such as /dev/ttyUSB0, usb:SERIAL or serial:/path, tcp://host:port, a file, or - for standard input`}},
		"meters of the same name and port": {`[[meter]]`, "[[meter]]\nname = \"main\"\nport = \"tcp://127.0.0.1:2000\"\n[[meter]]\nname = \"main\"", []string{
			`:8:8: two meters are named "main"; give each a name of its own`,
			`:9:8: port "tcp://127.0.0.1:2000" is that of meter "main" already; each meter has a port of its own`}},
		"endpoint without TLS": {`https://headend.example/smgw/`, `http://headend.example`, []string{
			`:8:12: endpoint "http://headend.example" is not encrypted; want https, nothing leaves the gateway without TLS`}},
		"endpoint without scheme": {`https://headend.example/smgw/`, `headend.example:8443`, []string{
			`:8:12: endpoint "headend.example:8443" is not an https address; want an address such as "https://headend.example:8443"`}},
		"endpoint with a password": {`https://headend.example/smgw/`, `https://user:secret@headend.example`, []string{
			`:8:12: endpoint "https://user:secret@headend.example" has more than scheme, host and path; want an address such as "https://headend.example:8443"`}},
		"endpoint with a port beyond": {`https://headend.example/smgw/`, `https://headend.example:70000`, []string{
			`:8:12: endpoint "https://headend.example:70000" has port "70000"; want a port from 1 to 65535`}},
		"endpoint of a receiver": {`role = "LF"`, "role = \"LF\"\nendpoint = \"ftp://x\"", []string{
			`:22:12: endpoint "ftp://x" is not an https address; want an address such as "https://headend.example:8443"`}},
		"gateway id": {`"G1"`, `"Gärtner 1"`, []string{
			`:2:6: id: gateway id "Gärtner 1"; want 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit`}},
		"meter's name": {`[[meter]]`, "[[meter]]\nname = \"-x\"", []string{
			`:5:8: name "-x"; want 1 to 64 letters A to Z, a to z, digits, and "-", "_" or "." after the first`}},
		"state folder": {`id = "G1"`, `id = "G1"` + "\nstate_dir = \"state\"", []string{
			`:3:13: state_dir: path "state"; want an absolute one, such as "/var/lib/smgw"`}},
		"watchdog": {`[headend]`, "[watchdog]\ndevice = \"watchdog\"\n[headend]", []string{
			`:8:10: device: path "watchdog"; want an absolute one, such as "/dev/watchdog"`}},
		"watchdog without device": {`[headend]`, "[watchdog]\n[headend]", []string{
			`:7:2: device is missing in [watchdog]; want device = "/dev/watchdog"`}},
		"metrics for everybody": {`[headend]`, "[metrics]\nlisten = \"0.0.0.0:9110\"\n[headend]", []string{
			`:8:10: listen "0.0.0.0:9110" can be reached from outside; want a loopback address and a port, such as "127.0.0.1:9110" or "[::1]:9110"; nothing but what the form says leaves the gateway`}},
		"metrics without a port": {`[headend]`, "[metrics]\nlisten = \"localhost\"\n[headend]", []string{
			`:8:10: listen "localhost" is no address with a port; want a loopback address and a port, such as "127.0.0.1:9110" or "[::1]:9110"`}},
		"board": {`[headend]`, "[board]\nchip = \"a/b\"\n[[board.lamp]]\nline = -1\ncauses = []\n[[board.lamp]]\nactive_low = 1\ncauses = [\"all_wel\", 3]\n[headend]", []string{
			`:8:8: chip "a/b"; want a name such as "gpiochip0" or an absolute path`,
			`:10:8: line = -1 is no offset; want a number from 0; gpioinfo lists the lines of a chip`,
			`:11:10: causes is an empty list; name causes, or leave it out for all of them`,
			`:12:9: line is missing in [[board.lamp]]; want line = "STATUS", a line's name, or line = 17, its offset`,
			`:13:14: active_low is a whole number; want true or false, as in active_low = true`,
			`:14:11: causes: cause "all_wel"; want one of all_well, store_in_trouble, reader_silent, no_sml, sml_refused, pin_needed, clock_not_set, headend_unreachable, certificate_ending, payload_refused`,
			`:14:22: causes: cause "3"; want one of all_well, store_in_trouble, reader_silent, no_sml, sml_refused, pin_needed, clock_not_set, headend_unreachable, certificate_ending, payload_refused`}},
		"two lamps on a line": {`[headend]`, "[board]\nchip = \"gpiochip0\"\n[[board.lamp]]\nline = true\n[[board.lamp]]\nline = 0\n[[board.lamp]]\nline = 0x0\n[headend]", []string{
			`:10:8: line is true or false; want a text in quotes or a whole number, as in line = "STATUS" or 17`,
			`:14:8: line 0 is that of a lamp already; each lamp, the button and the reset have a line of their own`}},
		"button and reset": {`[headend]`, "[board]\nchip = \"gpiochip0\"\nlamp = [{ line = 1 }]\n[board.button]\nline = \"B\"\nactive_low = \"yes\"\nlong = \"5s\"\n[board.reset]\nline = \"B\"\nmeter = \"roof\"\n[headend]", []string{
			`:12:14: active_low is a text in quotes; want true or false, as in active_low = true`,
			`:13:1: unknown key "long" in [board.button]; known here: line, active_low`,
			`:15:8: line "B" is that of the button already; each lamp, the button and the reset have a line of their own`,
			`:16:9: there is no meter "roof"; want main`}},
		"a button without a line": {`[headend]`, "[board]\nchip = \"gpiochip0\"\n[board.button]\n[[board.reset]]\nline = 1\n[headend]", []string{
			`:9:8: line is missing in [board.button]; want line = "STATUS", a line's name, or line = 17, its offset`,
			`:9:8: [board.button] has no lamp that could answer; add [[board.lamp]] with line = "STATUS", or leave the button out`,
			`:10:9: reset is a list of tables; want a line [board.reset] with its keys below it`}},
		"a board with nothing": {`[headend]`, "[board]\nchip = \"gpiochip0\"\n[headend]", []string{
			`:7:2: [board] has no lamp, button or reset line; add [[board.lamp]] with line = "STATUS", or leave [board] out`}},
		"columns count characters": {`id = "G1"`, `"ü" = 1`, []string{
			`:1:2: id is missing in [gateway]; want id = "ESMG0000000001", the id in the gateway's certificates`,
			`:2:1: unknown key "ü" in [gateway]; known here: id, state_dir`}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(strings.Replace(whole, c.old, "\x00", 1), "\x00"), "the case changes something")
			path := write(t, strings.Replace(whole, c.old, c.new, 1))
			_, err := config.Load(path)
			require.Equal(t, c.want, problems(t, path, err))
		})
	}
}

const receivers = `[[market_location.receiver]]
role = "LF"
partner_id = "9900357000004"
[[market_location.receiver]]
role = "NB"
partner_id = "9900357000011"
`

// One reset line restarts one meter's head: where there are several, which?
func TestResetNamesItsMeter(t *testing.T) {
	reset := "[board]\nchip = \"gpiochip0\"\n[board.reset]\nline = 4\n"
	c, err := config.Load(write(t, whole+reset))
	require.NoError(t, err)
	require.Equal(t, "main", c.ResetOf, "the only meter is meant where none is named")

	two := strings.Replace(whole, "[[meter]]\n", "[[meter]]\nname = \"roof\"\nport = \"/dev/ttyUSB1\"\n[[meter]]\nname = \"main\"\n", 1)
	two = strings.Replace(two, "class = \"A\"", "class = \"A\"\nmeter = \"main\"", 1)
	path := write(t, two+reset)
	_, err = config.Load(path)
	require.Len(t, problems(t, path, err), 1)
	require.Contains(t, problems(t, path, err)[0], `meter is missing in [board.reset]; it restarts the head of one meter: want meter = "roof" or another of roof, main`)
	c, err = config.Load(write(t, two+reset+"meter = \"main\"\n"))
	require.NoError(t, err)
	require.Equal(t, "main", c.ResetOf)
}

func TestColumnsBehindUmlauts(t *testing.T) {
	path := write(t, `gateway = { "ü" = 1, id = 7 }`)
	_, err := config.LoadContract(path)
	require.Contains(t, problems(t, path, err), `:1:27: id is a whole number; want a text in quotes, as in id = "ESMG0000000001"`)

	path = write(t, `"ü" = {"ü" = }`)
	_, err = config.LoadContract(path)
	require.Len(t, problems(t, path, err), 1)
	require.Contains(t, problems(t, path, err)[0], ":1:14: not valid TOML")
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	_, err := config.Load(dir)
	require.EqualError(t, err, dir+": is a folder, not a file; want the file in it: "+dir+"/smgw.toml")

	absent := filepath.Join(dir, "absent.toml")
	_, err = config.Load(absent)
	require.EqualError(t, err, absent+": no such file; name the configuration with --config, or begin with the one that smgw check --example prints")
	require.ErrorIs(t, err, fs.ErrNotExist)

	_, err = config.Load("/dev/zero")
	require.EqualError(t, err, "/dev/zero: is larger than 1 MiB; that is no configuration: check the path")

	for _, nothing := range []string{"", "# only a comment\n"} {
		path := write(t, nothing)
		_, err = config.Load(path)
		require.EqualError(t, err, path+":1:1: the file says nothing; begin with the one that smgw check --example prints")
	}

	latin1 := write(t, "# ü\n# ü \xdcNB\n")
	_, err = config.Load(latin1)
	require.EqualError(t, err, latin1+":2:5: not UTF-8; save the file as UTF-8, not as Latin-1 or Windows-1252; ÜNB may be written UENB")
}

func TestFilesOfOtherEditors(t *testing.T) {
	want, err := config.Load(write(t, whole))
	require.NoError(t, err)
	got, err := config.Load(write(t, "\ufeff"+strings.ReplaceAll(whole, "\n", "\r\n")))
	require.NoError(t, err)
	got.File = want.File
	require.Equal(t, want, got)
}

func TestErrorsCarryTheirParts(t *testing.T) {
	path := write(t, strings.Replace(whole, "[headend]", "[headed]", 1))
	_, err := config.Load(path)
	e, ok := errors.AsType[*config.Error](err)
	require.True(t, ok)
	require.Equal(t, &config.Error{File: path, Line: 7, Column: 2, What: `unknown key "headed" in the file`, Want: "did you mean headend?"}, e)
}

// However a file is damaged, it is read or refused with a place inside it.
func TestDamagedFilesAreRefusedWithAPlace(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(whole)
		for range rapid.IntRange(1, 4).Draw(t, "faults") {
			at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
			switch rapid.SampledFrom([]string{"change", "cut", "double"}).Draw(t, "fault") {
			case "change":
				data[at] = rapid.Byte().Draw(t, "byte")
			case "cut":
				data = append(data[:at:at], data[min(len(data), at+rapid.IntRange(1, 40).Draw(t, "length")):]...)
			case "double":
				data = append(data[:at:at], data[max(0, at-20):]...)
			}
			if len(data) == 0 {
				break
			}
		}
		path := filepath.Join(dir, "smgw.toml")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		c, err := config.Load(path)
		if err == nil {
			require.NotEmpty(t, c.Gateway.ID)
			require.NotEmpty(t, c.Meters)
			require.NoError(t, c.Contract.Validate())
			return
		}
		var all config.Errors
		require.ErrorAs(t, err, &all)
		lines := strings.Split(string(data), "\n")
		for _, e := range all {
			require.NotEmpty(t, e.What)
			require.GreaterOrEqual(t, e.Line, 1)
			require.LessOrEqual(t, e.Line, len(lines))
			require.GreaterOrEqual(t, e.Column, 1)
			require.LessOrEqual(t, e.Column, len(lines[e.Line-1])+1, "%v", e)
		}
	})
}

// Every contract that the form finds free of contradictions can be written
// down, and is read as it was meant.
func TestRightContractsAreReadAsMeant(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		want, text := drawContract(t)
		require.NoError(t, want.Validate())
		path := filepath.Join(dir, "smgw.toml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		got, err := config.LoadContract(path)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	})
}

func drawContract(t *rapid.T) (*form.Contract, string) {
	var text strings.Builder
	say := func(format string, a ...any) { fmt.Fprintf(&text, format+"\n", a...) }
	c := &form.Contract{Edition: form.EditionBK618032, OffsetLimit: form.MaxOffset}
	melo := "DE" + rapid.StringMatching(`[0-9A-Z]{31}`).Draw(t, "melo")
	c.MeLo, _ = form.ParseMeteringLocationID(melo)
	c.TransformerFactor = rapid.Int64Range(1, 1<<40).Draw(t, "factor")
	say("[contract]\nedition = \"BK6-18-032\"\nmelo = %q\ntransformer_factor = %d", melo, c.TransformerFactor)
	if rapid.Bool().Draw(t, "holidays") {
		day := form.Date{Year: rapid.IntRange(2020, 2040).Draw(t, "year"), Month: 5, Day: rapid.IntRange(1, 31).Draw(t, "day")}
		c.ExtraHolidays = []form.Date{day, day.AddDays(1)}
		say("extra_holidays = [%q, %s]", day, day.AddDays(1)) // as a text and as TOML's own date
	}
	if rapid.Bool().Draw(t, "max_power") {
		power := decimal.New(rapid.Int64Range(1, 1e6).Draw(t, "power"), -rapid.Int32Range(0, 3).Draw(t, "digits"))
		c.MaxPowerKW = decimal.NewNullDecimal(power)
		c.MaxPowerKW.Decimal, _ = decimal.NewFromString(power.String())
		say("max_power_kw = %s", power)
	}
	if rapid.Bool().Draw(t, "commissioned") {
		c.Commissioned = time.Unix(rapid.Int64Range(1.5e9, 2e9).Draw(t, "at"), 0).UTC()
		say(rapid.SampledFrom([]string{"commissioned = %q", "commissioned = %s"}).Draw(t, "as"), c.Commissioned.In(form.Berlin).Format(time.RFC3339))
	}
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[1-9][0-9]{9}`), 1, 3, rapid.ID[string]).Draw(t, "malos")
	for i, id := range ids {
		m := form.MarketLocation{Direction: form.Draw, Meter: "main"}
		m.MaLo = withCheckDigit(t, id)
		m.Class = rapid.SampledFrom([]form.Class{form.ClassA, form.ClassB, form.ClassC, form.ClassE}).Draw(t, "class")
		say("[[market_location]]\nmalo = %q", m.MaLo)
		roles := []string{"LF", "NB"}
		if m.Class != form.ClassA {
			roles = append(roles, rapid.SampledFrom([]string{"ÜNB", "UENB"}).Draw(t, "spelling"))
		}
		if m.Class == form.ClassE {
			m.Direction = form.FeedIn
			roles = append(roles, "AB")
		} else {
			m.TwoTariffs = rapid.Bool().Draw(t, "two_tariffs")
			say("class = %q\ntwo_tariffs = %v", m.Class, m.TwoTariffs)
		}
		say("direction = %q", m.Direction)
		if rapid.Bool().Draw(t, "interpolate") {
			m.Interpolate = time.Duration(rapid.IntRange(1, 96).Draw(t, "gap")) * 15 * time.Minute
			say("interpolate = %q", m.Interpolate)
		}
		if rapid.Bool().Draw(t, "meter") {
			m.Meter = "roof"
			say("meter = %q", m.Meter)
		}
		for range rapid.IntRange(0, 2).Draw(t, "high times") {
			if !m.TwoTariffs {
				break
			}
			days := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"mon", "wed", "sun"}), 1, 3, rapid.ID[string]).Draw(t, "days")
			from := rapid.IntRange(0, 95).Draw(t, "from")
			to := rapid.IntRange(from+1, 96).Draw(t, "to")
			clock := func(quarters int) (form.ClockTime, string) {
				s := fmt.Sprintf("%02d:%02d", quarters/4, quarters%4*15)
				c, err := form.ParseClockTime(s)
				require.NoError(t, err)
				return c, s
			}
			var h form.HighTime
			var f, u string
			h.From, f = clock(from)
			h.To, u = clock(to)
			say("[[market_location.high_tariff]]\nfrom = %q\nto = %q", f, u)
			if rapid.Bool().Draw(t, "on some days") {
				say("days = [\"%s\"]", strings.Join(days, "\", \""))
				for _, d := range days {
					day, _ := form.ParseWeekday(d)
					h.Days = append(h.Days, day)
				}
			}
			m.HighTimes = append(m.HighTimes, h)
		}
		for _, role := range rapid.Permutation(roles).Draw(t, "roles") {
			r := form.Receiver{}
			r.Role, _ = form.ParseRole(role)
			partner := rapid.StringMatching(`[0-9]{13}`).Draw(t, "partner")
			r.PartnerID, _ = form.ParsePartnerID(partner)
			say("[[market_location.receiver]]\nrole = %q\npartner_id = %q", role, partner)
			if rapid.Bool().Draw(t, "endpoint") {
				r.Endpoint = fmt.Sprintf("https://host%d.example:8443/in", i)
				say("endpoint = %q", r.Endpoint)
			}
			m.Receivers = append(m.Receivers, r)
		}
		c.MarketLocations = append(c.MarketLocations, m)
	}
	return c, text.String()
}

func withCheckDigit(t *rapid.T, ten string) form.MarketLocationID {
	for digit := range 10 {
		if id, err := form.ParseMarketLocationID(fmt.Sprint(ten, digit)); err == nil {
			return id
		}
	}
	t.Fatalf("no check digit fits %s", ten)
	return form.MarketLocationID{}
}

func write(t *testing.T, content string) string {
	path := filepath.Join(t.TempDir(), "smgw.toml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// problems gives each problem's text without the file's name.
func problems(t *testing.T, path string, err error) []string {
	t.Helper()
	var all config.Errors
	require.ErrorAs(t, err, &all)
	lines := make([]string, len(all))
	for i, e := range all {
		require.Equal(t, path, e.File)
		lines[i] = strings.TrimPrefix(e.Error(), path)
	}
	if len(all) > 1 {
		require.Equal(t, fmt.Sprintf("%d problems in the configuration\n", len(all))+path+strings.Join(lines, "\n"+path), err.Error())
	}
	return lines
}
