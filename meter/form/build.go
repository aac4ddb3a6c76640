package form

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"smgw/meter"
)

// Build makes the payload of a Due from the boundary readings of the market
// location's meter. It is a function of its arguments alone, and the order of
// the readings does not matter. Readings before the period are used too: what
// is plausible depends on them. The gateway's id is left to the caller. Errors
// are *DeniedError: no contract entitles the payload.
func (h *History) Build(d Due, readings []meter.BoundaryReading) (Payload, error) {
	return h.build(d, readings, false)
}

// BuildFinal is Build on the 8th calendar day (Due.FinalOn) and later, when what
// is still preliminary is settled: a maximum power is made with substitutes where
// the contract asks for them and they fill every gap of the span; otherwise it
// stays as it is, and Final.
func (h *History) BuildFinal(d Due, readings []meter.BoundaryReading) (Payload, error) {
	return h.build(d, readings, true)
}

func (h *History) build(d Due, readings []meter.BoundaryReading, final bool) (Payload, error) {
	c, m, row, to, err := h.entitled(d)
	if err != nil {
		return Payload{}, err
	}
	if row.Rhythm == OnEvent && d.Event == (EventKind{}) {
		return Payload{}, irregular(m, row)
	}
	if err := h.period(c, m, row, to.Role, d.Period, false); err != nil {
		return Payload{}, err
	}
	return h.payload(c, m, row, to, d, readings, final), nil
}

// payload makes what a receiver is entitled to.
func (h *History) payload(c *Contract, m *MarketLocation, row Row, to Receiver, d Due, readings []meter.BoundaryReading, final bool) Payload {
	b := newBuilder(h, c, m, d.Period, readings)
	b.event = d.Event
	values := b.values(row, final)
	return Payload{
		Edition: c.Edition, MeLo: c.MeLo, MaLo: m.MaLo, Row: row.Number, To: to.Role, PartnerID: to.PartnerID,
		Period: d.Period, Values: values, Notices: b.notices,
	}
}

// longestPreview is ten years: a mistyped one must not fill the memory.
const longestPreview = 10 * 366 * 96

// Preview makes the values of a regular row for any period, of the calendar or
// not: what Build would put into the payload, for people who check one, and the
// notices with it. Unlike Build it refuses a period that none of the readings is
// in: who asks for it has the wrong file or the wrong month.
func (h *History) Preview(id MarketLocationID, n RowNumber, p Period, readings []meter.BoundaryReading) ([]Value, []Notice, error) {
	if p.To <= p.From {
		return nil, nil, fmt.Errorf("period from %s to %s is empty", Local(p.From), Local(p.To))
	}
	if p.To-p.From > longestPreview {
		return nil, nil, fmt.Errorf("period from %s to %s is longer than ten years", Local(p.From), Local(p.To))
	}
	c := h.Governing(p)
	if c == nil {
		return nil, nil, noContract(n, id, p)
	}
	m, row, err := c.entitled(id, n)
	if err != nil {
		return nil, nil, err
	}
	if !row.Rhythm.Regular() {
		return nil, nil, irregular(m, row)
	}
	code := Total.Code(m.Direction)
	if !slices.ContainsFunc(readings, func(r meter.BoundaryReading) bool {
		_, ok := r.Register(code)
		return ok && p.From <= r.Boundary && r.Boundary <= p.To
	}) {
		return nil, nil, fmt.Errorf("no reading of %s from %s to %s: want readings of the period, and of the register of what is %s",
			code.Short(), Local(p.From), Local(p.To), m.Direction.did())
	}
	b := newBuilder(h, c, m, p, readings)
	return b.values(row, false), b.notices, nil
}

// builder makes the quantities of one market location over one period. What the
// values are made with is asked of the version that holds for each quarter hour;
// all else of the one that governs the period.
type builder struct {
	h        *History
	c        *Contract
	m        *MarketLocation
	period   Period
	event    EventKind
	readings []meter.BoundaryReading
	factors  []factor
	series   map[Measure]*series
	notices  []Notice
}

func newBuilder(h *History, c *Contract, m *MarketLocation, p Period, readings []meter.BoundaryReading) *builder {
	return &builder{h: h, c: c, m: m, period: p, readings: readings, factors: h.factors(), series: map[Measure]*series{}}
}

// values makes the items of a row.
func (b *builder) values(row Row, final bool) (values []Value) {
	p := b.period
	for _, item := range row.over(b.m, p) {
		v := Value{Code: item.Of.Code(b.m.Direction), Kind: item.Kind}
		switch item.Kind {
		case Energy:
			if item.Of == Total {
				v.Quantity = b.energy(item.Of)
			} else {
				v.Quantity = b.tariffed(item.Of)
			}
		case MaxPower:
			v.At, v.Quantity, v.MissingIntervals = b.maxPower(item.Of)
			if final && v.State == Preliminary {
				b.settle(&v, item.Of)
			}
		case Register:
			v.At, v.Quantity = p.To, b.register(item.Of)
		case LoadProfile:
			v.At, v.Intervals = p.From, b.loadProfile(item.Of)
		}
		values = append(values, v)
	}
	return values
}

func (b *builder) of(m Measure) *series {
	s, ok := b.series[m]
	if !ok {
		s = newSeries(b, m.Code(b.m.Direction))
		b.series[m] = s
	}
	return s
}

// loadProfile is the energy of each quarter hour (¼-h-Lastgang).
func (b *builder) loadProfile(m Measure) []Quantity {
	intervals := make([]Quantity, 0, b.period.To-b.period.From)
	b.of(m).each(b.period, func(from, to point) {
		intervals = append(intervals, b.interval(from, to))
	})
	b.interpolate(m, intervals)
	return intervals
}

