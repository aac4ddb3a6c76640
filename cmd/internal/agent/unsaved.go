package agent

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/meter"
)

// unsavedLimit is how many boundary readings wait in memory for a store that
// takes none (a full disk): four days of one meter.
const unsavedLimit = 4 * 96

// refusedPause is how long a store that took no reading or figure is left alone.
// Each attempt writes pages before the disk refuses one: with every telegram that
// would be gigabytes a day.
const refusedPause = time.Minute

// rests reports whether a store that refused at an instant is left alone yet.
func rests(refused, now time.Time) bool {
	since := now.Sub(refused)
	return since >= 0 && since < refusedPause
}

// unsaved holds boundary readings until the store has them. It is empty but
// while the store refuses.
type unsaved struct {
	waiting []meter.BoundaryReading
	dropped map[string]dropped // readings that found no place even here, by meter
	err     error              // why the store refuses; nil when it does not
	refused time.Time          // when it did last
}

// dropped is how many of a meter's readings were lost, and the boundaries of the
// first and the last.
type dropped struct {
	n        int
	from, to meter.Quarter
}

func (u *unsaved) empty() bool { return len(u.waiting) == 0 }

func (u *unsaved) add(readings []meter.BoundaryReading) {
	u.waiting = append(u.waiting, readings...)
	u.drop(len(u.waiting) - unsavedLimit)
}

// drop loses the first n, and keeps in mind that they are lost.
func (u *unsaved) drop(n int) {
	for ; n > 0; n-- {
		if u.dropped == nil {
			u.dropped = map[string]dropped{}
		}
		lost := u.waiting[0]
		d, known := u.dropped[lost.Meter]
		if !known {
			d.from = lost.Boundary
		}
		u.dropped[lost.Meter] = dropped{d.n + 1, d.from, lost.Boundary}
		u.waiting = u.waiting[1:]
	}
}

// flush gives the store what waits, unless it has just refused.
func (u *unsaved) flush(a *Agent) {
	if u.err != nil && rests(u.refused, a.Clock.Now().Time) {
		return
	}
	u.save(a)
}

// save gives the store what waits, oldest first, each in a commit of its own.
func (u *unsaved) save(a *Agent) {
	for len(u.waiting) > 0 {
		next := &u.waiting[0]
		err := a.Store.PutBoundaryAnd(*next, a.shows(next), a.changes(next)...)
		if errors.Is(err, buffer.ErrConflict) {
			// The clock went back over a boundary that is kept already.
			a.Log.Warn("a boundary has a reading already; the second is not kept", "boundary", next.Boundary)
			err = nil
		}
		if err != nil {
			if u.err == nil {
				a.Log.Error("the store takes no readings; they wait in memory", "err", err)
			}
			u.err, u.refused = err, a.Clock.Now().Time
			return
		}
		a.kept[next.Meter] = *next
		a.counted(next)
		u.waiting = u.waiting[1:]
	}
	var losses []buffer.Loss
	var events []buffer.Event
	for _, name := range slices.Sorted(maps.Keys(u.dropped)) {
		d := u.dropped[name]
		losses = append(losses, buffer.Loss{At: a.Clock.Now().Time, Kind: ReadingsLost, Subject: name, From: d.from.Time(), To: d.to.Time(), Count: int64(d.n)})
		events = append(events, a.event(ReadingsLost, "meter", name, "count", strconv.Itoa(d.n), "from", d.from.String(), "to", d.to.String()))
	}
	if len(losses) > 0 {
		if err := a.Store.AddLoss(losses, events...); err != nil {
			a.Log.Error("noting what was lost", "err", err)
			u.err, u.refused = err, a.Clock.Now().Time
			return
		}
	}
	if u.err != nil {
		lost, _, _ := u.left()
		a.Log.Info("the store takes readings again", "lost", lost)
	}
	u.dropped, u.err = nil, nil
}

// left counts the readings of which the store knows nothing, not even that they
// are lost, from the first boundary to the last.
func (u *unsaved) left() (n int, from, to meter.Quarter) {
	take := func(d dropped) {
		if n == 0 {
			from, to = d.from, d.to
		}
		n, from, to = n+d.n, min(from, d.from), max(to, d.to)
	}
	for _, d := range u.dropped {
		take(d)
	}
	for _, b := range u.waiting {
		take(dropped{1, b.Boundary, b.Boundary})
	}
	return n, from, to
}

// changes are the events of a boundary reading that differs from the one kept
// before it as a person should see: another device answers, or a register shows
// less (what the form calls implausible). They go into the reading's own commit,
// so that two devices talking in turn cannot wear out the flash.
func (a *Agent) changes(b *meter.BoundaryReading) (events []buffer.Event) {
	before := a.kept[b.Meter]
	if before.Device != b.Device {
		if before.Device != "" {
			a.Log.Warn("the meter was exchanged: another device answers", "meter", b.Meter, "before", before.Device, "now", b.Device)
		}
		return []buffer.Event{a.event(DeviceSeen, "meter", b.Meter, "device", b.Device.String(), "before", before.Device.String())}
	}
	for _, r := range b.Registers {
		if was, ok := before.Register(r.Code); ok && r.Value.LessThan(was) {
			events = append(events, a.event(RegisterFell, "meter", b.Meter, "device", b.Device.String(),
				"register", r.Code.Short(), "from_wh", was.String(), "to_wh", r.Value.String()))
		}
	}
	return events
}
