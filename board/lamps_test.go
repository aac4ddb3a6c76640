package board_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/board"
)

// recorder is a GPIO line that writes down how long it was on and off:
// "on 250ms, off 250ms, …".
type recorder struct {
	mu      sync.Mutex
	fault   error
	value   int
	since   time.Time
	entries []string
	closed  bool
}

func (r *recorder) SetValue(v int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return r.fault
	}
	now := time.Now()
	if v != r.value {
		if !r.since.IsZero() {
			r.entries = append(r.entries, r.held(now))
		}
		r.value, r.since = v, now
	}
	return nil
}

func (r *recorder) breakWith(fault error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

func (r *recorder) held(now time.Time) string {
	return fmt.Sprintf("%s %v", [...]string{"off", "on"}[r.value], now.Sub(r.since))
}

func (r *recorder) Close() error { r.closed = true; return nil }

// seen gives what the lamp did until now, and begins anew.
func (r *recorder) seen() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(append(r.entries, r.held(time.Now())), ", ")
	r.entries = nil
	return s
}

func TestPanelIsSteadilyLitWhenAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{}}, &line)
		time.Sleep(time.Hour)
		require.Equal(t, "on 1h0m0s", line.seen())
		require.NoError(t, panel.Show())
		time.Sleep(time.Hour)
		require.Equal(t, "on 2h0m0s", line.seen())
		require.NoError(t, panel.Close())
		require.Equal(t, 0, line.value, "a dark lamp means that no agent runs")
		require.True(t, line.closed)
	})
}

func TestPanelFlashesTheMostUrgentCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{}}, &line)
		defer panel.Close()
		synctest.Wait()
		require.NoError(t, panel.Show(board.CertificateEnding, board.ReaderSilent, board.HeadEndUnreachable))
		time.Sleep(4900 * time.Millisecond)
		// Two flashes and a pause, again and again; the dark after the last flash is part of the pause.
		require.Equal(t, "on 250ms, off 250ms, on 250ms, off 1.75s, on 250ms, off 250ms, on 250ms, off 1.65s", line.seen())
	})
}

func TestPanelShowsANewCauseAtOnceAndTheSameOneUndisturbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{}}, &line)
		defer panel.Close()
		synctest.Wait()
		for range 25 { // the agent shows its causes every second or oftener
			require.NoError(t, panel.Show(board.StoreInTrouble))
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, "on 250ms, off 1.75s, on 250ms, off 250ms", line.seen())
		require.NoError(t, panel.Show())
		time.Sleep(time.Second)
		require.Equal(t, "off 250ms, on 1s", line.seen())
	})
}

func TestEachLampShowsItsOwnCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reader, network, dead recorder
		panel := board.NewPanel([]board.Lamp{
			{Causes: []board.Cause{board.ReaderSilent, board.NoSML}},
			{Causes: []board.Cause{board.HeadEndUnreachable}},
			{Causes: []board.Cause{board.ClockNotSet}},
		}, &reader, &network, &dead)
		defer panel.Close()
		synctest.Wait()
		require.NoError(t, panel.Show(board.StoreInTrouble, board.NoSML, board.HeadEndUnreachable))
		time.Sleep(2900 * time.Millisecond)
		require.Equal(t, "on 250ms, off 250ms, on 250ms, off 250ms, on 250ms, off 1.65s", reader.seen())
		require.Equal(t, 6, strings.Count(network.seen(), "on 250ms"))
		require.Equal(t, "on 2.9s", dead.seen())
	})
}

// One lamp that knows the cause and one that does not: after all were lit both
// tell it twice, and then each goes on with its own.
func TestSelfTestLightsEveryLampAndThenTellsTheMostUrgentCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all, network recorder
		panel := board.NewPanel([]board.Lamp{{}, {Causes: []board.Cause{board.HeadEndUnreachable}}}, &all, &network)
		defer panel.Close()
		require.NoError(t, panel.Show(board.ClockNotSet))
		time.Sleep(600 * time.Millisecond)
		panel.SelfTest()
		synctest.Wait()
		require.Equal(t, "on 250ms, off 250ms, on 100ms, off 0s", all.seen())
		require.Equal(t, "on 600ms, off 0s", network.seen())
		time.Sleep(2 * time.Second)
		require.NoError(t, panel.Show(board.ReaderSilent), "found while the lamps are lit")
		time.Sleep(14 * time.Second)
		twice := "off 1s, on 2s, off 1s, on 250ms, off 250ms, on 250ms, off 1.75s, on 250ms, off 250ms, on 250ms, off 1.75s, "
		require.Equal(t, twice+"on 250ms, off 250ms, on 250ms, off 1.75s, on 250ms, off 250ms, on 250ms, off 1.75s, on 250ms, off 250ms, on 250ms, off 1.25s", all.seen())
		require.Equal(t, twice+"on 7s", network.seen())
	})
}

func TestSelfTestWhenAllIsWellEndsInSteadyLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{}}, &line)
		defer panel.Close()
		time.Sleep(time.Second)
		panel.SelfTest()
		time.Sleep(time.Minute)
		require.Equal(t, "on 1s, off 1s, on 2s, off 1s, on 56s", line.seen())
	})
}

func TestPanelSpellsDigits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{}}, &line)
		defer panel.Close()
		time.Sleep(time.Second)
		panel.Spell("203")
		time.Sleep(time.Minute)
		require.Equal(t, "on 1s, off 3s, "+
			"on 250ms, off 250ms, on 250ms, off 1.75s, "+
			"on 1s, off 1.5s, "+
			"on 250ms, off 250ms, on 250ms, off 250ms, on 250ms, off 3.25s, on 47.5s", line.seen())

		panel.Spell("11111111")
		time.Sleep(4 * time.Second)
		panel.SelfTest() // somebody changed his mind
		time.Sleep(5 * time.Second)
		require.Equal(t, "on 47.5s, off 3s, on 250ms, off 1.75s, on 2s, off 1s, on 1s", line.seen())
	})
}

func TestPanelTellsOfABrokenLampOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line recorder
		panel := board.NewPanel([]board.Lamp{{Line: board.LineOffset(17)}}, &line)
		defer panel.Close()
		synctest.Wait()
		line.breakWith(errors.New("input/output error"))
		require.NoError(t, panel.Show(board.ReaderSilent))
		time.Sleep(time.Minute)
		require.EqualError(t, panel.Show(board.ReaderSilent), "lamp on line 17: input/output error")
		time.Sleep(time.Minute)
		require.NoError(t, panel.Show(board.ReaderSilent), "it was said")
		line.breakWith(nil)
		time.Sleep(time.Minute)
		require.Contains(t, line.seen(), "on 250ms, off 250ms, on 250ms, off 1.75s", "it flashes again when it can")
	})
}

func TestCausesAreNamedAndCountable(t *testing.T) {
	names := map[string]bool{}
	for i, c := range board.Causes() {
		require.Equal(t, i, c.Flashes(), "urgency, number and blink code are one")
		require.NotEmpty(t, c.Meaning())
		require.NotEmpty(t, c.Remedy())
		names[c.String()] = true
		parsed, err := board.ParseCause(c.String())
		require.NoError(t, err)
		require.Equal(t, c, parsed)
	}
	require.Len(t, names, len(board.Causes()))
	_, err := board.ParseCause("")
	require.ErrorContains(t, err, "want one of")
}
