package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Client asks: an agent through its socket, or, where none runs, the same
// handlers in this process.
type Client struct {
	transport http.RoundTripper
	whom      string // for errors: "the agent behind /var/lib/smgw/control.sock"
}

// Dial asks the agent behind a socket. It connects with the first question.
func Dial(socket string) *Client {
	return &Client{Transport(socket), "the agent behind " + socket}
}

// Transport makes every request to the socket, whatever its URL's host.
func Transport(socket string) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}
}

// Within asks handlers in this process; whom is what errors call them.
func Within(h http.Handler, whom string) *Client { return &Client{within{h}, whom} }

// ErrNoAgent says that no agent answers on the socket.
var ErrNoAgent = errors.New("no agent is running")

// Answers reports whether an agent answers on a socket. Not being allowed to
// ask is an error.
func Answers(socket string) (bool, error) {
	c, err := net.Dial("unix", socket)
	switch {
	case err == nil:
		return true, c.Close()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, errPermission(socket)
	}
	return false, fmt.Errorf("control socket: %w", err)
}

func errPermission(whom string) error {
	return fmt.Errorf("%s: permission denied: run this as root or as a member of the socket's group", whom)
}

// Ask asks and returns the answer as it comes, for the caller to close. An
// answer that was cut off ends with io.ErrUnexpectedEOF.
func (c *Client) Ask(ctx context.Context, method, path string) (io.ReadCloser, error) {
	return c.ask(ctx, method, path, nil)
}

func (c *Client) ask(ctx context.Context, method, path string, content io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, content)
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s: %w", c.whom, path, err)
	}
	resp, err := c.transport.RoundTrip(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %s does not answer: start it with `systemctl start smgw` or `smgw run`", ErrNoAgent, c.whom)
	case errors.Is(err, fs.ErrPermission):
		return nil, errPermission(c.whom)
	case err != nil:
		return nil, fmt.Errorf("asking %s: %w", c.whom, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("%s: %s", c.whom, strings.TrimSpace(string(text)))
	}
	return resp.Body, nil
}

// Do asks and decodes the one object of the answer into v.
func (c *Client) Do(ctx context.Context, method, path string, v any) error {
	return c.answer(ctx, method, path, nil, v)
}

// Send gives content, and decodes the one object of the answer into v.
func (c *Client) Send(ctx context.Context, path string, content io.Reader, v any) error {
	return c.answer(ctx, http.MethodPost, path, content, v)
}

func (c *Client) answer(ctx context.Context, method, path string, content io.Reader, v any) error {
	body, err := c.ask(ctx, method, path, content)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("reading the answer of %s to %s: %w", c.whom, path, err)
	}
	return nil
}

// Each asks and calls fn for each object of the answer, as they come.
func Each[T any](ctx context.Context, c *Client, path string, fn func(T) error) error {
	body, err := c.Ask(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var v T
		if err := decoder.Decode(&v); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the answer of %s to %s: %w", c.whom, path, err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

// Get asks the agent behind the socket for path and decodes its answer into v.
func Get(ctx context.Context, socket, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return Dial(socket).Do(ctx, http.MethodGet, path, v)
}
