package headend_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"smgw/cmd/internal/config"
	"smgw/cmd/internal/config/configtest"
	"smgw/cmd/internal/headend"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/tls/authority"
	"smgw/tls/deliver"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a PKI, a head-end and one gateway enrolled there.
type bench struct {
	dir     string // the head-end's
	pki     *authority.Authority
	headend *headend.HeadEnd
	control *headend.Control
	gateway *gateway
}

// gateway is the other end, as far as delivery goes.
type gateway struct {
	*identity.Identity
	client *deliver.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: filepath.Join(t.TempDir(), "head-end [1]")} // a path is no pattern
	var err error
	b.pki, err = authority.Create(filepath.Join(t.TempDir(), "pki"))
	require.NoError(t, err)
	key, chain, err := b.pki.HeadEnd([]string{"127.0.0.1"}, authority.Sound)
	require.NoError(t, err)
	require.NoError(t, headend.Install(b.dir, key, chain, b.pki.Roots()))
	b.open(t, "127.0.0.1:0")
	b.gateway = b.enrol(t, "gateway-1")
	return b
}

func (b *bench) open(t *testing.T, listen string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control")
	h, err := headend.Open(headend.Options{Dir: b.dir, Listen: listen, Control: socket})
	require.NoError(t, err)
	b.headend, b.control = h, headend.NewControl(socket)
	t.Cleanup(sync.OnceFunc(func() {
		if b.headend == h {
			require.NoError(t, h.Close())
		}
	}))
}

// enrol makes a gateway as an installer and a PKI would.
func (b *bench) enrol(t *testing.T, id string) *gateway {
	t.Helper()
	g, issued := b.stranger(t, id)
	file := filepath.Join(t.TempDir(), "contract.toml")
	require.NoError(t, os.WriteFile(file, []byte(configtest.ClassB), 0o600))
	_, err := headend.Enrol(b.dir, id, issued, file)
	require.NoError(t, err)
	return g
}

// stranger has certificates of the PKI, and nobody enrolled it.
func (b *bench) stranger(t *testing.T, id string) (*gateway, identity.Issued) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "identity")
	require.NoError(t, identity.Create(dir, id, false))
	issued, err := b.pki.Enrol(dir)
	require.NoError(t, err)
	own, err := identity.Load(dir)
	require.NoError(t, err)
	client := deliver.NewClient(profile.Client(own.Roots, profile.Fixed(*own.TLSCertificate())), deliver.DefaultLimits)
	t.Cleanup(client.Close)
	return &gateway{own, client}, issued
}

func (g *gateway) sign(t *testing.T, p form.Payload) []byte {
	t.Helper()
	encoded, err := wire.Encode(&p)
	require.NoError(t, err)
	return g.signBytes(t, encoded)
}

func (g *gateway) signBytes(t *testing.T, encoded []byte) []byte {
	t.Helper()
	signed, err := wire.Sign(encoded, g.Signature.Signer, g.Signature.KeyID())
	require.NoError(t, err)
	return signed
}

func (b *bench) deliver(t *testing.T, p form.Payload) deliver.Result {
	t.Helper()
	return b.put(t, wire.ID(&p), b.gateway.sign(t, p))
}

func (b *bench) put(t *testing.T, id string, body []byte) deliver.Result {
	t.Helper()
	return b.gateway.client.Put(t.Context(), b.headend.Endpoint(), id, body)
}

// october is row 7 of October 2026 for the network operator: nothing was
// read, and that is said.
func october(t *testing.T) form.Payload {
	t.Helper()
	file := filepath.Join(t.TempDir(), "contract.toml")
	require.NoError(t, os.WriteFile(file, []byte(configtest.ClassB), 0o600))
	c, err := config.LoadContract(file)
	require.NoError(t, err)
	day := form.Date{Year: 2026, Month: time.November, Day: 1}
	for _, due := range form.Plan(c, day, day) {
		if due.Row == 7 && due.To == form.NB {
			p, err := c.Always().Build(due, nil)
			require.NoError(t, err)
			p.Gateway = "gateway-1"
			return p
		}
	}
	t.Fatal("the plan has no row 7 for the network operator")
	return form.Payload{}
}

