package meter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/meter"
	"smgw/meter/sim"
	"smgw/sml"
)

var installed = time.Date(2026, 9, 28, 0, 0, 0, 0, time.UTC)

// telegrams makes the bytes of n telegrams, ten seconds apart.
func telegrams(n int) (out []byte) {
	m := sim.NewMeter(sim.NewHousehold(sim.Options{Seed: 1, Since: installed}), sim.Models[0], "")
	for i := range n {
		out = m.AppendTelegram(out, installed.Add(time.Duration(i+1)*10*time.Second))
	}
	return out
}

// run runs a line in the background; stop cancels it and waits for its end.
func run(t *testing.T, line *meter.Line, handle func(meter.Telegram)) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- line.Run(ctx, handle) }()
	return func() error {
		cancel()
		return <-done
	}
}

func ignore(meter.Telegram) {}

func lineOf(t *testing.T, spec string) *meter.Line {
	t.Helper()
	source, err := meter.ParseSource(spec)
	require.NoError(t, err)
	return &meter.Line{Source: source}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, time.Millisecond, what)
}

func TestALineHandsATelegramOnBeforeTheNextByte(t *testing.T) {
	defer goleak.VerifyNone(t)
	port, err := sim.OpenPort()
	require.NoError(t, err)
	defer port.Close()
	heard := make(chan uint32)
	stop := run(t, lineOf(t, port.Name()), func(telegram meter.Telegram) { heard <- telegram.SecIndex().Seconds })
	for i := range 3 {
		_, err := port.Write(telegrams(i + 1)[len(telegrams(i)):])
		require.NoError(t, err)
		require.EqualValues(t, 10*(i+1), <-heard)
	}
	require.ErrorIs(t, stop(), context.Canceled)
}

func TestALineSurvivesAHangUpAndFindsThePortUnderItsOldName(t *testing.T) {
	defer goleak.VerifyNone(t)
	link := filepath.Join(t.TempDir(), "meter")
	plug := func() *sim.Port {
		port, err := sim.OpenPort()
		require.NoError(t, err)
		require.NoError(t, port.Link(link))
		_, err = port.Write(telegrams(1))
		require.NoError(t, err)
		return port
	}
	line := lineOf(t, "serial:"+link) // nothing there yet
	stop := run(t, line, ignore)
	until(t, "it says that there is no port", func() bool { return line.State().Error != "" })
	require.Contains(t, line.State().Error, "no such file")

	for i := range int64(2) {
		port := plug()
		until(t, "a telegram", func() bool { return line.State().Telegrams == i+1 })
		require.True(t, line.State().Open)
		require.Empty(t, line.State().Error)
		require.NoError(t, port.Close())
		until(t, "it sees that the port is gone", func() bool { return !line.State().Open })
		require.Regexp(t, "the reader was unplugged|no longer there|no such file", line.State().Error)
	}
	require.ErrorIs(t, stop(), context.Canceled)
	require.EqualValues(t, 2, line.State().Opened)
}

func TestALineFollowsALinkThatIsMovedToAnotherPort(t *testing.T) {
	defer goleak.VerifyNone(t)
	link := filepath.Join(t.TempDir(), "meter")
	first, err := sim.OpenPort()
	require.NoError(t, err)
	defer first.Close()
	second, err := sim.OpenPort()
	require.NoError(t, err)
	defer second.Close()

	require.NoError(t, first.Link(link))
	line := lineOf(t, link)
	stop := run(t, line, ignore)
	until(t, "the first port", func() bool { return line.State().Open })
	require.NoError(t, second.Link(link))
	_, err = second.Write(telegrams(1))
	require.NoError(t, err)
	until(t, "a telegram of the second", func() bool { return line.State().Telegrams == 1 })
	require.ErrorIs(t, stop(), context.Canceled)
}

