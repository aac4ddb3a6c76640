package sml

import "iter"

// ListOf is a list of elements of one type: entries of a GetList, a path, a
// tree's children. It holds their TLV, borrowed from the payload it was decoded from,
// and reads an element when it is asked for: so a list costs no allocation,
// however long it is or claims to be. The zero ListOf is an absent list.
type ListOf[T element] struct {
	raw   []byte // the elements, without the list's own TL
	count int
	given bool // present, though it may be empty
}

// element is what a list can hold.
type element interface {
	Entry | Column | Row | Cell | Period | Tree | Name
	append(dst []byte) []byte
}

// take reads the next element into v, one of them. Calls of methods by a type
// parameter would have all their arguments on the heap.
func take(v any, c *cursor) {
	switch v := v.(type) {
	case *Entry:
		v.take(c)
	case *Column:
		*v = c.column()
	case *Row:
		*v = c.row()
	case *Cell:
		*v = c.cell()
	case *Period:
		*v = c.period()
	case *Tree:
		*v = c.tree()
	case *Name:
		*v = c.octets()
	}
}

// NewList encodes a list of elements.
func NewList[T element](elements ...T) ListOf[T] {
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
		c := cursor{b: l.raw}
		var v T
		for range l.count {
			start := c.i
			take(&v, &c)
			if c.why != "" {
				var none T
				yield(none, &RefusedError{Offset: int64(start), End: int64(len(l.raw)), Reason: c.why})
				return
			}
			if !yield(v, nil) {
				return
			}
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
func listOf[T element](c *cursor) (l ListOf[T]) {
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

func (n Name) append(dst []byte) []byte { return appendOctets(dst, n) }
