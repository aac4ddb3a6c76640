package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
)

func (d *decoder) watchdog(root *node, c *Config) {
	if s, ok := d.require(root, "watchdog", false, ""); ok {
		read(s, "device", `"/dev/watchdog"`, parseDevice, &c.Watchdog.Device)
	}
}

func parseDevice(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", fmt.Errorf(`path %q: want an absolute one, such as "/dev/watchdog"`, s)
	}
	return filepath.Clean(s), nil
}

func (d *decoder) metrics(root *node, c *Config) {
	if s, ok := d.require(root, "metrics", false, ""); ok {
		read(s, "listen", `"127.0.0.1:9110"`, parseLoopback, &c.Metrics.Listen)
	}
}

// parseLoopback reads an address that nobody outside this computer reaches.
// Names are none: what localhost is, a file decides.
func parseLoopback(s string) (string, error) {
	const want = `want a loopback address and a port, such as "127.0.0.1:9110" or "[::1]:9110"`
	a, err := netip.ParseAddrPort(s)
	if err == nil && a.Port() == 0 {
		err = errors.New("port 0")
	}
	if err != nil {
		return "", fmt.Errorf("listen %q is no address with a port: %s", s, want)
	}
	if !a.Addr().IsLoopback() {
		return "", fmt.Errorf("listen %q can be reached from outside: %s; nothing but what the form says leaves the gateway", s, want)
	}
	return s, nil
}
