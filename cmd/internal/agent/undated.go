package agent

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
)

// What is read while nobody knows the time is kept in memory: a reading each
// twelve seconds, so that one is near every boundary wherever it turns out to
// lie, for a week. It is not written to flash: a power cut costs it, but
// profiles that fine of what somebody does at home are nothing to leave there.
const (
	undatedPause = 12 * time.Second
	undatedLimit = 7 * 24 * time.Hour
	undatedBytes = 1 << 20
	chunkLength  = 1200 // readings, four hours
)

// undated holds a meter's readings whose instants cannot be believed, oldest
// first. A reading takes about ten bytes.
type undated struct {
	chunks  []*chunk
	bytes   int
	gone    meter.Reading // the oldest of those that gave way
	goneEnd meter.Reading // and the newest; zero: none did
}

// chunk is readings of one device with the same registers: the first as it is,
// each of the others as what is different from the one before.
type chunk struct {
	first, last meter.Reading
	data        []byte
	n           int // readings, the first included
}

// chunkSize is what a chunk takes besides its data, about.
const chunkSize = 1 << 10

func (u *undated) empty() bool { return len(u.chunks) == 0 }

// quarters is how many quarter-hour boundaries lie in what is held and what gave
// way, at least.
func (u *undated) quarters() int {
	if u.empty() {
		return 0
	}
	n := quarters(passed(&u.chunks[0].first, &u.chunks[len(u.chunks)-1].last))
	if u.goneEnd.Registers != nil {
		n += quarters(passed(&u.gone, &u.goneEnd))
	}
	return n
}

// size is how many readings are held.
func (u *undated) size() (n int) {
	for _, c := range u.chunks {
		n += c.n
	}
	return n
}

// add holds a reading, unless one is held that is as good.
func (u *undated) add(r *meter.Reading) {
	held := *r
	r = &held
	r.Power = decimal.NullDecimal{}
	r.At.Time, r.At.Elapsed = r.At.Time.Truncate(time.Millisecond), r.At.Elapsed.Truncate(time.Millisecond) // so that nothing adds up
	var c *chunk
	if n := len(u.chunks); n > 0 {
		c = u.chunks[n-1]
		if c.last.Device == r.Device && passed(&c.last, r).Abs() < undatedPause {
			return
		}
	}
	before := 0
	if c != nil {
		before = len(c.data)
	}
	if c == nil || c.n >= chunkLength || !c.append(r) {
		u.chunks = append(u.chunks, &chunk{first: held, last: held, n: 1})
		u.bytes += chunkSize
	} else {
		u.bytes += len(c.data) - before
	}
	for len(u.chunks) > 1 && (u.bytes > undatedBytes || passed(&u.chunks[0].first, r) > undatedLimit+chunkLength*undatedPause) {
		u.giveWay()
	}
}

func (u *undated) giveWay() {
	c := u.chunks[0]
	if u.goneEnd.Registers == nil {
		u.gone = c.first
	}
	u.goneEnd = c.last
	u.bytes -= chunkSize + len(c.data)
	u.chunks = slices.Delete(u.chunks, 0, 1)
}

// passed is the time from one reading to another by the host's count, or by
// the wall clock where nobody counts.
func passed(from, to *meter.Reading) time.Duration {
	if from.At.Elapsed > 0 && to.At.Elapsed > 0 {
		return to.At.Elapsed - from.At.Elapsed
	}
	return to.At.Time.Sub(from.At.Time)
}

// all calls fn with the readings held, oldest first. They are good until fn returns.
func (u *undated) all(fn func(*meter.Reading)) {
	for _, c := range u.chunks {
		c.each(fn)
	}
}

// Flags of a reading in a chunk.
const (
	hasIndex = 1 << iota
	hasStatus
	sameStatus
	isCoarse
	qualityShift = iota
)

// append appends a reading, and is false where it does not fit.
func (c *chunk) append(r *meter.Reading) bool {
	last := &c.last
	if r.Device != last.Device || len(r.Registers) != len(last.Registers) {
		return false
	}
	for i := range r.Registers {
		a, b := &last.Registers[i], &r.Registers[i]
		if a.Code != b.Code || a.Value.Exponent() != b.Value.Exponent() || !a.Value.Coefficient().IsInt64() || !b.Value.Coefficient().IsInt64() {
			return false
		}
	}
	flags := byte(r.At.Quality) << qualityShift
	for _, f := range [...]struct {
		set bool
		bit byte
	}{{r.SecIndex.Valid, hasIndex}, {r.Status.Valid, hasStatus}, {r.Status == last.Status, sameStatus}, {r.Coarse, isCoarse}} {
		if f.set {
			flags |= f.bit
		}
	}
	p := append(c.data, flags)
	p = binary.AppendVarint(p, (r.At.Elapsed - last.At.Elapsed).Milliseconds())
	p = binary.AppendVarint(p, r.At.Time.Sub(last.At.Time).Milliseconds()-(r.At.Elapsed-last.At.Elapsed).Milliseconds())
	if r.SecIndex.Valid {
		p = binary.AppendVarint(p, int64(r.SecIndex.Seconds)-int64(last.SecIndex.Seconds))
	}
	if r.Status != last.Status {
		p = binary.AppendUvarint(p, r.Status.Bits)
	}
	for i := range r.Registers {
		p = binary.AppendVarint(p, r.Registers[i].Value.CoefficientInt64()-last.Registers[i].Value.CoefficientInt64())
	}
	c.data, c.n, c.last = p, c.n+1, *r
	return true
}

// each calls fn with the chunk's readings, each in memory of its own.
func (c *chunk) each(fn func(*meter.Reading)) {
	r := c.first
	fn(&r)
	p := c.data
	varint := func() int64 {
		v, n := binary.Varint(p)
		p = p[n:]
		return v
	}
	for len(p) > 0 {
		flags := p[0]
		p = p[1:]
		r.At.Quality = meter.ClockQuality(flags >> qualityShift)
		elapsed := time.Duration(varint()) * time.Millisecond
		r.At.Elapsed += elapsed
		r.At.Time = r.At.Time.Add(elapsed + time.Duration(varint())*time.Millisecond)
		if r.SecIndex.Valid = flags&hasIndex != 0; r.SecIndex.Valid {
			r.SecIndex.Seconds = uint32(int64(r.SecIndex.Seconds) + varint())
		} else {
			r.SecIndex.Seconds = 0
		}
		if flags&sameStatus == 0 {
			bits, n := binary.Uvarint(p)
			p = p[n:]
			r.Status = meter.StatusWord{Bits: bits, Valid: flags&hasStatus != 0}
		}
		r.Coarse = flags&isCoarse != 0
		registers := slices.Clone(r.Registers)
		for i := range registers {
			v := &registers[i].Value
			*v = decimal.New(v.CoefficientInt64()+varint(), v.Exponent())
		}
		r.Registers = registers
		next := r
		fn(&next)
	}
}
