package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"smgw/board"
)

func (d *decoder) board(root *node, c *Config) {
	s, ok := d.require(root, "board", false, "")
	if !ok {
		return
	}
	read(s, "chip", `"gpiochip0"`, parseChip, &c.Board.Chip)
	var used wired
	lamps := d.sections(s.node, "lamp", "[[board.lamp]]")
	for _, l := range lamps {
		lamp := board.Lamp{ActiveLow: l.flag("active_low")}
		l.line(&lamp.Line)
		readList(l, "causes", text, board.ParseCause, &lamp.Causes)
		if n := l.node.get("causes"); n != nil && len(n.list) == 0 {
			l.wrong("causes", "causes is an empty list", "name causes, or leave it out for all of them")
		}
		used.take(l, lamp.Line, "a lamp")
		c.Board.Lamps = append(c.Board.Lamps, lamp)
	}
	c.Board.Button = d.pin(s, "button", &used)
	if c.Board.Button != nil && len(lamps) == 0 && !s.reported("lamp") {
		s.problem(s.node.get("button").at, "[board.button] has no lamp that could answer", `add [[board.lamp]] with line = "STATUS", or leave the button out`)
	}
	if c.Board.Reset = d.pin(s, "reset", &used); c.Board.Reset != nil {
		d.resetOf(section{d, s.node.get("reset"), "[board.reset]"}, c)
	}
	nothing := len(lamps) == 0 && c.Board.Button == nil && c.Board.Reset == nil
	if nothing && !s.reported("lamp") && !s.reported("button") && !s.reported("reset") {
		s.problem(s.node.at, "[board] has no lamp, button or reset line", `add [[board.lamp]] with line = "STATUS", or leave [board] out`)
	}
}

// pin reads [board.button] or [board.reset].
func (d *decoder) pin(s section, name string, used *wired) *board.Pin {
	n := s.node.get(name)
	if n == nil {
		return nil
	}
	p := section{d, n, "[board." + name + "]"}
	pin := &board.Pin{ActiveLow: p.flag("active_low")}
	p.line(&pin.Line)
	used.take(p, pin.Line, "the "+name)
	return pin
}

// resetOf reads which meter's head the reset line restarts.
func (d *decoder) resetOf(s section, c *Config) {
	var names []string
	for _, m := range c.Meters {
		names = append(names, m.Name)
	}
	name, given := s.text("meter")
	switch {
	case given && len(names) > 0 && !slices.Contains(names, name):
		s.wrong("meter", fmt.Sprintf("there is no meter %q", name), "want "+strings.Join(names, " or "))
	case !given && len(names) > 1:
		s.missing("meter", "it restarts the head of one meter: want meter = "+strconv.Quote(names[0])+" or another of "+strings.Join(names, ", "))
	case !given && len(names) == 1:
		name = names[0]
	}
	c.ResetOf = name
}

// wired is what has a line already.
type wired []struct {
	line board.LineID
	what string
}

// take notes that a line is used, and reports one that is used already.
func (w *wired) take(s section, id board.LineID, what string) {
	if s.reported("line") {
		return
	}
	for _, u := range *w {
		if u.line == id {
			s.wrong("line", fmt.Sprintf("line %v is that of %s already", id, u.what), "each lamp, the button and the reset have a line of their own")
			return
		}
	}
	*w = append(*w, struct {
		line board.LineID
		what string
	}{id, what})
}

func parseChip(s string) (string, error) {
	if s == "" || strings.Contains(s, "/") && !filepath.IsAbs(s) {
		return "", fmt.Errorf(`chip %q: want a name such as "gpiochip0" or an absolute path`, s)
	}
	return s, nil
}

func (s section) line(to *board.LineID) {
	n := s.node.get("line")
	switch {
	case n == nil:
		s.missing("line", `want line = "STATUS", a line's name, or line = 17, its offset`)
	case n.kind == text && n.raw == "":
		s.wrong("line", `line "" names nothing`, `want line = "STATUS", a line's name, or line = 17, its offset`)
	case n.kind == text:
		*to = board.LineName(n.raw)
	default:
		offset, err := strconv.ParseUint(n.raw, 0, 16)
		if err != nil {
			s.wrong("line", "line = "+n.raw+" is no offset", "want a number from 0; gpioinfo lists the lines of a chip")
		}
		*to = board.LineOffset(int(offset))
	}
}
