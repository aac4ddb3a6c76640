package agent

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"smgw/buffer"
	"smgw/tls/deliver"
)

// Pauses after a failed attempt: they double from the first to the longest,
// and each is shortened by up to a half at random, so that the gateways of a
// town, whose head-end or power was away, do not come back at once.
const (
	firstPause   = 10 * time.Second
	longestPause = time.Hour
	// A head-end that says when to come back is asked then, or at the end of
	// our own pause where that is longer, up to this one: an hour's pause that
	// an outage left behind is not what it meant.
	longestOwnPause = time.Minute
	// behind is by how much later than its queue a payload is ready that was
	// answered wrong: another one is the next to be tried.
	behind = time.Second
	// longestRest is the longest that a queue rests: a Retry-After with its jitter.
	longestRest = deliver.MaxRetryAfter + behind + deliver.MaxRetryAfter/4
	// powerSpread is the span over which a town's gateways begin when power is
	// back; booted is how long after it a gateway's agent starts at the latest.
	powerSpread = time.Minute
	booted      = 2 * time.Minute
)

// Putter makes one attempt at delivery; deliver.Client is the real one.
type Putter interface {
	// Reach is nil when the head-end and the gateway accept each other.
	Reach(ctx context.Context, endpoint string) error
	Put(ctx context.Context, endpoint, id string, body []byte) deliver.Result
}

// sender empties one endpoint's queue. Every endpoint has its own, so that one
// dead head-end delays no other.
type sender struct {
	endpoint string
	store    *buffer.Store
	client   Putter
	clock    Clock
	log      *slog.Logger
	wake     chan struct{}
	holdOff  time.Duration // run waits so long before it begins
	witness  *witness      // hears the dates of its answers; nil: nobody does
	post     post
	resumed  bool      // it has looked for what an agent before it left behind
	refused  time.Time // when a refusal was last told in full

	mu    sync.Mutex
	state senderState
}

// senderState is what status and lamps see of a sender.
type senderState struct {
	failures  int       // attempts in a row that settled no payload
	since     time.Time // of the first of them
	notBefore time.Time // no attempt before this instant
	lastError string
	stumbled  string    // id of the payload whose answer was one of them, the last such; "" where none was
	reached   time.Time // when the head-end last accepted a connection
	lastOK    time.Time // when it last acknowledged a payload
	storeErr  error     // why the store took no outcome; nil when it did
}

// rests reports whether no attempt may be made yet. An end too far ahead was
// set by a clock that was ahead.
func (st *senderState) rests(now time.Time) bool {
	return now.Before(st.notBefore) && st.notBefore.Sub(now) <= longestRest
}

func newSender(endpoint string, store *buffer.Store, client Putter, clock Clock, log *slog.Logger) *sender {
	return &sender{
		endpoint: endpoint, store: store, client: client, clock: clock,
		log:  log.With("endpoint", endpoint),
		wake: make(chan struct{}, 1),
	}
}

// holdOff is how long the senders wait before they begin: where the power has
// just come back, perhaps to a whole town, each gateway's own part of a minute.
// One that has never read a meter is being installed, and somebody waits.
func (a *Agent) holdOff() time.Duration {
	if a.Uptime == 0 || a.Uptime > booted || len(a.kept) == 0 {
		return 0
	}
	return time.Duration(a.builder.jitter * float64(powerSpread))
}