func TestItStoresOnceAndSaysSo(t *testing.T) {
	b := newBench(t)
	p := october(t)

	first := b.deliver(t, p)
	require.NoError(t, first.Err)
	require.Equal(t, deliver.Stored, first.Outcome)
	require.WithinDuration(t, time.Now(), first.Date, time.Minute)

	again := b.deliver(t, p) // signed anew, so other bytes
	require.NoError(t, again.Err)
	require.Equal(t, deliver.AlreadyStored, again.Outcome)

	p.Notices = append(p.Notices, form.Notice{Kind: "store_damaged", From: p.Period.From, To: p.Period.To, Count: 1})
	other := b.deliver(t, p)
	require.Equal(t, deliver.Refused, other.Outcome)
	require.Equal(t, "urn:smgw:problem:conflict", other.Problem.Type)
	require.Equal(t, 409, other.Status)

	require.Len(t, b.deliveries(t), 1)
}

func TestDeliveriesReadTheSameEverywhere(t *testing.T) {
	b := newBench(t)
	p := october(t)
	before := time.Now()
	signed := b.gateway.sign(t, p)
	require.Equal(t, deliver.Stored, b.put(t, wire.ID(&p), signed).Outcome)

	own, err := b.headend.Deliveries()
	require.NoError(t, err)
	socket := b.deliveries(t)
	require.NoError(t, b.headend.Close())
	b.headend = nil
	rest, err := headend.Dump(b.dir)
	require.NoError(t, err)

	require.Equal(t, own, socket)
	require.Equal(t, own, rest)
	require.Len(t, own, 1)
	d := own[0]
	require.Equal(t, wire.ID(&p), d.ID)
	require.Len(t, signed, d.Bytes)
	require.False(t, d.Received.Before(before.Truncate(time.Millisecond)))
	require.Equal(t, p.MaLo, d.Payload.MaLo)
	require.Equal(t, p.Period, d.Payload.Period)
}

func (b *bench) deliveries(t *testing.T) []headend.Delivery {
	t.Helper()
	all, err := b.control.Deliveries(t.Context())
	require.NoError(t, err)
	return all
}

func TestItRefusesWhatIsNotRight(t *testing.T) {
	b := newBench(t)
	other := b.enrol(t, "gateway-2")
	good := october(t)
	id := wire.ID(&good)
	changed := func(change func(*form.Payload)) form.Payload {
		p := good
		change(&p)
		return p
	}
	denied := changed(func(p *form.Payload) { p.Row = 8 })
	foreign := changed(func(p *form.Payload) { p.Gateway = "gateway-2" })
	forged := b.gateway.sign(t, good)
	forged[len(forged)-1] ^= 1
	wrongKey, err := wire.Sign(must(wire.Encode(&good)), other.Signature.Signer, b.gateway.Signature.KeyID())
	require.NoError(t, err)

	tests := []struct {
		name    string
		id      string
		body    []byte
		outcome deliver.Outcome
		status  int
		problem string
	}{
		{"what the contract does not permit", wire.ID(&denied), b.gateway.sign(t, denied), deliver.Refused, 422, "not-permitted"},
		{"what is another gateway's", wire.ID(&foreign), b.gateway.sign(t, foreign), deliver.Refused, 422, "other-gateway"},
		{"an id that is not the payload's", "00000000000000000000000000000000", b.gateway.sign(t, good), deliver.Refused, 400, "id-mismatch"},
		{"a broken signature", id, forged, deliver.Refused, 400, "bad-signature"},
		{"a signature of another key under our key's name", id, wrongKey, deliver.Refused, 400, "bad-signature"},
		{"a signature key that is not enrolled, which may change", id, other.sign(t, good), deliver.Failed, 403, "unknown-key"},
		{"bytes that are no COSE", id, []byte("payload"), deliver.Refused, 400, "malformed"},
		{"nothing", id, nil, deliver.Refused, 400, "malformed"},
		{"a signed thing that is no payload", id, b.gateway.signBytes(t, []byte{0xa0}), deliver.Refused, 400, "malformed"},
		{"too much", id, make([]byte, headend.MaxBody+1), deliver.Refused, 413, "too-large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := b.put(t, tt.id, tt.body)
			require.Equal(t, tt.status, result.Status, "%v", result.Err)
			require.NotNil(t, result.Problem)
			require.Equal(t, deliver.ProblemPrefix+tt.problem, result.Problem.Type)
			require.Equal(t, tt.outcome, result.Outcome)
		})
	}
	require.Empty(t, b.deliveries(t))
}

