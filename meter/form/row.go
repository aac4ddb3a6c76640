package form

import (
	"slices"

	"smgw/meter/obis"
)

// RowNumber is the number of a row of the form, 1 to 9, or GridState.
type RowNumber int

// Row is one line of the form: who gets which data, how often and for what.
type Row struct {
	Number  RowNumber
	To      []Role // alphabetical
	Classes []Class
	Rhythm  Rhythm
	Purpose string // as the form says it, in German
	Items   []Item // what a payload of the row holds, in this order
}

// Rhythm says when a row falls due.
type Rhythm uint8

const (
	EachMonth      Rhythm = iota + 1 // the 1st after the month, 12:00
	EachWorkingDay                   // 11:00, all days since the working day before
	OnEvent                          // once, by the 5th calendar day after the event
	OnDemand                         // once on demand, on a threshold or periodically
)

// Regular reports whether the calendar alone says when the row is due.
func (r Rhythm) Regular() bool { return r == EachMonth || r == EachWorkingDay }

// Item is one quantity of a row.
type Item struct {
	Kind Kind
	Of   Measure
}

// Measure is what an Item is a quantity of: the total, or with two tariffs the
// part of one of them.
type Measure uint8

const (
	Total        Measure = iota + 1
	HighTariff           // HT
	LowTariff            // NT
	Unattributed         // error register: what no tariff could be given to
	PowerFedIn           // momentary active power that is fed in
)

// Code returns the register that keeps the measure in a direction.
func (m Measure) Code(d Direction) obis.Code {
	if m == PowerFedIn {
		return obis.PowerFedIn
	}
	c := obis.Drawn
	if d == FeedIn {
		c = obis.FedIn
	}
	switch m {
	case HighTariff:
		c[4] = 1
	case LowTariff:
		c[4] = 2
	case Unattributed:
		c[4] = 63
	}
	return c
}

var (
	monthly = []Item{{Energy, Total}, {MaxPower, Total}, {Register, Total}}
	tariffs = []Item{{Register, HighTariff}, {Register, LowTariff}, {Register, Unattributed}}
	profile = []Item{{LoadProfile, Total}}
)

// Rows is the form of edition BK6-18-032 (FORM.md, "The rows"). Items of a
// tariff are left out where a market location has one tariff only.
var Rows = []Row{
	{1, []Role{LF}, []Class{ClassA, ClassB, ClassC}, EachMonth, "Verbrauchsinformation nach § 40 Abs. 3 EnWG",
		[]Item{{Energy, Total}, {Register, Total}}},
	{2, []Role{LF, NB}, []Class{ClassA}, OnEvent, "Bilanzierung, Abrechnung",
		slices.Concat([]Item{{Energy, Total}, {Register, Total}}, tariffs)},
	{3, []Role{LF, NB}, []Class{ClassB, ClassC, ClassE}, OnEvent, "Bilanzierung, Abrechnung",
		slices.Concat(monthly, tariffs)},
	{4, []Role{LF, NB}, []Class{ClassA}, EachMonth, "Bilanzierung, Abrechnung",
		slices.Concat(monthly, tariffs)},
	{5, []Role{NB, UENB}, []Class{ClassB, ClassC, ClassE}, EachWorkingDay, "Bilanzierung", profile},
	{6, []Role{LF}, []Class{ClassB, ClassC, ClassE}, EachWorkingDay, "Bilanzierung, Abrechnung", profile},
	{7, []Role{LF, NB}, []Class{ClassB, ClassC}, EachMonth, "Abrechnung",
		slices.Concat(monthly, tariffs)},
	{8, []Role{AB}, []Class{ClassE}, EachMonth, "Abrechnung", monthly},
	{9, []Role{NB}, []Class{ClassE}, OnDemand, "Versorgungssicherheit", []Item{{Momentary, PowerFedIn}}},
}

// Row returns the row of the form with this number, or the order after § 56 MsbG.
func (n RowNumber) Row() (Row, bool) {
	if n == GridState {
		return gridState, true
	}
	if n < 1 || int(n) > len(Rows) {
		return Row{}, false
	}
	return Rows[n-1], true
}

// For reports whether the row applies to a class.
func (r Row) For(c Class) bool { return slices.Contains(r.Classes, c) }

// Of returns the row's items at a market location.
func (r Row) Of(m *MarketLocation) []Item {
	var items []Item
	for _, i := range r.Items {
		tariff := i.Of != Total && i.Of != PowerFedIn
		if tariff && !m.TwoTariffs {
			continue
		}
		if tariff && len(m.HighTimes) > 0 {
			i.Kind = Energy // the gateway keeps no register that a lost store could lose
		}
		items = append(items, i)
	}
	return items
}

// over returns the row's items in a payload of a period: over an instant, as an
// event may ask for, only registers say something.
func (r Row) over(m *MarketLocation, p Period) []Item {
	items := r.Of(m)
	if p.From == p.To {
		items = slices.DeleteFunc(items, func(i Item) bool { return i.Kind != Register })
	}
	return items
}

// rolesOf returns the receivers that a class needs, alphabetical.
func rolesOf(c Class) []Role {
	var roles []Role
	for _, r := range Rows {
		if !r.For(c) {
			continue
		}
		for _, to := range r.To {
			if !slices.Contains(roles, to) {
				roles = append(roles, to)
			}
		}
	}
	slices.SortFunc(roles, Role.compare)
	return roles
}
