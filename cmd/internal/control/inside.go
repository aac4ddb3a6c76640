package control

import (
	"time"

	"github.com/shopspring/decimal"

	"smgw/buffer"
	"smgw/meter"
)

// Paths of what looks into a store. Instants in queries are RFC 3339, in UTC.
const (
	JournalPath = "/v1/journal"        // ?since=INSTANT: a stream of buffer.Entry
	VerifyPath  = "/v1/journal/verify" // JournalVerdict
	StatsPath   = "/v1/store/stats"    // buffer.Stats
	CheckPath   = "/v1/store/check"    // StoreVerdict
	// ContractsPath has the versions of the contract that are kept: Contracts
	ContractsPath = "/v1/contracts"
	DumpPath      = "/v1/store/dump"    // a stream of Record
	CompactPath   = "/v1/store/compact" // POST; Compacted
	// ReadingsPath has a table of readings as meter.TableWriter makes it:
	// ?format=csv|json&meter=NAME&from=INSTANT&to=INSTANT&columns=NAME,…
	ReadingsPath = "/v1/readings"
	// OutboxPath has a stream of Item (?all=1: settled ones too); with /ID one
	// ItemContent; with /ID/retry, and /ID/give-up?reason=TEXT, by POST, an Item.
	OutboxPath = "/v1/outbox"
)

