package buffer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/buffer"
	"smgw/meter"
)

// BenchmarkDay writes what a default gateway writes in a day: 96 boundary
// readings, ten payloads, their acknowledgements, and a journal entry for each
// of both. It reports the bytes that it hands to the kernel.
//
// BUFFER_DIR puts the store on a device whose own count is wanted; with
// BUFFER_SYNC set the file system's metadata is written after each commit, as
// it is on a gateway where commits are minutes apart. hack/flash.sh does both.
func BenchmarkDay(b *testing.B) {
	for name, years := range map[string]int{"after 0 years": 0, "after 2 years": 2, "with minutes": 0, "with moments": 0} {
		b.Run(name, func(b *testing.B) {
			s := openWith(b, buffer.Options{})
			if dir := os.Getenv("BUFFER_DIR"); dir != "" {
				s.close()
				s.path = filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".db")
				os.Remove(s.path)
				s.reopen()
			}
			w := &household{store: s, q: day0, minutes: name == "with minutes", moments: name == "with moments"}
			if years > 0 {
				require.NoError(b, buffer.Fill(s.Store, "main", day0-meter.Quarter(years*365*96), day0, reading))
			}
			w.sync = os.Getenv("BUFFER_SYNC") != ""
			w.settle()
			before := written(b)
			b.ResetTimer()
			for range b.N {
				w.day()
			}
			b.StopTimer()
			b.ReportMetric(float64(written(b)-before)/float64(b.N), "B/day")
		})
	}
}

// written is what this process has handed to write calls (proc(5), io).
func written(t testing.TB) int64 {
	f, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("no /proc/self/io here")
	}
	for line := range strings.Lines(string(f)) {
		if v, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			require.NoError(t, err)
			return n
		}
	}
	t.Skip("no wchar in /proc/self/io")
	return 0
}

// household writes to a store as a gateway does.
type household struct {
	*store
	q    meter.Quarter
	n    int
	sync bool
	// minutes are kept too, and the old ones erased each day
	minutes bool
	// moments are sent each minute, and what was acknowledged forgotten each hour
	moments bool
	sent    []string
}

// payloadsADay: rows 5 and 6 go to three receivers, for what is drawn (class B)
// and for what is fed in (class E), which makes six; once a month there are more.
const payloadsADay = 10

func (h *household) day() {
	for i := range 96 {
		require.NoError(h.t, h.PutBoundary(reading("main", h.q)))
		h.settle()
		if i == 0 {
			var events []buffer.Event
			var items []buffer.Item
			for range payloadsADay {
				items = append(items, h.item())
				events = append(events, h.event("payload.built", items[len(items)-1]))
			}
			require.NoError(h.t, h.Build("daily", h.q, items, events...))
			h.settle()
		}
		if i == 8 {
			h.deliver()
		}
		for n := 0; h.minutes && n < 15; n++ {
			require.NoError(h.t, h.PutMinute(minute("main", int(h.q.Time().Sub(noon)/time.Minute)+n)))
			h.settle()
		}
		for n := 0; h.moments && n < 15; n++ {
			it := h.item()
			it.Needs, it.Body = buffer.Span{}, it.Body[:250]
			require.NoError(h.t, h.PutItems([]buffer.Item{it}, nil))
			require.NoError(h.t, h.Acknowledge(it.ID, h.q.Time()))
			h.sent = append(h.sent, it.ID)
			h.settle()
		}
		if len(h.sent) >= 60 {
			require.NoError(h.t, h.Forget(h.sent, nil, buffer.Event{At: h.q.Time(), Kind: "payload.delivered", Detail: map[string]string{"count": "60"}}))
			h.sent = nil
			h.settle()
		}
		h.q++
	}
	if h.minutes {
		_, err := h.Retain(h.q.Time(), buffer.Policy{})
		require.NoError(h.t, err)
	}
}

func (h *household) deliver() {
	now := h.q.Time()
	for {
		it, ok, err := h.Next("https://head.example:8443", now)
		require.NoError(h.t, err)
		if !ok {
			return
		}
		require.NoError(h.t, h.Acknowledge(it.ID, now, h.event("payload.delivered", it)))
		h.settle()
	}
}

func (h *household) item() buffer.Item {
	h.n++
	it := item(h.n)
	it.Endpoint = "https://head.example:8443"
	it.Created, it.NotBefore, it.Due = h.q.Time(), h.q.Time(), h.q.Time().Add(11*time.Hour)
	it.Needs = buffer.Span{Meter: "main", From: h.q - 96, To: h.q}
	it.Label["period"] = "2026-11-21"
	it.Body = bytes.Repeat([]byte{byte(h.n)}, 1300) // a signed load profile of a day
	return it
}

func (h *household) event(kind string, it buffer.Item) buffer.Event {
	return buffer.Event{At: h.q.Time(), Kind: kind, Detail: map[string]string{
		"id": it.ID, "row": "5", "malo": "41373559241", "to": "NB", "period": "2026-11-21", "purpose": "Bilanzierung",
	}}
}

// settle makes the file system write what a quiet quarter hour would.
func (h *household) settle() {
	if !h.sync {
		return
	}
	time.Sleep(10 * time.Millisecond) // a file's time of change goes in steps of 4 ms
	d, err := os.Open(filepath.Dir(h.path))
	require.NoError(h.t, err)
	defer d.Close()
	require.NoError(h.t, unix.Syncfs(int(d.Fd())))
}

// A day's writes are bounded, and no more after two years than at first.
func TestADayWritesLittle(t *testing.T) {
	s := open(t)
	h := &household{store: s, q: day0}
	h.day()
	before := written(t)
	h.day()
	first := written(t) - before
	require.Less(t, first, int64(2_000_000))

	require.NoError(t, buffer.Fill(s.Store, "main", day0-2*365*96, day0, reading))
	h.day()
	before = written(t)
	h.day()
	later := written(t) - before
	t.Logf("%d bytes on the second day, %d after two years", first, later)
	require.Less(t, later, first+first/5)
}
