package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is the file as a tree in which every key knows its place, so that
// a problem found late (a role without receiver) is still reported with line
// and column. Decoding into tagged structs would stop at the first bad value.

// place is a position in the file: line and column from 1, in characters.
type place struct{ line, column int }

// kind is what a TOML value is; several are or'ed where a key takes either.
type kind uint8

const (
	text kind = 1 << iota
	integer
	decimals // a TOML float: kept as text, no float is made of it
	boolean
	date // any TOML date or time
	list
	table
	tables // a list of tables, [[name]]
)

// node is one value or table of the document.
type node struct {
	kind kind
	at   place  // of the value; for a table: of its name in the header
	raw  string // a text unescaped, any other scalar as it was written
	keys []*entry
	list []*node // of a list or of tables
}

// entry is a key of a table.
type entry struct {
	name string
	at   place
	*node
}

// get returns the value of a key, or nil. It may be called on nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.keys {
		if e.name == name {
			return e.node
		}
	}
	return nil
}

// parse checks that data is TOML 1.0 and builds the document. The error lacks
// the file's name.
func parse(data []byte) (*node, *Error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin every file with a byte order mark
	if p, ok := notUTF8(data); ok {
		return nil, &Error{Line: p.line, Column: p.column, What: "not UTF-8", Want: "save the file as UTF-8, not as Latin-1 or Windows-1252; ÜNB may be written UENB"}
	}
	var ignored map[string]any // Unmarshal finds what the parser alone does not: doubled keys, impossible dates
	if err := toml.Unmarshal(data, &ignored); err != nil {
		e := &Error{Line: 1, Column: 1, What: "not valid TOML: " + strings.TrimPrefix(err.Error(), "toml: "), Err: err}
		if de, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := de.Position()
			e.Line, e.Column = line, characters(data, line, column)
		}
		return nil, e
	}
	b := builder{data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			b.lines = append(b.lines, i+1)
		}
	}
	b.parser.Reset(data)
	root := &node{kind: table, at: place{1, 1}}
	current := root
	for b.parser.NextExpression() {
		expr := b.parser.Expression()
		switch expr.Kind {
		case unstable.Table:
			current = b.header(root, expr, table)
		case unstable.ArrayTable:
			current = b.header(root, expr, tables)
		case unstable.KeyValue:
			b.keyValue(current, expr)
		}
	}
	if err := b.parser.Error(); err != nil {
		return nil, &Error{Line: 1, Column: 1, What: "not valid TOML: " + err.Error(), Err: err}
	}
	return root, nil
}

// notUTF8 finds the first byte that is not UTF-8.
func notUTF8(data []byte) (place, bool) {
	line := 1
	for text := range bytes.Lines(data) {
		for i := 0; i < len(text); {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				return place{line, utf8.RuneCount(text[:i]) + 1}, true
			}
			i += size
		}
		line++
	}
	return place{}, false
}

// builder makes nodes of the parser's expressions. The document is known to be
// valid: no name has two meanings.
type builder struct {
	data   []byte
	lines  []int // where each line begins
	parser unstable.Parser
}

// header descends from root to the table of a [header] or [[header]],
// making what is not there yet.
func (b *builder) header(root *node, expr *unstable.Node, last kind) *node {
	n := root
	for it := expr.Key(); it.Next(); {
		k := table
		if it.IsLast() {
			k = last
		}
		n = b.descend(n, it.Node(), k)
		if n.kind == tables {
			if it.IsLast() {
				n.list = append(n.list, &node{kind: table, at: b.place(it.Node().Raw.Offset)})
			}
			n = n.list[len(n.list)-1] // [a.b] and [[a.b]] continue the newest [[a]]
		}
	}
	return n
}

// keyValue adds "key = value" or "dotted.key = value" to a table.
func (b *builder) keyValue(to *node, expr *unstable.Node) {
	for it := expr.Key(); it.Next(); {
		if !it.IsLast() {
			to = b.descend(to, it.Node(), table)
			continue
		}
		key := it.Node()
		to.keys = append(to.keys, &entry{string(key.Data), b.place(key.Raw.Offset), b.value(expr.Value(), b.valuePlace(key))})
	}
}

func (b *builder) descend(n *node, key *unstable.Node, k kind) *node {
	if next := n.get(string(key.Data)); next != nil {
		return next
	}
	at := b.place(key.Raw.Offset)
	next := &node{kind: k, at: at}
	n.keys = append(n.keys, &entry{string(key.Data), at, next})
	return next
}

// valuePlace is where the value of a key begins: the parser does not say it of
// lists, tables and booleans.
func (b *builder) valuePlace(key *unstable.Node) place {
	end := key.Raw.Offset + key.Raw.Length
	rest := b.data[end:]
	return b.place(end + uint32(len(rest)-len(bytes.TrimLeft(rest, " \t="))))
}

func (b *builder) value(v *unstable.Node, at place) *node {
	n := &node{at: at, raw: string(v.Data)}
	switch v.Kind {
	case unstable.String:
		n.kind = text
	case unstable.Integer:
		n.kind = integer
	case unstable.Float:
		n.kind = decimals
	case unstable.Bool:
		n.kind = boolean
	case unstable.Array:
		n.kind = list
		allTables := true
		for it := v.Children(); it.Next(); {
			e := b.value(it.Node(), at)
			if r := it.Node().Raw; r.Length > 0 {
				e.at = b.place(r.Offset)
			}
			n.list = append(n.list, e)
			allTables = allTables && e.kind == table
		}
		if allTables && len(n.list) > 0 {
			n.kind = tables // meter = [{name = "main"}] is [[meter]] written otherwise
		}
	case unstable.InlineTable:
		n.kind = table
		for it := v.Children(); it.Next(); {
			b.keyValue(n, it.Node())
		}
	default:
		n.kind = date
	}
	return n
}

func (b *builder) place(offset uint32) place {
	line, begins := slices.BinarySearch(b.lines, int(offset))
	if !begins {
		line-- // the line that begins before it
	}
	return place{line + 1, utf8.RuneCount(b.data[b.lines[line]:offset]) + 1}
}

// characters turns a column counted in bytes into one counted in characters,
// as editors show it.
func characters(data []byte, line, column int) int {
	for range line - 1 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return column
		}
		data = data[i+1:]
	}
	return utf8.RuneCount(data[:min(column-1, len(data))]) + 1
}
