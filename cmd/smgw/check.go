package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/docs"
	"smgw/meter"
	"smgw/meter/form"
)

// checked is what smgw check --json prints.
type checked struct {
	OK       bool          `json:"ok"`
	File     string        `json:"file"`
	Errors   config.Errors `json:"errors"`
	*meaning               // null fields are left out when the file is wrong
}

// meaning is a file in plain words.
type meaning struct {
	Gateway     string               `json:"gateway"`
	StateDir    string               `json:"state_dir"`
	Meters      []checkedMeter       `json:"meters"`
	Readers     []meter.Reader       `json:"readers"` // USB readers that are plugged in now
	OffsetLimit string               `json:"offset_limit"`
	Endpoints   []string             `json:"endpoints"`
	Edition     form.Edition         `json:"edition"`
	MeLo        string               `json:"melo"`
	Factor      int64                `json:"transformer_factor"`
	Sent        []config.Entitlement `json:"sent"`
	NotSent     []form.RowNumber     `json:"not_sent"`
	Change      *change              `json:"change"`             // null where the contract that the gateway keeps cannot be read
	Watchdog    string               `json:"watchdog,omitempty"` // the board's own
	Metrics     string               `json:"metrics,omitempty"`  // where figures are, besides the control socket
	Warnings    []string             `json:"warnings"`
}

type checkedMeter struct {
	Name string `json:"name"`
	Port string `json:"port"`
}

func newCheckCommand() *cobra.Command {
	var (
		path            string
		asJSON, example bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say in plain words what a configuration means, or what is wrong with it",
		Long: `Check reads a configuration and says in plain words what it means: which meters are
read, which rows of the form follow, who gets what from whom and how often, when
it is next due, and what is not sent. Against the contract that the running agent
keeps, or the store where none runs, it says what the file would change, and from
when, before it does.

A file that is wrong is refused with every problem on a line of its own, as
file:line:column: what is wrong; what would be right. The exit status is then 1.
Warnings are about this computer (no such port, no certificates yet) and leave
the exit status at 0.`,
		Example: "  smgw check --example > smgw.toml\n  smgw check --config smgw.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example {
				_, err := io.WriteString(cmd.OutOrStdout(), docs.Example)
				return err
			}
			c, err := config.Load(path)
			if err != nil {
				return refused(cmd, path, err, asJSON)
			}
			now := time.Now()
			m := meaningOf(c, now, append(warnings(c, now), meterWarnings(cmd.Context(), c)...))
			if m.Change, err = changeOf(cmd.Context(), c, now); err != nil {
				m.Warnings = append(m.Warnings, fmt.Sprintf("what the file changes is not known: %v", err))
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(checked{OK: true, File: path, Errors: config.Errors{}, meaning: m})
			}
			return m.print(cmd.OutOrStdout(), c)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&example, "example", false, "print a commented configuration to begin with, and check none")
	return cmd
}

// refused prints the problems of a file: for people one a line on standard error.
func refused(cmd *cobra.Command, path string, err error, asJSON bool) error {
	problems, ok := errors.AsType[config.Errors](err)
	if !ok {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(checked{File: path, Errors: problems}); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(cmd.ErrOrStderr(), p)
		}
	}
	if len(problems) == 1 {
		return fmt.Errorf("%s is refused: 1 problem", path)
	}
	return fmt.Errorf("%s is refused: %d problems", path, len(problems))
}

func meaningOf(c *config.Config, now time.Time, warnings []string) *meaning {
	m := &meaning{
		Gateway:     c.Gateway.ID,
		StateDir:    c.Gateway.StateDir,
		Readers:     append([]meter.Reader{}, new(meter.Ports).Readers()...),
		OffsetLimit: c.Readings.OffsetLimit.String(),
		Endpoints:   c.Endpoints(),
		Watchdog:    c.Watchdog.Device,
		Metrics:     c.Metrics.Listen,
		Edition:     c.Contract.Edition,
		MeLo:        c.Contract.MeLo.String(),
		Factor:      c.Contract.TransformerFactor,
		Sent:        c.Entitlements(now),
		NotSent:     []form.RowNumber{},
		Warnings:    append([]string{}, warnings...),
	}
	for _, x := range c.Meters {
		m.Meters = append(m.Meters, checkedMeter(x))
	}
	for _, row := range c.NotSent() {
		m.NotSent = append(m.NotSent, row.Number)
	}
	return m
}

