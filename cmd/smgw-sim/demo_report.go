package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/shopspring/decimal"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
)

// demoReport is report.json. Instants are local, with their offset.
type demoReport struct {
	From     string        `json:"from"` // first boundary of the load profiles
	To       string        `json:"to"`   // last
	Payloads []demoPayload `json:"payloads"`
	EnergyWh struct {
		Meter   string `json:"meter"`   // what the simulated meter counted, drawn and fed in
		HeadEnd string `json:"headend"` // what the head-end's load profiles add up to
	} `json:"energy_wh"`
	Telegrams struct {
		Read     int64 `json:"read"`
		Rejected int64 `json:"rejected"`
	} `json:"telegrams"`
	OK bool `json:"ok"`
}

type demoPayload struct {
	ID        string `json:"id"`
	Row       int    `json:"row"`
	MaLo      string `json:"malo"`
	To        string `json:"to"`
	Due       string `json:"due"`
	Delivered string `json:"delivered"`
	Bytes     int    `json:"bytes"`
}

// address is what makes a payload of one contract another one than all others.
type address struct {
	row    form.RowNumber
	malo   form.MarketLocationID
	to     form.Role
	period form.Period
}

// report compares what is at the head-end with what was due and with what the
// meter counted, prints it, and writes report.json.
func (d *demo) report(ctx context.Context, sent int64) (*demoReport, error) {
	deliveries, err := d.headEnd.Deliveries(ctx)
	if err != nil {
		return nil, err
	}
	acknowledged := map[string]time.Time{} // by id, on the agent's clock
	err = control.Journal(ctx, agent.SocketPath(d.config), func(e buffer.Entry) error {
		if e.Kind == agent.Delivered {
			acknowledged[e.Detail["id"]] = e.At
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var status control.Status
	if err := control.Get(ctx, agent.SocketPath(d.config), control.StatusPath, &status); err != nil {
		return nil, err
	}

	r := &demoReport{}
	d.matchPlan(r, deliveries, acknowledged)
	d.matchEnergy(r, deliveries)
	line := status.Meters[0].Line
	r.Telegrams.Read = line.Telegrams
	for _, n := range line.Refused {
		r.Telegrams.Rejected += n
	}
	d.check(r.Telegrams.Rejected > 0 && line.Telegrams < sent, "the line's noise spoiled no telegram")
	d.drawDay(deliveries)
	fmt.Fprintf(d.out, "\ntelegrams: %d sent, %d read; %d regions of the line refused\n", sent, r.Telegrams.Read, r.Telegrams.Rejected)
	fmt.Fprintf(d.out, "energy:    the meter counted %s Wh, the head-end's load profiles add up to %s Wh\n", r.EnergyWh.Meter, r.EnergyWh.HeadEnd)
	return r, nil
}

// write writes report.json.
func (r *demoReport) write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// check notes what does not hold.
func (d *demo) check(holds bool, format string, args ...any) {
	if !holds {
		d.failed = append(d.failed, fmt.Sprintf(format, args...))
	}
}

// matchPlan holds the deliveries against what the form made due, and prints
// the table.
func (d *demo) matchPlan(r *demoReport, deliveries []headend.Delivery, acknowledged map[string]time.Time) {
	delivered := map[address]headend.Delivery{}
	for _, x := range deliveries {
		delivered[address{x.Payload.Row, x.Payload.MaLo, x.Payload.To, x.Payload.Period}] = x
	}
	d.check(len(delivered) == len(deliveries), "the head-end has a payload under two ids")

	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "row\tmarket location\tto\tperiods\tdue\tdelivered\tlate\tbytes\tpurpose")
	type line struct{ due, delivered, late, bytes int }
	count := map[address]*line{} // by row, market location and receiver
	purpose := map[form.RowNumber]string{}
	h := form.History{Versions: []form.Version{{From: meter.QuarterOf(d.home.Since()), Contract: &d.config.Contract}}}
	for _, due := range h.Plan(demoFrom, form.DateOf(demoUntil)) {
		if due.At.After(demoUntil) {
			continue
		}
		purpose[due.Row] = due.Purpose
		l := count[address{due.Row, due.MaLo, due.To, form.Period{}}]
		if l == nil {
			l = &line{}
			count[address{due.Row, due.MaLo, due.To, form.Period{}}] = l
		}
		l.due++
		x, found := delivered[address{due.Row, due.MaLo, due.To, due.Period}]
		at, known := acknowledged[x.ID]
		d.check(found && known, "row %d of %s for %s, due %s, was not delivered", due.Row, due.MaLo, due.To, local(due.At))
		if !found {
			continue
		}
		l.delivered++
		l.bytes += x.Bytes
		if at.After(due.At) {
			l.late++
			d.check(!due.At.Before(outageFrom) && due.At.Before(outageEnd), "row %d of %s for %s, due %s, came late at %s", due.Row, due.MaLo, due.To, local(due.At), local(at))
		}
		r.Payloads = append(r.Payloads, demoPayload{
			ID: x.ID, Row: int(due.Row), MaLo: due.MaLo.String(), To: due.To.String(),
			Due: local(due.At), Delivered: local(at), Bytes: x.Bytes,
		})
	}
	late := 0
	for _, l := range count {
		late += l.late
	}
	d.check(late > 0, "nothing came late, though the head-end was away for three days")
	d.check(len(r.Payloads) == len(deliveries), "the head-end has %d payloads, and %d were due", len(deliveries), len(r.Payloads))

	keys := make([]address, 0, len(count))
	for k := range count {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b address) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.malo.String(), b.malo.String()), cmp.Compare(a.to.String(), b.to.String()))
	})
	for _, k := range keys {
		l, rhythm := count[k], "days"
		if row, _ := k.row.Row(); row.Rhythm == form.EachMonth {
			rhythm = "months"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", k.row, k.malo, k.to, rhythm, l.due, l.delivered, l.late, l.bytes, purpose[k.row])
	}
	w.Flush()
}

