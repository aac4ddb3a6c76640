// Package config reads the one TOML file of a gateway, /etc/smgw/smgw.toml, and
// knows what it means. It is strict: what it does not know, or what contradicts
// itself, it refuses, and says for each problem where it stands, what is wrong
// and what would be right. All problems of a file come at once:
//
//	smgw.toml:12:8: malo: market location "41373559242": its check digit should be 1, not 2; …
//	smgw.toml:31:1: unknown key "enpoint" in [headend]; did you mean endpoint?
//
// A file is parsed to a tree with places (document.go), compared with what may
// stand where (schema.go), and read into types (config.go, contract.go).
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"smgw/board"
	"smgw/meter/form"
	"smgw/tls/identity"
)

const (
	// DefaultPath is where a gateway has its configuration.
	DefaultPath = "/etc/smgw/smgw.toml"
	// DefaultStateDir is where it keeps its store and its identity.
	DefaultStateDir = "/var/lib/smgw"
	// DefaultMeter is the name of the one meter where none is given.
	DefaultMeter = "main"
)

// Config is what a gateway's file says.
type Config struct {
	File     string
	Gateway  Gateway
	Meters   []Meter // one or more, names and ports differ
	HeadEnd  HeadEnd
	Readings Readings
	Board    board.Config
	ResetOf  string // the meter whose head [board.reset] restarts
	Watchdog Watchdog
	Metrics  Metrics
	Contract form.Contract // each market location's Meter is one of Meters
}

// Gateway is this device.
type Gateway struct {
	ID       string // as in its certificates
	StateDir string // absolute path
}

// Meter is one meter and where it is listened to.
type Meter struct {
	Name string
	Port string // "/dev/ttyUSB0", "tcp://host:port" or a recording; see meter.ParseSource
}

// HeadEnd is the metering point operator's receiving end (Messstellenbetreiber).
type HeadEnd struct {
	Endpoint string // https address without a slash at its end
}

// Readings is how readings are judged.
type Readings struct {
	OffsetLimit time.Duration // a reading farther off its boundary is not used; at most form.MaxOffset
	Minutes     bool          // the newest reading of each minute is kept as well, for a week
}

// Watchdog is the board's own watchdog.
type Watchdog struct {
	Device string // absolute path, "/dev/watchdog"; "": none
}

// Metrics are figures for those who collect them.
type Metrics struct {
	Listen string // loopback address and port; "": on the control socket only
}

// EndpointOf is where payloads for a receiver are delivered to: its own
// endpoint, or that of the head-end.
func (c *Config) EndpointOf(r form.Receiver) string {
	if r.Endpoint != "" {
		return r.Endpoint
	}
	return c.HeadEnd.Endpoint
}

// Load reads a gateway's whole configuration. The error is an Errors.
func Load(path string) (*Config, error) { return load(path, true) }

// LoadContract reads the contract alone: [contract] and its market locations
// are enough; other tables may stand in the file and must be right. The error
// is an Errors.
func LoadContract(path string) (*form.Contract, error) {
	c, err := load(path, false)
	if err != nil {
		return nil, err
	}
	return &c.Contract, nil
}

func load(path string, whole bool) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, Errors{fileError(path, err)}
	}
	return parseConfig(path, data, whole)
}

func parseConfig(path string, data []byte, whole bool) (*Config, error) {
	root, fault := parse(data)
	if fault != nil {
		fault.File = path
		return nil, Errors{fault}
	}
	d := &decoder{file: path, spoiled: map[*node][]string{}}
	if len(root.keys) == 0 {
		d.problem(root.at, "the file says nothing", "begin with the one that smgw check --example prints")
		return nil, d.err()
	}
	d.check(root, schema, "")
	c := &Config{File: path}
	d.gateway(root, c, whole)
	d.meters(root, c, whole)
	d.headEnd(root, c, whole)
	d.readings(root, c)
	d.board(root, c)
	d.watchdog(root, c)
	d.metrics(root, c)
	d.contract(root, c)
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// maxFile is more than any configuration has; it keeps a wrong path, such as
// that of a device or a recording, from filling the memory.
const maxFile = 1 << 20

var errTooLarge = errors.New("larger than 1 MiB")

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errTooLarge
	}
	return data, err
}

