package agent_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// newRoof is a bench with a roof whose contract has tables about momentary figures.
func newRoof(t *testing.T, tables string) *bench { return newRoofIn(t, quickDir(t), tables) }

func newRoofIn(t *testing.T, state, tables string) *bench {
	b := newBenchIn(t, state)
	path := filepath.Join(b.config.Gateway.StateDir, "smgw.toml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, strings.Replace(roofText, `"9900357000059"`, `"9900357000059", endpoint = "https://grid.test"`, 1)+tables...), 0o644))
	b.config, err = config.Load(path)
	require.NoError(t, err)
	b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0), RoofPeak: 8000})
	return b
}

// moments are the momentary figures of a row that came, by their instant.
func (b *bench) moments(row form.RowNumber) map[time.Time][]form.Value {
	b.t.Helper()
	got := map[time.Time][]form.Value{}
	for _, p := range b.payloads {
		if p.Row == row {
			require.Empty(b.t, got[p.Moment], p.Moment)
			require.Equal(b.t, form.NB, p.To)
			got[p.Moment] = p.Values
		}
	}
	return got
}

// fedIn is what the roof feeds in at an instant, in kW.
func (b *bench) fedIn(at time.Time) decimal.Decimal {
	return decimal.New(max(0, -b.home.Power(at)), -3)
}

const crossing = "[market_location.feed_in_power]\nevery = \"15m\"\nabove_kw = 3\nbelow_kw = 0.6\nhysteresis_kw = 0.4\n"

// expected is a model of row 9 with these tables: power by telegrams of each minute.
func (b *bench) expected(from, until time.Time) map[time.Time]string {
	want, band := map[time.Time]string{}, ""
	for at := from; !at.After(until); at = at.Add(time.Minute) {
		kw := b.fedIn(at).InexactFloat64()
		next := band
		switch {
		case kw > 3:
			next = "high"
		case kw < 0.6:
			next = "low"
		case band == "high" && kw <= 2.6, band == "low" && kw >= 1, band == "":
			next = "middle"
		}
		if next != band && band != "" || at.Minute()%15 == 0 {
			want[at.UTC()] = b.fedIn(at).String()
		}
		band = next
	}
	return want
}

func (b *bench) requireRow9(want map[time.Time]string) {
	b.t.Helper()
	got := map[time.Time]string{}
	for at, values := range b.moments(9) {
		require.Len(b.t, values, 1)
		require.Equal(b.t, obis.PowerFedIn, values[0].Code)
		require.Equal(b.t, form.True, values[0].State)
		require.Equal(b.t, "kW", values[0].Unit())
		got[at] = values[0].Amount.Decimal.String()
	}
	require.Equal(b.t, want, got)
}

// A contract that does not hold yet entitles nobody, also before anything was kept.
func TestNoMomentLeavesBeforeTheContractHolds(t *testing.T) {
	t.Parallel()
	b := newRoof(t, "[market_location.feed_in_power]\nevery = \"1m\"\n")
	b.configure("transformer_factor = 1", "transformer_factor = 1\nfrom = \""+began.AddDays(1).String()+"\"")
	b.play(began.At(0, 1), began.At(0, 10))
	require.Empty(t, b.payloads)
}

