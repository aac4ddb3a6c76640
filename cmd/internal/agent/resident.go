package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"smgw/tls/deliver"
)

// A gateway's agent is to take little memory at every moment, not only most of the
// time. What counts as its own is of three kinds: its heap, which is collected early
// (collectAt); pages of the store's file, which the store gives back after each look;
// and pages of the program's file, code and tables, which this file gives back. The
// kernel fetches sixteen of those around each that is needed, and keeps them: all of
// the program after the start, a connection and a look with `smgw status`.
const (
	// collectAt is by how many percent the heap may grow before it is collected. It
	// holds less than a megabyte for long, and Go's 100 would let it become four.
	collectAt = 25
	// giveBackEvery is after how long pages are given back in any case.
	giveBackEvery = 2 * time.Second
)

// program is where the program's file is mapped into this process; empty where
// nothing is to be given back.
type program []extent

type extent struct{ from, to uintptr }

// mapped finds where the program's file is mapped, to be read only. It stays there
// for ever: of another file, what took its place might be written to.
func mapped(log *slog.Logger) (p program) {
	file, err := os.Readlink("/proc/self/exe")
	var text []byte
	if err == nil {
		text, err = os.ReadFile("/proc/self/smaps")
	}
	if err != nil {
		log.Debug("the program's pages are not given back", "err", err)
	}
	var e extent
	for line := range strings.Lines(string(text)) {
		// 00400000-00f3c000 r-xp 00001000 08:01 1234  /usr/bin/smgw
		// Anonymous:             0 kB
		name, value, _ := strings.Cut(line, " ")
		switch {
		case !strings.HasSuffix(name, ":"):
			e = extent{}
			if value[0] == 'r' && value[1] != 'w' && strings.HasSuffix(value, " "+file+"\n") {
				fmt.Sscanf(name, "%x-%x", &e.from, &e.to)
			}
		case name == "Anonymous:" && e.to != 0 && strings.TrimSpace(value) == "0 kB":
			// No page differs from its file: a dynamic linker's relocations would be lost.
			p = append(p, e)
		}
	}
	return p
}

// giveBack tells the kernel that it may take the program's pages. What is needed
// comes back from the page cache at the next look: a telegram a second needs some
// 4 MB. Where the kernel refuses the advice nothing is lost but the room.
func (p program) giveBack() {
	for _, e := range p {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, e.from, e.to-e.from, unix.MADV_DONTNEED)
	}
}

// giveBackUntil gives back again and again until ctx ends.
func (p program) giveBackUntil(ctx context.Context) {
	tick := time.NewTicker(giveBackEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.giveBack()
		}
	}
}

// answering is h, with room made before and after each answer, and in a long one on
// its way.
func (p program) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.giveBack()
		defer p.giveBack()
		h.ServeHTTP(&answer{ResponseWriter: w, program: p}, r)
	})
}

type answer struct {
	http.ResponseWriter
	program
	written int // since room was made last
}

// Unwrap lets a handler flush what it wrote.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(b []byte) (int, error) {
	if a.written += len(b); a.written >= 128<<10 {
		a.giveBack()
		a.written = 0
	}
	return a.ResponseWriter.Write(b)
}

// delivering is a Putter with room made before and after each connection: TLS and
// HTTP are 3 MB, which nobody needs while the head-end is away.
type delivering struct {
	Putter
	program
}

func (d delivering) Reach(ctx context.Context, endpoint string) error {
	d.giveBack()
	defer d.giveBack()
	return d.Putter.Reach(ctx, endpoint)
}

func (d delivering) Put(ctx context.Context, endpoint, id string, body []byte) deliver.Result {
	d.giveBack()
	defer d.giveBack()
	return d.Putter.Put(ctx, endpoint, id, body)
}

// checking is CheckStore, with room made before and after it: what the start needed
// is not needed by the opening of the store.
func (p program) checking(path string) error {
	p.giveBack()
	defer p.giveBack()
	return CheckStore(path)
}
