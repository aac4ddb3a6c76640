package main

import (
	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
	"smgw/cmd/internal/config"
)

func newRunCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent until it is told to stop (SIGTERM)",
		Long: `Run reads the meters, keeps their boundary readings, builds what the form says
and delivers it, until it gets SIGTERM or SIGINT. The log goes to standard error.`,
		Example: "  smgw run --config smgw.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			log, end := cli.NewLog(cmd.ErrOrStderr())
			defer end()
			return agent.Serve(cmd.Context(), c, &agent.SystemClock{}, log, false)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// configFlag is the --config of every verb that needs the gateway's file.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", config.DefaultPath, "the gateway's configuration `file`")
}