func TestItJudgesByTheContractThatHeld(t *testing.T) {
	b := newBench(t)
	folder := filepath.Join(b.dir, "gateways", "gateway-1")
	later := strings.Replace(configtest.ClassB, "[contract]\n", "[contract]\nfrom = \"2026-10-15\"\n", 1)
	c, err := config.ParseContract([]byte(configtest.ClassB))
	require.NoError(t, err)
	old, ok := c.MarketLocations[0].Receiver(form.NB)
	require.True(t, ok)
	later = strings.ReplaceAll(later, old.PartnerID.String(), "9900357000099")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "contract-2026-10-15.toml"), []byte(later), 0o600))

	h, err := config.LoadHistory(filepath.Join(folder, "contract.toml"), filepath.Join(folder, "contract-2026-10-15.toml"))
	require.NoError(t, err)
	first := form.Date{Year: 2026, Month: time.October, Day: 1}
	parts := 0
	for _, due := range h.Settled(first.Midnight(), first.FirstOfNextMonth().Midnight()) {
		if due.Row != 7 || due.To != form.NB {
			continue
		}
		p, err := h.Build(due, nil)
		require.NoError(t, err)
		p.Gateway = "gateway-1"
		require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
		parts++
	}
	require.Equal(t, 2, parts)

	whole := b.deliver(t, october(t))
	require.Equal(t, 422, whole.Status, "it has days of another network operator")
	require.Contains(t, whole.Problem.Detail, "NB is market partner 9900357000099")
}

func TestNoChangedByteGetsIn(t *testing.T) {
	b := newBench(t)
	p := october(t)
	id, signed := wire.ID(&p), b.gateway.sign(t, p)
	rapid.Check(t, func(rt *rapid.T) {
		body := bytes.Clone(signed)
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			i := rapid.IntRange(0, len(body)-1).Draw(rt, "at")
			body[i] ^= rapid.ByteRange(1, 255).Draw(rt, "by")
		}
		if bytes.Equal(body, signed) {
			rt.Skip("changed back")
		}
		result := b.gateway.client.Put(t.Context(), b.headend.Endpoint(), id, body)
		if result.Status != 400 && result.Status != 403 {
			rt.Fatalf("status %d: %v", result.Status, result.Err)
		}
	})
	require.Empty(t, b.deliveries(t))
}

func TestItKnowsOnlyEnrolledCertificates(t *testing.T) {
	b := newBench(t)
	p := october(t)
	body := b.gateway.sign(t, p)
	for name, id := range map[string]string{"unknown": "gateway-9", "same name, other certificate": "gateway-1"} {
		t.Run(name, func(t *testing.T) {
			stranger, _ := b.stranger(t, id)
			result := stranger.client.Put(t.Context(), b.headend.Endpoint(), wire.ID(&p), body)
			require.Equal(t, deliver.Failed, result.Outcome)
			require.Equal(t, 403, result.Status)
			require.Equal(t, "urn:smgw:problem:unknown-gateway", result.Problem.Type)
		})
	}
	require.Empty(t, b.deliveries(t))
}

