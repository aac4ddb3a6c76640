package deliver_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"smgw/tls/authority"
	"smgw/tls/deliver"
)

// Frames of HTTP/2 (RFC 9113, 6), for a head-end that no library would play.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameContinuation = 0, 1, 3, 4, 6, 7, 9

	endStream, endHeaders = 0x1, 0x4
)

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// fields encodes header fields as HPACK literals that are not indexed (RFC 7541, 6.2.2).
func fields(pairs ...string) (block []byte) {
	text := func(s string) {
		if len(s) < 127 {
			block = append(block, byte(len(s)))
		} else {
			block = binary.AppendUvarint(append(block, 127), uint64(len(s)-127))
		}
		block = append(block, s...)
	}
	for i := 0; i < len(pairs); i += 2 {
		block = append(block, 0)
		text(pairs[i])
		text(pairs[i+1])
	}
	return block
}

// raw is a head-end that agrees on TLS and HTTP/2 and answers the first request
// of each connection in its own words, then says no more until its turn is over.
func (h house) raw(t *testing.T, answer func(conn net.Conn, stream uint32)) (endpoint string) {
	config := h.serverConfig(t, authority.Sound)
	config.NextProtos = []string{"h2"}
	return listen(t, func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.Handshake() != nil {
			return
		}
		server.Write(frame(frameSettings, 0, 0, nil))
		io.ReadFull(server, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(server, head); err != nil {
				return
			}
			length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
			io.CopyN(io.Discard, server, length)
			if kind := head[3]; (kind == frameHeaders || kind == frameData) && head[4]&endStream != 0 {
				answer(server, binary.BigEndian.Uint32(head[5:]))
				return
			}
		}
	})
}

// reset ends a TCP connection without a good-bye.
func reset(conn net.Conn) {
	tcp := conn.(*tls.Conn).NetConn().(*net.TCPConn)
	tcp.SetLinger(0)
	tcp.Close()
}

