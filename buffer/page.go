package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's pages without bbolt, which trusts what it reads and
// kills the process, or spins, on some damaged files. All of it is bounded by
// the size of the file, and nothing here can panic on what is in a page.
//
//	page:    id u64, flags u16, count u16, overflow u32, elements, data
//	leaf:    flags u32, offset u32, key size u32, value size u32
//	branch:  offset u32, key size u32, page id u64
//	meta:    magic u32, version u32, page size u32, flags u32, root u64,
//	         sequence u64, freelist u64, high water mark u64, txid u64, fnv64a u64
//
// Numbers are little-endian on every machine that this program is built for.
const (
	headerSize  = 16
	elementHead = 16

	branchPage = 0x01
	leafPage   = 0x02
	metaPage   = 0x04

	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// pages is a store's file.
type pages struct {
	path string
	file io.ReaderAt
	size int64
}

// page is one page with the overflow that belongs to it.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint32
	data     []byte // with its header
}

// meta is a valid meta page: one of the two places where a tree begins.
type meta struct {
	root, highWater, txid uint64
}

func (p *pages) damage(where, reason string, args ...any) *DamagedError {
	return &DamagedError{p.path, where, fmt.Sprintf(reason, args...)}
}

// meta reads meta page 0 or 1.
func (p *pages) meta(n int64) (meta, *DamagedError) {
	where := fmt.Sprintf("meta page %d", n)
	var b [headerSize + 64]byte
	if _, err := p.file.ReadAt(b[:], n*pageSize); err != nil {
		return meta{}, p.damage(where, "cannot be read: %v", err)
	}
	m := b[headerSize:]
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(m[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(m[at:]) }
	sum := fnv.New64a()
	sum.Write(m[:56])
	switch {
	case u32(0) != boltMagic:
		return meta{}, p.damage(where, "is not one of a store")
	case u32(4) != boltVersion:
		return meta{}, p.damage(where, "format %d is not known", u32(4))
	case u64(56) != sum.Sum64():
		return meta{}, p.damage(where, "checksum does not match")
	case u32(8) != pageSize:
		return meta{}, p.damage(where, "pages of %d bytes", u32(8))
	case binary.LittleEndian.Uint16(b[8:]) != metaPage:
		return meta{}, p.damage(where, "flags %#x", binary.LittleEndian.Uint16(b[8:]))
	}
	got := meta{root: u64(16), highWater: u64(40), txid: u64(48)}
	if got.highWater > uint64(p.size)/pageSize {
		return got, p.damage(where, "counts %d pages, the file ends after %d", got.highWater, p.size/pageSize)
	}
	return got, nil
}

// read reads a page and its overflow.
func (p *pages) read(id uint64) (page, error) {
	if id >= uint64(p.size)/pageSize {
		return page{}, fmt.Errorf("lies beyond the end of the file")
	}
	first := make([]byte, pageSize)
	if _, err := p.file.ReadAt(first, int64(id)*pageSize); err != nil {
		return page{}, fmt.Errorf("cannot be read: %w", err)
	}
	pg := parsePage(first)
	if pg.overflow > 0 {
		if uint64(pg.overflow) >= uint64(p.size)/pageSize-id {
			return page{}, fmt.Errorf("overflow of %d pages beyond the end of the file", pg.overflow)
		}
		pg.data = make([]byte, (int64(pg.overflow)+1)*pageSize)
		if _, err := p.file.ReadAt(pg.data, int64(id)*pageSize); err != nil {
			return page{}, fmt.Errorf("cannot be read: %w", err)
		}
	}
	return pg, nil
}

func parsePage(b []byte) page {
	return page{
		id: binary.LittleEndian.Uint64(b), flags: binary.LittleEndian.Uint16(b[8:]), count: int(binary.LittleEndian.Uint16(b[10:])),
		overflow: binary.LittleEndian.Uint32(b[12:]), data: b,
	}
}

// leaf returns the i-th element of a leaf; false when it points outside.
func (pg page) leaf(i int) (bucket bool, key, value []byte, ok bool) {
	e, ok := pg.element(i)
	if !ok {
		return false, nil, nil, false
	}
	flags, at, klen, vlen := u32(e, 0), uint64(u32(e, 4)), uint64(u32(e, 8)), uint64(u32(e, 12))
	if flags > 1 || klen == 0 || at+klen+vlen > uint64(len(e)) {
		return false, nil, nil, false
	}
	return flags == 1, e[at : at+klen], e[at+klen : at+klen+vlen], true
}

// branch returns the i-th element of a branch; false when it points outside.
func (pg page) branch(i int) (key []byte, child uint64, ok bool) {
	e, ok := pg.element(i)
	if !ok {
		return nil, 0, false
	}
	at, klen := uint64(u32(e, 0)), uint64(u32(e, 4))
	if klen == 0 || at+klen > uint64(len(e)) {
		return nil, 0, false
	}
	return e[at : at+klen], binary.LittleEndian.Uint64(e[8:]), true
}

// element returns the page from its i-th element on: offsets count from there.
func (pg page) element(i int) ([]byte, bool) {
	at := headerSize + i*elementHead
	if i >= pg.count || at+elementHead > len(pg.data) {
		return nil, false
	}
	return pg.data[at:], true
}

func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// inline returns the page that a small bucket has inside its value, and false
// when the bucket has pages of its own, which begin at root.
func inline(value []byte) (pg page, root uint64, isInline bool) {
	if len(value) < headerSize {
		return page{}, 0, false
	}
	root = binary.LittleEndian.Uint64(value)
	if root != 0 || len(value) < 2*headerSize {
		return page{}, root, false
	}
	return parsePage(value[headerSize:]), 0, true
}

// walker goes through the tree of one meta page. It reports every problem and
// goes on with what it can reach.
type walker struct {
	*pages
	meta    meta
	seen    map[uint64]bool
	problem func(*DamagedError)
	record  func(bucket, key, value []byte)
}

func (w *walker) run() {
	w.seen = map[uint64]bool{0: true, 1: true}
	var names int
	w.tree(w.meta.root, 0, nil, func(where string, isBucket bool, name, value []byte) {
		if !isBucket || len(value) < headerSize {
			w.problem(w.damage(where, "%q is no bucket", name))
			return
		}
		names++
		in := func(where string, isBucket bool, key, value []byte) {
			if isBucket {
				w.problem(w.damage(where, "a bucket inside bucket %q", name))
				return
			}
			w.record(name, key, value)
		}
		pg, root, isInline := inline(value)
		switch {
		case isInline:
			w.page(fmt.Sprintf("%s, bucket %q", where, name), pg, 0, nil, in)
		case root == 0:
			w.problem(w.damage(where, "bucket %q is cut off", name))
		default:
			w.tree(root, 0, nil, in)
		}
	})
	if names == 0 {
		w.problem(w.damage("its root", "it has no buckets"))
	}
}

// maxDepth of a tree: each level holds at least twice as many as the one above.
const maxDepth = 32

func (w *walker) tree(id uint64, depth int, low []byte, leaf func(where string, isBucket bool, key, value []byte)) {
	where := fmt.Sprintf("page %d", id)
	if depth > maxDepth {
		w.problem(w.damage(where, "the tree is too deep"))
		return
	}
	if id >= w.meta.highWater {
		w.problem(w.damage(where, "lies beyond the pages in use"))
		return
	}
	if w.seen[id] {
		w.problem(w.damage(where, "is used twice"))
		return
	}
	w.seen[id] = true
	pg, err := w.read(id)
	if err != nil {
		w.problem(w.damage(where, "%v", err))
		return
	}
	if pg.id != id {
		w.problem(w.damage(where, "says that it is page %d", pg.id))
		return
	}
	for i := uint64(1); i <= uint64(pg.overflow); i++ {
		if w.seen[id+i] || id+i >= w.meta.highWater {
			w.problem(w.damage(where, "its overflow is used twice, or lies beyond the pages in use"))
			return
		}
		w.seen[id+i] = true
	}
	w.page(where, pg, depth, low, leaf)
}

func (w *walker) page(where string, pg page, depth int, low []byte, leaf func(where string, isBucket bool, key, value []byte)) {
	if pg.flags != leafPage && (pg.flags != branchPage || pg.count == 0) {
		w.problem(w.damage(where, "flags %#x with %d elements", pg.flags, pg.count))
		return
	}
	prev := low
	ordered := func(i int, key []byte) bool {
		c := bytes.Compare(prev, key)
		ok := prev == nil || c < 0 || c == 0 && i == 0
		prev = key
		return ok
	}
	for i := range pg.count {
		if pg.flags == branchPage {
			key, child, ok := pg.branch(i)
			if !ok {
				w.problem(w.damage(where, "element %d points outside", i))
				continue
			}
			if !ordered(i, key) {
				w.problem(w.damage(where, "element %d is out of order", i))
			}
			w.tree(child, depth+1, key, leaf)
			continue
		}
		isBucket, key, value, ok := pg.leaf(i)
		if !ok {
			w.problem(w.damage(where, "element %d points outside", i))
			continue
		}
		if !ordered(i, key) {
			w.problem(w.damage(where, "element %d is out of order", i))
		}
		leaf(where, isBucket, key, value)
	}
}

// stray calls record for everything on leaf pages anywhere in the file,
// whether a tree reaches it or not, with the bucket unknown.
func (p *pages) stray(record func(key, value []byte)) {
	for id := uint64(0); id < uint64(p.size)/pageSize; id++ {
		pg, err := p.read(id)
		if err != nil {
			// A damaged overflow count must not hide what is on the page itself.
			b := make([]byte, pageSize)
			if _, err := p.file.ReadAt(b, int64(id)*pageSize); err != nil {
				continue
			}
			pg = parsePage(b)
		}
		strayIn(pg, 0, record)
	}
}

func strayIn(pg page, depth int, record func(key, value []byte)) {
	for i := range pg.count {
		isBucket, key, value, ok := pg.leaf(i)
		if !ok {
			continue
		}
		if !isBucket {
			record(key, value)
		} else if in, _, isInline := inline(value); isInline && depth == 0 {
			strayIn(in, depth+1, record)
		}
	}
}
