package config

import (
	"fmt"
	"slices"
	"strings"
)

// shape says what may stand under a name.
type shape struct {
	name    string
	kind    kind
	example string  // a right value, as it would be written
	keys    []shape // of a table or tables
}

// schema is everything that a file may contain.
var schema = shape{kind: table, keys: []shape{
	{name: "gateway", kind: table, keys: []shape{
		{name: "id", kind: text, example: `"ESMG0000000001"`},
		{name: "state_dir", kind: text, example: `"/var/lib/smgw"`},
	}},
	{name: "meter", kind: tables, keys: []shape{
		{name: "name", kind: text, example: `"main"`},
		{name: "port", kind: text, example: `"/dev/ttyUSB0"`},
	}},
	{name: "headend", kind: table, keys: []shape{
		{name: "endpoint", kind: text, example: `"https://headend.example:8443"`},
	}},
	{name: "readings", kind: table, keys: []shape{
		{name: "offset_limit", kind: text, example: `"27s"`},
		{name: "minutes", kind: boolean, example: `true`},
	}},
	{name: "board", kind: table, keys: []shape{
		{name: "chip", kind: text, example: `"gpiochip0"`},
		{name: "lamp", kind: tables, keys: []shape{
			{name: "line", kind: text | integer, example: `"STATUS" or 17`},
			{name: "active_low", kind: boolean, example: `true`},
			{name: "causes", kind: list, example: `["reader_silent"]`},
		}},
		{name: "button", kind: table, keys: []shape{
			{name: "line", kind: text | integer, example: `"BUTTON" or 27`},
			{name: "active_low", kind: boolean, example: `true`},
		}},
		{name: "reset", kind: table, keys: []shape{
			{name: "line", kind: text | integer, example: `"HEAD_RESET" or 22`},
			{name: "active_low", kind: boolean, example: `true`},
			{name: "meter", kind: text, example: `"main"`},
		}},
	}},
	{name: "watchdog", kind: table, keys: []shape{
		{name: "device", kind: text, example: `"/dev/watchdog"`},
	}},
	{name: "metrics", kind: table, keys: []shape{
		{name: "listen", kind: text, example: `"127.0.0.1:9110"`},
	}},
	{name: "contract", kind: table, keys: []shape{
		{name: "edition", kind: text, example: `"BK6-18-032"`},
		{name: "melo", kind: text, example: `"DE00000000000000000000000000000AB"`},
		{name: "from", kind: text | date, example: `"2026-12-01"`},
		{name: "transformer_factor", kind: integer, example: `1`},
		{name: "extra_holidays", kind: list, example: `["2025-05-08"]`},
		{name: "max_power_kw", kind: integer | decimals | text, example: `43`},
		{name: "commissioned", kind: text | date, example: `"2026-10-23T10:15:00+02:00"`},
	}},
	{name: "market_location", kind: tables, keys: []shape{
		{name: "malo", kind: text, example: `"41373559241"`},
		{name: "direction", kind: text, example: `"draw"`},
		{name: "class", kind: text, example: `"B"`},
		{name: "two_tariffs", kind: boolean, example: `false`},
		{name: "meter", kind: text, example: `"main"`},
		{name: "interpolate", kind: text, example: `"2h"`},
		{name: "high_tariff", kind: tables, keys: []shape{
			{name: "days", kind: list, example: `["mon", "tue", "wed", "thu", "fri"]`},
			{name: "from", kind: text, example: `"06:00"`},
			{name: "to", kind: text, example: `"22:00"`},
		}},
		{name: "feed_in_power", kind: table, keys: []shape{
			{name: "every", kind: text, example: `"15m"`},
			{name: "above_kw", kind: integer | decimals | text, example: `25`},
			{name: "below_kw", kind: integer | decimals | text, example: `1.5`},
			{name: "hysteresis_kw", kind: integer | decimals | text, example: `0.5`},
		}},
		{name: "grid_state", kind: table, keys: []shape{
			{name: "every", kind: text, example: `"15m"`},
			{name: "because", kind: text, example: `"eeg_kwkg_plant"`},
		}},
		{name: "receiver", kind: tables, keys: []shape{
			{name: "role", kind: text, example: `"LF"`},
			{name: "partner_id", kind: text, example: `"9900357000004"`},
			{name: "endpoint", kind: text, example: `"https://headend.example:8443"`},
		}},
	}},
}}

