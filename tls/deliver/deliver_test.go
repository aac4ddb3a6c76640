package deliver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/tls/authority"
	"smgw/tls/deliver"
)

func TestPutSendsWhatTheContractSays(t *testing.T) {
	h := newHouse(t)
	type seen struct {
		method, path, contentType, client, body string
		major                                   int
	}
	got := make(chan seen, 1)
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.TLS.PeerCertificates[0].Subject.CommonName, string(body), r.ProtoMajor}
		w.Header().Set("Date", "Sun, 22 Nov 2026 02:00:00 GMT")
		w.WriteHeader(http.StatusCreated)
	})

	result := h.put(t, endpoint+"/base/", patient)

	require.NoError(t, result.Err)
	require.Equal(t, deliver.Stored, result.Outcome)
	require.Equal(t, time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC), result.Date)
	require.Equal(t, seen{"PUT", "/base/v1/payloads/" + payloadID, `application/cose; cose-type="cose-sign1"`, "gateway-1", "payload", 2}, <-got)
}

func TestAnswersAreClassified(t *testing.T) {
	const ours = `{"type":"urn:smgw:problem:not-permitted","title":"Not permitted","detail":"row 5 is not for class A"}`
	problem := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(status)
			io.WriteString(w, text)
		}
	}
	bare := func(status int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		}
	}
	const date = "Sun, 22 Nov 2026 02:00:00 GMT"
	tests := []struct {
		name    string
		answer  http.HandlerFunc
		outcome deliver.Outcome
		again   time.Duration // RetryAfter
		says    string        // in the error
	}{
		{"201", bare(201), deliver.Stored, 0, ""},
		{"200", bare(200), deliver.AlreadyStored, 0, ""},
		{"201 with a body that never was asked for", problem(201, strings.Repeat("x", 1<<20)), deliver.Stored, 0, ""},
		{"202 promises nothing", bare(202), deliver.Failed, 0, "202 Accepted"},
		{"204 is no acknowledgement", bare(204), deliver.Failed, 0, "204"},

		{"400 of ours", problem(400, ours), deliver.Refused, 0, "row 5 is not for class A"},
		{"409 of ours", problem(409, ours), deliver.Refused, 0, "409 Conflict"},
		{"413 of ours", problem(413, ours), deliver.Refused, 0, "413"},
		{"422 of ours", problem(422, ours), deliver.Refused, 0, "urn:smgw:problem:not-permitted"},
		{"422 that names its own status", problem(422, `{"type":"urn:smgw:problem:x","status":422}`), deliver.Refused, 0, "urn:smgw:problem:x"},

		{"400 of a proxy", bare(400), deliver.Failed, 0, "400 Bad Request and said no more"},
		{"413 of a proxy", bare(413, "Content-Type", "text/html"), deliver.Failed, 0, "413"},
		{"422 with somebody else's problem", problem(422, `{"type":"https://proxy.example/full","title":"Full"}`), deliver.Failed, 0, "Full (https://proxy.example/full)"},
		{"422 with a problem of no type", problem(422, `{"detail":"no idea"}`), deliver.Failed, 0, "no idea (about:blank)"},
		{"422 whose document says 503", problem(422, `{"type":"urn:smgw:problem:x","status":503}`), deliver.Failed, 0, "urn:smgw:problem:x"},
		{"422 with torn JSON", problem(422, ours[:40]), deliver.Failed, 0, "no JSON object"},
		{"422 with JSON that is no object", problem(422, `["urn:smgw:problem:x"]`), deliver.Failed, 0, "no JSON object"},
		{"422 with an oversized document", problem(422, `{"type":"urn:smgw:problem:x","detail":"`+strings.Repeat("x", deliver.MaxAnswer)+`"}`), deliver.Failed, 0, "larger than 65536 bytes"},
		{"422 of ours as plain text", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(422)
			io.WriteString(w, ours)
		}, deliver.Failed, 0, "422"},
		{"422 that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(422)
			io.WriteString(w, ours)
		}, deliver.Failed, 0, "broke off"},

		{"401 of ours", problem(401, ours), deliver.Failed, 0, "401"},
		{"403 of ours", problem(403, ours), deliver.Failed, 0, "403"},
		{"404 of ours", problem(404, ours), deliver.Failed, 0, "404"},
		{"410 of ours", problem(410, ours), deliver.Failed, 0, "410"},
		{"301", bare(301, "Location", "https://elsewhere.example/"), deliver.Failed, 0, `redirect to "https://elsewhere.example/", which is not followed`},
		{"307", bare(307, "Location", "/v1/payloads/"+payloadID), deliver.Failed, 0, "not followed"},
		{"500", bare(500), deliver.Failed, 0, "500 Internal Server Error"},
		{"502", bare(502), deliver.Failed, 0, "502"},
		{"599", bare(599), deliver.Failed, 0, "599"},

		{"429 with seconds", bare(429, "Retry-After", "120"), deliver.Failed, 2 * time.Minute, "429"},
		{"503 with a date", bare(503, "Date", date, "Retry-After", "Sun, 22 Nov 2026 02:10:00 GMT"), deliver.Failed, 10 * time.Minute, "503"},
		{"503 with a date gone by", bare(503, "Date", date, "Retry-After", "Sun, 22 Nov 2026 01:00:00 GMT"), deliver.Failed, 0, "503"},
		{"503 with a date in the next century", bare(503, "Date", date, "Retry-After", "Fri, 22 Nov 2126 01:00:00 GMT"), deliver.Failed, deliver.MaxRetryAfter, "503"},
		{"503 with very many seconds", bare(503, "Retry-After", "99999999"), deliver.Failed, deliver.MaxRetryAfter, "503"},
		{"503 with more seconds than an integer holds", bare(503, "Retry-After", strings.Repeat("9", 40)), deliver.Failed, deliver.MaxRetryAfter, "503"},
		{"503 with negative seconds", bare(503, "Retry-After", "-5"), deliver.Failed, 0, "503"},
		{"503 with nonsense", bare(503, "Retry-After", "soon"), deliver.Failed, 0, "503"},
		{"422 of ours with Retry-After is still for good", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "10")
			problem(422, ours)(w, r)
		}, deliver.Refused, 0, "422"},
	}
	h := newHouse(t)
	config := h.serverConfig(t, authority.Sound)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := h.put(t, serve(t, config, tt.answer), patient)
			require.Equal(t, tt.outcome, result.Outcome, "%v", result.Err)
			require.Equal(t, tt.again, result.RetryAfter)
			if tt.says == "" {
				require.NoError(t, result.Err)
				require.Equal(t, deliver.NoCause, result.Cause)
				return
			}
			require.ErrorContains(t, result.Err, tt.says)
			require.Equal(t, deliver.Answer, result.Cause)
		})
	}
}

