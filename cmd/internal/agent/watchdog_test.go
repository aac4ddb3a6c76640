package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/sim"
	"smgw/tls/deliver"
)

// turnOfTheWatchdog is a second of a gateway's.
const turnOfTheWatchdog = 10 * time.Millisecond

// faulty is an agent in a process of its own that does what its fault says once
// it gets SIGUSR1: what is around the agent hangs, or is only in trouble.
type faulty struct {
	fault  string
	struck atomic.Bool
	store  *buffer.Store
	agent  *agent.Agent
	agent.SystemClock
	home  *sim.Meter
	every time.Duration // telegram
}

// hang never comes back, where that is the fault.
func (f *faulty) hang(fault string) {
	if f.fault == fault && f.struck.Load() {
		select {}
	}
}

func runFaulty(fault string) {
	must((&faulty{fault: fault, every: 10 * time.Millisecond}).run())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (f *faulty) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := config.Load(os.Getenv("SMGW_TEST_CONFIG"))
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	dog := agent.NewWatchdog(c, log)
	dog.Tick = turnOfTheWatchdog
	dog.Start()
	defer dog.Stop()
	defer context.AfterFunc(ctx, dog.Stopping)()
	if f.store, err = buffer.Open(agent.StorePath(c), buffer.Options{}); err != nil {
		return err
	}
	defer f.store.Close()
	a, err := agent.New(agent.Options{
		Config: c, Store: f.store, Signer: key, KeyID: []byte("key"), Client: f, Lamps: faultyLamps{f: f}, Clock: f, Log: log, Watchdog: dog,
	})
	if err != nil {
		return err
	}
	f.agent = a
	a.ReadFrom(f)
	home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
	f.home = sim.NewMeter(home, sim.Models[0], sim.Models[0].Device)
	strike := make(chan os.Signal, 1)
	signal.Notify(strike, syscall.SIGUSR1)
	go func() {
		<-strike
		f.struck.Store(true)
		must(f.strike())
	}()
	dog.Ready()
	return a.Run(ctx)
}

// strike begins what no turn of the agent would.
func (f *faulty) strike() error {
	switch f.fault {
	case "store":
		// A copy that nobody takes holds the file, and compacting waits for it
		// with the writers' turn in its hands.
		begun := make(chan struct{})
		go f.store.Snapshot(writer(func(p []byte) (int, error) {
			close(begun)
			select {}
		}))
		<-begun
		go f.store.Compact()
	case "sender":
		now := time.Now()
		item := buffer.Item{ID: strings.Repeat("0", 32), Endpoint: "https://headend.test", Body: []byte("payload"), Created: now, Due: now}
		if err := f.store.Build("test", meter.QuarterOf(now), []buffer.Item{item}); err != nil {
			return err
		}
		f.agent.Nudge()
	case "full disk":
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}); err != nil {
			return err
		}
		if err := f.store.Append(buffer.Event{At: time.Now(), Kind: "test"}); !errors.Is(err, unix.EFBIG) {
			return fmt.Errorf("the disk is not full: %v", err)
		}
	}
	return nil
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// The clock, which a telegram asks.
func (f *faulty) Received(t *meter.Telegram) meter.Stamp {
	f.hang("boundary")
	return f.SystemClock.Received(t)
}

type faultyLamps struct {
	board.Dark
	f *faulty
}

func (l faultyLamps) Show(...board.Cause) error {
	l.f.hang("scheduler")
	return nil
}

