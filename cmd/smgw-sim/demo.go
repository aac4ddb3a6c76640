package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/cmd/internal/headend"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/sim"
	"smgw/tls/authority"
	"smgw/tls/identity"
)

// demo is one run of the whole product on a bench: the simulated meter in this
// process writes into a pseudo-terminal, and head-end and agent are processes
// of their own.
type demo struct {
	out  io.Writer
	dir  string
	home *sim.Household
	port *sim.Port

	config  *config.Config
	headEnd *headend.Control
	agent   *process
	failed  []string // what was found wrong
}

// What the demo plays: 40 days across the end of summer time and of a month.
// The last telegrams come after the monthly rows are due.
var (
	demoFrom   = form.Date{Year: 2026, Month: time.October, Day: 23}
	demoUntil  = demoFrom.AddDays(40).At(13, 0)
	outageFrom = form.Date{Year: 2026, Month: time.November, Day: 9}.At(3, 0)
	outageEnd  = outageFrom.AddDate(0, 0, 3)
)

const (
	demoGateway  = "ESMG0000000001"
	demoInterval = 10 * time.Second
	demoNoise    = 0.01 // part of the telegrams that the line spoils
)

func newDemoCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The main job, whole: 40 days from the meter's light to the head-end's books",
		Long: fmt.Sprintf(`Demo makes a development PKI, a gateway with its own keys, and a head-end, and
plays 40 days of a household with a roof (classes B and E) through them: the
simulated meter writes SML into a pseudo-terminal, the agent reads it on a clock
stepped by the telegrams, and delivers over mutual TLS to the head-end, each in
a process of its own. On the way %.0f %% of the telegrams are spoiled, and the
head-end is away for three days. At the end it checks that all that was due was
delivered, and that the energy in the head-end's load profiles is what the
meter counted, to the last digit. DIR/report.json has the result; the exit
status follows it.`, demoNoise*100),
		Example: "  smgw-sim demo --dir /tmp/demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			d := &demo{out: cmd.OutOrStdout(), dir: dir}
			err = d.run(cmd.Context())
			if cmd.Context().Err() != nil {
				return errors.New("demo: stopped before its end; nothing of it runs any more")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "build/demo", "`folder` for everything the demo makes; what an earlier demo left there is replaced")
	return cmd
}

func (d *demo) run(ctx context.Context) error {
	lock, err := d.takeFolder()
	if err != nil {
		return err
	}
	defer lock.Close()
	began := time.Now()
	report, err := d.bench(ctx)
	if err != nil {
		return err
	}
	report.OK = len(d.failed) == 0
	if err := report.write(d.path(reportFile)); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n40 days in %.0f s; everything it made is in %s\n", time.Since(began).Seconds(), d.dir)
	if !report.OK {
		return fmt.Errorf("the demo failed: %s", strings.Join(d.failed, "; "))
	}
	return nil
}

// bench runs head-end, agent and simulated meter to their ends.
func (d *demo) bench(ctx context.Context) (report *demoReport, err error) {
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("preparing the demo: %w", err)
	}
	head, err := startProcess(ctx, d.dir, "headend", "headend", "--dir", "headend", "--control", "headend.sock")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, head.stop()) }()
	if err := d.writeConfig(ctx); err != nil {
		return nil, err
	}
	d.port, err = sim.OpenPort()
	if err != nil {
		return nil, err
	}
	defer d.port.Close()
	if err := d.port.Link(filepath.Join(d.dir, "meter.tty")); err != nil {
		return nil, err
	}
	d.agent, err = startProcess(ctx, d.dir, "agent", "agent", "--config", d.config.File, "--zero", d.home.Since().Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.agent.stop()) }()
	sent, err := d.play(ctx)
	if err != nil {
		return nil, err
	}
	return d.report(ctx, sent)
}

// What the demo makes in its folder. The marker is locked while a demo runs,
// and tells the next one that the others are a demo's.
const (
	marker     = ".smgw-demo"
	reportFile = "report.json"
)

var made = []string{reportFile, "contract.toml", "smgw.toml", "pki", "gateway", "headend", "headend.sock", "meter.tty", "agent.log", "headend.log"}

// takeFolder makes the folder the demo's own and removes what an earlier demo
// made there, and nothing else.
func (d *demo) takeFolder() (lock *os.File, err error) {
	left, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(d.path(marker)); err != nil && len(left) > 0 {
		return nil, fmt.Errorf("%s is not empty and no demo made it: choose another folder with --dir", d.dir)
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	lock, err = os.Create(d.path(marker))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another demo runs in %s: wait for its end, or choose another folder with --dir", d.dir)
	}
	for _, name := range made {
		if err := os.RemoveAll(d.path(name)); err != nil {
			lock.Close()
			return nil, err
		}
	}
	// Whoever looks before the end, or after a demo that broke off, is told so.
	return lock, os.WriteFile(d.path(reportFile), []byte("{\"ok\":false}\n"), 0o644)
}