// check reports every unknown key and every value of a wrong type below n, and
// takes them out, so that what remains has the shape s. path is how the table
// is written, "[contract]".
func (d *decoder) check(n *node, s shape, path string) {
	n.keys = slices.DeleteFunc(n.keys, func(e *entry) bool {
		i := slices.IndexFunc(s.keys, func(k shape) bool { return k.name == e.name })
		if i < 0 {
			d.problem(e.at, fmt.Sprintf("unknown key %q in %s", e.name, orFile(path)), suggest(e.name, s, path))
			d.spoiled[n] = append(d.spoiled[n], nearest(e.name, s.keys))
			return true
		}
		k := s.keys[i]
		if e.kind&k.kind == 0 {
			d.problem(e.node.at, fmt.Sprintf("%s is %s", e.name, e.kind), wantKind(k, path))
			d.spoiled[n] = append(d.spoiled[n], e.name)
			return true
		}
		switch e.kind {
		case table:
			d.check(e.node, k, header(path, k))
		case tables:
			for _, element := range e.list {
				d.check(element, k, header(path, k))
			}
		}
		return false
	})
}

func orFile(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// header is how a table below path is written.
func header(path string, s shape) string {
	name := s.name
	if p := strings.Trim(path, "[]"); p != "" {
		name = p + "." + name
	}
	if s.kind == tables {
		return "[[" + name + "]]"
	}
	return "[" + name + "]"
}

func wantKind(s shape, path string) string {
	switch s.kind {
	case table, tables:
		return "want a line " + header(path, s) + " with its keys below it"
	}
	return fmt.Sprintf("want %s, as in %s = %s", s.kind, s.name, s.example)
}

// String says the kind with its article, alternatives joined by "or".
func (k kind) String() string {
	names := []struct {
		kind kind
		name string
	}{
		{text, "a text in quotes"}, {integer, "a whole number"}, {decimals, "a decimal number"}, {boolean, "true or false"},
		{date, "a date"}, {list, "a list"}, {table, "a table"}, {tables, "a list of tables"},
	}
	var all []string
	for _, n := range names {
		if k&n.kind != 0 {
			all = append(all, n.name)
		}
	}
	return strings.Join(all, " or ")
}

// suggest says what an unknown key was probably meant to be: another key of
// the same table, spelt nearly so, or a key of another table.
func suggest(name string, s shape, path string) string {
	if best := nearest(name, s.keys); best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if where := homes(name, schema, ""); len(where) > 0 {
		want := name + " belongs into " + strings.Join(where, " or ")
		if path != "" && slices.Contains(where, parent(path)) {
			want += ": write it above the first " + path
		}
		return want
	}
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
	}
	return "known here: " + strings.Join(names, ", ")
}

// parent is the table above "[[market_location.receiver]]".
func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	if strings.HasPrefix(path, "[[") {
		return path[:i] + "]]"
	}
	return path[:i] + "]"
}

// homes lists the tables that know the key.
func homes(name string, s shape, path string) []string {
	var all []string
	for _, k := range s.keys {
		if k.name == name && path != "" {
			all = append(all, path)
		}
		if k.keys != nil {
			all = append(all, homes(name, k, header(path, k))...)
		}
	}
	return all
}

// nearest is the key at the smallest edit distance, "" when none is near: at
// most a third of the letters may differ.
func nearest(name string, keys []shape) string {
	if len(name) > 64 {
		return "" // nobody meant that
	}
	best, least := "", len(name)/3+1
	for _, k := range keys {
		if d := distance(strings.ToLower(name), k.name); d < least {
			best, least = k.name, d
		}
	}
	return best
}

// distance counts the letters inserted, left out, changed or swapped with
// their neighbour that lie between a and b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
