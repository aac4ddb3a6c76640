package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
)

// shownForm is what `smgw form show --json` writes.
type shownForm struct {
	Edition form.Edition            `json:"edition"`
	MeLo    form.MeteringLocationID `json:"melo"`
	From    *form.Date              `json:"holds_from,omitempty"` // where that is still to come
	Ended   *localTime              `json:"decommissioned,omitempty"`
	Kept    string                  `json:"last_sent_by"` // whose journal tells what was sent: "agent", "store" where none runs, "" where there is none
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
	NextDue   *localTime            `json:"next_due"` // null for what no calendar makes due
	rhythm    form.Rhythm
}

// shownReceiver is a receiver, and when he got something of the row.
type shownReceiver struct {
	Role      form.Role      `json:"role"`
	PartnerID form.PartnerID `json:"partner_id"`
	LastSent  *localTime     `json:"last_sent"` // null: not in the 90 days that the journal tells of, or there is none
	NextDue   *localTime     `json:"next_due"`
}

// localTime is an instant, in JSON as local time.
type localTime struct{ time.Time }

func (t localTime) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.In(form.Berlin).Format(time.RFC3339) + `"`), nil
}

// local is nil for none.
func local(at *time.Time) *localTime {
	if at == nil {
		return nil
	}
	return &localTime{*at}
}

func newFormShowCommand() *cobra.Command {
	var file, on, lang string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Print the form that the contract runs on, as its customer may read it",
		Long: `Print the form after § 54 MsbG that the contract runs on, as its customer may read
it: for each row who gets what from whom, how often, for what purpose, when it was
last sent, and when it is next due. What is not on it does not leave the gateway.

When something was last sent is known by the gateway's journal: that of the running
agent, or of its store where none runs. It goes back 90 days. Without a gateway, or
with --on, the form is shown without it.`,
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
			if on == "" {
				if err := shown.lastSent(cmd.Context(), file); err != nil {
					return fmt.Errorf("when was last sent: %w", err)
				}
			}
			if asJSON {
				return writeLine(cmd.OutOrStdout(), shown)
			}
			return shown.write(cmd.OutOrStdout(), words)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "config", "c", config.DefaultPath, "configuration `file`; [contract] and its market locations are enough")
	flags.StringVar(&lang, "lang", "de", "`LANGUAGE` for people: de or en")
	flags.StringVar(&on, "on", "", "next due after the beginning of this `DAY`, as 2026-12-21 (default now)")
	flags.BoolVar(&asJSON, "json", false, "one JSON object on one line")
	return cmd
}

func newShownForm(c *form.Contract, now time.Time) shownForm {
	shown := shownForm{Edition: c.Edition, MeLo: c.MeLo, Rows: []shownRow{}}
	whole := config.Config{Contract: *c}
	if c.From != (form.Date{}) && form.DateOf(now).Before(c.From) {
		shown.From = &c.From
	}
	for _, e := range whole.Entitlements(now) {
		m := c.Location(e.MaLo)
		r := shownRow{
			MaLo: e.MaLo, Direction: m.Direction, Class: m.Class, Row: e.Row, From: form.MSB,
			HowOften: rhythmNames[e.Rhythm], Purpose: e.Purpose, Occasions: e.Occasions, Values: append([]config.Content{}, e.Values...), rhythm: e.Rhythm,
			NextDue: local(e.NextDue),
		}
		for _, to := range e.To {
			r.To = append(r.To, shownReceiver{Role: to.Role, PartnerID: to.PartnerID, NextDue: local(to.NextDue)})
		}
		shown.Rows = append(shown.Rows, r)
	}
	return shown
}

