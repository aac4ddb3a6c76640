package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
)

// newEventCommand is `smgw event`: what happens once and makes payloads due.
func newEventCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "event",
		Short: "Tell the gateway what happened at the metering point: supply, device, parameters",
		Long: `Event tells the gateway what happened, or will, at its metering point: rows 2 and 3
of the form are due then, to network operator and supplier. A date to come waits in
the store until it is there. The same told twice makes one payload. That another
device answers on the meter's line the gateway sees for itself, and what a new
contract means it reads there.`,
	}
	cmd.AddCommand(
		newDateCommand("supply-start", "Supply begins at a market location on a confirmed date", form.SupplyStarts),
		newDateCommand("supply-end", "Supply ends at a market location on a confirmed date", form.SupplyEnds),
		newDateCommand("parameters-changed", "Parameters of a market location change on a date", form.ParametersChanged),
		newDeviceCommand("device-built-in", "A meter was built in; its first reading counts", form.DeviceBuiltIn),
		newDeviceCommand("device-removed", "A meter was removed; its last reading counts", form.DeviceRemoved),
		newDeviceCommand("device-taken-over", "A meter was taken over by or from another metering point operator", form.DeviceTakenOver),
		newDemandCommand(), newEventListCommand(), newEventWithdrawCommand(),
	)
	return cmd
}

func newDateCommand(name, short string, kind form.EventKind) *cobra.Command {
	var w where
	var asJSON bool
	var date, malo string
	cmd := &cobra.Command{
		Use:     name + " --date DAY",
		Short:   short,
		Example: "  smgw event " + name + " --date 2026-12-01",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			day, err := form.ParseDate(date)
			if err != nil {
				return fmt.Errorf("--date: %w", err)
			}
			return tellEvent(cmd, &w, asJSON, url.Values{"kind": {kind.String()}, "at": {day.Midnight().String()}, "malo": {malo}})
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the confirmed `DAY`, which begins with the event, such as 2026-12-01 (needed)")
	cmd.MarkFlagRequired("date")
	eventFlags(cmd, &w, &asJSON, &malo)
	return cmd
}

func newDeviceCommand(name, short string, kind form.EventKind) *cobra.Command {
	var w where
	var asJSON bool
	var at, malo, meterName string
	cmd := &cobra.Command{
		Use:     name + " --at TIME",
		Short:   short,
		Example: "  smgw event " + name + " --at 2026-11-20T10:15",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			boundary, err := parseBoundary(at)
			if err != nil {
				return err
			}
			return tellEvent(cmd, &w, asJSON, url.Values{"kind": {kind.String()}, "at": {boundary}, "malo": {malo}, "meter": {meterName}})
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "the quarter-hour boundary of that reading, local `TIME` such as 2026-11-20T10:15 (needed)")
	cmd.MarkFlagRequired("at")
	cmd.Flags().StringVar(&meterName, "meter", "", "`NAME` of the meter, where there are several")
	eventFlags(cmd, &w, &asJSON, &malo)
	cmd.MarkFlagsMutuallyExclusive("meter", "malo")
	return cmd
}

func eventFlags(cmd *cobra.Command, w *where, asJSON *bool, malo *string) {
	w.gatewayFlag(cmd)
	cmd.Flags().StringVar(malo, "malo", "", "`ID` of the market location, where there are several")
	cmd.Flags().BoolVar(asJSON, "json", false, "one JSON object, for programs")
}

// parseBoundary reads a quarter-hour boundary in local time, or with an offset.
// The hour that comes twice when summer time ends needs the offset.
func parseBoundary(text string) (string, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		wall, werr := time.Parse("2006-01-02T15:04", text)
		if werr != nil {
			return "", fmt.Errorf("--at %q: want a local time such as 2026-11-20T10:15, or an instant such as 2026-11-20T10:15:00+01:00", text)
		}
		day := form.DateOf(time.Date(wall.Year(), wall.Month(), wall.Day(), 12, 0, 0, 0, form.Berlin))
		t = day.At(wall.Hour(), wall.Minute())
		if t.Format("15:04") != wall.Format("15:04") {
			return "", fmt.Errorf("--at %q: there is no such time on that day: summer time begins", text)
		}
		for _, other := range []time.Time{t.Add(-time.Hour), t.Add(time.Hour)} {
			if other.Format("15:04") == t.Format("15:04") {
				return "", fmt.Errorf("--at %q: that time comes twice when summer time ends: want %s or %s", text, min3339(t, other), max3339(t, other))
			}
		}
	}
	if t.Second() != 0 || t.Nanosecond() != 0 || t.Minute()%15 != 0 {
		return "", fmt.Errorf("--at %q is no quarter-hour boundary: want :00, :15, :30 or :45", text)
	}
	return t.UTC().Format(time.RFC3339), nil
}

