package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"smgw/cmd/internal/headend"
	"smgw/meter/form"
)

func newHeadEndCommand() *cobra.Command {
	var (
		options headend.Options
		faults  faultFlags
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "headend",
		Short: "The reference head-end: takes payloads over mutual TLS, and misbehaves on demand",
		Long: `Headend prints its endpoint on one line when it listens, and runs until it gets
SIGTERM or SIGINT. Its folder is made by smgw-sim pki init, and gateways are enrolled
by smgw-sim pki enrol, which needs no restart. The log goes to standard error.`,
		Example: `  smgw-sim headend --dir ./headend --listen 127.0.0.1:8443 --control ./headend.sock
  smgw-sim headend fault --control ./headend.sock --status 503 --retry-after 30s --times 2
  smgw-sim headend deliveries --control ./headend.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.Faults = faults.faults()
			if !quiet {
				options.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			}
			h, err := headend.Open(options)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), h.Endpoint())
			<-cmd.Context().Done()
			return h.Close()
		},
	}
	cmd.Flags().StringVar(&options.Dir, "dir", "headend", "the head-end's `folder`")
	cmd.Flags().StringVar(&options.Listen, "listen", "127.0.0.1:0", "`address` and port; port 0 takes a free one")
	cmd.Flags().StringVar(&options.Control, "control", "", "`path` of a control socket")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no log")
	faults.flags(cmd.Flags())
	cmd.AddCommand(newHeadEndFaultCommand(), newHeadEndDeliveriesCommand())
	return cmd
}

// faultFlags are headend.Faults on the command line.
type faultFlags struct {
	headend.Faults
	slow, retryAfter time.Duration
}

func (f *faultFlags) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.Down, "down", false, "refuse connections and cut those there are")
	flags.DurationVar(&f.slow, "slow", 0, "wait so long before looking at a request")
	flags.IntVar(&f.Status, "status", 0, "answer every request with this status, 300 to 599")
	flags.DurationVar(&f.retryAfter, "retry-after", 0, "send Retry-After with --status")
	flags.BoolVar(&f.LoseAck, "lose-ack", false, "store, then cut the connection in place of an answer")
	flags.IntVar(&f.Times, "times", 0, "misbehave for so many requests only")
}

func (f *faultFlags) faults() headend.Faults {
	f.Slow, f.RetryAfter = headend.Pause(f.slow), headend.Pause(f.retryAfter)
	return f.Faults
}

func newHeadEndFaultCommand() *cobra.Command {
	var (
		socket string
		faults faultFlags
	)
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Tell a running head-end how to misbehave; without a fault: to behave again",
		Example: `  smgw-sim headend fault --control ./headend.sock --down
  smgw-sim headend fault --control ./headend.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return headend.NewControl(socket).SetFaults(cmd.Context(), faults.faults())
		},
	}
	cmd.Flags().StringVar(&socket, "control", "", "`path` of its control socket")
	cmd.MarkFlagRequired("control")
	faults.flags(cmd.Flags())
	return cmd
}

func newHeadEndDeliveriesCommand() *cobra.Command {
	var (
		socket, dir string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List what was delivered: from a running head-end (--control) or from one at rest (--dir)",
		Example: `  smgw-sim headend deliveries --control ./headend.sock
  smgw-sim headend deliveries --dir ./headend --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := readDeliveries(cmd.Context(), socket, dir)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				for _, d := range all {
					if err := encoder.Encode(d); err != nil {
						return err
					}
				}
				return nil
			}
			return printDeliveries(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().StringVar(&socket, "control", "", "`path` of a running head-end's control socket")
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a head-end that does not run")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line, each with its payload in CBOR (base64)")
	cmd.MarkFlagsMutuallyExclusive("control", "dir")
	return cmd
}

func readDeliveries(ctx context.Context, socket, dir string) ([]headend.Delivery, error) {
	switch {
	case socket == "" && dir == "":
		return nil, errors.New("of which head-end? want --control SOCKET for one that runs, or --dir FOLDER for one at rest")
	case socket != "":
		return headend.NewControl(socket).Deliveries(ctx)
	}
	return headend.Dump(dir)
}

func printDeliveries(w io.Writer, all []headend.Delivery) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "received\tgateway\trow\tmalo\tto\tfrom\tuntil\tbytes\tid")
	for _, d := range all {
		p := d.Payload
		day := func(t time.Time) string { return t.In(form.Berlin).Format(time.DateOnly) }
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%s\n", d.Received.Format(time.DateTime), p.Gateway, p.Row, p.MaLo, p.To, day(p.Period.From.Time()), day(p.Period.To.Time()), d.Bytes, d.ID)
	}
	return table.Flush()
}
