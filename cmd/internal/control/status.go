package control

import (
	"time"

	"github.com/shopspring/decimal"

	"smgw/board"
	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/form"
)

// StatusPath has the Status of a running agent. Its registers and power are
// what the meter's own display shows at this moment, so that looking at them is
// not written to the journal; looking at what is kept is.
const StatusPath = "/v1/status"

// Status is how a gateway is. Its JSON names are stable.
type Status struct {
	Gateway string      `json:"gateway"`
	Config  string      `json:"config"`
	Started time.Time   `json:"started"`
	Now     meter.Stamp `json:"now"`
	// ClockDoubt is why the clock is not believed though the kernel calls it
	// synchronised (Now's quality is another then), or what contradicts it; "" when
	// nothing does.
	ClockDoubt string           `json:"clock_doubt,omitempty"`
	Causes     []board.Cause    `json:"causes"` // what is wrong; none: all well
	Meters     []MeterStatus    `json:"meters"`
	Store      StoreStatus      `json:"store"`
	Endpoints  []EndpointStatus `json:"endpoints"`
	NextDue    *DueStatus       `json:"next_due"`
	CertsEnd   time.Time        `json:"certificates_end"` // of the first of them
	// Certificates are those in use. RenewalError is why those that now lie in
	// the identity folder are not.
	Certificates []CertificateStatus `json:"certificates"`
	RenewalError string              `json:"renewal_error,omitempty"`
	Watchdog     *WatchdogStatus     `json:"watchdog"` // null: nobody watches, as on the bench
	Decommission *Farewell           `json:"decommission,omitempty"`
}

// MeterStatus is what one meter's line has brought.
type MeterStatus struct {
	Name         string              `json:"name"`
	Line         meter.LineState     `json:"line"`
	Device       meter.DeviceID      `json:"device"`
	Plate        string              `json:"plate"`    // as printed on the meter (DIN 43863-5); "" when unknown
	Says         []string            `json:"says"`     // its FNN status word in words
	FeedsIn      bool                `json:"feeds_in"` // it counts what is fed in
	TwoTariffs   bool                `json:"two_tariffs"`
	LastReading  *time.Time          `json:"last_reading"`
	Coarse       bool                `json:"coarse"` // whole kWh only: PIN not entered or InF off
	Registers    map[string]string   `json:"registers_wh"`
	PowerW       decimal.NullDecimal `json:"power_w"`
	LastBoundary *meter.Quarter      `json:"last_boundary"`
	Undated      int                 `json:"undated"`         // readings that wait until the clock is right
	Drift        *float64            `json:"drift_s_per_day"` // by how much its secIndex gains on the clock; null before it is known
	HeadRestarts int                 `json:"head_restarts"`   // how often the reset line was pulled since the agent started
	HeadRestart  *time.Time          `json:"head_restart"`    // when it was last
}

// StoreStatus is how the store is.
type StoreStatus struct {
	buffer.Stats
	Unsaved     int    `json:"unsaved"` // boundary readings that wait in memory because the store takes none
	Error       string `json:"error,omitempty"`
	Untold      int    `json:"untold"`                 // losses that the head-end does not know of yet
	Damage      string `json:"damage,omitempty"`       // what was wrong with the store when the agent started
	DamagedFile string `json:"damaged_file,omitempty"` // where the damaged file is kept
}

// EndpointStatus is one endpoint's queue.
type EndpointStatus struct {
	Endpoint    string     `json:"endpoint"`
	Waiting     int        `json:"waiting"`
	SetAside    int        `json:"set_aside"`
	Oldest      *time.Time `json:"oldest"`
	Failures    int        `json:"failures"` // attempts in a row that settled no payload
	FailingFrom *time.Time `json:"failing_from"`
	NextAttempt *time.Time `json:"next_attempt"`
	LastError   string     `json:"last_error,omitempty"`
	Reached     *time.Time `json:"reached"`      // when it last accepted a connection
	LastSuccess *time.Time `json:"last_success"` // when it last acknowledged a payload
	ClockOff    *int64     `json:"clock_off_s"`  // by how many seconds its newest date is ahead of our clock; 0 where they agree, null where none was heard
}

// DueStatus is the next payload that the form makes due.
type DueStatus struct {
	At   time.Time             `json:"at"`
	Row  form.RowNumber        `json:"row"`
	MaLo form.MarketLocationID `json:"malo"`
	To   form.Role             `json:"to"`
}

// CertificateStatus is when one of the gateway's two certificates ends, or one
// of those that issued it.
type CertificateStatus struct {
	Use string    `json:"use"` // "tls" or "signature"
	End time.Time `json:"end"`
}

// WatchdogStatus is who is fed while the agent's stages go round, and how they do.
type WatchdogStatus struct {
	Feeds  []string      `json:"feeds"` // "systemd", the path of the board's watchdog
	Stages []StageStatus `json:"stages"`
}

// StageStatus is one stage: port, boundary, store, scheduler or sender.
type StageStatus struct {
	Stage string `json:"stage"`
	Age   int    `json:"age_s"` // since the last turn of whoever has been in it for longest; 0 where nobody is
	Limit int    `json:"limit_s"`
}