// A head-end, or what stands before it, that cuts, floods, stalls and lies below
// HTTP. Only a whole header with 201 or 200 is an acknowledgement, and only a whole
// problem document is a refusal; nothing takes longer than the limit.
func TestNoAnswerBelowHTTPIsMistakenForAnother(t *testing.T) {
	const ours = `{"type":"urn:smgw:problem:not-permitted","title":"Not permitted"}`
	status := func(code string, more ...string) []byte { return fields(append([]string{":status", code}, more...)...) }
	send := func(frames func(stream uint32) []byte) func(net.Conn, uint32) {
		return func(conn net.Conn, stream uint32) {
			conn.Write(frames(stream))
			io.Copy(io.Discard, conn)
		}
	}
	headers := func(flags byte, block []byte) func(net.Conn, uint32) {
		return send(func(stream uint32) []byte { return frame(frameHeaders, flags, stream, block) })
	}
	problem := func(flags byte, body ...[]byte) func(net.Conn, uint32) {
		return send(func(stream uint32) []byte {
			out := frame(frameHeaders, endHeaders, stream, status("422", "content-type", "application/problem+json"))
			for i, part := range body {
				f := byte(0)
				if i == len(body)-1 {
					f = flags
				}
				out = append(out, frame(frameData, f, stream, part)...)
			}
			return out
		})
	}
	const waits = true // until the limit
	tests := []struct {
		name    string
		answer  func(conn net.Conn, stream uint32)
		outcome deliver.Outcome
		cause   deliver.Cause
		waits   bool
	}{
		{"201 and no body", headers(endHeaders|endStream, status("201")), deliver.Stored, deliver.NoCause, !waits},
		{"201 with a body that never comes", headers(endHeaders, status("201", "content-length", "10")), deliver.Stored, deliver.NoCause, !waits},
		{"201, then reset", func(conn net.Conn, stream uint32) {
			conn.Write(frame(frameHeaders, endHeaders, stream, status("201")))
			io.ReadFull(conn, make([]byte, 9)) // it was read: the settings are acknowledged
			reset(conn)
		}, deliver.Stored, deliver.NoCause, !waits},
		{"201 with trailers that say 500", send(func(stream uint32) []byte {
			return append(frame(frameHeaders, endHeaders, stream, status("201", "trailer", "status")),
				frame(frameHeaders, endHeaders|endStream, stream, fields("status", "500"))...)
		}), deliver.Stored, deliver.NoCause, !waits},
		{"half a header", func(conn net.Conn, stream uint32) {
			whole := frame(frameHeaders, endHeaders|endStream, stream, status("201"))
			conn.Write(whole[:len(whole)-2])
		}, deliver.Failed, deliver.Unreachable, !waits},
		{"a header that never ends", headers(0, status("201")), deliver.Failed, deliver.TimedOut, waits},
		{"a header without a status", headers(endHeaders|endStream, fields("server", "x")), deliver.Failed, deliver.Unreachable, !waits},
		{"a status that is no number", headers(endHeaders|endStream, status("2o1")), deliver.Failed, deliver.Unreachable, !waits},
		{"a header larger than the limit", send(func(stream uint32) []byte {
			out := frame(frameHeaders, 0, stream, status("201", "x", strings.Repeat("x", 16<<10-100)))
			for range 8 {
				out = append(out, frame(frameContinuation, 0, stream, fields("x", strings.Repeat("x", 16<<10-100)))...)
			}
			return append(out, frame(frameContinuation, endHeaders, stream, nil)...)
		}), deliver.Failed, deliver.Unreachable, !waits},
		{"103 for ever", func(conn net.Conn, stream uint32) {
			for {
				if _, err := conn.Write(frame(frameHeaders, endHeaders, stream, status("103", "link", strings.Repeat("x", 1000)))); err != nil {
					return
				}
			}
		}, deliver.Failed, deliver.Unreachable, !waits},
		{"101", headers(endHeaders, status("101")), deliver.Failed, deliver.TimedOut, waits},
		{"pings and no answer", func(conn net.Conn, _ uint32) {
			go io.Copy(io.Discard, conn)
			for {
				if _, err := conn.Write(frame(framePing, 0, 0, make([]byte, 8))); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, deliver.Failed, deliver.TimedOut, waits},
		{"HTTP/1.1 from a proxy", func(conn net.Conn, _ uint32) {
			io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
		}, deliver.Failed, deliver.Unreachable, !waits},
		{"nothing but the end", func(conn net.Conn, _ uint32) {}, deliver.Failed, deliver.Unreachable, !waits},
		{"a TCP reset", func(conn net.Conn, _ uint32) { reset(conn) }, deliver.Failed, deliver.Unreachable, !waits},
		{"the stream cancelled", send(func(stream uint32) []byte {
			return frame(frameReset, 0, stream, []byte{0, 0, 0, 8})
		}), deliver.Failed, deliver.Unreachable, !waits},
		{"good-bye after taking it", send(func(stream uint32) []byte {
			return frame(frameGoAway, 0, 0, append(binary.BigEndian.AppendUint32(nil, stream), 0, 0, 0, 2))
		}), deliver.Failed, deliver.TimedOut, waits},
		{"good-bye without taking it, always", func(conn net.Conn, _ uint32) {
			conn.Write(frame(frameGoAway, 0, 0, make([]byte, 8)))
		}, deliver.Failed, deliver.TimedOut, waits},
		{"a TLS record that is none", func(conn net.Conn, _ uint32) {
			conn.(*tls.Conn).NetConn().Write([]byte("HTTP/1.1 201 Created\r\n\r\n"))
			io.Copy(io.Discard, conn)
		}, deliver.Failed, deliver.Protocol, !waits},
		{"frames on a stream nobody opened", send(func(stream uint32) []byte {
			return frame(frameHeaders, endHeaders|endStream, stream+2, status("201"))
		}), deliver.Failed, deliver.TimedOut, waits},

		{"a problem in many pieces", problem(endStream, []byte(ours[:1]), []byte(ours[1:30]), nil, []byte(ours[30:]), nil), deliver.Refused, deliver.Answer, !waits},
		{"a problem and no end", problem(0, []byte(ours)), deliver.Failed, deliver.Answer, waits},
		{"a problem byte by byte, for ever", func(conn net.Conn, stream uint32) {
			go io.Copy(io.Discard, conn)
			conn.Write(frame(frameHeaders, endHeaders, stream, status("422", "content-type", "application/problem+json")))
			for {
				if _, err := conn.Write(frame(frameData, 0, stream, []byte(" "))); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, deliver.Failed, deliver.Answer, waits},
		{"a problem and then a reset", func(conn net.Conn, stream uint32) {
			conn.Write(frame(frameHeaders, endHeaders, stream, status("422", "content-type", "application/problem+json")))
			conn.Write(frame(frameData, 0, stream, []byte(ours)))
			reset(conn)
		}, deliver.Failed, deliver.Answer, !waits},
		{"a problem larger than it says", send(func(stream uint32) []byte {
			return append(frame(frameHeaders, endHeaders, stream, status("422", "content-type", "application/problem+json", "content-length", "10")),
				frame(frameData, endStream, stream, []byte(ours))...)
		}), deliver.Failed, deliver.Answer, !waits},
	}
	h := newHouse(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := patient
			if tt.waits {
				limits.Whole = time.Second
			}
			result := h.put(t, h.raw(t, tt.answer), limits)
			require.Equal(t, tt.outcome, result.Outcome, "%v", result.Err)
			require.Equal(t, tt.cause, result.Cause, "%v", result.Err)
			if tt.outcome != deliver.Stored {
				require.Error(t, result.Err)
			}
		})
	}
}

// What a problem document may look like and is none of ours: tried again.
func TestOnlyOurProblemDocumentRefuses(t *testing.T) {
	const ours = `{"type":"urn:smgw:problem:not-permitted"}`
	tests := []struct {
		name, media, encoding, body string
		outcome                     deliver.Outcome
	}{
		{"ours", "application/problem+json", "", ours, deliver.Refused},
		{"ours, in capitals and with a charset", `Application/Problem+JSON; charset="utf-8"`, "", ours, deliver.Refused},
		{"ours, with members we do not know", "application/problem+json", "", `{"type":"urn:smgw:problem:x","instance":"/1","balance":30}`, deliver.Refused},
		{"as plain JSON", "application/json", "", ours, deliver.Failed},
		{"as XML", "application/problem+xml", "", ours, deliver.Failed},
		{"with a media type that is none", "application/problem+json;;", "", ours, deliver.Failed},
		{"without a media type", "", "", ours, deliver.Failed},
		{"packed though nobody asked", "application/problem+json", "gzip", "\x1f\x8b\x08\x00", deliver.Failed},
		{"empty", "application/problem+json", "", "", deliver.Failed},
		{"null", "application/problem+json", "", "null", deliver.Failed},
		{"a type that is a number", "application/problem+json", "", `{"type":422}`, deliver.Failed},
		{"a status that is a text", "application/problem+json", "", `{"type":"urn:smgw:problem:x","status":"422"}`, deliver.Failed},
		{"a status that overflows", "application/problem+json", "", `{"type":"urn:smgw:problem:x","status":1e999}`, deliver.Failed},
		{"two documents", "application/problem+json", "", ours + ours, deliver.Failed},
		{"nested without end", "application/problem+json", "", strings.Repeat(`{"a":`, 12000), deliver.Failed},
		{"a prefix that only begins like ours", "application/problem+json", "", `{"type":"urn:smgw:problematic"}`, deliver.Failed},
		{"bytes that are no text", "application/problem+json", "", "\xff\xfe" + ours, deliver.Failed},
	}
	h := newHouse(t)
	config := h.serverConfig(t, authority.Sound)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := h.put(t, serve(t, config, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if tt.media != "" {
					w.Header().Set("Content-Type", tt.media)
				}
				if tt.encoding != "" {
					w.Header().Set("Content-Encoding", tt.encoding)
				}
				w.WriteHeader(422)
				io.WriteString(w, tt.body)
			}), patient)
			require.Equal(t, tt.outcome, result.Outcome, "%v", result.Err)
			require.Equal(t, deliver.Answer, result.Cause)
			require.Error(t, result.Err)
		})
	}
}

