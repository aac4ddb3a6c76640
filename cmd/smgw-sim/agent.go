package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
	"smgw/cmd/internal/config"
)

func newAgentCommand() *cobra.Command {
	var path, zero string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent on a clock that is stepped by the telegrams",
		Long: `Agent is the same wiring as "smgw run", but its clock stands still between
telegrams and steps to --zero plus the seconds index of each. So the simulated
meter can run as fast as the agent reads, and the agent can be killed and
started again in fast time. It needs a meter that sends a seconds index, such as
"smgw-sim meter --fast".`,
		Example: "  smgw-sim agent --config smgw.toml --zero 2026-09-28T00:00:00+02:00",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			start, err := time.Parse(time.RFC3339, zero)
			if err != nil {
				return fmt.Errorf("--zero %q: want an instant such as 2026-10-23T00:00:00+02:00: the one at which the meter's seconds index was 0", zero)
			}
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			log, end := cli.NewLog(cmd.ErrOrStderr())
			defer end()
			return agent.Serve(cmd.Context(), c, agent.NewSteppedClock(start), log, true)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", config.DefaultPath, "the gateway's configuration `file`")
	cmd.Flags().StringVar(&zero, "zero", "", "the `instant` at which the meter's seconds index was 0, RFC 3339 (needed)")
	cmd.MarkFlagRequired("zero")
	return cmd
}