// StoreVerdict is what became of a check.
type StoreVerdict struct {
	Path    string `json:"path"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// JournalVerdict is what verifying a journal found. The chain begins at the
// anchor, where retention erased its old end.
type JournalVerdict struct {
	OK         bool       `json:"ok"`
	Problem    string     `json:"problem,omitempty"`
	Entries    int64      `json:"entries"`
	First      uint64     `json:"first"`       // 0 when there is none
	Last       uint64     `json:"last"`        //
	ErasedUpTo uint64     `json:"erased_upto"` // 0: nothing was erased yet
	ErasedAt   *time.Time `json:"erased_at"`
	Anchor     string     `json:"anchor"` // what its signature is worth, in words
}

// Compacted is what compacting a store brought.
type Compacted struct {
	Path   string `json:"path"`
	Before int64  `json:"before_bytes"`
	After  int64  `json:"after_bytes"`
}

// Item is an item of the outbox, without what it sends.
type Item struct {
	ID        string            `json:"id"`
	State     buffer.ItemState  `json:"state"`
	Endpoint  string            `json:"endpoint"`
	Label     map[string]string `json:"label"` // row, malo, to, partner, from, until, purpose
	Created   time.Time         `json:"created"`
	Due       time.Time         `json:"due"`
	NotBefore time.Time         `json:"not_before"`
	Attempts  int64             `json:"attempts"`
	LastTried *time.Time        `json:"last_tried"`
	LastError string            `json:"last_error,omitempty"`
	Settled   *time.Time        `json:"settled"`
}

// ItemOf is an item for JSON.
func ItemOf(it *buffer.Item) Item {
	return Item{
		ID: it.ID, State: it.State, Endpoint: it.Endpoint, Label: it.Label,
		Created: it.Created, Due: it.Due, NotBefore: it.NotBefore,
		Attempts: it.Attempts, LastTried: instant(it.LastTried), LastError: it.LastError, Settled: instant(it.Settled),
	}
}

// ItemContent is an item with what it sends: a payload as package wire signs it.
type ItemContent struct {
	Item
	Body []byte `json:"body"` // none once it is settled
}

// Record is one record of a store: what it is, and that one field.
type Record struct {
	Boundary *BoundaryRecord `json:"boundary,omitempty"`
	Minute   *MinuteRecord   `json:"minute,omitempty"`
	Item     *ItemContent    `json:"item,omitempty"`
	Mark     *MarkRecord     `json:"mark,omitempty"`
	Contract *ContractRecord `json:"contract,omitempty"`
	Loss     *LossRecord     `json:"loss,omitempty"`
	Anchor   *AnchorRecord   `json:"anchor,omitempty"`
	Journal  *buffer.Entry   `json:"journal,omitempty"`
}

// BoundaryRecord is a boundary reading with all that is kept of it.
type BoundaryRecord struct {
	Meter     string             `json:"meter"`
	Time      meter.Quarter      `json:"time"`
	Device    meter.DeviceID     `json:"server_id"`
	OffsetMS  int64              `json:"offset_ms"`
	Clock     meter.ClockQuality `json:"clock"`
	SecIndex  *uint32            `json:"sec_index"`
	Status    *uint64            `json:"status"`
	Coarse    bool               `json:"coarse"`
	Registers map[string]string  `json:"registers_wh"`
}

// BoundaryOf is a boundary reading for JSON.
func BoundaryOf(b *meter.BoundaryReading) *BoundaryRecord {
	r := &BoundaryRecord{
		Meter: b.Meter, Time: b.Boundary, Device: b.Device, OffsetMS: b.Offset.Milliseconds(),
		Clock: b.Clock, Coarse: b.Coarse, Registers: map[string]string{},
	}
	if b.SecIndex.Valid {
		r.SecIndex = &b.SecIndex.Seconds
	}
	if b.Status.Valid {
		r.Status = &b.Status.Bits
	}
	for _, v := range b.Registers {
		r.Registers[v.Code.Short()] = v.Value.String()
	}
	return r
}

// MinuteRecord is a minute reading with all that is kept of it.
type MinuteRecord struct {
	Meter     string              `json:"meter"`
	Time      time.Time           `json:"time"`
	Device    meter.DeviceID      `json:"server_id"`
	Clock     meter.ClockQuality  `json:"clock"`
	SecIndex  *uint32             `json:"sec_index"`
	Status    *uint64             `json:"status"`
	Coarse    bool                `json:"coarse"`
	Registers map[string]string   `json:"registers_wh"`
	PowerW    decimal.NullDecimal `json:"power_w"`
}

// MinuteOf is a minute reading for JSON.
func MinuteOf(r *meter.Reading) *MinuteRecord {
	b := BoundaryOf(&meter.BoundaryReading{SecIndex: r.SecIndex, Status: r.Status, Registers: r.Registers})
	return &MinuteRecord{r.Meter, r.At.Time, r.Device, r.At.Quality, b.SecIndex, b.Status, r.Coarse, b.Registers, r.Power}
}

// MarkRecord is how far a series of payloads is built.
type MarkRecord struct {
	Series    string        `json:"series"`
	BuiltUpTo meter.Quarter `json:"built_upto"`
}

// ContractRecord is a contract and from when it holds.
type ContractRecord struct {
	From meter.Quarter `json:"from"`
	Text string        `json:"text"`
}

// Contracts are the versions of the contract that are kept, ascending, and how far
// any series of payloads is built.
type Contracts struct {
	Versions  []ContractRecord `json:"versions"`
	BuiltUpTo meter.Quarter    `json:"built_upto"`
}

// LossRecord is a loss that the head-end was not told yet.
type LossRecord struct {
	Seq     uint64     `json:"seq"`
	At      time.Time  `json:"at"`
	Kind    string     `json:"kind"`
	Subject string     `json:"subject,omitempty"`
	From    *time.Time `json:"from"`
	To      *time.Time `json:"to"`
	Count   int64      `json:"count"`
}

// LossOf is a loss for JSON.
func LossOf(l *buffer.Loss) *LossRecord {
	return &LossRecord{l.Seq, l.At, l.Kind, l.Subject, instant(l.From), instant(l.To), l.Count}
}

// AnchorRecord is where the journal begins: see buffer.Anchor.
type AnchorRecord struct {
	Seq       uint64      `json:"seq"`
	Hash      buffer.Hash `json:"hash"`
	At        time.Time   `json:"at"`
	Signature []byte      `json:"signature"`
}

// instant is t for JSON: null when it never was.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
