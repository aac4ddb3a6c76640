package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
)

// Inspection answers all that looks into a store: the running agent's through
// its socket, and one at rest in the process of the verb that asks.
//
// What is kept of the meter is personal: whoever sees it is written to the
// journal first, and sees nothing when that cannot be done. Figures about the
// store, the journal itself and the list of what waits are not.
type Inspection struct {
	Store  *buffer.Store
	Now    func() time.Time
	Looked func(buffer.Event) error // writes down who looked
	Keys   func() SignatureKeys     // of the gateway, at the moment; nil where they are not known
	Queued func(endpoint string)    // hears of an endpoint that has more to send; may be nil
	Config *config.Config           // of the gateway whose store it is; nil for a file brought along
	Told   func()                   // hears, while Alone is held, that people changed what is noted; may be nil
	Begun  func()                   // hears, while Alone is held, that the gateway's work begins earlier; may be nil
	Alone  sync.Locker              // keeps a running agent from building meanwhile; nil where none runs

	checking sync.Mutex // one snapshot at a time
}

// Handler answers under the paths of package control.
func (i *Inspection) Handler() http.Handler {
	mux := http.NewServeMux()
	i.handle(mux)
	return mux
}

func (i *Inspection) handle(mux *http.ServeMux) {
	mux.Handle("GET "+control.JournalPath, control.Stream(i.journal))
	mux.Handle("GET "+control.VerifyPath, control.Answer(i.verify))
	mux.Handle("GET "+control.StatsPath, control.Answer(func(*http.Request) (buffer.Stats, error) { return i.Store.Stats() }))
	mux.Handle("GET "+control.CheckPath, control.Answer(i.check))
	mux.Handle("GET "+control.DumpPath, control.Stream(i.dump))
	mux.Handle("POST "+control.CompactPath, control.Answer(i.compact))
	mux.Handle("GET "+control.ReadingsPath, control.Stream(i.readings))
	mux.Handle("GET "+control.ContractsPath, control.Answer(i.contracts))
	mux.Handle("GET "+control.OutboxPath, control.Stream(i.outbox))
	mux.Handle("GET "+control.OutboxPath+"/{id}", control.Answer(i.item))
	mux.Handle("POST "+control.OutboxPath+"/{id}/retry", control.Answer(i.retry))
	mux.Handle("POST "+control.OutboxPath+"/{id}/give-up", control.Answer(i.giveUp))
	mux.Handle("GET "+control.EventsPath, control.Stream(i.events))
	mux.Handle("POST "+control.EventsPath, control.Answer(i.tell))
	mux.Handle("POST "+control.EventsPath+"/{id}/withdraw", control.Answer(i.withdraw))
	mux.Handle("POST "+control.ImportPath, control.Answer(i.imports))
}

// by are details of an event with who asks.
func by(r *http.Request, details ...string) (map[string]string, error) {
	peer, known := control.PeerOf(r.Context())
	if !known {
		return nil, errors.New("the kernel does not say who asks, so this is not answered")
	}
	return pairs(map[string]string{"who": peer.Name(), "uid": strconv.FormatUint(uint64(peer.UID), 10)}, details), nil
}

// looks writes down that somebody looks at measured values.
func (i *Inspection) looks(r *http.Request, details ...string) error {
	detail, err := by(r, details...)
	if err != nil {
		return err
	}
	if err := i.Looked(buffer.Event{At: i.Now(), Kind: Looked, Detail: detail}); err != nil {
		return fmt.Errorf("nothing is shown, because it cannot be written down who looks: %w", err)
	}
	return nil
}

// journal streams the entries, or those since an instant.
func (i *Inspection) journal(w http.ResponseWriter, r *http.Request) error {
	since, err := instantOf(r, "since")
	if err != nil {
		return err
	}
	_ = i.Store.Flush() // a store that takes nothing still shows what it has
	return writeAll(w, i.entries(), func(out *json.Encoder, e buffer.Entry) error {
		if e.At.Before(since) {
			return nil
		}
		return out.Encode(e)
	})
}

