package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/headend"
)

// What left the house can be built again from what is kept, by anyone, and
// looking is the same while the agent runs and when it does not.
func TestWhatIsKeptRebuildsWhatWasDelivered(t *testing.T) {
	l := newLine(t)
	m := l.meter("--noise", "0.02")
	a := l.agent()
	require.NoError(t, m.Wait())
	l.waitUntil(lineUntil)
	deliveries, err := l.control.Deliveries(t.Context())
	require.NoError(t, err)
	l.requireAllDue(deliveries)

	exported := l.smgw("export", "--csv", "--columns", "reason,server_id")
	require.NoError(t, os.WriteFile(l.path("readings.csv"), []byte(exported), 0o644))
	for _, d := range deliveries {
		l.requireRebuilt(d)
	}
	require.Equal(t, "time,obis,value,unit,state,offset_ms", strings.SplitN(l.smgw("export"), "\n", 2)[0])

	// One day is a local day with both its midnights.
	day := strings.Split(strings.TrimSpace(l.smgw("export", "--json", "--from", "2026-10-31", "--to", "2026-10-31")), "\n")
	require.Len(t, day, 2*97)
	require.Contains(t, day[0], `"time":"2026-10-30T23:00:00Z"`)
	require.Contains(t, day[len(day)-1], `"time":"2026-10-31T23:00:00Z"`)

	// The journal says what left, to whom, which row and why, and who looked.
	journal := l.smgw("journal")
	require.Contains(t, journal, "row 6 of 41373559241 for LF (9900357000004) from 2026-10-30 until 2026-11-02 for Bilanzierung, Abrechnung")
	require.Regexp(t, `looked +\S+ \(uid `+fmt.Sprint(os.Getuid())+`\) saw readings of meter main`, journal)
	require.Contains(t, l.smgw("journal", "verify"), "the chain is unbroken")
	require.NotContains(t, l.smgw("journal", "--since", "2026-11-02"), "agent_started")

	require.Contains(t, l.smgw("store", "check"), "is sound")
	require.NoFileExists(t, l.path("gateway", "store.db.check"))
	require.Contains(t, l.smgw("store", "compact"), "kB")
	require.Contains(t, l.smgw("store", "check"), "is sound")
	require.Contains(t, l.smgw("store", "stats"), "boundary readings")
	require.Contains(t, l.smgw("outbox"), "nothing waits")
	require.Contains(t, l.smgw("outbox", "list", "--all"), "acknowledged")
	require.Contains(t, l.smgw("check"), "The contract is the one that the running agent keeps since Fri 2026-10-30 00:00: nothing changes.")
	require.Regexp(t, `MSB → LF \(9900357000004\) .* 02\.11\.2026 \d\d:\d\d`, l.smgw("form", "show"))
	dumped := l.smgw("store", "dump", "--json")

	l.terminate(a)
	require.Equal(t, exported, l.smgw("export", "--csv", "--columns", "reason,server_id"))
	require.Equal(t, strings.Count(dumped, `{"boundary":`), strings.Count(l.smgw("store", "dump", "--json"), `{"boundary":`))
	require.Contains(t, l.smgw("store", "check"), "is sound")
	require.Contains(t, l.smgw("store", "stats"), "boundary readings")
	require.Contains(t, l.smgw("store", "compact"), "kB")
	require.Contains(t, l.smgw("journal", "verify"), "the chain is unbroken")
	require.Contains(t, l.smgw("check"), "the store keeps (no agent runs) since Fri 2026-10-30 00:00: nothing changes.")
	entries := strings.Split(strings.TrimSpace(l.smgw("journal")), "\n")
	require.Contains(t, entries[len(entries)-1], "saw dump", "a look at rest is written down as well")
}

// smgw runs a verb of the gateway on the line's configuration.
func (l *line) smgw(verb ...string) string {
	l.t.Helper()
	return l.sh("smgw", append(verb, "--config", "smgw.toml")...)
}

// requireRebuilt checks that a preview made from the exported readings says
// what was delivered, value by value.
func (l *line) requireRebuilt(d headend.Delivery) {
	l.t.Helper()
	p := d.Payload
	period := fmt.Sprintf("%s..%s", p.Period.From, p.Period.To) // the month begins with the gateway
	var built struct{ Values json.RawMessage }
	text := l.smgw("form", "preview", "--readings", "readings.csv", "--malo", p.MaLo.String(), "--row", fmt.Sprint(int(p.Row)), "--period", period, "--json")
	require.NoError(l.t, json.Unmarshal([]byte(text), &built))
	delivered, err := json.Marshal(p.Values)
	require.NoError(l.t, err)
	require.Equal(l.t, string(delivered), string(built.Values), "row %d of %s for %s, %s", p.Row, p.MaLo, p.To, period)
}
