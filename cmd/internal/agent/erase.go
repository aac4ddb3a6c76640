package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"smgw/buffer"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
)

// Marker is the file that says that a gateway was decommissioned.
type Marker struct {
	Gateway string          `json:"gateway"`
	At      time.Time       `json:"at"`
	By      string          `json:"by"`
	Erased  bool            `json:"erased"` // false: erasing was cut off
	Lost    []control.Item  `json:"lost"`
	Events  []control.Event `json:"events,omitempty"`
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
			events, eerr := waitingEvents(store)
			m.Events = events
			if err = errors.Join(err, eerr, store.Close()); err != nil {
				return done, fmt.Errorf("nothing is erased: %w", err)
			}
		}
		if err := m.write(c); err != nil {
			return done, err
		}
	}
	done = control.Erased{Gateway: m.Gateway, At: m.At, Marker: MarkerPath(c), Files: []control.ErasedFile{}, Lost: m.Lost, Events: m.Events, Left: []string{c.File}}
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
		m.Erased, m.Lost, m.Events = true, nil, nil
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

// waitingEvents are those that were told of a day after the gateway's end: the one
// that follows must be told.
func waitingEvents(store *buffer.Store) (waiting []control.Event, err error) {
	all, done, err := notes(store)
	var end meter.Quarter
	for _, n := range all {
		if n.Farewell != nil {
			end = n.Farewell.End
		}
	}
	for i, n := range all {
		if n.Event != nil && !done[i] && n.Event.At > end {
			waiting = append(waiting, eventOf(n.Event, false))
		}
	}
	return waiting, err
}
