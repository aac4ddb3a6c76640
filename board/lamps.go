package board

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// Lamps show causes to whoever stands before the box.
type Lamps interface {
	// Show replaces what the lamps show by the causes that hold now; none is
	// AllWell. It does not wait. It returns what went wrong with a lamp since
	// the last call, which is worth a line in a log and nothing more.
	Show(causes ...Cause) error
	// SelfTest lights every lamp for a moment and then lets every lamp, whatever
	// causes are its own, flash the most urgent one twice. It does not wait.
	SelfTest()
	// Spell flashes digits on every lamp, one after another, and then goes on as
	// before: the end of the gateway's id, for a person who looks for one among
	// many. Another SelfTest or Spell takes its place. It does not wait.
	Spell(digits string)
	// Close darkens the lamps and gives their lines back.
	Close() error
}

// Dark is a board without lamps.
type Dark struct{}

// Show does nothing.
func (Dark) Show(...Cause) error { return nil }

// SelfTest does nothing.
func (Dark) SelfTest() {}

// Spell does nothing.
func (Dark) Spell(string) {}

// Close does nothing.
func (Dark) Close() error { return nil }

// LineID names a line of a chip: by the name that the board's device tree
// gives it or, when that is empty, by its offset.
type LineID struct {
	Name   string
	Offset int
}

// LineName is the line of that name.
func LineName(name string) LineID { return LineID{Name: name} }

// LineOffset is the chip's line number n, from 0.
func LineOffset(n int) LineID { return LineID{Offset: n} }

func (l LineID) String() string {
	if l.Name != "" {
		return strconv.Quote(l.Name)
	}
	return strconv.Itoa(l.Offset)
}

// Lamp is one lamp of a board.
type Lamp struct {
	Line      LineID
	ActiveLow bool
	// Causes that this lamp shows; it is steadily lit when none of them holds.
	// Empty: all causes.
	Causes []Cause
}

// Pin is one line of a board that is no lamp.
type Pin struct {
	Line      LineID
	ActiveLow bool // pressed, or pulled, is low
}

// Config says what hangs on which lines of which chip. The zero Config is a
// board with nothing.
type Config struct {
	Chip   string // "gpiochip0" or a path
	Lamps  []Lamp
	Button *Pin   // nil: none
	Reset  *Pin   // nil: none
	Dev    string // folder of the device nodes, "" for /dev
}

// line is what a lamp needs of a GPIO line.
type line interface {
	SetValue(int) error
	io.Closer
}

// The blink code: flashes that are easy to count, and a pause that is clearly
// longer than the dark between two of them.
const (
	flashOn    = 250 * time.Millisecond
	flashOff   = 250 * time.Millisecond
	flashPause = 1500 * time.Millisecond
)

// What the button makes the lamps do. The dark before and after sets it off
// from a code that was just being counted.
const (
	testDark = time.Second
	testLit  = 2 * time.Second
	zeroLit  = time.Second // the digit 0: one long light
	spellGap = 3 * time.Second
)

// panel plays blink codes, each lamp in a goroutine of its own.
type panel struct {
	lamps []*player
	done  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	worst  Cause // of all causes, for a self-test
	faults []error
}

type player struct {
	Lamp
	out  line
	wake chan struct{} // full when one of those below has changed

	// Guarded by panel.mu.
	cause Cause
	queue []func() []step // to be played before the cause is shown again
	fresh bool            // the queue is another than the one being played
}

// newPanel lights every lamp.
func newPanel(lamps []Lamp, lines []line) *panel {
	p := &panel{done: make(chan struct{})}
	for i, l := range lamps {
		lamp := &player{Lamp: l, out: lines[i], wake: make(chan struct{}, 1)}
		p.lamps = append(p.lamps, lamp)
		p.wg.Go(func() { p.play(lamp) })
	}
	return p
}

