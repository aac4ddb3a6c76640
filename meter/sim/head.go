package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Head is a simulated meter's optical head: it pushes the meter's telegrams,
// one each Interval of simulated time.
//
// In real time it is as fast as a real one: 9600 baud, and no handshake, so
// what nobody takes is lost. When Fast, simulated time runs as fast as the
// telegrams are taken, and none is lost.
type Head struct {
	Meter    *Meter
	From     time.Time     // simulated instant of the first telegram
	Until    time.Time     // no telegram after this one; zero: for ever
	Interval time.Duration // whole seconds
	Fast     bool
	Faults   *Faults // nil: a perfect line

	// Before, where it is not nil, is called before each telegram with its
	// simulated instant. It may block; its error ends Run.
	Before func(at time.Time) error

	Sent int64     // telegrams, struck ones too
	Last time.Time // simulated instant of the last one
}

// Run pushes telegrams into w until the context is cancelled, and returns its
// error, or until Until and all is taken, and returns nil. Where w has a
// SetWriteDeadline, as Port, Listener and connections have, cancelling frees a
// Write that blocks.
func (h *Head) Run(ctx context.Context, w io.Writer) error {
	if h.Interval < time.Second || h.Interval%time.Second != 0 {
		return fmt.Errorf("interval %v: a meter's clock counts whole seconds", h.Interval)
	}
	line := newWire(ctx, w, h.Fast)
	defer line.free()
	var telegram, spoiled []byte
	began := time.Now()
	for n := int64(0); ; n++ {
		if !h.Fast && n > 0 {
			// What was too long for its interval costs the telegrams after it.
			n = max(n, int64((time.Since(began)+h.Interval-1)/h.Interval))
			if err := line.wait(began.Add(time.Duration(n) * h.Interval)); err != nil {
				return err
			}
		}
		at := h.From.Add(time.Duration(n) * h.Interval)
		if !h.Until.IsZero() && at.After(h.Until) {
			return line.drain()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if h.Before != nil {
			if err := h.Before(at); err != nil {
				return err
			}
		}
		telegram = h.Meter.AppendTelegram(telegram[:0], at)
		out := telegram
		if h.Faults != nil {
			spoiled = h.Faults.Append(spoiled[:0], telegram)
			out = spoiled
		}
		if err := line.write(out); err != nil {
			return err
		}
		h.Sent++
		h.Last = at
	}
}

// Replay pushes a recording into w as a head would, once or in an endless loop,
// until the context is cancelled.
func Replay(ctx context.Context, w io.Writer, recording []byte, once, fast bool) error {
	if len(recording) == 0 {
		return errors.New("the recording is empty")
	}
	line := newWire(ctx, w, fast)
	defer line.free()
	for {
		if err := line.write(recording); err != nil {
			return err
		}
		if once {
			return line.drain()
		}
	}
}

// wire is what lies between the meter and the reader: paced at 9600 baud, or
// as fast as it is taken.
type wire struct {
	ctx  context.Context
	w    io.Writer
	fast bool
	stop func() bool
}

// deadliner is a writer that can be told to give up.
type deadliner interface{ SetWriteDeadline(time.Time) error }

// A character has ten bits at 8N1: so 960 fit into a second, and these into
// a slice of 25 ms.
const (
	slice     = 25 * time.Millisecond
	sliceSize = int(9600 / 10 * slice / time.Second)
)

func newWire(ctx context.Context, w io.Writer, fast bool) *wire {
	l := &wire{ctx: ctx, w: w, fast: fast, stop: func() bool { return true }}
	if d, ok := w.(deadliner); ok {
		d.SetWriteDeadline(time.Time{})
		l.stop = context.AfterFunc(ctx, func() { d.SetWriteDeadline(time.Unix(1, 0)) })
	}
	return l
}

func (l *wire) free() { l.stop() }

// wait waits until an instant.
func (l *wire) wait(until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-l.ctx.Done():
		return l.ctx.Err()
	case <-timer.C:
		return nil
	}
}

// write writes all of b or, paced, what is taken of it in time.
func (l *wire) write(b []byte) error {
	if p, ok := l.w.(*Port); ok {
		p.settle(!l.fast)
	}
	if l.fast {
		_, err := l.w.Write(b)
		return l.because(err)
	}
	for next := time.Now(); len(b) > 0; {
		n := min(sliceSize, len(b))
		if d, ok := l.w.(deadliner); ok {
			d.SetWriteDeadline(time.Now().Add(slice))
		}
		if _, err := l.w.Write(b[:n]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return l.because(err)
		}
		b = b[n:]
		next = next.Add(slice)
		if err := l.wait(next); err != nil {
			return err
		}
	}
	return nil
}

// because gives the context's error where it is the reason.
func (l *wire) because(err error) error {
	if err != nil && l.ctx.Err() != nil {
		return l.ctx.Err()
	}
	return err
}

// drain waits until all is taken, since closing a port throws the rest away.
// Paced, what was not taken by now is lost.
func (l *wire) drain() error {
	p, ok := l.w.(*Port)
	for end := time.Now().Add(time.Second); ok && !p.empty() && (l.fast || time.Now().Before(end)); {
		if err := l.wait(time.Now().Add(slice)); err != nil {
			return err
		}
	}
	return nil
}
