package deliver

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// way is how one endpoint is reached: by a transport of its own, which keeps one
// connection between deliveries. So the failure of one endpoint costs no other
// its connection. After a failure a way is left for ever: net/http would ask
// again on a connection that stayed silent, as long as it answers pings.
type way struct {
	transport *http.Transport

	mu    sync.Mutex
	users int
	left  bool // for another: nobody begins on this one any more
	conns map[net.Conn]struct{}
}

// enter returns the way to an endpoint, for one attempt.
func (c *Client) enter(endpoint string) *way {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.ways[endpoint]
	if w == nil {
		w = c.newWay()
		c.ways[endpoint] = w
	}
	w.mu.Lock()
	w.users++
	w.mu.Unlock()
	return w
}

func (c *Client) newWay() *way {
	h2 := new(http.Protocols)
	h2.SetHTTP2(true)
	w := &way{conns: map[net.Conn]struct{}{}}
	w.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := c.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return w.own(conn)
		},
		TLSClientConfig:        c.config.Clone(), // net/http writes to it
		TLSHandshakeTimeout:    c.limits.Handshake,
		ResponseHeaderTimeout:  c.limits.Header,
		MaxResponseHeaderBytes: MaxAnswer,
		IdleConnTimeout:        5 * time.Minute,
		DisableCompression:     true, // a small answer must not unfold into a large one
		Protocols:              h2,
		// A mobile line dies without a word: ask before waiting for a whole time limit.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	return w
}

// exit ends an attempt. Where it failed the next one takes another way.
func (c *Client) exit(endpoint string, w *way, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.mu.Lock()
	w.users--
	w.mu.Unlock()
	if failed && c.ways[endpoint] == w {
		delete(c.ways, endpoint)
	}
	if c.ways[endpoint] != w {
		w.leave()
	}
}

// leave closes the connections of a way that nobody will enter again, unless
// an attempt is under way on it, whose end will.
func (w *way) leave() {
	w.mu.Lock()
	w.left = true
	var end []net.Conn
	if w.users == 0 {
		end = slices.Collect(maps.Keys(w.conns))
	}
	w.mu.Unlock()
	for _, conn := range end {
		conn.Close()
	}
}

// own notes a connection until it is closed.
func (w *way) own(conn net.Conn) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left && w.users == 0 { // who dialled has given up meanwhile
		conn.Close()
		return nil, net.ErrClosed
	}
	own := &ownConn{conn, w}
	w.conns[own] = struct{}{}
	return own, nil
}

type ownConn struct {
	net.Conn
	way *way
}

func (c *ownConn) Close() error {
	c.way.mu.Lock()
	delete(c.way.conns, c)
	c.way.mu.Unlock()
	return c.Conn.Close()
}
