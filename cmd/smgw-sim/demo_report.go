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
	r.OK = len(d.failed) == 0

	d.drawDay(deliveries)
	fmt.Fprintf(d.out, "\ntelegrams: %d sent, %d read; %d regions of the line refused\n", sent, r.Telegrams.Read, r.Telegrams.Rejected)
	fmt.Fprintf(d.out, "energy:    the meter counted %s Wh, the head-end's load profiles add up to %s Wh\n", r.EnergyWh.Meter, r.EnergyWh.HeadEnd)
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	return r, os.WriteFile(d.path(reportFile), append(text, '\n'), 0o644)
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
	start := d.home.Since()
	for _, due := range form.Plan(&d.config.Contract, demoFrom, form.DateOf(demoUntil)) {
		if due.At.After(demoUntil) || !due.Period.To.Time().After(start) {
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

// matchEnergy adds up the load profiles of each receiver and holds the sums
// against what the meter counted between their first and last boundary.
func (d *demo) matchEnergy(r *demoReport, deliveries []headend.Delivery) {
	atMeter, atHeadEnd := decimal.Zero, decimal.Zero
	for _, m := range d.config.Contract.MarketLocations {
		for _, to := range m.Receivers {
			var span form.Period
			sum, intervals := decimal.Zero, 0
			for _, x := range deliveries {
				for _, v := range x.Payload.Values {
					if x.Payload.MaLo != m.MaLo || x.Payload.To != to.Role || v.Kind != form.LoadProfile {
						continue
					}
					if span.To == 0 || x.Payload.Period.From < span.From {
						span.From = x.Payload.Period.From
					}
					span.To = max(span.To, x.Payload.Period.To)
					for _, i := range v.Intervals {
						d.check(i.State == form.True, "a quarter hour of %s for %s is %s", m.MaLo, to.Role, i.State)
						sum = sum.Add(i.Amount.Decimal.Shift(3))
						intervals++
					}
				}
			}
			if intervals == 0 {
				continue // no row of this receiver has a load profile
			}
			meter := d.counted(m.Direction, span)
			d.check(intervals == int(span.To-span.From), "the load profiles of %s for %s have %d quarter hours, not %d", m.MaLo, to.Role, intervals, span.To-span.From)
			d.check(sum.Equal(meter), "the load profiles of %s for %s add up to %s Wh, the meter counted %s Wh", m.MaLo, to.Role, sum, meter)
			if to.Role == form.LF {
				atMeter, atHeadEnd = atMeter.Add(meter), atHeadEnd.Add(sum)
				r.From, r.To = local(span.From.Time()), local(span.To.Time())
			}
		}
	}
	r.EnergyWh.Meter, r.EnergyWh.HeadEnd = atMeter.String(), atHeadEnd.String()
	d.check(atHeadEnd.IsPositive(), "the head-end has no load profile")
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