// run sends for ever: what is ready, then a wait until more can be.
func (s *sender) run(ctx context.Context) {
	// Never longer than this, because wall time may be set meanwhile.
	const longestWait = time.Minute
	defer s.post.at(resting)
	if s.holdOff > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(s.holdOff):
		}
	}
	for ctx.Err() == nil {
		s.post.at(sending)
		wait := longestWait
		next, ok := s.step(ctx)
		if again, unproven := s.prove(ctx); unproven && (!ok || again.Before(next)) {
			next, ok = again, true
		}
		if ok {
			wait = min(wait, max(time.Second, next.Sub(s.clock.Now().Time)))
		}
		timer := time.NewTimer(wait)
		s.post.at(resting)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// prove finds out whether the head-end can be reached where no payload has:
// an installer must not wait for the first one to learn that it cannot. It
// returns when to try again. A payload that was answered wrong and waits for its
// next turn is proof of more than a handshake is.
func (s *sender) prove(ctx context.Context) (again time.Time, unproven bool) {
	now, st := s.clock.Now().Time, s.snapshot()
	switch {
	case st.failures == 0 && !st.reached.IsZero() || ctx.Err() != nil:
		return time.Time{}, false
	case st.rests(now):
		return st.notBefore, true
	case s.waits(st.stumbled):
		return time.Time{}, false
	}
	if err := s.client.Reach(ctx, s.endpoint); err != nil {
		if ctx.Err() != nil {
			return time.Time{}, false
		}
		return s.pause(now, 0, err.Error(), ""), true
	}
	s.answered(now, st.lastOK)
	return time.Time{}, false
}

// waits reports whether a payload is to be delivered yet.
func (s *sender) waits(id string) bool {
	item, found, err := s.store.Item(id)
	return err == nil && found && item.State == buffer.Waiting
}

// resume takes over the pause in which an agent before this one has left the
// queue after an answer. One after none it left to itself: who starts an agent
// when the line is up again need not wait. While the clock was never set nobody
// knows how much of it is over.
func (s *sender) resume(now time.Time) {
	if s.resumed {
		return
	}
	s.resumed = !clockNeverSet(now)
	item, found := s.store.LastTried(s.endpoint)
	st := senderState{
		failures: int(min(item.Attempts, math.MaxInt32)), since: item.LastTried,
		notBefore: item.NotBefore.Add(-behind), lastError: item.LastError, stumbled: item.ID,
	}
	if rest := item.NotBefore.Sub(now); found && rest > 0 && rest <= longestRest+behind {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state = st
		s.sayFailing(st.lastError)
	}
}

func (s *sender) sayFailing(why string) {
	s.log.Warn("nothing gets through to the head-end; it is tried again for ever", "err", why)
}

// nudge tells a running sender that its queue has grown.
func (s *sender) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// step sends what is ready now, until the queue is empty or an attempt fails.
// It returns the earliest instant at which there is more to do, if there is any.
func (s *sender) step(ctx context.Context) (next time.Time, ok bool) {
	s.resume(s.clock.Now().Time)
	for ctx.Err() == nil {
		s.post.at(sending)
		now := s.clock.Now().Time
		if st := s.snapshot(); st.rests(now) {
			return st.notBefore, true
		}
		item, ready, err := s.next(now)
		if damaged := (*buffer.DamagedError)(nil); errors.As(err, &damaged) {
			err = s.discard(item.Item, now, damaged)
			ready = false
			if err == nil {
				continue
			}
		}
		if err == nil && !ready {
			next, ok = s.store.NextTime(s.endpoint)
			if !ok || next.Sub(now) <= farthest || clockNeverSet(now) {
				s.storeWorks()
				return next, ok
			}
			// Only a clock that was ahead can have set that.
			s.store.Hasten(s.endpoint, now.Add(farthest), now)
			continue
		}
		if err == nil {
			err = forgotten(s.attempt(ctx, item))
		}
		if err != nil {
			return s.storeFailed(now, err), true
		}
	}
	return time.Time{}, false
}

// turn is an item whose turn it is.
type turn struct {
	buffer.Item
	chosen string // id of the one whose turn it was, and which waits for this one; "" when it is the same
}

// next is the item to send now. One that supersedes another goes after it,
// whatever is due first: a receiver is not told to replace what it never had.
func (s *sender) next(now time.Time) (turn, bool, error) {
	item, ready, err := s.store.Next(s.endpoint, now)
	t := turn{Item: item}
	for ready && err == nil {
		before, found := buffer.Item{}, false
		if id := t.Label[labelSupersedes]; id != "" {
			before, found, err = s.store.Item(id)
			if damaged := (*buffer.DamagedError)(nil); errors.As(err, &damaged) {
				err = nil // it does not wait: memory knows what does
			}
		}
		if !found || err != nil || before.State != buffer.Waiting || before.Endpoint != s.endpoint {
			break
		}
		before.Body, err = s.store.Body(before.ID)
		t = turn{before, item.ID}
	}
	return t, ready, err
}

// farthest is farther ahead than an item ever waits for its time: beyond the
// longest pause, and beyond half of the way from a midnight to the noon after.
const farthest = 12 * time.Hour

// attempt makes one attempt at one item and records its outcome. Its error is
// the store's; the head-end's is in the sender's state.
func (s *sender) attempt(ctx context.Context, item turn) error {
	sent := s.clock.Now()
	result := s.client.Put(ctx, s.endpoint, item.ID, item.Body)
	answered := s.clock.Now()
	s.witness.hear(s.endpoint, result.Date, sent, answered)
	now := answered.Time
	switch result.Outcome {
	case deliver.Stored, deliver.AlreadyStored:
		if err := s.store.Acknowledge(item.ID, now, delivered(now, item.Item, result.Status)...); err != nil {
			return err
		}
		s.answered(now, now)
		if told := item.Label[tellsLosses]; told != "" {
			upTo, _ := strconv.ParseUint(told, 10, 64) // our own label
			return s.store.LossesTold(upTo)
		}
	case deliver.Refused:
		s.sayRefused(now, item.ID, &result)
		if err := s.store.SetAside(item.ID, result.Err.Error(), now, event(now, Refused, item.Item, "reason", result.Err.Error())); err != nil {
			return err
		}
		s.answered(now, s.snapshot().lastOK) // the way is open
	default:
		if ctx.Err() != nil {
			return nil // our own stop, not the head-end's failure
		}
		over := item.ID
		if result.Status == 0 {
			over = ""
		}
		until := s.pause(now, result.RetryAfter, result.Err.Error(), over)
		if !aboutItem(result.Status) {
			// The queue rests, and the item keeps its place in it. An agent that
			// starts meanwhile does not rest, but where the head-end has asked for it.
			notBefore := item.NotBefore
			if result.RetryAfter > 0 {
				notBefore = until
			}
			return s.store.Tried(item.ID, result.Err.Error(), now, notBefore)
		}
		until = until.Add(behind)
		if item.chosen != "" {
			return errors.Join(s.store.Tried(item.chosen, result.Err.Error(), now, until), s.store.Tried(item.ID, result.Err.Error(), now, until))
		}
		return s.store.Tried(item.ID, result.Err.Error(), now, until)
	}
	return nil
}

// sayRefused tells a refusal in full once an hour. What else is refused
// meanwhile has a message that is the same each time, so that the log folds it: a
// head-end that refuses one payload often refuses all of a row.
func (s *sender) sayRefused(now time.Time, id string, r *deliver.Result) {
	if since := now.Sub(s.refused); since >= 0 && since < time.Hour {
		s.log.Error("the head-end refuses more payloads for good: they are set aside, and smgw outbox has them all", "status", r.Status)
		return
	}
	s.refused = now
	s.log.Error("the head-end refuses a payload for good: it is set aside", "id", id, "status", r.Status, "err", r.Err)
}

// aboutItem reports whether an answer that is no acknowledgement may be about
// one payload only: that one must not stand before all others for ever. No
// answer at all is about none, and neither is one of a head-end, or of what
// stands before it, that has too much to do.
func aboutItem(status int) bool {
	switch status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// discard takes a payload whose bytes went bad on flash out of the queue, so
// that it stops no other, and tells it as a loss.
func (s *sender) discard(item buffer.Item, now time.Time, damaged *buffer.DamagedError) error {
	s.log.Error("a payload was damaged on flash: it is set aside", "id", item.ID, "err", damaged)
	lost := buffer.Loss{At: now, Kind: Damaged, Subject: item.ID, Count: 1}
	return s.store.SetAsideLost(item.ID, damaged.Error(), lost, event(now, Damaged, item))
}

// answered notes that the head-end answered now, and acknowledged a payload at lastOK.
func (s *sender) answered(now, lastOK time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.failures > 0 {
		s.log.Info("the head-end answers again", "failed_attempts", s.state.failures, "since", s.state.since)
	}
	s.state = senderState{reached: now, lastOK: lastOK}
}

// pause lets the queue rest after a failure and returns until when; over is the
// payload that was answered, "" where no answer came. Only the first failure of a
// row is logged; the status tells the rest.
func (s *sender) pause(now time.Time, retryAfter time.Duration, why, over string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	if st.failures == 0 {
		st.since = now
		s.sayFailing(why)
	}
	pause := longestPause
	if st.failures < 10 { // 10 s doubled ten times is beyond an hour
		pause = min(pause, firstPause<<st.failures)
	}
	if retryAfter > 0 {
		pause = max(min(pause, longestOwnPause), retryAfter+behind+rand.N(retryAfter/4+1)) // behind is what resume takes off
	} else {
		pause -= rand.N(pause / 2)
	}
	st.failures++
	st.lastError, st.storeErr = why, nil
	if over != "" {
		st.stumbled, st.reached = over, now
	}
	st.notBefore = now.Add(pause)
	return st.notBefore
}

// storeFailed lets the queue rest while the store takes no outcome. That is not
// the head-end's failure, and is told apart from it.
func (s *sender) storeFailed(now time.Time, err error) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.storeErr == nil {
		s.log.Error("the store fails; delivery rests and is tried again", "err", err)
	}
	s.state.storeErr = err
	s.state.notBefore = now.Add(time.Minute)
	return s.state.notBefore
}

// storeWorks notes that nothing is left that the store did not take.
func (s *sender) storeWorks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.storeErr != nil {
		s.state.storeErr = nil
		s.log.Info("the store works again")
	}
}

func (s *sender) snapshot() senderState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}
