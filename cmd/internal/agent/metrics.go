package agent

import (
	"context"
	"net"
	"net/http"

	"smgw/cmd/internal/control"
)

// metrics answers who collects figures, every few seconds perhaps: what only a
// walk through the whole store could count is none of them.
func (a *Agent) metrics(w http.ResponseWriter, _ *http.Request) {
	s, err := a.status(a.Store.Size)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", control.MetricsType)
	control.WriteMetrics(w, s) // an error here is the client's going away
}

// serveMetrics answers those who collect figures, and nobody else, at a
// loopback address until ctx ends. An address that is taken costs the figures,
// not the agent.
func (a *Agent) serveMetrics(ctx context.Context, address string) (wait func()) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		a.Log.Warn("running without figures for Prometheus", "err", err)
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+control.MetricsPath, a.metrics)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := control.Serve(ctx, l, mux); err != nil {
			a.Log.Error("answering Prometheus", "err", err)
		}
	}()
	return func() { <-ended }
}