func (i *Inspection) verify(*http.Request) (v control.JournalVerdict, err error) {
	anchor, err := i.Store.Anchor()
	if err != nil {
		return v, err
	}
	if anchor.Seq > 0 {
		v.ErasedUpTo, v.ErasedAt = anchor.Seq, &anchor.At
	}
	for e, err := range i.entries() {
		if err != nil {
			return v, err
		}
		if v.Entries++; v.First == 0 {
			v.First = e.Seq
		}
		v.Last = e.Seq
	}
	err = i.Store.VerifyJournal()
	if broken := (*buffer.JournalError)(nil); err != nil && !errors.As(err, &broken) {
		return v, err
	}
	var keys SignatureKeys
	if i.Keys != nil {
		keys = i.Keys()
	}
	switch {
	case anchor.Seq == 0:
		v.Anchor = "none: the journal is whole"
	case len(anchor.Signature) == 0:
		v.Anchor = "not signed"
		err = errors.Join(err, errors.New("journal's anchor: it is not signed, so anybody may have cut the journal"))
	case keys.none():
		v.Anchor = "signed; by whom is not checked, because the gateway's certificate is not here"
	default:
		signed, bad := keys.verify(anchor)
		v.Anchor, err = signed, errors.Join(err, bad)
	}
	v.OK = err == nil
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

// check has a copy of the store checked by a process of its own, because
// bbolt's check can kill the one it runs in.
func (i *Inspection) check(*http.Request) (v control.StoreVerdict, err error) {
	i.checking.Lock()
	defer i.checking.Unlock()
	v.Path = i.Store.Path()
	stats, err := i.Store.Size()
	if err != nil {
		return v, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(v.Path), &disk); err != nil {
		return v, fmt.Errorf("room for a copy of the store: %w", err)
	}
	const spare = 4 << 20 // for the agent to go on with
	if free, need := int64(disk.Bavail)*int64(disk.Bsize), stats.FileBytes+spare; free < need {
		return v, control.Impossible("checking needs a copy of the store, and %s has room for %d of %d bytes: stop the agent, then the store is checked where it is", filepath.Dir(v.Path), free, need)
	}
	path := v.Path + ".check" // always the same: what a power cut leaves is used again
	defer os.Remove(path)
	if err := i.snapshot(path); err != nil {
		return v, err
	}
	err = CheckStore(path)
	if damaged := (*buffer.DamagedError)(nil); err != nil && !errors.As(err, &damaged) {
		return v, err
	}
	v.OK = err == nil
	if err != nil {
		v.Problem = strings.ReplaceAll(err.Error(), path, v.Path)
	}
	return v, nil
}

func (i *Inspection) snapshot(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	return errors.Join(i.Store.Snapshot(f), f.Close())
}

func (i *Inspection) compact(*http.Request) (c control.Compacted, err error) {
	c.Path = i.Store.Path()
	before, err := i.Store.Size()
	if err != nil {
		return c, err
	}
	if err := i.Store.Compact(); err != nil {
		return c, err
	}
	after, err := i.Store.Size()
	c.Before, c.After = before.FileBytes, after.FileBytes
	return c, err
}

// contracts are the versions that are kept.
func (i *Inspection) contracts(*http.Request) (c control.Contracts, err error) {
	versions, err := i.Store.Contracts()
	if err != nil {
		return c, err
	}
	c.Versions = []control.ContractRecord{}
	for _, v := range versions {
		c.Versions = append(c.Versions, control.ContractRecord{From: v.From, Text: string(v.Text)})
	}
	marks, err := i.Store.Series()
	c.BuiltUpTo = builtUpTo(marks)
	return c, err
}

// dump streams every record of the store.
func (i *Inspection) dump(w http.ResponseWriter, r *http.Request) error {
	if err := i.looks(r, "what", "dump"); err != nil {
		return err
	}
	return writeAll(w, i.records(), func(out *json.Encoder, record control.Record) error { return out.Encode(record) })
}

func (i *Inspection) records() iter.Seq2[control.Record, error] {
	return func(yield func(control.Record, error) bool) {
		meters, err := i.Store.Meters()
		for _, m := range meters {
			for b, err := range i.boundaries(m, 0, lastQuarter) {
				if !yield(control.Record{Boundary: control.BoundaryOf(&b)}, err) {
					return
				}
			}
		}
		for _, m := range meters {
			for r, err := range i.minutes(m) {
				if !yield(control.Record{Minute: control.MinuteOf(&r)}, err) {
					return
				}
			}
		}
		if err == nil {
			err = i.otherRecords(func(r control.Record) bool { return yield(r, nil) })
		}
		if errors.Is(err, errEnough) {
			return
		}
		if err != nil {
			yield(control.Record{}, err)
			return
		}
		for e, err := range i.entries() {
			if !yield(control.Record{Journal: &e}, err) {
				return
			}
		}
	}
}

// errEnough ends a walk whose reader has seen enough.
var errEnough = errors.New("enough")

// otherRecords are those of which a store has few.
func (i *Inspection) otherRecords(yield func(control.Record) bool) error {
	items, err := i.items(true)
	if err != nil {
		return err
	}
	marks, err := i.Store.Series()
	if err != nil {
		return err
	}
	contracts, err := i.Store.Contracts()
	if err != nil {
		return err
	}
	losses, err := i.Store.Losses()
	if err != nil {
		return err
	}
	anchor, err := i.Store.Anchor()
	if err != nil {
		return err
	}
	for _, it := range items {
		content := control.ItemContent{Item: it}
		if it.State == buffer.Waiting || it.State == buffer.SetAside {
			// One that was settled since its list was made has none any more.
			if content.Body, err = i.Store.Body(it.ID); err != nil && !errors.Is(err, buffer.ErrUnknownItem) {
				return err
			}
		}
		if !yield(control.Record{Item: &content}) {
			return errEnough
		}
	}
	var all []control.Record
	for _, series := range slices.Sorted(maps.Keys(marks)) {
		all = append(all, control.Record{Mark: &control.MarkRecord{Series: series, BuiltUpTo: marks[series]}})
	}
	for _, c := range contracts {
		all = append(all, control.Record{Contract: &control.ContractRecord{From: c.From, Text: string(c.Text)}})
	}
	for _, l := range losses {
		all = append(all, control.Record{Loss: control.LossOf(&l)})
	}
	if anchor.Seq > 0 {
		all = append(all, control.Record{Anchor: &control.AnchorRecord{Seq: anchor.Seq, Hash: anchor.Hash, At: anchor.At, Signature: anchor.Signature}})
	}
	for _, r := range all {
		if !yield(r) {
			return errEnough
		}
	}
	return nil
}

// readings streams a table of readings.
func (i *Inspection) readings(w http.ResponseWriter, r *http.Request) error {
	name, err := i.meterOf(r)
	if err != nil {
		return err
	}
	from, err := instantOf(r, "from")
	if err != nil {
		return err
	}
	to, err := instantOf(r, "to")
	if err != nil {
		return err
	}
	if !to.IsZero() && to.Before(from) {
		return control.Malformed("to %s is before from %s: want the earlier one first", to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	first, last := meter.Quarter(0), lastQuarter
	if !from.IsZero() {
		first = meter.QuarterOf(from.Add(meter.QuarterLength - 1))
	}
	if !to.IsZero() {
		last = meter.QuarterOf(to)
	}
	var columns []string
	if text := r.URL.Query().Get("columns"); text != "" {
		columns = strings.Split(text, ",")
	}
	for _, c := range columns {
		if !slices.Contains(meter.OptionalColumns, c) {
			return control.Malformed("column %q: want some of %s", c, strings.Join(meter.OptionalColumns, ", "))
		}
	}
	begin := meter.NewTableWriter
	switch format := r.URL.Query().Get("format"); format {
	case "csv":
	case "json":
		begin = meter.NewJSONTableWriter
	default:
		return control.Malformed("format %q: want csv or json", format)
	}
	if err := i.looks(r, "what", "readings", "meter", name, "from", r.URL.Query().Get("from"), "to", r.URL.Query().Get("to")); err != nil {
		return err
	}
	table := begin(w, columns...)
	for b, err := range i.boundaries(name, first, last) {
		if err != nil {
			return err
		}
		if err := table.Write(&b); err != nil {
			return err
		}
	}
	return table.Flush()
}

// meterOf is the meter that a question names, or the only one there is.
func (i *Inspection) meterOf(r *http.Request) (string, error) {
	meters, err := i.Store.Meters()
	if err != nil {
		return "", err
	}
	name := r.URL.Query().Get("meter")
	switch {
	case name == "" && len(meters) == 1:
		return meters[0], nil
	case len(meters) == 0:
		return "", control.Impossible("no meter has a reading yet")
	case name == "":
		return "", control.Malformed("there are readings of several meters: choose %s with --meter", strings.Join(meters, " or "))
	case !slices.Contains(meters, name):
		return "", control.Malformed("there is no reading of a meter %q, but of %s", name, strings.Join(meters, ", "))
	}
	return name, nil
}

// outbox streams the items that are not settled, or all.
func (i *Inspection) outbox(w http.ResponseWriter, r *http.Request) error {
	items, err := i.items(r.URL.Query().Get("all") != "")
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	for _, it := range items {
		if err := out.Encode(it); err != nil {
			return err
		}
	}
	return nil
}

// items are those that are not settled, or all, by due time. The settled ones
// of three months are a few hundred.
func (i *Inspection) items(all bool) ([]control.Item, error) {
	var items []control.Item
	err := i.Store.Items(func(it buffer.Item) bool {
		if all || it.State == buffer.Waiting || it.State == buffer.SetAside {
			items = append(items, control.ItemOf(&it))
		}
		return true
	})
	slices.SortStableFunc(items, func(a, b control.Item) int { return a.Due.Compare(b.Due) })
	return items, err
}

// find is the item that a question names.
func (i *Inspection) find(r *http.Request) (buffer.Item, error) {
	it, found, err := i.Store.Item(r.PathValue("id"))
	if err == nil && !found {
		err = control.Unknown("there is no item %q: smgw outbox list --all shows those there are", r.PathValue("id"))
	}
	return it, err
}

// item shows one item with its payload, which is a look at measured values.
func (i *Inspection) item(r *http.Request) (c control.ItemContent, err error) {
	it, err := i.find(r)
	if err != nil {
		return c, err
	}
	c.Item = control.ItemOf(&it)
	if it.State != buffer.Waiting && it.State != buffer.SetAside {
		return c, nil
	}
	if err := i.looks(r, "what", "payload", "id", it.ID); err != nil {
		return c, err
	}
	c.Body, err = i.Store.Body(it.ID)
	return c, err
}

func (i *Inspection) retry(r *http.Request) (control.Item, error) {
	return i.act(r, Retried, "", func(it buffer.Item, e buffer.Event) error { return i.Store.Retry(it.ID, e.At, e) })
}

func (i *Inspection) giveUp(r *http.Request) (control.Item, error) {
	reason := r.URL.Query().Get("reason")
	if strings.TrimSpace(reason) == "" {
		return control.Item{}, control.Malformed("giving up needs a reason, for those who ask later")
	}
	return i.act(r, GivenUp, reason, func(it buffer.Item, e buffer.Event) error { return i.Store.GiveUp(it.ID, reason, e.At, e) })
}

// act does what somebody decided about an item that was set aside, and writes
// who did in the same commit.
func (i *Inspection) act(r *http.Request, kind, reason string, do func(buffer.Item, buffer.Event) error) (control.Item, error) {
	it, err := i.find(r)
	if err != nil {
		return control.Item{}, err
	}
	switch it.State {
	case buffer.Waiting:
		return control.Item{}, control.Impossible("item %s waits, and is tried again by itself, not before %s", it.ID, it.NotBefore.Format(time.RFC3339))
	case buffer.Acknowledged, buffer.GivenUp:
		return control.Item{}, control.Impossible("item %s is %s: there is nothing left to decide", it.ID, it.State)
	}
	detail, err := by(r, "reason", reason)
	if err != nil {
		return control.Item{}, err
	}
	e := event(i.Now(), kind, it)
	for name, text := range detail {
		e.Detail[name] = text
	}
	if err := do(it, e); err != nil {
		return control.Item{}, err
	}
	if i.Queued != nil {
		i.Queued(it.Endpoint)
	}
	it, err = i.find(r)
	return control.ItemOf(&it), err
}

// lastQuarter is later than any boundary of a store.
const lastQuarter = meter.Quarter(1) << 32

// week is how much is read at once: a reader that stalls must hold up neither
// the writer nor the file's free pages.
const week = 7 * 96

// boundaries are a meter's readings between two boundaries, both included.
func (i *Inspection) boundaries(name string, from, to meter.Quarter) iter.Seq2[meter.BoundaryReading, error] {
	return func(yield func(meter.BoundaryReading, error) bool) {
		first, found, err := i.Store.FirstBoundary(name)
		if err != nil || !found {
			if err != nil {
				yield(first, err)
			}
			return
		}
		last, _, err := i.Store.LastBoundary(name)
		if err != nil {
			yield(last, err)
			return
		}
		to = min(to, last.Boundary)
		for at := max(from, first.Boundary); at <= to; at += week {
			some, err := i.Store.Boundaries(name, at, min(to, at+week-1))
			if err != nil {
				yield(meter.BoundaryReading{}, err)
				return
			}
			for _, b := range some {
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// minutes are a meter's minute readings, a day at a time. There are none but
// in the span of its boundary readings, which are kept longer.
func (i *Inspection) minutes(name string) iter.Seq2[meter.Reading, error] {
	return func(yield func(meter.Reading, error) bool) {
		first, found, err := i.Store.FirstBoundary(name)
		last, _, lerr := i.Store.LastBoundary(name)
		if err = errors.Join(err, lerr); err != nil {
			yield(meter.Reading{}, err)
		}
		if err != nil || !found {
			return
		}
		const day = 24 * time.Hour
		for at := first.Boundary.Time().Add(-day); at.Before(last.Boundary.Time().Add(day)); at = at.Add(day) {
			some, err := i.Store.Minutes(name, at, at.Add(day-time.Millisecond))
			if err != nil {
				yield(meter.Reading{}, err)
				return
			}
			for _, r := range some {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// entries are those of the journal, read some at a time for the same reason.
func (i *Inspection) entries() iter.Seq2[buffer.Entry, error] {
	return func(yield func(buffer.Entry, error) bool) {
		for next := uint64(0); ; {
			var some []buffer.Entry
			err := i.Store.Journal(next, func(e buffer.Entry) bool {
				some = append(some, e)
				return len(some) < 200
			})
			if err != nil {
				yield(buffer.Entry{}, err)
				return
			}
			if len(some) == 0 {
				return
			}
			for _, e := range some {
				if !yield(e, nil) {
					return
				}
			}
			next = some[len(some)-1].Seq + 1
		}
	}
}

// writeAll streams a sequence, an object a line.
func writeAll[T any](w io.Writer, all iter.Seq2[T, error], write func(*json.Encoder, T) error) error {
	buffered := bufio.NewWriter(w)
	out := json.NewEncoder(buffered)
	out.SetEscapeHTML(false)
	for v, err := range all {
		if err != nil {
			return err
		}
		if err := write(out, v); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// instantOf reads an instant of a question; the zero time where it has none.
func instantOf(r *http.Request, name string) (t time.Time, err error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, control.Malformed("%s=%q: want an instant in RFC 3339", name, text)
	}
	return t, nil
}
