package control

import (
	"errors"
	"fmt"
	"net/http"
)

// refusal is an error that is not the agent's own, with the status that says so.
type refusal struct {
	status int
	error
}

func (r *refusal) Unwrap() error { return r.error }

// Malformed is the error of a question that makes no sense, or names what is
// called nothing here (400). It is formatted as by fmt.Errorf.
func Malformed(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// Unknown is the error of an id that nothing has (404).
func Unknown(format string, args ...any) error {
	return &refusal{http.StatusNotFound, fmt.Errorf(format, args...)}
}

// Impossible is the error of what cannot be done as things are (409).
func Impossible(format string, args ...any) error {
	return &refusal{http.StatusConflict, fmt.Errorf(format, args...)}
}

// fail answers with an error. One that is no refusal is the agent's own (500).
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if r := (*refusal)(nil); errors.As(err, &r) {
		status = r.status
	}
	http.Error(w, err.Error(), status)
}
