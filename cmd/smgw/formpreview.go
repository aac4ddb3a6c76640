package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	var files []string
	var readings, malo, period string
	var row int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preview --config FILE --readings CSV --malo ID --row N --period PERIOD",
		Short: "Build from a file of readings what the agent would send for a regular row",
		Long: `Build from a file of readings, as "smgw export" writes it, what the agent would
send for a regular row, so that anyone can check a payload. A period is a local
month (2026-10), a day (2026-10-25), several (2026-10-23..2026-10-26, both
included) or from one boundary to another, in RFC 3339. Readings from before the
period are used as well: whether a reading is plausible depends on them.

Where the contract changed within the period, give --config for each version; all but
the first say in [contract] from when they hold.`,
		Example: "  smgw form preview --config smgw.toml --readings october.csv --malo 41373559241 --row 7 --period 2026-10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			history, err := config.LoadHistory(files...)
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
			if p.Values, p.notices, err = history.Preview(p.MaLo, p.Row, p.Period, table); err != nil {
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
	historyFlag(flags, &files)
	flags.StringVar(&readings, "readings", "", "readings, a `CSV` as smgw export writes it (needed)")
	flags.StringVar(&malo, "malo", "", "`ID` of the market location (needed)")
	flags.IntVar(&row, "row", 0, "row `N` of the form (needed)")
	flags.StringVar(&period, "period", "", "`PERIOD`: 2026-10, 2026-10-25, 2026-10-23..2026-10-26 or a boundary..another (needed)")
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

func historyFlag(flags *pflag.FlagSet, files *[]string) {
	flags.StringArrayVarP(files, "config", "c", []string{config.DefaultPath}, "configuration `file`; [contract] and its market locations are enough. Several: its versions")
}

// writePreview writes a preview for people.
func writePreview(w io.Writer, p preview) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "row %d of market location %s, %s, to %s\n\n", p.Row, p.MaLo, days(p.Period), strings.Trim(fmt.Sprint(p.To), "[]"))
	fmt.Fprintln(t, "OBIS\tKIND\tTIME\tVALUE\tSTATE")
	for _, v := range p.Values {
		writeValue(t, v)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeNotices(w, p.notices)
}

// writeNotices writes what a payload says beside its values.
func writeNotices(w io.Writer, notices []form.Notice) error {
	for _, n := range notices {
		text := fmt.Sprintf("counted %d", n.Count)
		switch n.Kind {
		case form.Interpolated:
			text = fmt.Sprintf("%d quarter hours were interpolated between the readings of %s and %s", n.Count, form.Local(n.From), form.Local(n.To))
		case form.TariffSum:
			text = fmt.Sprintf("HT, NT and error register do not add up to the total at %s", form.Local(n.To))
		default:
			if n.From != 0 {
				text += fmt.Sprintf(", from %s to %s", form.Local(n.From), form.Local(n.To))
			}
		}
		if _, err := fmt.Fprintf(w, "Notice %s: %s.\n", n.Kind, text); err != nil {
			return err
		}
	}
	return nil
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
	if q.Method != form.NoMethod {
		state += " by " + string(q.Method)
	}
	if v.Final {
		state += ", final"
	}
	if q.Warning != form.NoWarning {
		state += ", warning " + string(q.Warning)
	}
	if v.MissingIntervals > 0 {
		state += fmt.Sprintf(", %d quarter hours missing", v.MissingIntervals)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Code.Short(), v.Kind, at, amount, state)
}
