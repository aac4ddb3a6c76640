// Command smgw is the agent on a smart meter gateway, and every verb that an
// installer or a field technician needs there.
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
		Use:           "smgw",
		Short:         "The agent of a smart meter gateway: reads the meter, delivers what the form after § 54 MsbG says",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newIdentityCommand(),
		newCheckCommand(),
		newRunCommand(),
		newStatusCommand(),
		newExportCommand(),
		newJournalCommand(),
		newOutboxCommand(),
		newEventCommand(),
		newImportCommand(),
		newDecommissionCommand(),
		newStoreCommand(),
		newDecodeCommand(),
		newFormCommand(),
		agent.NewCheckStoreCommand(),
	)
	cli.Finish(root, version)
	return root
}
