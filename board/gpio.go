package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
)

// Error says why lamps cannot be used, and what to do about it.
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

// Open requests the lines of c as outputs and lights every lamp. It always
// returns Lamps that can be used: those of a board without lamps (Dark) beside an error,
// and where c has no lamps. The error is an *Error.
func Open(c Config) (Lamps, error) {
	if len(c.Lamps) == 0 {
		return Dark{}, nil
	}
	lines, err := requestLines(c)
	if err != nil {
		return Dark{}, err
	}
	return newPanel(c.Lamps, lines), nil
}

// Probe looks whether the chip and the lines of c exist, without taking them
// from whoever has them. The errors are those of Open, one for each line.
func Probe(c Config) error {
	if len(c.Lamps) == 0 {
		return nil
	}
	chip, err := openChip(c)
	if err != nil {
		return err
	}
	defer chip.Close()
	var errs []error
	for _, lamp := range c.Lamps {
		_, err := findLine(chip, c, lamp.Line)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func requestLines(c Config) (_ []line, err error) {
	chip, err := openChip(c)
	if err != nil {
		return nil, err
	}
	defer chip.Close() // requested lines live on without it

	var lines []line
	defer func() {
		if err != nil {
			for _, l := range lines {
				l.Close()
			}
		}
	}()
	for _, lamp := range c.Lamps {
		offset, err := findLine(chip, c, lamp.Line)
		if err != nil {
			return nil, err
		}
		options := []gpiocdev.LineReqOption{gpiocdev.AsOutput(0)}
		if lamp.ActiveLow {
			options = append(options, gpiocdev.AsActiveLow)
		}
		l, err := chip.RequestLine(offset, options...)
		if err != nil {
			return nil, lineError(c, chip, lamp.Line, offset, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
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
	dev := c.Dev
	if dev == "" {
		dev = "/dev"
	}
	path := c.Chip
	if !filepath.IsAbs(path) {
		path = filepath.Join(dev, path)
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
		if names := gpiocdev.Chips(); len(names) > 0 {
			hint = "this computer has " + strings.Join(names, ", ")
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
		return &Error{c.Chip, id.String(), "the line cannot be an output, or the agent's user is not in the group gpio", ErrPermission}
	}
	return &Error{c.Chip, id.String(), "", err}
}
