package config

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"smgw/meter/form"
	"smgw/meter/obis"
)

// Entitlement is one row of the form that a market location's contract
// entitles to: who gets what, how often and for what purpose.
type Entitlement struct {
	MaLo     form.MarketLocationID `json:"malo"`
	Row      form.RowNumber        `json:"row"`
	To       []Recipient           `json:"to"`
	Rhythm   form.Rhythm           `json:"-"`
	HowOften string                `json:"how_often"` // the rhythm InWords
	Purpose  string                `json:"purpose"`   // as the form says it, in German
	Values   []Content             `json:"values"`
	// Occasions are when momentary figures are sent by themselves; null for all else.
	Occasions *Occasions `json:"occasions,omitempty"`
	NextDue   *time.Time `json:"next_due"` // by when it must have arrived; null for what no calendar makes due
}

// Recipient is a receiver with the endpoint that its payloads go to.
type Recipient struct {
	Role      form.Role      `json:"role"`
	PartnerID form.PartnerID `json:"partner_id"`
	Endpoint  string         `json:"endpoint"`
	NextDue   *time.Time     `json:"-"` // as of the Entitlement, for this receiver
}

// Content is one kind of value in a payload, and the register it is made from.
type Content struct {
	Kind form.Kind `json:"kind"`
	OBIS obis.Code `json:"obis"`
}

// horizon is how far ahead the next due date is looked for: every row that a
// calendar makes due is due within a month.
const horizon = 32

// Entitlements lists what the contract entitles to, market location by market
// location in the order of the file, row by row; next due after now. What is
// not in the list does not leave the gateway.
func (c *Config) Entitlements(now time.Time) []Entitlement {
	first := form.DateOf(now)
	if c.Contract.From != (form.Date{}) && first.Before(c.Contract.From) {
		first = c.Contract.From
	}
	plan := c.Contract.Own().Plan(first, first.AddDays(horizon))
	var all []Entitlement
	for i := range c.Contract.MarketLocations {
		m := &c.Contract.MarketLocations[i]
		rows := form.Rows
		if grid, _ := form.GridState.Row(); m.GridState != nil {
			rows = append(slices.Clone(rows), grid)
		}
		for _, row := range rows {
			if !row.For(m.Class) {
				continue
			}
			e := Entitlement{MaLo: m.MaLo, Row: row.Number, Rhythm: row.Rhythm, Purpose: row.Purpose, Occasions: occasions(m, row.Number)}
			e.HowOften = e.howOften()
			for _, role := range row.To {
				if r, ok := m.Receiver(role); ok {
					to := Recipient{r.Role, r.PartnerID, c.EndpointOf(r), nextDue(plan, row.Number, m.MaLo, role, now)}
					if e.NextDue == nil || to.NextDue != nil && to.NextDue.Before(*e.NextDue) {
						e.NextDue = to.NextDue
					}
					e.To = append(e.To, to)
				}
			}
			for _, item := range row.Of(m) {
				e.Values = append(e.Values, Content{item.Kind, item.Of.Code(m.Direction)})
			}
			all = append(all, e)
		}
	}
	return all
}

// nextDue is when the first payload of a plan is due after now, nil where none is.
func nextDue(plan []form.Due, row form.RowNumber, malo form.MarketLocationID, to form.Role, now time.Time) *time.Time {
	for _, d := range plan {
		if d.Row == row && d.MaLo == malo && d.To == to && d.At.After(now) {
			return &d.At
		}
	}
	return nil
}

// howOften says it in words: when momentary figures are sent by themselves, and
// else the rhythm.
func (e *Entitlement) howOften() string {
	name, _ := InWords(e.Rhythm)
	o := e.Occasions
	if o == nil {
		return name
	}
	var words []string
	if o.Every != "" {
		words = append(words, "every "+strings.Replace(o.Every, "m", " min", 1))
	}
	for _, threshold := range []string{o.Above, o.Below} {
		if threshold != "" {
			words = append(words, "across "+threshold+" kW")
		}
	}
	if e.Row != form.GridState {
		words = append(words, name)
	}
	return strings.Join(words, ", ")
}

// InWords names how often a row is sent, and says what that means.
func InWords(r form.Rhythm) (name, meaning string) {
	switch r {
	case form.EachMonth:
		return "monthly", "by 12:00 on the 1st, about the month before"
	case form.EachWorkingDay:
		return "every working day", "by 11:00, about all days since the last working day"
	case form.OnEvent:
		return "on events", "by the end of the 5th day after it: supply starts or ends, a device is built in, removed or taken over, a parameter changes"
	}
	return "on demand", "once when the network operator asks for it; beside that only as the contract says: on the clock, or when the power crosses a threshold"
}

// NotSent lists the rows of the form that apply to none of the contract's
// market locations.
func (c *Config) NotSent() []form.Row {
	return slices.DeleteFunc(slices.Clone(form.Rows), func(r form.Row) bool {
		return slices.ContainsFunc(c.Contract.MarketLocations, func(m form.MarketLocation) bool { return r.For(m.Class) })
	})
}

// Idle lists the meters that no market location is measured by.
func (c *Config) Idle() []Meter {
	return slices.DeleteFunc(slices.Clone(c.Meters), func(meter Meter) bool {
		return slices.ContainsFunc(c.Contract.MarketLocations, func(m form.MarketLocation) bool { return m.Meter == meter.Name })
	})
}

// Endpoints lists every address that payloads are delivered to, the head-end first.
func (c *Config) Endpoints() []string {
	var all []string
	for _, m := range c.Contract.MarketLocations {
		for _, r := range m.Receivers {
			all = append(all, c.EndpointOf(r))
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if (a == c.HeadEnd.Endpoint) != (b == c.HeadEnd.Endpoint) {
			if a == c.HeadEnd.Endpoint {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return slices.Compact(all)
}
