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
	"strings"
	"sync"
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

// Client delivers payloads. It keeps one connection to each endpoint for the
// next delivery and may be used by several goroutines.
type Client struct {
	limits Limits
	config *tls.Config

	mu   sync.Mutex
	ways map[string]*way // by endpoint
}

// NewClient returns a client that connects as config says, which is
// profile.Client's. It uses no proxy, follows no redirect and speaks HTTP/2 only.
func NewClient(config *tls.Config, limits Limits) *Client {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	config.VerifyConnection = requireHTTP2(config.VerifyConnection)
	return &Client{limits: limits, config: config, ways: map[string]*way{}}
}

var errNoHTTP2 = errors.New("the head-end does not speak HTTP/2")

// requireHTTP2 refuses a server that agreed on no protocol at all: net/http
// would speak HTTP/1.1 to it.
func requireHTTP2(verify func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != "h2" {
			return errNoHTTP2
		}
		if verify == nil {
			return nil
		}
		return verify(s)
	}
}

func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: c.limits.Connect}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return profile.LimitAge(conn), nil
}

// Close gives up the connections that are kept. Attempts under way go on.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.ways {
		w.leave()
	}
	clear(c.ways)
}

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
	var way progress
	request, err := http.NewRequestWithContext(way.trace(ctx), http.MethodPut, target.String(), bytes.NewReader(body))
	if err != nil {
		return Result{Cause: BadRequest, Err: fmt.Errorf("request for %s: %w", target, err)}
	}
	request.Header.Set("Content-Type", ContentType)
	request.Header.Set("Accept", "application/problem+json")
	request.Header.Set("User-Agent", "smgw")

	w := c.enter(endpoint)
	response, err := w.transport.RoundTrip(request) // not http.Client: it would follow redirects
	if err != nil {
		c.exit(endpoint, w, true)
		if caller.Err() != nil {
			return Result{Cause: Cancelled, Err: fmt.Errorf("delivery to %s: %w", target.Host, caller.Err())}
		}
		cause, why := explain(err, target, way.at())
		if cause == Unreachable && way.at() >= sending {
			if alert := c.alert(ctx, target); alert != nil {
				cause, why = explain(alert, target, shakingHands)
			}
		}
		return Result{Cause: cause, Err: why}
	}
	result := judge(response, target)
	response.Body.Close()
	c.exit(endpoint, w, false)
	return result
}

// Reach makes a handshake with a head-end and sends nothing: it tells an
// installer at once what the first payload would find out. nil means that both
// ends accept each other.
func (c *Client) Reach(ctx context.Context, endpoint string) error {
	target, err := payloadURL(endpoint, strings.Repeat("0", 32))
	if err != nil {
		return err
	}
	at := connecting
	err = c.greet(ctx, target, &at)
	if err != nil {
		_, err = explain(err, target, at)
	}
	return err
}

// alert asks why a head-end cut a connection, and returns nil when it gives no
// reason. In TLS 1.3 a server judges the client's certificate after the client's
// part of the handshake is over; by the time its alert arrives, the request is on
// its way, fails to be written, and the alert is lost with the connection. So:
// a handshake without a request.
func (c *Client) alert(ctx context.Context, target *url.URL) error {
	at := connecting
	if err := c.greet(ctx, target, &at); isAlert(err) {
		return err
	}
	return nil
}

// greet makes a handshake and waits for the first byte that says that the
// server accepts us: its settings (RFC 9113, 3.4). at tells how far it came.
func (c *Client) greet(ctx context.Context, target *url.URL, at *phase) error {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Handshake)
	defer cancel()
	port := target.Port()
	if port == "" {
		port = "443"
	}
	raw, err := c.dial(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return err
	}
	defer raw.Close()
	*at = shakingHands
	config := c.config.Clone()
	config.ServerName = target.Hostname()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	// A head-end that says nothing must not hold up the caller's stop either.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	_, err = conn.Read(make([]byte, 1))
	return err
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
