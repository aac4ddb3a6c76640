package buffer_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
)

// With this variable the test binary is the victim: it writes to the store
// named there until it is killed, and says what was acknowledged.
const victimOf = "BUFFER_TEST_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimOf); path != "" {
		fmt.Println("error", beVictim(path))
		os.Exit(1)
	}
	if dir := os.Getenv(diskAt); dir != "" {
		if serveDisk(dir) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beVictim goes on where the store stands: a boundary reading, then an item,
// and the acknowledgement of the item before. It names what is durable.
func beVictim(path string) error {
	s, err := buffer.Open(path, buffer.Options{})
	if err != nil {
		return err
	}
	last, _, err := s.LastBoundary("main")
	if err != nil {
		return err
	}
	fmt.Println("open")
	began := false
	for q := max(day0, last.Boundary); ; q = q.Next() {
		n := int(q - day0)
		if err := s.PutBoundary(reading("main", q), event("boundary")); err != nil {
			return err
		}
		fmt.Println("boundary", n)
		if n > 1 && began {
			fmt.Println("acknowledged", n-2) // in the last round, and on flash with the boundary
		}
		began = true
		if err := s.Build("x", q, []buffer.Item{item(n)}, event("built")); err != nil {
			return err
		}
		fmt.Println("built", n)
		if n > 0 {
			if err := s.Acknowledge(item(n-1).ID, noon, event("acknowledged")); err != nil {
				return err
			}
		}
	}
}

func TestKilledProcessLosesNothingItAcknowledged(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(fastDir(t), "store.db")
	boundaries, built, acknowledged := -1, -1, -1
	r := rand.New(rand.NewPCG(seed(t), 2))
	const kills = 20
	for range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), victimOf+"="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
			t.Skip("this kernel cannot start the test binary again (qemu-user)")
		} else {
			require.NoError(t, err)
		}
		// Killed after so many lines, and then a moment later: at any instruction.
		lines := 1 + r.IntN(60)
		sc := bufio.NewScanner(out)
		note := func() {
			var what string
			var n int
			text := sc.Text()
			require.False(t, strings.HasPrefix(text, "error"), text)
			fmt.Sscan(text, &what, &n)
			switch what {
			case "boundary":
				boundaries = n
			case "built":
				built = n
			case "acknowledged":
				acknowledged = n
			}
		}
		for i := 0; i < lines && sc.Scan(); i++ {
			note()
		}
		time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
		for sc.Scan() {
			note()
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()

		require.NoError(t, buffer.Check(path))
		s, err := buffer.Open(path, buffer.Options{})
		require.NoError(t, err)
		require.NoError(t, s.VerifyJournal())
		got, err := s.Boundaries("main", day0, day0+1_000_000)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(got), boundaries+1)
		for n, b := range got {
			require.Equal(t, reading("main", day0+meter.Quarter(n)), b)
		}
		for n := range built + 1 {
			it, ok, err := s.Item(item(n).ID)
			require.NoError(t, err)
			require.True(t, ok, "item %d", n)
			if n <= acknowledged {
				require.Equal(t, buffer.Acknowledged, it.State)
			} else if it.State == buffer.Waiting {
				body, err := s.Body(it.ID)
				require.NoError(t, err)
				require.Equal(t, item(n).Body, body)
			}
		}
		require.NoError(t, s.Close())
	}
	require.Positive(t, acknowledged)
	t.Logf("%d kills, %d boundary readings, %d items", kills, boundaries+1, built+1)
}
