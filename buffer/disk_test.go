package buffer_test

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"
)

// A file system in memory that records what is done to it and fails on demand.
// It is served from a process of its own: bbolt maps the file into memory, and
// a process that reads a page of a file it serves itself waits for itself.

// With this variable the test binary serves such a file system at the folder
// named there, and takes commands from its standard input.
const diskAt = "BUFFER_TEST_DISK"

// op is something done to a file, or a mark of the test between two of them.
type op struct {
	Kind string // write, truncate, sync, create, open, rename, link, unlink, mark
	Name string // of the file as it was created; the text of a mark
	Off  int64
	Data []byte
}

// disk is the test's end of it.
type disk struct {
	t      testing.TB
	dir    string
	in     io.Writer
	out    *bufio.Scanner
	logged string
}

func mountDisk(t testing.TB) *disk {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse here: the file system that records and fails cannot be mounted")
	}
	if os.Getuid() != 0 {
		t.Skip("only root mounts a file system")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	d := &disk{t: t, dir: t.TempDir(), logged: filepath.Join(t.TempDir(), "log")}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), diskAt+"="+d.dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this kernel cannot start the test binary again (qemu-user)")
	} else {
		require.NoError(t, err)
	}
	d.in, d.out = in, bufio.NewScanner(out)
	t.Cleanup(func() {
		in.Close() // it unmounts and ends
		_ = cmd.Wait()
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH) // where a failed test left a file open
	})
	if reply := d.reply(); reply != "mounted" {
		t.Skip("cannot mount: ", reply)
	}
	return d
}

func (d *disk) reply() string {
	require.True(d.t, d.out.Scan(), "the file system's process ended")
	return d.out.Text()
}

// say gives a command and returns the answer.
func (d *disk) say(format string, args ...any) string {
	fmt.Fprintf(d.in, format+"\n", args...)
	return d.reply()
}

// log returns what was done.
func (d *disk) log() []op {
	require.Equal(d.t, "ok", d.say("log %s", d.logged))
	f, err := os.Open(d.logged)
	require.NoError(d.t, err)
	defer f.Close()
	var ops []op
	require.NoError(d.t, gob.NewDecoder(f).Decode(&ops))
	return ops
}

// tape is the serving end: what was done, and what is to fail.
type tape struct {
	mu     sync.Mutex
	ops    []op
	count  int // operations since fail or heal
	failAt int // -1: none
	sticky bool
	errno  syscall.Errno
}

func (t *tape) do(o op, apply func()) syscall.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.count
	t.count++
	if t.failAt >= 0 && (n == t.failAt || t.sticky && n > t.failAt) {
		return t.errno
	}
	o.Data = slices.Clone(o.Data)
	t.ops = append(t.ops, o)
	apply()
	return 0
}

type folder struct {
	fs.Inode
	*tape
}

type file struct {
	fs.Inode
	*tape
	name string
	mu   sync.Mutex
	data []byte
}

func (d *folder) Create(ctx context.Context, name string, _ uint32, _ uint32, _ *fuse.EntryOut) (node *fs.Inode, _ fs.FileHandle, _ uint32, errno syscall.Errno) {
	errno = d.do(op{Kind: "create", Name: name}, func() {
		node = d.NewInode(ctx, &file{tape: d.tape, name: name}, fs.StableAttr{Mode: syscall.S_IFREG})
	})
	return node, nil, fuse.FOPEN_KEEP_CACHE, errno
}

func (d *folder) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	return d.do(op{Kind: "rename", Name: name}, func() {})
}

func (d *folder) Link(_ context.Context, target fs.InodeEmbedder, name string, _ *fuse.EntryOut) (node *fs.Inode, errno syscall.Errno) {
	errno = d.do(op{Kind: "link", Name: name}, func() { node = target.EmbeddedInode() })
	return node, errno
}

func (d *folder) Unlink(_ context.Context, name string) syscall.Errno {
	return d.do(op{Kind: "unlink", Name: name}, func() {})
}

func (d *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return d.do(op{Kind: "sync"}, func() {})
}

func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, f.do(op{Kind: "open", Name: f.name}, func() {})
}

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Mode, out.Size, out.Nlink = syscall.S_IFREG|0o600, uint64(len(f.data)), 1
	return 0
}

func (f *file) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := f.do(op{Kind: "truncate", Name: f.name, Off: int64(size)}, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.data = resize(f.data, int64(size))
		}); errno != 0 {
			return errno
		}
	}
	return f.Getattr(ctx, h, out)
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(dest, f.data[min(off, int64(len(f.data))):])
	return fuse.ReadResultData(dest[:n]), 0
}

func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	return uint32(len(data)), f.do(op{Kind: "write", Name: f.name, Off: off, Data: data}, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.data = write(f.data, off, data)
	})
}

func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return f.do(op{Kind: "sync", Name: f.name}, func() {})
}

func (f *file) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func write(b []byte, off int64, data []byte) []byte {
	if end := off + int64(len(data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[off:], data)
	return b
}

// serveDisk serves until its standard input ends.
func serveDisk(dir string) error {
	t := &tape{failAt: -1}
	server, err := fs.Mount(dir, &folder{tape: t}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "buffer-test", DisableXAttrs: true}})
	if err != nil {
		fmt.Println("error:", err)
		return err
	}
	defer server.Unmount()
	fmt.Println("mounted")
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		word, rest, _ := strings.Cut(sc.Text(), " ")
		t.mu.Lock()
		reply := "ok"
		switch word {
		case "mark":
			t.ops = append(t.ops, op{Kind: "mark", Name: rest})
		case "fail": // fail N ERRNO once|on
			var errno int
			var how string
			fmt.Sscan(rest, &t.failAt, &errno, &how)
			t.errno, t.sticky, t.count = syscall.Errno(errno), how == "on", 0
		case "heal":
			reply = fmt.Sprint(t.count)
			t.failAt, t.count = -1, 0
		case "log":
			if err := dumpLog(rest, t.ops); err != nil {
				reply = err.Error()
			}
			t.ops = nil
		}
		t.mu.Unlock()
		fmt.Println(reply)
	}
	return nil
}

func dumpLog(path string, ops []op) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return gob.NewEncoder(f).Encode(ops)
}
