package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
)

// farewell is one run of `smgw decommission`.
type farewell struct {
	config  *config.Config
	in      io.Reader
	out     io.Writer // for people; with asJSON nobody reads it
	lines   io.Writer // for programs
	log     io.Writer
	yes     bool
	force   bool
	asJSON  bool
	timeout time.Duration
	export  string
}

func newDecommissionCommand() *cobra.Command {
	var path string
	f := &farewell{}
	cmd := &cobra.Command{
		Use:   "decommission",
		Short: "End this gateway's work: send the last payloads, then erase its keys and data",
		Long: `Decommission ends a gateway's work. It takes no more readings, builds what is due up
to the last boundary that it has a reading of (the parts of days and months, and rows
2 or 3 as of a device that is taken over), and waits until the head-end has
acknowledged everything. Then it overwrites and removes its keys, its certificates
and its store, says so file by file, and leaves the configuration. Nothing is erased
before everything is acknowledged, unless --force is given.

Interrupted, it goes on when it is run again. A running agent does this and ends with
exit status 0; where none runs, this command runs one for that time. Afterwards
"smgw run" says that the gateway was decommissioned.`,
		Example: `  smgw decommission --export readings.csv`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if f.timeout < 0 {
				return fmt.Errorf("--timeout %s: want no less than 0s", f.timeout)
			}
			if f.config, err = config.Load(path); err != nil {
				return err
			}
			f.in, f.out, f.lines, f.log = cmd.InOrStdin(), cmd.OutOrStdout(), io.Discard, cmd.ErrOrStderr()
			if f.asJSON {
				f.out, f.lines = io.Discard, cmd.OutOrStdout()
			}
			return f.run(cmd.Context())
		},
	}
	configFlag(cmd, &path)
	flags := cmd.Flags()
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.force, "force", false, "erase even what the head-end has not acknowledged when --timeout is over")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "how long to wait for acknowledgements")
	flags.StringVar(&f.export, "export", "", "write the customer's readings to this new `file` before")
	flags.BoolVar(&f.asJSON, "json", false, "one JSON object a line: how far it is, and last what was erased")
	return cmd
}

func (f *farewell) run(ctx context.Context) error {
	marker, err := agent.ReadMarker(f.config)
	if err != nil {
		return err
	}
	if marker != nil && marker.Erased {
		fmt.Fprintf(f.out, "gateway %s was decommissioned at %s by %s: there is nothing left to do\n", marker.Gateway, moment(marker.At), marker.By)
		return nil
	}
	if f.export != "" {
		if marker != nil {
			return fmt.Errorf("--export %s: erasing has begun, and was cut off: what is left of the readings is read with smgw export --file %s, before smgw decommission without --export goes on", f.export, agent.StorePath(f.config))
		}
		if _, err := os.Lstat(f.export); err == nil {
			return fmt.Errorf("--export %s: the file exists: name a new one", f.export)
		}
	}
	if err := f.confirm(ctx); err != nil {
		return err
	}
	if marker != nil { // it was cut off while it erased
		erased, err := agent.Erase(f.config, nil, marker.By, marker.At)
		return errors.Join(f.say(&erased, err), err)
	}
	socket := agent.SocketPath(f.config)
	runs, err := control.Answers(socket)
	if err != nil {
		return err
	}
	if runs {
		return f.sayGoodbye(ctx, control.Dial(socket))
	}
	return f.withOwnAgent(ctx, socket)
}

// confirm says what will happen and asks whether it shall.
func (f *farewell) confirm(ctx context.Context) error {
	fmt.Fprintf(f.out, `Gateway %s ends its work:
  it takes no more readings, builds what is due up to its last reading, and waits until the head-end has it;
  then keys and certificates in %s and all readings in %s* are erased for good;
  %s is left.
`, f.config.Gateway.ID, agent.IdentityDir(f.config), agent.StorePath(f.config), f.config.File)
	if f.yes {
		return nil
	}
	if !terminal(f.in) {
		return errors.New("nobody can be asked, because standard input is no terminal: want --yes")
	}
	fmt.Fprintf(f.out, "Type the gateway's id to go on: ")
	typed := make(chan error, 1)
	go func() { // a signal does not end the reading of a terminal
		line, err := bufio.NewReader(f.in).ReadString('\n')
		switch {
		case err != nil && !errors.Is(err, io.EOF):
		case strings.TrimSpace(line) != f.config.Gateway.ID:
			err = errors.New("that is not the gateway's id: nothing was changed")
		default:
			err = nil
		}
		typed <- err
	}()
	select {
	case err := <-typed:
		return err
	case <-ctx.Done():
		fmt.Fprintln(f.out)
		return fmt.Errorf("interrupted: nothing was changed: %w", ctx.Err())
	}
}

func terminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// withOwnAgent runs an agent for as long as it takes.
func (f *farewell) withOwnAgent(ctx context.Context, socket string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ended := make(chan error, 1)
	go func() { ended <- agent.Serve(ctx, f.config, &agent.SystemClock{}, log, false) }()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
			if err == nil {
				err = errors.New("the agent ended at once")
			}
			if f.force {
				return f.eraseUndelivered(ctx, err)
			}
			return fmt.Errorf("no agent runs, and none can be run to deliver what is due: %w; with --force its data are erased all the same", err)
		case <-tick.C:
		}
		if runs, err := control.Answers(socket); err == nil && runs {
			tick.Stop()
			break
		}
	}
	err := f.sayGoodbye(ctx, control.Dial(socket))
	stop()
	return errors.Join(err, <-ended)
}

// eraseUndelivered erases what no agent can deliver.
func (f *farewell) eraseUndelivered(ctx context.Context, why error) error {
	rest, err := agent.OpenRest(f.config, true)
	if errors.Is(err, buffer.ErrInUse) {
		return err
	}
	var store *buffer.Store // a damaged or an absent one says nothing of what is lost
	if err == nil {
		store = rest.Store
	}
	if f.export != "" {
		if err == nil {
			err = f.exportMeters(ctx, control.Within(rest.Handler(), "the store"))
		}
		if err != nil {
			if store != nil {
				err = errors.Join(err, store.Close())
			}
			return fmt.Errorf("%w; nothing is erased: without --export it is", err)
		}
	}
	who := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	erased, err := agent.Erase(f.config, store, who, time.Now())
	erased.Unbuilt = why.Error()
	return errors.Join(f.say(&erased, err), err)
}

// sayGoodbye has the agent do its last work and end.
func (f *farewell) sayGoodbye(ctx context.Context, c *control.Client) error {
	if !f.force {
		if err := undated(ctx, c); err != nil {
			return err
		}
	}
	var state control.Farewell
	if err := c.Do(ctx, http.MethodPost, control.DecommissionPath, &state); err != nil {
		return err
	}
	if f.export != "" {
		if err := f.exportReadings(ctx, c, state.End); err != nil {
			return fmt.Errorf("%w; nothing is erased: run smgw decommission again to go on", err)
		}
	}
	done, err := f.await(ctx, c, &state)
	if err != nil {
		return err
	}
	query := ""
	if !done {
		if !f.force {
			return f.stillWaiting(ctx, c, &state)
		}
		query = "?force=1"
	}
	var erased control.Erased
	err = c.Do(ctx, http.MethodPost, control.DecommissionPath+"/erase"+query, &erased)
	return errors.Join(f.say(&erased, err), err)
}

// undated refuses to end an agent whose readings wait for the clock: they lie in
// memory alone.
func undated(ctx context.Context, c *control.Client) error {
	var s control.Status
	if err := c.Do(ctx, http.MethodGet, control.StatusPath, &s); err != nil {
		return err
	}
	for _, m := range s.Meters {
		if m.Undated > 0 {
			return fmt.Errorf("readings of meter %q wait in memory until the clock is right, and would be lost; nothing is erased: set the clock and run smgw decommission again, or lose them with --force", m.Name)
		}
	}
	return nil
}

// await waits until everything is acknowledged, and is true then.
func (f *farewell) await(ctx context.Context, c *control.Client, state *control.Farewell) (bool, error) {
	over := time.NewTimer(f.timeout)
	defer over.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		waiting, setAside := state.Waits()
		if line := progress(state); line != said {
			said = line
			fmt.Fprintln(f.out, line)
			if err := writeLine(f.lines, state); err != nil {
				return false, err
			}
		}
		if state.Built && waiting == 0 {
			return setAside == 0, nil // what was refused no patience helps
		}
		select {
		case <-ctx.Done():
			return false, interrupted(ctx)
		case <-over.C:
			return false, nil
		case <-tick.C:
		}
		*state = control.Farewell{}
		if err := c.Do(ctx, http.MethodGet, control.DecommissionPath, state); err != nil {
			return false, err
		}
	}
}

func interrupted(ctx context.Context) error {
	return fmt.Errorf("interrupted: nothing is erased; run smgw decommission again to go on: %w", ctx.Err())
}