// What a head-end writes ends up in logs, on flash and on a technician's terminal.
func TestAHeadEndsWordsAreShortAndPlain(t *testing.T) {
	h := newHouse(t)
	endpoint := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(422)
		io.WriteString(w, `{"type":"urn:smgw:problem:x","title":"\u001b[2J","detail":"Größe\nfalsch\u001b]0;x\u0007`+strings.Repeat("ü", 30_000)+`"}`)
	})
	result := h.put(t, endpoint, patient)
	require.Equal(t, deliver.Refused, result.Outcome)
	require.ErrorContains(t, result.Err, "Größe falsch ]0;x ü")
	require.Less(t, len(result.Err.Error()), 1000)
	for _, r := range result.Err.Error() + result.Problem.Title {
		require.True(t, unicode.IsPrint(r), "%q", r)
	}
	redirect := serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://"+strings.Repeat("x", 50_000))
		w.WriteHeader(301)
	})
	require.Less(t, len(h.put(t, redirect, patient).Err.Error()), 1000)
}

// A head-end that fails closes no other's connection.
func TestADeadHeadEndCostsNoOtherItsConnection(t *testing.T) {
	h := newHouse(t)
	config := h.serverConfig(t, authority.Sound)
	connections := make(chan string, 100)
	sound := counted(t, serve(t, config, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }), connections)
	cut := serve(t, config, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	client := h.client(t, patient) // last, so that it is the first to close
	for range 3 {
		require.Equal(t, deliver.Stored, client.Put(t.Context(), sound, payloadID, nil).Outcome)
		require.Equal(t, deliver.Failed, client.Put(t.Context(), cut, payloadID, nil).Outcome)
	}
	require.Len(t, connections, 1)
}

