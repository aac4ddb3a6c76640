package agent_test

import (
	"context"
	"errors"
	"net/http"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/tls/deliver"
)

// inside is a way to look into an agent's store.
func inside(a *agent.Agent) *control.Client { return control.Within(a.Handler(), "the agent") }

func (b *bench) items(c *control.Client, path string) (items []control.Item) {
	b.t.Helper()
	require.NoError(b.t, control.Each(b.t.Context(), c, path, func(it control.Item) error {
		items = append(items, it)
		return nil
	}))
	return items
}

func (b *bench) journal(kind string) (entries []buffer.Entry) {
	b.t.Helper()
	require.NoError(b.t, b.store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind == kind {
			entries = append(entries, e)
		}
		return true
	}))
	return entries
}

func TestPeopleDecideAboutWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		if endpoint == "https://supplier.test" {
			return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("no such contract")}
		}
		return sound(endpoint, id, now)
	}
	until := began.AddDays(6).At(12, 0)
	c := inside(b.play(b.home.Since(), until))
	refused := b.items(c, control.OutboxPath)
	require.GreaterOrEqual(t, len(refused), 2)
	for _, it := range refused {
		require.Equal(t, buffer.SetAside, it.State)
		require.Equal(t, "no such contract", it.LastError)
		require.Equal(t, "LF", it.Label["to"])
	}
	require.Greater(t, len(b.items(c, control.OutboxPath+"?all=1")), len(refused))

	var shown control.ItemContent
	require.NoError(t, c.Do(t.Context(), http.MethodGet, control.OutboxPath+"/"+refused[0].ID, &shown))
	require.NotEmpty(t, shown.Body)

	// One is sent again when the head-end is mended, one is given up.
	var decided control.Item
	again, never := refused[0].ID, refused[1].ID
	require.NoError(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/"+again+"/retry", &decided))
	require.Equal(t, buffer.Waiting, decided.State)
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/"+never+"/give-up", &decided), "reason")
	require.NoError(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/"+never+"/give-up?reason=sent+by+post", &decided))
	require.Equal(t, buffer.GivenUp, decided.State)
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/"+never+"/retry", &decided), "given up")
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/"+again+"/give-up?reason=x", &decided), "tried again by itself")
	require.ErrorContains(t, c.Do(t.Context(), http.MethodPost, control.OutboxPath+"/0815/retry", &decided), `no item "0815"`)

	b.answer = sound
	b.play(until.Add(time.Minute), until.Add(time.Hour))
	require.Contains(t, b.payloads, again)
	require.NotContains(t, b.payloads, never)

	// Each act is in the journal with who did it and what it was about.
	me, err := user.Current()
	require.NoError(t, err)
	for kind, id := range map[string]string{agent.Retried: again, agent.GivenUp: never} {
		entries := b.journal(kind)
		require.Len(t, entries, 1)
		require.Equal(t, id, entries[0].Detail["id"])
		require.Equal(t, me.Username, entries[0].Detail["who"])
		require.Equal(t, "6", entries[0].Detail["row"])
	}
	require.Equal(t, "sent by post", b.journal(agent.GivenUp)[0].Detail["reason"])
	looked := b.journal(agent.Looked)
	require.Len(t, looked, 1)
	require.Equal(t, "payload", looked[0].Detail["what"])
	require.NoError(t, b.store.VerifyJournal())
}

func TestJournalSaysWhatLeftAndWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), began.AddDays(4).At(12, 0))
	delivered := b.journal(agent.Delivered)
	require.Len(t, delivered, len(b.payloads))
	for _, e := range delivered {
		p := b.payloads[e.Detail["id"]]
		row, _ := p.Row.Row()
		require.Equal(t, map[string]string{
			"id": e.Detail["id"], "status": "201", "row": strconv.Itoa(int(p.Row)), "malo": p.MaLo.String(),
			"to": p.To.String(), "partner": p.PartnerID.String(), "revision": "0", "purpose": row.Purpose,
			"from": form.DateOf(p.Period.From.Time()).String(), "until": form.DateOf(p.Period.To.Time()).String(),
		}, e.Detail)
	}
}

