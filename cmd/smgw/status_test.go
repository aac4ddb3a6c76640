package main

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/sml"
)

func wellStatus(t *testing.T) *control.Status {
	now := time.Date(2026, 11, 22, 5, 20, 11, 0, time.UTC)
	at := func(ago time.Duration) *time.Time { then := now.Add(-ago); return &then }
	quarter := meter.QuarterOf(now)
	malo, err := form.ParseMarketLocationID("41373559241")
	require.NoError(t, err)
	return &control.Status{
		Gateway: "ESMG0000000001", Started: now.Add(-80 * time.Minute), Now: meter.Stamp{Time: now, Quality: meter.ClockSynchronised},
		Meters: []control.MeterStatus{{
			Name: "main", Device: "\x0a\x01ISK\x00\x03\x9c\x0e\x5f", Plate: "1 ISK 00 6055 5231", FeedsIn: true,
			LastReading: at(time.Second), LastBoundary: &quarter,
			Line:      meter.LineState{Source: "serial:/dev/ttyUSB0", Open: true, Telegrams: 4711, Refused: map[string]int64{string(sml.FrameChecksum): 9, string(sml.Noise): 12, string(sml.Torn): 1}},
			Registers: map[string]string{"1-0:1.8.0": "16824856.5", "1-0:2.8.0": "1234.5"}, PowerW: decimal.NewNullDecimal(decimal.NewFromInt(312)),
		}},
		Store:     control.StoreStatus{Stats: buffer.Stats{Boundaries: 34944, UsedBytes: 12_100_000, LimitBytes: 67_108_864}},
		Endpoints: []control.EndpointStatus{{Endpoint: "https://headend.example:8443", Reached: at(time.Hour), LastSuccess: at(61 * time.Minute)}},
		NextDue:   &control.DueStatus{At: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Row: 5, MaLo: malo, To: form.NB},
		Certificates: []control.CertificateStatus{
			{Use: "tls", End: now.AddDate(2, 0, 0)}, {Use: "signature", End: now.AddDate(2, 0, 0)},
		},
		Watchdog: &control.WatchdogStatus{Feeds: []string{"systemd", "/dev/watchdog"}, Stages: []control.StageStatus{{Stage: "port", Age: 1, Limit: 180}}},
	}
}

func TestStatusIsReadAtAGlance(t *testing.T) {
	out := &strings.Builder{}
	require.NoError(t, printStatus(out, wellStatus(t)))
	require.Equal(t, `all well
gateway       ESMG0000000001, running for 1 h 20 min
clock         2026-11-22 06:20:11 CET, synchronised
meter main    device 1 ISK 00 6055 5231, two directions
  last read   06:20:10 (1 s ago), quarter hours kept up to 06:15:00
  line        serial:/dev/ttyUSB0: 4711 telegrams, 22 refused (0.4 %): noise 12,
              frame_checksum 9, torn 1
  shows       1-0:1.8.0 16824856.5 Wh · 1-0:2.8.0 1234.5 Wh · 312 W
store         34944 readings, 12100 of 67108 kB (18 %)
endpoint      https://headend.example:8443
  outbox      0 waiting
  reached     05:20:11 (1 h 0 min ago), last delivery 05:19:11 (1 h 1 min ago)
next due      2026-11-23 11:00:00, row 5 of 41373559241 to NB
certificates  tls until 2028-11-22, signature until 2028-11-22
watchdog      every stage goes round; feeds systemd and /dev/watchdog
`, out.String())
	doc, err := os.ReadFile("../../docs/status.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), out.String(), "the example of the page")
}

// A cellar full of trouble still fits: half a screen of 24 lines and 80 columns,
// but for what is wrong with so many things at once.
func TestStatusOfAGatewayInTroubleFitsHalfAScreen(t *testing.T) {
	s := wellStatus(t)
	long := s.Now.Time.Add(-50 * 24 * time.Hour)
	s.Causes = []board.Cause{board.ReaderSilent, board.HeadEndUnreachable}
	const port = "/dev/serial/by-id/usb-Silicon_Labs_CP2104_USB_to_UART_Bridge_Controller_0123456789ABCDEF-if00-port0"
	s.Meters[0].Line = meter.LineState{Source: "serial:" + port, Error: port + ": no such file or directory", Telegrams: 1}
	s.Endpoints[0].Waiting, s.Endpoints[0].Oldest, s.Endpoints[0].SetAside = 171, &long, 1
	s.Endpoints[0].Failures, s.Endpoints[0].FailingFrom, s.Endpoints[0].NextAttempt = 1200, &long, &s.Now.Time
	s.Endpoints[0].LastError = "dial tcp 192.0.2.1:8443: connect: no route to host"
	s.Watchdog.Stages[0].Age = 120
	out := &strings.Builder{}
	require.NoError(t, printStatus(out, s))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.LessOrEqual(t, len(lines), 24, out)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
		require.Equal(t, strings.TrimRight(line, " "), line)
	}
	require.True(t, strings.HasPrefix(lines[0], "WRONG"), "what is wrong comes first")
	text := strings.Join(strings.Fields(out.String()), " ")
	require.Contains(t, text, "171 waiting, the oldest since 2026-10-03 07:20:11 (50 days 0 h ago)")
	require.Contains(t, text, "port stands still for 2 min")
}

