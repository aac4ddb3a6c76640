package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"smgw/tls/profile"
)

// phase is how far an attempt came.
type phase int32

const (
	lookingUp phase = iota
	connecting
	shakingHands
	sending
	waiting
)

var phases = [...]string{
	lookingUp: "while looking up its name", connecting: "while connecting", shakingHands: "in the TLS handshake",
	sending: "while sending the payload", waiting: "while waiting for its answer",
}

// progress is how far one attempt has come. A transport dials in goroutines of
// its own, so it is atomic.
type progress struct{ reached atomic.Int32 }

func (p *progress) at() phase { return phase(p.reached.Load()) }

// trace returns a context under which a request notes its progress.
func (p *progress) trace(ctx context.Context) context.Context {
	note := func(at phase) { p.reached.Store(int32(at)) }
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart:      func(string, string) { note(connecting) },
		TLSHandshakeStart: func() { note(shakingHands) },
		GotConn:           func(httptrace.GotConnInfo) { note(sending) },
		WroteRequest:      func(httptrace.WroteRequestInfo) { note(waiting) },
	})
}

// explain names the cause of an attempt that got no answer, in words that tell
// a technician where to look.
func explain(err error, target *url.URL, at phase) (Cause, error) {
	host := target.Host
	say := func(c Cause, format string, args ...any) (Cause, error) {
		return c, fmt.Errorf("head-end %s: %s: %w", host, fmt.Sprintf(format, args...), err)
	}

	var (
		lookup   *net.DNSError
		outside  *profile.Error
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		untrust  *tls.CertificateVerificationError
		operated *net.OpError
		record   tls.RecordHeaderError
		timeout  interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &lookup) && !lookup.IsNotFound:
		return say(NameLookup, "nobody tells the address of %q; does the gateway have a DNS server, and is the line to the outside up?", lookup.Name)
	case errors.As(err, &lookup):
		return say(NameLookup, "its name %q has no address; is it written right in the configuration?", lookup.Name)
	case errors.As(err, &outside) && outside.Certificate != nil:
		return say(HeadEndCertificate, "its certificate has the wrong kind of key")
	case errors.As(err, &outside):
		return say(Protocol, "it negotiated what must not be")
	case errors.Is(err, errNoHTTP2):
		return say(Protocol, "it does not answer as the delivery contract says; is the port right?")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		c := invalid.Cert
		return say(Clock, "its certificate %q is valid from %s to %s and the clock here says %s; if that is wrong, set the clock, else the head-end needs a new certificate",
			c.Subject, c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	case errors.As(err, &name):
		return say(HeadEndCertificate, "its certificate %q was made for another name; is the endpoint right, or does something stand in between?", name.Certificate.Subject)
	case errors.As(err, &unknown):
		who := ""
		if errors.As(err, &untrust) && len(untrust.UnverifiedCertificates) > 0 {
			c := untrust.UnverifiedCertificates[0]
			who = fmt.Sprintf(" %q, issued by %q,", c.Subject, c.Issuer)
		}
		return say(HeadEndCertificate, "its certificate%s does not chain to a root this gateway trusts; wrong head-end, or wrong roots in the identity folder", who)
	case errors.As(err, &untrust):
		return say(HeadEndCertificate, "its certificate was not accepted")
	case errors.As(err, &operated) && isAlert(operated):
		return explainAlert(say, operated.Err.Error())
	case errors.As(err, &record):
		return say(Protocol, "what answers there does not speak TLS; is the port right?")
	case errors.Is(err, syscall.ECONNREFUSED):
		return say(Unreachable, "nothing listens there; is the head-end down, or the port wrong?")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return say(Unreachable, "there is no way to it; is the line to the outside up?")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return say(TimedOut, "time ran out %s", phases[at])
	case at <= connecting:
		return say(Unreachable, "no connection")
	case at == shakingHands && !broken(err):
		return say(Protocol, "the TLS handshake failed")
	}
	return say(Unreachable, "the connection broke %s", phases[at])
}

// broken reports whether err is the end of a connection.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// isAlert reports whether err is a TLS alert from the other end.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// explainAlert explains a TLS alert by which the head-end ended the connection.
// crypto/tls keeps the alert's type to itself, so its text must do.
func explainAlert(say func(Cause, string, ...any) (Cause, error), alert string) (Cause, error) {
	switch {
	case strings.Contains(alert, "expired certificate"):
		return say(Clock, "it says that this gateway's TLS certificate is expired or not yet valid; see smgw identity show")
	case strings.Contains(alert, "certificate"), strings.Contains(alert, "access denied"):
		return say(OwnCertificate, "it does not accept this gateway's TLS certificate; is the gateway enrolled there? See smgw identity show")
	case strings.Contains(alert, "protocol version"), strings.Contains(alert, "handshake failure"), strings.Contains(alert, "insufficient security"):
		return say(Protocol, "it offers no TLS after the profile (ECDHE-ECDSA with AES-GCM on P-256 or P-384)")
	case strings.Contains(alert, "no application protocol"):
		return say(Protocol, "it does not speak HTTP/2")
	}
	return say(Protocol, "it ended the TLS connection")
}