// lastSent asks the gateway that a configuration is of, if it is of one, when each
// receiver last got something of each row.
func (s *shownForm) lastSent(ctx context.Context, file string) error {
	c, err := config.Load(file)
	if err != nil {
		return nil // a contract alone, which is right: there is nobody to ask
	}
	marker, err := agent.ReadMarker(c)
	if err != nil {
		return err
	}
	if marker != nil {
		s.end(marker.At)
		return nil
	}
	type address struct{ malo, row, to, partner string }
	last := map[address]time.Time{}
	s.Kept, err = askGateway(c, func(client *control.Client) error {
		return control.Each(ctx, client, control.JournalPath, func(e buffer.Entry) error {
			if d := e.Detail; e.Kind == agent.Delivered {
				to := address{d["malo"], d["row"], d["to"], d["partner"]}
				if e.At.After(last[to]) {
					last[to] = e.At
				}
			}
			return nil
		})
	})
	for i, r := range s.Rows {
		for j, to := range r.To {
			if at, sent := last[address{r.MaLo.String(), fmt.Sprint(int(r.Row)), to.Role.String(), to.PartnerID.String()}]; sent {
				s.Rows[i].To[j].LastSent = &localTime{at}
			}
		}
	}
	return err
}

// end says that the gateway was decommissioned: nothing is due any more.
func (s *shownForm) end(at time.Time) {
	s.Ended = &localTime{at}
	for i := range s.Rows {
		s.Rows[i].NextDue = nil
		for j := range s.Rows[i].To {
			s.Rows[i].To[j].NextDue = nil
		}
	}
}

// write writes the form for people.
func (s shownForm) write(to io.Writer, in words) error {
	fmt.Fprintf(to, in.title+"\n", s.Edition, s.MeLo)
	if s.From != nil {
		fmt.Fprintf(to, in.from+"\n", s.From.At(0, 0).Format(in.day))
	}
	if s.Ended != nil {
		fmt.Fprintf(to, in.ended+"\n", s.Ended.In(form.Berlin).Format(in.clock))
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	var roles []form.Role
	var classes []form.Class
	columns := in.columns
	if s.Kept == "" {
		columns = slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == in.lastSent })
	}
	for i, r := range s.Rows {
		if i == 0 || s.Rows[i-1].MaLo != r.MaLo {
			if err := t.Flush(); err != nil {
				return err
			}
			if in.class[r.Class] != "" && !slices.Contains(classes, r.Class) {
				classes = append(classes, r.Class)
			}
			fmt.Fprintf(to, "\n"+in.location+"\n", r.MaLo, in.direction[r.Direction], r.Class)
			fmt.Fprintln(t, "  "+strings.Join(columns, "\t"))
		}
		clock := func(at *localTime) string {
			if at == nil {
				return "–"
			}
			return at.In(form.Berlin).Format(in.clock)
		}
		number, from, what := fmt.Sprint(r.Row), r.From.String()+" → ", []string{in.howOften(r), in.contents(r), in.purposes(r.Purpose)}
		for _, receiver := range r.To {
			if !slices.Contains(roles, receiver.Role) {
				roles = append(roles, receiver.Role)
			}
			cells := append([]string{number, fmt.Sprintf("%s%s (%s)", from, receiver.Role, receiver.PartnerID)}, what...)
			if s.Kept != "" {
				cells = append(cells, clock(receiver.LastSent))
			}
			fmt.Fprintln(t, "  "+strings.Join(append(cells, clock(receiver.NextDue)), "\t"))
			number, from, what = "", "      ", []string{"", "", ""}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Kept == "" {
		fmt.Fprintf(to, "\n%s", in.notSent)
	}
	fmt.Fprintf(to, "\n%s\n", in.events)
	if slices.ContainsFunc(s.Rows, func(r shownRow) bool { return r.Row == 1 }) {
		fmt.Fprintln(to, in.passedOn)
	}
	for _, class := range classes {
		fmt.Fprintln(to, in.class[class])
	}
	for _, role := range append([]form.Role{form.MSB}, roles...) {
		fmt.Fprintf(to, "%s: %s\n", role, in.role[role])
	}
	return nil
}
