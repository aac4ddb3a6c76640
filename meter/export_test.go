package meter

import "net"

// LimitSilence reads from a connection as from a tcp:// source.
func LimitSilence(c net.Conn) interface {
	Read([]byte) (int, error)
	Close() error
} {
	return connection{c, "peer:7000"}
}