// A reader that is blocked on a silent port, and one whose handler is slow,
// end as soon as they are told.
func TestALineEndsWhenItIsTold(t *testing.T) {
	defer goleak.VerifyNone(t)
	port, err := sim.OpenPort()
	require.NoError(t, err)
	defer port.Close()
	line := lineOf(t, port.Name())
	stop := run(t, line, ignore)
	until(t, "the port is open", func() bool { return line.State().Open })
	require.ErrorIs(t, stop(), context.Canceled)
	require.False(t, line.State().Open)
	require.Empty(t, line.State().Error, "it was told to end: that is no fault")
}

func TestALineReadsARecordingToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recording.bin")
	torn := telegrams(3)
	require.NoError(t, os.WriteFile(path, append([]byte("noise"), torn[:len(torn)-4]...), 0o600))
	line := lineOf(t, path)
	require.Equal(t, io.EOF, line.Run(t.Context(), ignore))
	s := line.State()
	require.EqualValues(t, 2, s.Telegrams)
	require.EqualValues(t, len(torn)+1, s.Bytes)
	require.Len(t, s.Refused, 2, "%v", s.Refused)
	require.False(t, s.Open)

	line = lineOf(t, "file:"+path+".missing")
	require.ErrorIs(t, line.Run(t.Context(), ignore), os.ErrNotExist)
}

func TestALineReadsOverTheNetworkAndConnectsAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	line := lineOf(t, "tcp://"+listener.Addr().String())
	stop := run(t, line, ignore)
	for i := range int64(2) {
		conn, err := listener.Accept()
		require.NoError(t, err)
		_, err = conn.Write(telegrams(1))
		require.NoError(t, err)
		until(t, "a telegram", func() bool { return line.State().Telegrams == i+1 })
		conn.Close()
	}
	require.ErrorIs(t, stop(), context.Canceled)
}

// flaky is a live source that a test makes fail.
type flaky struct {
	open  func() (io.ReadCloser, error)
	tries atomic.Int64
	when  []time.Duration
	began time.Time
}

func (f *flaky) Live() bool     { return true }
func (f *flaky) String() string { return "flaky" }
func (f *flaky) Open(context.Context) (io.ReadCloser, error) {
	f.tries.Add(1)
	f.when = append(f.when, time.Since(f.began))
	return f.open()
}

func TestALinesPausesGrowAndStartAgainWithATelegram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &flaky{began: time.Now()}
		broken.open = func() (io.ReadCloser, error) {
			if broken.tries.Load() == 8 {
				return io.NopCloser(bytes.NewReader(telegrams(1))), nil
			}
			return nil, errors.New("no port")
		}
		stop := run(t, &meter.Line{Source: broken}, ignore)
		time.Sleep(125 * time.Second)
		stop()
		seconds := make([]int, len(broken.when))
		for i, d := range broken.when {
			seconds[i] = int(d / time.Second)
		}
		require.Equal(t, []int{0, 1, 3, 7, 15, 31, 61, 91, 92, 94, 98, 106, 122}, seconds)
	})
}

func TestAPauseEndsWhenTheLineIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &flaky{open: func() (io.ReadCloser, error) { return nil, errors.New("no port") }}
		stop := run(t, &meter.Line{Source: broken}, ignore)
		time.Sleep(100 * time.Second)
		told := time.Now()
		require.ErrorIs(t, stop(), context.Canceled)
		require.Zero(t, time.Since(told))
	})
}

// brokenReader gives what it has, and then its error.
type brokenReader struct {
	io.Reader
	err error
}

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n == 0 && err == io.EOF {
		err = b.err
	}
	return n, err
}

func (brokenReader) Close() error { return nil }

