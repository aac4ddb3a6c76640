package main

import (
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/shopspring/decimal"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/obis"
)

// mkstore is the script command `mkstore FILE [CONTRACT]`: a store as an agent
// leaves it, with two days of readings, a payload that waits, one that was refused,
// and a journal; with a contract also its version, and a payload that was
// acknowledged. The payloads' bodies are no payloads.
func mkstore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: mkstore FILE [CONTRACT]")
	}
	s, err := buffer.Open(ts.MkAbs(args[0]), buffer.Options{})
	ts.Check(err)
	midnight := time.Date(2026, 10, 29, 23, 0, 0, 0, time.UTC)
	first := meter.QuarterOf(midnight)
	for q := first; q <= first+2*96; q++ {
		ts.Check(s.PutBoundary(meter.BoundaryReading{
			Meter: "main", Boundary: q, Device: "\x0a\x01ISK\x00\x03\x47\xf0\x40", Offset: -412 * time.Millisecond,
			Clock: meter.ClockSynchronised, Coarse: q == first,
			Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(168_248_565+int64(q-first)*731, -1)}},
		}))
	}
	ts.Check(s.PutMinute(meter.Reading{
		Meter: "main", Device: "\x0a\x01", At: meter.Stamp{Time: midnight.Add(61 * time.Second), Quality: meter.ClockSynchronised},
		Power: decimal.NewNullDecimal(decimal.New(3141, -1)),
	}))
	at := midnight.AddDate(0, 0, 2)
	item := func(id string) buffer.Item {
		return buffer.Item{
			ID: id, Endpoint: "https://headend.test", Body: []byte("no payload"), Created: at, NotBefore: at, Due: at.Add(11 * time.Hour),
			Label: map[string]string{"row": "6", "malo": "41373559241", "to": "LF", "from": "2026-10-30", "until": "2026-11-01"},
		}
	}
	ts.Check(s.Append(buffer.Event{At: midnight, Kind: agent.AgentStarted}))
	ts.Check(s.Build("41373559241", first+2*96, []buffer.Item{item("aa"), item("bb"), item("cc")}))
	ts.Check(s.SetAside("bb", "no such contract", at, buffer.Event{At: at, Kind: agent.Refused, Detail: map[string]string{"id": "bb", "row": "6", "to": "LF", "reason": "no such contract"}}))
	ts.Check(s.SetAside("cc", "no such contract", at))
	if len(args) == 2 {
		contract, err := config.LoadContract(ts.MkAbs(args[1]))
		ts.Check(err)
		ts.Check(s.PutContract(buffer.ContractVersion{From: first, Text: config.FormatContract(contract)}))
		sent := item("dd")
		sent.Label["row"], sent.Label["partner"] = "1", "9900357000004"
		ts.Check(s.Build("41373559241/day", first+2*96, []buffer.Item{sent}))
		ts.Check(s.Acknowledge("dd", at.Add(time.Hour), buffer.Event{At: at.Add(time.Hour), Kind: agent.Delivered, Detail: sent.Label}))
	}
	ts.Check(s.Close())
}

// begin is the script command `begin CONFIG STORE`: the gateway of a configuration
// has begun its own work on 1 March 2020.
func begin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: begin CONFIG STORE")
	}
	contract, err := config.LoadContract(ts.MkAbs(args[0]))
	ts.Check(err)
	s, err := buffer.Open(ts.MkAbs(args[1]), buffer.Options{})
	ts.Check(err)
	ts.Check(s.PutContract(buffer.ContractVersion{From: form.Date{Year: 2020, Month: time.March, Day: 1}.Midnight(), Text: config.FormatContract(contract)}))
	ts.Check(s.Close())
}

// spoil is the script command `spoil FILE`: flash that lost a bit on each page
// beyond the first few.
func spoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: spoil FILE")
	}
	text := []byte(ts.ReadFile(args[0]))
	for i := 5 * 4096; i < len(text); i += 4096 {
		text[i+100] ^= 0x40
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}
