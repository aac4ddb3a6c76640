package sim

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Listener is a serial port on the network: it gives what is written to who is
// connected. One reader is served at a time, the newest.
type Listener struct {
	listener net.Listener

	mu       sync.Mutex
	conn     net.Conn
	deadline time.Time
	changed  chan struct{} // closed when conn or deadline changes
}

// Listen listens at a TCP address. Port 0 is one that the kernel chooses.
func Listen(ctx context.Context, address string) (*Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &Listener{listener: listener, changed: make(chan struct{})}
	go l.accept()
	return l, nil
}

// Addr is the address to connect to.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

func (l *Listener) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond) // out of file descriptors, for one
			continue
		}
		l.mu.Lock()
		l.replace(conn)
		l.mu.Unlock()
	}
}

// replace serves another connection, or none. The lock is held.
func (l *Listener) replace(conn net.Conn) {
	if l.conn != nil {
		l.conn.Close()
	}
	l.conn = conn
	if conn != nil {
		conn.SetWriteDeadline(l.deadline)
	}
	l.wake()
}

func (l *Listener) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// SetWriteDeadline bounds how long Write waits, for a reader or for it to read.
func (l *Listener) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	l.wake()
	if l.conn != nil {
		return l.conn.SetWriteDeadline(t)
	}
	return nil
}

// Write writes to the reader, and waits for one while there is none, until the
// deadline. What a reader leaves unread when it goes is lost.
func (l *Listener) Write(p []byte) (written int, err error) {
	for written < len(p) {
		l.mu.Lock()
		conn, deadline, changed := l.conn, l.deadline, l.changed
		l.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return written, os.ErrDeadlineExceeded
		}
		if conn == nil {
			if err := waitFor(changed, deadline); err != nil {
				return written, err
			}
			continue
		}
		n, err := conn.Write(p[written:])
		written += n
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		l.mu.Lock()
		if l.conn == conn {
			l.replace(nil)
		}
		l.mu.Unlock()
	}
	return written, nil
}

// waitFor waits for a change, no longer than the deadline.
func waitFor(changed <-chan struct{}, deadline time.Time) error {
	if deadline.IsZero() {
		<-changed
		return nil
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// Close hangs up and stops listening.
func (l *Listener) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = time.Unix(1, 0)
	l.replace(nil)
	return err
}
