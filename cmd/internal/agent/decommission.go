package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// A gateway that is taken out of service ends its work at the last boundary that
// it has a reading of, sends what is due up to there, and when all of it is
// acknowledged erases keys and store. How far it has come is in the store, then
// in the marker: it can be cut off at any point and goes on from there.

// farewell is the decision that a gateway ends, as a note of the store. The note
// is done when all that is due up to End is in the outbox.
type farewell struct {
	Asked time.Time     `json:"asked"`
	By    string        `json:"by"`
	End   meter.Quarter `json:"end"`
}

const farewellID = "decommission"

// leaving is the farewell of a running agent.
type leaving struct {
	*farewell
	built   bool
	tried   time.Time
	problem string
	erase   *erasure // asked for: the agent ends
	stop    func()   // ends Run
}

// erasure waits for the store to be closed.
type erasure struct {
	by      string
	unbuilt string // why what is due up to the end was never built
	reply   chan erased
	said    chan struct{} // closed when the answer is on its way
}

type erased struct {
	control.Erased
	err error
}

// resumeFarewell finds out whether the gateway was being decommissioned when the
// agent ended.
func (a *Agent) resumeFarewell() error {
	all, done, err := notes(a.Store)
	for i, n := range all {
		if n.Farewell != nil {
			a.leave(n.Farewell, done[i])
		}
	}
	return err
}

func (a *Agent) leave(f *farewell, built bool) {
	a.leaving.farewell, a.leaving.built = f, built
}

// decommission begins the gateway's end, or says how far it is.
func (a *Agent) decommission(r *http.Request) (*control.Farewell, error) {
	detail, err := by(r)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving.farewell == nil {
		if err := a.beginFarewell(detail); err != nil {
			return nil, err
		}
	}
	now := a.Clock.Now().Time
	if clockNeverSet(now) {
		a.leaving.problem = "the clock was never set"
	} else {
		a.takeLeave(now)
	}
	a.hurry()
	return a.farewellState()
}

func (a *Agent) beginFarewell(detail map[string]string) error {
	a.unsaved.flush(a)
	if !a.unsaved.empty() {
		return fmt.Errorf("%d readings are not in the store yet, so nothing is ended: %w", len(a.unsaved.waiting), a.unsaved.err)
	}
	now := a.Clock.Now().Time
	f := &farewell{Asked: now.Truncate(time.Second), By: detail["who"]}
	for _, m := range a.meters {
		if last, found, err := a.Store.LastBoundary(m.name); err != nil {
			return err
		} else if found {
			f.End = max(f.End, last.Boundary)
		}
	}
	var all []buffer.Note
	if f.End != 0 {
		// For the form a gateway that leaves is a device that another one takes over
		// (Geräteübernahme): supply and meter go on without it.
		for _, m := range a.meters {
			last := &occasion{Event: form.Event{Kind: form.DeviceTakenOver, Meter: m.name, At: f.End}, Told: f.Asked, By: f.By}
			n, err := note{Event: last}.stored(false)
			if err != nil {
				return err
			}
			all = append(all, n)
		}
	}
	n, err := note{Farewell: f}.stored(false)
	if err != nil {
		return err
	}
	pairs(detail, []string{"end", f.End.String()})
	if err := a.Store.PutItems(nil, append(all, n), buffer.Event{At: now, Kind: Decommissioning, Detail: detail}); err != nil {
		return err
	}
	a.Log.Warn("the gateway is being decommissioned: it takes no more readings", "by", f.By, "end", f.End)
	a.occasions.forget()
	a.leave(f, false)
	return nil
}

// takeLeave builds, in the place of a step, what is due up to the end. The
// boundaries are settled because no more readings are taken, and not because a
// clock says so.
func (a *Agent) takeLeave(now time.Time) {
	l := &a.leaving
	if since := now.Sub(l.tried); l.built || since >= 0 && since < 10*time.Second {
		return
	}
	l.tried = now
	if err := a.buildLast(now); err != nil {
		l.problem = err.Error()
		a.Log.Error("building what is due up to the gateway's end failed; it is tried again", "err", err)
		return
	}
	l.built, l.problem = true, ""
	a.hurry()
}

func (a *Agent) buildLast(now time.Time) error {
	// First as ever, so that what has not begun begins, then with what the end cuts.
	if err := a.builder.buildAll(a.leaving.End, now); err != nil {
		return err
	}
	if a.leaving.End != 0 && a.builder.history != nil {
		a.builder.history.End = a.leaving.End
		if err := a.builder.buildAll(a.leaving.End, now); err != nil {
			return err
		}
		for all := false; !all; {
			var err error
			if all, err = a.settleSome(a.leaving.End, now); err != nil {
				a.occasions.forget()
				return err
			}
		}
		// Nothing better comes for what is still preliminary.
		last, err := a.allSent()
		if err != nil {
			return err
		}
		last = slices.DeleteFunc(last, func(s sent) bool { return !s.Preliminary })
		if err := a.supersede(last, now); err != nil {
			return err
		}
	}
	n, err := note{Farewell: a.leaving.farewell}.stored(true)
	if err != nil {
		return err
	}
	return a.Store.PutNote(n)
}

