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
	// Close darkens the lamps and gives their lines back.
	Close() error
}

// Dark is a board without lamps.
type Dark struct{}

// Show does nothing.
func (Dark) Show(...Cause) error { return nil }

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

// Config says which lines of which chip carry lamps. The zero Config is a
// board without lamps.
type Config struct {
	Chip  string // "gpiochip0" or a path
	Lamps []Lamp
	Dev   string // folder of the device nodes, "" for /dev
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

// panel plays blink codes, each lamp in a goroutine of its own.
type panel struct {
	lamps []*player
	done  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	faults []error
}

type player struct {
	Lamp
	out  line
	show chan Cause // holds the newest cause that is not yet taken up
}

// newPanel lights every lamp.
func newPanel(lamps []Lamp, lines []line) *panel {
	p := &panel{done: make(chan struct{})}
	for i, l := range lamps {
		lamp := &player{Lamp: l, out: lines[i], show: make(chan Cause, 1)}
		p.lamps = append(p.lamps, lamp)
		p.wg.Go(func() { p.play(lamp) })
	}
	return p
}

// Show implements Lamps.
func (p *panel) Show(causes ...Cause) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lamps {
		select { // the lock makes this the only sender: after taking an old one out there is room
		case <-l.show:
		default:
		}
		l.show <- mostUrgent(causes, l.Causes)
	}
	err := errors.Join(p.faults...)
	p.faults = nil
	return err
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
// once; the same cause again does not disturb the counting.
func (p *panel) play(l *player) {
	current := AllWell
	var fault bool
	for {
		for _, s := range steps(current) {
			err := l.out.SetValue(s.value)
			if err != nil && !fault { // said once, not at every flash
				p.mu.Lock()
				p.faults = append(p.faults, fmt.Errorf("lamp on line %v: %w", l.Line, err))
				p.mu.Unlock()
			}
			fault = err != nil
			if next, changed := p.wait(l, current, s.hold); changed {
				current = next
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

// wait holds for the time of a step, for ever when it is 0, and returns early
// with another cause or when the panel closes.
func (p *panel) wait(l *player, current Cause, hold time.Duration) (Cause, bool) {
	var over <-chan time.Time
	if hold > 0 {
		t := time.NewTimer(hold)
		defer t.Stop()
		over = t.C
	}
	for {
		select {
		case <-over:
			return current, false
		case <-p.done:
			return current, false
		case next := <-l.show:
			if next != current {
				return next, true
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
