package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/control"
)

func newJournalCommand() *cobra.Command {
	var w where
	var asJSON bool
	var since string
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "List what left the house, to whom and why, who looked, and what happened to the gateway",
		Long: `Journal lists what left the house, to whom, for which row of the form and why; who
looked at measured values that are kept, or decided about a refused payload; and
what happened to clock, device, contract and store. Entries are kept for 90 days.

Looking at the present ("smgw status") is not written down: it shows what the
meter's own display shows. Nor is reading the journal itself.`,
		Example: "  smgw journal --since 2026-11-01",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			first, err := parseMoment("since", since, false)
			if err != nil {
				return err
			}
			path := control.JournalPath + "?" + url.Values{"since": {first}}.Encode()
			return w.look(func(c *control.Client) error {
				if asJSON {
					return copyAnswer(cmd, c, path)
				}
				return control.Each(cmd.Context(), c, path, func(e buffer.Entry) error { return writeEntry(cmd.OutOrStdout(), &e) })
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	cmd.Flags().StringVar(&since, "since", "", "only entries since this `DAY` or instant")
	cmd.AddCommand(newJournalVerifyCommand())
	return cmd
}

// writeEntry writes one entry on one line.
func writeEntry(out io.Writer, e *buffer.Entry) error {
	_, err := fmt.Fprintf(out, "%6d  %s  %-14s  %s\n", e.Seq, moment(e.At), e.Kind, describeEntry(e.Kind, e.Detail))
	return err
}

// describeEntry says what an entry tells; of a kind that it does not know, and
// after what it says, every detail by its name.
func describeEntry(kind string, detail map[string]string) string {
	rest := maps.Clone(detail)
	for name, text := range rest { // as the entry's own time is written
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			rest[name] = moment(t)
		}
	}
	take := func(before, name, after string) string {
		text, ok := rest[name]
		delete(rest, name)
		if !ok {
			return ""
		}
		return before + text + after
	}
	payload := func() string {
		if rest["row"] == "" {
			return ""
		}
		if rest["revision"] == "0" {
			delete(rest, "revision") // as it was first sent
		}
		return sentence(take("row ", "row", ""), take("of ", "malo", ""), take("for ", "to", ""), take("(", "partner", ")"),
			take("from ", "from", ""), take("until ", "until", ""), take("at ", "moment", ""), take("for ", "purpose", ""),
			take("(", "occasion", ")"), take("", "count", " times"), take("from ", "first", ""), take("to ", "last", ""))
	}
	who := func() string { return sentence(take("", "who", ""), take("(uid ", "uid", ")")) }
	var said string
	switch kind {
	case agent.Delivered:
		said = payload()
	case agent.MomentsLost:
		said = sentence("given up:", payload())
	case agent.Refused:
		said = sentence(payload(), take("because: ", "reason", ""))
	case agent.Looked:
		said = sentence(who(), take("saw ", "what", ""), take("of meter ", "meter", ""), take("from ", "from", ""), take("to ", "to", ""))
	case agent.Retried:
		said = sentence(who(), "sends again", payload())
	case agent.GivenUp:
		said = sentence(who(), "gives up", payload(), take("because: ", "reason", ""))
	case agent.EventTold:
		said = sentence(who(), tells(take), "told as", take("", "id", ""))
	case agent.EventWithdrawn:
		said = sentence(who(), "takes back", tells(take), take("told as ", "id", ""))
	case agent.MomentDemanded:
		said = sentence(who(), "asks for row 9", take("of ", "malo", ""))
	case agent.EventBuilt:
		said = sentence(take("", "payloads", " payloads"), "for", tells(take), take("told as ", "id", ""))
	case agent.Imported:
		said = sentence(who(), "brings", take("", "readings", " readings"), take("of meter ", "meter", ""), take("from ", "from", ""), take("to ", "to", ""))
	case agent.HandedOver:
		said = sentence(who(), "has this gateway begin where the one before it ended,", take("at ", "from", ""), take("and not at ", "before", ""))
	case agent.Decommissioning:
		said = sentence(who(), "ends this gateway's work", take("at ", "end", ""))
	case agent.ContractChanged:
		said = sentence("contract", take("", "new", ""), take("holds from ", "from", ""), take("in the place of ", "old", ""), take("; the file asked for ", "wanted", ""))
	case agent.ContractWithdrawn:
		said = sentence("contract", take("", "contract", ""), take("was to hold from ", "from", ""), "and never holds: another was configured before")
	case agent.EndpointsChanged:
		said = sentence("contract", take("", "contract", ""), "is the same, and payloads go to other addresses")
	case agent.DeviceSeen:
		said = sentence(take("meter ", "meter", " is"), take("device ", "device", ""), take("and was ", "before", ""))
	}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		others = append(others, name+"="+rest[name])
	}
	return sentence(said, strings.Join(others, " "))
}

// tells says what an event is, from the details that take takes.
func tells(take func(before, name, after string) string) string {
	return sentence(take("", "event", ""), take("of ", "malo", ""), take("of meter ", "meter", ""), take("at ", "at", ""))
}

func newJournalVerifyCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify the journal's chain; exit status 1 when an entry was changed, is missing or was moved",
		Long: `Verify follows the journal's chain of hashes from its beginning to its end: a
changed, missing or moved entry breaks it. Where retention has erased the old end,
the chain begins at an anchor that the gateway signed, and the signature is checked
with the gateway's certificate, or that of a key which it has replaced since. For a
--file this needs the --config of the gateway that it is from.`,
		Example: "  smgw journal verify",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v control.JournalVerdict
			w.signed = cmd.Flags().Changed("config")
			err := w.look(func(c *control.Client) error {
				return c.Do(cmd.Context(), http.MethodGet, control.VerifyPath, &v)
			})
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeLine(cmd.OutOrStdout(), v); err != nil {
					return err
				}
			} else {
				writeVerdict(cmd.OutOrStdout(), &v)
			}
			if !v.OK {
				return errors.New(v.Problem)
			}
			return nil
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func writeVerdict(out io.Writer, v *control.JournalVerdict) {
	fmt.Fprintf(out, "%d entries, %d to %d\n", v.Entries, v.First, v.Last)
	if v.ErasedAt != nil {
		fmt.Fprintf(out, "what came before, up to entry %d, was erased on %s\n", v.ErasedUpTo, moment(*v.ErasedAt))
	}
	fmt.Fprintf(out, "anchor: %s\n", v.Anchor)
	if v.OK {
		fmt.Fprintln(out, "the chain is unbroken")
	}
}
