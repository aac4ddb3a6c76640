package board_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"

	"smgw/board"
)

// taken is the press that waits, "" when none does.
func taken(b board.Button) string {
	synctest.Wait()
	select {
	case p := <-b.Presses():
		return p.String()
	default:
		return ""
	}
}

func TestButtonTellsShortFromLong(t *testing.T) {
	for name, bounce := range map[string]time.Duration{"debounced by the kernel": 0, "debounced here": board.Settle} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var line recorder
				button, set := board.NewButton(&line, bounce)
				set(true)
				time.Sleep(board.LongPress - time.Millisecond)
				require.Empty(t, taken(button))
				set(false)
				time.Sleep(time.Second)
				require.Equal(t, "short", taken(button))

				set(true)
				time.Sleep(board.LongPress + bounce)
				require.Equal(t, "long", taken(button), "it is told while the button is still held")
				time.Sleep(time.Hour)
				set(false)
				time.Sleep(time.Second)
				require.Empty(t, taken(button), "letting go of it is no press of its own")

				set(false) // held while the agent started
				time.Sleep(time.Minute)
				require.Empty(t, taken(button))
				require.NoError(t, button.Close())
				require.True(t, line.closed)
			})
		})
	}
}

// A contact bounces for some milliseconds when it closes and when it opens.
func TestBouncesAreNoPresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		button, set := board.NewButton(&line, board.Settle)
		defer button.Close()
		bounces := func(last bool) {
			for i := range 9 {
				set(last == (i%2 == 0))
				time.Sleep(3 * time.Millisecond)
			}
		}
		bounces(true)
		time.Sleep(200 * time.Millisecond)
		require.Empty(t, taken(button))
		bounces(false)
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, "short", taken(button))
		require.Empty(t, taken(button))

		set(true) // a spark on the wire
		time.Sleep(time.Millisecond)
		set(false)
		time.Sleep(time.Second)
		require.Empty(t, taken(button))
	})
}

func TestPressesThatNobodyTakesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		button, set := board.NewButton(&line, 0)
		defer button.Close()
		for range 5 {
			set(true)
			time.Sleep(time.Second)
			set(false)
			time.Sleep(time.Second)
		}
		set(true)
		time.Sleep(time.Minute)
		require.Equal(t, "long", taken(button))
		require.Empty(t, taken(button))
	})
}

// kernel answers requests of a line as an old kernel does, or a simple chip.
type kernel struct {
	recorder
	noDebounce, noBias bool
	fault              error
	asked              int
	event              gpiocdev.EventHandler
	activeLow          bool
}

func (k *kernel) request(options ...gpiocdev.LineReqOption) (io.Closer, error) {
	k.asked++
	for _, o := range options {
		switch o := o.(type) {
		case gpiocdev.EventHandler:
			k.event = o
		case gpiocdev.DebounceOption:
			if k.noDebounce {
				return nil, gpiocdev.ErrUapiIncompatibility{Feature: "debounce", AbiVersion: 1}
			}
		case gpiocdev.LineBias:
			if k.noBias {
				return nil, unix.EOPNOTSUPP
			}
			if want := map[bool]gpiocdev.LineBias{true: gpiocdev.LineBiasPullUp, false: gpiocdev.LineBiasPullDown}[k.activeLow]; o != want {
				return nil, errors.New("the wrong resistor")
			}
		}
	}
	return &k.recorder, k.fault
}

func (k *kernel) edge(to gpiocdev.LineEventType) { k.event(gpiocdev.LineEvent{Type: to}) }

// What a kernel or a chip cannot do, the agent does without.
func TestButtonOnOldKernelsAndSimpleChips(t *testing.T) {
	for name, k := range map[string]*kernel{
		"a new kernel":                       {},
		"active low":                         {activeLow: true},
		"a kernel without debounce":          {noDebounce: true},
		"a chip without resistors":           {noBias: true},
		"a kernel and a chip without either": {noDebounce: true, noBias: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				button, err := board.OpenButtonBy(board.Config{Button: &board.Pin{ActiveLow: k.activeLow}}, k.request)
				require.NoError(t, err)
				defer button.Close()
				tries := 1
				if k.noBias {
					tries++
				}
				if k.noDebounce {
					tries += 2
				}
				require.Equal(t, tries, k.asked, "the most that can be had")
				if k.noDebounce { // then the contact's own bounces come through
					k.edge(gpiocdev.LineEventRisingEdge)
					k.edge(gpiocdev.LineEventFallingEdge)
				}
				k.edge(gpiocdev.LineEventRisingEdge)
				time.Sleep(time.Second)
				k.edge(gpiocdev.LineEventFallingEdge)
				time.Sleep(time.Second)
				require.Equal(t, "short", taken(button))
				require.Empty(t, taken(button))
			})
		})
	}
	busy := &kernel{fault: &board.Error{Chip: "gpiochip0", Line: "4", Err: board.ErrBusy}}
	_, err := board.OpenButtonBy(board.Config{Button: &board.Pin{}}, busy.request)
	require.ErrorIs(t, err, board.ErrBusy)
	require.Equal(t, 1, busy.asked, "asking for less does not help")
	unable := &kernel{fault: unix.EINVAL}
	_, err = board.OpenButtonBy(board.Config{Button: &board.Pin{}}, unable.request)
	require.ErrorIs(t, err, unix.EINVAL)
	require.Equal(t, 4, unable.asked)
}
