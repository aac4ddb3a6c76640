package config

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/form"
)

// momentary reads the two tables about momentary figures of a market location.
func (d *decoder) momentary(location section, m *form.MarketLocation) {
	if s := location.table("feed_in_power"); s.node != nil {
		f := &form.FeedInPower{}
		var hysteresis decimal.NullDecimal
		read(s, "every", "", parseEvery, &f.Every)
		read(s, "above_kw", "", parsePower, &f.Above)
		read(s, "below_kw", "", parsePower, &f.Below)
		read(s, "hysteresis_kw", "", parsePower, &hysteresis)
		f.Hysteresis = hysteresis.Decimal
		m.FeedInPower = f
		if len(d.spoiled[s.node]) > 0 {
			m.FeedInPower = nil // what follows from it is not said as well
		}
	}
	if s := location.table("grid_state"); s.node != nil {
		g := &form.GridOrder{}
		read(s, "every", `"15m"`, parseEvery, &g.Every)
		read(s, "because", `"eeg_kwkg_plant", "controllable_device_14a" or "above_20000_kwh"`, form.ParseBecause, &g.Because)
		m.GridState = g
	}
}

// table is a table below one of a market location; its node is nil where there is none.
func (s section) table(name string) section {
	return section{s.decoder, s.node.get(name), "[market_location." + name + "]"}
}

func parseEvery(s string) (time.Duration, error) {
	d, err := parseDuration(s)
	if err != nil || d != time.Minute && d != meter.QuarterLength {
		return 0, fmt.Errorf(`duration %q: want "1m" or "15m", which begin on the clock`, s)
	}
	return d, nil
}

// Occasions are when momentary figures are sent by themselves.
type Occasions struct {
	Every      string `json:"every,omitempty"` // "1m" or "15m", on the clock
	Above      string `json:"above_kw,omitempty"`
	Below      string `json:"below_kw,omitempty"`
	Hysteresis string `json:"hysteresis_kw,omitempty"`
	Because    string `json:"because,omitempty"` // what entitles to the grid's state
}

// occasions are those of a row at a market location, nil where there are none.
func occasions(m *form.MarketLocation, row form.RowNumber) *Occasions {
	switch f, g := m.FeedInPower, m.GridState; {
	case row == form.GridState && g != nil:
		return &Occasions{Every: every(g.Every), Because: g.Because.String()}
	case row == 9 && f != nil:
		o := &Occasions{Every: every(f.Every)}
		if f.Above.Valid {
			o.Above = f.Above.Decimal.String()
		}
		if f.Below.Valid {
			o.Below = f.Below.Decimal.String()
		}
		if !f.Hysteresis.IsZero() {
			o.Hysteresis = f.Hysteresis.String()
		}
		return o
	}
	return nil
}

func every(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