// interval is the energy of one quarter hour.
func (b *builder) interval(from, to point) Quantity {
	q := verdict(from, to)
	absent := q.Reason == Communication || q.Reason == DeviceChange
	switch {
	case from.fault == DeviceChange, !absent && from.device != to.device:
		// Commissioned or exchanged within the quarter hour: no device saw all of it.
		return Quantity{State: Missing, Reason: DeviceChange}
	case q.State == Missing:
		return q
	case q.State == True && (from.coarse || to.coarse):
		q.State, q.Reason = Unusable, Resolution
	}
	q.Amount = decimal.NewNullDecimal(b.kWh(to.value.Sub(from.value), from.at))
	return q
}

// energy is the energy over the whole period: the difference of the readings at
// its two ends, device by device where it was exchanged in between, and part by
// part where the transformer factor changes. Other gaps inside do not matter.
func (b *builder) energy(m Measure) Quantity {
	s := b.of(m)
	p, start := b.period, s.from(b.period.From)
	if p.From < s.commissioned && s.commissioned < p.To {
		// Commissioned within the period: its energy begins with the first good reading
		// before its end. Between that end and itself there is nothing, and not 0 kWh.
		first, _ := s.search(s.commissioned)
		for _, x := range s.points[first:] {
			if x.fault == NoReason && x.at < p.To {
				start, p.From = x, x.at
				break
			}
		}
	}
	made := []point{start, s.at(p.To)}
	sum := decimal.Zero
	for from := p.From; from < p.To; {
		f := b.factor(from)
		to := min(p.To, f.until)
		if from != p.From {
			start = s.from(from)
			made = append(made, s.at(from), start)
		}
		var wh decimal.Decimal
		wh, made = s.rise(start, to, made)
		sum = sum.Add(wh.Mul(f.kWh))
		from = to
	}
	q := verdict(made...)
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(sum)
	}
	return q
}

// maxPower is the largest quarter-hour mean power in kW, the start of its quarter
// hour (of the earliest, where several are equal; 0 where there is none) and how
// many quarter hours of the period are missing. It is made from all of them: one
// missing makes it preliminary, an unusable one makes it unusable.
func (b *builder) maxPower(m Measure) (at meter.Quarter, q Quantity, missing int) {
	var top peak
	b.of(m).each(b.period, func(from, to point) { top.add(from.at, b.interval(from, to)) })
	q = Quantity{State: True, Reason: top.unusable, Amount: top.kW}
	switch {
	case !q.Amount.Valid:
		q = Quantity{State: Missing}
	case top.missing > 0:
		q.State, q.Reason = Preliminary, NoReason
	case q.Reason != NoReason:
		q.State = Unusable
	}
	return top.at, q, top.missing
}

// settle makes a preliminary maximum power final: a substitute, where those of the
// load profile fill every gap.
func (b *builder) settle(v *Value, m Measure) {
	var top peak
	notices := b.notices
	for i, q := range b.loadProfile(m) {
		top.add(b.period.From+meter.Quarter(i), q)
	}
	if top.missing > 0 {
		v.Final, b.notices = true, notices // what filled some of the gaps is in no value
		return
	}
	v.At, v.Quantity = top.at, Quantity{State: Substitute, Method: Interpolation, Reason: top.filled, Amount: top.kW}
	if top.unusable != NoReason {
		v.State, v.Method, v.Reason = Unusable, NoMethod, top.unusable
	}
}

// peak is the largest power of the quarter hours that were added.
type peak struct {
	at       meter.Quarter
	kW       decimal.NullDecimal
	missing  int
	unusable Reason // why one is, the clock before the resolution
	filled   Reason // why the first substitute was needed
}

func (t *peak) add(at meter.Quarter, i Quantity) {
	switch {
	case i.State == Missing:
		t.missing++
		return
	case i.State == Unusable && t.unusable != ClockSet:
		t.unusable = i.Reason
	case i.State == Substitute && t.filled == NoReason:
		t.filled = i.Reason
	}
	kW := i.Amount.Decimal.Mul(decimal.NewFromInt(4))
	if !t.kW.Valid || kW.GreaterThan(t.kW.Decimal) {
		t.at, t.kW = at, decimal.NewNullDecimal(kW)
	}
}

// register is a register's reading at the end of the period.
func (b *builder) register(m Measure) Quantity {
	p := b.of(m).at(b.period.To)
	if m == Unattributed {
		return b.unattributed(p)
	}
	q := verdict(p)
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(b.kWh(p.value, b.period.To-1))
	}
	return q
}

// unattributed is the error register: the meter's own, or total − Σ tariffs
// where the meter has none.
func (b *builder) unattributed(own point) Quantity {
	total, high, low := b.of(Total).at(b.period.To), b.of(HighTariff).at(b.period.To), b.of(LowTariff).at(b.period.To)
	rest := total.value.Sub(high.value).Sub(low.value)
	derived := verdict(total, high, low)

	q, value := verdict(own), own.value
	if own.fault == Communication && !b.of(Unattributed).keepers[total.device] {
		q, value = derived, rest
	} else if q.State != Missing && derived.State != Missing && !value.Equal(rest) {
		b.notices = append(b.notices, Notice{Kind: TariffSum, From: b.period.To, To: b.period.To, Count: 1})
	}
	if q.State != Missing {
		q.Amount = decimal.NewNullDecimal(b.kWh(value, b.period.To-1))
	}
	return q
}
