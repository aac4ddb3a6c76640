// Package deliver makes one attempt at delivery and classifies its answer.
//
//	client := deliver.NewClient(profile.Client(roots, own), deliver.DefaultLimits)
//	defer client.Close()
//	result := client.Put(ctx, "https://headend.example", id, signed)
//
// The contract between gateway and head-end stands in docs/headend.md. Queues,
// pauses and retries are the caller's: Put never tries twice.
package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"smgw/tls/profile"
)

// ContentType is that of every payload: a COSE_Sign1 structure (RFC 9052, 2).
const ContentType = `application/cose; cose-type="cose-sign1"`

// MaxAnswer is how much of a head-end's answer is read, in bytes.
const MaxAnswer = 64 << 10

// Limits bound the phases of an attempt.
type Limits struct {
	Connect   time.Duration // name lookup and TCP connection
	Handshake time.Duration // TLS
	Header    time.Duration // from the end of the request to the header of the answer
	Whole     time.Duration // everything together
}

// DefaultLimits suit a slow mobile line.
var DefaultLimits = Limits{Connect: 15 * time.Second, Handshake: 20 * time.Second, Header: time.Minute, Whole: 2 * time.Minute}

// Client delivers payloads. It keeps connections for the next delivery and may
// be used by several goroutines.
type Client struct {
	limits    Limits
	transport *http.Transport
}

// NewClient returns a client that connects as config says, which is
// profile.Client's. It uses no proxy, follows no redirect and speaks HTTP/2 only.
func NewClient(config *tls.Config, limits Limits) *Client {
	dialer := &net.Dialer{Timeout: limits.Connect}
	h2 := new(http.Protocols)
	h2.SetHTTP2(true)
	return &Client{limits: limits, transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return profile.LimitAge(conn), nil
		},
		TLSClientConfig:        config.Clone(),
		TLSHandshakeTimeout:    limits.Handshake,
		ResponseHeaderTimeout:  limits.Header,
		MaxResponseHeaderBytes: MaxAnswer,
		IdleConnTimeout:        5 * time.Minute,
		DisableCompression:     true, // a small answer must not unfold into a large one
		Protocols:              h2,
		// A mobile line dies without a word: ask before waiting for a whole time limit.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}}
}

// Close gives up the connections that are kept. Attempts under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Put delivers the payload with this id to a head-end, once. endpoint is the
// head-end's base URL, "https://headend.example" or with a path.
func (c *Client) Put(ctx context.Context, endpoint, id string, body []byte) Result {
	target, err := payloadURL(endpoint, id)
	if err != nil {
		return Result{Cause: BadRequest, Err: err}
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, c.limits.Whole)
	defer cancel()
	var reached atomic.Int32
	request, err := http.NewRequestWithContext(trace(ctx, &reached), http.MethodPut, target.String(), bytes.NewReader(body))
	if err != nil {
		return Result{Cause: BadRequest, Err: fmt.Errorf("request for %s: %w", target, err)}
	}
	request.Header.Set("Content-Type", ContentType)
	request.Header.Set("Accept", "application/problem+json")
	request.Header.Set("User-Agent", "smgw")

	response, err := c.transport.RoundTrip(request) // not http.Client: it would follow redirects
	if err != nil {
		// A connection that stays silent once is not asked again.
		c.transport.CloseIdleConnections()
		if caller.Err() != nil {
			return Result{Cause: Cancelled, Err: fmt.Errorf("delivery to %s: %w", target.Host, caller.Err())}
		}
		cause, err := explain(err, target, phase(reached.Load()))
		return Result{Cause: cause, Err: err}
	}
	defer response.Body.Close()
	return judge(response, target)
}

// payloadURL is the address of a payload at an endpoint.
func payloadURL(endpoint, id string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("endpoint %q: want https://host, where needed with :port and a path", endpoint)
	}
	if !validID(id) {
		return nil, errors.New("payload id " + id + ": want 32 lower-case hexadecimal digits")
	}
	return u.JoinPath("v1", "payloads", id), nil
}

func validID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return len(id) == 32
}
