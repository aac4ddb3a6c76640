package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/shopspring/decimal"

	"smgw/meter/form"
)

// locationPlace remembers where a market location and its receivers stand, for
// the contradictions that only show when the contract is whole.
type locationPlace struct {
	section
	receivers  []section
	unreadRole bool // a receiver has a role that is missing or unknown
}

// contract reads [contract] and its market locations, and asks the form whether
// they contradict themselves.
func (d *decoder) contract(root *node, c *Config) {
	s, ok := d.require(root, "contract", true, `edition = "BK6-18-032" and melo = "DE…"`)
	if ok {
		readContract(s, &c.Contract)
	}
	c.Contract.OffsetLimit = c.Readings.OffsetLimit
	all := d.sections(root, "market_location", "[[market_location]]")
	if len(all) == 0 && !slices.Contains(d.spoiled[root], "market_location") {
		d.problem(root.at, "[[market_location]] is missing", "a contract has at least one, with malo, direction, class and its receivers")
	}
	for _, s := range all {
		c.Contract.MarketLocations = append(c.Contract.MarketLocations, d.marketLocation(s, c.Meters))
	}
	d.contradictions(s, c.Contract.Validate())
}

// contradictions reports what the form says against the contract as a whole,
// less what follows from a problem that is reported already.
func (d *decoder) contradictions(contract section, err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		e, ok := errors.AsType[*form.ContractError](err)
		if !ok {
			d.problem(place{1, 1}, err.Error(), "")
			continue
		}
		s := contract
		if e.Location >= 0 {
			l := d.places[e.Location]
			s = l.section
			if e.Receiver >= 0 {
				s = l.receivers[e.Receiver]
			} else if e.Field == "receiver" && (l.reported("receiver") || l.unreadRole) {
				continue // the role that is missing may be the one that cannot be read
			}
		}
		if table, key, inner := strings.Cut(e.Field, "."); inner {
			sub := section{d, s.node.get(table), "[market_location." + table + "]"}
			sub.wrong(key, key+": "+e.What, e.Want)
			continue
		}
		switch {
		case s.node == nil || e.Field == "market_location": // reported as a missing table
		case e.Field == "receiver": // several roles may be missing
			s.problem(s.node.at, e.What, e.Want)
		default:
			s.wrong(e.Field, e.Field+": "+e.What, e.Want)
		}
	}
}

func readContract(s section, c *form.Contract) {
	read(s, "edition", `"BK6-18-032"`, form.ParseEdition, &c.Edition)
	read(s, "melo", `"DE…", DE and 31 capital letters or digits`, form.ParseMeteringLocationID, &c.MeLo)
	read(s, "from", "", form.ParseDate, &c.From)
	c.TransformerFactor = s.whole("transformer_factor", 1)
	readList(s, "extra_holidays", text|date, form.ParseDate, &c.ExtraHolidays)
	read(s, "max_power_kw", "", parsePower, &c.MaxPowerKW)
	read(s, "commissioned", "", parseInstant, &c.Commissioned)
}

// parseInstant reads an instant, with the offset that makes it one: local time
// names two of them when summer time ends.
func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q: want date, time and offset, such as 2026-10-23T10:15:00+02:00", s)
	}
	return t.UTC(), nil
}

// parsePower reads kilowatts, exactly. The exponent of "1e999999999" would
// fill the memory as soon as it is compared, and nobody writes kilowatts so.
func parsePower(s string) (decimal.NullDecimal, error) {
	if number := strings.TrimSpace(strings.TrimRightFunc(s, unicode.IsLetter)); number != s && number != "" {
		return decimal.NullDecimal{}, fmt.Errorf("power %q has a unit: want the number of kilowatts alone, such as 43", s)
	}
	d, err := decimal.NewFromString(strings.ReplaceAll(s, "_", ""))
	if err != nil || strings.ContainsAny(s, "eExob") || !d.IsPositive() {
		return decimal.NullDecimal{}, fmt.Errorf("power %s: want kilowatts above 0, such as 43 or 27.6", s)
	}
	return decimal.NewNullDecimal(d), nil
}

func (d *decoder) marketLocation(s section, meters []Meter) form.MarketLocation {
	here := locationPlace{section: s}
	m := form.MarketLocation{TwoTariffs: s.flag("two_tariffs")}
	read(s, "malo", `"41373559241", the 11 digits of the market location`, form.ParseMarketLocationID, &m.MaLo)
	read(s, "direction", `"draw" or "feed_in"`, form.ParseDirection, &m.Direction)
	if m.Direction == form.FeedIn {
		m.Class = form.ClassE // and where the file gives one all the same, Validate refuses it
	}
	read(s, "class", "", form.ParseClass, &m.Class)
	s.meter(meters, &m.Meter)
	read(s, "interpolate", "", parseDuration, &m.Interpolate)
	for _, h := range d.sections(s.node, "high_tariff", "[[market_location.high_tariff]]") {
		m.HighTimes = append(m.HighTimes, h.highTime())
		if h.reported("from") || h.reported("to") {
			d.spoiled[s.node] = append(d.spoiled[s.node], "high_tariff") // what follows from it is not said as well
		}
	}
	d.momentary(s, &m)
	for _, r := range d.sections(s.node, "receiver", "[[market_location.receiver]]") {
		here.receivers = append(here.receivers, r)
		receiver := r.receiver()
		here.unreadRole = here.unreadRole || receiver.Role == (form.Role{})
		m.Receivers = append(m.Receivers, receiver)
	}
	d.places = append(d.places, here)
	return m
}

// meter finds which meter the market location is measured by. A file without
// any [[meter]] is one for form plan and preview, where the name is free.
func (s section) meter(meters []Meter, to *string) {
	name, given := s.text("meter")
	if len(meters) == 0 {
		*to = DefaultMeter
		if given {
			*to = name
		}
		return
	}
	var names []string
	for _, m := range meters {
		if m.Name == name {
			*to = name
			return
		}
		if quoted := strconv.Quote(m.Name); !slices.Contains(names, quoted) {
			names = append(names, quoted)
		}
	}
	switch {
	case given:
		s.wrong("meter", fmt.Sprintf("meter %q is not in the file", name), "want "+strings.Join(names, " or "))
	case len(names) == 1:
		*to = meters[0].Name
	default:
		s.missing("meter", "there are several meters: want "+strings.Join(names, " or "))
	}
}

func (s section) highTime() form.HighTime {
	var h form.HighTime
	readList(s, "days", text, form.ParseWeekday, &h.Days)
	if n := s.node.get("days"); n != nil && len(n.list) == 0 {
		s.wrong("days", "days is an empty list", "name days, or leave it out for every day")
	}
	read(s, "from", `"06:00"`, form.ParseClockTime, &h.From)
	read(s, "to", `"22:00"`, form.ParseClockTime, &h.To)
	return h
}

func (s section) receiver() form.Receiver {
	var r form.Receiver
	read(s, "role", `"LF", "NB", "ÜNB" or "AB"`, form.ParseRole, &r.Role)
	read(s, "partner_id", `"9900357000004", the 13 digits of the market partner`, form.ParsePartnerID, &r.PartnerID)
	read(s, "endpoint", "", parseEndpoint, &r.Endpoint)
	return r
}
