package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
)

func TestEntitlementsAreTheRowsOfTheClassWithTheirNextDue(t *testing.T) {
	c, err := config.Load(example)
	require.NoError(t, err)
	// A Sunday in November: working days begin again on Monday.
	all := c.Entitlements(time.Date(2026, 11, 22, 12, 0, 0, 0, form.Berlin))

	var lines []string
	for _, e := range all {
		line := e.MaLo.String() + " " + string('0'+rune(e.Row)) + " "
		for _, r := range e.To {
			line += r.Role.String() + " " + r.PartnerID.String()[11:] + " "
			require.Equal(t, "https://localhost:8443", r.Endpoint)
		}
		line += e.HowOften
		if e.NextDue != nil {
			line += " " + e.NextDue.Format("Jan 2 15:04")
		}
		lines = append(lines, line)
	}
	require.Equal(t, []string{
		"41373559241 1 LF 04 monthly Dec 1 12:00",
		"41373559241 3 LF 04 NB 11 on events",
		"41373559241 5 NB 11 ÜNB 28 every working day Nov 23 11:00",
		"41373559241 6 LF 04 every working day Nov 23 11:00",
		"41373559241 7 LF 04 NB 11 monthly Dec 1 12:00",
		"51238696781 3 LF 35 NB 11 on events",
		"51238696781 5 NB 11 ÜNB 28 every working day Nov 23 11:00",
		"51238696781 6 LF 35 every working day Nov 23 11:00",
		"51238696781 8 AB 42 monthly Dec 1 12:00",
		"51238696781 9 NB 11 on demand",
	}, lines)

	var notSent []form.RowNumber
	for _, row := range c.NotSent() {
		notSent = append(notSent, row.Number)
	}
	require.Equal(t, []form.RowNumber{2, 4}, notSent)
}

func TestNextDueIsNeverPast(t *testing.T) {
	c, err := config.Load(example)
	require.NoError(t, err)
	for _, hour := range []int{10, 11, 12} {
		now := time.Date(2026, 12, 1, hour, 0, 0, 0, form.Berlin) // daily rows are due at 11:00, monthly ones at 12:00
		for _, e := range c.Entitlements(now) {
			if e.NextDue != nil {
				require.True(t, e.NextDue.After(now), "row %d at %v: %v", e.Row, now, e.NextDue)
			} else {
				require.Contains(t, []form.RowNumber{3, 9}, e.Row)
			}
		}
	}
}

func TestEndpointsAndIdleMeters(t *testing.T) {
	text := strings.Replace(whole, "[[meter]]", "[[meter]]\nname = \"roof\"\nport = \"/dev/ttyUSB1\"\n[[meter]]\nname = \"main\"", 1)
	text = strings.Replace(text, `class = "A"`, "class = \"A\"\nmeter = \"main\"", 1)
	text = strings.Replace(text, `role = "LF"`, "role = \"LF\"\nendpoint = \"https://a.example\"", 1)
	c, err := config.Load(write(t, text))
	require.NoError(t, err)
	require.Equal(t, []string{"https://headend.example/smgw", "https://a.example"}, c.Endpoints())
	require.Equal(t, []config.Meter{{Name: "roof", Port: "/dev/ttyUSB1"}}, c.Idle())
}
