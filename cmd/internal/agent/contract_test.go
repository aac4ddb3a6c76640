package agent_test

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// configure gives the agent of the next play another file.
func (b *bench) configure(oldnew ...string) {
	path := b.config.File
	text, err := os.ReadFile(path)
	require.NoError(b.t, err)
	changed := strings.NewReplacer(oldnew...).Replace(string(text))
	require.NotEqual(b.t, string(text), changed)
	require.NoError(b.t, os.WriteFile(path, []byte(changed), 0o644))
	b.config, err = config.Load(path)
	require.NoError(b.t, err)
}

// claimed is what entitles to payloads.
type claimed struct {
	row     form.RowNumber
	role    form.Role
	partner form.PartnerID
}

// Until the clock can be believed nobody knows from when a new contract holds, or
// what it takes the place of: what is due next is what the store's contracts say.
func TestWhatIsDueNextIsWhatTheContractsOfItsTimeSay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	nextDue := func(a *agent.Agent) control.DueStatus {
		s, err := a.Status()
		require.NoError(t, err)
		return *s.NextDue
	}
	malo := b.config.Contract.MarketLocations[0].MaLo
	monday := control.DueStatus{At: began.AddDays(3).At(11, 0), Row: 5, MaLo: malo, To: form.NB}
	require.Equal(t, monday, nextDue(b.play(b.home.Since(), began.At(2, 0))))

	holds := began.AddDays(20)
	b.configure(`class = "B"`, `class = "A"`, "transformer_factor = 1", "transformer_factor = 1\nfrom = \""+holds.String()+"\"",
		"    { role = \"ÜNB\", partner_id = \"9900357000028\" },\n", "")
	b.clock = distorted{b.clock, func(s meter.Stamp) meter.Stamp {
		s.Quality = meter.ClockUnsynchronised
		return s
	}}
	require.Equal(t, monday, nextDue(b.agent(false)), "not the month that the new contract makes due")

	// Nothing is kept yet, and the configured contract does not hold yet.
	fresh := newBench(t)
	fresh.configure("transformer_factor = 1", "transformer_factor = 1\nfrom = \""+began.AddDays(5).String()+"\"")
	fresh.clock = b.clock
	require.Equal(t, control.DueStatus{At: began.AddDays(6).At(11, 0), Row: 5, MaLo: malo, To: form.NB}, nextDue(fresh.agent(false)))
}

// requireEntitled checks the regular payloads against the versions of a contract
// that should have held: whoever a version entitles has all of its quarter hours
// in payloads, once each, and none of any other, up to the last period that was
// due; and each says what the household used.
func (b *bench) requireEntitled(until time.Time, versions ...form.Version) {
	b.t.Helper()
	b.take(func(p *form.Payload) bool { return p.Row == 2 || p.Row == 3 })
	covered := map[claimed][]form.Period{}
	for id, p := range b.payloads {
		c := claimed{p.Row, p.To, p.PartnerID}
		covered[c] = append(covered[c], p.Period)
		b.requireRight(p, versions)
		require.False(b.t, b.at[id].Before(p.Period.To.Time()), "it came before its period ended")
	}
	want := map[claimed][]form.Period{}
	for i, v := range versions {
		for _, row := range form.Rows {
			m := &v.Contract.MarketLocations[0]
			if !row.For(m.Class) || !row.Rhythm.Regular() {
				continue
			}
			span := form.Period{From: v.From, To: b.lastEnd(v.Contract, row.Rhythm, until)}
			if i+1 < len(versions) {
				span.To = min(meter.QuarterOf(until), versions[i+1].From)
			}
			for _, role := range row.To {
				r, _ := m.Receiver(role)
				c := claimed{row.Number, role, r.PartnerID}
				if n := len(want[c]); n > 0 && want[c][n-1].To >= span.From {
					want[c][n-1].To = max(span.To, want[c][n-1].To)
				} else if span.From < span.To {
					want[c] = append(want[c], span)
				}
			}
		}
	}
	for c, periods := range covered {
		slices.SortFunc(periods, func(a, b form.Period) int { return cmp.Compare(a.From, b.From) })
		joined := periods[:1:1]
		for _, p := range periods[1:] {
			last := &joined[len(joined)-1]
			require.GreaterOrEqual(b.t, p.From, last.To, "row %d for %s got a quarter hour twice", c.row, c.role)
			if p.From == last.To {
				last.To = p.To
			} else {
				joined = append(joined, p)
			}
		}
		covered[c] = joined
	}
	require.Equal(b.t, want, covered)
	require.Len(b.t, b.order, len(b.payloads), "delivered once each")
}

