package agent_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

func (b *bench) decommission(c *control.Client) (f control.Farewell) {
	b.t.Helper()
	require.NoError(b.t, c.Do(b.t.Context(), http.MethodPost, control.DecommissionPath, &f))
	return f
}

// From the decision on nothing is read, and all that is due up to there is built,
// also what is preliminary for good.
func TestGatewayThatEndsSendsWhatIsDueUpToThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	until := form.Date{Year: 2026, Month: time.November, Day: 4}.At(15, 7)
	a := b.playWithGap(until)
	c := inside(a)
	var f control.Farewell
	require.ErrorContains(t, c.Do(t.Context(), http.MethodGet, control.DecommissionPath, &f), "is not being decommissioned")
	before := len(b.payloads)
	f = b.decommission(c)
	require.True(t, f.Built)
	require.Equal(t, meter.QuarterOf(until), f.End)
	b.end = f.End
	waiting, setAside := f.Waits()
	require.Zero(t, setAside)
	require.Equal(t, f, b.decommission(c), "asked twice it is one")
	until4th := map[string]int{}
	for _, it := range b.items(c, control.OutboxPath) {
		require.Zero(t, it.Attempts, "ready, and not tried yet")
		require.False(t, it.NotBefore.After(until))
		until4th[it.Label["from"]+" – "+it.Label["until"]]++
	}
	require.Equal(t, map[string]int{"2026-11-01 – 2026-11-04 15:00": 5, "2026-11-04 – 2026-11-04 15:00": 3, "2026-10-23 – 2026-11-01": 2}, until4th,
		"a part of a day says its clock time")
	status, err := a.Status()
	require.NoError(t, err)
	require.Equal(t, &f, status.Decommission)
	const late = "is being decommissioned"
	_, err = b.tell(c, form.SupplyEnds, form.Date{Year: 2026, Month: time.November, Day: 4}.Midnight())
	require.ErrorContains(t, err, late, "nothing would come of it")
	_, err = b.imports(c, b.table(meter.QuarterOf(gapFrom)+1, meter.QuarterOf(gapTo), sim.Models[0].Device))
	require.ErrorContains(t, err, late)
	require.Nil(t, status.NextDue)
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.DecommissionPath+"/erase", nil), "nothing is erased before all is acknowledged")

	// Over a power cut.
	b.reopen()
	a = b.play(until.Add(time.Minute), until.Add(5*time.Hour))
	require.Len(t, b.payloads, before+waiting)
	last, _, err := b.store.LastBoundary("main")
	require.NoError(t, err)
	require.Equal(t, f.End, last.Boundary, "it reads no more")
	got := map[form.RowNumber]int{}
	for _, p := range b.payloads {
		if p.Period.To == f.End {
			got[p.Row]++
		}
		require.LessOrEqual(t, p.Period.To, f.End)
	}
	require.Equal(t, map[form.RowNumber]int{1: 1, 3: 2, 5: 2, 6: 1, 7: 2}, got)
	settled := b.take(revision(1))
	require.Len(t, settled, 2, "October's maximum power, for NB and LF")
	for _, p := range settled {
		require.True(t, p.Values[1].Final)
	}
	require.NoError(t, inside(a).Do(t.Context(), http.MethodGet, control.DecommissionPath, &f))
	require.Empty(t, f.Endpoints)
	require.Len(t, b.journal(agent.Decommissioning), 1)
}

// What is preliminary for good of an earlier contract goes to its receiver, whose
// queue nobody has emptied since the last start.
func TestGatewayThatEndsSendsWhatEarlierReceiversGet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	changed := began.AddDays(7).At(15, 0)
	b.playWithGap(changed)
	b.configure(supplier, supplierNow)
	at := changed.AddDate(0, 0, 4)
	b.play(changed.Add(time.Minute), at)
	a := b.play(at.Add(time.Minute), at.Add(time.Hour))
	served := func() (all []string) {
		status, err := a.Status()
		require.NoError(t, err)
		for _, e := range status.Endpoints {
			all = append(all, e.Endpoint)
		}
		return all
	}
	require.NotContains(t, served(), "https://supplier.test")
	var waits []string
	for _, e := range b.decommission(inside(a)).Endpoints {
		waits = append(waits, e.Endpoint)
	}
	require.Contains(t, waits, "https://supplier.test")
	require.Equal(t, waits, served())
}

