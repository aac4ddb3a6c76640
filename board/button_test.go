package board_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
