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
	mayHang   bool   // it is another process
}

// How long an agent may take until its answer begins, and where the whole store
// is read or written meanwhile. One that takes longer hangs.
const (
	patience     = 30 * time.Second
	longPatience = 10 * time.Minute
)

var errHangs = errors.New("it hangs")

func patienceFor(path string) time.Duration {
	path, _, _ = strings.Cut(path, "?")
	switch path {
	case CheckPath, CompactPath, VerifyPath, ImportPath, DecommissionPath, DecommissionPath + "/erase":
		return longPatience
	}
	return patience
}

// Dial asks the agent behind a socket. It connects with the first question.
func Dial(socket string) *Client {
	return &Client{Transport(socket), "the agent behind " + socket, true}
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
func Within(h http.Handler, whom string) *Client { return &Client{within{h}, whom, false} }

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
// answer that was cut off ends with io.ErrUnexpectedEOF. Whoever has not begun to
// answer in half a minute hangs, or in ten where the whole store is gone through.
func (c *Client) Ask(ctx context.Context, method, path string) (io.ReadCloser, error) {
	return c.ask(ctx, method, path, nil)
}

func (c *Client) ask(ctx context.Context, method, path string, content io.Reader) (io.ReadCloser, error) {
	ctx, end := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, content)
	if err != nil {
		end(err)
		return nil, fmt.Errorf("asking %s for %s: %w", c.whom, path, err)
	}
	if c.mayHang {
		defer time.AfterFunc(patienceFor(path), func() { end(errHangs) }).Stop()
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		why := context.Cause(ctx)
		end(err)
		return nil, c.unanswered(method, path, err, why)
	}
	if resp.StatusCode != http.StatusOK {
		defer end(nil)
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("%s: %s", c.whom, strings.TrimSpace(string(text)))
	}
	return &body{resp.Body, end}, nil
}

// body is an answer's, with what it holds until it is closed.
type body struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (b *body) Close() error {
	defer b.end(nil)
	return b.ReadCloser.Close()
}

// unanswered says why a question has no answer: err is what came of it, and why
// is the reason where it was given up.
func (c *Client) unanswered(method, path string, err, why error) error {
	switch {
	case errors.Is(why, errHangs):
		unknown := ""
		if method != http.MethodGet {
			unknown = "; what was asked of it may be done yet: look before you ask again"
		}
		return fmt.Errorf("%s runs, but has not answered for %s: it hangs. It is ended and started again in some minutes by its watchdog, or that of systemd; systemctl restart smgw does it now%s",
			c.whom, patienceFor(path), unknown)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: %s does not answer: start it with `systemctl start smgw` or `smgw run`", ErrNoAgent, c.whom)
	case errors.Is(err, fs.ErrPermission):
		return errPermission(c.whom)
	}
	return fmt.Errorf("asking %s: %w", c.whom, err)
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
	return Dial(socket).Do(ctx, http.MethodGet, path, v)
}