// A day of every kind of broken port leaves a log that a person can read, and a
// processor that has nothing to do.
func TestALineNeverFillsALog(t *testing.T) {
	telegram := telegrams(1)
	broken := func(what []byte, err error) (io.ReadCloser, error) {
		return brokenReader{bytes.NewReader(what), err}, nil
	}
	ioError := errors.New("input/output error")
	for name, c := range map[string]struct {
		fault func(*flaky) (io.ReadCloser, error)
		tries int64 // a day
		lines int
	}{
		"gone":               {func(*flaky) (io.ReadCloser, error) { return nil, errors.New("no port") }, 24*60*2 + 5, 6},
		"fails at each read": {func(*flaky) (io.ReadCloser, error) { return broken(nil, ioError) }, 24*60*2 + 5, 6},
		"noise, then fails":  {func(*flaky) (io.ReadCloser, error) { return broken([]byte("noise"), ioError) }, 24*60*2 + 5, 6},
		"empty reads":        {func(*flaky) (io.ReadCloser, error) { return broken(nil, nil) }, 24*60*2 + 5, 6},
		"silent":             {func(*flaky) (io.ReadCloser, error) { near, _ := net.Pipe(); return meter.LimitSilence(near), nil }, 24 * 60, 6},
		"comes and goes":     {func(*flaky) (io.ReadCloser, error) { return broken(telegram, ioError) }, 24*60*60 + 5, 15},
		"many faces": {func(f *flaky) (io.ReadCloser, error) {
			return nil, errors.New(strings.Repeat("x", int(f.tries.Load()%50)))
		}, 24*60*2 + 5, 15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				source := &flaky{}
				source.open = func() (io.ReadCloser, error) { return c.fault(source) }
				stop := run(t, &meter.Line{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil))}, ignore)
				time.Sleep(24 * time.Hour)
				stop()
				require.LessOrEqual(t, strings.Count(log.String(), "\n"), c.lines, log.String())
				require.GreaterOrEqual(t, strings.Count(log.String(), "\n"), 4, "it is said again, ever more seldom")
				require.Contains(t, log.String(), "left_out=")
				require.LessOrEqual(t, source.tries.Load(), c.tries)
			})
		})
	}
}

// endless gives the same again and again, at once, up to an end.
type endless struct {
	what []byte
	left int
}

func (e *endless) Close() error { return nil }
func (e *endless) Read(p []byte) (n int, err error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	for n < len(p) {
		n += copy(p[n:], e.what)
	}
	e.left -= n
	return n, nil
}

// Somebody who sends gigabytes of what is no telegram, of any kind, is read no
// faster than a serial line could bring it, counted, and told of in few words.
func TestAFloodIsReadSlowly(t *testing.T) {
	torn := telegrams(1)
	torn = torn[:len(torn)-20]
	for name, c := range map[string]struct {
		what   []byte
		reason sml.Reason
	}{
		"noise":         {[]byte("GET / HTTP/1.1\r\n\r\n"), sml.Noise},
		"escapes":       {bytes.Repeat([]byte{0x1b}, 1000), sml.Noise},
		"torn frames":   {torn, sml.Torn},
		"endless frame": {append(torn, make([]byte, 70_000)...), sml.FrameTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				last, longest := time.Now(), time.Duration(0)
				source := &flaky{open: func() (io.ReadCloser, error) { return &endless{c.what, 30 << 20}, nil }}
				line := &meter.Line{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil)), Progress: func() {
					longest = max(longest, time.Since(last))
					last = time.Now()
				}}
				stop := run(t, line, ignore)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				s := line.State()
				require.InDelta(t, 256<<10+600*11_520, s.Bytes, 100<<10)
				require.NotZero(t, s.Refused[string(c.reason)], "%v", s.Refused)
				require.Less(t, longest, meter.TurnLimit)
				require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
				require.Contains(t, log.String(), "read slowly")
				told := time.Now()
				require.ErrorIs(t, stop(), context.Canceled)
				require.Zero(t, time.Since(told))
			})
		})
	}
}

// Noise at the speed of a meter is no flood, however long it lasts, and after one a
// telegram is heard as soon as it is there: all that follow are, too.
func TestNoiseOfALineIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = 960
		r, w := io.Pipe()
		source := &flaky{open: func() (io.ReadCloser, error) { return r, nil }}
		line := &meter.Line{Source: source}
		stop := run(t, line, ignore)
		for range 3600 {
			_, err := w.Write(make([]byte, second))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 3600*second, line.State().Bytes)
		began := time.Now()
		_, err := w.Write(make([]byte, 512<<10))
		require.NoError(t, err)
		require.Greater(t, time.Since(began), 10*time.Second, "this is one")
		began = time.Now()
		_, err = w.Write(telegrams(10_000)) // megabytes, as on the bench
		require.NoError(t, err)
		synctest.Wait()
		require.Less(t, time.Since(began), 10*time.Second)
		require.EqualValues(t, 10_000, line.State().Telegrams)
		stop()
	})
}

