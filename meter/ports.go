package meter

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Ports are the serial ports of this computer, as the kernel shows them. They
// know which reader belongs to which of their sources: none is given to two,
// and one that is plugged in again is found under whatever name it has got.
// The zero Ports is ready.
type Ports struct {
	Sys string // root of sysfs, "" for /sys
	Dev string // folder of the device nodes, "" for /dev

	mu      sync.Mutex
	open    []*openPort
	owners  map[usbID]*serialPort
	doubled map[usbID]bool // of which two were plugged in at a time: they tell nothing
}

// Reader is a USB adapter with a serial port: an optical head, most likely.
type Reader struct {
	Port    string `json:"port"`    // "/dev/ttyUSB0"; another one after the next replugging
	Name    string `json:"name"`    // "usb:SERIAL", which stays; "" where the adapter cannot be told from others
	Serial  string `json:"serial"`  // "" where it has none
	Maker   string `json:"maker"`   // as the adapter says
	Product string `json:"product"` // as the adapter says

	id usbID
}

// usbID is what a USB adapter says of itself, and which of its ports it is.
type usbID struct{ vendor, product, serial, face string }

// String gives "usb:A50285BI at /dev/ttyUSB0 (FTDI FT232R USB UART)".
func (r Reader) String() string {
	s := r.Port
	if r.Name != "" {
		s = r.Name + " at " + r.Port
	}
	if what := strings.TrimSpace(r.Maker + " " + r.Product); what != "" {
		s += " (" + what + ")"
	}
	return s
}

// Readers lists the USB readers that are plugged in.
func (p *Ports) Readers() []Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readers()
}

func (p *Ports) readers() []Reader {
	var all []Reader
	for _, pattern := range []string{"ttyUSB*", "ttyACM*"} {
		found, _ := filepath.Glob(filepath.Join(cmp.Or(p.Sys, "/sys"), "class/tty", pattern))
		for _, tty := range found {
			if r, ok := p.readerAt(tty); ok {
				all = append(all, r)
			}
		}
	}
	serials, ids := map[string]int{}, map[usbID]int{}
	for _, r := range all {
		serials[r.Serial]++
		ids[r.id]++
	}
	for i := range all {
		r := &all[i]
		if ids[r.id] > 1 {
			if p.doubled == nil {
				p.doubled = map[usbID]bool{}
			}
			p.doubled[r.id] = true
		}
		switch {
		case r.Serial == "" || p.doubled[r.id]:
		case serials[r.Serial] == 1:
			r.Name = "usb:" + r.Serial
		default: // an adapter with several ports
			r.Name = "usb:" + r.Serial + "-if" + r.id.face
		}
	}
	return all
}

// readerAt reads what sysfs has of a tty. From its device upwards first comes
// the USB interface, then the USB device with its names.
func (p *Ports) readerAt(tty string) (r Reader, ok bool) {
	dir, err := filepath.EvalSymlinks(filepath.Join(tty, "device"))
	if err != nil {
		return r, false
	}
	r.Port = filepath.Join(cmp.Or(p.Dev, "/dev"), filepath.Base(tty))
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.TrimSpace(string(text))
	}
	for range 8 { // a tty is three below its USB device at most
		if face := read("bInterfaceNumber"); face != "" {
			r.id.face = face
		}
		if r.id.vendor = read("idVendor"); r.id.vendor != "" {
			r.id.product, r.id.serial = read("idProduct"), read("serial")
			r.Serial, r.Maker, r.Product = r.id.serial, read("manufacturer"), read("product")
			return r, true
		}
		dir = filepath.Dir(dir)
	}
	return r, false
}

// AbsentError says that a port is not there, and which readers are. It is an
// fs.ErrNotExist.
type AbsentError struct {
	What    string
	Readers []Reader
}

func (e *AbsentError) Error() string { return e.What + "; " + pluggedIn(e.Readers) }

// Is makes it an fs.ErrNotExist.
func (e *AbsentError) Is(target error) bool { return target == fs.ErrNotExist }

// Where says at which device node a serial port is now. The error says what is
// plugged in instead. It is ok only for serial ports.
func (p *Ports) Where(s Source) (path string, ok bool, err error) {
	port, ok := s.(*serialPort)
	if !ok {
		return "", false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	path, _, err = p.find(port)
	return path, true, err
}

// find gives the device node of a source's port, and the reader that it is, if
// it is one that has a serial number.
func (p *Ports) find(s *serialPort) (path string, r Reader, err error) {
	// The node before the readers: the kernel shows a reader before it gets its node,
	// so that one whose node is there is not opened unlearnt.
	_, absent := os.Stat(s.path)
	readers := p.readers()
	if s.usb != "" {
		r, err := named(s.usb, readers)
		return r.Port, r, err
	}
	if s.learnt.serial != "" && !p.doubled[s.learnt] {
		for _, r := range readers {
			if r.id == s.learnt {
				if !sameFile(s.path, r.Port) {
					return r.Port, r, nil
				}
				return s.path, r, nil // under the name that people know
			}
		}
	}
	if errors.Is(absent, fs.ErrNotExist) {
		return "", r, &AbsentError{s.path + ": no such file or directory", readers}
	} else if absent != nil {
		return "", r, absent
	}
	for _, here := range readers {
		if here.Serial == "" || p.doubled[here.id] || !sameFile(s.path, here.Port) {
			continue
		}
		if owner := p.owners[here.id]; owner != nil && owner != s {
			return "", r, fmt.Errorf("%s is now the reader with the USB serial number %s, which is that of %s; %s", s.path, here.Serial, owner, pluggedIn(readers))
		}
		r = here
	}
	return s.path, r, nil
}

// named finds the reader of a name after "usb:".
func named(name string, readers []Reader) (Reader, error) {
	var found []Reader
	for _, r := range readers {
		if r.Serial != "" && (r.Serial == name || r.Serial+"-if"+r.id.face == name) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return Reader{}, &AbsentError{"no reader with the USB serial number " + name + " is plugged in", readers}
	case 1:
		return found[0], nil
	}
	return Reader{}, fmt.Errorf("the USB serial number %s is that of several ports (%s): name the one by its link in /dev/serial/by-path instead", name, listed(found))
}

// own notes that s reads r, from now on and wherever it is plugged in again.
func (p *Ports) own(s *serialPort, r Reader) {
	if p.owners[s.learnt] == s {
		delete(p.owners, s.learnt)
	}
	s.learnt = r.id
	if r.Serial == "" || p.doubled[r.id] {
		return
	}
	if p.owners == nil {
		p.owners = map[usbID]*serialPort{}
	}
	p.owners[r.id] = s
}

// holder is the source that has a device node open.
func (p *Ports) holder(node os.FileInfo) *serialPort {
	for _, o := range p.open {
		if os.SameFile(o.node, node) {
			return o.source
		}
	}
	return nil
}

func (p *Ports) release(o *openPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(other *openPort) bool { return other == o })
}

func pluggedIn(readers []Reader) string {
	if len(readers) == 0 {
		return "no USB reader is plugged in (dmesg shows what happens when one is)"
	}
	return "plugged in: " + listed(readers)
}

func listed(readers []Reader) string {
	all := make([]string, len(readers))
	for i, r := range readers {
		all[i] = r.String()
	}
	return strings.Join(all, ", ")
}

func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}
