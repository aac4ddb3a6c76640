package profile_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/tls/profile"
)

func TestAConnectionEndsAfter48Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn := profile.LimitAge(near)
		began := time.Now()
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Equal(t, 48*time.Hour, time.Since(began))
	})
}

func TestAListenersConnectionsEndAfter48Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn, err := profile.Listener(oneConn{near}).Accept()
		require.NoError(t, err)
		began := time.Now()
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Equal(t, 48*time.Hour, time.Since(began))
	})
}

func TestAClosedConnectionLeavesNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		closes := &countedClose{Conn: near}
		require.NoError(t, profile.LimitAge(closes).Close())
		time.Sleep(72 * time.Hour)
		require.Equal(t, 1, closes.n)
	})
}

type oneConn struct{ conn net.Conn }

func (l oneConn) Accept() (net.Conn, error) { return l.conn, nil }
func (l oneConn) Addr() net.Addr            { return l.conn.LocalAddr() }
func (l oneConn) Close() error              { return nil }

type countedClose struct {
	net.Conn
	n int
}

func (c *countedClose) Close() error {
	c.n++
	return c.Conn.Close()
}