func TestRow9GoesOnTheClockAndAtCrossings(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	endpoints := map[string]bool{}
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		endpoints[endpoint] = true
		return sound(endpoint, id, now)
	}
	until := began.AddDays(4).At(12, 7)
	b.play(b.home.Since(), until)
	want := b.expected(b.home.Since(), until)
	b.requireRow9(want)
	quarters := int(until.Sub(b.home.Since())/meter.QuarterLength) + 1
	require.Greater(t, len(want), quarters+4, "thresholds are crossed")
	for id, p := range b.payloads {
		if p.Row == 9 {
			require.Equal(t, p.Moment, b.at[id], "nothing holds it up")
			require.Equal(t, "9900357000059", p.PartnerID.String())
		}
	}
	require.True(t, endpoints["https://grid.test"])

	// Its evidence is complete, and nothing that was measured is left of it.
	counted, single := 0, 0
	require.NoError(t, b.store.Flush())
	require.NoError(t, b.store.Journal(0, func(e buffer.Entry) bool {
		if e.Kind != agent.Delivered || e.Detail["row"] != "9" {
			return true
		}
		require.Equal(t, "Versorgungssicherheit", e.Detail["purpose"])
		require.Equal(t, "9900357000059", e.Detail["partner"])
		if n := e.Detail["count"]; n != "" {
			d, err := decimal.NewFromString(n)
			require.NoError(t, err)
			counted += int(d.IntPart())
			require.NotContains(t, e.Detail, "value")
		} else {
			single++
			require.Equal(t, "threshold", e.Detail["occasion"])
		}
		return true
	}))
	left := 0
	require.NoError(t, b.store.Items(func(it buffer.Item) bool {
		if it.Label["row"] == "9" {
			require.Equal(t, buffer.Acknowledged, it.State)
			require.ElementsMatch(t, []string{"row", "malo", "to", "purpose", "from", "until", "partner", "occasion", "moment"}, keys(it.Label))
			if it.Label["occasion"] == "periodic" {
				left++ // of this hour
			}
		}
		return true
	}))
	require.Equal(t, quarters, counted+left)
	require.Equal(t, len(want)-quarters, single)
	require.LessOrEqual(t, left, 4)
	require.NoError(t, b.store.VerifyJournal())
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// Where the power stood outlives the agent: a restart between two readings
// neither loses a crossing nor repeats one.
func TestCrossingsSurviveRestarts(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	until := began.AddDays(2).At(12, 7)
	for at := b.home.Since(); !at.After(until); at = at.Add(37 * time.Minute) {
		end := at.Add(36 * time.Minute)
		if end.After(until) {
			end = until
		}
		b.play(at, end)
		b.reopen()
	}
	b.requireRow9(b.expected(b.home.Since(), until))
}

func TestNoPowerIsNotZero(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	b.model = "itron" // whole kWh, no power
	b.play(b.home.Since(), began.At(14, 0))
	got := b.moments(9)
	require.Len(t, got, 14*4+1, "on the clock alone")
	for _, values := range got {
		require.Equal(t, form.Quantity{State: form.Missing, Reason: form.Resolution}, values[0].Quantity)
	}
}

func TestMomentWithoutAReadingNearIsMissing(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	b.play(b.home.Since(), began.At(10, 3))
	b.play(began.At(10, 31), began.At(10, 50)) // 10:15 passed unseen, 10:30 is too far off
	got := b.moments(9)
	require.NotContains(t, got, began.At(10, 15).UTC())
	require.Equal(t, form.Quantity{State: form.Missing, Reason: form.Communication}, got[began.At(10, 30).UTC()][0].Quantity)
	require.Equal(t, form.True, got[began.At(10, 45).UTC()][0].State)
}

// A meter that says nothing makes no figure, and that is told in time.
func TestSilentMeterHasNoPower(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	b.play(b.home.Since(), began.At(10, 0))
	clear(b.payloads)
	require.NoError(t, os.Truncate(strings.TrimPrefix(b.config.Meters[0].Port, "file:"), 0))
	require.NoError(t, b.store.Close()) // opened again inside the bubble
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		b.store = nil
		b.reopen()
		b.clock = distorted{&agent.SystemClock{}, func(s meter.Stamp) meter.Stamp {
			s.Time, s.Quality = s.Time.Add(began.At(10, 1).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))), meter.ClockSynchronised
			return s
		}}
		a := b.agent(false)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, b.store.Close())
	})
	got := b.moments(9)
	require.Len(t, got, 2)
	for _, at := range []time.Time{began.At(10, 15), began.At(10, 30)} {
		require.Equal(t, form.Quantity{State: form.Missing, Reason: form.Communication}, got[at.UTC()][0].Quantity)
	}
	for id, p := range b.payloads {
		require.Less(t, b.at[id].Sub(p.Moment), time.Minute)
	}
	b.t = t
	b.reopen()
}

