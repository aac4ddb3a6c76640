package form

import (
	"fmt"
	"slices"
	"strings"

	"smgw/meter"
)

// EventKind is an occasion on which rows 2 and 3 are due (FORM.md, "The rows").
type EventKind struct{ name string }

var (
	SupplyStarts      = EventKind{"supply_start"}       // Lieferbeginn
	SupplyEnds        = EventKind{"supply_end"}         // Lieferende
	DeviceBuiltIn     = EventKind{"device_built_in"}    // Geräteeinbau
	DeviceRemoved     = EventKind{"device_removed"}     // Geräteausbau
	DeviceTakenOver   = EventKind{"device_taken_over"}  // Geräteübernahme
	ParametersChanged = EventKind{"parameters_changed"} // Parameteränderung
)

var eventKinds = []EventKind{SupplyStarts, SupplyEnds, DeviceBuiltIn, DeviceRemoved, DeviceTakenOver, ParametersChanged}

// ParseEventKind reads "supply_start" and so on.
func ParseEventKind(s string) (EventKind, error) {
	if k := (EventKind{s}); slices.Contains(eventKinds, k) {
		return k, nil
	}
	var names []string
	for _, k := range eventKinds {
		names = append(names, k.name)
	}
	return EventKind{}, fmt.Errorf("event %q: want %s or %s", s, strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}

func (k EventKind) String() string                { return k.name }
func (k EventKind) MarshalText() ([]byte, error)  { return []byte(k.name), nil }
func (k *EventKind) UnmarshalText(b []byte) error { return set(k, b, ParseEventKind) }

// Device reports whether the event is one of a device, and not of a contract.
func (k EventKind) Device() bool {
	return k == DeviceBuiltIn || k == DeviceRemoved || k == DeviceTakenOver
}

// Event is something that happened to a market location, or to a meter and all its
// market locations.
type Event struct {
	Kind  EventKind        `json:"kind"`
	MaLo  MarketLocationID `json:"malo,omitzero"`  // zero: every location of the meter
	Meter string           `json:"meter,omitzero"` // "" with MaLo
	// At is the confirmed date, a local midnight; of a device that was removed the
	// boundary of its last reading, of one that was built in that of its first.
	At meter.Quarter `json:"at"`
}

// of reports whether the event concerns a market location.
func (e Event) of(m *MarketLocation) bool {
	if e.MaLo != (MarketLocationID{}) {
		return e.MaLo == m.MaLo
	}
	return e.Meter == m.Meter
}

// Occasioned lists the payloads of rows 2 and 3 that events make due, of those
// events that lie after one boundary and not after another, sorted as Plan. The
// events are all that are known, in any order and also earlier ones: each is a
// reading date from which the next one's span begins. What the History implies
// (Implied) is not among them unless the caller puts it there.
//
// Who was entitled before the event gets energy and registers of the span since
// the last reading date. A supplier who begins with the event gets the registers
// at that instant alone: what lay before is the business of the one before him.
func (h *History) Occasioned(events []Event, after, upTo meter.Quarter) []Due {
	var due []Due
	for _, e := range events {
		if e.At <= after || upTo < e.At {
			continue
		}
		told := map[MarketLocationID]bool{}
		for _, q := range [...]meter.Quarter{e.At - 1, e.At} {
			c := h.At(q)
			if c == nil {
				continue
			}
			for i := range c.MarketLocations {
				if m := &c.MarketLocations[i]; e.of(m) && !told[m.MaLo] {
					told[m.MaLo] = true
					due = h.occasioned(due, e, m.MaLo, events)
				}
			}
		}
	}
	slices.SortFunc(due, func(a, b Due) int {
		if n := a.compare(b); n != 0 {
			return n
		}
		return slices.Index(tells, a.Event) - slices.Index(tells, b.Event)
	})
	// Events that say the same to the same receiver are one payload.
	return slices.CompactFunc(due, func(a, b Due) bool { return a.compare(b) == 0 })
}

// tells is which of several events at one boundary names the payload: a device
// before a contract, because it decides whose reading it is.
var tells = []EventKind{DeviceRemoved, DeviceBuiltIn, DeviceTakenOver, SupplyEnds, SupplyStarts, ParametersChanged}

// occasioned appends what one event makes due about one market location.
func (h *History) occasioned(list []Due, e Event, malo MarketLocationID, events []Event) []Due {
	before, after := h.eventClaims(malo, e.At-1), h.eventClaims(malo, e.At)
	due := Due{MaLo: malo, Event: e.Kind, At: DateOf(e.At.Time()).AddDays(6).Midnight().Time()}
	add := func(k claim, from meter.Quarter) {
		row, _ := k.row.Row()
		due.Row, due.To, due.Period, due.Purpose = k.row, k.role, Period{from, e.At}, row.Purpose
		list = append(list, due)
	}
	if e.Kind != DeviceBuiltIn || !h.removedBefore(e, malo, events) {
		for _, k := range before {
			add(k, max(h.lastReading(e.At, malo, events), h.span(k, e.At-1).From))
		}
	} else {
		before = nil
	}
	if e.Kind == SupplyEnds || e.Kind == DeviceRemoved {
		return list
	}
	for _, k := range after {
		known := func(b claim) bool { return b.role == k.role && b.partner == k.partner }
		if !slices.ContainsFunc(before, known) {
			add(k, e.At)
		}
	}
	return list
}

// eventClaims lists the claims to event rows about a market location that hold in
// a quarter hour.
func (h *History) eventClaims(malo MarketLocationID, q meter.Quarter) []claim {
	c := h.At(q)
	if c == nil {
		return nil
	}
	return slices.DeleteFunc(c.claims(OnEvent), func(k claim) bool { return k.malo != malo })
}

// lastReading is the last reading date before a boundary: the first of a month, or
// an event of the market location.
func (h *History) lastReading(at meter.Quarter, malo MarketLocationID, events []Event) meter.Quarter {
	from := lastFirst(at)
	for _, e := range events {
		if from < e.At && e.At < at && h.concerns(e, malo) {
			from = e.At
		}
	}
	return from
}

// removedBefore reports whether a removal at or before the building in of a device
// told already what lay before.
func (h *History) removedBefore(in Event, malo MarketLocationID, events []Event) bool {
	var removed, built meter.Quarter = always, always
	for _, e := range events {
		switch {
		case !h.concerns(e, malo):
		case e.Kind == DeviceRemoved && e.At <= in.At:
			removed = max(removed, e.At)
		case e.Kind == DeviceBuiltIn && e.At < in.At:
			built = max(built, e.At)
		}
	}
	return removed != always && built <= removed
}

// concerns reports whether an event is one of a market location.
func (h *History) concerns(e Event, malo MarketLocationID) bool {
	for _, q := range [...]meter.Quarter{e.At - 1, e.At} {
		if c := h.At(q); c != nil {
			if m := c.Location(malo); m != nil && e.of(m) {
				return true
			}
		}
	}
	return false
}

// Implied lists the events that the contracts themselves say, ascending: the
// parameters of a market location change where its class, transformer factor or
// tariffs do, and supply ends and starts where it gets another supplier.
func (h *History) Implied() []Event {
	var events []Event
	for i := 1; i < len(h.Versions); i++ {
		at := h.Versions[i].From
		old, new := h.At(at-1), h.Versions[i].Contract
		if old == nil || h.version(at) != i {
			continue // it never held, or nothing before it
		}
		for j := range old.MarketLocations {
			events = append(events, implied(old, new, &old.MarketLocations[j], at)...)
		}
		for j := range new.MarketLocations {
			if m := &new.MarketLocations[j]; old.Location(m.MaLo) == nil {
				events = append(events, Event{Kind: SupplyStarts, MaLo: m.MaLo, At: at})
			}
		}
	}
	return events
}

// implied lists what a new contract means for a market location of the old one.
func implied(old, new *Contract, m *MarketLocation, at meter.Quarter) (events []Event) {
	n := new.Location(m.MaLo)
	if n == nil {
		return []Event{{Kind: SupplyEnds, MaLo: m.MaLo, At: at}}
	}
	if old.TransformerFactor != new.TransformerFactor || m.Class != n.Class || m.TwoTariffs != n.TwoTariffs || !slices.EqualFunc(m.HighTimes, n.HighTimes, HighTime.equal) {
		events = append(events, Event{Kind: ParametersChanged, MaLo: m.MaLo, At: at})
	}
	was, _ := m.Receiver(LF)
	if is, _ := n.Receiver(LF); is.PartnerID != was.PartnerID {
		events = append(events, Event{Kind: SupplyEnds, MaLo: m.MaLo, At: at}, Event{Kind: SupplyStarts, MaLo: m.MaLo, At: at})
	}
	return events
}

func (h HighTime) equal(o HighTime) bool {
	return h.From == o.From && h.To == o.To && slices.Equal(h.Days, o.Days)
}