// lastEnd is where the last period of a rhythm ends that was due by then.
func (b *bench) lastEnd(c *form.Contract, r form.Rhythm, until time.Time) (end meter.Quarter) {
	for _, d := range form.Plan(c, form.DateOf(b.home.Since()), form.DateOf(until)) {
		if row, _ := d.Row.Row(); row.Rhythm == r && !d.At.After(until) {
			end = max(end, d.Period.To)
		}
	}
	return end
}

// requireRight checks energies and load profiles against what the household used,
// each quarter hour with the transformer factor that held.
func (b *bench) requireRight(p *form.Payload, versions []form.Version) {
	b.t.Helper()
	used := func(from, to meter.Quarter) decimal.Decimal {
		sum := decimal.Zero
		for i, v := range versions {
			end := to
			if i+1 < len(versions) {
				end = min(to, versions[i+1].From)
			}
			if begin := max(from, v.From); begin < end {
				sum = sum.Add(b.shown(end.Time()).Sub(b.shown(begin.Time())).Mul(decimal.New(v.Contract.TransformerFactor, -3)))
			}
		}
		return sum
	}
	for _, v := range p.Values {
		switch v.Kind {
		case form.Energy:
			require.Equal(b.t, form.True, v.State, "row %d from %s to %s", p.Row, p.Period.From, p.Period.To)
			require.Equal(b.t, used(p.Period.From, p.Period.To).String(), v.Amount.Decimal.String())
		case form.LoadProfile:
			require.Equal(b.t, p.Period.From, v.At)
			for i, q := range v.Intervals {
				at := v.At + meter.Quarter(i)
				require.Equal(b.t, form.True, q.State)
				require.Equal(b.t, used(at, at+1).String(), q.Amount.Decimal.String())
			}
		}
	}
}

func (b *bench) contract() *form.Contract {
	c := b.config.Contract
	return &c
}

const supplier, supplierNow = `role = "LF", partner_id = "9900357000004", endpoint = "https://supplier.test"`, `role = "LF", partner_id = "9900357000099", endpoint = "https://other-supplier.test"`

