package board

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
)

// Error says why a chip or a line of it cannot be used, and what to do about it.
type Error struct {
	Chip string
	Line string // "" when the chip itself is the matter
	Hint string
	Err  error
}

func (e *Error) Error() string {
	what := "gpio chip " + e.Chip
	if e.Line != "" {
		what += ", line " + e.Line
	}
	what += ": " + e.Err.Error()
	if e.Hint != "" {
		what += " (" + e.Hint + ")"
	}
	return what
}

func (e *Error) Unwrap() error { return e.Err }

// Errors that a caller may tell apart inside an Error.
var (
	ErrNoChip     = errors.New("no such chip")
	ErrNotChip    = errors.New("not a gpio chip")
	ErrNoLine     = errors.New("no such line")
	ErrBusy       = errors.New("in use by somebody else")
	ErrPermission = errors.New("permission denied")
)

// consumer is what gpioinfo shows as the user of our lines.
const consumer = "smgw"

// Open requests the lines of c's lamps as outputs and lights every lamp. It always
// returns Lamps that can be used: beside an error those that could be had, and
// where there are none those of a board without lamps (Dark). The error has an
// *Error for each lamp that is missing.
func Open(c Config) (Lamps, error) {
	var lamps []Lamp
	var lines []line
	var errs []error
	for _, lamp := range c.Lamps {
		l, err := requestOutput(c, lamp.Line, lamp.ActiveLow)
		if line, ok := errors.AsType[*Error](err); ok && line.Line == "" {
			return Dark{}, err // the chip: no line of it can be had
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lamps, lines = append(lamps, lamp), append(lines, l)
	}
	if len(lamps) == 0 {
		return Dark{}, errors.Join(errs...)
	}
	return newPanel(lamps, lines), errors.Join(errs...)
}

// OpenButton requests the line of c's button. The Button is nil where c has
// none, and beside an error, which is an *Error.
//
// The kernel debounces the line and reports its edges; where it is too old for
// that (before Linux 5.10) the agent debounces. The chip's own resistor, where
// it has one, holds the line at rest, so that a plain contact is enough.
func OpenButton(c Config) (Button, error) {
	if c.Button == nil {
		return nil, nil
	}
	return openButton(c, func(options ...gpiocdev.LineReqOption) (io.Closer, error) {
		return request(c, c.Button.Line, options...)
	})
}

// openButton is OpenButton with the request of the line passed in.
func openButton(c Config, request func(...gpiocdev.LineReqOption) (io.Closer, error)) (Button, error) {
	levels := newLevels()
	edges := []gpiocdev.LineReqOption{
		gpiocdev.AsInput,
		gpiocdev.WithBothEdges,
		gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) { levels.set(e.Type == gpiocdev.LineEventRisingEdge) }),
	}
	rest := gpiocdev.LineReqOption(gpiocdev.WithPullDown)
	if c.Button.ActiveLow {
		edges = append(edges, gpiocdev.AsActiveLow)
		rest = gpiocdev.WithPullUp
	}
	debounced := gpiocdev.WithDebounce(settle)
	var err error
	for _, try := range []struct {
		more   []gpiocdev.LineReqOption
		bounce time.Duration
	}{
		{[]gpiocdev.LineReqOption{rest, debounced}, 0},
		{[]gpiocdev.LineReqOption{debounced}, 0},
		{[]gpiocdev.LineReqOption{rest}, settle},
		{nil, settle},
	} {
		var line io.Closer
		line, err = request(slices.Concat(edges, try.more)...)
		if err == nil {
			return newButton(line, levels, try.bounce), nil
		}
		if !refused(err) {
			break
		}
	}
	return nil, err
}

// OpenReset requests the line of c's reset as an output that is not pulled. The
// Reset is nil where c has none, and beside an error, which is an *Error.
func OpenReset(c Config) (Reset, error) {
	if c.Reset == nil {
		return nil, nil
	}
	out, err := requestOutput(c, c.Reset.Line, c.Reset.ActiveLow)
	if err != nil {
		return nil, err
	}
	return &resetLine{out, c.Reset.Line}, nil
}

// refused reports whether chip or kernel do not know what a request asked for.
func refused(err error) bool {
	var old gpiocdev.ErrUapiIncompatibility
	return errors.As(err, &old) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, errNotSupp)
}

// errNotSupp is ENOTSUPP, which the kernel's drivers return by mistake.
const errNotSupp = unix.Errno(524)