// One that the kernel calls synchronised needs no time server, but a look.
func TestStatusTellsADoubtedClockFromOneThatIsNotSynchronised(t *testing.T) {
	s := wellStatus(t)
	s.Causes, s.Now.Quality = []board.Cause{board.ClockNotSet}, meter.ClockUnsynchronised
	out := &strings.Builder{}
	require.NoError(t, printStatus(out, s))
	require.Contains(t, out.String(), "time server")
	require.Contains(t, out.String(), "\nclock         2026-11-22 06:20:11 CET, unsynchronised\n")

	s.ClockDoubt = "it jumped: look"
	out.Reset()
	require.NoError(t, printStatus(out, s))
	require.NotContains(t, out.String(), "time server")
	require.Contains(t, out.String(), "\nclock         2026-11-22 06:20:11 CET, not believed:\n              it jumped: look\n")
}

func TestStatusSaysInWhichDirectionsAMeterCounts(t *testing.T) {
	for words, codes := range map[string][]string{
		"two directions": {"1-0:1.8.0", "1-0:2.8.0"},
		"feed-in only":   {"1-0:2.8.1"},
	} {
		s := wellStatus(t)
		s.Meters[0].Registers = map[string]string{}
		for _, code := range codes {
			s.Meters[0].Registers[code] = "1"
		}
		out := &strings.Builder{}
		require.NoError(t, printStatus(out, s))
		require.Contains(t, out.String(), "5231, "+words+"\n")
	}
}

func TestStatusSaysByHowMuchAHeadEndsDatesDisagree(t *testing.T) {
	for seconds, words := range map[int64]string{600: "its dates are 10 min ahead of the clock here\n", -3600: "its dates are 1 h 0 min behind the clock here\n", 0: ""} {
		s := wellStatus(t)
		s.Endpoints[0].ClockOff = &seconds
		out := &strings.Builder{}
		require.NoError(t, printStatus(out, s))
		require.Contains(t, out.String(), words)
		require.Equal(t, words != "", strings.Contains(out.String(), "its dates"))
	}
}

func TestStatusCountsAsPeopleDo(t *testing.T) {
	for n, words := range map[int][]string{
		1: {"1 attempt since", "restarted 1 time by", "memory: 1 reading\n", "1 loss, told"},
		2: {"2 attempts since", "restarted 2 times by", "memory: 2 readings\n", "2 losses, told"},
	} {
		s := wellStatus(t)
		s.Endpoints[0].Failures, s.Meters[0].HeadRestarts, s.Store.Error, s.Store.Unsaved, s.Store.Untold = n, n, "full", n, n
		out := &strings.Builder{}
		require.NoError(t, printStatus(out, s))
		for _, w := range words {
			require.Contains(t, out.String(), w)
		}
	}
}

// Whoever reads the page is not sent to it.
func TestStatusSendsNobodyToItself(t *testing.T) {
	s := wellStatus(t)
	s.Causes = board.Causes()[1:]
	out := &strings.Builder{}
	require.NoError(t, printStatus(out, s))
	require.NotContains(t, strings.Join(strings.Fields(out.String()), " "), "smgw status")
}