func fileError(path string, err error) *Error {
	e := &Error{File: path, What: err.Error(), Err: err}
	fi, statErr := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.What, e.Want = "no such file", "name the configuration with --config, or begin with the one that smgw check --example prints"
	case errors.Is(err, fs.ErrPermission):
		e.What, e.Want = "may not be read", "become root, or let the agent's user read it"
	case statErr == nil && fi.IsDir():
		e.What, e.Want = "is a folder, not a file", "want the file in it: "+filepath.Join(path, "smgw.toml")
	case errors.Is(err, errTooLarge):
		e.What, e.Want = "is larger than 1 MiB", "that is no configuration: check the path"
	}
	return e
}

// require returns the section and whether it is there; an absent one that is
// needed is reported.
func (d *decoder) require(root *node, name string, need bool, lines string) (section, bool) {
	s := d.section(root, name)
	if s.node == nil && need && !slices.Contains(d.spoiled[root], name) {
		d.problem(root.at, s.path+" is missing", "add it with "+lines)
	}
	return s, s.node != nil
}

func (d *decoder) gateway(root *node, c *Config, need bool) {
	s, ok := d.require(root, "gateway", need, `id = "ESMG0000000001"`)
	if !ok {
		return
	}
	read(s, "id", `"ESMG0000000001", the id in the gateway's certificates`, parseGatewayID, &c.Gateway.ID)
	c.Gateway.StateDir = DefaultStateDir
	read(s, "state_dir", "", parseAbsolute, &c.Gateway.StateDir)
}

func parseGatewayID(s string) (string, error) { return s, identity.ValidGatewayID(s) }

func parseAbsolute(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", fmt.Errorf("path %q: want an absolute one, such as %q", s, DefaultStateDir)
	}
	return filepath.Clean(s), nil
}

func (d *decoder) meters(root *node, c *Config, need bool) {
	all := d.sections(root, "meter", "[[meter]]")
	if len(all) == 0 && need && !slices.Contains(d.spoiled[root], "meter") {
		d.problem(root.at, "[[meter]] is missing", `add it with port = "/dev/ttyUSB0"`)
	}
	for _, s := range all {
		m := Meter{}
		if len(all) == 1 {
			m.Name = DefaultMeter
		} else if s.node.get("name") == nil {
			s.missing("name", "where there are several meters each needs a name of its own")
		}
		read(s, "name", "", parseName, &m.Name)
		read(s, "port", `"/dev/ttyUSB0"`, parsePort, &m.Port)
		for _, other := range c.Meters {
			if m.Name != "" && other.Name == m.Name {
				s.wrong("name", fmt.Sprintf("two meters are named %q", m.Name), "give each a name of its own")
			}
			if m.Port != "" && other.Port == m.Port {
				s.wrong("port", fmt.Sprintf("port %q is that of meter %q already", m.Port, other.Name), "each meter has a port of its own")
			}
		}
		c.Meters = append(c.Meters, m)
	}
}

func (d *decoder) headEnd(root *node, c *Config, need bool) {
	if s, ok := d.require(root, "headend", need, `endpoint = "https://…"`); ok {
		read(s, "endpoint", `"https://headend.example:8443"`, parseEndpoint, &c.HeadEnd.Endpoint)
	}
}

func (d *decoder) readings(root *node, c *Config) {
	c.Readings.OffsetLimit = form.MaxOffset
	if s, ok := d.require(root, "readings", false, ""); ok {
		read(s, "offset_limit", "", parseOffsetLimit, &c.Readings.OffsetLimit)
		c.Readings.Minutes = s.flag("minutes")
	}
}

func parseOffsetLimit(s string) (time.Duration, error) {
	d, err := parseDuration(s)
	if err == nil && (d < time.Second || d > form.MaxOffset || d%time.Millisecond != 0) {
		err = fmt.Errorf("duration %q: want 1s to %v in whole milliseconds; the limit can only be made stricter", s, form.MaxOffset)
	}
	return d, err
}
