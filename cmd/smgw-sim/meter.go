package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"smgw/meter"
	"smgw/meter/sim"
)

// simulatedMeter is what the flags of the meter command say.
type simulatedMeter struct {
	link, tcp, replay string
	once, fast        bool
	seed              uint64
	roof              int64
	start, until      string
	installed         string
	interval          time.Duration
	device, model     string
	noise             float64
	faults            []string
	registers         string
	stdout            io.Writer
}

func newMeterCommand() *cobra.Command {
	var m simulatedMeter
	cmd := &cobra.Command{
		Use:   "meter",
		Short: "Simulate a household's meter on a pseudo-terminal",
		Long: `Meter simulates a household and pushes its telegrams, as the optical head of a
real meter does, into a pseudo-terminal, whose name it prints, or to whoever
connects to --tcp. The same seed gives the same energy for ever.

In real time it is as slow as a real head, 9600 baud, and what nobody reads is
lost. With --fast simulated time runs as fast as the telegrams are read.

Models:
` + listModels() + `
Faults: ` + listFaults() + `.`,
		Example: `  smgw-sim meter --link /tmp/meter --roof
  smgw-sim meter --fast --start 2026-09-28T00:00:00+02:00 --until 2026-11-08T00:00:00+01:00 --interval 10s --noise 0.01
  smgw-sim meter --model dzg-old --fault torn --fault swapped=0.2
  smgw-sim meter --replay recording.bin --once`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.stdout = cmd.OutOrStdout()
			return m.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.link, "link", "", "make `PATH` a symbolic link to the device while it runs")
	f.StringVar(&m.tcp, "tcp", "", "listen at `ADDRESS` instead of making a pseudo-terminal, as in 127.0.0.1:7000")
	f.StringVar(&m.model, "model", sim.Models[0].Name, "`NAME` of the meter that it is")
	f.StringVar(&m.device, "device", "", "server id in `HEX` digits (default: that of the model)")
	f.Uint64Var(&m.seed, "seed", 1, "which household it is")
	f.Int64Var(&m.roof, "roof", 0, "peak power in `W` of the panels on its roof; 8000 where none is given")
	f.Lookup("roof").NoOptDefVal = "8000"
	f.StringVar(&m.start, "start", "", "`INSTANT` of the first telegram, RFC 3339 (default: now)")
	f.StringVar(&m.installed, "installed", "", "`INSTANT` since which it counts, seconds and energy (default: that of --start)")
	f.StringVar(&m.until, "until", "", "`INSTANT` after which it ends (default: never)")
	f.DurationVar(&m.interval, "interval", time.Second, "simulated time from telegram to telegram")
	f.BoolVar(&m.fast, "fast", false, "as fast as the telegrams are read, and lose none")
	f.Float64Var(&m.noise, "noise", 0, "the `PART` of the telegrams that everyday faults strike, 0 to 1")
	f.StringArrayVar(&m.faults, "fault", nil, "a `FAULT[=PART]` that strikes telegrams, one in ten where no part is given; may be repeated")
	f.StringVar(&m.replay, "replay", "", "push the bytes of a recorded `FILE` in an endless loop instead")
	f.BoolVar(&m.once, "once", false, "with --replay: push it once")
	f.StringVar(&m.registers, "registers", "", "at the end write the table of what the meter had counted at each quarter hour to `FILE`")
	cmd.MarkFlagsMutuallyExclusive("link", "tcp")
	for _, flag := range []string{"model", "device", "seed", "roof", "start", "until", "installed", "interval", "noise", "fault", "registers"} {
		cmd.MarkFlagsMutuallyExclusive("replay", flag)
	}
	return cmd
}

func listModels() string {
	var b strings.Builder
	for _, m := range sim.Models {
		fmt.Fprintf(&b, "  %-20s %s\n", m.Name, m.About)
	}
	return b.String()
}

