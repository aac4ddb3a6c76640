package control

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"smgw/board"
	"smgw/meter"
	"smgw/sml"
)

// MetricsPath has a running agent's figures in the text format of Prometheus,
// version 0.0.4.
const MetricsPath = "/metrics"

// MetricsType is their media type.
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// WriteMetrics writes a status as figures. None of them is a measured value, a
// market location or a device: who collects figures is no receiver of the form.
func WriteMetrics(to io.Writer, s *Status) error {
	var w exposition
	w.gauge("smgw_start_time_seconds", "When the agent started.", at(&s.Started))
	w.gauge("smgw_clock_synchronised", "Whether a time service vouches for the clock.", truth(s.Now.Quality == meter.ClockSynchronised))
	w.family("smgw_cause", "gauge", "What is wrong: 1 while it holds.")
	for _, c := range board.Causes() {
		if c != board.AllWell {
			w.sample(truth(slices.Contains(s.Causes, c)), "cause", c.String())
		}
	}

	meters := each(&w, "meter", s.Meters, func(m *MeterStatus) string { return m.Name })
	meters("smgw_line_open", "gauge", "Whether the meter's port is open.", func(m *MeterStatus) string { return truth(m.Line.Open) })
	meters("smgw_line_opened_total", "counter", "How often the meter's port was opened.", func(m *MeterStatus) string { return whole(m.Line.Opened) })
	meters("smgw_head_restarts_total", "counter", "How often the meter's optical head was restarted by its reset line.", func(m *MeterStatus) string { return whole(m.HeadRestarts) })
	meters("smgw_line_bytes_total", "counter", "Bytes read from the meter's port.", func(m *MeterStatus) string { return whole(m.Line.Bytes) })
	meters("smgw_telegrams_total", "counter", "Good telegrams of the meter.", func(m *MeterStatus) string { return whole(m.Line.Telegrams) })
	w.family("smgw_refused_total", "counter", "Frames that were refused, by cause.")
	for _, m := range s.Meters {
		for _, reason := range sml.Reasons() { // each from the beginning: a rate needs the 0
			w.sample(whole(m.Line.Refused[string(reason)]), "meter", m.Name, "reason", string(reason))
		}
	}
	meters("smgw_last_reading_timestamp_seconds", "gauge", "When the meter was last read.", func(m *MeterStatus) string { return at(m.LastReading) })
	meters("smgw_last_boundary_timestamp_seconds", "gauge", "The newest quarter hour whose reading is kept.", func(m *MeterStatus) string {
		if m.LastBoundary == nil {
			return ""
		}
		t := m.LastBoundary.Time()
		return at(&t)
	})

	w.gauge("smgw_store_used_bytes", "What of the store is in use.", whole(s.Store.UsedBytes))
	w.gauge("smgw_store_limit_bytes", "What of the store may be in use.", whole(s.Store.LimitBytes))
	w.gauge("smgw_store_unsaved_readings", "Boundary readings that wait in memory because the store takes none.", whole(s.Store.Unsaved))
	w.gauge("smgw_store_failing", "Whether the disk takes nothing.", truth(s.Store.Error != ""))
	w.gauge("smgw_losses_untold", "Losses that the head-end does not know of yet.", whole(s.Store.Untold))

	endpoints := each(&w, "endpoint", s.Endpoints, func(e *EndpointStatus) string { return e.Endpoint })
	endpoints("smgw_outbox_waiting", "gauge", "Payloads that wait for delivery.", func(e *EndpointStatus) string { return whole(e.Waiting) })
	endpoints("smgw_outbox_set_aside", "gauge", "Payloads that were refused for good.", func(e *EndpointStatus) string { return whole(e.SetAside) })
	endpoints("smgw_outbox_oldest_timestamp_seconds", "gauge", "Since when the oldest payload waits.", func(e *EndpointStatus) string { return at(e.Oldest) })
	endpoints("smgw_endpoint_failed_attempts", "gauge", "Attempts in a row that did not settle a payload.", func(e *EndpointStatus) string { return whole(e.Failures) })
	endpoints("smgw_endpoint_reached_timestamp_seconds", "gauge", "When the endpoint last accepted a connection.", func(e *EndpointStatus) string { return at(e.Reached) })
	endpoints("smgw_endpoint_acknowledged_timestamp_seconds", "gauge", "When the endpoint last acknowledged a payload.", func(e *EndpointStatus) string { return at(e.LastSuccess) })

	w.family("smgw_certificate_end_timestamp_seconds", "gauge", "When the gateway's certificates end, their issuers' included.")
	for _, c := range s.Certificates {
		w.sample(at(&c.End), "use", c.Use)
	}
	if d := s.NextDue; d != nil {
		w.gauge("smgw_next_due_timestamp_seconds", "By when the next payload must have arrived.", at(&d.At))
	}
	if s.Watchdog != nil {
		stages := each(&w, "stage", s.Watchdog.Stages, func(g *StageStatus) string { return g.Stage })
		stages("smgw_stage_age_seconds", "gauge", "Since the last turn of a stage of the agent.", func(g *StageStatus) string { return whole(g.Age) })
		stages("smgw_stage_limit_seconds", "gauge", "From which age on a stage hangs.", func(g *StageStatus) string { return whole(g.Limit) })
	}
	_, err := to.Write(w.Bytes())
	return err
}

// exposition is a text of Prometheus while it is written. A family without a
// sample leaves no trace.
type exposition struct {
	bytes.Buffer
	name, head string
}

func (w *exposition) family(name, kind, help string) {
	w.name, w.head = name, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"
}

// sample writes a value with its labels, in pairs; "" is no value.
func (w *exposition) sample(value string, labels ...string) {
	if value == "" {
		return
	}
	w.WriteString(w.head)
	w.head = ""
	w.WriteString(w.name)
	for i := 0; i+1 < len(labels); i += 2 {
		w.WriteByte("{,"[min(i, 1)])
		w.WriteString(labels[i] + `="` + escapeLabel.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		w.WriteByte('}')
	}
	w.WriteString(" " + value + "\n")
}

func (w *exposition) gauge(name, help, value string) {
	w.family(name, "gauge", help)
	w.sample(value)
}

// each writes families with a sample of each of some things, labelled by what
// that is called.
func each[T any](w *exposition, label string, all []T, called func(*T) string) func(name, kind, help string, value func(*T) string) {
	return func(name, kind, help string, value func(*T) string) {
		w.family(name, kind, help)
		for i := range all {
			w.sample(value(&all[i]), label, called(&all[i]))
		}
	}
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func whole[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// at is an instant in seconds of Unix; "" for one that never was.
func at(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}
