package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// line is a whole line of separate processes: simulated meter, gateway's agent
// and head-end, on a pseudo-terminal and loopback. Everything is done with the
// programs as they are shipped.
type line struct {
	t       *testing.T
	bin     string
	dir     string
	config  *config.Config
	headEnd *exec.Cmd
	control *headend.Control
	until   string // the last telegram
}

const (
	lineFrom  = "2026-10-30T00:00:00+01:00" // a Friday
	lineUntil = "2026-11-02T13:00:00+01:00" // the Monday after, past a month's end and its due times
)

// newLine makes the line; certificate are flags for the head-end's certificate.
func newLine(t *testing.T, certificate ...string) *line {
	return newLineOf(t, demoContract, certificate...)
}

func newLineOf(t *testing.T, contract []byte, certificate ...string) *line {
	l := &line{t: t, bin: buildPrograms(t), dir: t.TempDir(), until: lineUntil}
	l.sh("smgw-sim", "pki", "init", "--pki", "pki", "--headend", "headend")
	l.sh("smgw-sim", append([]string{"pki", "headend", "--pki", "pki", "--headend", "headend"}, certificate...)...)
	l.sh("smgw", "identity", "create", "--dir", "gateway/identity", "--gateway", demoGateway)
	require.NoError(t, os.WriteFile(l.path("contract.toml"), contract, 0o644))
	l.sh("smgw-sim", "pki", "enrol", "--pki", "pki", "--headend", "headend", "--identity", "gateway/identity", "--contract", "contract.toml")

	endpoint := l.startHeadEnd("127.0.0.1:0")
	l.control = headend.NewControl(l.path("headend.sock"))
	text := fmt.Sprintf("[gateway]\nid = %q\nstate_dir = %q\n[[meter]]\nport = %q\n[headend]\nendpoint = %q\n",
		demoGateway, l.path("gateway"), "serial:"+l.path("meter.tty"), endpoint) + string(contract)
	require.NoError(t, os.WriteFile(l.path("smgw.toml"), []byte(text), 0o644))
	var err error
	l.config, err = config.Load(l.path("smgw.toml"))
	require.NoError(t, err)
	return l
}

// startHeadEnd starts the head-end and returns its endpoint.
func (l *line) startHeadEnd(listen string) string {
	l.t.Helper()
	var out *bufio.Reader
	l.headEnd, out = l.start("smgw-sim", "headend", "--dir", "headend", "--control", "headend.sock", "--listen", listen)
	endpoint, err := out.ReadString('\n')
	require.NoError(l.t, err)
	return strings.TrimSpace(endpoint)
}

func (l *line) path(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

func (l *line) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.bin, name), args...)
	cmd.Dir = l.dir
	return cmd
}