// print writes the meaning for people.
func (m *meaning) print(to io.Writer, c *config.Config) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s is right. It means:\n\n", c.File)
	fmt.Fprintf(w, "Gateway %s keeps its readings, keys and certificates in %s.\n", m.Gateway, m.StateDir)
	for _, x := range c.Meters {
		fmt.Fprintf(w, "Meter %q is read at %s.\n", x.Name, x.Port)
	}
	fmt.Fprintf(w, "USB readers plugged in: %s.\n", cmp.Or(joined(m.Readers), "none"))
	fmt.Fprintf(w, "A reading counts for a quarter hour when it is at most %s off it.\n", m.OffsetLimit)
	fmt.Fprintf(w, "Payloads go to %s.\n", strings.Join(m.Endpoints, " and "))
	fmt.Fprintf(w, "Lamps: %s.\n", lamps(c))
	if b := c.Board.Button; b != nil {
		fmt.Fprintf(w, "The button at line %v of %s: a short press asks for a self-test, a long one for the end of the gateway's id.\n", b.Line, c.Board.Chip)
	}
	if r := c.Board.Reset; r != nil {
		level := "high"
		if r.ActiveLow {
			level = "low"
		}
		fmt.Fprintf(w, "Line %v of %s is pulled %s to restart the head of meter %q when no SML has come for some minutes.\n", r.Line, c.Board.Chip, level, c.ResetOf)
	}
	if device := c.Watchdog.Device; device != "" {
		fmt.Fprintf(w, "%s restarts the board when the agent hangs and nobody starts it again.\n", device)
	}
	if address := c.Metrics.Listen; address != "" {
		fmt.Fprintf(w, "Figures for Prometheus, without any measured value, are at http://%s/metrics on this computer.\n", address)
	}

	fmt.Fprintf(w, "\nContract: form of edition %s, metering location %s,\n", m.Edition, m.MeLo)
	if m.Factor == 1 {
		fmt.Fprint(w, "no transformers before the meter (factor 1)")
	} else {
		fmt.Fprintf(w, "every reading and interval is multiplied by the transformer factor %d", m.Factor)
	}
	if p := c.Contract.MaxPowerKW; p.Valid {
		fmt.Fprintf(w, ", more than %s kW is implausible", p.Decimal)
	}
	if at := c.Contract.Commissioned; !at.IsZero() {
		fmt.Fprintf(w, ",\ncommissioned at %s: what lay before is absent", at.In(form.Berlin).Format(time.RFC3339))
	}
	fmt.Fprint(w, ".\n")
	if from := c.Contract.From; from != (form.Date{}) {
		fmt.Fprintf(w, "It is to hold from %s, 00:00.\n", from)
	}
	if days := c.Contract.ExtraHolidays; len(days) > 0 {
		fmt.Fprintf(w, "Besides the public holidays no working days: %s.\n", joined(days))
	}

	for i := range c.Contract.MarketLocations {
		location := &c.Contract.MarketLocations[i]
		fmt.Fprintf(w, "\nMarket location %s: %s\n", location.MaLo, describe(location))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  row\tgoes to\thow often\tnext due\twhat")
		for _, e := range m.Sent {
			if e.MaLo == location.MaLo {
				fmt.Fprintf(t, "  %d\t%s\t%s\t%s\t%s\n", e.Row, roles(e.To), e.HowOften, nextDue(e.NextDue), contents(e.Values))
			}
		}
		t.Flush()
		for _, r := range location.Receivers {
			fmt.Fprintf(w, "  %s is market partner %s, at %s\n", r.Role, r.PartnerID, c.EndpointOf(r))
		}
		for _, e := range m.Sent {
			if e.MaLo == location.MaLo && e.Occasions != nil {
				fmt.Fprintf(w, "  %s\n", occasions(e.Row, e.Occasions))
			}
		}
	}

	fmt.Fprintln(w)
	for _, rhythm := range []form.Rhythm{form.EachWorkingDay, form.EachMonth, form.OnEvent, form.OnDemand} {
		if slices.ContainsFunc(m.Sent, func(e config.Entitlement) bool { return e.Rhythm == rhythm }) {
			name, meaning := config.InWords(rhythm)
			fmt.Fprintf(w, "%s: %s.\n", strings.ToUpper(name[:1])+name[1:], meaning)
		}
	}
	momentary := "no momentary power"
	if slices.ContainsFunc(m.Sent, func(e config.Entitlement) bool { return e.Rhythm == form.OnDemand }) {
		momentary = "no other momentary value"
	}
	fmt.Fprintf(w, "Nothing else leaves the gateway: no reading between the quarter hours, %s, no name or address", momentary)
	if len(m.NotSent) > 0 {
		fmt.Fprintf(w, ",\nand none of the form's rows %s, which are for other classes", joined(m.NotSent))
	}
	fmt.Fprint(w, ".\n")
	if m.Change != nil {
		m.Change.print(w)
	}
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "\nWarning: %s", warning)
	}
	if len(m.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	_, err := io.WriteString(to, w.String())
	return err
}

