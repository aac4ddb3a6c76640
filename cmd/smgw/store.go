package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
)

// newStoreCommand is `smgw store`: what looks into the store itself.
func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look into the store: the running agent's, one at rest, or a file brought along",
		Long: `Store looks into the gateway's store. Where the agent runs it is asked; where none
runs the file is opened as it lies there, after a process of its own has checked
it. Looking never changes a store, and what is damaged is named, not mended: the
agent does that when it starts, and keeps the damaged file.`,
	}
	cmd.AddCommand(newStoreCheckCommand(), newStoreStatsCommand(), newStoreDumpCommand(), newStoreCompactCommand())
	return cmd
}

func newStoreCheckCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check every page and record; exit status 1 when something is damaged",
		Long: `Check reads every page and record of a store and compares the checksums, in a
process of its own. A running agent has a copy of its store checked, for which
the disk must have room beside it.`,
		Example: `  smgw store check
  smgw store check --file store.db.damaged-20261122T065126Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := checkStore(cmd, &w)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeLine(cmd.OutOrStdout(), v); err != nil {
					return err
				}
			}
			if !v.OK {
				return errors.New(v.Problem)
			}
			if !asJSON {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is sound\n", v.Path)
			}
			return nil
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

// checkStore asks the running agent, or has the file checked where it lies.
func checkStore(cmd *cobra.Command, w *where) (v control.StoreVerdict, err error) {
	v.Path = w.file
	if v.Path == "" {
		c, err := config.Load(w.config)
		if err != nil {
			return v, err
		}
		socket := agent.SocketPath(c)
		if runs, err := control.Answers(socket); err != nil {
			return v, err
		} else if runs {
			err = control.Dial(socket).Do(cmd.Context(), http.MethodGet, control.CheckPath, &v)
			return v, err
		}
		v.Path = agent.StorePath(c)
	}
	err = agent.CheckStore(v.Path)
	if damaged := (*buffer.DamagedError)(nil); errors.As(err, &damaged) {
		v.Problem = err.Error()
		return v, nil
	}
	v.OK = err == nil
	return v, err
}

func newStoreStatsCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Figures about the store: sizes and counts",
		Example: "  smgw store stats",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.look(func(c *control.Client) error {
				var s buffer.Stats
				if err := c.Do(cmd.Context(), http.MethodGet, control.StatsPath, &s); err != nil {
					return err
				}
				if asJSON {
					return writeLine(cmd.OutOrStdout(), s)
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintf(t, "store\t%s\n", s.Path)
				fmt.Fprintf(t, "size\t%d kB, of which %d kB in use; the limit is %d kB\n", s.FileBytes/1000, s.UsedBytes/1000, s.LimitBytes/1000)
				fmt.Fprintf(t, "boundary readings\t%d\n", s.Boundaries)
				fmt.Fprintf(t, "items\t%d, of which %d wait and %d are set aside\n", s.Items, s.Waiting, s.SetAside)
				fmt.Fprintf(t, "journal\t%d entries\n", s.Journal)
				return t.Flush()
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}

func newStoreDumpCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print every record of the store, one a line",
		Long: `Dump prints every record: boundary readings, items of the outbox, how far each
series is built, contracts, losses, and the journal. It shows measured values, so
the journal tells who looked.`,
		Example: "  smgw store dump --json > store.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.look(func(c *control.Client) error {
				if asJSON {
					return copyAnswer(cmd, c, control.DumpPath)
				}
				return control.Each(cmd.Context(), c, control.DumpPath, func(record map[string]json.RawMessage) error {
					for kind, fields := range record { // it has one
						if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-9s %s\n", kind, flatten(fields)); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	return cmd
}

// copyAnswer writes an answer as it comes.
func copyAnswer(cmd *cobra.Command, c *control.Client, path string) error {
	body, err := c.Ask(cmd.Context(), http.MethodGet, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(cmd.OutOrStdout(), body); err != nil {
		return fmt.Errorf("the answer was cut off: %w", err)
	}
	return nil
}

// flatten writes a JSON object as name=value, in its order; nulls are left out.
func flatten(object []byte) string {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token() // {
	var all []string
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		text := string(value)
		if text == "null" {
			continue
		}
		if plain := strings.Trim(text, `"`); len(plain) == len(text)-2 && !strings.ContainsAny(plain, " \\\"") {
			text = plain
		}
		all = append(all, fmt.Sprintf("%s=%s", name, text))
	}
	return strings.Join(all, " ")
}

func newStoreCompactCommand() *cobra.Command {
	var w where
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Write the store anew without its free pages",
		Long: `Compact writes the store anew without its free pages. The new file takes the old
one's name when it is whole and on the disk, which must have room for both. The
agent does this by itself when it is worth while.`,
		Example: "  smgw store compact",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.act(func(c *control.Client) error {
				var done control.Compacted
				if err := c.Do(cmd.Context(), http.MethodPost, control.CompactPath, &done); err != nil {
					return err
				}
				if asJSON {
					return writeLine(cmd.OutOrStdout(), done)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s had %d kB and has %d kB\n", done.Path, done.Before/1000, done.After/1000)
				return err
			})
		},
	}
	w.gatewayFlag(cmd)
	cmd.Flags().StringVar(&w.file, "file", "", "compact this store `file` instead")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}