func progress(state *control.Farewell) string {
	if !state.Built {
		return sentence("building what is due up to", moment(state.End.Time()), state.Problem)
	}
	var parts []string
	for _, e := range state.Endpoints {
		part := fmt.Sprintf("%d wait for %s", e.Waiting, e.Endpoint)
		if e.SetAside > 0 {
			part += fmt.Sprintf(", %d were refused", e.SetAside)
		}
		if e.LastError != "" && e.Waiting > 0 {
			part += " (" + e.LastError + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "everything is acknowledged"
	}
	return "payloads: " + strings.Join(parts, "; ")
}

// stillWaiting says what keeps the gateway from ending.
func (f *farewell) stillWaiting(ctx context.Context, c *control.Client, state *control.Farewell) error {
	if !state.Built {
		return errors.New("what is due is not built yet: nothing is erased; run smgw decommission again to go on")
	}
	err := control.Each(ctx, c, control.OutboxPath, func(it control.Item) error {
		_, err := fmt.Fprintf(f.out, "  %s  %s\n", it.State, describeItem(&it))
		return err
	})
	if err != nil {
		return err
	}
	waiting, setAside := state.Waits()
	hint := "run smgw decommission again to go on waiting; with --force it is lost"
	if setAside > 0 {
		hint = "decide about what was refused with smgw outbox, and run smgw decommission again; with --force it is lost"
	}
	return fmt.Errorf("%d payloads wait and %d were refused: nothing is erased; %s", waiting, setAside, hint)
}

func describeItem(it *control.Item) string {
	span := sentence("from", it.Label["from"], "until", it.Label["until"])
	if at := it.Label["moment"]; at != "" {
		span = "at " + at
	}
	return sentence("row", it.Label["row"], "of", it.Label["malo"], "for", it.Label["to"], span+",", "id", it.ID, it.LastError)
}

// exportMeters writes what is kept of each meter to a new file.
func (f *farewell) exportMeters(ctx context.Context, c *control.Client) error {
	for _, m := range f.config.Meters {
		query, path := url.Values{"format": {"csv"}, "meter": {m.Name}, "columns": {"reason,server_id"}}, f.exportOf(m.Name)
		if err := saveAnswer(ctx, c, control.ReadingsPath+"?"+query.Encode(), path); err != nil {
			return fmt.Errorf("exporting the readings of meter %s: %w", m.Name, err)
		}
		fmt.Fprintf(f.out, "wrote the readings of meter %s to %s\n", m.Name, path)
	}
	return nil
}

// exportOf is the file of a meter's readings.
func (f *farewell) exportOf(name string) string {
	if len(f.config.Meters) == 1 {
		return f.export
	}
	return strings.TrimSuffix(f.export, ".csv") + "-" + name + ".csv"
}

// exportReadings exports, and says how the gateway that follows takes that over.
func (f *farewell) exportReadings(ctx context.Context, c *control.Client, end meter.Quarter) error {
	var s control.Status
	if err := c.Do(ctx, http.MethodGet, control.StatusPath, &s); err != nil {
		return err
	}
	if err := f.exportMeters(ctx, c); err != nil {
		return err
	}
	var takeover []string
	for _, m := range f.config.Meters {
		command := "  smgw import " + f.exportOf(m.Name)
		if len(f.config.Meters) > 1 {
			command += " --meter " + m.Name
		}
		// Where this gateway ends is the last reading of all its meters.
		if slices.ContainsFunc(s.Meters, func(x control.MeterStatus) bool {
			return x.Name == m.Name && x.LastBoundary != nil && *x.LastBoundary == end
		}) {
			command += " --handover"
		}
		takeover = append(takeover, command)
	}
	if end != 0 {
		fmt.Fprintf(f.out, "at the gateway that follows, on the day of its installation and after its first reading:\n%s\n", strings.Join(takeover, "\n"))
	}
	return nil
}

func saveAnswer(ctx context.Context, c *control.Client, path, file string) (err error) {
	body, err := c.Ask(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer body.Close()
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, body)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// say says what was erased, what was lost and what is left.
func (f *farewell) say(e *control.Erased, err error) error {
	if err != nil && len(e.Files) == 0 {
		return nil
	}
	for _, file := range e.Files {
		if file.Problem != "" {
			fmt.Fprintf(f.out, "NOT erased: %s: %s\n", file.Path, file.Problem)
		} else {
			fmt.Fprintf(f.out, "erased %s, %d bytes\n", file.Path, file.Bytes)
		}
	}
	if e.Unbuilt != "" {
		fmt.Fprintf(f.out, "LOST, never built: what was due up to the last reading: %s\n", e.Unbuilt)
	}
	for i := range e.Lost {
		fmt.Fprintf(f.out, "LOST, never acknowledged: %s\n", describeItem(&e.Lost[i]))
	}
	for _, event := range e.Events {
		whom := concerned(&event)
		fmt.Fprintf(f.out, "FORGOTTEN: %s of %s, %s, lies after the end: tell it to the gateway that follows\n", strings.ReplaceAll(event.Kind, "_", "-"), whom, moment(event.At.Time()))
	}
	for _, path := range e.Left {
		fmt.Fprintf(f.out, "left %s\n", path)
	}
	fmt.Fprintf(f.out, `Each file was overwritten before it was removed. On flash that is no proof: wear
levelling may keep remnants until the blocks are used again. Destroy the medium where
that matters.
Gateway %s is decommissioned; %s says so.
`, e.Gateway, e.Marker)
	if err := writeLine(f.lines, e); err != nil {
		return err
	}
	failed := 0
	for _, file := range e.Files {
		if file.Problem != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d files are not erased: mend the cause and run smgw decommission again", failed)
	}
	return nil
}