func min3339(a, b time.Time) string {
	if b.Before(a) {
		a = b
	}
	return a.Format(time.RFC3339)
}

func max3339(a, b time.Time) string {
	if a.Before(b) {
		a = b
	}
	return a.Format(time.RFC3339)
}

func tellEvent(cmd *cobra.Command, w *where, asJSON bool, query url.Values) error {
	return actOnEvent(cmd, w, asJSON, control.EventsPath+"?"+query.Encode())
}

// actOnEvent tells or withdraws an event, and shows what is known of it then.
func actOnEvent(cmd *cobra.Command, w *where, asJSON bool, path string) error {
	return w.act(func(c *control.Client) error {
		var e control.Event
		if err := c.Do(cmd.Context(), http.MethodPost, path, &e); err != nil {
			return err
		}
		if asJSON {
			return writeLine(cmd.OutOrStdout(), e)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		writeEvent(t, &e)
		return t.Flush()
	})
}

// concerned is what an event is about.
func concerned(e *control.Event) string {
	if e.Meter != "" {
		return "meter " + e.Meter
	}
	return e.MaLo
}

func writeEvent(out io.Writer, e *control.Event) {
	by := e.By
	if by == "" {
		by = "the gateway"
	}
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\ttold %s by %s\n", e.ID, e.State, strings.ReplaceAll(e.Kind, "_", "-"), concerned(e), moment(e.At.Time()), moment(e.Told), by)
}

func newDemandCommand() *cobra.Command {
	var path, malo string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "demand --malo ID",
		Short:   "Send what row 9 shows at this moment, once: the network operator asked for it",
		Example: "  smgw event demand --malo 51238696781",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := form.ParseMarketLocationID(malo); err != nil {
				return fmt.Errorf("--malo: %w", err)
			}
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			var d control.Demanded
			if err := control.Dial(agent.SocketPath(c)).Do(cmd.Context(), http.MethodPost, control.DemandPath+"?"+url.Values{"malo": {malo}}.Encode(), &d); err != nil {
				return err
			}
			if asJSON {
				return writeLine(cmd.OutOrStdout(), d)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "row 9 of %s is sent as it shows now\n", d.MaLo)
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&malo, "malo", "", "`ID` of the market location (needed)")
	cmd.MarkFlagRequired("malo")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func newEventListCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what was told and what the gateway saw for itself",
		Example: "  smgw event list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.look(func(c *control.Client) error {
				if asJSON {
					return copyAnswer(cmd, c, control.EventsPath)
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				listed := 0
				err := control.Each(cmd.Context(), c, control.EventsPath, func(e control.Event) error {
					listed++
					writeEvent(t, &e)
					return nil
				})
				if err == nil && listed == 0 {
					fmt.Fprintln(t, "no events are known")
				}
				return errors.Join(err, t.Flush())
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	return cmd
}

func newEventWithdrawCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "withdraw ID",
		Short:   "Take an event back that nothing was built of yet",
		Example: "  smgw event withdraw 48afa1b9",
		Args:    oneID("smgw event list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return actOnEvent(cmd, &w, asJSON, control.EventsPath+"/"+url.PathEscape(args[0])+"/withdraw")
		},
	}
	w.gatewayFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}
