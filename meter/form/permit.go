package form

import (
	"fmt"
	"slices"
	"strings"

	"smgw/meter"
)

// DeniedError says why a contract does not entitle a payload. Default deny: no
// row, no receiver, no period of the calendar, no payload.
type DeniedError struct {
	Row  RowNumber
	MaLo MarketLocationID
	Why  string
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("row %d for market location %s: %s", e.Row, e.MaLo, e.Why)
}

// Permits reports whether the contract that held entitles a payload that somebody
// built: row, class, receiver, period and values. A history from the beginning of
// time does not know where a gateway's work begins or ends, and takes any part of
// a period of the calendar for one that it cut. Errors are *DeniedError.
func (h *History) Permits(p *Payload) error {
	c, m, row, to, err := h.entitled(Due{Row: p.Row, MaLo: p.MaLo, To: p.To, Period: p.Period})
	if err != nil {
		return err
	}
	deny := func(format string, args ...any) error {
		return &DeniedError{p.Row, p.MaLo, fmt.Sprintf(format, args...)}
	}
	if to.PartnerID != p.PartnerID {
		return deny("%s is market partner %s, not %s", p.To, to.PartnerID, p.PartnerID)
	}
	if p.Edition != c.Edition {
		return deny("the contract runs on edition %s, not %s", c.Edition, p.Edition)
	}
	if p.MeLo != c.MeLo {
		return deny("the metering location is %s, not %s", c.MeLo, p.MeLo)
	}
	if row.Rhythm == OnDemand {
		return c.permitsMoment(m, p)
	}
	if !p.Moment.IsZero() {
		return deny("it is about a period and no moment")
	}
	if err := h.period(c, m, row, to.Role, p.Period, h.Versions[0].From == always); err != nil {
		return err
	}
	items := row.over(m, p.Period)
	for i, v := range p.Values {
		same := func(item Item) bool { return item.Kind == v.Kind && item.Of.Code(m.Direction) == v.Code }
		if !slices.ContainsFunc(items, same) {
			return deny("it has no %s of %s", v.Kind, v.Code.Short())
		}
		if slices.ContainsFunc(p.Values[:i], func(w Value) bool { return w.Kind == v.Kind && w.Code == v.Code }) {
			return deny("%s of %s is there twice", v.Kind, v.Code.Short())
		}
		if !v.within(p.Period) {
			return deny("%s of %s lies outside the period", v.Kind, v.Code.Short())
		}
		if v.Final && v.State != Preliminary {
			return deny("%s of %s is final, and %s: only what is preliminary needs to say so", v.Kind, v.Code.Short(), v.State)
		}
	}
	return nil
}

// within reports whether a value says something about the period and no more.
func (v *Value) within(p Period) bool {
	switch v.Kind {
	case Energy:
		return true
	case MaxPower:
		return v.At == 0 && !v.Amount.Valid || p.From <= v.At && v.At < p.To
	case Register:
		return v.At == p.To
	case LoadProfile:
		return v.At == p.From && meter.Quarter(len(v.Intervals)) == p.To-p.From
	}
	return false
}

// entitled finds the market location and the row that applies to it.
func (c *Contract) entitled(id MarketLocationID, n RowNumber) (*MarketLocation, Row, error) {
	m := c.Location(id)
	if m == nil {
		return nil, Row{}, &DeniedError{n, id, "the contract has no such market location"}
	}
	row, ok := n.Row()
	if !ok {
		return nil, Row{}, &DeniedError{n, id, "the form has rows 1 to 9"}
	}
	if n == GridState && m.GridState == nil {
		return nil, Row{}, &DeniedError{n, id, "it is an order of the grid's state after § 56 MsbG, and the contract has none"}
	}
	if !row.For(m.Class) {
		return nil, Row{}, &DeniedError{n, id, fmt.Sprintf("the row is for %s, and this market location is of class %s", classNames(row.Classes), m.Class)}
	}
	return m, row, nil
}

func (c *Contract) receiver(m *MarketLocation, row Row, role Role) (Receiver, error) {
	if !slices.Contains(row.To, role) {
		return Receiver{}, &DeniedError{row.Number, m.MaLo, fmt.Sprintf("the row goes to %s, not to %s", roleNames(row.To), role)}
	}
	to, ok := m.Receiver(role)
	if !ok {
		return Receiver{}, &DeniedError{row.Number, m.MaLo, fmt.Sprintf("no receiver is given for %s", role)}
	}
	return to, nil
}

// entitled finds the contract that governs a due date, the market location and the
// row that apply to it, and the receiver.
func (h *History) entitled(d Due) (c *Contract, m *MarketLocation, row Row, to Receiver, err error) {
	c = h.Governing(d.Period)
	if c == nil {
		return nil, nil, Row{}, Receiver{}, noContract(d.Row, d.MaLo, d.Period)
	}
	if m, row, err = c.entitled(d.MaLo, d.Row); err == nil {
		to, err = c.receiver(m, row, d.To)
	}
	return c, m, row, to, err
}

func noContract(n RowNumber, id MarketLocationID, p Period) error {
	return &DeniedError{n, id, fmt.Sprintf("no contract holds at %s", Local(last(p)))}
}

// period reports whether a row has such a period: one of the calendar, as far as
// the receiver's claim goes, or the span before an event. anyPart accepts any part
// of one of the calendar.
func (h *History) period(c *Contract, m *MarketLocation, row Row, role Role, p Period, anyPart bool) error {
	deny := func(why string) error {
		return &DeniedError{row.Number, m.MaLo, fmt.Sprintf(why+" from %s to %s", Local(p.From), Local(p.To))}
	}
	claimed := h.span(c.claim(m, row.Number, role), last(p))
	switch row.Rhythm {
	case OnDemand:
		return &DeniedError{row.Number, m.MaLo, "it is not a regular row: it is due on demand, and says one instant"}
	case OnEvent:
		if p.To < p.From || p != p.and(claimed) || p.From < p.To && p.From < lastFirst(p.To) {
			return deny("no event has a span")
		}
		return nil
	}
	if p.To <= p.From {
		return deny("the calendar has no period")
	}
	whole := newCalendar(h).period(row.Rhythm, p.To-1)
	if want := whole.and(claimed); p == want || anyPart && p == p.and(want) {
		return nil
	}
	return deny("the calendar has no period")
}

// lastFirst is the first of a month, 00:00 local, that is the last before a boundary.
func lastFirst(q meter.Quarter) meter.Quarter {
	return DateOf((q - 1).Time()).FirstOfMonth().Midnight()
}

func irregular(m *MarketLocation, row Row) error {
	why := "it is not a regular row: it is due on demand"
	if row.Rhythm == OnEvent {
		why = "it is not a regular row: it is due on events"
	}
	return &DeniedError{row.Number, m.MaLo, why}
}

func classNames(classes []Class) string {
	names := strings.Trim(fmt.Sprint(classes), "[]")
	if len(classes) == 1 {
		return "class " + names
	}
	return "classes " + names
}
