package headend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"smgw/cmd/internal/control"
)

// The control socket speaks HTTP with JSON:
//
//	GET /endpoint     {"endpoint":"https://127.0.0.1:8443"}
//	GET /faults       the Faults in force
//	PUT /faults       replaces them
//	GET /deliveries   one Delivery a line, in the order of arrival
func (h *HeadEnd) serveControl(path string) error {
	listener, err := control.Listen(path)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /endpoint", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"endpoint": h.Endpoint()})
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(h.Faults()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&f)
		if err == nil {
			err = h.SetFaults(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(h.Faults())
	})
	mux.HandleFunc("GET /deliveries", func(w http.ResponseWriter, _ *http.Request) {
		encoder := json.NewEncoder(w)
		if err := h.store.each(func(d Delivery) error { return encoder.Encode(d) }); err != nil {
			h.log.Error("listing deliveries", "err", err)
			panic(http.ErrAbortHandler) // a short list must not look whole
		}
	})
	h.control = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	h.tasks.Go(func() {
		if err := h.control.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("the control socket stopped serving", "err", err)
		}
	})
	return nil
}

// Control talks to the control socket of a head-end in another process.
type Control struct{ http *http.Client }

// NewControl returns the control of the head-end with this socket.
func NewControl(path string) *Control {
	return &Control{&http.Client{Transport: control.Transport(path)}}
}

// Endpoint asks for the head-end's base URL.
func (c *Control) Endpoint(ctx context.Context) (string, error) {
	var answer struct{ Endpoint string }
	err := c.ask(ctx, http.MethodGet, "/endpoint", nil, func(body io.Reader) error { return json.NewDecoder(body).Decode(&answer) })
	return answer.Endpoint, err
}

// Faults asks for the faults in force.
func (c *Control) Faults(ctx context.Context) (f Faults, err error) {
	err = c.ask(ctx, http.MethodGet, "/faults", nil, func(body io.Reader) error { return json.NewDecoder(body).Decode(&f) })
	return f, err
}

// SetFaults replaces them. When it returns, they are in force.
func (c *Control) SetFaults(ctx context.Context, f Faults) error {
	if err := f.validate(); err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("head-end's control: %w", err)
	}
	return c.ask(ctx, http.MethodPut, "/faults", text, func(io.Reader) error { return nil })
}

// Deliveries asks for all deliveries, in the order of arrival.
func (c *Control) Deliveries(ctx context.Context) (all []Delivery, err error) {
	err = c.ask(ctx, http.MethodGet, "/deliveries", nil, func(body io.Reader) error {
		decoder := json.NewDecoder(body)
		for {
			var d Delivery
			if err := decoder.Decode(&d); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			all = append(all, d)
		}
	})
	return all, err
}

func (c *Control) ask(ctx context.Context, method, path string, body []byte, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://headend"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("head-end's control: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("head-end's control: %w; does the head-end run?", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("head-end's control: %s", bytes.TrimSpace(text))
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("head-end's control: %w", err)
	}
	return nil
}