func TestNobodyLooksUnseen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := inside(b.play(b.home.Since(), began.AddDays(1).At(1, 0)))
	for _, path := range []string{control.ReadingsPath + "?format=csv", control.DumpPath} {
		body, err := c.Ask(t.Context(), http.MethodGet, path)
		require.NoError(t, err)
		require.NoError(t, body.Close())
	}
	require.Len(t, b.journal(agent.Looked), 2)
	for _, path := range []string{control.StatusPath, control.StatsPath, control.JournalPath, control.VerifyPath, control.OutboxPath} {
		body, err := c.Ask(t.Context(), http.MethodGet, path)
		require.NoError(t, err)
		require.NoError(t, body.Close())
	}
	require.Len(t, b.journal(agent.Looked), 2, "figures and the journal itself are no measured values")

	// Who cannot be written down sees nothing.
	unwritten := &agent.Inspection{Store: b.store, Now: time.Now, Looked: func(buffer.Event) error { return errors.New("disk full") }}
	blind := control.Within(unwritten.Handler(), "the agent")
	for _, path := range []string{control.ReadingsPath + "?format=json", control.DumpPath} {
		_, err := blind.Ask(t.Context(), http.MethodGet, path)
		require.ErrorContains(t, err, "disk full")
	}
}

func TestQuestionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := inside(b.play(b.home.Since(), began.At(2, 0)))
	for path, want := range map[string]string{
		control.ReadingsPath:                                "want csv or json",
		control.ReadingsPath + "?format=csv&meter=roof":     `no reading of a meter "roof", but of main`,
		control.ReadingsPath + "?format=csv&from=yesterday": "want an instant",
		control.ReadingsPath + "?format=csv&columns=colour": `column "colour": want some of reason, method, server_id`,
		control.JournalPath + "?since=1":                    "want an instant",
	} {
		_, err := c.Ask(t.Context(), http.MethodGet, path)
		require.ErrorContains(t, err, want)
	}
	require.Empty(t, b.journal(agent.Looked))
	require.NoError(t, b.store.PutBoundary(meter.BoundaryReading{Meter: "roof", Boundary: meter.QuarterOf(began.At(0, 0))}))
	_, err := c.Ask(t.Context(), http.MethodGet, control.ReadingsPath+"?format=csv")
	require.ErrorContains(t, err, "choose main or roof with --meter")
}

// A program that asks over the socket learns from the status whether to ask
// otherwise, later, or somebody else.
func TestTheStatusOfAnAnswerMeansSomething(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answer = func(_, _ string, _ time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("no such contract")}
	}
	a := b.play(b.home.Since(), began.AddDays(4).At(12, 0))
	item := b.items(inside(a), control.OutboxPath)[0]
	give := control.OutboxPath + "/" + item.ID + "/give-up"
	supplyEnd := control.EventsPath + "?kind=supply_end&at="
	for _, asked := range []struct {
		status                int
		method, path, content string
	}{
		{http.StatusOK, "GET", control.StatusPath, ""},
		{http.StatusNotFound, "GET", "/v1/unheard-of", ""},
		{http.StatusMethodNotAllowed, "POST", control.StatusPath, ""},
		{http.StatusMethodNotAllowed, "POST", control.StatsPath, ""},
		{http.StatusMethodNotAllowed, "GET", control.DemandPath, ""},
		{http.StatusBadRequest, "GET", control.ReadingsPath + "?format=pdf", ""},
		{http.StatusBadRequest, "GET", control.ReadingsPath + "?format=csv&meter=roof", ""},
		{http.StatusBadRequest, "GET", control.JournalPath + "?since=yesterday", ""},
		{http.StatusNotFound, "GET", control.OutboxPath + "/0815", ""},
		{http.StatusNotFound, "POST", control.OutboxPath + "/0815/retry", ""},
		{http.StatusBadRequest, "POST", give, ""},
		{http.StatusOK, "POST", give + "?reason=because", ""},
		{http.StatusConflict, "POST", give + "?reason=because", ""},
		{http.StatusBadRequest, "POST", control.EventsPath + "?kind=moved", ""},
		{http.StatusBadRequest, "POST", supplyEnd + "2026-10-27T11:15:00Z", ""},
		{http.StatusBadRequest, "POST", supplyEnd + began.AddDays(9).Midnight().String() + "&malo=12345678901", ""},
		{http.StatusConflict, "POST", supplyEnd + began.AddDays(-9).Midnight().String(), ""},
		{http.StatusNotFound, "POST", control.EventsPath + "/0815/withdraw", ""},
		{http.StatusBadRequest, "POST", control.ImportPath + "?meter=roof", ""},
		{http.StatusBadRequest, "POST", control.ImportPath, "nonsense"},
		{http.StatusBadRequest, "POST", control.DemandPath + "?malo=1", ""},
		{http.StatusConflict, "POST", control.DemandPath + "?malo=41373559241", ""},
		{http.StatusConflict, "GET", control.DecommissionPath, ""},
		{http.StatusConflict, "POST", control.DecommissionPath + "/erase", ""},
	} {
		require.Equal(t, asked.status, b.status(a, asked.method, asked.path, asked.content), "%s %s", asked.method, asked.path)
	}
	require.NoError(t, b.store.Close())
	require.Equal(t, http.StatusInternalServerError, b.status(a, "GET", control.StatsPath, ""), "a store that fails is the agent's own")
}

