package agent

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
)

// stage is a part of the work that the agent must not get stuck in.
type stage uint32

const (
	resting stage = iota // in none: at an end, or waiting with an alarm clock set
	starting
	reading  // the port: Line's loop
	bounding // a telegram on its way to the boundary readings
	storing  // a probe of the store
	scheduling
	sending
	stopping
)

// limits is how long anybody may stand in a stage without a turn. A store that
// hangs holds up those who wait for it: its limit is the shorter, so that it is
// the one that is named.
var limits = [...]struct {
	name  string
	limit time.Duration
}{
	starting:   {"start", 15 * time.Minute}, // a damaged store is recovered, one of an old schema migrated
	reading:    {"port", 2 * meter.TurnLimit},
	bounding:   {"boundary", 5 * time.Minute},
	storing:    {"store", 4 * time.Minute}, // compacting a large one on a slow card takes a minute or two
	scheduling: {"scheduler", 5 * time.Minute},
	sending:    {"sender", 5 * time.Minute}, // an attempt is given up after half of it: deliver.DefaultLimits
	stopping:   {"stop", 5 * time.Minute},
}

// post is where one goroutine of the agent stands. It says so at every turn.
type post struct {
	of   slog.Attr     // which meter, which endpoint; empty where there is one of them
	mark atomic.Uint32 // the stage in the lowest three bits, the turns above
}

// at says that the goroutine goes on, in a stage. Only one goroutine may.
func (p *post) at(s stage) { p.mark.Store((p.mark.Load()>>3+1)<<3 | uint32(s)) }

// hungStatus is the exit status of an agent that ended itself: EX_SOFTWARE of
// sysexits.h.
const hungStatus = 70

// Watchdog sees to it that every stage of the agent goes round, and tells so
// those who watch over the agent: systemd, where it started the agent, and the
// board's own watchdog, where one is configured. They are fed while every stage
// goes round, and by nothing else. When one hangs, that is said, nobody is fed any
// more, and the process ends itself for its supervisor to start it again.
//
// An age is counted in turns of the watchdog itself: a process that was stopped
// for an hour finds no stage an hour old.
type Watchdog struct {
	Log    *slog.Logger
	Device string        // "": none
	Note   string        // the file that tells the next agent what hung
	Dump   io.Writer     // where the stacks go when a stage hangs
	Tick   time.Duration // one turn; limits are that many times shorter as this is shorter than a second
	Exit   func(status int)

	mu      sync.Mutex
	watched []*watched
	text    string // how the agent is

	own    post // of whoever starts and stops
	device *board.Watchdog
	every  int // turns between two meals of systemd; 0: it wants none
	stop   chan struct{}
	ended  chan struct{}
}

type watched struct {
	*post
	seen uint32
	age  int // turns since it was seen to go on
}

// NewWatchdog returns the watchdog of a gateway.
func NewWatchdog(c *config.Config, log *slog.Logger) *Watchdog {
	return &Watchdog{Log: log, Device: c.Watchdog.Device, Note: filepath.Join(c.Gateway.StateDir, "hung"), Dump: os.Stderr, Tick: time.Second, Exit: os.Exit}
}

// Start begins to feed, before the agent is ready: recovering a store may take
// longer than a board waits that was restarted a moment ago.
func (w *Watchdog) Start() {
	var err error
	if w.Device != "" {
		if w.device, err = board.OpenWatchdog(w.Device); err != nil {
			w.Log.Warn("running without the board's watchdog", "err", err)
		}
	}
	if wants, err := daemon.SdWatchdogEnabled(false); err != nil {
		w.Log.Warn("running without systemd's watchdog", "err", err)
	} else if wants > 0 {
		w.every = max(1, int(wants/3/w.Tick))
	}
	w.watch(&w.own, slog.Attr{})
	w.own.at(starting)
	w.stop, w.ended = make(chan struct{}), make(chan struct{})
	go w.run()
}

// Ready tells systemd that the agent runs.
func (w *Watchdog) Ready() {
	w.own.at(resting)
	w.notify(daemon.SdNotifyReady)
}

// Stopping tells systemd that the agent stops.
func (w *Watchdog) Stopping() {
	w.own.at(stopping)
	w.notify(daemon.SdNotifyStopping)
}

// Stop ends the watch and disarms the board's watchdog.
func (w *Watchdog) Stop() {
	close(w.stop)
	<-w.ended
	if w.device != nil {
		if err := w.device.Close(); err != nil {
			w.Log.Warn("disarming the board's watchdog", "err", err)
		}
	}
}

// say notes how the agent is, in a line, for systemd to be told at the next
// turn: whoever says it must not wait for systemd.
func (w *Watchdog) say(text string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = text
}

// notify tells systemd, where it wants to know.
func (w *Watchdog) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		w.Log.Warn("telling systemd", "err", err)
	}
}