// hurry sends what waits at once: a town does not decommission its gateways in
// one hour.
func (a *Agent) hurry() {
	now := a.Clock.Now().Time
	var waiting []buffer.Item
	err := a.Store.Items(func(it buffer.Item) bool {
		if it.State == buffer.Waiting && it.NotBefore.After(now) {
			waiting = append(waiting, it)
		}
		return true
	})
	for _, it := range waiting {
		err = errors.Join(err, a.Store.Tried(it.ID, it.LastError, now, now))
	}
	if err != nil {
		a.Log.Error("looking into the outbox", "err", err)
	}
	for _, s := range a.senders {
		s.hurry(now)
	}
}

// hurry ends a sender's pause.
func (s *sender) hurry(now time.Time) {
	s.mu.Lock()
	if now.Before(s.state.notBefore) {
		s.state.notBefore = now
	}
	s.mu.Unlock()
	s.nudge()
}

// farewellState is how far the gateway is with its end.
func (a *Agent) farewellState() (*control.Farewell, error) {
	l := &a.leaving
	if l.farewell == nil {
		return nil, errors.New("the gateway is not being decommissioned: smgw decommission begins it")
	}
	f := &control.Farewell{Asked: l.Asked, By: l.By, End: l.End, Built: l.built, Problem: l.problem, Endpoints: []control.FarewellEndpoint{}}
	backlog, err := a.Store.Backlog(a.Clock.Now().Time)
	for _, b := range backlog {
		if b.Waiting+b.SetAside == 0 {
			continue
		}
		e := control.FarewellEndpoint{Endpoint: b.Endpoint, Waiting: b.Waiting, SetAside: b.SetAside}
		if s := a.senders[b.Endpoint]; s != nil {
			e.LastError = s.snapshot().lastError
		}
		f.Endpoints = append(f.Endpoints, e)
	}
	return f, err
}

func (a *Agent) farewellAnswer(*http.Request) (*control.Farewell, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.farewellState()
}

// askErase ends the agent, and answers what was erased when its store is closed.
func (a *Agent) askErase(w http.ResponseWriter, r *http.Request) error {
	detail, err := by(r)
	if err != nil {
		return err
	}
	e, err := a.endForErasure(detail["who"], r.URL.Query().Get("force") != "")
	if err != nil {
		return err
	}
	defer close(e.said)
	done := <-e.reply
	if done.err != nil {
		return done.err
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(done.Erased); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (a *Agent) endForErasure(by string, force bool) (*erasure, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := a.farewellState()
	if err != nil {
		return nil, err
	}
	waiting, setAside := f.Waits()
	switch {
	case a.leaving.stop == nil || a.leaving.erase != nil:
		return nil, errors.New("the agent is ending already")
	case force:
	case !f.Built:
		return nil, errors.New("what is due up to the end is not built yet: nothing is erased")
	case waiting+setAside > 0:
		return nil, fmt.Errorf("%d payloads wait and %d were refused: nothing is erased before all is acknowledged", waiting, setAside)
	}
	unbuilt := ""
	if !f.Built {
		unbuilt = cmp.Or(f.Problem, "there was no time for it")
	}
	a.leaving.erase = &erasure{by: by, unbuilt: unbuilt, reply: make(chan erased, 1), said: make(chan struct{})}
	a.leaving.stop()
	return a.leaving.erase, nil
}

// eraseIfAsked does, when the agent has ended, what askErase waits for.
func (a *Agent) eraseIfAsked() error {
	a.mu.Lock()
	e := a.leaving.erase
	a.mu.Unlock()
	if e == nil {
		return nil
	}
	var done erased
	done.Erased, done.err = Erase(a.Config, a.Store, e.by, a.Clock.Now().Time)
	done.Unbuilt = e.unbuilt
	e.reply <- done
	<-e.said
	return done.err
}

// Marker is the file that says that a gateway was decommissioned.
type Marker struct {
	Gateway string         `json:"gateway"`
	At      time.Time      `json:"at"`
	By      string         `json:"by"`
	Erased  bool           `json:"erased"` // false: erasing was cut off
	Lost    []control.Item `json:"lost"`
}

// MarkerPath is where it lies.
func MarkerPath(c *config.Config) string {
	return filepath.Join(c.Gateway.StateDir, "decommissioned.json")
}

// ReadMarker reads it, nil where the gateway was never decommissioned.
func ReadMarker(c *config.Config) (*Marker, error) {
	text, err := os.ReadFile(MarkerPath(c))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	m := &Marker{}
	if err == nil {
		err = json.Unmarshal(text, m)
	}
	if err != nil {
		return nil, fmt.Errorf("whether the gateway was decommissioned: %s: %w", MarkerPath(c), err)
	}
	return m, nil
}

func (m *Marker) write(c *config.Config) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = renameio.WriteFile(MarkerPath(c), append(text, '\n'), 0o640)
	}
	if err == nil {
		err = syncFolder(c.Gateway.StateDir)
	}
	if err != nil {
		return fmt.Errorf("nothing is erased, because it cannot be written down: %w", err)
	}
	return nil
}