// sh runs a command to its end and returns what it printed.
func (l *line) sh(name string, args ...string) string {
	l.t.Helper()
	out, err := l.command(name, args...).CombinedOutput()
	require.NoError(l.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// start starts a process that lives until the test ends, and returns its
// standard output.
func (l *line) start(name string, args ...string) (*exec.Cmd, *bufio.Reader) {
	l.t.Helper()
	cmd := l.command(name, args...)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	r, w, err := os.Pipe()
	require.NoError(l.t, err)
	cmd.Stdout = w
	require.NoError(l.t, cmd.Start())
	w.Close()
	l.t.Cleanup(func() {
		cmd.Process.Kill() // where the test has not stopped it yet
		cmd.Wait()
		r.Close()
		if l.t.Failed() {
			l.t.Logf("%s %s:\n%s", name, strings.Join(args, " "), log)
		}
	})
	return cmd, bufio.NewReader(r)
}

// terminate stops a process as a service manager does; it must end well.
func (l *line) terminate(cmd *exec.Cmd) {
	l.t.Helper()
	require.NoError(l.t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(l.t, cmd.Wait())
}

// meter starts the simulated meter over the line's span, as fast as it is read.
func (l *line) meter(args ...string) *exec.Cmd {
	l.t.Helper()
	cmd, out := l.start("smgw-sim", append([]string{"meter", "--fast", "--roof", "--interval", "10s", "--link", "meter.tty",
		"--start", lineFrom, "--until", l.until, "--registers", "registers.csv"}, args...)...)
	_, err := out.ReadString('\n')
	require.NoError(l.t, err)
	return cmd
}

func (l *line) agent() *exec.Cmd {
	l.t.Helper()
	cmd, _ := l.start("smgw-sim", "agent", "--config", "smgw.toml", "--zero", lineFrom)
	return cmd
}

func (l *line) status() (s control.Status, err error) {
	err = control.Get(l.t.Context(), agent.SocketPath(l.config), control.StatusPath, &s)
	return s, err
}

// waitUntil waits for the agent to have read up to an instant, one telegram of
// grace allowed, which noise may have spoiled.
func (l *line) waitUntil(instant string) {
	l.t.Helper()
	at, err := time.Parse(time.RFC3339, instant)
	require.NoError(l.t, err)
	_, err = waitFor(l.t.Context(), "the agent to be at "+instant, func(context.Context) (struct{}, error) {
		s, err := l.status()
		if err == nil && s.Now.Time.Before(at.Add(-time.Minute)) {
			err = fmt.Errorf("it is at %s", s.Now.Time)
		}
		return struct{}{}, err
	})
	require.NoError(l.t, err)
}

// requireAllDue checks that the head-end has what was due, each once.
func (l *line) requireAllDue(deliveries []headend.Delivery) {
	l.t.Helper()
	start, _ := time.Parse(time.RFC3339, lineFrom)
	until, _ := time.Parse(time.RFC3339, l.until)
	var want, got []string
	h := form.History{Versions: []form.Version{{From: meter.QuarterOf(start), Contract: &l.config.Contract}}}
	for _, d := range h.Plan(form.DateOf(start), form.DateOf(until)) {
		if !d.At.After(until) {
			want = append(want, fmt.Sprint(d.Row, d.MaLo, d.To, d.Period))
		}
	}
	for _, d := range deliveries {
		if d.Payload.Revision > 0 {
			continue // what kills left preliminary is settled on the 8th
		}
		got = append(got, fmt.Sprint(d.Payload.Row, d.Payload.MaLo, d.Payload.To, d.Payload.Period))
	}
	require.NotEmpty(l.t, want)
	require.ElementsMatch(l.t, want, got)
}

// counted is what the simulated meter says it counted at each boundary, in Wh.
func (l *line) counted(code obis.Code) map[meter.Quarter]decimal.Decimal {
	l.t.Helper()
	f, err := os.Open(l.path("registers.csv"))
	require.NoError(l.t, err)
	defer f.Close()
	readings, err := meter.ReadTable(f)
	require.NoError(l.t, err)
	registers := map[meter.Quarter]decimal.Decimal{}
	for i := range readings {
		if v, ok := readings[i].Register(code); ok {
			registers[readings[i].Boundary] = v
		}
	}
	return registers
}

func TestFromTheMetersLightToTheHeadEndsBooks(t *testing.T) {
	l := newLine(t)
	m := l.meter("--noise", "0.005")
	a := l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(lineUntil)

	deliveries, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	l.requireAllDue(deliveries)
	for _, location := range l.config.Contract.MarketLocations {
		registers := l.counted(map[form.Direction]obis.Code{form.Draw: obis.Drawn, form.FeedIn: obis.FedIn}[location.Direction])
		sum, n := decimal.Zero, meter.Quarter(0)
		for _, d := range deliveries {
			if d.Payload.MaLo != location.MaLo || d.Payload.Row != 6 {
				continue
			}
			for _, i := range d.Payload.Values[0].Intervals {
				require.Equal(t, form.True, i.State)
				sum = sum.Add(i.Amount.Decimal.Shift(3))
				n++
			}
		}
		require.Equal(t, meter.Quarter(3*96), n)
		first := meter.QuarterOf(mustTime(t, lineFrom))
		require.Equal(t, registers[first+n].Sub(registers[first]).String(), sum.String(), location.Direction)
		require.True(t, sum.IsPositive())
	}

	// What people and programs see of it.
	require.Contains(t, l.sh("smgw", "status", "--config", "smgw.toml"), "0 waiting")
	require.Contains(t, l.sh("smgw", "status", "--config", "smgw.toml", "--json"), `"gateway":"`+demoGateway+`"`)
	require.Contains(t, l.sh("smgw", "journal", "--config", "smgw.toml"), "delivered")

	// A second agent is told who holds the store, and does not wait for ever.
	out, err := l.command("smgw-sim", "agent", "--config", "smgw.toml", "--zero", lineFrom).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "in use")
	l.terminate(a)
}

// A head-end that cannot prove who it is gets nothing: it is refused, said, and
// what is due waits.
func TestHeadEndWithAWrongCertificate(t *testing.T) {
	l := newLine(t, "--flaw", "root")
	m := l.meter()
	a := l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(lineUntil)
	deliveries, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	require.Empty(t, deliveries)
	s, err := l.status()
	require.NoError(t, err)
	require.Contains(t, s.Causes, board.HeadEndUnreachable)
	require.NotZero(t, s.Endpoints[0].Waiting)
	require.Contains(t, s.Endpoints[0].LastError, "certificate")
	l.terminate(a)
}

// The agent of the gateway itself, in real time: it reads within seconds, says
// so, and stops.
func TestRunInRealTime(t *testing.T) {
	l := newLine(t)
	_, out := l.start("smgw-sim", "meter", "--link", "meter.tty")
	_, err := out.ReadString('\n')
	require.NoError(t, err)
	figures := freeAddress(t)
	text, err := os.ReadFile(l.path("smgw.toml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(l.path("smgw.toml"), append(text, "\n[metrics]\nlisten = \""+figures+"\"\n"...), 0o644))
	a, _ := l.start("smgw", "run", "--config", "smgw.toml")
	_, err = waitFor(t.Context(), "the first reading and a greeting of the head-end", func(context.Context) (struct{}, error) {
		s, err := l.status()
		if err == nil && (s.Meters[0].LastReading == nil || s.Endpoints[0].Reached == nil) {
			err = fmt.Errorf("not yet both")
		}
		return struct{}{}, err
	})
	require.NoError(t, err)
	require.Contains(t, l.sh("smgw", "status", "--config", "smgw.toml"), "1-0:1.8.0")

	// Who collects figures gets them at both places, and at the address nothing else.
	answer, err := control.Dial(agent.SocketPath(l.config)).Ask(t.Context(), http.MethodGet, control.MetricsPath)
	require.NoError(t, err)
	requireFigures(t, answer)
	resp, err := http.Get("http://" + figures + control.MetricsPath)
	require.NoError(t, err)
	require.Equal(t, control.MetricsType, resp.Header.Get("Content-Type"))
	requireFigures(t, resp.Body)
	resp, err = http.Get("http://" + figures + control.StatusPath)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	l.terminate(a)
	out2, err := l.command("smgw", "status", "--config", "smgw.toml").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out2), "no agent is running")
}

