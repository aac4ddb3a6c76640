package control_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"smgw/board"
	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/sml"
)

// Prometheus's own parser reads every figure, as what it is.
func TestMetricsAreReadByPrometheus(t *testing.T) {
	then := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	quarter := meter.QuarterOf(then)
	const odd = "https://odd \"\\\n"
	s := &control.Status{
		Started: then, Now: meter.Stamp{Time: then, Quality: meter.ClockSynchronised},
		Causes: []board.Cause{board.HeadEndUnreachable},
		Meters: []control.MeterStatus{{
			Name: "main", Device: "\x0a\x01ISK\x00\x03\x9c\x0e\x5f", LastReading: &then, LastBoundary: &quarter,
			Line:      meter.LineState{Open: true, Opened: 2, Bytes: 5000, Telegrams: 17, Refused: map[string]int64{"frame_checksum": 3}},
			Registers: map[string]string{"1-0:1.8.0": "16824856.5"},
		}, {Name: "roof", Line: meter.LineState{}}},
		Store:        control.StoreStatus{Stats: buffer.Stats{UsedBytes: 1 << 40, LimitBytes: 1 << 41}},
		Endpoints:    []control.EndpointStatus{{Endpoint: odd, Waiting: 4, SetAside: 1, Oldest: &then, Failures: 9}},
		Certificates: []control.CertificateStatus{{Use: "tls", End: then}, {Use: "signature", End: then.Add(time.Hour)}},
		NextDue:      &control.DueStatus{At: then, Row: 5, MaLo: maLo(t), To: form.NB},
		Watchdog:     &control.WatchdogStatus{Stages: []control.StageStatus{{Stage: "port", Age: 3, Limit: 180}}},
	}
	text := &bytes.Buffer{}
	require.NoError(t, control.WriteMetrics(text, s))
	require.NotContains(t, text.String(), "16824856", "no measured value")
	require.NotContains(t, text.String(), "41373559241", "no market location")
	require.NotContains(t, text.String(), "39c0e5f", "no device")

	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text.Bytes()))
	require.NoError(t, err, text)
	value := func(name string, labels ...string) float64 {
		family := families[name]
		require.NotNil(t, family, name)
		require.NotEmpty(t, family.GetHelp())
		for _, m := range family.Metric {
			matches := len(m.Label) == len(labels)/2
			for i := range m.Label {
				matches = matches && m.Label[i].GetName() == labels[2*i] && m.Label[i].GetValue() == labels[2*i+1]
			}
			if matches && m.Counter != nil {
				return m.Counter.GetValue()
			} else if matches {
				return m.Gauge.GetValue()
			}
		}
		require.Fail(t, "no such sample", "%s %q in\n%s", name, labels, text)
		return 0
	}
	require.EqualValues(t, 17, value("smgw_telegrams_total", "meter", "main"))
	require.EqualValues(t, 3, value("smgw_refused_total", "meter", "main", "reason", "frame_checksum"))
	for _, reason := range sml.Reasons() {
		require.EqualValues(t, 0, value("smgw_refused_total", "meter", "roof", "reason", string(reason)), "a counter begins at 0")
	}
	require.EqualValues(t, then.Unix(), value("smgw_last_reading_timestamp_seconds", "meter", "main"))
	require.EqualValues(t, 1, value("smgw_line_open", "meter", "main"))
	require.EqualValues(t, 0, value("smgw_line_open", "meter", "roof"))
	require.EqualValues(t, int64(1<<40), value("smgw_store_used_bytes"))
	require.EqualValues(t, 1, value("smgw_cause", "cause", "headend_unreachable"))
	require.EqualValues(t, 0, value("smgw_cause", "cause", "clock_not_set"))
	require.EqualValues(t, 4, value("smgw_outbox_waiting", "endpoint", odd), "what has signs of the format in it comes through")
	require.EqualValues(t, then.Add(time.Hour).Unix(), value("smgw_certificate_end_timestamp_seconds", "use", "signature"))
	require.EqualValues(t, 180, value("smgw_stage_limit_seconds", "stage", "port"))
	require.Len(t, families["smgw_last_reading_timestamp_seconds"].Metric, 1, "what never was has no instant")
	require.NotContains(t, families, "smgw_endpoint_reached_timestamp_seconds")
}

func maLo(t *testing.T) form.MarketLocationID {
	id, err := form.ParseMarketLocationID("41373559241")
	require.NoError(t, err)
	return id
}

func TestEveryFigureIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/metrics.md")
	require.NoError(t, err)
	source, err := os.ReadFile("metrics.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`"(smgw_[a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, string(doc), "`"+name[1]+"`")
	}
}
