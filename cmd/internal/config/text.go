package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter/form"
)

// FormatContract writes a contract as the part of a file that it is read from:
// equal contracts, equal texts. The store keeps contracts so, and whoever looks
// into it years later reads them without this program.
func FormatContract(c *form.Contract) []byte {
	w := &writer{}
	if c.OffsetLimit != 0 {
		w.table("[readings]")
		w.text("offset_limit", c.OffsetLimit.String())
	}
	w.table("[contract]")
	w.text("edition", c.Edition.String())
	w.text("melo", c.MeLo.String())
	if c.From != (form.Date{}) {
		w.text("from", c.From.String())
	}
	w.value("transformer_factor", fmt.Sprint(c.TransformerFactor))
	if len(c.ExtraHolidays) > 0 {
		w.value("extra_holidays", texts(c.ExtraHolidays))
	}
	if c.MaxPowerKW.Valid {
		w.text("max_power_kw", c.MaxPowerKW.Decimal.String())
	}
	if !c.Commissioned.IsZero() {
		w.text("commissioned", c.Commissioned.UTC().Format(time.RFC3339Nano))
	}
	for i := range c.MarketLocations {
		w.marketLocation(&c.MarketLocations[i])
	}
	return []byte(w.String())
}

func (w *writer) marketLocation(m *form.MarketLocation) {
	w.table("[[market_location]]")
	w.text("malo", m.MaLo.String())
	w.text("direction", m.Direction.String())
	if m.Direction == form.Draw {
		w.text("class", m.Class.String())
	}
	if m.TwoTariffs {
		w.value("two_tariffs", "true")
	}
	w.text("meter", m.Meter)
	if m.Interpolate != 0 {
		w.text("interpolate", duration(m.Interpolate))
	}
	for _, h := range m.HighTimes {
		w.table("[[market_location.high_tariff]]")
		if len(h.Days) > 0 {
			w.value("days", texts(h.Days))
		}
		w.text("from", h.From.String())
		w.text("to", h.To.String())
	}
	if f := m.FeedInPower; f != nil {
		w.table("[market_location.feed_in_power]")
		if f.Every != 0 {
			w.text("every", duration(f.Every))
		}
		for _, at := range []struct {
			key string
			kw  decimal.NullDecimal
		}{{"above_kw", f.Above}, {"below_kw", f.Below}, {"hysteresis_kw", decimal.NullDecimal{Decimal: f.Hysteresis, Valid: !f.Hysteresis.IsZero()}}} {
			if at.kw.Valid {
				w.text(at.key, at.kw.Decimal.String())
			}
		}
	}
	if g := m.GridState; g != nil {
		w.table("[market_location.grid_state]")
		w.text("every", duration(g.Every))
		w.text("because", g.Because.String())
	}
	for _, r := range m.Receivers {
		w.table("[[market_location.receiver]]")
		w.text("role", r.Role.String())
		w.text("partner_id", r.PartnerID.String())
		if r.Endpoint != "" {
			w.text("endpoint", r.Endpoint)
		}
	}
}

// ParseContract reads what FormatContract wrote. The error is an Errors.
func ParseContract(text []byte) (*form.Contract, error) {
	c, err := parseConfig("contract", text, false)
	if err != nil {
		return nil, err
	}
	return &c.Contract, nil
}

// writer writes TOML.
type writer struct{ strings.Builder }

func (w *writer) table(header string) {
	if w.Len() > 0 {
		w.WriteByte('\n')
	}
	w.WriteString(header + "\n")
}

func (w *writer) text(key, value string) { w.value(key, quoted(value)) }

func (w *writer) value(key, value string) { w.WriteString(key + " = " + value + "\n") }

// texts is a list of them.
func texts[T fmt.Stringer](all []T) string {
	quotes := make([]string, len(all))
	for i, v := range all {
		quotes[i] = quoted(v.String())
	}
	return "[" + strings.Join(quotes, ", ") + "]"
}

// duration is as people write one: 2h, 45m, 27s.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// quoted is a basic string of TOML.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
