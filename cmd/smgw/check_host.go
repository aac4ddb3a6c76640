package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"smgw/board"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/cli"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/tls/identity"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// warnings compares a right configuration with this computer as it is now.
// None of them makes the configuration wrong: a reader may be plugged in later.
func warnings(c *config.Config, now time.Time) []string {
	var all []string
	warn := func(format string, a ...any) { all = append(all, fmt.Sprintf(format, a...)) }
	ports := new(meter.Ports)
	for _, m := range c.Meters {
		source, err := ports.ParseSource(m.Port)
		if err != nil {
			warn("meter %q: %v", m.Name, err)
			continue
		}
		for _, w := range portWarnings(ports, source) {
			warn("meter %q: %s", m.Name, w)
		}
	}
	for _, m := range c.Idle() {
		warn("meter %q is read, but no market location is measured by it", m.Name)
	}
	if device := c.Watchdog.Device; device != "" {
		if _, err := os.Stat(device); err != nil {
			warn("the agent will run without the board's watchdog: %v", err)
		}
	}
	if fi, err := os.Stat(c.Gateway.StateDir); errors.Is(err, fs.ErrNotExist) {
		warn("the state folder %s is not there yet; smgw run makes it", c.Gateway.StateDir)
		warnUnwritable(warn, nearestFolder(c.Gateway.StateDir))
	} else if err != nil {
		warn("the state folder: %v", err)
	} else if !fi.IsDir() {
		warn("the state folder %s is a file; remove it, or set another state_dir", c.Gateway.StateDir)
	} else {
		warnUnwritable(warn, c.Gateway.StateDir)
	}
	if socket := agent.SocketPath(c); len(socket) > socketPathLimit {
		warn("smgw run will not start: the path of its control socket, %s, has %d bytes, and a socket's may have %d; choose a state_dir that is shorter", socket, len(socket), socketPathLimit)
	}
	for _, w := range identityWarnings(c, now) {
		warn("identity: %s", w)
	}
	if err := board.Probe(c.Board); err != nil {
		warn("the agent will run without what hangs on this: %v", err)
	}
	if clock, err := board.ClockState(); err != nil {
		warn("%v", err)
	} else if !clock.Synchronised {
		warn("the clock is not synchronised: until it is, readings wait in memory or are marked unusable (reason ZA0), and nothing is built; give the gateway a time server")
	}
	return all
}

// meterWarnings compares the contract with what the meters say of themselves:
// the running agent knows. Without one there is nothing to compare.
func meterWarnings(ctx context.Context, c *config.Config) (all []string) {
	var s control.Status
	if err := control.Get(ctx, agent.SocketPath(c), control.StatusPath, &s); err != nil {
		return nil
	}
	meters := map[string]control.MeterStatus{}
	for _, m := range s.Meters {
		if m.LastReading == nil {
			continue
		}
		meters[m.Name] = m
		if m.Coarse {
			all = append(all, fmt.Sprintf("meter %q gives whole kWh only: load profiles and maximum power are marked unusable (reason ZC4) until its PIN is entered or InF is on", m.Name))
		}
	}
	for _, l := range c.Contract.MarketLocations {
		m, known := meters[l.Meter]
		switch {
		case !known:
		case l.Direction == form.FeedIn && !m.FeedsIn:
			all = append(all, fmt.Sprintf("market location %s is fed in, but meter %q (%s) has no register 1-0:2.8.0", l.MaLo, m.Name, m.Plate))
		case l.TwoTariffs && !m.TwoTariffs:
			all = append(all, fmt.Sprintf("market location %s has two tariffs, but meter %q (%s) has no registers 1-0:1.8.1 and 1-0:1.8.2", l.MaLo, m.Name, m.Plate))
		}
	}
	return all
}

func identityWarnings(c *config.Config, now time.Time) []string {
	dir := agent.IdentityDir(c)
	found, err := identity.Inspect(dir, c.Gateway.ID, now)
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	keys := false
	for _, f := range found.Files {
		keys = keys || f.State != identity.Missing
		switch f.State {
		case identity.Missing:
			all = append(all, fmt.Sprintf("%s is missing: %s", f.Name, f.Todo))
		case identity.Wrong:
			all = append(all, fmt.Sprintf("%s: %s: %s", f.Name, f.Why, f.Todo))
		}
	}
	if !keys { // one thing to do mends them all, or shows the next
		return []string{fmt.Sprintf("there is none in %s; run smgw identity create", dir)}
	}
	id, err := identity.Load(dir)
	if err != nil || all != nil {
		return all // all has what Load ended at
	}
	if end := id.NotAfter(); end.Sub(now) < soon {
		all = append(all, fmt.Sprintf("a certificate ends at %s; have it renewed", end.Format(time.DateOnly)))
	}
	return all
}

// socketPathLimit is how long the path of a unix socket may be, in bytes
// (sockaddr_un, unix(7), and the zero byte at its end).
const socketPathLimit = 107

// warnUnwritable warns of a folder that this user may not write to.
func warnUnwritable(warn func(string, ...any), dir string) {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		warn("this user may not write to %s: %s; smgw run must be able to", dir, cli.Belongs(dir))
	}
}

// nearestFolder is the folder in which dir would be made.
func nearestFolder(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// portWarnings says why a meter's source cannot be read now.
func portWarnings(ports *meter.Ports, source meter.Source) (all []string) {
	if recording, ok := strings.CutPrefix(source.String(), "file:"); ok {
		if _, err := os.Stat(recording); err != nil {
			return []string{fmt.Sprintf("the recording cannot be read: %v", err)}
		}
		return nil
	}
	path, isPort, err := ports.Where(source)
	switch {
	case !isPort:
		return nil
	case err != nil:
		return []string{err.Error() + ". Plug the reader in, or correct port"}
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		all = append(all, fmt.Sprintf("this user may not open %s; the agent's must: sudo usermod --append --groups %s USER", path, groupOf(path)))
	}
	for _, user := range meter.PortUsers(path) {
		if !user.Meter && user.Name != "smgw" {
			all = append(all, fmt.Sprintf("%s is read by %s: end it, or the agent gets nothing", path, user))
		}
	}
	return all
}