// A meter that says nothing for a day, and then speaks as if nothing had been.
func TestALineRecoversAfterASilentDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		source := &flaky{}
		source.open = func() (io.ReadCloser, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				for {
					if since := time.Since(began); since < time.Hour || since > 25*time.Hour {
						if _, err := far.Write(telegrams(1)); err != nil {
							return
						}
					}
					time.Sleep(time.Second)
					if far.SetWriteDeadline(time.Now().Add(time.Minute)) != nil {
						return
					}
				}
			}()
			return meter.LimitSilence(near), nil
		}
		line := &meter.Line{Source: source}
		stop := run(t, line, ignore)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		s := line.State()
		require.True(t, s.Silent)
		require.Contains(t, s.Error, "not a byte for 1m0s")
		before := s.Telegrams
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		s = line.State()
		require.True(t, s.Open)
		require.False(t, s.Silent)
		require.Empty(t, s.Error)
		require.Greater(t, s.Telegrams, before+3500)
		require.WithinDuration(t, time.Now(), s.LastTelegram, 2*time.Second)
		stop()
		time.Sleep(2 * time.Minute)
	})
}

func TestALineSaysOnceThatItIsLostAndFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &flaky{}
		source.open = func() (io.ReadCloser, error) {
			if source.tries.Load() < 4 {
				return nil, errors.New("no port")
			}
			r, w := io.Pipe()
			go w.Write(telegrams(5))
			return r, nil
		}
		stop := run(t, &meter.Line{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil))}, ignore)
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
		require.Contains(t, log.String(), "lost")
		require.Contains(t, log.String(), `after=7s`)
	})
}

// hanging is what a source opens to whose read never comes back: a driver's fault.
type hanging struct{ closed chan struct{} }

func (h hanging) Read([]byte) (int, error) { <-h.closed; return 0, os.ErrClosed }
func (h hanging) Close() error             { close(h.closed); return nil }

// A watchdog is fed by a line that is silent, or cannot be opened, and by none
// that hangs.
func TestALineThatDoesNotHangShowsProgress(t *testing.T) {
	silent := func() (io.ReadCloser, error) {
		near, _ := net.Pipe()
		return meter.LimitSilence(near), nil
	}
	for name, open := range map[string]func() (io.ReadCloser, error){
		"silent": silent,
		"gone":   func() (io.ReadCloser, error) { return nil, errors.New("no port") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last, longest := time.Now(), time.Duration(0)
				line := &meter.Line{Source: &flaky{open: open}, Progress: func() {
					longest = max(longest, time.Since(last))
					last = time.Now()
				}}
				stop := run(t, line, ignore)
				time.Sleep(24 * time.Hour)
				stop()
				require.LessOrEqual(t, max(longest, time.Since(last)), meter.TurnLimit)
			})
		})
	}
	for name, stuck := range map[string]func(*meter.Line) func(meter.Telegram){
		"a read that hangs": func(l *meter.Line) func(meter.Telegram) {
			l.Source = &flaky{open: func() (io.ReadCloser, error) { return hanging{make(chan struct{})}, nil }}
			return ignore
		},
		"a handle that hangs": func(l *meter.Line) func(meter.Telegram) {
			l.Source = &flaky{open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(telegrams(1))), nil }}
			return func(meter.Telegram) { time.Sleep(time.Hour) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turns atomic.Int64
				line := &meter.Line{Progress: func() { turns.Add(1) }}
				stop := run(t, line, stuck(line))
				time.Sleep(time.Second)
				before := turns.Load()
				require.NotZero(t, before)
				time.Sleep(meter.TurnLimit)
				require.Equal(t, before, turns.Load())
				stop()
			})
		})
	}
}