// The head-end.
func (f *faulty) Reach(context.Context, string) error {
	f.hang("sender")
	if f.fault == "outage" {
		return errors.New("connection refused")
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, endpoint, _ string, _ []byte) deliver.Result {
	if err := f.Reach(ctx, endpoint); err != nil {
		return deliver.Result{Outcome: deliver.Failed, Err: err}
	}
	return deliver.Result{Outcome: deliver.Stored, Status: 201}
}

// The port.
func (f *faulty) Live() bool     { return true }
func (f *faulty) String() string { return "serial:/dev/test" }
func (f *faulty) Open(ctx context.Context) (io.ReadCloser, error) {
	if f.fault == "unplugged" {
		return nil, errors.New("no such device")
	}
	return &faultyPort{faulty: f, ctx: ctx}, nil
}

type faultyPort struct {
	*faulty
	ctx  context.Context
	rest []byte
}

func (p *faultyPort) Read(b []byte) (int, error) {
	p.hang("port")
	if p.fault == "silence" {
		select {
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		case <-time.After(meter.SilenceLimit):
		}
		return 0, &meter.SilentError{Source: p.String()}
	}
	if len(p.rest) == 0 {
		select {
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		case <-time.After(p.every):
		}
		p.rest = p.home.AppendTelegram(nil, time.Now())
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *faultyPort) Close() error { return nil }

// supervisor starts an agent, again and again while it does not end well, and
// hears what it tells systemd.
type supervisor struct {
	t      *testing.T
	device string // stands in for /dev/watchdog
	told   chan string
	began  chan *exec.Cmd // each time it was started
	log    chan string    // what it had said, each time it ended
	status chan int       // and how
}

func supervise(t *testing.T, fault string) *supervisor {
	dir := t.TempDir()
	s := &supervisor{t: t, device: filepath.Join(dir, "watchdog"), told: make(chan string),
		began: make(chan *exec.Cmd, 9), log: make(chan string, 9), status: make(chan int, 9)}
	require.NoError(t, os.WriteFile(s.device, nil, 0o600))
	telegrams, path := filepath.Join(dir, "telegrams"), filepath.Join(dir, "smgw.toml")
	require.NoError(t, os.WriteFile(telegrams, nil, 0o600))
	text := strings.NewReplacer("STATE", dir, "TELEGRAMS", telegrams).Replace(contractText)
	if fault != "full disk" { // the file that stands in for the device could not be written either
		text += "[watchdog]\ndevice = \"" + s.device + "\"\n"
	}
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))

	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for b := make([]byte, 4096); ; {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			select {
			case s.told <- string(b[:n]):
			case <-ctx.Done():
			}
		}
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil && s.once(ctx, fault, path, socket.LocalAddr().String()) {
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		socket.Close()
		<-heard
	})
	return s
}

// once runs the agent once, and reports whether it is to be started again.
func (s *supervisor) once(ctx context.Context, fault, config, socket string) bool {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SMGW_TEST_FAULT="+fault, "SMGW_TEST_CONFIG="+config,
		"NOTIFY_SOCKET="+socket, fmt.Sprint("WATCHDOG_USEC=", 3*turnOfTheWatchdog.Microseconds()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &strings.Builder{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return false
	}
	s.began <- cmd
	cmd.Wait()
	s.log <- log.String()
	s.status <- cmd.ProcessState.ExitCode()
	return cmd.ProcessState.ExitCode() != 0
}

// hear waits until the agent tells what begins so.
func (s *supervisor) hear(what string) {
	s.t.Helper()
	for {
		select {
		case told := <-s.told:
			if strings.HasPrefix(told, what) {
				return
			}
		case log := <-s.log:
			s.t.Fatalf("the agent ended before it said %s, with %d:\n%s", what, <-s.status, log)
		case <-time.After(time.Minute):
			s.t.Fatalf("the agent never said %s", what)
		}
	}
}

// ends waits until the agent ended, and returns what it had said and how it ended.
func (s *supervisor) ends() (log string, status int) {
	for {
		select {
		case <-s.told:
		case log = <-s.log:
			return log, <-s.status
		case <-time.After(time.Minute):
			s.t.Fatal("the agent never ended")
		}
	}
}

// stop ends the agent as a service manager does.
func (s *supervisor) stop(cmd *exec.Cmd) {
	s.t.Helper()
	require.NoError(s.t, cmd.Process.Signal(syscall.SIGTERM))
	log, status := s.ends()
	require.Zero(s.t, status, log)
}

func TestAStageThatHangsEndsTheAgentAndItIsStartedAgain(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"port", "boundary", "store", "scheduler", "sender"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, stage)
			cmd := <-s.began
			s.hear("READY=1")
			s.hear("STATUS=")
			s.hear("WATCHDOG=1")
			require.NoError(t, cmd.Process.Signal(syscall.SIGUSR1))
			log, status := s.ends()
			require.Equal(t, 70, status, log)
			require.Contains(t, log, "a stage hangs: the agent ends itself, to be started again\" stage="+stage+" ")
			require.Contains(t, log, "goroutine ", "the stacks")
			if stage != "scheduler" { // who holds the turn makes the telegrams wait
				require.Equal(t, 1, strings.Count(log, " stage="), log)
			}
			fed, err := os.ReadFile(s.device)
			require.NoError(t, err)
			require.NotEmpty(t, fed)
			require.NotContains(t, string(fed), "V", "the board's watchdog counts on")

			cmd = <-s.began
			s.hear("READY=1")
			s.hear("WATCHDOG=1")
			s.stop(cmd)
			fed, err = os.ReadFile(s.device)
			require.NoError(t, err)
			require.Contains(t, string(fed), "V", "a clean stop disarms it")

			store, err := buffer.Open(filepath.Join(filepath.Dir(s.device), "store.db"), buffer.Options{ReadOnly: true})
			require.NoError(t, err)
			defer store.Close()
			var hung []string
			require.NoError(t, store.Journal(0, func(e buffer.Entry) bool {
				if e.Kind == agent.AgentHung {
					hung = append(hung, e.Detail["stage"])
				}
				return true
			}))
			require.Len(t, hung, 1)
			require.Contains(t, hung[0], stage)
		})
	}
}