// Probe looks whether the chip and the lines of c exist, without taking them
// from whoever has them. The errors are those of Open, one for each line.
func Probe(c Config) error {
	var lines []LineID
	for _, lamp := range c.Lamps {
		lines = append(lines, lamp.Line)
	}
	for _, pin := range []*Pin{c.Button, c.Reset} {
		if pin != nil {
			lines = append(lines, pin.Line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	chip, err := openChip(c)
	if err != nil {
		return err
	}
	defer chip.Close()
	var errs []error
	for _, id := range lines {
		_, err := findLine(chip, c, id)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// requestOutput requests a line as an output that is off.
func requestOutput(c Config, id LineID, activeLow bool) (*gpiocdev.Line, error) {
	options := []gpiocdev.LineReqOption{gpiocdev.AsOutput(0)}
	if activeLow {
		options = append(options, gpiocdev.AsActiveLow)
	}
	return request(c, id, options...)
}

// request requests a line, which lives on when the chip is closed.
func request(c Config, id LineID, options ...gpiocdev.LineReqOption) (*gpiocdev.Line, error) {
	chip, err := openChip(c)
	if err != nil {
		return nil, err
	}
	defer chip.Close()
	offset, err := findLine(chip, c, id)
	if err != nil {
		return nil, err
	}
	l, err := chip.RequestLine(offset, options...)
	if err != nil {
		return nil, lineError(c, chip, id, offset, err)
	}
	return l, nil
}

func openChip(c Config) (*gpiocdev.Chip, error) {
	path, err := chipPath(c)
	if err != nil {
		return nil, err
	}
	chip, err := gpiocdev.NewChip(path, gpiocdev.WithConsumer(consumer))
	if err != nil {
		return nil, chipError(c, err)
	}
	return chip, nil
}

// chipPath resolves the chip's name to its device node. go-gpiocdev refuses
// symbolic links, as udev rules make them, and puts /dev/ before every path
// that does not begin so.
func chipPath(c Config) (string, error) {
	path := c.Chip
	if !filepath.IsAbs(path) {
		path = filepath.Join(cmp.Or(c.Dev, "/dev"), path)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", chipError(c, err)
	}
	if fi, err := os.Stat(path); err != nil {
		return "", chipError(c, err)
	} else if fi.Mode()&fs.ModeCharDevice == 0 {
		return "", chipError(c, gpiocdev.ErrNotCharacterDevice)
	}
	if !strings.HasPrefix(path, "/dev/") {
		path = "/dev/.." + path
	}
	return path, nil
}

func findLine(chip *gpiocdev.Chip, c Config, id LineID) (int, error) {
	if id.Name == "" {
		if id.Offset >= chip.Lines() {
			return 0, &Error{c.Chip, id.String(), fmt.Sprintf("the chip has lines 0 to %d", chip.Lines()-1), ErrNoLine}
		}
		return id.Offset, nil
	}
	offset, err := chip.FindLine(id.Name)
	if errors.Is(err, gpiocdev.ErrNotFound) {
		return 0, &Error{c.Chip, id.String(), "gpioinfo lists the names of the lines", ErrNoLine}
	}
	if err != nil {
		return 0, &Error{c.Chip, id.String(), "", err}
	}
	return offset, nil
}

func chipError(c Config, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint := "this computer has no gpio chip: leave [board] out"
		if chips, _ := filepath.Glob(filepath.Join(cmp.Or(c.Dev, "/dev"), "gpiochip*")); len(chips) > 0 {
			for i := range chips {
				chips[i] = filepath.Base(chips[i])
			}
			hint = "this computer has " + strings.Join(chips, ", ")
		}
		return &Error{c.Chip, "", hint, ErrNoChip}
	case errors.Is(err, gpiocdev.ErrNotCharacterDevice), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL):
		return &Error{c.Chip, "", "gpiodetect lists the chips", ErrNotChip}
	case errors.Is(err, fs.ErrPermission):
		return &Error{c.Chip, "", "add the agent's user to the group gpio", ErrPermission}
	}
	return &Error{c.Chip, "", "", err}
}

func lineError(c Config, chip *gpiocdev.Chip, id LineID, offset int, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		hint := "gpioinfo shows who has it"
		if info, e := chip.LineInfo(offset); e == nil && info.Consumer != "" {
			hint = "it belongs to " + info.Consumer
		}
		return &Error{c.Chip, id.String(), hint, ErrBusy}
	case errors.Is(err, fs.ErrPermission):
		return &Error{c.Chip, id.String(), "the line cannot be used in this direction, or the agent's user is not in the group gpio", ErrPermission}
	case refused(err):
		return &Error{c.Chip, id.String(), "the chip cannot do with this line what is asked of it: choose another", err}
	}
	return &Error{c.Chip, id.String(), "", err}
}