// RefuseDecommissioned is the error of a gateway that has ended.
func RefuseDecommissioned(c *config.Config) error {
	m, err := ReadMarker(c)
	if err != nil || m == nil {
		return err
	}
	if !m.Erased {
		return fmt.Errorf("gateway %s was decommissioned at %s, and erasing its data was cut off: smgw decommission goes on with it", m.Gateway, m.At.Format(time.RFC3339))
	}
	return fmt.Errorf("gateway %s was decommissioned at %s by %s: it has no keys and no data any more; to use this board again remove %s and give it a new identity with smgw identity create",
		m.Gateway, m.At.Format(time.RFC3339), m.By, MarkerPath(c))
}

// Erase overwrites and removes the gateway's store, with all that was set aside of
// it, and its identity. store may be nil where erasing is gone on with. The
// marker is written first, so that from then on no agent starts.
func Erase(c *config.Config, store *buffer.Store, by string, at time.Time) (done control.Erased, err error) {
	m, err := ReadMarker(c)
	if err != nil {
		return done, err
	}
	if m == nil {
		m = &Marker{Gateway: c.Gateway.ID, At: at.UTC().Truncate(time.Second), By: by, Lost: []control.Item{}}
		if store != nil {
			err = store.Items(func(it buffer.Item) bool {
				if it.State == buffer.Waiting || it.State == buffer.SetAside {
					m.Lost = append(m.Lost, control.ItemOf(&it))
				}
				return true
			})
			if err = errors.Join(err, store.Close()); err != nil {
				return done, fmt.Errorf("nothing is erased: %w", err)
			}
		}
		if err := m.write(c); err != nil {
			return done, err
		}
	}
	done = control.Erased{Gateway: m.Gateway, At: m.At, Marker: MarkerPath(c), Files: []control.ErasedFile{}, Lost: m.Lost, Left: []string{c.File}}
	files, _ := filepath.Glob(escapePattern(StorePath(c)) + "*") // a pattern of ours is never bad
	files = append(files, filesUnder(IdentityDir(c))...)
	failed := 0
	for _, path := range files {
		f := eraseFile(path)
		if f.Problem != "" {
			failed++
		}
		done.Files = append(done.Files, f)
	}
	if failed == 0 {
		removeEmpty(IdentityDir(c))
		m.Erased, m.Lost = true, nil
		err = m.write(c)
	}
	if rest, rerr := os.ReadDir(c.Gateway.StateDir); rerr == nil {
		for _, f := range rest {
			path := filepath.Join(c.Gateway.StateDir, f.Name())
			if path != done.Marker && path != SocketPath(c) && path != c.File {
				done.Left = append(done.Left, path)
			}
		}
	}
	return done, err
}

func escapePattern(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// filesUnder are the files of a folder and the folders in it.
func filesUnder(dir string) (files []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			files = append(files, filesUnder(path)...)
		} else {
			files = append(files, path)
		}
	}
	return files
}

// removeEmpty removes a folder and those in it, as far as they are empty.
func removeEmpty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeEmpty(filepath.Join(dir, e.Name()))
		}
	}
	os.Remove(dir) // one that is not empty stays, and is named among what is left
}

// eraseFile overwrites a file, and removes it. Where it is a symbolic link that
// happens to what it names.
func eraseFile(path string) control.ErasedFile {
	done := control.ErasedFile{Path: path}
	err := func() error {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return os.Remove(path) // it names nothing
		}
		if done.Bytes, err = overwrite(target); err != nil {
			return err
		}
		if err := os.Remove(target); err != nil {
			return err
		}
		if target != path {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return syncFolder(filepath.Dir(target))
	}()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		done.Problem = err.Error()
	}
	return done
}

// overwrite writes zeros over all of a file, on the medium, and cuts it to nothing.
func overwrite(path string) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, nil
	}
	zeros := make([]byte, 64<<10)
	for left := info.Size(); left > 0; {
		n, err := f.Write(zeros[:min(left, int64(len(zeros)))])
		if err != nil {
			return info.Size(), err
		}
		left -= int64(n)
	}
	if err := f.Sync(); err != nil {
		return info.Size(), err
	}
	return info.Size(), f.Truncate(0)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
