// Package cmd has the programs; its only file of its own checks the house.
package cmd

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What each part of the house may import of ours, itself and its own folder
// aside. Arrows run one way: cmd → {form, buffer, tls, board} → meter → sml.
var mayImport = map[string][]string{
	"smgw/sml":        {},
	"smgw/tls":        {},
	"smgw/board":      {},
	"smgw/meter":      {"smgw/sml"},
	"smgw/meter/form": {"smgw/meter", "smgw/meter/obis"},
	"smgw/meter/sim":  {"smgw/meter", "smgw/meter/obis", "smgw/sml"},
	"smgw/buffer":     {"smgw/meter", "smgw/meter/obis"},
	"smgw/cmd/smgw":   {"smgw/sml", "smgw/meter", "smgw/buffer", "smgw/tls", "smgw/board", "smgw/cmd/internal", "smgw/docs"},
}

func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "smgw/...").Output()
	require.NoError(t, err)
	checked := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		pkg, imports, _ := strings.Cut(line, " ")
		home := homeOf(pkg)
		allowed, ruled := mayImport[home]
		if !ruled {
			continue
		}
		checked++
		for _, imported := range strings.Fields(imports) {
			if !strings.HasPrefix(imported, "smgw/") || inside(imported, home) {
				continue
			}
			ok := false
			for _, a := range allowed {
				// meter alone does not allow what lies in its folder.
				ok = ok || imported == a || (a != "smgw/meter" || home == "smgw/cmd/smgw") && inside(imported, a)
			}
			require.True(t, ok, "%s imports %s", pkg, imported)
		}
	}
	require.GreaterOrEqual(t, checked, len(mayImport))
}

// The simulator, the PKI and the reference head-end never ship to a gateway.
func TestTheBenchStaysAtHome(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "smgw/cmd/smgw").Output()
	require.NoError(t, err)
	for _, pkg := range strings.Fields(string(out)) {
		require.NotContains(t, []string{"smgw/meter/sim", "smgw/cmd/internal/headend", "smgw/tls/authority", "html/template", "github.com/spf13/cobra/doc"}, pkg)
	}
}

// homeOf is the longest part of the house that pkg lies in.
func homeOf(pkg string) string {
	home := ""
	for part := range mayImport {
		if inside(pkg, part) && len(part) > len(home) {
			home = part
		}
	}
	return home
}

func inside(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
