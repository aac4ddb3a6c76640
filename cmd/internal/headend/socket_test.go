package headend_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// leaveSocket makes a socket that nobody listens at.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}
