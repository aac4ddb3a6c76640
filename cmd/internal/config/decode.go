package config

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/meter"
)

// decoder reads a document that has the schema's shape, and collects problems.
type decoder struct {
	file     string
	problems Errors
	spoiled  map[*node][]string // keys of a table that are reported already: one problem is said once
	places   []locationPlace    // of the contract's market locations
}

func (d *decoder) problem(at place, what, want string) {
	d.problems = append(d.problems, &Error{File: d.file, Line: at.line, Column: at.column, What: what, Want: want})
}

// err is all problems in the order of the file, nil when there are none.
func (d *decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}

// section is one table being read.
type section struct {
	*decoder
	node *node
	path string // as written: [contract]
}

// section returns a table below the root; the node of an absent one is nil.
func (d *decoder) section(root *node, name string) section {
	return section{d, root.get(name), "[" + name + "]"}
}

// sections returns the elements of a list of tables.
func (d *decoder) sections(n *node, name, path string) []section {
	var all []section
	if found := n.get(name); found != nil {
		for _, element := range found.list {
			all = append(all, section{d, element, path})
		}
	}
	return all
}

// reported says whether a key of the table has a problem already.
func (s section) reported(key string) bool { return slices.Contains(s.spoiled[s.node], key) }

// wrong reports a problem of a key, once.
func (s section) wrong(key, what, want string) {
	if s.reported(key) {
		return
	}
	s.spoiled[s.node] = append(s.spoiled[s.node], key)
	s.problem(s.at(key), what, want)
}

// at is where to point for a key: at its value, or at the table's name when the key is absent.
func (s section) at(key string) place {
	if n := s.node.get(key); n != nil {
		return n.at
	}
	return s.node.at
}

// missing reports that a key is not there.
func (s section) missing(key, want string) { s.wrong(key, key+" is missing in "+s.path, want) }

// text returns the text under a key and whether there is one.
func (s section) text(key string) (string, bool) {
	if n := s.node.get(key); n != nil {
		return n.raw, true
	}
	return "", false
}

// whole returns the whole number under a key, or otherwise what an absent one means.
func (s section) whole(key string, otherwise int64) int64 {
	n := s.node.get(key)
	if n == nil {
		return otherwise
	}
	v, _ := strconv.ParseInt(n.raw, 0, 64) // base 0 knows TOML's 0x, 0o, 0b and underscores; what does not fit is no valid TOML
	return v
}

// flag returns the boolean under a key, false when it is absent.
func (s section) flag(key string) bool {
	n := s.node.get(key)
	return n != nil && n.raw == "true"
}

// read parses the text under a key into to. want is the example for an absent
// key, "" where it may be absent.
func read[T any](s section, key, want string, parse func(string) (T, error), to *T) {
	n := s.node.get(key)
	if n == nil {
		if want != "" {
			s.missing(key, "want "+key+" = "+want)
		}
		return
	}
	v, err := parse(n.raw)
	if err != nil {
		what, want := split(err)
		if !strings.HasPrefix(what, key+" ") {
			what = key + ": " + what
		}
		s.wrong(key, what, want)
		return
	}
	*to = v
}

// readList parses the texts of a list under a key; each wrong one is reported.
func readList[T any](s section, key string, kinds kind, parse func(string) (T, error), to *[]T) {
	n := s.node.get(key)
	if n == nil {
		return
	}
	for _, e := range n.list {
		v, err := parse(e.raw)
		if err != nil || e.kind&kinds == 0 {
			what, want := fmt.Sprintf("this is %s", e.kind), "want "+kinds.String()
			if err != nil {
				what, want = split(err)
			}
			s.problem(e.at, key+": "+what, want)
			continue
		}
		*to = append(*to, v)
	}
}

// split takes the hint off an error: `role "XY": want LF, NB …`.
func split(err error) (what, want string) {
	what, want, found := strings.Cut(err.Error(), ": want ")
	if found {
		want = "want " + want
	}
	return what, want
}

// parseDuration reads "27s" or "500ms". A bare number has no unit and is refused.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`duration %q: want a number and its unit, such as "27s" or "500ms"`, s)
	}
	return d, nil
}

// parseEndpoint reads the address of a head-end.
func parseEndpoint(s string) (string, error) {
	const want = `want an address such as "https://headend.example:8443"`
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("endpoint %q is not an address: %s", s, want)
	case u.Scheme == "http":
		return "", fmt.Errorf("endpoint %q is not encrypted: want https, nothing leaves the gateway without TLS", s)
	case u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("endpoint %q is not an https address: %s", s, want)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("endpoint %q has more than scheme, host and path: %s", s, want)
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("endpoint %q has port %q: want a port from 1 to 65535", s, p)
		}
	}
	if strings.ContainsAny(u.Hostname(), " \t") || strings.HasPrefix(u.Hostname(), "-") {
		return "", fmt.Errorf("endpoint %q has no usable host: %s", s, want)
	}
	return strings.TrimRight(s, "/"), nil
}

// parsePort reads where a meter is listened to. What is at a path now does not
// matter here: a file is right or wrong wherever it is read.
func parsePort(s string) (string, error) {
	if filepath.IsAbs(s) {
		return s, nil
	}
	_, err := meter.ParseSource(s)
	return s, err
}

// parseName reads a name that stands in files, logs and addresses.
func parseName(s string) (string, error) {
	ok := len(s) >= 1 && len(s) <= 64
	for i := range len(s) {
		c := s[i]
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || i > 0 && (c == '-' || c == '_' || c == '.'))
	}
	if !ok {
		return "", fmt.Errorf(`name %q: want 1 to 64 letters A to Z, a to z, digits, and "-", "_" or "." after the first`, s)
	}
	return s, nil
}
