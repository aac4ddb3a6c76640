package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"smgw/board"
	"smgw/cmd/internal/agent"
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
	for _, m := range c.Meters {
		source, err := meter.ParseSource(m.Port)
		if err != nil {
			warn("meter %q: %v", m.Name, err)
			continue
		}
		if path, ok := devicePath(source.String()); ok {
			if _, err := os.Stat(path); err != nil {
				warn("meter %q: %s is not there now; plug the reader in, or look under /dev/serial/by-id", m.Name, path)
			}
		}
	}
	for _, m := range c.Idle() {
		warn("meter %q is read, but no market location is measured by it", m.Name)
	}
	if fi, err := os.Stat(c.Gateway.StateDir); errors.Is(err, fs.ErrNotExist) {
		warn("the state folder %s is not there yet; smgw run makes it", c.Gateway.StateDir)
	} else if err != nil {
		warn("the state folder: %v", err)
	} else if !fi.IsDir() {
		warn("the state folder %s is a file; remove it, or set another state_dir", c.Gateway.StateDir)
	}
	for _, w := range identityWarnings(c, now) {
		warn("identity: %s", w)
	}
	if err := board.Probe(c.Board); err != nil {
		warn("the agent will run without lamps: %v", err)
	}
	if clock, err := board.ClockState(); err != nil {
		warn("%v", err)
	} else if !clock.Synchronised {
		warn("the clock is not synchronised: what is read now is marked unusable (reason ZA0); give the gateway a time server")
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
	id, err := identity.Load(agent.IdentityDir(c))
	if err != nil {
		return []string{err.Error()}
	}
	if id.GatewayID != c.Gateway.ID {
		return []string{fmt.Sprintf("the certificates are those of gateway %q, and the configuration says %q; correct id in [gateway], or put this gateway's certificates there", id.GatewayID, c.Gateway.ID)}
	}
	if err := id.Check(now); err != nil {
		return []string{err.Error()}
	}
	if end := id.NotAfter(); end.Sub(now) < soon {
		return []string{fmt.Sprintf("a certificate ends at %s; have it renewed", end.Format(time.DateOnly))}
	}
	return nil
}

// devicePath is the node or file that a source needs; a network address needs none.
func devicePath(source string) (string, bool) {
	for _, kind := range []string{"serial:", "file:"} {
		if path, ok := strings.CutPrefix(source, kind); ok {
			return path, true
		}
	}
	return "", false
}