func TestFigureOfAClockThatLostItsSourceIsUnusable(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	lost := began.At(9, 7)
	b.distort = func(s meter.Stamp) meter.Stamp {
		if s.Elapsed = s.Time.Sub(b.home.Since()) + time.Hour; !s.Time.Before(lost) {
			s.Quality = meter.ClockUnsynchronised
		}
		return s
	}
	b.play(b.home.Since(), began.At(13, 0))
	got := b.moments(9)
	require.GreaterOrEqual(t, len(got), 13*4+1)
	for at, values := range got {
		state := form.Quantity{Amount: values[0].Amount, State: form.True}
		if !at.Before(lost) {
			state.State, state.Reason = form.Unusable, form.ClockSet
		}
		require.Equal(t, state, values[0].Quantity, at)
		require.Equal(t, b.fedIn(at).String(), values[0].Amount.Decimal.String())
	}
}

// A figure whose instant nobody believes says nothing.
func TestNoMomentByAClockThatIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := newRoof(t, crossing)
	b.play(b.home.Since(), began.At(8, 59))
	clear(b.payloads)
	b.distort = func(s meter.Stamp) meter.Stamp {
		return meter.Stamp{Time: s.Time.AddDate(1, 0, 0), Quality: meter.ClockUnsynchronised}
	}
	a := b.play(began.At(9, 0), began.At(13, 0))
	require.Empty(t, b.moments(9))
	require.ErrorContains(t, a.Demand(b.config.Contract.MarketLocations[1].MaLo), "the clock")
}

// A key that signs nothing costs the figures, and is not passed over in silence.
func TestAFigureThatCannotBeSignedIsNamed(t *testing.T) {
	t.Parallel()
	b := newRoof(t, "[market_location.feed_in_power]\nevery = \"1m\"\n")
	var log bytes.Buffer
	b.signer, b.log = locked{&b.key.PublicKey}, &log
	b.play(began.At(10, 1), began.At(10, 11))
	require.Empty(t, b.payloads)
	require.Equal(t, 1, strings.Count(log.String(), "the module is locked"), log.String())
	notes, err := b.store.Notes()
	require.NoError(t, err)
	require.Empty(t, notes, "nor is it noted where the power stands that has no threshold to cross")
}

// locked is a key in a module that signs nothing.
type locked struct{ key crypto.PublicKey }

func (l locked) Public() crypto.PublicKey { return l.key }
func (locked) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the module is locked")
}

func TestRow9OnDemand(t *testing.T) {
	t.Parallel()
	b := newRoof(t, "")
	roof := b.config.Contract.MarketLocations[1].MaLo
	at := began.At(13, 1)
	a := b.play(b.home.Since(), at)
	require.Empty(t, b.moments(9), "nobody asked")
	require.NoError(t, a.Demand(roof))
	require.NoError(t, a.Demand(roof), "the same instant is the same figure")

	denied := (*form.DeniedError)(nil)
	require.ErrorAs(t, a.Demand(b.config.Contract.MarketLocations[0].MaLo), &denied)
	require.Contains(t, denied.Why, "class E")
	other, err := form.ParseMarketLocationID("51238696799")
	require.NoError(t, err)
	require.ErrorAs(t, a.Demand(other), &denied)
	require.Equal(t, other, denied.MaLo, "what was asked for stands in the answer")
	require.ErrorAs(t, a.Demand(form.MarketLocationID{}), &denied)

	b.play(at.Add(time.Minute), at.Add(2*time.Minute))
	got := b.moments(9)
	require.Len(t, got, 1)
	require.Equal(t, b.fedIn(at).String(), got[at.UTC()][0].Amount.Decimal.String())
}

