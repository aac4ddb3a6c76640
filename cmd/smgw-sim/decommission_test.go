package main

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
)

// played is a line whose agent has read its meter to the end and was stopped.
func played(t *testing.T) *line {
	l := newLine(t)
	m := l.meter()
	a := l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(lineUntil)
	l.terminate(a)
	return l
}

func (l *line) stopHeadEnd() (listen string) {
	l.t.Helper()
	require.NoError(l.t, l.headEnd.Process.Kill())
	l.headEnd.Wait()
	endpoint, err := url.Parse(l.config.HeadEnd.Endpoint)
	require.NoError(l.t, err)
	return endpoint.Host
}

// waitLine reads what a process prints up to a line.
func (l *line) waitLine(out *bufio.Reader, with string) {
	l.t.Helper()
	for {
		text, err := out.ReadString('\n')
		require.NoError(l.t, err, "waiting for %q", with)
		if strings.Contains(text, with) {
			return
		}
	}
}

func (l *line) secrets() (files []string) {
	stores, err := filepath.Glob(agent.StorePath(l.config) + "*")
	require.NoError(l.t, err)
	keys, err := filepath.Glob(filepath.Join(agent.IdentityDir(l.config), "*"))
	require.NoError(l.t, err)
	return append(stores, keys...)
}

// A gateway ends its work, over two power cuts: nothing is erased before all is
// acknowledged, and then all of it is.
func TestDecommission(t *testing.T) {
	l := played(t)
	before, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	l.requireAllDue(before)
	secrets := l.secrets()
	require.GreaterOrEqual(t, len(secrets), 6)
	require.NoError(t, os.WriteFile(agent.StorePath(l.config)+".damaged-20261101", []byte("set aside"), 0o600))

	// The head-end is away: it says what waits, and erases nothing.
	listen := l.stopHeadEnd()
	out, err := l.command("smgw", "decommission", "--config", "smgw.toml", "--yes", "--timeout", "1s").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "payloads wait")
	require.Contains(t, string(out), "nothing is erased")
	require.Contains(t, string(out), "nothing listens there")
	require.Subset(t, l.secrets(), secrets)

	// The power goes while it waits; and an agent that starts meanwhile goes on.
	d, said := l.start("smgw", "decommission", "--config", "smgw.toml", "--yes")
	l.waitLine(said, " wait for https://")
	require.NoError(t, d.Process.Kill())
	d.Wait()
	require.Subset(t, l.secrets(), secrets)
	require.NoFileExists(t, agent.MarkerPath(l.config))

	l.startHeadEnd(listen)
	text := l.sh("smgw", "decommission", "--config", "smgw.toml", "--yes", "--export", "readings.csv")
	require.Contains(t, text, "everything is acknowledged")
	for _, file := range append(secrets, agent.StorePath(l.config)+".damaged-20261101") {
		require.Contains(t, text, "erased "+file+", ")
		require.NoFileExists(t, file)
	}
	require.Contains(t, text, "at the gateway that follows, on the day of its installation and after its first reading:\n  smgw import readings.csv --handover\n")
	require.NotContains(t, text, "LOST")
	require.NotContains(t, text, "NOT erased")
	require.Contains(t, text, "wear\nlevelling may keep remnants")
	require.Contains(t, text, "left smgw.toml")
	require.FileExists(t, l.path("smgw.toml"))

	// The head-end has what the end made due, and all of it ends there.
	f, err := os.Open(l.path("readings.csv"))
	require.NoError(t, err)
	defer f.Close()
	readings, err := meter.ReadTable(f)
	require.NoError(t, err)
	end := readings[len(readings)-1].Boundary
	after, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	var got []string
	for _, d := range after {
		if d.Payload.Period.To == end {
			got = append(got, fmt.Sprint(d.Payload.Row, d.Payload.MaLo, d.Payload.To, form.DateOf(d.Payload.Period.From.Time())))
			for _, v := range d.Payload.Values {
				require.NotEqual(t, form.Preliminary, v.State)
			}
		}
	}
	draw, feedIn := l.config.Contract.MarketLocations[0].MaLo, l.config.Contract.MarketLocations[1].MaLo
	today, first := form.DateOf(end.Time()), form.DateOf(end.Time()).FirstOfMonth()
	var want []string
	for _, w := range []struct {
		row  form.RowNumber
		malo form.MarketLocationID
		to   []form.Role
		from form.Date
	}{
		{1, draw, []form.Role{form.LF}, first},
		{3, draw, []form.Role{form.LF, form.NB}, first}, {3, feedIn, []form.Role{form.LF, form.NB}, first},
		{5, draw, []form.Role{form.NB, form.UENB}, today}, {5, feedIn, []form.Role{form.NB, form.UENB}, today},
		{6, draw, []form.Role{form.LF}, today}, {6, feedIn, []form.Role{form.LF}, today},
		{7, draw, []form.Role{form.LF, form.NB}, first}, {8, feedIn, []form.Role{form.AB}, first},
	} {
		for _, to := range w.to {
			want = append(want, fmt.Sprint(w.row, w.malo, to, w.from))
		}
	}
	require.ElementsMatch(t, want, got)
	require.Len(t, after, len(before)+len(want))

	// It stays so.
	run, err := l.command("smgw", "run", "--config", "smgw.toml").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(run), "gateway "+demoGateway+" was decommissioned at ")
	require.Contains(t, l.sh("smgw", "decommission", "--config", "smgw.toml", "--yes"), "there is nothing left to do")
}

// A running agent does it and ends well; what is forced is said to be lost.
func TestDecommissionOfARunningAgent(t *testing.T) {
	l := played(t)
	l.stopHeadEnd()
	a, _ := l.start("smgw", "run", "--config", "smgw.toml")
	_, err := l.waitStatus()
	require.NoError(t, err)
	text := l.sh("smgw", "decommission", "--config", "smgw.toml", "--yes", "--timeout", "0s", "--force")
	require.Contains(t, text, "LOST, never acknowledged: row ")
	require.Equal(t, 14, strings.Count(text, "LOST"))
	require.NoError(t, a.Wait())
	require.Empty(t, l.secrets())
	deliveries := headend.NewControl(l.path("headend.sock"))
	_, err = deliveries.Deliveries(t.Context())
	require.Error(t, err, "it was away all the time")

	// Erasing that was cut off is gone on with.
	require.NoError(t, os.WriteFile(agent.StorePath(l.config), []byte("left"), 0o600))
	marker, err := os.ReadFile(agent.MarkerPath(l.config))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(agent.MarkerPath(l.config), []byte(strings.Replace(string(marker), `"erased":true`, `"erased":false`, 1)), 0o600))
	run, err := l.command("smgw", "run", "--config", "smgw.toml").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(run), "smgw decommission goes on with it")
	require.Contains(t, l.sh("smgw", "decommission", "--config", "smgw.toml", "--yes"), "erased "+agent.StorePath(l.config)+", 4 bytes")
	require.Empty(t, l.secrets())
}

// waitStatus waits for an agent to answer.
func (l *line) waitStatus() (control.Status, error) {
	return waitFor(l.t.Context(), "the agent to answer", func(context.Context) (control.Status, error) { return l.status() })
}
