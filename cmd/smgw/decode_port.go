package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"go.bug.st/serial"

	"smgw/meter"
	"smgw/sml"
)

// listener reads a source and remembers what it heard, to say what may be
// wrong where no telegram comes.
type listener struct {
	r        io.Reader
	bytes    int64
	first    []byte // the first bytes heard
	torn     int    // frames that were begun and refused
	found    func() // called at each telegram
	telegram bool   // there was one
}

// smlStart begins every telegram.
const smlStart = "\x1b\x1b\x1b\x1b\x01\x01\x01\x01"

// firstBytes is how much of a silent line's noise is looked at.
const firstBytes = 256

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.bytes += int64(n)
	if room := firstBytes - len(l.first); room > 0 {
		l.first = append(l.first, p[:min(n, room)]...)
	}
	return n, err
}

func (l *listener) refused(r *sml.RefusedError) {
	if r.Reason != sml.Noise {
		l.torn++
	}
}

// explainSilence says what is likely wrong when a port was open for a while
// and no telegram came.
func (l *listener) explainSilence(source meter.Source, waited time.Duration) error {
	switch {
	case l.bytes == 0:
		return fmt.Errorf(`%s: not a byte in %v. Is the reading head on the meter's info port, on the right way up (the cable hangs down)?
  Does the meter push by itself? Some do only after the PIN was entered once`, source, waited)
	case l.torn > 0 || bytes.Contains(l.first, []byte(smlStart)):
		return fmt.Errorf(`%s: SML comes, but no telegram whole, in %v. Move the head a little so that it sits flat and centred;
  keep sunlight and other infrared off it; try a shorter cable`, source, waited)
	case looksLikeD0(l.first):
		return fmt.Errorf(`%s: the meter sends plain text (IEC 62056-21, "D0"), not SML. See whether its menu can switch the info port to SML`, source)
	}
	return fmt.Errorf(`%s: light, but no SML: %s in %v and no start of a telegram (first: % x). The speed may be wrong (SML is 9600 8N1),
  the head upside down or on the wrong side, or an infrared remote control or the sun may shine in`,
		source, count(int(l.bytes), "byte"), waited, l.first[:min(len(l.first), 8)])
}

// howToRecord is what a person does who has no good recording.
const howToRecord = `To record: stty -F /dev/ttyUSB0 9600 raw -echo; timeout 30 cat /dev/ttyUSB0 > recording.bin`

// explainRecording says what a recording without a telegram likely is.
func (l *listener) explainRecording() string {
	hexed := strings.ToLower(strings.Join(strings.FieldsFunc(string(l.first), func(r rune) bool { return unicode.IsSpace(r) || r == ':' }), ""))
	switch {
	case l.bytes == 0:
		return "the file is empty: nothing came while it was recorded. " + howToRecord
	case l.torn > 0 || bytes.Contains(l.first, []byte(smlStart)):
		return "telegrams begin in it, but none is whole: it was cut short, or the head did not sit well. " + howToRecord
	case strings.Contains(hexed, hex.EncodeToString([]byte(smlStart))):
		return "this is SML written in hexadecimal digits. Make bytes of it: xxd -r -p FILE | smgw decode -"
	case looksLikeD0(l.first):
		return `this is no SML recording: the meter sent plain text (IEC 62056-21, "D0"). See whether its menu can switch the info port to SML`
	case isText(l.first):
		return "this is no SML recording: it is text, and a recording has the bytes as they came from the head. " + howToRecord
	}
	return fmt.Sprintf("this is no SML recording: no telegram begins in it (first: % x). If it came from a head, its speed was wrong (SML is 9600 8N1). %s",
		l.first[:min(len(l.first), 8)], howToRecord)
}

// isText reports whether bytes are text that people write.
func isText(b []byte) bool {
	for len(b) > firstBytes-utf8.UTFMax && !utf8.Valid(b) {
		b = b[:len(b)-1] // only the beginning was kept, which may end within a character
	}
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && !unicode.IsSpace(r) || r == 0x7f })
}