// counted passes connections on to an endpoint and tells of each.
func counted(t *testing.T, endpoint string, connections chan<- string) string {
	return listen(t, func(conn net.Conn) {
		connections <- conn.RemoteAddr().String()
		to, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "https://"))
		if err != nil {
			return
		}
		back := make(chan struct{})
		go func() {
			defer close(back)
			io.Copy(conn, to)
			conn.Close()
		}()
		io.Copy(to, conn)
		to.Close()
		<-back
	})
}

// Nothing is sent twice by itself when a head-end takes a payload and says good-bye.
func TestAPayloadTakenIsNotSentAgainByItself(t *testing.T) {
	h := newHouse(t)
	requests := make(chan uint32, 10)
	limits := patient
	limits.Whole = time.Second
	result := h.put(t, h.raw(t, func(conn net.Conn, stream uint32) {
		requests <- stream
		conn.Write(frame(frameGoAway, 0, 0, append(binary.BigEndian.AppendUint32(nil, stream), make([]byte, 4)...)))
	}), limits)
	require.Equal(t, deliver.Failed, result.Outcome)
	require.Len(t, requests, 1)
}

// A head-end that answers pings and no request gets a new connection with the
// next attempt, and the old one is closed.
func TestAConnectionThatStayedSilentIsNotAskedAgain(t *testing.T) {
	h := newHouse(t)
	connections := make(chan string, 10)
	var answers atomic.Bool
	endpoint := counted(t, serve(t, h.serverConfig(t, authority.Sound), func(w http.ResponseWriter, r *http.Request) {
		if !answers.Load() {
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusCreated)
	}), connections)
	limits := patient
	limits.Whole = time.Second
	client := h.client(t, limits)
	require.Equal(t, deliver.TimedOut, client.Put(t.Context(), endpoint, payloadID, nil).Cause)
	answers.Store(true)
	require.Equal(t, deliver.Stored, client.Put(t.Context(), endpoint, payloadID, nil).Outcome)
	require.Len(t, connections, 2)
}

// What Reach waits for ends with its caller, also when the head-end has made the
// handshake and then says nothing: an agent that stops must not wait for it.
func TestAMuteHeadEndDoesNotHoldUpAStop(t *testing.T) {
	h := newHouse(t)
	config := h.serverConfig(t, authority.Sound)
	config.NextProtos = []string{"h2"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if conn.(*tls.Conn).Handshake() == nil {
			stop()
			conn.Read(make([]byte, 1)) // until the other end leaves
		}
	}()
	limits := patient
	limits.Handshake = time.Hour
	require.Error(t, h.client(t, limits).Reach(ctx, "https://"+l.Addr().String()))
	<-ended
}
