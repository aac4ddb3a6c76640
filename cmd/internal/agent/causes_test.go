package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
	"smgw/meter"
	"smgw/meter/sim"
)

// whatIsWrong finds in a log what began and ended.
var whatIsWrong = regexp.MustCompile(`level=(\w+) msg="(wrong|no more): [^"]*" cause=(\w+)`)

// wrongs are what a log says began and ended, in order: "WARN wrong reader_silent".
func wrongs(log string) (said []string) {
	for _, line := range whatIsWrong.FindAllStringSubmatch(log, -1) {
		said = append(said, strings.Join(line[1:], " "))
	}
	return said
}

// A reader is plugged in, brings torn frames, then good ones, while the clock
// has no source: whoever reads the log learns each, and its last word is how it is.
func TestTheLogSaysWhatIsWrongFromWhenToWhen(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	synchronised := func() bool { since := time.Since(bubble); return since < time.Minute || since > 12*time.Minute }
	w := &cable{}
	w.bytes = func() ([]byte, error) {
		good := telegramOf(home)
		if time.Since(bubble) < 6*time.Minute {
			good[len(good)/2] ^= 0xff
		}
		return good, nil
	}
	log := &bytes.Buffer{}
	boxed(t, w, func(b *bench, o *agent.Options) {
		o.Clock = distorted{b.clock, func(s meter.Stamp) meter.Stamp {
			if !synchronised() {
				s.Quality = meter.ClockUnsynchronised
			}
			return s
		}}
		o.Source = func(string) (meter.Source, error) { return late{w}, nil }
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}, func(*agent.Agent, *buffer.Store) { time.Sleep(13 * time.Minute) })
	require.Equal(t, []string{
		"WARN wrong reader_silent", "WARN wrong clock_not_set", "INFO no more reader_silent", "WARN wrong sml_refused",
		"INFO no more sml_refused", "INFO no more clock_not_set",
	}, wrongs(log.String()))
}

// late is a cable that is plugged in after two minutes.
type late struct{ *cable }

func (l late) Open(ctx context.Context) (io.ReadCloser, error) {
	if time.Since(bubble) < 2*time.Minute {
		return nil, errors.New("no such port")
	}
	return l.cable.Open(ctx)
}

// A meter whose PIN is missing says so; nothing else is wrong with it.
func TestTheLogSaysThatThePINIsMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	log := &bytes.Buffer{}
	b.log, b.model = log, "ebz"
	b.play(b.home.Since(), began.At(1, 0))
	require.Equal(t, []string{"WARN wrong pin_needed"}, wrongs(log.String()))
}

// What comes and goes each few seconds for hours is folded like all that repeats.
func TestWhatComesAndGoesDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	const hours = 6
	log := &bytes.Buffer{}
	end := func() {}
	boxed(t, &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, func(b *bench, o *agent.Options) {
		o.Clock = distorted{b.clock, func(s meter.Stamp) meter.Stamp {
			if time.Since(bubble)/(4*time.Second)%2 == 0 {
				s.Quality = meter.ClockUnsynchronised
			}
			return s
		}}
		var h slog.Handler
		h, end = cli.Fold(slog.NewTextHandler(log, nil))
		o.Log = slog.New(h)
	}, func(*agent.Agent, *buffer.Store) {
		time.Sleep(hours * time.Hour)
		synctest.Wait()
		end()
	})
	said := len(wrongs(log.String()))
	require.NotZero(t, said)
	require.LessOrEqual(t, said, hours*4*6, "two lines in ten minutes, and what was counted of them")
}
