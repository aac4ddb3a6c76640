package board

import (
	"io"
	"sync"
	"time"
)

// Press is what somebody does with the button.
type Press uint8

const (
	Short Press = iota // pressed and let go
	Long               // held for LongPress; told while it is still held, so that the lamps can answer
)

// String names the press for a log.
func (p Press) String() string { return [...]string{"short", "long"}[p] }

// LongPress is how long the button is held for a long press.
const LongPress = 3 * time.Second

// Button is the button of the box.
type Button interface {
	// Presses has what the button was pressed for. A press that nobody takes is
	// forgotten when the next one comes.
	Presses() <-chan Press
	// Close gives the line back.
	Close() error
}

// settle is how long a contact bounces at most: what is shorter is no press.
const settle = 30 * time.Millisecond

// button makes presses of a line's edges.
type button struct {
	line    io.Closer
	presses chan Press
	done    chan struct{}
	wg      sync.WaitGroup
}

// levels holds the newest level of a line that is not yet taken: the kernel's
// watcher that calls set must not wait.
type levels struct {
	mu   sync.Mutex
	news chan bool
}

func newLevels() *levels { return &levels{news: make(chan bool, 1)} }

// set notes that the button is down, or up.
func (l *levels) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.news:
	default:
	}
	l.news <- down
}

// newButton watches the levels of a line, which are debounced already or bounce
// for bounce.
func newButton(line io.Closer, from *levels, bounce time.Duration) *button {
	b := &button{line: line, presses: make(chan Press, 1), done: make(chan struct{})}
	b.wg.Go(func() { b.watch(from.news, bounce) })
	return b
}

// Presses implements Button.
func (b *button) Presses() <-chan Press { return b.presses }

// Close implements Button.
func (b *button) Close() error {
	err := b.line.Close() // first: then nobody sets a level any more
	close(b.done)
	b.wg.Wait()
	return err
}

// watch turns levels into presses until the button is closed.
func (b *button) watch(levels <-chan bool, bounce time.Duration) {
	var down, next bool
	var settled, held <-chan time.Time
	for {
		select {
		case next = <-levels:
			if settled = nil; next != down {
				settled = time.After(bounce)
			}
		case <-settled:
			settled = nil
			switch down = next; {
			case down:
				held = time.After(LongPress)
			case held != nil: // let go before it was long
				held = nil
				b.tell(Short)
			}
		case <-held:
			held = nil
			b.tell(Long)
		case <-b.done:
			return
		}
	}
}

func (b *button) tell(p Press) {
	select {
	case <-b.presses: // only watch sends, so there is room now
	default:
	}
	b.presses <- p
}
