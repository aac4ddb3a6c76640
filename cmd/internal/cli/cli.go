// Package cli is what the command lines of smgw and smgw-sim have in common:
// how they run and end, how they refuse what was typed wrongly, how they say who may do what, and
// which version they are.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Run runs a program until it ends or gets SIGINT or SIGTERM, says on standard
// error why it failed, and returns its exit status.
func Run(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", root.Name(), explain(err))
		return 1
	}
	return 0
}

// Finish gives a tree of commands what each of them needs, once all are added:
// a verb that does not exist, an argument that nobody takes, a flag without a
// unit and an empty path are refused in words that say what would be right.
// version is what the linker set, or nothing.
func Finish(root *cobra.Command, version string) {
	root.Version = versionOr(version)
	root.AddCommand(newVersionCommand(root))
	root.SetFlagErrorFunc(explainFlag)
	finish(root)
}

func finish(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
	switch {
	case cmd.Runnable():
		cmd.Args = explainArgs(cmd.Args)
	case cmd.HasParent(): // of the root cobra takes care
		cmd.Args, cmd.RunE, cmd.DisableFlagsInUseLine = cobra.ArbitraryArgs, runGroup, true
	}
}

// runGroup is what a command does that only has others below it.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownVerb(cmd, args[0])
}

func unknownVerb(cmd *cobra.Command, name string) error {
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q: want %s", name, cmd.CommandPath(), strings.Join(known, ", "))
}

// explainArgs wraps what a command says of its arguments.
func explainArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return errors.Join(emptyPath(cmd.Flags()), missingFlags(cmd), contraryFlags(cmd.Flags()))
		case len(args) == 0:
			return fmt.Errorf("%w: want %s", err, cmd.UseLine())
		case cmd.HasAvailableSubCommands():
			return unknownVerb(cmd, args[0])
		case cmd.Flags().Lookup("config") != nil && (strings.HasSuffix(args[0], ".toml") || check(cmd, nil) == nil):
			return fmt.Errorf("%s takes no argument %q: the configuration is named with a flag, want --config %s", cmd.CommandPath(), args[0], args[0])
		case check(cmd, nil) == nil:
			return fmt.Errorf("%s takes no argument %q: want %s", cmd.CommandPath(), args[0], cmd.UseLine())
		}
		return fmt.Errorf("%w: want %s", err, cmd.UseLine())
	}
}

// emptyPath refuses --dir "" and the like: nobody means the current folder by
// it, but a script whose variable is not set says it.
func emptyPath(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		what, _ := pflag.UnquoteUsage(f)
		what = strings.ToLower(what)
		if f.Value.String() == "" && slices.Contains([]string{"folder", "file", "path"}, what) {
			err = fmt.Errorf("--%s is empty: want a %s", f.Name, what)
		}
	})
	return err
}

// missingFlags names the flags that a command cannot do without, before cobra does.
func missingFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, needed := f.Annotations[cobra.BashCompOneRequiredFlag]; needed && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	if missing == nil {
		return nil
	}
	return fmt.Errorf("needs %s: want %s", strings.Join(missing, ", "), cmd.UseLine())
}

// contraryFlags refuses flags that exclude each other, before cobra does.
func contraryFlags(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations["cobra_annotation_mutually_exclusive"] {
			var given []string
			for _, name := range strings.Fields(group) {
				if flags.Changed(name) {
					given = append(given, "--"+name)
				}
			}
			if len(given) > 1 {
				err = fmt.Errorf("%s exclude each other: want one of them", strings.Join(given, " and "))
			}
		}
	})
	return err
}

// explainFlag says what a value should be, in place of Go's parser, and where
// the flags are listed.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w: %s --help lists those there are", err, cmd.CommandPath())
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	switch f.Value.Type() {
	case "duration":
		example := "10s"
		if f.DefValue != "0s" {
			example = f.DefValue
		}
		return fmt.Errorf("--%s %q: want a number with its unit, such as %s", f.Name, invalid.GetValue(), example)
	case "int", "int64", "uint64":
		return fmt.Errorf("--%s %q: want a whole number", f.Name, invalid.GetValue())
	case "float64":
		return fmt.Errorf("--%s %q: want a number", f.Name, invalid.GetValue())
	}
	return err
}