// Show implements Lamps.
func (p *panel) Show(causes ...Cause) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.worst = mostUrgent(causes, nil)
	for _, l := range p.lamps {
		l.cause = mostUrgent(causes, l.Causes)
		l.rouse()
	}
	err := errors.Join(p.faults...)
	p.faults = nil
	return err
}

// SelfTest implements Lamps.
func (p *panel) SelfTest() {
	p.insert(
		func() []step { return []step{{0, testDark}, {1, testLit}, {0, testDark}} },
		func() []step { // only now: what was found while the lamps were lit counts too
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.worst == AllWell {
				return nil // steady light, as each lamp has it that nothing of its own is wrong with
			}
			return append(steps(p.worst), steps(p.worst)...)
		},
	)
}

// Spell implements Lamps.
func (p *panel) Spell(digits string) {
	spelt := []step{{0, spellGap}}
	for _, d := range digits {
		switch {
		case d == '0':
			spelt = append(spelt, step{1, zeroLit}, step{0, flashPause})
		case '1' <= d && d <= '9':
			for range d - '0' {
				spelt = append(spelt, step{1, flashOn}, step{0, flashOff})
			}
			spelt = append(spelt, step{0, flashPause})
		}
	}
	spelt = append(spelt, step{0, spellGap - flashPause})
	p.insert(func() []step { return spelt })
}

// insert has every lamp play something before it goes on with its cause.
func (p *panel) insert(queue ...func() []step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lamps {
		l.queue, l.fresh = queue, true
		l.rouse()
	}
}

func (l *player) rouse() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Close implements Lamps.
func (p *panel) Close() error {
	close(p.done)
	p.wg.Wait()
	var errs []error
	for _, l := range p.lamps {
		errs = append(errs, l.out.SetValue(0), l.out.Close())
	}
	return errors.Join(errs...)
}

// play shows the lamp's cause until the panel closes. A new cause begins at
// once, and what was inserted too; the same cause again does not disturb the
// counting.
func (p *panel) play(l *player) {
	var fault bool
	for {
		round, shown := p.next(l)
		for _, s := range round {
			err := l.out.SetValue(s.value)
			if err != nil && !fault { // said once, not at every flash
				p.mu.Lock()
				p.faults = append(p.faults, fmt.Errorf("lamp on line %v: %w", l.Line, err))
				p.mu.Unlock()
			}
			fault = err != nil
			if p.wait(l, shown, s.hold) {
				break
			}
			select {
			case <-p.done:
				return
			default:
			}
		}
	}
}

// inserted is shown while a lamp plays no cause.
const inserted = Cause(255)

// next is what a lamp plays now: what was inserted, else a round of its cause.
func (p *panel) next(l *player) (round []step, shown Cause) {
	p.mu.Lock()
	l.fresh = false
	if len(l.queue) == 0 {
		defer p.mu.Unlock()
		return steps(l.cause), l.cause
	}
	compose := l.queue[0]
	l.queue = l.queue[1:]
	p.mu.Unlock()
	return compose(), inserted
}

// wait holds for the time of a step, for ever when it is 0. It returns early,
// with true where the lamp has something else to show, or when the panel closes.
func (p *panel) wait(l *player, shown Cause, hold time.Duration) (changed bool) {
	var over <-chan time.Time
	if hold > 0 {
		t := time.NewTimer(hold)
		defer t.Stop()
		over = t.C
	}
	for {
		select {
		case <-over:
			return false
		case <-p.done:
			return false
		case <-l.wake:
			p.mu.Lock()
			changed = l.fresh || shown != inserted && l.cause != shown
			p.mu.Unlock()
			if changed {
				return true
			}
		}
	}
}

type step struct {
	value int
	hold  time.Duration // 0: until something changes
}

// steps is one round of a cause's blink code.
func steps(c Cause) []step {
	if c.Flashes() == 0 {
		return []step{{value: 1}}
	}
	round := make([]step, 0, 2*c.Flashes()+1)
	for range c.Flashes() {
		round = append(round, step{1, flashOn}, step{0, flashOff})
	}
	return append(round, step{0, flashPause})
}