// watch has a post watched, of a meter or an endpoint. Without a watchdog nobody is.
func (w *Watchdog) watch(p *post, of slog.Attr) {
	if w == nil {
		return
	}
	p.of = of
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = append(w.watched, &watched{post: p})
}

func (w *Watchdog) run() {
	defer close(w.ended)
	tick := time.NewTicker(w.Tick)
	defer tick.Stop()
	told := ""
	for n := 0; ; n++ {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		hung, text := w.look()
		if len(hung) > 0 {
			w.end(hung)
			return
		}
		if w.device != nil {
			if err := w.device.Feed(); err != nil {
				w.Log.Error("feeding the board's watchdog", "err", err)
			}
		}
		if w.every > 0 && n%w.every == 0 {
			w.notify(daemon.SdNotifyWatchdog)
		}
		if text != told {
			told = text
			w.notify("STATUS=" + text)
		}
	}
}

// look lets every post grow older that stands where it stood, and returns those
// that are beyond their stage's limit, and how the agent is.
func (w *Watchdog) look() (hung []*watched, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.watched {
		mark := p.mark.Load()
		if mark != p.seen {
			p.seen, p.age = mark, 0
			continue
		}
		p.age++
		if s := p.stage(); s != resting && time.Duration(p.age)*time.Second > limits[s].limit {
			hung = append(hung, p)
		}
	}
	return hung, w.text
}

// stage is the one that was seen last.
func (p *watched) stage() stage { return stage(p.seen & 7) }

// end says what hangs, shows the stacks, and ends the process. A log that
// hangs too does not keep it.
func (w *Watchdog) end(hung []*watched) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		var names []string
		for _, p := range hung {
			names = append(names, limits[p.stage()].name)
			s := limits[p.stage()]
			w.Log.Error("a stage hangs: the agent ends itself, to be started again", "stage", s.name, p.of, "limit", s.limit)
		}
		stacks := make([]byte, 64<<10) // of every goroutine; those of an agent take half of it
		fmt.Fprintf(w.Dump, "%s\n", stacks[:runtime.Stack(stacks, true)])
		// Last, because the flash may be what hangs.
		if err := os.WriteFile(w.Note, []byte(strings.Join(names, " ")), 0o600); err != nil {
			w.Log.Warn("noting for the journal what hung", "err", err)
		}
	}()
	select {
	case <-said:
	case <-time.After(5 * time.Second):
	}
	w.Exit(hungStatus)
}

// reads says that the line goes on. One that is not live, a recording, may wait
// for ever for what a pipe brings.
func (m *meterState) reads() {
	if m.line.Source.Live() {
		m.post.at(reading)
	} else {
		m.post.at(resting)
	}
}

// probeStore asks the store again and again whether it could write, until ctx ends.
func (a *Agent) probeStore(ctx context.Context) {
	var post post
	a.Watchdog.watch(&post, slog.Attr{})
	defer post.at(resting)
	tick := time.NewTicker(10 * a.Watchdog.turn())
	defer tick.Stop()
	for {
		post.at(storing)
		_ = a.Store.Probe() // one that answers with an error does not hang
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// turn is how long one turn takes.
func (w *Watchdog) turn() time.Duration {
	if w == nil {
		return time.Second
	}
	return w.Tick
}

// begins are the events that a start is written down with: what hung in the
// agent before comes first.
func (a *Agent) begins() []buffer.Event {
	if a.Watchdog == nil {
		return []buffer.Event{a.event(AgentStarted)}
	}
	names, err := os.ReadFile(a.Watchdog.Note)
	if err != nil {
		return []buffer.Event{a.event(AgentStarted)}
	}
	// A flash that hung itself may have taken the note's name and not its text.
	return []buffer.Event{a.event(AgentHung, "stage", cmp.Or(string(names), "unknown")), a.event(AgentStarted)}
}

// began forgets what hung, once it is written down.
func (w *Watchdog) began() {
	if w != nil {
		os.Remove(w.Note)
	}
}

// status is how the stages are.
func (w *Watchdog) status() *control.WatchdogStatus {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &control.WatchdogStatus{Feeds: []string{}}
	if w.every > 0 {
		s.Feeds = append(s.Feeds, "systemd")
	}
	if w.device != nil {
		s.Feeds = append(s.Feeds, w.Device)
	}
	for n := reading; n <= sending; n++ {
		oldest := 0
		for _, p := range w.watched {
			if p.stage() == n {
				oldest = max(oldest, p.age)
			}
		}
		s.Stages = append(s.Stages, control.StageStatus{Stage: limits[n].name, Age: oldest, Limit: int(limits[n].limit / time.Second)})
	}
	return s
}

// headline is how the agent is, in a line.
func headline(causes []board.Cause) string {
	if len(causes) == 0 {
		return board.AllWell.Meaning()
	}
	words := make([]string, len(causes))
	for i, c := range causes {
		words[i] = c.Meaning()
	}
	return strings.Join(words, "; ")
}
