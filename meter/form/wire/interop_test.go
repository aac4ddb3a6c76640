package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter/form"
)

// beyondCDDL are what docs/payload.cddl says in its comments only.
var beyondCDDL = []string{
	"an empty period", "a moment of a month", "a momentary figure without its moment", "final though true", "a wrong check digit", "missing with an amount", "true without an amount", "a correction that names nothing", "a trailing zero",
	"a time of an energy", "missing quarter hours of an energy",
}

// Others read what the code writes: docs/payload.cddl, cbor2 and @auth0/cose for
// Node.js find in every payload what went in, and refuse what is spoiled.
// `make interop` installs them and names the folder.
func TestOthersReadIt(t *testing.T) {
	tools := os.Getenv("SMGW_INTEROP")
	if tools == "" {
		t.Skip("libraries for Node.js are not installed: `make interop` does, and runs this test")
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, len(vectors))

	dir := t.TempDir()
	write := func(name string, v vector) {
		line, err := json.Marshal(v)
		require.NoError(t, err)
		file := filepath.Join(dir, name+".json")
		require.NoError(t, os.WriteFile(file, line, 0o644))
		files = append(files, file)
	}
	for i := range 100 {
		write(fmt.Sprint("drawn ", i), newVector(t, rapid.Custom(drawPayload).Example(i)))
	}
	huge := month(t) // as a bignum on the wire
	huge.Values[0].Amount = number(t, "-123456789012345678901234567")
	huge.Values[2].Amount = decimal.NewNullDecimal(decimal.New(1, 30).Add(decimal.New(1, -3)))
	v := newVector(t, huge)
	v.Diagnostic = "" // cbor2 writes bignums as bytes, which is right as well
	write("huge", v)
	for name, build := range vectors {
		p := build(t)
		p.Notices = append(p.Notices, form.Notice{Kind: form.TariffSum, From: p.Period.To, To: p.Period.To, Count: 1})
		write("fresh "+name, newVector(t, p))
	}
	for name, change := range spoiled {
		if !slices.Contains(beyondCDDL, name) {
			write(name, vector{Payload: hex.EncodeToString(remade(t, change)), Wrong: name})
		}
	}

	out, err := exec.Command("node", slices.Concat([]string{filepath.Join(tools, "check.mjs"), "../../../docs/payload.cddl"}, files)...).CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), fmt.Sprintf("%d passed, 0 failed", len(files)))
}
