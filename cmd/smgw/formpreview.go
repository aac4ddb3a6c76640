package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
)

// preview is what `smgw form preview --json` writes.
type preview struct {
	Row     form.RowNumber        `json:"row"`
	MaLo    form.MarketLocationID `json:"malo"`
	From    form.Role             `json:"from"`
	To      []form.Role           `json:"to"`
	Period  form.Period           `json:"period"`
	Values  []form.Value          `json:"values"`
	notices []form.Notice
}

func newFormPreviewCommand() *cobra.Command {
	var file, readings, malo, period string
	var row int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preview --config FILE --readings CSV --malo ID --row N --period PERIOD",
		Short: "Build from a file of readings what the agent would send for a regular row",
		Long: `Build from a file of readings, as "smgw export" writes it, what the agent would
send for a regular row, so that anyone can check a payload. A period is a local
month (2026-10), a day (2026-10-25) or several (2026-10-23..2026-10-26, both
included). Readings from before the period are used as well: whether a reading
is plausible depends on them.`,
		Example: "  smgw form preview --config smgw.toml --readings october.csv --malo 41373559241 --row 7 --period 2026-10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			contract, err := config.LoadContract(file)
			if err != nil {
				return err
			}
			p := preview{Row: form.RowNumber(row), From: form.MSB}
			if p.MaLo, err = form.ParseMarketLocationID(malo); err != nil {
				return fmt.Errorf("--malo: %w", err)
			}
			if p.Period, err = form.ParsePeriod(period); err != nil {
				return fmt.Errorf("--period: %w", err)
			}
			table, err := readTable(readings)
			if err != nil {
				return err
			}
			if p.Values, p.notices, err = form.Preview(contract, p.MaLo, p.Row, p.Period, table); err != nil {
				return err
			}
			entry, _ := p.Row.Row()
			p.To = entry.To
			if asJSON {
				return writeLine(cmd.OutOrStdout(), p)
			}
			return writePreview(cmd.OutOrStdout(), p)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", "/etc/smgw/smgw.toml", "configuration; [contract] and its market locations are enough")
	flags.StringVar(&readings, "readings", "", "readings, a CSV as smgw export writes it")
	flags.StringVar(&malo, "malo", "", "market location, 11 digits")
	flags.IntVar(&row, "row", 0, "row of the form")
	flags.StringVar(&period, "period", "", "2026-10, 2026-10-25 or 2026-10-23..2026-10-26")
	flags.BoolVar(&asJSON, "json", false, "one JSON object on one line")
	for _, name := range [...]string{"readings", "malo", "row", "period"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func readTable(path string) ([]meter.BoundaryReading, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("readings: %w", err)
	}
	defer f.Close()
	table, err := meter.ReadTable(f)
	if err != nil {
		return nil, fmt.Errorf("readings %s: %w", path, err)
	}
	return table, nil
}

// writePreview writes a preview for people.
func writePreview(w io.Writer, p preview) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "row %d of market location %s, %s, to %s\n\n", p.Row, p.MaLo, days(p.Period), strings.Trim(fmt.Sprint(p.To), "[]"))
	fmt.Fprintln(t, "OBIS\tKIND\tTIME\tVALUE\tSTATE")
	for _, v := range p.Values {
		writeValue(t, v)
	}
	return t.Flush()
}

// writeValue writes a line for each figure of a value.
func writeValue(w io.Writer, v form.Value) {
	switch at := v.At; v.Kind {
	case form.LoadProfile:
		for _, q := range v.Intervals {
			writeQuantity(w, v, form.Local(at), q)
			at = at.Next()
		}
	case form.MaxPower, form.Register:
		if v.Kind == form.MaxPower && !v.Amount.Valid {
			writeQuantity(w, v, "", v.Quantity)
			break
		}
		writeQuantity(w, v, form.Local(at), v.Quantity)
	default:
		writeQuantity(w, v, "", v.Quantity)
	}
}

func writeQuantity(w io.Writer, v form.Value, at string, q form.Quantity) {
	amount, state := "–", q.State.String()
	if q.Amount.Valid {
		amount = q.Amount.Decimal.String() + " " + v.Unit()
	}
	if q.Reason != form.NoReason {
		state += " " + string(q.Reason)
	}
	if q.Warning != form.NoWarning {
		state += ", warning " + string(q.Warning)
	}
	if v.MissingIntervals > 0 {
		state += fmt.Sprintf(", %d quarter hours missing", v.MissingIntervals)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Code.Short(), v.Kind, at, amount, state)
}
