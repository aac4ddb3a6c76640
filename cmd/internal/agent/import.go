package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/obis"

	"github.com/shopspring/decimal"
)

// A table of readings fills gaps: those of another gateway at the same point, or
// of somebody who read the meter while this one could not. What is kept is never
// overwritten, and a table that contradicts it is refused whole.

const (
	maxTable   = 32 << 20 // bytes; two years of two registers are a third of it
	importStep = 4096     // readings in one commit: six weeks
)

// imports takes a table of readings.
func (i *Inspection) imports(r *http.Request) (done control.Imported, err error) {
	name, err := i.configuredMeter(r.URL.Query().Get("meter"))
	if err != nil {
		return done, err
	}
	if begin, err := i.begin(); err != nil || begin == 0 {
		return done, cmp.Or(err, control.Impossible("this gateway's own work has not begun, and readings from before it must not look like its own: start the agent, wait for its first reading, and import then"))
	}
	all, _, err := notes(i.Store)
	if err = cmp.Or(err, takesNoMore(all)); err != nil {
		return done, err
	}
	table, err := meter.ReadTable(http.MaxBytesReader(nil, r.Body, maxTable))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return done, control.Malformed("the table is larger than %d MB: import it in parts", maxTable>>20)
	}
	if err != nil {
		return done, control.Malformed("%w", err)
	}
	done = control.Imported{Meter: name, Readings: len(table)}
	fill, err := i.gaps(name, table, &done)
	handover := r.URL.Query().Get("handover") != ""
	if err == nil && handover {
		if len(table) == 0 {
			return done, control.Malformed("nothing is imported: the table has no reading, so where the gateway before this one ended is not known")
		}
		end := slices.MaxFunc(table, func(a, b meter.BoundaryReading) int { return cmp.Compare(a.Boundary, b.Boundary) }).Boundary
		done.Begins = &end
		_, err = i.canFollow(end)
	}
	if err != nil {
		return done, fmt.Errorf("nothing is imported: %w", err)
	}
	if len(fill) > 0 {
		if err := i.takes(r, name, fill, &done); err != nil {
			return done, err
		}
	}
	if handover {
		if err := i.handOver(r, name, *done.Begins); err != nil {
			return done, fmt.Errorf("the readings are imported, and this gateway's payloads begin where they did: %w", err)
		}
	}
	return done, nil
}

// takes stores the readings of a table that fill gaps.
func (i *Inspection) takes(r *http.Request, name string, fill []meter.BoundaryReading, done *control.Imported) error {
	first, last := fill[0].Boundary, fill[len(fill)-1].Boundary
	done.From, done.To = &first, &last
	detail, err := by(r, "meter", name, "readings", strconv.Itoa(len(fill)), "present", strconv.Itoa(done.Present),
		"from", first.String(), "to", last.String())
	if err != nil {
		return err
	}
	// That they come is noted before, so that what was built without them is looked
	// at again even where the power is cut in between; and again when they are here,
	// because the agent may have looked meanwhile, and saw a part of them.
	late := lateNote(name, first, last)
	if err := putNote(i.Store, late, false, buffer.Event{At: i.Now(), Kind: Imported, Detail: detail}); err != nil {
		return err
	}
	for part := range slices.Chunk(fill, importStep) {
		var n int
		n, err = i.Store.PutBoundaries(part)
		if done.Stored += n; err != nil {
			break
		}
	}
	defer i.alone()()
	i.told()
	return errors.Join(err, putNote(i.Store, late, false))
}

// configuredMeter is the meter that a question names, or the only one there is.
func (i *Inspection) configuredMeter(name string) (string, error) {
	if i.Config == nil {
		return "", control.Impossible("only a gateway's own store is changed, and not a file brought along")
	}
	var names []string
	for _, m := range i.Config.Meters {
		if m.Name == name || name == "" && len(i.Config.Meters) == 1 {
			return m.Name, nil
		}
		names = append(names, m.Name)
	}
	if name == "" {
		return "", control.Malformed("there are several meters: choose %s with --meter", strings.Join(names, " or "))
	}
	return "", control.Malformed("there is no meter %q in %s: want %s", name, i.Config.File, strings.Join(names, " or "))
}