func TestChangedContractHoldsFromItsMidnight(t *testing.T) {
	t.Parallel()
	day := func(s string) form.Date {
		d, err := form.ParseDate(s)
		require.NoError(t, err)
		return d
	}
	for name, x := range map[string]struct {
		since, changed, holds, until string // until at 12:30, changed at 15:00
		before, change               []string
	}{
		"class A becomes B, and the months of rows 4 and 7 meet": {
			"2026-10-23", "2026-10-27", "2026-10-28", "2026-12-01",
			[]string{`class = "B"`, `class = "A"`, `    { role = "ÜNB", partner_id = "9900357000028" },`, ``},
			[]string{`class = "A"`, `class = "B"`, `    { role = "NB"`, "    { role = \"ÜNB\", partner_id = \"9900357000028\" },\n    { role = \"NB\""},
		},
		"class B becomes A, and the daily series end": {
			"2026-10-23", "2026-10-24", "2026-10-25", "2026-11-03", nil,
			[]string{`class = "B"`, `class = "A"`, `    { role = "ÜNB", partner_id = "9900357000028" },`, ``},
		},
		"another supplier in the middle of a long weekend": {
			"2026-12-21", "2026-12-22", "2026-12-25", "2027-01-05", nil,
			[]string{supplier, supplierNow, "[contract]\n", "[contract]\nfrom = \"2026-12-25\"\n"},
		},
		"another supplier on the last day of a long weekend and of a month": {
			"2026-10-23", "2026-10-31", "2026-11-01", "2026-11-04", nil, []string{supplier, supplierNow},
		},
		"another transformer factor in the middle of a month and of a weekend": {
			"2026-10-23", "2026-10-24", "2026-10-25", "2026-11-03", nil, []string{"transformer_factor = 1", "transformer_factor = 30"},
		},
		"all at once": {
			"2026-12-21", "2026-12-24", "2026-12-26", "2027-01-05", nil,
			[]string{supplier, supplierNow, "transformer_factor = 1", "from = 2026-12-26\ntransformer_factor = 30\nextra_holidays = [\"2026-12-29\"]", `class = "B"`, `class = "C"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.home = sim.NewHousehold(sim.Options{Seed: 7, Since: day(x.since).At(0, 0)})
			if x.before != nil {
				b.configure(x.before...)
			}
			old := b.contract()
			changed, until := day(x.changed).At(15, 0), day(x.until).At(12, 30)
			b.play(b.home.Since(), changed)
			b.reopen()
			b.configure(x.change...)
			// A night without power comes between: nothing of it is lost or said twice.
			night := day(x.holds).At(0, 0)
			b.play(changed.Add(time.Minute), night.Add(5*time.Minute))
			b.reopen()
			b.play(night.Add(6*time.Minute), until)
			b.requireEntitled(until,
				form.Version{From: meter.QuarterOf(b.home.Since()), Contract: old},
				form.Version{From: day(x.holds).Midnight(), Contract: b.contract()})
			changes := b.journal(agent.ContractChanged)
			require.Len(t, changes, 2, "the first, and the change")
			require.Equal(t, day(x.holds).Midnight().String(), changes[1].Detail["from"])
			require.Equal(t, changes[0].Detail["new"], changes[1].Detail["old"])
			require.NotContains(t, changes[1].Detail, "wanted")
			require.NoError(t, b.store.VerifyJournal())
		})
	}
}

// noteWhere notes to which endpoint each payload goes from now on.
func (b *bench) noteWhere() (went map[string]string) {
	went = map[string]string{}
	sound := b.answer
	b.answer = func(endpoint, id string, now time.Time) deliver.Result {
		went[id] = endpoint
		return sound(endpoint, id, now)
	}
	return went
}

// What is due to the old supplier after the change still goes to his address.
func TestOldSupplierGetsWhatIsHisWhereHeIs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	went := b.noteWhere()
	changed := began.AddDays(1).At(15, 0) // a Saturday
	b.play(b.home.Since(), changed)
	b.configure(supplier, supplierNow)
	b.play(changed.Add(time.Minute), began.AddDays(4).At(12, 0))
	seen := map[string]int{}
	for id, p := range b.payloads {
		if p.To == form.LF {
			seen[p.PartnerID.String()+" "+went[id]]++
		}
	}
	require.Equal(t, 2, len(seen))
	require.Positive(t, seen["9900357000004 https://supplier.test"])
	require.Positive(t, seen["9900357000099 https://other-supplier.test"])

	// A partner who moved gets everything at the new address, and has no new contract.
	kept := b.history()
	b.configure("https://other-supplier.test", "https://moved.test")
	clear(b.payloads)
	b.play(began.AddDays(4).At(12, 1), began.AddDays(5).At(12, 0))
	for id, p := range b.payloads {
		if p.To == form.LF {
			require.Equal(t, "https://moved.test", went[id])
		}
	}
	require.Len(t, b.history().Versions, len(kept.Versions))
	require.Len(t, b.journal(agent.EndpointsChanged), 1)
	require.Len(t, b.journal(agent.ContractChanged), 2)
}

// A correction of what the old supplier had is his, and goes where he was, though
// all of his time was built long before this start.
func TestOldSupplierGetsTheCorrectionOfWhatHeHad(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	went := b.noteWhere()
	changed := began.AddDays(7).At(15, 0)
	b.playWithGap(changed)
	b.configure(supplier, supplierNow)
	b.play(changed.Add(time.Minute), changed.AddDate(0, 0, 4))
	b.reopen()
	at := changed.AddDate(0, 0, 4)
	c := inside(b.play(at.Add(time.Minute), at.Add(time.Hour)))
	_, err := b.imports(c, b.table(meter.QuarterOf(gapFrom)-3, meter.QuarterOf(gapTo)+5, sim.Models[0].Device))
	require.NoError(t, err)
	b.play(at.Add(time.Hour+time.Minute), at.Add(40*time.Hour))
	old := map[form.RowNumber]int{}
	for id, p := range b.payloads {
		if p.Revision == 0 || p.To != form.LF {
			continue
		}
		if old[p.Row]++; p.Period.To <= form.DateOf(changed).AddDays(1).Midnight() {
			require.Equal(t, "9900357000004 https://supplier.test", p.PartnerID.String()+" "+went[id])
		} else {
			require.Equal(t, "9900357000099 https://other-supplier.test", p.PartnerID.String()+" "+went[id])
		}
	}
	require.Equal(t, map[form.RowNumber]int{3: 1, 6: 1, 7: 1}, old, "that day, his part of the month, and the end of his supply")
}

func TestContractConfiguredAheadAndReplacedNeverHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.contract()
	noon := func(days int) time.Time { return began.AddDays(days).At(12, 0) }
	after := func(days int) time.Time { return noon(days).Add(time.Minute) }
	b.play(b.home.Since(), noon(1))
	b.configure("transformer_factor = 1", "transformer_factor = 30\nfrom = \""+began.AddDays(6).String()+"\"")
	b.play(after(1), noon(2))
	require.Len(t, b.history().Versions, 2)

	// The day that it should hold from is put off, and then another takes its place.
	b.configure(began.AddDays(6).String(), began.AddDays(7).String())
	b.play(after(2), noon(3))
	require.Equal(t, began.AddDays(7).Midnight(), b.history().Versions[1].From)
	b.configure("transformer_factor = 30", "transformer_factor = 2", "from = \""+began.AddDays(7).String()+"\"", "")
	third := b.contract()
	b.play(after(3), noon(4))
	until := began.AddDays(11).At(12, 30)
	b.play(after(4), until)
	b.requireEntitled(until, form.Version{From: meter.QuarterOf(b.home.Since()), Contract: first}, form.Version{From: began.AddDays(4).Midnight(), Contract: third})
	require.Len(t, b.journal(agent.ContractWithdrawn), 2)
}

// A file that was put in its place a day too late, with the day that was meant:
// what is built stays built, and the log and the journal say so.
func TestContractNeverHoldsFromBeforeWhatIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.contract()
	changed := began.AddDays(4).At(15, 0) // the days up to the 27th, 00:00, are built
	b.play(b.home.Since(), changed)
	b.configure("transformer_factor = 1", "transformer_factor = 30\nfrom = \""+began.AddDays(1).String()+"\"")
	until := began.AddDays(10).At(12, 30)
	b.play(changed.Add(time.Minute), until)
	b.requireEntitled(until,
		form.Version{From: meter.QuarterOf(b.home.Since()), Contract: first}, form.Version{From: began.AddDays(4).Midnight(), Contract: b.contract()})
	changes := b.journal(agent.ContractChanged)
	require.Equal(t, began.AddDays(1).Midnight().String(), changes[1].Detail["wanted"])
}

// A store of a program that kept no versions: nothing is sent twice or left out,
// and what its series began with stays.
func TestContractOfAStoreWithoutVersionsBeginsWithItsSeries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(b.home.Since(), began.AddDays(5).At(15, 0))
	require.NoError(t, b.store.ForgetContracts(-1))
	require.Empty(t, b.history().Versions)
	until := began.AddDays(12).At(12, 30)
	b.play(began.AddDays(5).At(15, 1), until)
	b.requireEntitled(until, form.Version{From: meter.QuarterOf(b.home.Since()), Contract: b.contract()})
}

// A meter that gets another name is another meter to the readings, and the same to
// who gets them: not a quarter hour is missing.
func TestRenamedMeterLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.contract()
	changed := began.AddDays(1).At(15, 0)
	b.play(b.home.Since(), changed)
	b.configure("[[meter]]\n", "[[meter]]\nname = \"cellar\"\n")
	until := began.AddDays(4).At(12, 30)
	b.play(changed.Add(time.Minute), until)
	b.take(func(p *form.Payload) bool { return p.Row == 3 })
	b.requireEntitled(until, form.Version{From: meter.QuarterOf(b.home.Since()), Contract: first}, form.Version{From: began.AddDays(2).Midnight(), Contract: b.contract()})
}

// Another gateway at the same point, under another id: the head-end has each
// quarter hour from one of them, and both from none.
func TestGatewayExchangeNeitherRepeatsNorCollides(t *testing.T) {
	t.Parallel()
	m := newOperator(t, t.TempDir())
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0), RoofPeak: 8000})
	taken, built := began.AddDays(4).At(10, 7), began.AddDays(4).At(11, 50)
	m.gateway(t, "ESMG0000000001", m.headend.Endpoint(), home).play(t, began.At(0, 0), taken)
	m.gateway(t, "ESMG0000000002", m.headend.Endpoint(), home).play(t, built, began.AddDays(10).At(12, 0))

	deliveries, err := m.headend.Deliveries()
	require.NoError(t, err)
	type what struct {
		form.RowNumber
		form.MarketLocationID
		form.Role
	}
	had := map[what]map[meter.Quarter]string{}
	gateways := map[string]meter.Quarter{}
	for _, d := range deliveries {
		p := d.Payload
		if row, _ := p.Row.Row(); !row.Rhythm.Regular() {
			continue
		}
		w := what{p.Row, p.MaLo, p.To}
		if had[w] == nil {
			had[w] = map[meter.Quarter]string{}
		}
		for q := p.Period.From; q < p.Period.To; q++ {
			require.Empty(t, had[w][q], "row %d for %s at %s comes from %s and %s", p.Row, p.To, q, had[w][q], p.Gateway)
			had[w][q] = p.Gateway
		}
		if first, known := gateways[p.Gateway]; !known || p.Period.From < first {
			gateways[p.Gateway] = p.Period.From
		}
	}
	require.Equal(t, map[string]meter.Quarter{
		"ESMG0000000001": began.Midnight(),
		"ESMG0000000002": meter.QuarterOf(built.Add(10 * time.Minute)),
	}, gateways)
	require.Len(t, slices.Collect(maps.Keys(had)), 10, "every regular row of both market locations")
}

// Whatever files come in whatever order, at whatever time: what is built keeps the
// contract that it was built by, versions ascend, none is longer ahead than the
// newest file says, and the same file again changes nothing.
func TestSuccessionKeepsWhatIsBuilt(t *testing.T) {
	t.Parallel()
	parsed, err := config.ParseContract([]byte("[readings]\noffset_limit = \"27s\"\n" + roofedText))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		now := began.At(10, 7)
		begin := meter.QuarterOf(now)
		built := begin
		var kept []form.Version
		holding := map[meter.Quarter]int64{} // the factor that each midnight was built by
		for range rapid.IntRange(1, 12).Draw(t, "starts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 72).Draw(t, "hours")) * time.Hour)
			for midnight := form.DateOf(built.Time()).AddDays(1).Midnight(); midnight <= meter.QuarterOf(now) && len(kept) > 0; {
				h := form.History{Versions: kept}
				if c := h.At(midnight - 1); c != nil && rapid.Bool().Draw(t, "built") {
					holding[midnight-1], built = c.TransformerFactor, midnight
				} else {
					break
				}
				midnight = form.DateOf(midnight.Time()).AddDays(1).Midnight()
			}
			c := *parsed
			c.TransformerFactor = rapid.Int64Range(1, 3).Draw(t, "factor")
			if rapid.Bool().Draw(t, "from") {
				c.From = form.DateOf(now).AddDays(rapid.IntRange(-5, 5).Draw(t, "day"))
			}
			s := agent.Succeed(kept, begin, built, &c, now)
			kept = slices.Clone(s.Held)
			if s.Begins {
				kept = append(slices.DeleteFunc(kept, func(v form.Version) bool { return v.From == s.From }), form.Version{From: s.From, Contract: &c})
			}
			require.True(t, slices.IsSortedFunc(kept, func(a, b form.Version) int { return cmp.Compare(a.From, b.From) }))
			require.Equal(t, c.TransformerFactor, kept[len(kept)-1].Contract.TransformerFactor, "the newest file has the last word")
			for i, v := range kept {
				require.True(t, v.From == begin && i == 0 || v.From == form.DateOf(v.From.Time()).Midnight(), "version %d begins at %s", i, v.From)
				require.True(t, i == len(kept)-1 || v.From <= meter.QuarterOf(now), "at most one is ahead")
			}
			h := form.History{Versions: kept}
			for q, factor := range holding {
				require.Equal(t, factor, h.At(q).TransformerFactor, "what was built until %s", q)
			}
			again := agent.Succeed(kept, begin, built, &c, now)
			require.False(t, again.Begins || again.Moved || len(again.Ahead) > 0, "the same file again")
		}
	})
}
