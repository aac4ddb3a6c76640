package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

func newStatusCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the running agent is: meter, clock, store, what waits for whom",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			var s control.Status
			if err := control.Get(cmd.Context(), agent.SocketPath(c), control.StatusPath, &s); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), &s)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

// printStatus writes half a screen: first what is wrong and what to do, then
// the parts in the order in which a reading passes them.
func printStatus(out io.Writer, s *control.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	local := func(t time.Time) string { return t.In(form.Berlin).Format("2006-01-02 15:04:05") }
	maybe := func(t *time.Time) string {
		if t == nil {
			return "never"
		}
		return local(*t)
	}
	if len(s.Causes) == 0 {
		fmt.Fprintln(w, "all well")
	}
	for _, c := range s.Causes {
		fmt.Fprintf(w, "WRONG\t%s\n\t%s\n", c.Meaning(), c.Remedy())
	}
	fmt.Fprintf(w, "gateway\t%s, running since %s\n", s.Gateway, local(s.Started))
	fmt.Fprintf(w, "clock\t%s %s, %s\n", local(s.Now.Time), s.Now.Time.In(form.Berlin).Format("MST"), s.Now.Quality)
	if s.ClockDoubt != "" {
		fmt.Fprintf(w, "\t%s\n", s.ClockDoubt)
	}
	for _, m := range s.Meters {
		fmt.Fprintf(w, "meter %s\t%s\n", m.Name, describeLine(m.Line, local))
		fmt.Fprintf(w, "\t%s, last reading %s\n", describeDevice(&m), maybe(m.LastReading))
		var registers []string
		for _, code := range slices.Sorted(maps.Keys(m.Registers)) {
			registers = append(registers, fmt.Sprintf("%s %s Wh", code, m.Registers[code]))
		}
		if m.PowerW.Valid {
			registers = append(registers, m.PowerW.Decimal.String()+" W")
		}
		if len(registers) > 0 {
			fmt.Fprintf(w, "\t%s\n", strings.Join(registers, " · "))
		}
		if m.Undated > 0 {
			fmt.Fprintf(w, "\t%d readings wait in memory until the clock is right\n", m.Undated)
		}
		if m.Drift != nil {
			fmt.Fprintf(w, "\tits count of seconds gains %.1f s a day on the clock\n", *m.Drift)
		}
		if m.HeadRestarts > 0 {
			fmt.Fprintf(w, "\thead restarted %d times by the reset line, the last %s\n", m.HeadRestarts, maybe(m.HeadRestart))
		}
		if m.LastBoundary != nil {
			fmt.Fprintf(w, "\tlast boundary kept %s\n", local(m.LastBoundary.Time()))
		}
	}
	fmt.Fprintf(w, "store\t%d readings, %d of %d kB\n", s.Store.Boundaries, s.Store.UsedBytes/1000, s.Store.LimitBytes/1000)
	if s.Store.Error != "" {
		fmt.Fprintf(w, "\ttakes nothing: %s; %d readings wait in memory\n", s.Store.Error, s.Store.Unsaved)
	}
	if s.Store.Damage != "" {
		fmt.Fprintf(w, "\twas damaged (%s); what could be read is carried over, the old file is %s\n", s.Store.Damage, s.Store.DamagedFile)
	}
	if s.Store.Untold > 0 {
		fmt.Fprintf(w, "\t%d losses, told with the next payload; smgw journal has them\n", s.Store.Untold)
	}
	for _, e := range s.Endpoints {
		fmt.Fprintf(w, "endpoint\t%s\n\t%d waiting, %d set aside, reached %s, last acknowledged %s\n", e.Endpoint, e.Waiting, e.SetAside, maybe(e.Reached), maybe(e.LastSuccess))
		if e.Oldest != nil {
			fmt.Fprintf(w, "\toldest waits since %s\n", maybe(e.Oldest))
		}
		if e.Failures > 0 {
			fmt.Fprintf(w, "\t%d attempts failed since %s, next %s: %s\n", e.Failures, maybe(e.FailingFrom), maybe(e.NextAttempt), e.LastError)
		}
	}
	if d := s.NextDue; d != nil {
		fmt.Fprintf(w, "next due\t%s, row %d of %s to %s\n", local(d.At), d.Row, d.MaLo, d.To)
	}
	fmt.Fprintf(w, "certificates\tvalid until %s\n", local(s.CertsEnd))
	return w.Flush()
}

// describeDevice says what a meter tells about itself.
func describeDevice(m *control.MeterStatus) string {
	if m.Device == "" {
		return "no device yet"
	}
	text := "device " + cmp.Or(m.Plate, m.Device.String())
	for _, trait := range []struct {
		holds bool
		words string
	}{{m.FeedsIn, "two directions"}, {m.TwoTariffs, "two tariffs"}, {m.Coarse, "whole kWh only"}} {
		if trait.holds {
			text += ", " + trait.words
		}
	}
	if len(m.Says) > 0 {
		text += " (" + strings.Join(m.Says, ", ") + ")"
	}
	return text
}

// describeLine says in one line what comes from a meter's port.
func describeLine(l meter.LineState, local func(time.Time) string) string {
	text := l.Source
	if l.At != "" {
		text += " at " + l.At
	}
	switch {
	case !l.Open && l.Error != "":
		_, path, _ := strings.Cut(l.Source, ":")
		text += ": " + strings.TrimPrefix(l.Error, path+": ")
	case l.Telegrams == 0:
		text += fmt.Sprintf(": %d bytes, no telegram yet", l.Bytes)
	default:
		text += fmt.Sprintf(": %d telegrams, the last %s", l.Telegrams, local(l.LastTelegram))
	}
	for _, reason := range slices.Sorted(maps.Keys(l.Refused)) {
		text += fmt.Sprintf(" · refused %d %s", l.Refused[reason], reason)
	}
	return text
}
