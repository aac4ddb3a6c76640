package sml

// Relist puts a list together again from its elements, and says in err where
// one is malformed. It is here because only this package can name what all elements have
// in common.
func Relist[T element](err *error, l ListOf[T], again func(T) T) ListOf[T] {
	if !l.Given() {
		return l
	}
	var elements []T
	for e, broken := range l.All() {
		if broken != nil {
			*err = broken
			break
		}
		elements = append(elements, again(e))
	}
	return NewList(elements...)
}

// Held is how many bytes of memory a Reader keeps.
func (r *Reader) Held() int {
	f := &r.finder
	return cap(f.window) + cap(f.scratch) + 8*cap(f.starts) + 128*cap(f.queue) + 64*cap(f.errors)
}