func TestInformationalAnswersAreNoAnswer(t *testing.T) {
	h := newHouse(t)
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, _ *http.Request) {
		for range 20 {
			w.WriteHeader(http.StatusProcessing)
		}
		w.WriteHeader(http.StatusCreated)
	})
	require.Equal(t, deliver.Stored, h.put(t, endpoint, patient).Outcome)
}

func TestConnectionsAreReused(t *testing.T) {
	h := newHouse(t)
	var connections atomic.Int32
	config := h.serverConfig(t, authority.Sound)
	inner := config.VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error {
		connections.Add(1)
		return inner(s)
	}
	endpoint := serve(t, config, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	client := h.client(t, patient)
	for range 10 {
		require.Equal(t, deliver.Stored, client.Put(t.Context(), endpoint, payloadID, nil).Outcome)
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("ALL_PROXY", "http://127.0.0.1:1")
	h := newHouse(t)
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	require.Equal(t, deliver.Stored, h.put(t, endpoint, patient).Outcome)
}

func TestBadEndpointsAreSaidBeforeAnythingIsSent(t *testing.T) {
	h := newHouse(t)
	client := h.client(t, patient)
	for _, endpoint := range []string{"", "headend.example", "http://headend.example", "https://", "https://user:pw@headend.example", "https://headend.example?x=1", "https://headend.example#x", "https://[::1", "https://headend.example:port"} {
		result := client.Put(t.Context(), endpoint, payloadID, nil)
		require.Equal(t, deliver.BadRequest, result.Cause, endpoint)
		require.ErrorContains(t, result.Err, "endpoint")
	}
	for _, id := range []string{"", "../../etc/passwd", payloadID[:31], strings.ToUpper(payloadID), payloadID + "0"} {
		result := client.Put(t.Context(), "https://127.0.0.1:1", id, nil)
		require.Equal(t, deliver.BadRequest, result.Cause, id)
		require.ErrorContains(t, result.Err, "payload id")
	}
}

func TestTroubleIsNamed(t *testing.T) {
	h := newHouse(t)
	created := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
	withFlaw := func(flaw authority.Flaw) func(*testing.T) string {
		return func(t *testing.T) string { return serve(t, h.serverConfig(t, flaw), created) }
	}
	tests := []struct {
		name     string
		endpoint func(*testing.T) string
		cause    deliver.Cause
		says     string
	}{
		{"certificate for another name", withFlaw(authority.OtherName), deliver.HeadEndCertificate, "made for another name"},
		{"certificate of another root", withFlaw(authority.OtherRoot), deliver.HeadEndCertificate, `"CN=smgw reference head-end", issued by "CN=strange root", does not chain to a root`},
		{"certificate expired", withFlaw(authority.Expired), deliver.Clock, "and the clock here says"},
		{"certificate not yet valid", withFlaw(authority.NotYetValid), deliver.Clock, "and the clock here says"},
		{"certificate with a key on P-521", withFlaw(authority.P521Key), deliver.HeadEndCertificate, "ECDSA on P-521, want ECDSA on P-256 or P-384"},
		{"certificate with an RSA key", withFlaw(authority.RSAKey), deliver.HeadEndCertificate, "has a key of type RSA"},
		{"gateway unknown to the head-end", func(t *testing.T) string {
			return serve(t, newHouse(t).foreign(t, h), created)
		}, deliver.OwnCertificate, "does not accept this gateway's TLS certificate"},
		{"head-end without HTTP/2", func(t *testing.T) string {
			config := h.serverConfig(t, authority.Sound)
			config.NextProtos = []string{"http/1.1"}
			return listen(t, func(conn net.Conn) { tls.Server(conn, config).Handshake() })
		}, deliver.Protocol, "HTTP/2"},
		{"head-end that negotiates no protocol", func(t *testing.T) string {
			config := h.serverConfig(t, authority.Sound)
			return listen(t, func(conn net.Conn) {
				server := tls.Server(conn, config)
				server.Handshake()
				io.Copy(io.Discard, server)
			})
		}, deliver.Protocol, "HTTP/2"},
		{"not TLS at all", func(t *testing.T) string {
			return listen(t, func(conn net.Conn) {
				conn.Read(make([]byte, 1))
				io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n")
				io.Copy(io.Discard, conn)
			})
		}, deliver.Protocol, "does not speak TLS"},
		{"cut before the handshake", func(t *testing.T) string {
			return listen(t, func(net.Conn) {})
		}, deliver.Unreachable, "the connection broke in the TLS handshake"},
		{"cut before the answer", func(t *testing.T) string {
			return serve(t, h.serverConfig(t, authority.Sound), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, deliver.Unreachable, "broke while waiting for its answer"},
		{"name without an address", func(*testing.T) string {
			return "https://" + strings.Repeat("x", 64) + ".example" // too long for a name, so nobody is asked
		}, deliver.NameLookup, "has no address"},
		{"nothing listens", func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			return "https://" + l.Addr().String()
		}, deliver.Unreachable, "nothing listens there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := h.put(t, tt.endpoint(t), patient)
			require.Equal(t, deliver.Failed, result.Outcome)
			require.ErrorContains(t, result.Err, tt.says)
			require.Equal(t, tt.cause, result.Cause, "%v", result.Err)
			require.Zero(t, result.Status)
		})
	}
}

// foreign is the configuration of a head-end with a certificate of h's PKI
// that trusts only f's gateways.
func (f house) foreign(t *testing.T, h house) *tls.Config {
	config := h.serverConfig(t, authority.Sound)
	config.ClientCAs = f.gateway.Roots
	return config
}

func TestEveryPhaseHasATimeLimit(t *testing.T) {
	h := newHouse(t)
	const soon = 50 * time.Millisecond
	limits := func(change func(*deliver.Limits)) deliver.Limits {
		l := patient
		change(&l)
		return l
	}
	silent := func(t *testing.T) string {
		return listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	}
	mute := func(t *testing.T) string {
		return serve(t, h.serverConfig(t, authority.Sound), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}
	drip := func(t *testing.T) string { // a problem document without end
		return serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	}
	tests := []struct {
		name     string
		endpoint func(*testing.T) string
		limits   deliver.Limits
		cause    deliver.Cause
		says     string
	}{
		{"handshake", silent, limits(func(l *deliver.Limits) { l.Handshake = soon }), deliver.TimedOut, "time ran out in the TLS handshake"},
		{"header", mute, limits(func(l *deliver.Limits) { l.Header = soon }), deliver.TimedOut, "time ran out while waiting for its answer"},
		{"whole", mute, limits(func(l *deliver.Limits) { l.Whole = 500 * time.Millisecond }), deliver.TimedOut, "time ran out"},
		{"body", drip, limits(func(l *deliver.Limits) { l.Whole = 500 * time.Millisecond }), deliver.Answer, "broke off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := h.put(t, tt.endpoint(t), tt.limits)
			require.Equal(t, deliver.Failed, result.Outcome)
			require.ErrorContains(t, result.Err, tt.says)
			require.Equal(t, tt.cause, result.Cause)
		})
	}
}

func TestACallerWhoGivesUpIsNotTheHeadEndsFault(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	result := h.client(t, patient).Put(ctx, endpoint, payloadID, nil)
	require.Equal(t, deliver.Cancelled, result.Cause)
	require.ErrorIs(t, result.Err, context.Canceled)
}

func TestAfterACutTheNextAttemptConnectsAnew(t *testing.T) {
	h := newHouse(t)
	var n atomic.Int32
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusOK)
	})
	client := h.client(t, patient)
	require.Equal(t, deliver.Failed, client.Put(t.Context(), endpoint, payloadID, nil).Outcome)
	require.Equal(t, deliver.AlreadyStored, client.Put(t.Context(), endpoint, payloadID, nil).Outcome)
}

// listen hands each connection to talk and closes it when talk returns.
func listen(t *testing.T, talk func(net.Conn)) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "https://" + l.Addr().String()
}
