package agent

import (
	"sync"
	"time"

	"smgw/meter"
)

const (
	// dateTolerance is what a head-end's Date may differ from the clock, beyond
	// the whole seconds that it is given in and the round trip.
	dateTolerance = 30 * time.Second
	// contradictions is how many answers in a row must differ before they count.
	contradictions = 2
	// testimonyLasts is how long a head-end's last word counts.
	testimonyLasts = 24 * time.Hour
)

// witness hears what the head-ends' answers say of the time. They never set
// anything: each may be wrong, and they cannot prove who they are by a date.
type witness struct {
	mu    sync.Mutex
	heard map[string]testimony     // by endpoint
	said  map[string]time.Duration // by endpoint, by how much its clock is ahead of ours after its newest date; of no weight
}

// testimony is what one head-end's dates say since the clock last jumped.
type testimony struct {
	at       time.Duration // Elapsed of the last one
	contrary int           // answers in a row that contradict ours
}

// hear takes in the Date of an answer to what was sent at one stamp and answered by another.
func (w *witness) hear(endpoint string, date time.Time, sent, answered meter.Stamp) {
	if w == nil || date.IsZero() || start(answered).Sub(start(sent)).Abs() > maxStep {
		return
	}
	var off time.Duration
	switch early, late := sent.Time.Sub(date.Add(time.Second)), date.Sub(answered.Time); {
	case early > dateTolerance:
		off = -early
	case late > dateTolerance:
		off = late
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard == nil {
		w.heard, w.said = map[string]testimony{}, map[string]time.Duration{}
	}
	w.said[endpoint] = off
	if answered.Quality != meter.ClockSynchronised || clockNeverSet(answered.Time) || answered.Elapsed == 0 {
		return
	}
	t := w.heard[endpoint]
	t.at = answered.Elapsed
	if t.contrary++; off == 0 {
		t.contrary = 0
	}
	w.heard[endpoint] = t
}

// forget forgets what was said of a clock that has jumped since.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.heard)
	clear(w.said)
}

// testimony reports whether a head-end's date agrees with the clock, and whether
// one contradicts it.
func (w *witness) testimony(now meter.Stamp) (agrees, contradicts bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.heard {
		if now.Elapsed-t.at <= testimonyLasts {
			agrees = agrees || t.contrary == 0
			contradicts = contradicts || t.contrary >= contradictions
		}
	}
	return agrees, contradicts
}

// off is by how much an endpoint's clock is ahead of ours, 0 where it agrees, as
// its newest answer says: also to a clock that nobody vouches for.
func (w *witness) off(endpoint string) (off time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	off, known = w.said[endpoint]
	return off, known
}

// contradicted reports whether head-ends' dates contradict a synchronised clock,
// none agrees with it, and no meter's count bears it out. One head-end that lies
// must not make every reading unusable.
func (a *Agent) contradicted(now meter.Stamp) bool {
	agrees, contradicts := a.witness.testimony(now)
	if agrees || !contradicts {
		return false
	}
	for _, m := range a.meters {
		if m.count.proven() {
			return false // it counts as the clock goes, or the clock would be doubted
		}
	}
	return true
}

// hearWitnesses tells the journal when head-ends' dates begin or cease to make
// readings unusable.
func (a *Agent) hearWitnesses(now meter.Stamp) {
	contradicted := now.Quality == meter.ClockSynchronised && a.contradicted(now)
	if contradicted == a.marking {
		return
	}
	a.marking = contradicted
	if !contradicted {
		a.believed(now, "the head-ends' dates do not contradict it any more")
		return
	}
	a.Log.Warn("the head-ends' dates contradict the clock, and nothing bears it out: readings are marked")
	a.journal(a.event(ClockDoubted, "why", "the head-ends' dates contradict it"))
}
