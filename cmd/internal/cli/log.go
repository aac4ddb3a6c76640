package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// NewLog is the log of every program of ours that runs for long, to w: a line
// of text for each message, with the same fields everywhere (docs/log.md). To
// the journal of systemd it says how urgent a line is the way the journal reads
// it, and leaves the time to the journal. What is said again and again is folded;
// end says what is not said yet.
func NewLog(w io.Writer) (log *slog.Logger, end func()) {
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: localTime})
	if f, ok := w.(*os.File); ok && isJournal(f, os.Getenv("JOURNAL_STREAM")) {
		h = newJournalHandler(w)
	}
	h, end = Fold(h)
	return slog.New(h), end
}

// isJournal reports whether f leads to the journal that systemd named in
// JOURNAL_STREAM as device:inode (systemd.exec(5)): the variable is inherited
// also by those whose output was led elsewhere.
func isJournal(f *os.File, stream string) bool {
	var st unix.Stat_t
	if stream == "" || unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalHandler writes lines that begin with their priority, "<4>" (sd-daemon(3)).
type journalHandler struct {
	slog.Handler
	out *priorityWriter
}

func newJournalHandler(w io.Writer) journalHandler {
	out := &priorityWriter{w: w}
	return journalHandler{slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return localTime(groups, a)
	}}), out}
}

// localTime writes instants as the message's own is written: two of one line in
// different zones are an hour apart for whoever compares them.
func localTime(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case time.Time:
		a.Value = slog.TimeValue(v.Local())
	case interface{ Time() time.Time }: // a quarter hour
		a.Value = slog.TimeValue(v.Time().Local())
	}
	return a
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	switch {
	case r.Level >= slog.LevelError:
		h.out.priority = "<3>"
	case r.Level >= slog.LevelWarn:
		h.out.priority = "<4>"
	case r.Level >= slog.LevelInfo:
		h.out.priority = "<6>"
	default:
		h.out.priority = "<7>"
	}
	return h.Handler.Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.out}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.out}
}

// priorityWriter puts the priority of the message under way before its line: a
// handler of text writes each with one call.
type priorityWriter struct {
	mu       sync.Mutex // held by Handle
	w        io.Writer
	priority string
}

func (p *priorityWriter) Write(line []byte) (int, error) {
	if _, err := p.w.Write(bytes.Join([][]byte{[]byte(p.priority), line}, nil)); err != nil {
		return 0, err
	}
	return len(line), nil
}