func TestGridStateGoesWhereItWasOrdered(t *testing.T) {
	t.Parallel()
	b := newRoof(t, "[market_location.grid_state]\nevery = \"15m\"\nbecause = \"eeg_kwkg_plant\"\n")
	b.model = "easymeter"
	until := began.At(6, 0)
	b.play(b.home.Since(), until)
	model, err := sim.FindModel("easymeter")
	require.NoError(t, err)
	m := sim.NewMeter(b.home, model, "")
	got := b.moments(form.GridState)
	require.Len(t, got, 6*4+1)
	for at, values := range got {
		require.Len(t, values, 3)
		shown := m.Shows(at)
		for _, v := range values {
			require.Equal(t, "V", v.Unit())
			require.Equal(t, shown[v.Code].String(), v.Amount.Decimal.String())
		}
	}
	require.Empty(t, b.moments(9))
}

// Two days without NB, at a figure a minute: what waits stays bounded, what was
// given up is told, and the newest arrive. A head-end that refuses them all for
// good is no worse.
func TestMomentsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	b := newRoof(t, strings.Replace(crossing, "15m", "1m", 1))
	sound := b.answer
	away := true
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		if endpoint == "https://grid.test" && away {
			return deliver.Result{Outcome: deliver.Failed, Err: errors.New("connection refused")}
		}
		return sound(endpoint, id, now)
	}
	back := began.AddDays(2).At(12, 0)
	a := b.play(b.home.Since(), back)
	status, err := a.Status()
	require.NoError(t, err)
	for _, e := range status.Endpoints {
		if e.Endpoint == "https://grid.test" {
			require.Less(t, e.Waiting, 1440+70)
			require.Greater(t, e.Waiting, 700)
		}
	}
	away = false
	until := began.AddDays(4).At(12, 0)
	b.play(back.Add(time.Minute), until)
	got := b.moments(9)
	for at := back.Add(-11 * time.Hour); !at.After(until); at = at.Add(time.Minute) {
		require.NotEmpty(t, got[at.UTC()], at)
	}
	told := 0
	for _, p := range b.payloads {
		for _, n := range p.Notices {
			if n.Kind == agent.MomentsLost && p.Row == 6 && p.MaLo.String() == "51238696781" {
				told += n.Count
			}
		}
	}
	require.Equal(t, int(until.Sub(b.home.Since())/time.Minute)+1, len(got)+told, "each came or was told")
}

func TestRefusedMomentsAreBounded(t *testing.T) {
	t.Parallel()
	b := newRoof(t, strings.Replace(crossing, "15m", "1m", 1))
	b.answer = func(string, string, time.Time) deliver.Result {
		return deliver.Result{Outcome: deliver.Refused, Status: 422, Err: errors.New("not in the contract")}
	}
	a := b.play(b.home.Since(), began.AddDays(2).At(1, 0))
	status, err := a.Status()
	require.NoError(t, err)
	for _, e := range status.Endpoints {
		require.Less(t, e.SetAside, 1440+70)
	}
}

// A full disk is not asked for each telegram whether it takes a figure now, and
// figures go out again when there is room.
func TestFiguresLeaveAFullDiskAlone(t *testing.T) {
	disk := smallDisk(t)
	b := newRoofIn(t, disk, strings.Replace(crossing, "15m", "1m", 1))
	b.play(b.home.Since(), began.At(10, 0))
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	for _, size := range []int{10_000, 1} { // the file has free pages yet
		var err error
		for n := 0; n < 1000 && err == nil; n++ {
			err = b.store.Append(buffer.Event{At: b.clock.Now().Time, Kind: "long", Detail: map[string]string{"text": strings.Repeat("long ", size)}})
		}
		require.ErrorIs(t, err, buffer.ErrFull)
	}
	pages := func() int64 {
		size, err := b.store.Size()
		require.NoError(t, err)
		return size.Commits
	}
	before := pages()
	b.every = time.Second
	b.play(began.At(10, 1), began.At(10, 11))
	require.Less(t, pages()-before, int64(10*20), "pages written in vain in ten minutes")
	require.NotContains(t, b.moments(9), began.At(10, 5).UTC())

	require.NoError(t, os.Remove(ballast))
	b.play(began.At(10, 12), began.At(10, 14))
	require.Contains(t, b.moments(9), began.At(10, 13).UTC())
}
