package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/control"
)

func newExportCommand() *cobra.Command {
	var w where
	var asCSV, asJSON bool
	var meterName, from, to string
	var columns []string
	cmd := &cobra.Command{
		Use:   "export [--csv | --json]",
		Short: "Write the boundary readings that are kept, as a table",
		Long: `Export writes the boundary readings that are kept, as a table in CSV, or in JSON
with an object a line: the customer may take away what is held on him, and anyone
may check with "smgw form preview" what payloads were made from it. Values are as
the meter showed them, before any transformer factor.

Three columns come only when they are asked for: reason (ZA0: read with a clock
that was not set, ZC4: the front port gave whole kWh), method, and server_id.
A preview takes any of them, and needs reason and server_id to tell what a payload
says of whole kWh and of an exchanged meter.

Days are local, and --to is included, with the midnight that ends it. Looking at
readings is written to the gateway's journal; with --file it leaves no trace.`,
		Example: `  smgw export --csv --from 2026-10-01 --to 2026-10-31 > october.csv
  smgw form preview --readings october.csv --malo 41373559241 --row 7 --period 2026-10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"format": {"csv"}, "meter": {meterName}, "columns": {strings.Join(columns, ",")}}
			if asJSON {
				query.Set("format", "json")
			}
			first, err := parseMoment("from", from, false)
			if err != nil {
				return err
			}
			last, err := parseMoment("to", to, true)
			if err != nil {
				return err
			}
			query.Set("from", first)
			query.Set("to", last)
			return w.look(func(c *control.Client) error {
				return copyAnswer(cmd, c, control.ReadingsPath+"?"+query.Encode())
			})
		},
	}
	w.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&asCSV, "csv", false, "CSV with a header (the default)")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	f.StringVar(&meterName, "meter", "", "`NAME` of the meter, where there are several")
	f.StringVar(&from, "from", "", "first `DAY` or boundary (default: the oldest that is kept)")
	f.StringVar(&to, "to", "", "last `DAY` or boundary, included (default: the newest)")
	f.StringSliceVar(&columns, "columns", nil, "optional `COLUMNS`: reason, method, server_id")
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	return cmd
}
