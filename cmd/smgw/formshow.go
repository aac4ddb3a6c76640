package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
)

// shownForm is what `smgw form show --json` writes.
type shownForm struct {
	Edition form.Edition            `json:"edition"`
	MeLo    form.MeteringLocationID `json:"melo"`
	Rows    []shownRow              `json:"rows"`
}

// shownRow is a row of the form as it applies to one market location.
type shownRow struct {
	MaLo      form.MarketLocationID `json:"malo"`
	Direction form.Direction        `json:"direction"`
	Class     form.Class            `json:"class"`
	Row       form.RowNumber        `json:"row"`
	From      form.Role             `json:"from"`
	To        []shownReceiver       `json:"to"`
	HowOften  string                `json:"how_often"`
	Purpose   string                `json:"purpose"`
	Values    []config.Content      `json:"values"`
	Occasions *config.Occasions     `json:"occasions,omitempty"`
	NextDue   *string               `json:"next_due"` // null for what no calendar makes due
	rhythm    form.Rhythm
	next      *time.Time
}

type shownReceiver struct {
	Role      form.Role      `json:"role"`
	PartnerID form.PartnerID `json:"partner_id"`
}

func newFormShowCommand() *cobra.Command {
	var file, on, lang string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Print the form that the contract runs on, as its customer may read it",
		Long: `Print the form after § 54 MsbG that the contract runs on, as its customer may read
it: for each row who gets what from whom, how often, for what purpose, and when it
is next due. What is not on it does not leave the gateway.`,
		Example: "  smgw form show --config smgw.toml --lang en",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			words, ok := languages[lang]
			if !ok {
				return fmt.Errorf("--lang %q: want de or en", lang)
			}
			contract, err := config.LoadContract(file)
			if err != nil {
				return err
			}
			now := time.Now()
			if on != "" {
				day, err := form.ParseDate(on)
				if err != nil {
					return fmt.Errorf("--on: %w", err)
				}
				now = day.At(0, 0)
			}
			shown := newShownForm(contract, now)
			if asJSON {
				return writeLine(cmd.OutOrStdout(), shown)
			}
			return shown.write(cmd.OutOrStdout(), words)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", config.DefaultPath, "configuration; [contract] and its market locations are enough")
	flags.StringVar(&lang, "lang", "de", "language for people: de or en")
	flags.StringVar(&on, "on", "", "next due after the beginning of this day, as 2026-12-21 (default now)")
	flags.BoolVar(&asJSON, "json", false, "one JSON object on one line")
	return cmd
}

func newShownForm(c *form.Contract, now time.Time) shownForm {
	shown := shownForm{Edition: c.Edition, MeLo: c.MeLo, Rows: []shownRow{}}
	whole := config.Config{Contract: *c}
	for _, e := range whole.Entitlements(now) {
		m := c.Location(e.MaLo)
		r := shownRow{
			MaLo: e.MaLo, Direction: m.Direction, Class: m.Class, Row: e.Row, From: form.MSB,
			HowOften: rhythmNames[e.Rhythm], Purpose: e.Purpose, Occasions: e.Occasions, Values: append([]config.Content{}, e.Values...), rhythm: e.Rhythm, next: e.NextDue,
		}
		for _, to := range e.To {
			r.To = append(r.To, shownReceiver{to.Role, to.PartnerID})
		}
		if e.NextDue != nil {
			s := e.NextDue.In(form.Berlin).Format(time.RFC3339)
			r.NextDue = &s
		}
		shown.Rows = append(shown.Rows, r)
	}
	return shown
}

// write writes the form for people.
func (s shownForm) write(to io.Writer, in words) error {
	fmt.Fprintf(to, in.title+"\n", s.Edition, s.MeLo)
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	var roles []form.Role
	for i, r := range s.Rows {
		if i == 0 || s.Rows[i-1].MaLo != r.MaLo {
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(to, "\n"+in.location+"\n", r.MaLo, in.direction[r.Direction], r.Class)
			fmt.Fprintln(t, "  "+strings.Join(in.columns, "\t"))
		}
		receivers := make([]string, len(r.To))
		for i, receiver := range r.To {
			receivers[i] = fmt.Sprintf("%s (%s)", receiver.Role, receiver.PartnerID)
			if !slices.Contains(roles, receiver.Role) {
				roles = append(roles, receiver.Role)
			}
		}
		next := "–"
		if r.next != nil {
			next = r.next.In(form.Berlin).Format(in.clock)
		}
		fmt.Fprintf(t, "  %d\t%s → %s\t%s\t%s\t%s\t%s\n", r.Row, r.From, strings.Join(receivers, ", "), in.howOften(r), in.contents(r), in.purposes(r.Purpose), next)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(to, "\n%s\n%s\n", in.events, in.passedOn)
	for _, role := range append([]form.Role{form.MSB}, roles...) {
		fmt.Fprintf(to, "%s: %s\n", role, in.role[role])
	}
	return nil
}
