package sml

import (
	"errors"
	"io"
)

// Reader finds frames in a stream of bytes. Whatever comes in, it uses less
// than 512 KiB: a window of little more than twice MaxFrame, a payload of MaxFrame
// where one has escapes, and the places of starts within a frame, of which
// there are never more than MaxFrame/12.
type Reader struct {
	r      io.Reader
	finder finder
	err    error // what r returned last, until it is handed on
	empty  int   // reads in a row that gave nothing
}

// NewReader returns a Reader of r. It reads as much at once as r gives.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// readSize is the least that a read has room for. At 9600 baud a read seldom
// gives more than some dozen bytes.
const readSize = 4 << 10

// Next returns the next frame with a good CRC. A *RefusedError says which
// bytes before it were refused; Next goes on behind them. Frames and refused
// regions together cover the stream, in order and without overlap,
// and are the same however it is cut into reads. Any other
// error is the stream's, io.EOF at its end: what is left of a frame is
// refused before it is returned, unless it
// is a time limit (Timeout() true) or io.ErrNoProgress, after which it can go on.
func (r *Reader) Next() (Frame, error) {
	for {
		if f, refused, ok := r.finder.next(); ok {
			if refused != nil {
				return Frame{}, refused
			}
			return f, nil
		}
		if r.err != nil {
			err := r.err
			if !passing(err) && r.finder.finish() {
				continue
			}
			r.err = nil
			return Frame{}, err
		}
		r.fill()
	}
}

func (r *Reader) fill() {
	room := r.finder.room(readSize)
	n, err := r.r.Read(room)
	if n < 0 || n > len(room) {
		n, err = 0, errors.New("sml: the reader returned an impossible count")
	}
	r.finder.grow(n)
	r.err = err
	if n > 0 || err != nil {
		r.empty = 0
	} else if r.empty++; r.empty == 100 {
		r.empty, r.err = 0, io.ErrNoProgress
	}
}

// passing reports whether an error leaves the stream whole.
func passing(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, io.ErrNoProgress) || errors.As(err, &t) && t.Timeout()
}
