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

func TestFoldSaysARepeatedMessageOnceAndCountsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &bytes.Buffer{}
		log := slog.New(cli.Fold(slog.NewTextHandler(out, nil)))
		main, other := log.With("meter", "main"), log.With("meter", "other")
		for range 100 { // two lines that come and go in turn, a second apart
			main.Warn("lost", "err", errors.New("no port"), "again_in", time.Duration(out.Len()))
			other.Warn("lost", "err", errors.New("no port"), "again_in", time.Second)
			time.Sleep(time.Second)
		}
		require.Equal(t, 2, strings.Count(out.String(), "lost"), out)
		main.Warn("lost", "err", errors.New("port busy")) // another reason is another message
		require.Equal(t, 3, strings.Count(out.String(), "lost"), out)

		out.Reset()
		time.Sleep(cli.FoldFor)
		main.Warn("lost", "err", errors.New("no port"), "again_in", time.Second)
		require.Equal(t, 1, strings.Count(out.String(), "meter=main err=\"no port\" again_in=1s repeated=99\n"), out)
		require.Equal(t, 1, strings.Count(out.String(), "meter=other err=\"no port\" again_in=1s repeated=99\n"), "what was only counted is told by whatever is said next: %s", out)

		out.Reset()
		time.Sleep(cli.FoldFor)
		main.Warn("lost", "err", errors.New("no port"), "again_in", time.Second)
		require.NotContains(t, out.String(), "repeated", "it did not come again")
	})
}

// A flood of messages that all differ is not folded, and what is remembered of
// it is bounded; a message that was pushed out with a count tells it.
func TestFoldRemembersSoMuch(t *testing.T) {
	out := &bytes.Buffer{}
	log := slog.New(cli.Fold(slog.NewTextHandler(out, nil)))
	log.Info("first")
	log.Info("first")
	for i := range 1000 {
		log.Info(fmt.Sprint("message ", i))
	}
	require.Equal(t, 1000, strings.Count(out.String(), "msg=\"message "))
	require.Equal(t, 1, strings.Count(out.String(), "msg=first repeated=1\n"))
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
		log := cli.NewLog(f).With("meter", "main")
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
