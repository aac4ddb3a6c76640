package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
)

// Journal entries about contracts.
const (
	ContractChanged   = "contract_changed"   // a version of the contract holds from a midnight on; also the first
	ContractWithdrawn = "contract_withdrawn" // a version that was configured ahead was replaced before it held
	EndpointsChanged  = "endpoints_changed"  // the same contract, but payloads go elsewhere
)

// Succession says what a configured contract does to the versions that are kept:
// from when it holds, and what never will.
type Succession struct {
	Held   []form.Version // those that hold or held, ascending
	Ahead  []form.Version // those configured ahead that never hold now
	Begins bool           // the contract is a new version, from From on
	From   meter.Quarter  // a local midnight; of the first version, where the gateway's own work begins
	Wanted meter.Quarter  // the midnight that was asked for, where it was too early; 0 otherwise
	Moved  bool           // it is no new version, but some of its endpoints are other than before
}

// Now is the contract that the configured one is compared with: the last that
// held; nil where none did.
func (s *Succession) Now() *form.Contract {
	if len(s.Held) == 0 {
		return nil
	}
	return s.Held[len(s.Held)-1].Contract
}

// Succeed finds out what a configured contract means beside those that are kept.
// begin is where the gateway's own work begins, built how far its series are built
// at most: what is built was built by the contract that held, so nothing holds
// from before it.
//
// A contract holds from its own From, or from the next local midnight. One that
// was configured ahead and is replaced before it holds never held. Where nothing
// but endpoints differs it is the same contract: payloads go where the newest file
// says, since who moved does not listen at the old address.
func Succeed(kept []form.Version, begin, built meter.Quarter, c *form.Contract, now time.Time) Succession {
	held := slices.IndexFunc(kept, func(v form.Version) bool { return v.From > meter.QuarterOf(now) })
	if held < 0 {
		held = len(kept)
	}
	s := Succession{Held: kept[:held], Ahead: kept[held:]}
	var newest *form.Version
	if len(kept) > 0 {
		newest = &kept[len(kept)-1]
	}
	earliest := begin
	if held > 0 {
		earliest = kept[held-1].From
		if free := firstMidnight(built); free > earliest {
			earliest = free
		}
	}
	wanted := form.DateOf(now).AddDays(1).Midnight()
	switch {
	case c.From != form.Date{}:
		wanted = c.From.Midnight()
	case len(s.Ahead) > 0 && same(newest.Contract, c):
		wanted = newest.From
	case held == 0:
		wanted = begin
	}
	from := max(wanted, earliest)
	if newest != nil && same(newest.Contract, c) && (len(s.Ahead) == 0 || newest.From == from) {
		s.Held, s.Ahead = kept, nil
	} else if now := s.Now(); now == nil || !same(now, c) {
		if s.Begins, s.From = true, from; wanted < from && c.From != (form.Date{}) {
			s.Wanted = wanted
		}
		return s
	}
	s.Moved = !bytes.Equal(contractText(s.Now()), contractText(c))
	return s
}

// firstMidnight is the first local midnight at a boundary or after it.
func firstMidnight(q meter.Quarter) meter.Quarter {
	day := form.DateOf(q.Time())
	if day.Midnight() < q {
		day = day.AddDays(1)
	}
	return day.Midnight()
}

// same reports whether two contracts say the same but for endpoints.
func same(a, b *form.Contract) bool {
	return bytes.Equal(contractText(withoutEndpoints(a)), contractText(withoutEndpoints(b)))
}

func withoutEndpoints(c *form.Contract) *form.Contract {
	n := *c
	n.MarketLocations = slices.Clone(c.MarketLocations)
	for i := range n.MarketLocations {
		m := &n.MarketLocations[i]
		m.Receivers = slices.Clone(m.Receivers)
		for j := range m.Receivers {
			m.Receivers[j].Endpoint = ""
		}
	}
	return &n
}

// contractText is what the store keeps of a contract. From when it holds is said
// beside it.
func contractText(c *form.Contract) []byte {
	n := *c
	n.From = form.Date{}
	return config.FormatContract(&n)
}

// ParseVersions reads what a store keeps of the contracts.
func ParseVersions(kept []buffer.ContractVersion) ([]form.Version, error) {
	var all []form.Version
	for _, v := range kept {
		c, err := config.ParseContract(v.Text)
		if err != nil {
			return nil, fmt.Errorf("the contract that holds from %s, as it is kept, cannot be read by this program; a newer one may have written it, install that again: %w", v.From, err)
		}
		all = append(all, form.Version{From: v.From, Contract: c})
	}
	return all, nil
}

func keptContracts(store *buffer.Store) ([]form.Version, error) {
	stored, err := store.Contracts()
	if err != nil {
		return nil, fmt.Errorf("the contracts that are kept: %w", err)
	}
	return ParseVersions(stored)
}

// mark is the name of a contract's version in the journal, short enough to compare
// two by eye.
func mark(c *form.Contract) string {
	if c == nil {
		return ""
	}
	sum := sha256.Sum256(contractText(c))
	return hex.EncodeToString(sum[:6])
}

