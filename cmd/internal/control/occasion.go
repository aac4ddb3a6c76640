package control

import (
	"time"

	"smgw/meter"
)

// Paths of what people tell a gateway.
const (
	// EventsPath has a stream of Event; by POST with ?kind=KIND&at=BOUNDARY and
	// perhaps &malo=ID or &meter=NAME it tells one, and with /ID/withdraw takes one
	// back: an Event.
	EventsPath = "/v1/events"
	DemandPath = "/v1/demand" // POST ?malo=ID: what row 9 shows now is sent once
	// ImportPath takes a table of readings as content of a POST, ?meter=NAME where
	// there are several; Imported.
	ImportPath = "/v1/readings/import"
)

// Event is what happened, or will, at a metering point once, and makes payloads
// due (rows 2 and 3).
type Event struct {
	ID    string        `json:"id"`
	Kind  string        `json:"kind"`
	MaLo  string        `json:"malo,omitempty"`  // none: every market location of the meter
	Meter string        `json:"meter,omitempty"` // none: every meter of the market locations
	At    meter.Quarter `json:"at"`
	Told  time.Time     `json:"told"`
	By    string        `json:"by"`    // who told it; "" for the gateway itself
	State string        `json:"state"` // waits, built or withdrawn
}

// Imported is what became of a table of readings.
type Imported struct {
	Meter    string         `json:"meter"`
	Readings int            `json:"readings"` // in the table
	Stored   int            `json:"stored"`   // of them, those that filled a gap
	Present  int            `json:"present"`  // their boundary had a reading
	Unusable int            `json:"unusable"` // too far off their boundary
	From     *meter.Quarter `json:"from"`     // of those that were stored
	To       *meter.Quarter `json:"to"`
}
