package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"smgw/meter"
	"smgw/sml"
)

// newDecodeCommand is `smgw decode`: what a meter says, from a recording or
// from its port, without any configuration.
func newDecodeCommand() *cobra.Command {
	var d decoding
	command := &cobra.Command{
		Use:   "decode FILE|PORT|-",
		Short: "Show what a meter says: from a recording, standard input or a port",
		Long: `Decode shows what a meter says, without any configuration: the newest telegram in a
table, or with --json everything that came, one object a line.

At a port (/dev/ttyUSB0, usb:SERIAL, serial:/path, tcp://host:port) it waits for the first
telegram and says what to do where none comes; with --follow it goes on.`,
		Example: `  smgw decode /dev/ttyUSB0
  smgw decode --follow /dev/ttyUSB0
  smgw decode --json recording.bin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	command.Flags().BoolVar(&d.json, "json", false, "one JSON object a line: telegrams, what was rejected, a summary")
	command.Flags().BoolVar(&d.follow, "follow", false, "go on and show each telegram as it comes")
	command.Flags().DurationVar(&d.wait, "wait", 10*time.Second, "how long to wait at a port for the first telegram")
	return command
}

// decoding is one run of the verb.
type decoding struct {
	json   bool
	follow bool
	wait   time.Duration
}

// display is where telegrams and refusals go: lines of JSON or a table.
type display interface {
	telegram(t *meter.Telegram)
	rejected(r *sml.RefusedError)
	end(bytes int64) error
}

func (d decoding) run(ctx context.Context, out io.Writer, spec string) error {
	source, err := meter.ParseSource(spec)
	if err != nil {
		return err
	}
	live := source.Live()
	input, err := source.Open(ctx)
	if err != nil {
		return explainOpen(source, err)
	}
	heard := &listener{r: input}
	var timedOut atomic.Bool
	closeInput := func() { input.Close() }
	defer context.AfterFunc(ctx, closeInput)()
	if live {
		limit := time.AfterFunc(d.wait, func() {
			timedOut.Store(true)
			input.Close()
		})
		defer limit.Stop()
		heard.found = func() { limit.Stop() }
	} else {
		defer input.Close()
	}

	buffered := bufio.NewWriter(out)
	var show display = &table{out: buffered, follow: d.follow, redraw: d.follow && isTerminal(out)}
	if d.json {
		show = newLines(buffered)
	}
	// A person or a program at the other end waits for each line of a port.
	flush := func() error { return nil }
	if live || d.follow {
		flush = buffered.Flush
	}
	err = d.read(heard, show, flush, live && !d.follow)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errEnough), ctx.Err() != nil:
		err = nil
	case timedOut.Load():
		err = heard.explainSilence(source, d.wait)
	case live:
		err = fmt.Errorf("reading %s: %w", source, err)
	default:
		return fmt.Errorf("reading %s: %w", source, err)
	}
	if e := show.end(heard.bytes); e != nil && err == nil {
		err = e
	}
	if !d.json && !live && !heard.telegram {
		fmt.Fprintln(buffered, heard.explainRecording())
	}
	if e := buffered.Flush(); e != nil && err == nil {
		err = e
	}
	return err
}

// errEnough ends the reading of a port once there is a telegram.
var errEnough = errors.New("a telegram has come")

// read reads until the stream's end, or until the first telegram if one is enough.
func (d decoding) read(heard *listener, show display, flush func() error, one bool) error {
	frames := sml.NewReader(heard)
	var decoder meter.Decoder
	for {
		frame, err := frames.Next()
		var refused *sml.RefusedError
		switch {
		case errors.As(err, &refused):
			show.rejected(refused)
			heard.refused(refused)
		case err != nil:
			return err
		default:
			t, rejected := decoder.Decode(frame)
			if t.OK {
				show.telegram(&t)
				heard.telegram = true
				if heard.found != nil {
					heard.found()
				}
			}
			for _, r := range rejected {
				show.rejected(r)
				heard.refused(r)
			}
			if t.OK && one {
				return errEnough
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
