package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"smgw-sim": func() { os.Exit(run()) }})
}

// Each script in testdata/script is a session at the command line; smgw is the
// real program there, built for the test.
func TestScripts(t *testing.T) {
	bin := buildPrograms(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+bin)
			return nil
		},
	})
}

// buildPrograms builds smgw and smgw-sim as they are shipped and returns the
// folder they are in.
func buildPrograms(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"smgw", "smgw-sim"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), "smgw/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	return bin
}