// A meter that has been silent ends nothing before what was built without it.
func TestGatewayOfASilentMeterEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	silent := form.Date{Year: 2026, Month: time.October, Day: 29}.At(15, 7)
	b.play(b.home.Since(), silent)
	again := form.Date{Year: 2026, Month: time.November, Day: 4}.At(7, 7)
	f := b.decommission(inside(b.play(again, again)))
	require.Empty(t, f.Problem)
	require.True(t, f.Built)
	require.Equal(t, form.DateOf(again).Midnight(), f.End)
	b.end = f.End
	b.play(again.Add(time.Minute), again.Add(5*time.Hour))
	events := b.take(func(p *form.Payload) bool { return p.Row == 3 })
	require.NotEmpty(t, events)
	for _, p := range events {
		require.Equal(t, meter.QuarterOf(silent), p.Period.To, "the last reading is told")
		require.Equal(t, form.True, p.Values[len(p.Values)-1].State)
	}
	for _, p := range b.take(revision(1)) {
		require.True(t, p.Values[1].Final, "October's maximum power")
	}
}

// Where a supplier's part ends with the gateway's work, the others' end there too.
func TestGatewayThatEndsWithASupply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	change := form.Date{Year: 2026, Month: time.November, Day: 4}
	b.play(b.home.Since(), change.AddDays(-1).At(12, 0))
	b.configure(supplier, supplierNow)
	until := change.At(0, 7)
	c := inside(b.play(change.AddDays(-1).At(12, 1), until))
	require.Equal(t, change.Midnight(), b.decommission(c).End)
	got := map[string]int{}
	for _, it := range b.items(c, control.OutboxPath) {
		if it.Label["from"] != it.Label["until"] {
			require.Equal(t, change.String(), it.Label["until"])
			got[it.Label["row"]+" "+it.Label["to"]]++
		}
	}
	require.Equal(t, map[string]int{"1 LF": 1, "3 LF": 1, "3 NB": 1, "5 NB": 1, "5 ÜNB": 1, "6 LF": 1, "7 LF": 1, "7 NB": 1}, got)
}

// What was refused for good waits for a person also when the gateway ends.
func TestRefusedPayloadsKeepAGatewayFromEnding(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("no such contract")}
	}
	until := began.AddDays(1).At(15, 0)
	b.decommission(inside(b.play(b.home.Since(), until)))
	c := inside(b.play(until.Add(time.Minute), until.Add(time.Hour)))
	f := b.decommission(c)
	waiting, setAside := f.Waits()
	require.Zero(t, waiting)
	require.NotZero(t, setAside)
	require.Error(t, c.Do(t.Context(), http.MethodPost, control.DecommissionPath+"/erase", nil))
}

// Erasing reaches what links name, and leaves what is not the gateway's.
func TestErasingReachesEveryFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	state, elsewhere := b.config.Gateway.StateDir, filepath.Join(t.TempDir(), "key.pem")
	identity := agent.IdentityDir(b.config)
	require.NoError(t, os.MkdirAll(filepath.Join(identity, "older"), 0o700))
	write := func(path string) string {
		require.NoError(t, os.WriteFile(path, make([]byte, 100_000), 0o600))
		return path
	}
	gone := []string{
		agent.StorePath(b.config), write(agent.StorePath(b.config) + ".damaged-20261101"), write(agent.StorePath(b.config) + ".schema2-20261101"),
		write(filepath.Join(identity, "tls.key.pem")), write(filepath.Join(identity, "older", "tls.key.pem")), write(elsewhere),
	}
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(identity, "signature.key.pem")))
	note := write(filepath.Join(state, "note.txt"))

	erased, err := agent.Erase(b.config, b.store, "me", time.Now())
	require.NoError(t, err)
	for _, path := range gone {
		require.NoFileExists(t, path)
	}
	require.NoDirExists(t, identity)
	require.Len(t, erased.Files, len(gone))
	for _, f := range erased.Files {
		require.Empty(t, f.Problem)
		require.NotZero(t, f.Bytes)
	}
	require.Contains(t, erased.Left, note)
	require.Contains(t, erased.Left, b.config.File)
	require.FileExists(t, note)
	marker, err := agent.ReadMarker(b.config)
	require.NoError(t, err)
	require.True(t, marker.Erased)
	require.Equal(t, "me", marker.By)
}