// status asks an agent over a socket and returns the status of its answer.
func (b *bench) status(a *agent.Agent, method, path, content string) int {
	b.t.Helper()
	socket := filepath.Join(b.t.TempDir(), "s")
	l, err := control.Listen(socket)
	require.NoError(b.t, err)
	ctx, stop := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- control.Serve(ctx, l, a.Handler()) }()
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, strings.NewReader(content))
	require.NoError(b.t, err)
	answer, err := control.Transport(socket).RoundTrip(request)
	require.NoError(b.t, err)
	require.NoError(b.t, answer.Body.Close())
	stop()
	require.NoError(b.t, <-ended)
	return answer.StatusCode
}

// The anchor that retention signs is checked with the gateway's own key.
func TestVerdictOnTheJournal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.play(b.home.Since(), began.AddDays(4).At(12, 0))
	verdict := func(c *control.Client) (v control.JournalVerdict) {
		require.NoError(t, c.Do(t.Context(), http.MethodGet, control.VerifyPath, &v))
		return v
	}
	v := verdict(inside(a))
	require.True(t, v.OK)
	require.Nil(t, v.ErasedAt)
	_, err := b.store.Retain(b.clock.Now().Time.AddDate(0, 0, 1), buffer.Policy{Evidence: time.Hour, Key: b.key})
	require.NoError(t, err)
	b.play(began.AddDays(4).At(12, 1), began.AddDays(5).At(12, 0))
	v = verdict(inside(a))
	require.True(t, v.OK)
	require.NotNil(t, v.ErasedAt)
	require.Equal(t, v.ErasedUpTo+1, v.First)
	require.Equal(t, "signed by this gateway", v.Anchor)

	stranger := newBench(t)
	other := &agent.Inspection{Store: b.store, Now: time.Now, Keys: func() agent.SignatureKeys { return agent.SignatureKeys{Now: &stranger.key.PublicKey} }}
	v = verdict(control.Within(other.Handler(), "store"))
	require.False(t, v.OK)
	require.Contains(t, v.Problem, "not of this gateway")
	other.Keys = nil
	v = verdict(control.Within(other.Handler(), "store"))
	require.True(t, v.OK)
	require.Contains(t, v.Anchor, "not checked")

	_, err = b.store.Retain(b.clock.Now().Time.AddDate(0, 0, 1), buffer.Policy{Evidence: time.Hour})
	require.NoError(t, err)
	v = verdict(inside(a))
	require.False(t, v.OK)
	require.Contains(t, v.Problem, "not signed")
}
