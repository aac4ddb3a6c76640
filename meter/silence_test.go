package meter

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.bug.st/serial"
)

// An adapter that hangs, and a peer that lost its power, never say goodbye.
func TestASourceThatIsSilentIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		defer near.Close()
		began := time.Now()
		conn := connection{near, "peer:7000"}
		requireSilent(t, conn, "tcp://peer:7000")
		require.Equal(t, SilenceLimit, time.Since(began))
	})
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "port")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		node, err := os.Stat(path)
		require.NoError(t, err)
		began := time.Now()
		port := &openPort{port: silentPort{}, source: &serialPort{path: path}, path: path, node: node, busy: make(chan struct{}, 1)}
		requireSilent(t, port, "serial:"+path)
		require.Equal(t, SilenceLimit, time.Since(began))
	})
}

func requireSilent(t *testing.T, r interface{ Read([]byte) (int, error) }, source string) {
	_, err := r.Read(make([]byte, 16))
	var silent *SilentError
	require.ErrorAs(t, err, &silent)
	require.Equal(t, source, silent.Source)
	require.ErrorContains(t, err, "is the reader on the meter")
}

// silentPort is a port whose reads time out.
type silentPort struct{ serial.Port }

func (silentPort) Read([]byte) (int, error) {
	time.Sleep(readSlice)
	return 0, nil
}
