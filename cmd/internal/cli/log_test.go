package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/cmd/internal/cli"
)

// folded is a log to out whose repetitions are folded.
func folded(out *bytes.Buffer) (*slog.Logger, func()) {
	h, end := cli.Fold(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
	return slog.New(h), end
}

func TestFoldSaysARepeatedMessageOnceAndCountsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &bytes.Buffer{}
		log, end := folded(out)
		main, other := log.With("meter", "main"), log.With("meter", "other")
		for i := range 100 { // two lines that come and go in turn, a second apart
			main.Warn("lost", "err", errors.New("no port"), "again_in", time.Duration(i))
			other.Warn("lost", "err", errors.New("no port"), "again_in", time.Second)
			time.Sleep(time.Second)
		}
		require.Equal(t, "msg=lost meter=main err=\"no port\" again_in=0s\nmsg=lost meter=other err=\"no port\" again_in=1s\n", out.String())

		// Another reason is another message, and comes after what was counted before it.
		out.Reset()
		main.Warn("lost", "err", errors.New("port busy"))
		require.Equal(t, "msg=lost meter=main err=\"no port\" again_in=99ns repeated=99\n"+
			"msg=lost meter=other err=\"no port\" again_in=1s repeated=99\n"+
			"msg=lost meter=main err=\"port busy\"\n", out.String())

		out.Reset()
		time.Sleep(cli.FoldFor)
		main.Warn("lost", "err", errors.New("no port"))
		require.Equal(t, "msg=lost meter=main err=\"no port\"\n", out.String(), "it did not come again")

		out.Reset()
		main.Warn("lost", "err", errors.New("no port"))
		require.Empty(t, out.String())
		end()
		require.Equal(t, "msg=lost meter=main err=\"no port\" repeated=1\n", out.String(), "what is counted is said at the end")
		main.Warn("lost", "err", errors.New("no port"))
		require.Equal(t, 2, strings.Count(out.String(), "lost"), "and nothing is counted from then on")
	})
}

// Two troubles of the same kind, soon after each other: the log does not end with
// one that is over, and nobody has to say anything for that.
func TestFoldEndsALogWithWhatCameLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &bytes.Buffer{}
		log, end := folded(out)
		defer end()
		log.Info("answers") // first, so that its time is over first
		for range 2 {
			time.Sleep(time.Minute)
			log.Warn("cannot be reached")
			time.Sleep(time.Minute)
			log.Info("answers")
		}
		time.Sleep(cli.FoldFor - 4*time.Minute)
		synctest.Wait()
		require.Equal(t, "msg=answers\nmsg=\"cannot be reached\"\nmsg=\"cannot be reached\" repeated=1\nmsg=answers repeated=2\n", out.String())

		out.Reset()
		time.Sleep(10 * cli.FoldFor)
		require.Empty(t, out.String(), "nothing came")
	})
}

// A flood of messages that all differ is not folded, and what is remembered of
// it is bounded.
func TestFoldRemembersSoMuch(t *testing.T) {
	out := &bytes.Buffer{}
	log, end := folded(out)
	defer end()
	log.Info("first")
	log.Info("first")
	for i := range 1000 {
		log.Info(fmt.Sprint("message ", i))
	}
	log.Info("first")
	log.Info("message 1")
	require.Equal(t, 1001, strings.Count(out.String(), "msg=\"message "))
	require.Equal(t, 1, strings.Count(out.String(), "msg=first repeated=1\n"))
	require.Equal(t, 3, strings.Count(out.String(), "msg=first"))
}

func TestLogSpeaksTheJournalsLanguageToTheJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	require.NoError(t, err)
	defer f.Close()
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &st))

	said := func(stream string) string {
		t.Setenv("JOURNAL_STREAM", stream)
		require.NoError(t, f.Truncate(0))
		_, err := f.Seek(0, 0)
		require.NoError(t, err)
		log, end := cli.NewLog(f)
		defer end()
		log = log.With("meter", "main")
		log.Error("the store fails", "err", errors.New("no\nroom"))
		log.Warn("lost")
		log.Info("found")
		text, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "<3>msg=\"the store fails\" meter=main err=\"no\\nroom\"\n<4>msg=lost meter=main\n<6>msg=found meter=main\n",
		said(fmt.Sprintf("%d:%d", st.Dev, st.Ino)))
	// The variable was inherited, but the output goes elsewhere.
	require.Contains(t, said(fmt.Sprintf("%d:%d", st.Dev, st.Ino+1)), "level=ERROR msg=\"the store fails\" meter=main")
	require.Contains(t, said(""), "level=ERROR")
}

// quarter is an instant of a type of its own, as a quarter hour is.
type quarter struct{ at time.Time }

func (q quarter) Time() time.Time { return q.at }

func TestLogWritesInstantsAsTheTimeOfItsLines(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("CET", 3600)
	t.Setenv("JOURNAL_STREAM", "")
	out := &bytes.Buffer{}
	log, end := cli.NewLog(out)
	defer end()
	at := time.Date(2026, 11, 22, 5, 20, 11, 0, time.UTC)
	log.Info("dated", "from", at, "boundary", quarter{at.Add(time.Hour)})
	require.Contains(t, out.String(), "+01:00 level=INFO msg=dated from=2026-11-22T06:20:11.000+01:00 boundary=2026-11-22T07:20:11.000+01:00\n")
}
