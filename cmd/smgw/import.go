package main

import (
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/control"
)

func newImportCommand() *cobra.Command {
	var w where
	var asJSON bool
	var meterName string
	var handover bool
	cmd := &cobra.Command{
		Use:   "import CSV",
		Short: "Take readings from a table where the gateway has none",
		Long: `Import takes a table of readings as "smgw export --columns reason,server_id" writes
it, and stores those that fill a gap: readings of the gateway that was here before,
or of somebody who read the meter while this one could not. What is kept is never
overwritten. A table that is malformed, or that contradicts what is kept, is refused
and nothing of it is stored. What was sent without these readings is corrected. What
an earlier gateway sent is not sent again.

--handover says that the gateway before this one ended with the last reading of the
table: the payloads of this one begin there, and not with its own first reading, so
that what was used in between is in one of them. That is for the day of installation;
it is refused when something is built already.

Each import is written to the journal with who did it.`,
		Example: `  smgw export --file old-store.db --columns reason,server_id > old.csv
  smgw import old.csv
  smgw import readings.csv --handover`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return w.act(func(c *control.Client) error {
				var done control.Imported
				query := url.Values{"meter": {meterName}}
				if handover {
					query.Set("handover", "1")
				}
				if err := c.Send(cmd.Context(), control.ImportPath+"?"+query.Encode(), f, &done); err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if asJSON {
					return writeLine(cmd.OutOrStdout(), done)
				}
				return writeImported(cmd, &done)
			})
		},
	}
	w.gatewayFlag(cmd)
	cmd.Flags().StringVar(&meterName, "meter", "", "`NAME` of the meter, where there are several")
	cmd.Flags().BoolVar(&handover, "handover", false, "the gateway before this one ended with the table's last reading: begin there")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func writeImported(cmd *cobra.Command, done *control.Imported) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%d of %d readings of meter %s fill gaps", done.Stored, done.Readings, done.Meter)
	if done.From != nil {
		fmt.Fprintf(out, " from %s to %s", moment(done.From.Time()), moment(done.To.Time()))
	}
	fmt.Fprintln(out)
	if done.Begins != nil {
		fmt.Fprintf(out, "the payloads of this gateway begin at %s, where those of the one before it end\n", moment(done.Begins.Time()))
	}
	if done.Present > 0 {
		fmt.Fprintf(out, "%d were left out: their boundary has a reading\n", done.Present)
	}
	if done.Unusable > 0 {
		fmt.Fprintf(out, "%d were left out: they were read too far off their boundary\n", done.Unusable)
	}
	return nil
}
