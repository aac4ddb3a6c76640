package main

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
)

func newStatusCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how the running agent is: meter, clock, store, what waits for whom",
		Example: "  smgw status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			var s control.Status
			err = control.Get(cmd.Context(), agent.SocketPath(c), control.StatusPath, &s)
			if errors.Is(err, control.ErrNoAgent) {
				err = cmp.Or(agent.RefuseDecommissioned(c), err)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), &s)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, for programs")
	return cmd
}
