package form

import (
	"encoding/json"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/obis"
)

// Local gives a boundary as German local time in RFC 3339, as plans and
// previews write it.
func Local(q meter.Quarter) string { return q.Time().In(Berlin).Format(time.RFC3339) }

// MarshalJSON gives {"from":…,"to":…} in local time.
func (p Period) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		From string `json:"from"`
		To   string `json:"to"`
	}{Local(p.From), Local(p.To)})
}

// MarshalJSON gives a line of `smgw form plan --json`.
func (d Due) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Due     string           `json:"due"`
		Row     RowNumber        `json:"row"`
		MaLo    MarketLocationID `json:"malo"`
		From    Role             `json:"from"`
		To      Role             `json:"to"`
		Period  Period           `json:"period"`
		Purpose string           `json:"purpose"`
	}{d.At.In(Berlin).Format(time.RFC3339), d.Row, d.MaLo, MSB, d.To, d.Period, d.Purpose})
}

// figure is a Quantity as previews show it.
type figure struct {
	Value   *plain  `json:"value"`
	State   State   `json:"state"`
	Reason  Reason  `json:"reason,omitempty"`
	Method  Method  `json:"method,omitempty"`
	Warning Warning `json:"warning,omitempty"`
}

func (q Quantity) figure() figure {
	f := figure{State: q.State, Reason: q.Reason, Method: q.Method, Warning: q.Warning}
	if q.Amount.Valid {
		f.Value = &plain{q.Amount.Decimal}
	}
	return f
}

// plain is a number as decimal text without exponent and trailing zeros.
type plain struct{ decimal.Decimal }

func (p plain) MarshalJSON() ([]byte, error) { return []byte(`"` + p.String() + `"`), nil }

// MarshalJSON gives an interval of a load profile.
func (q Quantity) MarshalJSON() ([]byte, error) { return json.Marshal(q.figure()) }

// MarshalJSON gives a value of `smgw form preview --json`.
func (v Value) MarshalJSON() ([]byte, error) {
	type head struct {
		Code obis.Code `json:"obis"`
		Kind Kind      `json:"kind"`
		Unit string    `json:"unit"`
	}
	h := head{v.Code, v.Kind, v.Unit()}
	switch v.Kind {
	case LoadProfile:
		return json.Marshal(struct {
			head
			Start     string     `json:"start"`
			Intervals []Quantity `json:"intervals"`
		}{h, Local(v.At), v.Intervals})
	case MaxPower:
		var at *string // null where no quarter hour has a value
		if v.Amount.Valid {
			s := Local(v.At)
			at = &s
		}
		return json.Marshal(struct {
			head
			Time *string `json:"time"`
			figure
			MissingIntervals int  `json:"missing_intervals,omitempty"`
			Final            bool `json:"final,omitempty"`
		}{h, at, v.figure(), v.MissingIntervals, v.Final})
	case Register:
		return json.Marshal(struct {
			head
			Time string `json:"time"`
			figure
			Final bool `json:"final,omitempty"`
		}{h, Local(v.At), v.figure(), v.Final})
	}
	return json.Marshal(struct {
		head
		figure
		Final bool `json:"final,omitempty"`
	}{h, v.figure(), v.Final})
}

// MarshalJSON gives a notice as `smgw form verify --json` shows it; what has no
// date is of no boundary.
func (n Notice) MarshalJSON() ([]byte, error) {
	dated := func(q meter.Quarter) (s string) {
		if q != 0 {
			s = Local(q)
		}
		return s
	}
	return json.Marshal(struct {
		Kind  string `json:"kind"`
		From  string `json:"from,omitempty"`
		To    string `json:"to,omitempty"`
		Count int    `json:"count"`
	}{n.Kind, dated(n.From), dated(n.To), n.Count})
}

// MarshalJSON gives the difference that `smgw form verify --json` shows.
func (d Difference) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Payload  *Value `json:"payload"`
		Readings *Value `json:"readings"`
		Notice   string `json:"notice,omitempty"`
	}{d.Payload, d.Readings, d.Notice})
}
