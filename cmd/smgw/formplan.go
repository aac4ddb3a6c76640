package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
)

func newFormPlanCommand() *cobra.Command {
	var files []string
	var from, to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan --config FILE --from DATE --to DATE",
		Short: "List every regular payload that is due on the days from DATE to DATE, both included",
		Long: `List every regular payload of the contract that is due on a local day from DATE
to DATE, both included: one for each market location, row and receiver.

One configuration is taken to hold always, whatever it says from when. Where the
contract changed, give --config for each version; all but the first say in
[contract] from when they hold.`,
		Example: "  smgw form plan --config smgw.toml --from 2026-12-21 --to 2027-01-04",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			history, err := config.LoadHistory(files...)
			if err != nil {
				return err
			}
			first, err := form.ParseDate(from)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			last, err := form.ParseDate(to)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			if last.Before(first) {
				return fmt.Errorf("--to %s is before --from %s", last, first)
			}
			due := history.Plan(first, last)
			if !asJSON {
				return writePlan(cmd.OutOrStdout(), due)
			}
			for _, d := range due {
				if err := writeLine(cmd.OutOrStdout(), d); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	historyFlag(flags, &files)
	flags.StringVar(&from, "from", "", "first `DAY`, as 2026-12-21 (needed)")
	flags.StringVar(&to, "to", "", "last `DAY`, as 2027-01-04 (needed)")
	flags.BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.MarkFlagRequired("from")
	cmd.MarkFlagRequired("to")
	return cmd
}

// writePlan writes a plan for people, with the periods as the days they cover.
func writePlan(w io.Writer, due []form.Due) error {
	const clock = "Mon 2006-01-02 15:04"
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DUE\tROW\tMARKET LOCATION\tTO\tCOVERS\tPURPOSE")
	for _, d := range due {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", d.At.Format(clock), d.Row, d.MaLo, d.To, days(d.Period), d.Purpose)
	}
	return t.Flush()
}

// days gives a period between local midnights as the days it covers, "2026-12-23"
// or "2026-12-23 to 2026-12-27", and any other with its clock times.
func days(p form.Period) string {
	first, last := form.DateOf(p.From.Time()), form.DateOf(p.To.Time().Add(-time.Second))
	if p.From == p.To {
		return form.Local(p.From)
	}
	if first.Midnight() != p.From || last.AddDays(1).Midnight() != p.To {
		return fmt.Sprintf("%s to %s", form.Local(p.From), form.Local(p.To))
	}
	if first == last {
		return first.String()
	}
	return fmt.Sprintf("%s to %s", first, last)
}
