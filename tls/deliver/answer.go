package deliver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxRetryAfter bounds what a head-end may ask for: a slip there must not
// silence a gateway over a deadline.
const MaxRetryAfter = time.Hour

// judge classifies an answer. The only acknowledgements are 201 and 200; the
// only permanent refusals are 400, 409, 413 and 422 with a problem document of
// the delivery contract. All else, redirects included, may pass by itself.
func judge(r *http.Response, target *url.URL) Result {
	res := Result{Status: r.StatusCode}
	res.Date, _ = http.ParseTime(r.Header.Get("Date"))
	switch r.StatusCode {
	case http.StatusCreated:
		res.Outcome = Stored
		return res
	case http.StatusOK:
		res.Outcome = AlreadyStored
		return res
	}
	res.Cause = Answer
	res.RetryAfter = retryAfter(r.Header.Get("Retry-After"), res.Date)
	var unread error
	res.Problem, unread = readProblem(r)
	answer := fmt.Sprintf("%s answered %s", target.Host, statusText(r.StatusCode))
	switch {
	case res.Problem != nil && permanent(r.StatusCode, res.Problem):
		res.Outcome, res.RetryAfter = Refused, 0
		res.Err = fmt.Errorf("%s: %v", answer, res.Problem)
	case res.Problem != nil:
		res.Err = fmt.Errorf("%s: %v; will be tried again", answer, res.Problem)
	case unread != nil:
		res.Err = fmt.Errorf("%s: %w; will be tried again", answer, unread)
	case r.StatusCode >= 300 && r.StatusCode <= 399:
		res.Err = fmt.Errorf("%s with a redirect to %q, which is not followed: is the endpoint in the configuration out of date?", answer, forPeople(r.Header.Get("Location")))
	default:
		res.Err = errors.New(answer + " and said no more; will be tried again")
	}
	return res
}

func permanent(status int, p *Problem) bool {
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return strings.HasPrefix(p.Type, ProblemPrefix) && (p.Status == 0 || p.Status == status)
	}
	return false
}

// readProblem returns the answer's problem document: nil without an error when
// the answer is something else, nil with one when it cannot be read.
func readProblem(r *http.Response) (*Problem, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/problem+json" {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("its problem document broke off: %w", err)
	}
	if len(text) > MaxAnswer {
		return nil, fmt.Errorf("its problem document is larger than %d bytes", MaxAnswer)
	}
	p := new(Problem)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("its problem document is no JSON object: %w", err)
	}
	if p.Type == "" {
		p.Type = "about:blank" // RFC 9457, 4.2.1
	}
	p.Type, p.Title, p.Detail = forPeople(p.Type), forPeople(p.Title), forPeople(p.Detail)
	return p, nil
}

// maxText is how much of a text of the head-end's is kept, in bytes: it goes
// into log and journal, and into the record of each payload that waits.
const maxText = 300

// forPeople is a text of the head-end's for a log and a terminal: in one line,
// without control characters, and not longer than maxText.
func forPeople(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// retryAfter reads a Retry-After header, seconds or a date. A date counts from
// the head-end's own Date, because the gateway's clock may be wrong.
func retryAfter(header string, date time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(MaxRetryAfter/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return MaxRetryAfter
	}
	at, err := http.ParseTime(header)
	if err != nil || date.IsZero() {
		return 0
	}
	return min(max(at.Sub(date), 0), MaxRetryAfter)
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}
