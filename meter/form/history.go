package form

import (
	"math"
	"slices"

	"smgw/meter"
)

// Version is a contract and the boundary from which it holds: a local midnight;
// of the first, where the gateway's own work begins.
type Version struct {
	From     meter.Quarter
	Contract *Contract
}

// History is the contracts of a metering point one after another, ascending. End
// is where the last ends; 0: it goes on.
//
// A contract that changes within a period of the calendar cuts what concerns
// receivers, and nothing else: a receiver is entitled for as long as successive
// versions give the same row of the same market location to the same market
// partner, and his payload covers the part of the period in that span. Where the
// entitlement goes on, the payload stays whole and its values are made part by
// part. The first From and End cut periods likewise.
type History struct {
	Versions []Version
	End      meter.Quarter
}

// always is the beginning of time.
const always meter.Quarter = math.MinInt64

// Always is the contract alone, from the beginning of time and without end.
func (c *Contract) Always() *History { return &History{Versions: []Version{{always, c}}} }

// Own is the contract alone, from the day on that it names itself, without end.
func (c *Contract) Own() *History {
	h := c.Always()
	if c.From != (Date{}) {
		h.Versions[0].From = c.From.Midnight()
	}
	return h
}

// At returns the contract that holds for the quarter hour that begins at q: nil
// before the first and from End on.
func (h *History) At(q meter.Quarter) *Contract {
	if i := h.version(q); i >= 0 {
		return h.Versions[i].Contract
	}
	return nil
}

// version is the index of the version that holds at q, −1 where none does.
func (h *History) version(q meter.Quarter) int {
	if h.End != 0 && q >= h.End {
		return -1
	}
	for i := len(h.Versions) - 1; i >= 0; i-- {
		if h.Versions[i].From <= q {
			return i
		}
	}
	return -1
}

// near is At, and beyond the history's ends its first or last contract.
func (h *History) near(q meter.Quarter) *Contract {
	q = max(q, h.Versions[0].From)
	i := len(h.Versions) - 1
	for q < h.Versions[i].From {
		i--
	}
	return h.Versions[i].Contract
}

// Governing returns the contract that says what a payload of the period looks
// like and where it goes: the one that holds for its last quarter hour, or at
// its instant where it has none. It is nil where no contract holds.
func (h *History) Governing(p Period) *Contract { return h.At(last(p)) }

// last is the quarter hour whose contract governs a period.
func last(p Period) meter.Quarter {
	if p.From < p.To {
		return p.To - 1
	}
	return p.To
}

// bounds is where a version begins to hold and where it ends.
func (h *History) bounds(i int) Period {
	p := Period{h.Versions[i].From, math.MaxInt64}
	if h.End != 0 {
		p.To = h.End
	}
	if i+1 < len(h.Versions) {
		p.To = min(p.To, h.Versions[i+1].From)
	}
	return p
}

// claim is what entitles a receiver to payloads of a row, and goes on as long as
// successive versions say the same.
type claim struct {
	edition   Edition
	melo      MeteringLocationID
	malo      MarketLocationID
	direction Direction
	meter     string
	row       RowNumber
	role      Role
	partner   PartnerID
}

// claims lists the claims of a contract to rows of a rhythm.
func (c *Contract) claims(r Rhythm) []claim {
	var all []claim
	for _, row := range Rows {
		if row.Rhythm != r {
			continue
		}
		for i := range c.MarketLocations {
			m := &c.MarketLocations[i]
			if !row.For(m.Class) {
				continue
			}
			for _, role := range row.To {
				all = append(all, c.claim(m, row.Number, role))
			}
		}
	}
	return all
}

func (c *Contract) claim(m *MarketLocation, n RowNumber, role Role) claim {
	receiver, _ := m.Receiver(role)
	return claim{c.Edition, c.MeLo, m.MaLo, m.Direction, m.Meter, n, role, receiver.PartnerID}
}

// makes reports whether a contract makes a claim.
func (c *Contract) makes(k claim) bool {
	m := c.Location(k.malo)
	row, ok := k.row.Row()
	return m != nil && ok && row.For(m.Class) && c.claim(m, k.row, k.role) == k
}

// span is how long the claim that a contract makes at q goes on, before and after.
func (h *History) span(k claim, q meter.Quarter) Period {
	i := h.version(q)
	p := h.bounds(i)
	goesOn := func(j int) (own Period, ok bool) {
		own = h.bounds(j)
		return own, own.To <= own.From || h.Versions[j].Contract.makes(k) // what never held ends nothing
	}
	for j := i - 1; j >= 0; j-- {
		own, ok := goesOn(j)
		if !ok {
			break
		}
		p.From = min(p.From, own.From)
	}
	for j := i + 1; j < len(h.Versions); j++ {
		own, ok := goesOn(j)
		if !ok {
			break
		}
		p.To = max(p.To, own.To)
	}
	return p
}

// and is what two periods have in common; it may be empty.
func (p Period) and(o Period) Period { return Period{max(p.From, o.From), min(p.To, o.To)} }

// parts lists the dues of one rhythm and one period of the calendar: one for each
// market location, row and receiver, and for each part where his claim begins or
// ends within it.
func (h *History) parts(list []Due, rhythm Rhythm, p Period, due Due) []Due {
	type part struct {
		claim
		Period
	}
	var parts []part
	for i := range h.Versions {
		own := p.and(h.bounds(i))
		if own.To <= own.From {
			continue
		}
		for _, k := range h.Versions[i].Contract.claims(rhythm) {
			goesOn := func(x part) bool { return x.claim == k && x.To == own.From }
			if j := slices.IndexFunc(parts, goesOn); j >= 0 {
				parts[j].To = own.To
			} else {
				parts = append(parts, part{k, own})
			}
		}
	}
	for _, x := range parts {
		row, _ := x.row.Row()
		due.Row, due.MaLo, due.To, due.Period, due.Purpose = x.row, x.malo, x.role, x.Period, row.Purpose
		list = append(list, due)
	}
	return list
}
