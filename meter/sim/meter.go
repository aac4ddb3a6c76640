package sim

import (
	"iter"
	"time"

	"github.com/shopspring/decimal"

	"smgw/meter"
	"smgw/meter/obis"
	"smgw/sml"
)

// Meter is a household behind a meter of some model.
type Meter struct {
	Home      *Household
	Model     *Model
	Device    meter.DeviceID
	Installed time.Time // SecIndex counts from here
}

// NewMeter puts a meter before a household, which it has counted for from the
// start. An empty device is the model's own.
func NewMeter(home *Household, model *Model, device meter.DeviceID) *Meter {
	if device == "" {
		device = model.Device
	}
	return &Meter{Home: home, Model: model, Device: device, Installed: home.Since()}
}

// SecIndex is the meter's own count of seconds at an instant.
func (m *Meter) SecIndex(at time.Time) uint32 { return uint32(at.Unix() - m.Installed.Unix()) }

// Shows returns what a telegram of that instant says, rightly understood: every
// register in Wh, powers in W, voltages in V, currents in A and so on.
func (m *Meter) Shows(at time.Time) map[obis.Code]decimal.Decimal {
	now := m.moment(at)
	shown := map[obis.Code]decimal.Decimal{}
	for i := range m.Model.list {
		r := &m.Model.list[i]
		if r.is >= maker {
			continue
		}
		value := decimal.New(r.raw(&now), int32(r.scaler))
		if r.is == powerAmount && now.power < 0 {
			value = value.Neg() // the status says so
		}
		shown[r.code] = value
	}
	return shown
}

// Boundaries yields what the meter had counted at each quarter hour from an
// instant to another, both included, as a reader with a perfect clock would
// have read it then: the truth about a profile.
func (m *Meter) Boundaries(from, to time.Time) iter.Seq[meter.BoundaryReading] {
	return func(yield func(meter.BoundaryReading) bool) {
		first := meter.QuarterOf(from)
		if first.Time().Before(from) {
			first++
		}
		for q := first; !q.Time().After(to); q++ {
			if !yield(m.boundary(q)) {
				return
			}
		}
	}
}

func (m *Meter) boundary(q meter.Quarter) meter.BoundaryReading {
	now := m.moment(q.Time())
	b := meter.BoundaryReading{
		Boundary: q, Device: m.Device, Clock: meter.ClockSynchronised,
		SecIndex: meter.SecIndex{Seconds: now.secIndex, Valid: true},
	}
	for i := range m.Model.list {
		if r := &m.Model.list[i]; r.is <= fedIn {
			b.Registers = append(b.Registers, meter.RegisterValue{Code: r.code, Value: decimal.New(r.raw(&now), int32(r.scaler))})
			b.Coarse = b.Coarse || r.scaler == 3
		}
	}
	return b
}

// AppendTelegram appends the transport file that the meter pushes at an
// instant: Open, GetList and Close.
func (m *Meter) AppendTelegram(dst []byte, at time.Time) []byte {
	now, model := m.moment(at), m.Model
	id := []byte(m.Device)
	sensorTime := sml.Time{Choice: sml.SecIndex, Value: now.secIndex}

	open := sml.OpenResponse{ReqFileID: []byte{byte(now.secIndex >> 24), byte(now.secIndex >> 16), byte(now.secIndex >> 8), byte(now.secIndex)}, ServerID: id}
	if model.refTime {
		open.RefTime = sensorTime
	}
	if model.version > 0 {
		open.Version = sml.U8(model.version)
	}
	list := sml.GetListResponse{ServerID: id}
	if !model.noTime {
		list.SensorTime = sensorTime
	}
	if model.listName {
		list.ListName = []byte{1, 0, 98, 10, 255, 255}
	}
	entries := make([]sml.Entry, len(model.list))
	for i := range model.list {
		entries[i] = m.entry(&model.list[i], &now)
	}
	list.Entries = sml.NewList(entries...)

	messages := [...]sml.Message{
		sml.NewMessage(transaction(now.secIndex, 1), &open),
		sml.NewMessage(transaction(now.secIndex, 2), &list),
		sml.NewMessage(transaction(now.secIndex, 3), &sml.CloseResponse{}),
	}
	for i := range messages {
		messages[i].Checksum, messages[i].TagSize = model.messages, model.tagSize
	}
	return sml.AppendFile(dst, max(model.frame, sml.X25), messages[:]...)
}

// transaction numbers messages, and never the same for two of a day.
func transaction(secIndex uint32, message byte) []byte {
	return []byte{byte(secIndex >> 16), byte(secIndex >> 8), byte(secIndex), message}
}
