// Package sim is the simulated meter: a household, and a roof where it has
// one, behind a meter of any family in the field, whose optical head pushes
// SML telegrams at the rate, at the speed and with the faults of real ones.
//
//	home := sim.NewHousehold(sim.Options{Seed: 1, Since: since, RoofPeak: 8000})
//	head := sim.Head{Meter: sim.NewMeter(home, model, device), Start: since, Interval: time.Second}
//	err := head.Run(ctx, port)
//
// A household is a function of its seed and of time: the same seed draws the
// same energy for ever, on every machine. What it has counted at an instant is
// Household.Registers; that is the truth which everything downstream, from the
// decoder to the head-end's profiles, is held against.
package sim

import "time"

// Options says which household it is and since when its meter counts.
type Options struct {
	Seed     uint64
	RoofPeak int64     // peak power of the roof's panels in W; 0: no roof
	Since    time.Time // the meter was installed then; whole minutes
	Initial  Registers // and showed this
}

// Household is what happens behind one meter. Consumption has a rhythm of days,
// weeks and years; what the roof gives is consumed first, and only what is left
// over is fed in.
//
// It answers for any instant, at once for one on the same day as the last, and
// in some thirty microseconds a day for another. It is not for use by several
// goroutines at once: make one for each.
type Household struct {
	options  Options
	dice     dice
	first    int64       // day on which the meter was installed
	openings []Registers // at the start of each day from first on, as far as anyone asked
	day      *day        // the day last asked for
}

// NewHousehold makes the household of the options.
func NewHousehold(o Options) *Household {
	o.Since = o.Since.Truncate(time.Minute)
	o.Initial.DrawnT1 = o.Initial.DrawnT1 / pulse * pulse
	o.Initial.DrawnT2 = o.Initial.Drawn/pulse*pulse - o.Initial.DrawnT1
	first, _ := dayOf(o.Since)
	return &Household{options: o, dice: dice(o.Seed), first: first, openings: []Registers{o.Initial}}
}

// Since returns when the meter was installed.
func (h *Household) Since() time.Time { return h.options.Since }

// Registers returns what the meter has counted at t, to the second.
func (h *Household) Registers(t time.Time) Registers {
	if !t.After(h.options.Since) {
		return h.options.Initial
	}
	n, second := dayOf(t)
	return h.dayNumber(n).registers(second)
}

// Power returns the active power at t in W, negative when feeding in. It holds
// for a whole minute.
func (h *Household) Power(t time.Time) int64 {
	if t.Before(h.options.Since) {
		return 0
	}
	n, second := dayOf(t)
	return int64(h.dayNumber(n).power[second/60])
}

func (h *Household) dayNumber(n int64) *day {
	if h.day == nil {
		h.day = &day{number: h.first - 1}
	}
	if h.day.number == n {
		return h.day
	}
	for next := h.first + int64(len(h.openings)) - 1; next < n; next++ {
		h.live(next)
		h.openings = append(h.openings, h.day.registers(86400))
	}
	h.live(n)
	return h.day
}

// live goes through one day, the registers at whose start are known.
func (h *Household) live(n int64) {
	d := h.day
	d.number, d.weekend = n, isWeekend(n)
	d.power = [minutes]int32{}
	h.consume(d)
	if h.options.RoofPeak > 0 {
		h.shine(d)
	}
	if n == h.first {
		_, second := dayOf(h.options.Since)
		clear(d.power[:second/60])
	}
	d.count(h.openings[n-h.first])
}

const minutes = 24 * 60

// day is one day of a household, minute by minute. Its days are those of
// Central European Time without summer time, so that no energy depends on a
// time zone database.
type day struct {
	number  int64 // days since 1970-01-01
	weekend bool
	power   [minutes]int32 // W, negative when feeding in
	drawn   [minutes + 1]Energy
	fedIn   [minutes + 1]Energy
	high    [minutes + 1]Energy
	low     [minutes + 1]Energy
}

func dayOf(t time.Time) (number, second int64) {
	s := t.Unix() + 3600
	number = s / 86400
	if s%86400 < 0 {
		number--
	}
	return number, s - number*86400
}

func isWeekend(n int64) bool {
	switch (n%7 + 7) % 7 { // 1970-01-01 was a Thursday
	case 2, 3:
		return true
	}
	return false
}

// count makes the registers of the day's minutes from those at its start.
func (d *day) count(r Registers) {
	d.drawn[0], d.fedIn[0], d.high[0], d.low[0] = r.Drawn, r.FedIn, r.DrawnT1, r.DrawnT2
	for m := range int64(minutes) {
		r = d.registers(60 * (m + 1))
		d.drawn[m+1], d.fedIn[m+1], d.high[m+1], d.low[m+1] = r.Drawn, r.FedIn, r.DrawnT1, r.DrawnT2
	}
}

// registers returns those at a second of the day, 0 to 86400, from those at
// the start of its minute. A second on a minute's boundary belongs to the
// minute before, so that the day can be counted up with it.
func (d *day) registers(second int64) Registers {
	m := max(second-1, 0) / 60
	r := Registers{Drawn: d.drawn[m], FedIn: d.fedIn[m], DrawnT1: d.high[m], DrawnT2: d.low[m]}
	energy := Energy(d.power[m]) * Energy(second-60*m)
	if energy < 0 {
		r.FedIn -= energy
		return r
	}
	// Every tenth of a Wh is counted once, by the tariff in whose time it is
	// complete: so the tariffs always add up to the total.
	r.Drawn += energy
	pulses := r.Drawn/pulse - d.drawn[m]/pulse
	if d.highTariff(m) {
		r.DrawnT1 += pulses * pulse
	} else {
		r.DrawnT2 += pulses * pulse
	}
	return r
}

// highTariff is the switching table: 6 to 22 o'clock on Monday to Friday.
func (d *day) highTariff(minute int64) bool {
	return !d.weekend && minute >= 6*60 && minute < 22*60
}