// A contract that is enrolled to hold from another day stands beside the one
// before it, and one from the same day takes its place.
func TestANewContractKeepsTheOneBefore(t *testing.T) {
	b := newBench(t)
	g, issued := b.stranger(t, "gateway-1")
	folder := filepath.Join(b.dir, "gateways", "gateway-1")
	enrol := func(contract string) (string, error) {
		file := filepath.Join(t.TempDir(), "smgw.toml")
		require.NoError(t, os.WriteFile(file, []byte(contract), 0o600))
		return headend.Enrol(b.dir, "gateway-1", issued, file)
	}
	holds := func(contract, from string) string {
		return strings.Replace(contract, "[contract]", "[contract]\nfrom = \""+from+"\"", 1)
	}
	name, err := enrol(configtest.ClassB)
	require.NoError(t, err)
	require.Equal(t, "contract.toml", name)
	november := holds(strings.ReplaceAll(configtest.ClassB, "9900357000004", "9900357000042"), "2026-11-01")
	for range 2 {
		name, err = enrol(november)
		require.NoError(t, err)
		require.Equal(t, "contract-2026-11-01.toml", name)
	}
	first, err := os.ReadFile(filepath.Join(folder, "contract.toml"))
	require.NoError(t, err)
	require.Equal(t, configtest.ClassB, string(first))
	p := october(t) // for the supplier of October
	result := g.client.Put(t.Context(), b.headend.Endpoint(), wire.ID(&p), g.sign(t, p))
	require.Equal(t, deliver.Stored, result.Outcome, "%v", result.Err)

	// All versions have their day: what names none cannot be put beside them.
	require.NoError(t, os.Remove(filepath.Join(folder, "contract.toml")))
	_, err = enrol(configtest.ClassB)
	require.ErrorContains(t, err, `the new one does not say from when: want from = "2026-12-01" in its [contract]`)
	name, err = enrol(holds(configtest.ClassB, "2026-10-01"))
	require.NoError(t, err)
	require.Equal(t, "contract-2026-10-01.toml", name)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "contract-2026-10-01.toml"), []byte("torn"), 0o600))
	_, err = enrol(november)
	require.ErrorContains(t, err, "contract-2026-10-01.toml")
	require.ErrorContains(t, err, "mend or remove it")
}

func TestARenewedCertificateCountsBesideTheOldOne(t *testing.T) {
	b := newBench(t)
	p := october(t)
	renewed, issued := b.stranger(t, "gateway-1")
	folder := filepath.Join(b.dir, "gateways", "gateway-1")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tls-2.cert.pem"), issued.TLS, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "signature-2.cert.pem"), issued.Signature, 0o600))

	result := renewed.client.Put(t.Context(), b.headend.Endpoint(), wire.ID(&p), b.gateway.sign(t, p))
	require.Equal(t, deliver.Stored, result.Outcome, "%v", result.Err)
	result = b.put(t, wire.ID(&p), renewed.sign(t, p))
	require.Equal(t, deliver.AlreadyStored, result.Outcome, "%v", result.Err)
}

func TestWhatIsHereStaysAcknowledgedWhenTheContractChanges(t *testing.T) {
	b := newBench(t)
	p := october(t)
	require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
	file := filepath.Join(b.dir, "gateways", "gateway-1", "contract.toml")
	require.NoError(t, os.WriteFile(file, []byte(configtest.ClassA), 0o600))
	require.Equal(t, deliver.AlreadyStored, b.deliver(t, p).Outcome)
}

func TestItSurvivesARestart(t *testing.T) {
	b := newBench(t)
	p := october(t)
	require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
	require.NoError(t, b.headend.Close())
	b.open(t, "127.0.0.1:0")
	require.Equal(t, deliver.AlreadyStored, b.deliver(t, p).Outcome)
}

func TestASecondHeadEndOnTheSameFolderIsTold(t *testing.T) {
	b := newBench(t)
	_, err := headend.Open(headend.Options{Dir: b.dir, Listen: "127.0.0.1:0"})
	require.ErrorContains(t, err, "another head-end")
}

func TestItAsksEveryoneForACertificate(t *testing.T) {
	b := newBench(t)
	client := deliver.NewClient(&tls.Config{RootCAs: b.gateway.Roots, MinVersion: tls.VersionTLS12}, deliver.DefaultLimits)
	defer client.Close()
	p := october(t)
	result := client.Put(t.Context(), b.headend.Endpoint(), wire.ID(&p), b.gateway.sign(t, p))
	require.Equal(t, deliver.OwnCertificate, result.Cause, "%v", result.Err)
}