// reasons are what entitles to the grid's state, in words.
var reasons = map[string]string{
	form.EEGOrKWKGPlant.String(): "it is a plant after EEG or KWKG", form.ControllableDevice.String(): "there is a controllable device after § 14a EnWG",
	form.Above20000KWh.String(): "more than 20 000 kWh are drawn in a year",
}

// occasions says when momentary figures are sent without being asked for.
func occasions(row form.RowNumber, o *config.Occasions) string {
	if row == form.GridState {
		return fmt.Sprintf("NB ordered the state of the grid (§ 56 MsbG), which it may since %s: sent every %s, on the clock", reasons[o.Because], o.Every)
	}
	var when []string
	if o.Every != "" {
		when = append(when, "every "+o.Every+" on the clock")
	}
	if o.Above != "" {
		when = append(when, "when the power rises above "+o.Above+" kW or falls back by "+o.Hysteresis+" kW")
	}
	if o.Below != "" {
		when = append(when, "when it falls below "+o.Below+" kW or rises back by "+o.Hysteresis+" kW")
	}
	return fmt.Sprintf("row %d is sent by itself: %s", row, strings.Join(when, ", "))
}

func describe(m *form.MarketLocation) string {
	what := "what is drawn"
	if m.Direction == form.FeedIn {
		what = "what is fed in"
	}
	tariffs := ""
	if m.TwoTariffs {
		tariffs = ", high and low tariff"
	}
	return fmt.Sprintf("%s, class %s%s, measured by meter %q", what, m.Class, tariffs, m.Meter)
}

func lamps(c *config.Config) string {
	if len(c.Board.Lamps) == 0 {
		return "none"
	}
	var all []string
	for _, l := range c.Board.Lamps {
		shows := "what is most urgent"
		if len(l.Causes) > 0 {
			shows = joined(l.Causes)
		}
		all = append(all, fmt.Sprintf("line %v of %s shows %s", l.Line, c.Board.Chip, shows))
	}
	return strings.Join(all, "; ")
}

func roles(to []config.Recipient) string {
	var all []form.Role
	for _, r := range to {
		all = append(all, r.Role)
	}
	return joined(all)
}

// contents names the values of a row; registers, of which there may be
// several, with their codes.
func contents(values []config.Content) string {
	names := map[form.Kind]string{form.Energy: "energy", form.MaxPower: "maximum power", form.LoadProfile: "quarter-hour load profile", form.Momentary: "momentary feed-in power"}
	var all []string
	for _, v := range values {
		name, ok := names[v.Kind]
		if !ok {
			name = "register " + v.OBIS.Short()
		}
		all = append(all, name)
	}
	if len(all) == 0 {
		return "momentary voltages, currents, frequency and angles, as far as the meter sends them"
	}
	return strings.Join(all, ", ")
}

func nextDue(at *time.Time) string {
	if at == nil {
		return "–"
	}
	return at.In(form.Berlin).Format("Mon 2006-01-02 15:04")
}

func joined[T any](list []T) string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, ", ")
}
