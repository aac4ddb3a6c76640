package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter/form"
)

// where says whose store a verb looks into: that of the agent which runs on a
// configuration, the same at rest, or a file that somebody brought along.
type where struct {
	config, file string
	signed       bool // config names the gateway that file is from
}

func (w *where) flags(cmd *cobra.Command) {
	w.gatewayFlag(cmd)
	cmd.Flags().StringVar(&w.file, "file", "", "look into this store `file` instead: a copy, or one that was set aside; nothing is written to it")
}

// gatewayFlag is for verbs that act, and so on the gateway's own store alone.
func (w *where) gatewayFlag(cmd *cobra.Command) { configFlag(cmd, &w.config) }

// look asks the running agent, or where none runs, the store itself.
func (w *where) look(ask func(*control.Client) error) error {
	return w.open(false, ask)
}

// act is look for what writes to the store.
func (w *where) act(ask func(*control.Client) error) error {
	return w.open(true, ask)
}

func (w *where) open(write bool, ask func(*control.Client) error) error {
	if w.file != "" {
		rest, err := agent.OpenFile(w.file, write)
		if err != nil {
			return err
		}
		if w.signed {
			c, err := config.Load(w.config)
			if err != nil {
				return errors.Join(err, rest.Close())
			}
			rest.Keys = agent.SignatureKeysOf(c)
		}
		return within(rest, ask)
	}
	c, err := config.Load(w.config)
	if err != nil {
		return err
	}
	socket := agent.SocketPath(c)
	if runs, err := control.Answers(socket); err != nil {
		return err
	} else if runs {
		return ask(control.Dial(socket))
	}
	rest, err := agent.OpenRest(c, write)
	if err != nil {
		return err
	}
	return within(rest, ask)
}

// askGateway asks the agent that runs on a configuration, or where none runs its
// store, and says who answered: "agent" or "store"; "" where there is no store
// either, and nothing was asked.
func askGateway(c *config.Config, ask func(*control.Client) error) (answered string, err error) {
	socket := agent.SocketPath(c)
	if runs, err := control.Answers(socket); err != nil {
		return "", err
	} else if runs {
		return "agent", ask(control.Dial(socket))
	}
	if _, err := os.Stat(agent.StorePath(c)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	rest, err := agent.OpenRest(c, false)
	if err != nil {
		return "", err
	}
	return "store", within(rest, ask)
}

func within(rest *agent.Rest, ask func(*control.Client) error) (err error) {
	defer func() { err = errors.Join(err, rest.Close()) }()
	return ask(control.Within(rest.Handler(), "store "+rest.Store.Path()))
}

// parseMoment reads an instant, or a local day: its first moment, or with end
// its last, which is the first of the next.
func parseMoment(flag, text string, end bool) (string, error) {
	if text == "" {
		return "", nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		day, derr := form.ParseDate(text)
		if derr != nil {
			return "", fmt.Errorf("--%s %q: want a day such as 2026-10-25, or an instant such as 2026-10-25T00:15:00Z", flag, text)
		}
		if end {
			day = day.AddDays(1)
		}
		t = day.At(0, 0)
	}
	return t.UTC().Format(time.RFC3339), nil
}

// moment is an instant for people.
func moment(t time.Time) string { return t.In(form.Berlin).Format("2006-01-02 15:04:05") }

// sentence joins what is not empty.
func sentence(parts ...string) string {
	var all []string
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, " ")
}
