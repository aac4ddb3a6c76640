package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"smgw/cmd/internal/agent"
)

func TestMain(m *testing.M) {
	if check := agent.NewCheckStoreCommand(); len(os.Args) > 1 && os.Args[1] == check.Name() {
		os.Exit(run()) // asked by a test that is a program itself
	}
	testscript.Main(m, map[string]func(){"smgw": func() { os.Exit(run()) }})
}

// Each script in testdata/script is a session at the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mkstore": mkstore, "begin": begin, "spoil": spoil},
	})
}
