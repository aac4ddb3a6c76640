// Command smgw-sim is the bench: simulated meter, reference head-end, development
// PKI, stepped agent and demo. It is never shipped to a gateway.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
)

var version string // set by the linker, see the Makefile

func main() { os.Exit(run()) }

// run is main with an exit status instead of an exit, for the script tests.
func run() int { return cli.Run(newRootCommand()) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "smgw-sim",
		Short:         "The bench of smgw: simulated meter, reference head-end, development PKI, stepped agent, demo",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newDemoCommand(),
		newMeterCommand(),
		newHeadEndCommand(),
		newPKICommand(),
		newAgentCommand(),
		agent.NewCheckStoreCommand(),
	)
	cli.Finish(root, version)
	return root
}