// matchEnergy holds every figure at the head-end against what the meter counted:
// each quarter hour, each receiver's sum, each month.
func (d *demo) matchEnergy(r *demoReport, deliveries []headend.Delivery) {
	atMeter, atHeadEnd := decimal.Zero, decimal.Zero
	for i := range d.config.Contract.MarketLocations {
		m := &d.config.Contract.MarketLocations[i]
		for _, to := range m.Receivers {
			profile := d.profile(m, to.Role, deliveries)
			if len(profile.intervals) == 0 {
				continue // no row of this receiver has a load profile
			}
			counted, sum := d.counted(m.Direction, profile.span), decimal.Zero
			for _, q := range profile.intervals {
				sum = sum.Add(q.Amount.Decimal.Shift(3))
			}
			d.check(sum.Equal(counted), "the load profiles of %s for %s add up to %s Wh, the meter counted %s Wh", m.MaLo, to.Role, sum, counted)
			if to.Role == form.LF {
				atMeter, atHeadEnd = atMeter.Add(counted), atHeadEnd.Add(sum)
				r.From, r.To = local(profile.span.From.Time()), local(profile.span.To.Time())
				d.matchMonths(m, profile, deliveries)
			}
		}
	}
	r.EnergyWh.Meter, r.EnergyWh.HeadEnd = atMeter.String(), atHeadEnd.String()
	d.check(atHeadEnd.IsPositive(), "the head-end has no load profile")
}

// loadProfile is all that one receiver got of one market location's profile.
type loadProfile struct {
	span      form.Period
	intervals map[meter.Quarter]form.Quantity
}

// profile collects it, and holds each quarter hour against the meter.
func (d *demo) profile(m *form.MarketLocation, to form.Role, deliveries []headend.Delivery) loadProfile {
	p := loadProfile{intervals: map[meter.Quarter]form.Quantity{}}
	for _, x := range deliveries {
		for _, v := range x.Payload.Values {
			if x.Payload.MaLo != m.MaLo || x.Payload.To != to || v.Kind != form.LoadProfile {
				continue
			}
			if p.span.To == 0 || x.Payload.Period.From < p.span.From {
				p.span.From = x.Payload.Period.From
			}
			p.span.To = max(p.span.To, x.Payload.Period.To)
			for i, q := range v.Intervals {
				at := x.Payload.Period.From + meter.Quarter(i)
				p.intervals[at] = q
				d.check(q.State == form.True, "the quarter hour %s of %s for %s is %s", at, m.MaLo, to, q.State)
				// One that was read off its boundary, for noise, says so.
				counted := d.counted(m.Direction, form.Period{From: at, To: at + 1})
				d.check(q.Warning != form.NoWarning || q.Amount.Decimal.Shift(3).Equal(counted),
					"the quarter hour %s of %s for %s has %s kWh, the meter counted %s Wh", at, m.MaLo, to, q.Amount.Decimal, counted)
			}
		}
	}
	d.check(len(p.intervals) == int(p.span.To-p.span.From), "the load profiles of %s for %s have %d quarter hours, not %d", m.MaLo, to, len(p.intervals), p.span.To-p.span.From)
	return p
}

// matchMonths holds the monthly rows against the meter and the load profile.
func (d *demo) matchMonths(m *form.MarketLocation, profile loadProfile, deliveries []headend.Delivery) {
	whole := 0
	for _, x := range deliveries {
		month := x.Payload.Period
		if row, _ := x.Payload.Row.Row(); x.Payload.MaLo != m.MaLo || row.Rhythm != form.EachMonth {
			continue
		}
		for _, v := range x.Payload.Values {
			var want decimal.Decimal
			switch v.Kind {
			case form.Energy:
				if month.From < profile.span.From {
					d.check(v.State == form.Missing, "row %d has energy of a month whose beginning nobody read", x.Payload.Row)
					continue
				}
				whole++
				want = d.counted(m.Direction, month).Shift(-3)
			case form.Register:
				want = d.shown(m.Direction, month.To).Shift(-3)
			case form.MaxPower:
				for at := max(month.From, profile.span.From); at < month.To; at++ {
					want = decimal.Max(want, profile.intervals[at].Amount.Decimal.Mul(decimal.NewFromInt(4)))
				}
			}
			d.check(v.Warning != form.NoWarning || v.Amount.Decimal.Equal(want), "row %d of %s for %s until %s: %s is %s, and should be %s",
				x.Payload.Row, m.MaLo, x.Payload.To, local(month.To.Time()), v.Kind, v.Amount.Decimal, want)
		}
	}
	d.check(whole > 0, "no month of %s was whole", m.MaLo)
}

// drawDay draws what the supplier got about one day, both directions.
func (d *demo) drawDay(deliveries []headend.Delivery) {
	day := form.Date{Year: 2026, Month: time.October, Day: 29}
	for _, m := range d.config.Contract.MarketLocations {
		for _, x := range deliveries {
			if p := x.Payload; p.MaLo == m.MaLo && p.To == form.LF && p.Row == 6 && p.Period.From == day.Midnight() {
				fmt.Fprintln(d.out)
				drawProfile(d.out, fmt.Sprintf("%s, %s %s", day, map[form.Direction]string{form.Draw: "drawn by", form.FeedIn: "fed in by"}[m.Direction], m.MaLo), p.Values[0].Intervals)
			}
		}
	}
}

func local(t time.Time) string { return t.In(form.Berlin).Format(time.RFC3339) }
