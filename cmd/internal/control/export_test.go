package control

import "net/http"

// Over asks whoever answers through a transport that a test makes.
func Over(transport http.RoundTripper) *Client {
	return &Client{transport, "the agent behind control.sock", true}
}
