package control_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/control"
)

// mute is an agent that was stopped: it takes every question, and says nothing.
type mute struct{}

func (mute) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAnAgentThatHangsIsCalledThat(t *testing.T) {
	for _, q := range []struct {
		method, path string
		waits        time.Duration
	}{
		{http.MethodGet, control.StatusPath, 30 * time.Second},
		{http.MethodPost, control.DemandPath + "?malo=51238696781", 30 * time.Second},
		{http.MethodGet, control.CheckPath, 10 * time.Minute},
		{http.MethodPost, control.CompactPath, 10 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := control.Over(mute{}).Do(t.Context(), q.method, q.path, new(int))
			require.Equal(t, q.waits, time.Since(start))
			require.ErrorContains(t, err, "the agent behind control.sock runs, but has not answered for "+q.waits.String()+": it hangs")
			require.ErrorContains(t, err, "systemctl restart smgw")
			require.Equal(t, q.method == http.MethodPost, strings.Contains(err.Error(), "may be done yet"))
		})
	}
}

// slow is an agent that begins to answer at once and takes its time then.
type slow struct{}

func (slow) RoundTrip(r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	go func() {
		for range 10 {
			select {
			case <-r.Context().Done():
				in.CloseWithError(r.Context().Err())
				return
			case <-time.After(time.Minute):
			}
			io.WriteString(in, "1\n")
		}
		in.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: out}, nil
}

func TestALongAnswerIsNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := 0
		require.NoError(t, control.Each(t.Context(), control.Over(slow{}), control.JournalPath, func(n int) error {
			heard += n
			return nil
		}))
		require.Equal(t, 10, heard)
	})
}