// prepare makes the PKI and the two ends' identities.
func (d *demo) prepare() error {
	d.home = sim.NewHousehold(sim.Options{
		Seed: 1, RoofPeak: 8000, Since: demoFrom.At(0, 0),
		Initial: sim.Registers{Drawn: 16824 * sim.KilowattHour, FedIn: 9133 * sim.KilowattHour},
	})

	fmt.Fprintln(d.out, "a PKI, a gateway's keys and a head-end")
	contract := d.path("contract.toml")
	if err := os.WriteFile(contract, demoContract, 0o644); err != nil {
		return err
	}
	pki, err := authority.Create(d.path("pki"))
	if err != nil {
		return err
	}
	own := d.path("gateway", "identity")
	if err := identity.Create(own, demoGateway, false); err != nil {
		return err
	}
	issued, err := pki.Enrol(own)
	if err != nil {
		return err
	}
	key, chain, err := pki.HeadEnd([]string{"127.0.0.1", "localhost"}, authority.Sound)
	if err != nil {
		return err
	}
	if err := headend.Install(d.path("headend"), key, chain, pki.Roots()); err != nil {
		return err
	}
	_, err = headend.Enrol(d.path("headend"), demoGateway, issued, contract)
	return err
}

//go:embed demo.toml
var demoContract []byte

// writeConfig writes the gateway's file, now that the head-end's port is known.
func (d *demo) writeConfig(ctx context.Context) error {
	d.headEnd = headend.NewControl(d.path("headend.sock"))
	endpoint, err := waitFor(ctx, "the head-end", d.headEnd.Endpoint)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("[gateway]\nid = %q\nstate_dir = %q\n\n[[meter]]\nport = %q\n\n[headend]\nendpoint = %q\n\n",
		demoGateway, d.path("gateway"), "serial:"+d.path("meter.tty"), endpoint) + string(demoContract)
	path := d.path("smgw.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	d.config, err = config.Load(path)
	return err
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// play sends the telegrams of the 40 days and returns how many, once the agent
// has read them.
func (d *demo) play(ctx context.Context) (int64, error) {
	head := sim.Head{
		Meter:    sim.NewMeter(d.home, sim.Models[0], ""),
		From:     demoFrom.At(0, 0),
		Until:    demoUntil,
		Interval: demoInterval,
		Fast:     true,
		Faults:   &sim.Faults{Seed: 1, Rates: sim.EvenRates(demoNoise, sim.EverydayNoise...)},
		Before:   func(at time.Time) error { return d.before(ctx, at) },
	}
	if err := head.Run(ctx, d.port); err != nil {
		return 0, fmt.Errorf("the simulated meter: %w", err)
	}
	// A last telegram may have been spoiled, so one interval of grace.
	_, err := waitFor(ctx, "the agent to read the last telegrams", func(ctx context.Context) (struct{}, error) {
		if err := d.agent.exited(); err != nil {
			return struct{}{}, errGone{err}
		}
		var s control.Status
		if err := control.Get(ctx, agent.SocketPath(d.config), control.StatusPath, &s); err != nil {
			return struct{}{}, err
		}
		if s.Now.Time.Before(demoUntil.Add(-demoInterval)) {
			return struct{}{}, fmt.Errorf("it is at %s", s.Now.Time)
		}
		return struct{}{}, nil
	})
	return head.Sent, err
}

// before is called before each telegram: it plays the outage and says where the
// demo is, once a day.
func (d *demo) before(ctx context.Context, at time.Time) error {
	switch {
	case at.Equal(outageFrom):
		fmt.Fprintln(d.out, "  the head-end goes away")
		return d.headEnd.SetFaults(ctx, headend.Faults{Down: true})
	case at.Equal(outageEnd):
		fmt.Fprintln(d.out, "  the head-end is back")
		return d.headEnd.SetFaults(ctx, headend.Faults{})
	}
	day := form.DateOf(at)
	if !at.Equal(day.At(0, 0)) {
		return nil
	}
	if err := d.agent.exited(); err != nil {
		return err
	}
	now := d.home.Registers(at)
	fmt.Fprintf(d.out, "  %s  1.8.0 %s kWh  2.8.0 %s kWh\n", day, now.Drawn.Wh(-1).Shift(-3).StringFixed(4), now.FedIn.Wh(-1).Shift(-3).StringFixed(4))
	return nil
}

// counted is what the simulated meter counted from one boundary to another, in Wh.
func (d *demo) counted(direction form.Direction, p form.Period) decimal.Decimal {
	return d.shown(direction, p.To).Sub(d.shown(direction, p.From))
}

// shown is what the simulated meter's register showed at a boundary, in Wh.
func (d *demo) shown(direction form.Direction, at meter.Quarter) decimal.Decimal {
	registers := d.home.Registers(at.Time())
	if direction == form.FeedIn {
		return registers.FedIn.Wh(-1)
	}
	return registers.Drawn.Wh(-1)
}
