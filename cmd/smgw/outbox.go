package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
	"smgw/meter/form/wire"
)

// newOutboxCommand is `smgw outbox`; alone it lists.
func newOutboxCommand() *cobra.Command {
	cmd := newOutboxListCommand()
	cmd.Use = "outbox"
	cmd.Short = "What waits to be delivered, and what was refused and set aside"
	cmd.Long = `Outbox lists what waits to be delivered and what the head-end has refused for good.
What waits is tried again by itself, for ever. What was set aside waits for a
person: send it again when the cause is mended, or give it up with a reason. Both
are written to the journal with who did it.`
	cmd.AddCommand(newOutboxListCommand(), newOutboxShowCommand(), newOutboxRetryCommand(), newOutboxGiveUpCommand())
	return cmd
}

func newOutboxListCommand() *cobra.Command {
	var w where
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what waits and what was set aside",
		Example: "  smgw outbox list --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := control.OutboxPath
			if all {
				path += "?all=1"
			}
			return w.look(func(c *control.Client) error {
				if asJSON {
					return copyAnswer(cmd, c, path)
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				listed := 0
				err := control.Each(cmd.Context(), c, path, func(it control.Item) error {
					if listed++; listed == 1 {
						fmt.Fprintln(t, "ID\tSTATE\tROW\tMARKET LOCATION\tTO\tPERIOD\tDUE\tTRIED\tLAST ERROR")
					}
					_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", it.ID, it.State, it.Label["row"], it.Label["malo"], it.Label["to"],
						cmp.Or(it.Label["moment"], it.Label["from"]+" – "+it.Label["until"]), moment(it.Due), it.Attempts, it.LastError)
					return err
				})
				if err == nil && listed == 0 {
					fmt.Fprintln(t, "nothing waits")
				}
				return errors.Join(err, t.Flush())
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	cmd.Flags().BoolVar(&all, "all", false, "also what was acknowledged or given up in the last 90 days")
	return cmd
}

// oneID takes one id, as it is listed: an empty one or "..", made a path, would name
// something else.
func oneID(lists string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(1)(cmd, args); err != nil {
			return err
		}
		if strings.Trim(args[0], "./") == "" {
			return fmt.Errorf("%q is no id, %s shows those there are", args[0], lists)
		}
		return nil
	}
}

// shownItem is what `smgw outbox show --json` writes.
type shownItem struct {
	control.Item
	Payload *shownPayload `json:"payload"` // null once it is settled
}

type shownPayload struct {
	preview
	Notices []form.Notice `json:"notices"`
}

func newOutboxShowCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show an item and the payload that it sends",
		Long: `Show prints an item and the payload that it sends, as "smgw form preview" does. It
shows measured values, so the journal tells who looked.`,
		Example: "  smgw outbox show 5aaae038ffed78da7915ace0d850ee0e",
		Args:    oneID("smgw outbox list --all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.look(func(c *control.Client) error {
				var content control.ItemContent
				if err := c.Do(cmd.Context(), http.MethodGet, control.OutboxPath+"/"+url.PathEscape(args[0]), &content); err != nil {
					return err
				}
				shown, err := showItem(&content)
				if err != nil {
					return err
				}
				if asJSON {
					return writeLine(cmd.OutOrStdout(), shown)
				}
				if err := writeItem(cmd.OutOrStdout(), &shown.Item); err != nil || shown.Payload == nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout())
				return writePreview(cmd.OutOrStdout(), shown.Payload.preview)
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func showItem(content *control.ItemContent) (shownItem, error) {
	shown := shownItem{Item: content.Item}
	if len(content.Body) == 0 {
		return shown, nil
	}
	encoded, err := wire.Unwrap(content.Body)
	if err != nil {
		return shown, fmt.Errorf("item %s: %w", content.ID, err)
	}
	p, err := wire.Decode(encoded)
	if err != nil {
		return shown, fmt.Errorf("item %s: %w", content.ID, err)
	}
	shown.Payload = &shownPayload{preview{Row: p.Row, MaLo: p.MaLo, From: form.MSB, To: []form.Role{p.To}, Period: p.Period, Values: p.Values}, p.Notices}
	return shown, nil
}

func writeItem(out io.Writer, it *control.Item) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "id\t%s\n", it.ID)
	fmt.Fprintf(t, "state\t%s\n", it.State)
	fmt.Fprintf(t, "endpoint\t%s\n", it.Endpoint)
	if at := it.Label["moment"]; at != "" { // the payload's period is only the quarter hour round it
		fmt.Fprintf(t, "moment\t%s\n", at)
	}
	fmt.Fprintf(t, "made\t%s\n", moment(it.Created))
	fmt.Fprintf(t, "due\t%s\n", moment(it.Due))
	if it.State == buffer.Waiting {
		fmt.Fprintf(t, "not before\t%s\n", moment(it.NotBefore))
	}
	if it.LastTried != nil {
		fmt.Fprintf(t, "tried\t%d times, last %s\n", it.Attempts, moment(*it.LastTried))
	}
	if it.Settled != nil {
		fmt.Fprintf(t, "settled\t%s\n", moment(*it.Settled))
	}
	if it.LastError != "" {
		fmt.Fprintf(t, "because\t%s\n", it.LastError)
	}
	return t.Flush()
}

func newOutboxRetryCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "retry ID",
		Short:   "Send an item again that was set aside",
		Example: "  smgw outbox retry 5aaae038ffed78da7915ace0d850ee0e",
		Args:    oneID("smgw outbox list --all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return decide(cmd, &w, asJSON, control.OutboxPath+"/"+url.PathEscape(args[0])+"/retry")
		},
	}
	w.gatewayFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func newOutboxGiveUpCommand() *cobra.Command {
	var w where
	var asJSON bool
	var reason string
	cmd := &cobra.Command{
		Use:     "give-up ID --reason TEXT",
		Short:   "End an item that was set aside without delivering it; what it would send is erased",
		Example: `  smgw outbox give-up 5aaae038ffed78da7915ace0d850ee0e --reason "the market location is not ours"`,
		Args:    oneID("smgw outbox list --all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return decide(cmd, &w, asJSON, control.OutboxPath+"/"+url.PathEscape(args[0])+"/give-up?"+url.Values{"reason": {reason}}.Encode())
		},
	}
	w.gatewayFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT`: why, for those who ask later (needed)")
	cmd.MarkFlagRequired("reason")
	return cmd
}

// decide does what somebody decided about an item.
func decide(cmd *cobra.Command, w *where, asJSON bool, path string) error {
	return w.act(func(c *control.Client) error {
		var it control.Item
		if err := c.Do(cmd.Context(), http.MethodPost, path, &it); err != nil {
			return err
		}
		if asJSON {
			return writeLine(cmd.OutOrStdout(), it)
		}
		return writeItem(cmd.OutOrStdout(), &it)
	})
}
