package headend

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// port is an address that stays ours while nothing listens there: a socket is
// bound to it and never listens. A head-end that is down refuses connections
// then, and finds its port free again when it comes back. Linux lets a second
// socket bind and listen beside it because both have SO_REUSEADDR.
type port struct {
	fd      int
	address string // host:port
}

func reserve(address string) (*port, error) {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	family := syscall.AF_INET6
	var sa syscall.Sockaddr
	if ip4 := want.IP.To4(); ip4 != nil {
		family, sa = syscall.AF_INET, &syscall.SockaddrInet4{Port: want.Port, Addr: [4]byte(ip4)}
	} else {
		in6 := &syscall.SockaddrInet6{Port: want.Port}
		copy(in6.Addr[:], want.IP)
		sa = in6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	p := &port{fd: fd}
	if err := p.bind(sa, want.IP); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", address, err), p.Close())
	}
	return p, nil
}

func (p *port) bind(sa syscall.Sockaddr, ip net.IP) error {
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(p.fd, sa); err != nil {
		return err
	}
	bound, err := syscall.Getsockname(p.fd)
	if err != nil {
		return err
	}
	number := 0
	switch b := bound.(type) {
	case *syscall.SockaddrInet4:
		number = b.Port
	case *syscall.SockaddrInet6:
		number = b.Port
	}
	host := ""
	if ip != nil {
		host = ip.String()
	}
	p.address = net.JoinHostPort(host, strconv.Itoa(number))
	return nil
}

func (p *port) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p.address, err)
	}
	return l, nil
}

// endpoint is the port as a URL. For all addresses of a machine it is localhost.
func (p *port) endpoint() string {
	host, number, _ := net.SplitHostPort(p.address)
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "https://" + net.JoinHostPort(host, number)
}

func (p *port) Close() error { return syscall.Close(p.fd) }
