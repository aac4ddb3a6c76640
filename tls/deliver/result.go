package deliver

import (
	"fmt"
	"time"
)

// Outcome of one attempt. The zero value is Failed, so nothing counts as
// delivered by mistake.
type Outcome uint8

const (
	Failed        Outcome = iota // try again
	Stored                       // 201: the head-end has it on disk
	AlreadyStored                // 200: it had it before; an earlier acknowledgement was lost
	Refused                      // for good: set aside for a person to look at
)

var outcomes = [...]string{Failed: "failed", Stored: "stored", AlreadyStored: "already stored", Refused: "refused"}

// String names the outcome for journal and status.
func (o Outcome) String() string { return outcomes[o] }

// Delivered reports whether the head-end has the payload.
func (o Outcome) Delivered() bool { return o == Stored || o == AlreadyStored }

// Cause says where a Failed or Refused attempt ended: what a lamp and a
// technician need to know first.
type Cause uint8

const (
	NoCause            Cause = iota
	BadRequest               // endpoint or id is none; nothing was sent
	NameLookup               // the head-end's name has no address
	Unreachable              // refused, no route, or cut before an answer
	TimedOut                 // some phase took too long
	HeadEndCertificate       // its certificate is not one we trust
	OwnCertificate           // the head-end does not accept the gateway's certificate
	Clock                    // a certificate is expired or not yet valid: the certificate's fault or the clock's
	Protocol                 // no TLS or HTTP/2 after the profile
	Answer                   // an answer came, and it was no acknowledgement
	Cancelled                // the caller gave up
)

var causes = [...]string{
	NoCause: "none", BadRequest: "bad request", NameLookup: "name lookup", Unreachable: "unreachable", TimedOut: "timed out",
	HeadEndCertificate: "head-end certificate", OwnCertificate: "own certificate", Clock: "clock or certificate validity",
	Protocol: "protocol", Answer: "answer", Cancelled: "cancelled",
}

// String names the cause for journal and status.
func (c Cause) String() string { return causes[c] }

// Result of one attempt.
type Result struct {
	Outcome    Outcome
	Cause      Cause         // NoCause when delivered
	Status     int           // HTTP status; 0 when no answer came
	RetryAfter time.Duration // the head-end's wish when Failed, at most MaxRetryAfter; 0: it said nothing
	Problem    *Problem      // the head-end's problem document, where it sent one
	Date       time.Time     // the head-end's clock, a witness and never a master; zero when it said nothing
	Err        error         // nil when delivered; else what went wrong and what to do, for a person
}

// Problem is the problem document of RFC 9457 with which a head-end explains itself.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// ProblemPrefix begins the type of every problem document of the delivery
// contract (docs/headend.md). Only such a document makes a refusal permanent:
// what a proxy on the way thinks does not.
const ProblemPrefix = "urn:smgw:problem:"

func (p *Problem) String() string {
	switch {
	case p.Detail != "":
		return fmt.Sprintf("%s (%s)", p.Detail, p.Type)
	case p.Title != "":
		return fmt.Sprintf("%s (%s)", p.Title, p.Type)
	}
	return p.Type
}