func listFaults() string {
	names := make([]string, len(sim.AllFaults))
	for i, f := range sim.AllFaults {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

func (m *simulatedMeter) run(ctx context.Context) error {
	head, err := m.head()
	if err != nil {
		return err
	}
	var recording []byte
	if m.replay != "" {
		if recording, err = os.ReadFile(m.replay); err != nil {
			return err
		}
	}
	line, err := m.line(ctx)
	if err != nil {
		return err
	}
	defer line.Close()

	if m.replay != "" {
		err = sim.Replay(ctx, line, recording, m.once, m.fast)
	} else {
		err = head.Run(ctx, line)
	}
	if errors.Is(err, context.Canceled) { // it was told to end
		err = nil
	}
	if m.registers != "" {
		err = errors.Join(err, m.writeRegisters(head))
	}
	return err
}

// line makes what the telegrams go into and prints how it is called.
func (m *simulatedMeter) line(ctx context.Context) (io.WriteCloser, error) {
	if m.tcp != "" {
		listener, err := sim.Listen(ctx, m.tcp)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(m.stdout, "tcp://%s\n", listener.Addr())
		return listener, nil
	}
	port, err := sim.OpenPort()
	if err != nil {
		return nil, err
	}
	if m.link != "" {
		if err := port.Link(m.link); err != nil {
			port.Close()
			return nil, err
		}
	}
	fmt.Fprintln(m.stdout, port.Name())
	return port, nil
}

func (m *simulatedMeter) head() (*sim.Head, error) {
	head := &sim.Head{From: time.Now().Truncate(time.Second), Interval: m.interval, Fast: m.fast}
	if err := instant("start", m.start, &head.From); err != nil {
		return nil, err
	}
	if err := instant("until", m.until, &head.Until); err != nil {
		return nil, err
	}
	installed := head.From
	if err := instant("installed", m.installed, &installed); err != nil {
		return nil, err
	}
	if installed.After(head.From) {
		return nil, fmt.Errorf("--installed %s: want an instant before the first telegram, %s", m.installed, head.From.Format(time.RFC3339))
	}
	model, err := sim.FindModel(m.model)
	if err != nil {
		return nil, err
	}
	device, err := parseDevice(m.device)
	if err != nil {
		return nil, err
	}
	if m.roof < 0 {
		return nil, fmt.Errorf("--roof %d: want a peak power in W", m.roof)
	}
	if head.Faults, err = m.lineFaults(); err != nil {
		return nil, err
	}
	home := sim.NewHousehold(sim.Options{Seed: m.seed, RoofPeak: m.roof, Since: installed, Initial: sim.Registers{
		Drawn: 7_421 * sim.KilowattHour, FedIn: sim.Energy(m.roof) / 2 * sim.KilowattHour,
	}})
	head.Meter = sim.NewMeter(home, model, device)
	head.Meter.Installed = installed
	return head, nil
}

func instant(flag, text string, t *time.Time) (err error) {
	if text == "" {
		return nil
	}
	if *t, err = time.Parse(time.RFC3339, text); err != nil {
		return fmt.Errorf("--%s %q: want an instant such as 2026-10-23T00:00:00+02:00", flag, text)
	}
	return nil
}

// lineFaults returns nil for a perfect line.
func (m *simulatedMeter) lineFaults() (*sim.Faults, error) {
	faults := &sim.Faults{Seed: m.seed}
	if m.noise != 0 {
		faults.Rates = sim.EvenRates(m.noise, sim.EverydayNoise...)
	}
	for _, f := range m.faults {
		name, part, given := strings.Cut(f, "=")
		kind, err := sim.FindFault(name)
		if err != nil {
			return nil, err
		}
		rate := sim.FaultRate{Fault: kind, Part: 0.1}
		if given {
			if rate.Part, err = strconv.ParseFloat(part, 64); err != nil {
				return nil, fmt.Errorf("--fault %s: want a part such as %s=0.05", f, name)
			}
		}
		faults.Rates = append(faults.Rates, rate)
	}
	sum := 0.0
	for _, r := range faults.Rates {
		if sum += r.Part; r.Part < 0 || sum > 1.000001 {
			return nil, fmt.Errorf("faults strike parts of the telegrams: each is at least 0, and all together at most 1")
		}
	}
	if sum == 0 {
		return nil, nil
	}
	return faults, nil
}

// parseDevice reads a server id; empty is that of the model.
func parseDevice(text string) (meter.DeviceID, error) {
	id, err := hex.DecodeString(text)
	if err != nil || text != "" && (len(id) < 7 || len(id) > 20) {
		return "", fmt.Errorf("--device %q: want 7 to 20 octets in hexadecimal, as in 0a0153494d0000000001", text)
	}
	return meter.DeviceID(id), nil
}

// writeRegisters writes what the meter had counted at each quarter hour that
// its telegrams covered, as exactly as it shows it.
func (m *simulatedMeter) writeRegisters(head *sim.Head) error {
	f, err := os.Create(m.registers)
	if err != nil {
		return err
	}
	table := meter.NewTableWriter(f, meter.OptionalColumns...)
	for b := range head.Meter.Boundaries(head.From, head.Last) {
		err = errors.Join(err, table.Write(&b))
	}
	return errors.Join(err, table.Flush(), f.Close())
}