// A disk that is full: every write fails.
func TestAFullDiskIsNoHang(t *testing.T) {
	t.Parallel()
	s := supervise(t, "full disk")
	cmd := <-s.began
	s.hear("READY=1")
	require.NoError(t, cmd.Process.Signal(syscall.SIGUSR1))
	for range 400 { // turns: the most patient stage is given 300
		s.hear("WATCHDOG=1")
	}
	s.stop(cmd)
}

func TestTroubleOutsideIsNoHang(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"outage", "silence", "unplugged"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				f := &faulty{fault: fault, every: 4 * time.Second, home: sim.NewMeter(b.home, sim.Models[0], sim.Models[0].Device)}
				device := filepath.Join(t.TempDir(), "watchdog")
				require.NoError(t, os.WriteFile(device, nil, 0o600))
				b.config.Watchdog.Device = device
				dog := agent.NewWatchdog(b.config, slog.New(slog.DiscardHandler))
				dog.Exit = func(int) { t.Error("the agent ended itself") }
				dog.Start()
				a, err := agent.New(agent.Options{Config: b.config, Store: b.store, Signer: b.key, KeyID: []byte("key"),
					Client: f, Lamps: b.lamps, Clock: f, Log: slog.New(slog.DiscardHandler), Watchdog: dog})
				require.NoError(t, err)
				a.ReadFrom(f)
				dog.Ready()
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- a.Run(ctx) }()
				const hours = 24
				time.Sleep(hours * time.Hour)
				stop()
				require.NoError(t, <-ended)
				dog.Stop()
				fed, err := os.ReadFile(device)
				require.NoError(t, err)
				require.GreaterOrEqual(t, len(fed), hours*3600-1, "fed each second")
			})
		})
	}
}

// The flash may take the note's name and hang before its text: what hung is not known.
func TestANoteWithoutTextIsOfAStageThatIsNotKnown(t *testing.T) {
	t.Parallel()
	for text, stage := range map[string]string{"": "unknown", "store": "store"} {
		home := sim.NewHousehold(sim.Options{Seed: 7, Since: began.At(0, 0)})
		boxed(t, &cable{bytes: func() ([]byte, error) { return telegramOf(home), nil }}, func(b *bench, o *agent.Options) {
			o.Watchdog = agent.NewWatchdog(b.config, o.Log)
			require.NoError(t, os.WriteFile(o.Watchdog.Note, []byte(text), 0o600))
		}, func(a *agent.Agent, store *buffer.Store) {
			time.Sleep(time.Minute)
			synctest.Wait()
			require.NoFileExists(t, a.Watchdog.Note)
			var hung []string
			require.NoError(t, store.Journal(0, func(e buffer.Entry) bool {
				if e.Kind == agent.AgentHung {
					hung = append(hung, e.Detail["stage"])
				}
				return true
			}))
			require.Equal(t, []string{stage}, hung)
		})
	}
}
