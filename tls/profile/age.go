package profile

import (
	"net"
	"time"
)

// MaxAge is how long a connection may live (BSI TR-03116-3).
const MaxAge = 48 * time.Hour

// LimitAge closes conn when it has lived for MaxAge, whatever it is doing then:
// what was under way is tried again on a new connection.
func LimitAge(conn net.Conn) net.Conn {
	return &agedConn{conn, time.AfterFunc(MaxAge, func() { conn.Close() })}
}

type agedConn struct {
	net.Conn
	end *time.Timer
}

func (c *agedConn) Close() error {
	c.end.Stop()
	return c.Conn.Close()
}

// Listener accepts connections that live for MaxAge at most.
func Listener(l net.Listener) net.Listener { return agedListener{l} }

type agedListener struct{ net.Listener }

func (l agedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return LimitAge(conn), nil
}
