package sml

import "iter"

// ListOf is a list of elements of one type: entries of a GetList, a path, a
// tree's children. It holds their TLV, borrowed from the payload it was decoded from,
// and reads an element when it is asked for: so a list costs no allocation,
// however long it is or claims to be. The zero ListOf is an absent list.
type ListOf[T element[T]] struct {
	raw   []byte // the elements, without the list's own TL
	count int
	given bool // present, though it may be empty
}

// element is what a list can hold. take reads one from the front of b and
// gives what is left; append is its inverse.
type element[T any] interface {
	take(b []byte) (v T, rest []byte, why Reason)
	append(dst []byte) []byte
}

// NewList encodes a list of elements.
func NewList[T element[T]](elements ...T) ListOf[T] {
	l := ListOf[T]{count: len(elements), given: true}
	for _, e := range elements {
		l.raw = e.append(l.raw)
	}
	return l
}

// Len is the count of elements.
func (l ListOf[T]) Len() int { return l.count }

// Given reports whether the list was there; one that was may still be empty.
func (l ListOf[T]) Given() bool { return l.given }

// All yields the elements in order. A malformed element yields a
// *RefusedError, with offsets within the list, and ends it.
func (l ListOf[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		b := l.raw
		for range l.count {
			v, rest, why := zero.take(b)
			if why != "" {
				offset := int64(len(l.raw) - len(b))
				yield(zero, &RefusedError{Offset: offset, End: int64(len(l.raw)), Reason: why})
				return
			}
			if !yield(v, nil) {
				return
			}
			b = rest
		}
	}
}

func (l ListOf[T]) append(dst []byte) []byte {
	if !l.given {
		return append(dst, 0x01)
	}
	return append(appendTL(dst, kindList, l.count), l.raw...)
}

// listOf reads an optional list and moves over its elements.
func listOf[T element[T]](c *cursor) (l ListOf[T]) {
	begin := c.i
	kind, n := c.tl()
	switch {
	case kind == kindList:
		start := c.i
		if begin == c.list1 && c.list2 > start {
			c.i = c.list2
		} else {
			c.skip(n)
		}
		if c.why == "" {
			l = ListOf[T]{c.b[start:c.i:c.i], n, true}
		}
	case kind != kindOctets || n != 0:
		c.fail(WrongType)
	}
	return l
}

// Name is an octet string as an element of a list: an OBIS code, or one step
// of a path to a parameter.
type Name []byte

func (Name) take(b []byte) (Name, []byte, Reason) {
	c := cursor{b: b}
	n := c.octets()
	return n, b[c.i:], c.why
}

func (n Name) append(dst []byte) []byte { return appendOctets(dst, n) }
