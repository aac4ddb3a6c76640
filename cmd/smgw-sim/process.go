package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one of the demo's other processes: this program with another verb.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; read after done is closed
}

// startProcess runs this program with args in dir; what it says goes to NAME.log.
func startProcess(ctx context.Context, dir, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, self, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	// Whatever becomes of this process, it leaves none behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// exited is an error when the process has ended.
func (p *process) exited() error {
	select {
	case <-p.done:
		return fmt.Errorf("the %s ended too soon (%v): %s says why", p.name, p.err, p.log)
	default:
		return nil
	}
}

// stop ends the process as a service manager would.
func (p *process) stop() error {
	if err := p.exited(); err != nil {
		return err
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("the %s did not stop within 10 s of SIGTERM and was killed", p.name)
	}
	if p.err != nil {
		return fmt.Errorf("the %s: %w: %s says why", p.name, p.err, p.log)
	}
	return nil
}

// errGone ends a wait: what is waited for cannot come any more.
type errGone struct{ error }

// waitFor asks until it gets an answer, for two minutes at the most: a busy machine is no fault.
func waitFor[T any](ctx context.Context, what string, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		answer, err := ask(ctx)
		if err == nil || errors.As(err, new(errGone)) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
