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

// Permits reports whether the contract entitles a payload that somebody built:
// row, class, receiver, period and values. Errors are *DeniedError.
func (c *Contract) Permits(p *Payload) error {
	m, row, err := c.entitled(p.MaLo, p.Row)
	if err != nil {
		return err
	}
	deny := func(format string, args ...any) error {
		return &DeniedError{p.Row, p.MaLo, fmt.Sprintf(format, args...)}
	}
	to, err := c.receiver(m, row, p.To)
	if err != nil {
		return err
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
	if err := c.calendarPeriod(m, row, p.Period); err != nil {
		return err
	}
	items := row.Of(m)
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

// calendarPeriod reports whether a regular row has such a period.
func (c *Contract) calendarPeriod(m *MarketLocation, row Row, p Period) error {
	end := DateOf(p.To.Time())
	start := end
	calendar := newCalendar(c.ExtraHolidays)
	switch {
	case row.Rhythm == EachWorkingDay && calendar.working(end):
		start = calendar.workingDayBefore(end)
	case row.Rhythm == EachMonth && end.Day == 1:
		start = end.AddDays(-1).FirstOfMonth()
	case !row.Rhythm.Regular():
		return irregular(m, row)
	}
	if start == end || p != (Period{start.Midnight(), end.Midnight()}) {
		return &DeniedError{row.Number, m.MaLo, fmt.Sprintf("the calendar has no period from %s to %s for it", p.From, p.To)}
	}
	return nil
}

func irregular(m *MarketLocation, row Row) error {
	return &DeniedError{row.Number, m.MaLo, "it is not a regular row: it is due on events or on demand"}
}

func classNames(classes []Class) string {
	names := strings.Trim(fmt.Sprint(classes), "[]")
	if len(classes) == 1 {
		return "class " + names
	}
	return "classes " + names
}
