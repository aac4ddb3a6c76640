package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
)

// StorePath is the store.
func StorePath(c *config.Config) string { return filepath.Join(c.Gateway.StateDir, "store.db") }

// IdentityDir is the folder of keys and certificates.
func IdentityDir(c *config.Config) string { return filepath.Join(c.Gateway.StateDir, "identity") }

// SocketPath is where the running agent answers the command line.
func SocketPath(c *config.Config) string { return filepath.Join(c.Gateway.StateDir, "control.sock") }

// Serve opens what a gateway's agent needs from its state folder and runs it
// until ctx ends. `smgw run` and the bench's stepped agent are both this.
func Serve(ctx context.Context, c *config.Config, clock Clock, log *slog.Logger, inStep bool) error {
	return serve(ctx, c, clock, log, inStep, openBox)
}

// serve is Serve with the board passed in.
func serve(ctx context.Context, c *config.Config, clock Clock, log *slog.Logger, inStep bool, openBox func(board.Config, *slog.Logger) box) (err error) {
	if err := RefuseDecommissioned(c); err != nil {
		return err
	}
	var dog *Watchdog
	var self program
	if !inStep {
		self = mapped(log)
		dog = NewWatchdog(c, log)
		dog.Start()
		defer dog.Stop()
		defer context.AfterFunc(ctx, dog.Stopping)()
	}
	papers, store, recovery, err := openState(c, clock, log, self.checking)
	if err != nil {
		err = adviseFlash(c, err)
		showFlash(ctx, err, c, log, openBox)
		return err
	}
	defer papers.Close()
	own, _ := papers.Look()
	if recovery != nil {
		log.Error("the store was damaged: what can be read is carried over into a new one",
			"cause", recovery.Cause, "set_aside", recovery.SetAside, "carried", counts(recovery.Carried), "unreadable", recovery.Unreadable, "payloads_lost", len(recovery.Lost))
	}
	defer func() { err = errors.Join(err, closeStore(store, log)) }()
	self.giveBack()
	if !inStep {
		defer debug.SetGCPercent(debug.SetGCPercent(collectAt))
	}
	box := openBox(c.Board, log)
	defer box.close(log)
	a, err := New(Options{
		Config: c, Store: store, Signer: own.Signature.Signer, KeyID: own.Signature.KeyID(),
		Papers: papers, Recovery: recovery, Watchdog: dog,
		Client: delivering{papers, self}, Lamps: box.lamps, Button: box.button, Reset: box.reset, Clock: clock, Log: log, InStep: inStep,
		Uptime: board.Uptime(),
	})
	if err != nil {
		return err
	}

	socket, err := control.Listen(SocketPath(c))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	answered := make(chan error, 1)
	go func() { answered <- control.Serve(ctx, socket, self.answering(a.Handler())) }()
	var resident sync.WaitGroup
	if !inStep {
		resident.Go(func() { self.giveBackUntil(ctx) })
	}
	collected := func() {}
	if address := c.Metrics.Listen; address != "" {
		collected = a.serveMetrics(ctx, address)
	}
	if dog != nil {
		dog.Ready()
	}
	log.Info("the agent runs", "gateway", c.Gateway.ID, "store", store.Path(), "socket", SocketPath(c))
	self.giveBack()
	err = a.Run(ctx)
	err = errors.Join(err, a.eraseIfAsked())
	stop()
	err = errors.Join(err, <-answered)
	collected()
	resident.Wait()
	log.Info("the agent has stopped")
	return err
}

// openState opens what lies in the state folder.
func openState(c *config.Config, clock Clock, log *slog.Logger, check func(path string) error) (*Papers, *buffer.Store, *buffer.Recovery, error) {
	if err := os.MkdirAll(c.Gateway.StateDir, 0o750); err != nil {
		return nil, nil, nil, fmt.Errorf("the state folder: %w: choose another with state_dir in %s, or run as a user who may write there", err, c.File)
	}
	papers, err := OpenPapers(c, log)
	if err != nil {
		return nil, nil, nil, err
	}
	store, recovery, err := buffer.OpenChecked(StorePath(c), buffer.Options{Key: papers}, clock.Now().Time, check)
	if err != nil {
		papers.Close()
		return nil, nil, nil, err
	}
	return papers, store, recovery, nil
}

// closeStore closes the store. Where it is full nothing is lost that its error
// would have to tell: what was delivered last is delivered once more.
func closeStore(store *buffer.Store, log *slog.Logger) error {
	err := store.Close()
	if errors.Is(err, buffer.ErrFull) {
		log.Error("the store is full: what the head-ends took last is not marked so, and is sent once more", "err", err)
		return nil
	}
	return err
}

// counts writes counts for a log: "boundaries 96, journal 12".
func counts(m map[string]int64) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] > 0 {
			words = append(words, fmt.Sprintf("%s %d", name, m[name]))
		}
	}
	return strings.Join(words, ", ")
}