// gaps are the readings of a table that fill gaps of a meter's series, ascending.
func (i *Inspection) gaps(name string, table []meter.BoundaryReading, done *control.Imported) ([]meter.BoundaryReading, error) {
	table, err := together(name, table)
	if err != nil || len(table) == 0 {
		return nil, err
	}
	if last := &table[len(table)-1]; last.Boundary.Time().After(i.Now()) {
		return nil, control.Malformed("the reading at %s lies in the future: is the gateway's clock right?", last.Boundary)
	}
	kept, err := i.Store.Boundaries(name, table[0].Boundary-lookBack, table[len(table)-1].Boundary+lookBack)
	if err != nil {
		return nil, err
	}
	limit := i.Config.Readings.OffsetLimit
	taken := map[meter.Quarter]bool{}
	for _, b := range kept {
		taken[b.Boundary] = taken[b.Boundary] || b.Offset.Abs() <= limit
	}
	var fill []meter.BoundaryReading
	for _, b := range table {
		switch {
		case b.Device == "":
			return nil, control.Malformed("the reading at %s does not say which device showed it: want the column server_id, as smgw export --columns reason,server_id writes it", b.Boundary)
		case b.Offset.Abs() > limit:
			done.Unusable++
		case taken[b.Boundary]:
			done.Present++
		default:
			fill = append(fill, b)
		}
	}
	return fill, contradiction(kept, fill)
}

// together puts the registers that a table has of one device at one boundary
// into one reading, and sorts the readings.
func together(name string, table []meter.BoundaryReading) ([]meter.BoundaryReading, error) {
	slices.SortStableFunc(table, func(a, b meter.BoundaryReading) int {
		return cmp.Or(cmp.Compare(a.Boundary, b.Boundary), cmp.Compare(a.Device, b.Device))
	})
	var all []meter.BoundaryReading
	for _, b := range table {
		b.Meter = name
		if n := len(all); n > 0 && all[n-1].Boundary == b.Boundary && all[n-1].Device == b.Device {
			same := &all[n-1]
			if same.Offset != b.Offset || same.Clock != b.Clock || same.Coarse != b.Coarse {
				return nil, control.Malformed("the registers of device %s at %s were not read at one moment: want one offset_ms, state and reason for all of them", b.Device, b.Boundary)
			}
			same.Registers = append(same.Registers, b.Registers...)
			continue
		}
		all = append(all, b)
	}
	return all, nil
}

// contradiction says why readings cannot lie where they would fill gaps: a
// register of a device never falls, and no other device is there in between.
// What is kept and fell itself has no say. Both are ascending.
func contradiction(kept, fill []meter.BoundaryReading) error {
	type register struct {
		device meter.DeviceID
		code   obis.Code
	}
	type shown struct {
		at    meter.Quarter
		value decimal.Decimal
	}
	good := map[register][]shown{}
	for _, b := range kept {
		for _, r := range b.Registers {
			of := register{b.Device, r.Code}
			if n := len(good[of]); n == 0 || !r.Value.LessThan(good[of][n-1].value) {
				good[of] = append(good[of], shown{b.Boundary, r.Value})
			}
		}
	}
	before := map[register]shown{}
	for _, b := range fill {
		after, _ := slices.BinarySearchFunc(kept, b.Boundary, func(k meter.BoundaryReading, q meter.Quarter) int { return cmp.Compare(k.Boundary, q) })
		if 0 < after && after < len(kept) && kept[after-1].Device == kept[after].Device && kept[after].Device != b.Device {
			return control.Impossible("at %s device %s was there, before and after it, and not %s: is this the table of another meter?", b.Boundary, kept[after].Device, b.Device)
		}
		for _, r := range b.Registers {
			of := register{b.Device, r.Code}
			low, all := before[of], good[of]
			next, _ := slices.BinarySearchFunc(all, b.Boundary, func(s shown, q meter.Quarter) int { return cmp.Compare(s.at, q) })
			if next > 0 && (low.at == 0 || all[next-1].at > low.at) {
				low = all[next-1]
			}
			if low.at != 0 && r.Value.LessThan(low.value) {
				return control.Impossible("%s of device %s at %s is %s Wh, less than the %s Wh at %s: a register does not fall",
					r.Code.Short(), b.Device, b.Boundary, r.Value, low.value, low.at)
			}
			if next < len(all) && all[next].value.LessThan(r.Value) {
				return control.Impossible("%s of device %s at %s is %s Wh, more than the %s Wh at %s: a register does not fall",
					r.Code.Short(), b.Device, b.Boundary, r.Value, all[next].value, all[next].at)
			}
			before[of] = shown{b.Boundary, r.Value}
		}
	}
	return nil
}
