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
	DemandPath = "/v1/demand" // POST ?malo=ID: what row 9 shows now is sent once; Demanded
	// ImportPath takes a table of readings as content of a POST, ?meter=NAME where
	// there are several, and with &handover=1 where the gateway before this one ended
	// with the table's last reading; Imported.
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

// Demanded is a momentary figure that somebody asked for.
type Demanded struct {
	MaLo string `json:"malo"`
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
	// Begins is where this gateway's payloads begin; with ?handover=1 alone.
	Begins *meter.Quarter `json:"begins,omitempty"`
}

// DecommissionPath has the Farewell of a gateway that is being decommissioned;
// by POST it begins. With /erase, by POST, ?force=1 where something still waits,
// keys and store are erased: Erased. The agent then ends.
const DecommissionPath = "/v1/decommission"

// Farewell is how far a gateway is with its end.
type Farewell struct {
	Asked     time.Time          `json:"asked"`
	By        string             `json:"by"`
	End       meter.Quarter      `json:"end"`   // the last boundary of this gateway's work; 1970 when it never had one
	Built     bool               `json:"built"` // all that it makes due is in the outbox
	Problem   string             `json:"problem,omitempty"`
	Endpoints []FarewellEndpoint `json:"endpoints"` // those that have not got all yet
}

// FarewellEndpoint is what one endpoint has not got yet.
type FarewellEndpoint struct {
	Endpoint  string `json:"endpoint"`
	Waiting   int    `json:"waiting"`
	SetAside  int    `json:"set_aside"`
	LastError string `json:"last_error,omitempty"`
}

// Waits counts what is not acknowledged yet, and of it what was refused for good.
func (f *Farewell) Waits() (waiting, setAside int) {
	for _, e := range f.Endpoints {
		waiting, setAside = waiting+e.Waiting, setAside+e.SetAside
	}
	return waiting, setAside
}

// Erased is what a decommissioned gateway erased, and what it left.
type Erased struct {
	Gateway string       `json:"gateway"`
	At      time.Time    `json:"at"`
	Marker  string       `json:"marker"` // the file that says so from now on
	Files   []ErasedFile `json:"erased"`
	Lost    []Item       `json:"lost"`              // payloads that were never acknowledged
	Events  []Event      `json:"events,omitempty"`  // told, of a day to come: the gateway that follows must be told
	Unbuilt string       `json:"unbuilt,omitempty"` // why what was due last was not even built
	Left    []string     `json:"left"`              // what else lies in the state folder, and the configuration
}

// ErasedFile is a file that was overwritten and removed, or why it was not.
type ErasedFile struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Problem string `json:"problem,omitempty"`
}