// looksLikeD0 reports whether bytes are mostly the printable seven-bit text of
// IEC 62056-21, whose parity may sit in the eighth bit, and have its brackets.
func looksLikeD0(b []byte) bool {
	printable, brackets := 0, 0
	for _, c := range b {
		c &= 0x7f
		if c >= ' ' && c < 0x7f || c == '\r' || c == '\n' {
			printable++
		}
		if c == '(' || c == '/' {
			brackets++
		}
	}
	return len(b) >= 16 && brackets > 0 && printable*10 >= len(b)*9
}

// explainOpen says what to do about a source that cannot be opened.
func explainOpen(source meter.Source, err error) error {
	if address, isNetwork := strings.CutPrefix(source.String(), "tcp://"); isNetwork {
		return explainDial(source, address, err)
	}
	if used, ok := errors.AsType[*meter.BusyError](err); ok {
		return busy(used)
	}
	path, isPort := strings.CutPrefix(source.String(), "serial:")
	if !isPort {
		return fmt.Errorf("opening %s: %w", source, err)
	}
	var port *serial.PortError
	code := serial.PortErrorCode(-1)
	if errors.As(err, &port) {
		code = port.Code()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || code == serial.PortNotFound:
		return fmt.Errorf("%s: there is no such port. %s", path, portsHere())
	case errors.Is(err, fs.ErrPermission) || code == serial.PermissionDenied:
		return fmt.Errorf(`%s: no permission. Become a member of the group that owns it, then log in again:
  sudo usermod -aG %s $USER`, path, groupOf(path))
	case isFolder(path):
		return fmt.Errorf("%s: this is a folder, no serial port. %s", path, portsHere())
	case code == serial.InvalidSerialPort || errors.Is(err, syscall.ENOTTY) || errors.Is(err, syscall.EINVAL):
		return noPort(path)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

// explainDial says what to do about a converter that does not answer.
func explainDial(source meter.Source, address string, err error) error {
	host, port, _ := net.SplitHostPort(address)
	var unknown *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: no host %s is known here. Is the name right, and does this computer have a network? Its address does as well: tcp://192.168.1.20:%s", source, host, port)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: %s is there, but nothing answers at port %s. Does the converter (ser2net or the like) run, and is the port right?", source, host, port)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%s: %s does not answer. Is the converter on, is it in this network, and is the address right?", source, host)
	}
	return fmt.Errorf("opening %s: %w", source, err)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func noPort(path string) error {
	return fmt.Errorf("%s: this is no serial port. %s", path, portsHere())
}

// portsHere lists the ports that a reading head may be at.
func portsHere() string {
	var here []string
	for _, r := range new(meter.Ports).Readers() {
		here = append(here, r.String())
	}
	for _, pattern := range []string{"/dev/ttyAMA*", "/dev/serial[0-9]"} {
		found, _ := filepath.Glob(pattern)
		here = append(here, found...)
	}
	if len(here) > 0 {
		return "There are: " + strings.Join(here, ", ")
	}
	return "No reading head is plugged in: see what `dmesg` says when you plug it in"
}

// groupOf names the group that owns a port, dialout where it cannot be told.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "dialout"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "dialout"
	}
	groups, _ := os.ReadFile("/etc/group") // without os/user, which may want a C library
	for line := range strings.Lines(string(groups)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(int(stat.Gid)) && f[0] != "root" {
			return f[0]
		}
	}
	return "dialout"
}

// busy says who reads a port: the agent, most likely, whom the kernel does not
// name to other users.
func busy(e *meter.BusyError) error {
	const agent = "ask it: smgw status\n  or stop it for now: sudo systemctl stop smgw"
	switch {
	case e.By == "":
		return fmt.Errorf("%s: busy, another program has it open (sudo fuser --verbose %s names it). If it is the agent, %s", e.Path, e.Path, agent)
	case strings.HasPrefix(e.By, "smgw"):
		return fmt.Errorf("%s: busy, %s has it open. If that is the agent, %s", e.Path, e.By, agent)
	}
	return fmt.Errorf("%s: busy, %s has it open. End that, then try again", e.Path, e.By)
}
