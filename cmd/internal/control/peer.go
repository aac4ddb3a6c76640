package control

import (
	"context"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// Peer is who asks: the user of the process at the other end of the socket, as
// the kernel says it (SO_PEERCRED, unix(7)), so that nobody can ask in
// another's name.
type Peer struct{ UID uint32 }

// Name is the user's name, or the number of one who has none here.
func (p Peer) Name() string {
	id := strconv.FormatUint(uint64(p.UID), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

type peerKey struct{}

func withPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// PeerOf returns who asks what a handler answers.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

// self is this process as a peer.
func self() Peer { return Peer{uint32(os.Getuid())} }

// identify gives the context of a connection its peer. Without one (the kernel
// does not say) the handlers that must know refuse.
func identify(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ctx
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			ctx = withPeer(ctx, Peer{cred.Uid})
		}
	})
	return ctx
}
