package headend

import (
	"encoding/json"
	"fmt"
	"net/http"

	"smgw/tls/deliver"
)

// refusal is a request that is not answered with an acknowledgement. Statuses
// 400, 409, 413 and 422 are for good: the gateway sets the payload aside.
type refusal struct {
	status int
	kind   string // of the problem, after deliver.ProblemPrefix
	detail string
}

func (r *refusal) Error() string { return r.kind + ": " + r.detail }

// What goes wrong, with its status; docs/headend.md says what each one means.
func malformed(err error) *refusal { return &refusal{http.StatusBadRequest, "malformed", err.Error()} }
func badSignature(err error) *refusal {
	return &refusal{http.StatusBadRequest, "bad-signature", err.Error()}
}
func unknownGateway(err error) *refusal {
	return &refusal{http.StatusForbidden, "unknown-gateway", err.Error()}
}
func notPermitted(err error) *refusal {
	return &refusal{http.StatusUnprocessableEntity, "not-permitted", err.Error()}
}

func refuse(status int, kind, format string, args ...any) *refusal {
	return &refusal{status, kind, fmt.Sprintf(format, args...)}
}

// write answers with the problem document of RFC 9457.
func (r *refusal) write(w http.ResponseWriter) {
	text, err := json.Marshal(deliver.Problem{
		Type: deliver.ProblemPrefix + r.kind, Title: http.StatusText(r.status), Status: r.status, Detail: r.detail,
	})
	if err != nil {
		panic(err) // strings and a number
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(r.status)
	w.Write(text)
}