// succeed compares the configured contract with the versions in the store, keeps
// it where it is new, and gives the history by which everything is built. It is
// nil where no version could be dated yet, because nothing was read.
func (b *builder) succeed(now time.Time) (*form.History, error) {
	kept, err := keptContracts(b.Store)
	if err != nil {
		return nil, err
	}
	marks, err := b.Store.Series()
	if err != nil {
		return nil, err
	}
	var begin meter.Quarter
	if len(kept) == 0 {
		if begin, err = b.firstBoundary(marks); err != nil || begin == 0 {
			return nil, err
		}
	}
	c := &b.Config.Contract
	s := Succeed(kept, begin, builtUpTo(marks), c, now)
	if len(s.Ahead) > 0 {
		e := b.event(now, ContractWithdrawn, "from", s.Ahead[0].From.String(), "contract", mark(s.Ahead[0].Contract))
		b.Log.Info("a contract that was configured ahead never holds", "from", s.Ahead[0].From)
		if err := b.Store.ForgetContracts(meter.QuarterOf(now), e); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Begins && len(kept) == 0 && len(marks) > 0:
		// Of a program that kept no versions: what it was not building is new.
		if err := b.beginLater(c, marks, now); err != nil {
			return nil, err
		}
		fallthrough
	case s.Begins:
		e := b.event(now, ContractChanged, "from", s.From.String(), "old", mark(s.Now()), "new", mark(c))
		if s.Wanted != 0 {
			e.Detail["wanted"] = s.Wanted.String()
			b.Log.Warn("the contract cannot hold from as early as the file says: payloads are built already", "wanted", s.Wanted, "from", s.From)
		}
		b.Log.Info("the contract is new", "from", s.From, "old", mark(s.Now()), "new", mark(c))
		if err := b.Store.PutContract(buffer.ContractVersion{From: s.From, Text: contractText(c)}, e); err != nil {
			return nil, err
		}
		s.Held = append(slices.DeleteFunc(slices.Clone(s.Held), func(v form.Version) bool { return v.From == s.From }), form.Version{From: s.From, Contract: c})
	case s.Moved:
		last := &s.Held[len(s.Held)-1]
		e := b.event(now, EndpointsChanged, "contract", mark(c))
		if err := b.Store.PutContract(buffer.ContractVersion{From: last.From, Text: contractText(c)}, e); err != nil {
			return nil, err
		}
		last.Contract = c
	}
	return &form.History{Versions: s.Held}, nil
}

// contracts are those that hold and held. Until a clock that is believed tells what
// the configured one does to those that were kept when the agent started, they are
// these; before anything was kept it is the configured one.
func (a *Agent) contracts() *form.History {
	switch {
	case a.builder.history != nil:
		return a.builder.history
	case len(a.keptAtStart) > 0:
		return &form.History{Versions: a.keptAtStart}
	}
	return a.Config.Contract.Own()
}

// firstBoundary is where the work of a gateway begins that has no contract yet: at
// what its meters were first read for, or where it stands of what an older program
// built; 0 before anything was read.
func (b *builder) firstBoundary(marks map[string]meter.Quarter) (first meter.Quarter, err error) {
	for _, q := range marks {
		if first == 0 || q < first {
			first = q
		}
	}
	if first != 0 {
		return first, nil
	}
	for _, m := range b.Config.Contract.MarketLocations {
		r, found, err := b.Store.FirstBoundary(m.Meter)
		if err != nil {
			return 0, err
		}
		if found && (first == 0 || r.Boundary < first) {
			first = r.Boundary
		}
	}
	return first, nil
}

// builtUpTo is how far any series is built.
func builtUpTo(marks map[string]meter.Quarter) (q meter.Quarter) {
	for _, built := range marks {
		q = max(q, built)
	}
	return q
}

// beginLater begins the series of a contract that an older program was not
// building: what was read before concerns others, so that the first period of
// each is the first that begins after the next local midnight.
func (b *builder) beginLater(c *form.Contract, marks map[string]meter.Quarter, now time.Time) error {
	h := c.Always()
	midnight := form.DateOf(now).AddDays(1).Midnight()
	const far = 62 * 96 // there is a month's end and a working day in it
	for _, s := range seriesOf(h) {
		if _, known := marks[s.mark]; known {
			continue
		}
		from := meter.Quarter(math.MaxInt64)
		for _, d := range h.Settled(midnight, midnight+far) {
			if s.has(d) && d.Period.From >= midnight {
				from = min(from, d.Period.From)
			}
		}
		begins := b.event(now, SeriesBegun, "series", s.mark, "from", from.String())
		if err := b.Store.Build(s.mark, from, nil, begins); err != nil {
			return err
		}
	}
	return nil
}

// endpointOf is where a payload for a receiver goes: to the address that the
// newest contract gives the same market partner in the same role, else to the one
// of the contract that the payload was made by.
func endpointOf(c *config.Config, m *form.MarketLocation, r form.Receiver) string {
	if now := c.Contract.Location(m.MaLo); now != nil {
		if moved, ok := now.Receiver(r.Role); ok && moved.PartnerID == r.PartnerID {
			r = moved
		}
	}
	return c.EndpointOf(r)
}

// earlierEndpoints are those of the contracts before the configured one whose
// periods are not all built yet.
func earlierEndpoints(o *Options, kept []form.Version) (all []string, err error) {
	marks, err := o.Store.Series()
	if err != nil {
		return nil, fmt.Errorf("how far payloads are built: %w", err)
	}
	for i, v := range kept {
		over := func(built meter.Quarter) bool { return i+1 < len(kept) && kept[i+1].From <= built }
		if !slices.ContainsFunc(slices.Collect(maps.Values(marks)), func(built meter.Quarter) bool { return !over(built) }) {
			continue
		}
		for _, m := range v.Contract.MarketLocations {
			for _, r := range m.Receivers {
				all = append(all, endpointOf(o.Config, &m, r))
			}
		}
	}
	return all, nil
}

func (b *builder) event(at time.Time, kind string, details ...string) buffer.Event {
	return buffer.Event{At: at, Kind: kind, Detail: pairs(nil, details)}
}
