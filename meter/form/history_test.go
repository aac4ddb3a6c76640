package form_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/form"
)

// partner makes another market partner of a role.
func partner(t require.TestingT, c *form.Contract, role form.Role, id string) {
	p, err := form.ParsePartnerID(id)
	require.NoError(t, err)
	m := &c.MarketLocations[0]
	for i := range m.Receivers {
		if m.Receivers[i].Role == role {
			m.Receivers[i].PartnerID = p
			return
		}
	}
	require.FailNow(t, "no receiver", "%s", role)
}

// words gives dues as "row to from..to", by local days.
func words(due []form.Due) []string {
	var all []string
	day := func(q meter.Quarter) string { return q.Time().In(form.Berlin).Format("01-02T15:04") }
	for _, d := range due {
		s := fmt.Sprintf("%d %s %s..%s", d.Row, d.To, day(d.Period.From), day(d.Period.To))
		if d.Event != (form.EventKind{}) {
			s += " " + d.Event.String()
		}
		all = append(all, s)
	}
	return all
}

func TestAnotherSupplierCutsWhatConcernsHim(t *testing.T) {
	old, new := contract(t, form.ClassA), contract(t, form.ClassA)
	partner(t, new, form.LF, "9900357000099")
	h := form.History{Versions: []form.Version{{From: midnight(t, "2026-01-01"), Contract: old}, {From: midnight(t, "2026-11-15"), Contract: new}}}
	due := h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-12-01"))
	require.Equal(t, []string{
		"1 LF 11-01T00:00..11-15T00:00",
		"1 LF 11-15T00:00..12-01T00:00",
		"4 LF 11-01T00:00..11-15T00:00",
		"4 LF 11-15T00:00..12-01T00:00",
		"4 NB 11-01T00:00..12-01T00:00",
	}, words(due))
	for i, d := range due {
		require.Equal(t, date(t, "2026-12-01").At(12, 0), d.At, "the day of the whole month")
		p, err := h.Build(d, nil)
		require.NoError(t, err)
		require.NoError(t, h.Permits(&p))
		want, _ := old.MarketLocations[0].Receiver(d.To)
		if i == 1 || i == 3 {
			want, _ = new.MarketLocations[0].Receiver(d.To)
		}
		require.Equal(t, want.PartnerID, p.PartnerID)
	}
	require.Equal(t, due[:1], h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-11-30"))[:1])
	require.Len(t, h.Settled(midnight(t, "2026-11-01"), midnight(t, "2026-11-30")), 2)
}

func TestEventsAsJSON(t *testing.T) {
	c := contract(t, form.ClassA)
	for text, e := range map[string]form.Event{
		`{"kind":"supply_end","malo":"41373559241","at":"2026-11-14T23:00:00Z"}`: {Kind: form.SupplyEnds, MaLo: c.MarketLocations[0].MaLo, At: midnight(t, "2026-11-15")},
		`{"kind":"device_removed","meter":"main","at":"2026-11-14T23:00:00Z"}`:   {Kind: form.DeviceRemoved, Meter: "main", At: midnight(t, "2026-11-15")},
	} {
		b, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, text, string(b))
		var back form.Event
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, e, back)
	}
	_, err := form.ParseEventKind("supply_begin")
	require.EqualError(t, err, `event "supply_begin": want supply_start, supply_end, device_built_in, device_removed, device_taken_over or parameters_changed`)
}
