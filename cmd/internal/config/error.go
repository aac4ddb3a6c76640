package config

import (
	"fmt"
	"strings"
)

// Error is one problem of a configuration file, written for the technician
// who has to correct it.
type Error struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1; 0 when the file could not be read at all
	Column int    `json:"column"` // in characters, from 1
	What   string `json:"what"`   // what is wrong
	Want   string `json:"want"`   // what would be right, or what to do; may be empty
	Err    error  `json:"-"`      // cause, if there is one
}

// Error gives "file:line:column: what; want".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	s += ": " + e.What
	if e.Want != "" {
		s += "; " + e.Want
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errors are all problems of one file, in the order of the file. Never empty
// as an error.
type Errors []*Error

// Error gives every problem on a line of its own.
func (e Errors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	lines := make([]string, 1, len(e)+1)
	lines[0] = fmt.Sprintf("%d problems in the configuration", len(e))
	for _, p := range e {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, p := range e {
		errs[i] = p
	}
	return errs
}