func requireFigures(t *testing.T, from io.ReadCloser) {
	t.Helper()
	text, err := io.ReadAll(from)
	require.NoError(t, err)
	require.NoError(t, from.Close())
	require.Regexp(t, `(?m)^smgw_telegrams_total\{meter="main"\} [1-9]`, string(text))
	require.Regexp(t, `(?m)^smgw_stage_limit_seconds\{stage="sender"\} 300$`, string(text))
}

// freeAddress is a loopback address where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	require.NoError(t, err)
	return at
}

// A store that was damaged while nobody looked: the agent carries over what it
// can, goes on, and says so to people and to the head-end.
func TestAgentTellsOfADamagedStore(t *testing.T) {
	l := newLine(t)
	a := l.agent()
	m := l.meter()
	l.waitUntil("2026-10-31T20:00:00+01:00")
	require.NoError(t, a.Process.Kill())
	a.Wait()
	store, err := os.ReadFile(l.path("gateway", "store.db"))
	require.NoError(t, err)
	for at := 2*4096 + 100; at < len(store); at += 3 * 4096 { // a third of all pages
		store[at] ^= 0x40
	}
	require.NoError(t, os.WriteFile(l.path("gateway", "store.db"), store, 0o600))

	a = l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(lineUntil)
	s, err := l.status()
	require.NoError(t, err)
	require.NotEmpty(t, s.Store.Damage)
	require.FileExists(t, s.Store.DamagedFile)
	require.Contains(t, l.sh("smgw", "status", "--config", "smgw.toml"), "was damaged")
	deliveries, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	told := false
	for _, d := range deliveries {
		for _, n := range d.Payload.Notices {
			told = told || n.Kind == "store_damaged"
		}
	}
	require.True(t, told, "the head-end learns of it")
	l.terminate(a)
}
