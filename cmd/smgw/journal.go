package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
)

func newJournalCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "List what left the house and who looked, from the running agent",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			return control.Journal(cmd.Context(), agent.SocketPath(c), func(e buffer.Entry) error {
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
				}
				var details []string
				for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
					details = append(details, name+"="+e.Detail[name])
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%6d  %s  %-14s  %s\n",
					e.Seq, e.At.In(form.Berlin).Format("2006-01-02 15:04:05"), e.Kind, strings.Join(details, " "))
				return err
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for programs")
	return cmd
}