func TestFaults(t *testing.T) {
	t.Run("down: refuses, and comes back on the same port", func(t *testing.T) {
		b := newBench(t)
		endpoint := b.headend.Endpoint()
		p := october(t)
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{Down: true}))
		result := b.deliver(t, p)
		require.Equal(t, deliver.Unreachable, result.Cause)
		require.ErrorContains(t, result.Err, "connection refused")
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{}))
		require.Equal(t, endpoint, b.headend.Endpoint())
		require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
	})
	t.Run("down: cuts the connections there are", func(t *testing.T) {
		b := newBench(t)
		p := october(t)
		require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{Down: true}))
		require.Equal(t, deliver.Failed, b.deliver(t, p).Outcome)
	})
	t.Run("lost acknowledgement: stores, and says so only the next time", func(t *testing.T) {
		b := newBench(t)
		p := october(t)
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{LoseAck: true, Times: 1}))
		lost := b.deliver(t, p)
		require.Equal(t, deliver.Failed, lost.Outcome)
		require.Equal(t, deliver.Unreachable, lost.Cause, "%v", lost.Err)
		require.Len(t, b.deliveries(t), 1)
		require.Equal(t, deliver.AlreadyStored, b.deliver(t, p).Outcome)
	})
	t.Run("a status with Retry-After, so many times", func(t *testing.T) {
		b := newBench(t)
		p := october(t)
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{Status: 503, RetryAfter: headend.Pause(90 * time.Second), Times: 2}))
		for range 2 {
			result := b.deliver(t, p)
			require.Equal(t, 503, result.Status)
			require.Equal(t, 90*time.Second, result.RetryAfter)
		}
		require.Equal(t, deliver.Stored, b.deliver(t, p).Outcome)
	})
	t.Run("slow: a client's patience ends first, and closing does not wait", func(t *testing.T) {
		b := newBench(t)
		p := october(t)
		require.NoError(t, b.control.SetFaults(t.Context(), headend.Faults{Slow: headend.Pause(time.Hour)}))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		result := b.gateway.client.Put(ctx, b.headend.Endpoint(), wire.ID(&p), b.gateway.sign(t, p))
		require.Equal(t, deliver.Failed, result.Outcome)
		require.Empty(t, b.deliveries(t))
	})
	t.Run("what makes no sense is refused, and nothing changes", func(t *testing.T) {
		b := newBench(t)
		for _, f := range []headend.Faults{{Status: 200}, {RetryAfter: 1}, {Down: true, Times: 3}, {Slow: -1}} {
			require.ErrorContains(t, b.control.SetFaults(t.Context(), f), "fault: ")
		}
		now, err := b.control.Faults(t.Context())
		require.NoError(t, err)
		require.Equal(t, headend.Faults{}, now)
	})
}

func TestTheControlSocketTellsTheEndpoint(t *testing.T) {
	b := newBench(t)
	endpoint, err := b.control.Endpoint(t.Context())
	require.NoError(t, err)
	require.Equal(t, b.headend.Endpoint(), endpoint)
}

func TestAControlSocketThatAKilledHeadEndLeftIsTakenOver(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.headend.Close())
	socket := filepath.Join(t.TempDir(), "control")
	leaveSocket(t, socket)
	h, err := headend.Open(headend.Options{Dir: b.dir, Listen: "127.0.0.1:0", Control: socket})
	require.NoError(t, err)
	b.headend = h
	_, err = headend.NewControl(socket).Endpoint(t.Context())
	require.NoError(t, err)
	require.NoError(t, h.Close())
	b.headend = nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTheContractIsWrittenDown(t *testing.T) {
	page, err := os.ReadFile("../../../docs/headend.md")
	require.NoError(t, err)
	source, err := filepath.Glob("*.go")
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, file := range source {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`http\.Status\w+, "([a-z-]+)"`).FindAllSubmatch(text, -1) {
			kinds[string(m[1])] = true
		}
	}
	require.Len(t, kinds, 10)
	for kind := range kinds {
		require.Contains(t, string(page), "`"+deliver.ProblemPrefix+kind+"`")
	}
	require.Contains(t, string(page), fmt.Sprintf("(%d,%03d bytes)", headend.MaxBody/1000, headend.MaxBody%1000))
}
