package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
)

func TestChangesSayWhatIsSetOtherwiseAndWhoseRowsBeginAndEnd(t *testing.T) {
	old, err := config.ParseContract([]byte(everything))
	require.NoError(t, err)
	changed := func(oldnew ...string) []string {
		c, err := config.ParseContract([]byte(strings.NewReplacer(oldnew...).Replace(everything)))
		require.NoError(t, err)
		settings, begins, ends := config.Changes(old, c)
		said := []string{}
		for _, s := range settings {
			said = append(said, fmt.Sprintf("%s %s: %s → %s", s.MaLo, s.Key, s.Old, s.New))
		}
		for _, b := range begins {
			said = append(said, fmt.Sprintf("+%d %s %s %s", b.Row, b.MaLo, b.To, b.PartnerID))
		}
		for _, e := range ends {
			said = append(said, fmt.Sprintf("-%d %s %s %s", e.Row, e.MaLo, e.To, e.PartnerID))
		}
		return said
	}
	require.Empty(t, changed("from = 2026-12-01", "", "https://supplier.test", "https://moved.test"), "it is the same contract")
	require.Equal(t, []string{
		" offset_limit: 20s → 5s", " transformer_factor: 40 → 30", " extra_holidays: [\"2025-05-08\"] → ",
	}, changed("20s", "5s", "factor = 40", "factor = 30", `extra_holidays = ["2025-05-08"]`, ""))
	require.Equal(t, []string{
		"41373559241 high_tariff: days = [\"mon\", \"fri\"] from = \"06:00\" to = \"22:00\" → days = [\"mon\", \"fri\"] from = \"06:00\" to = \"21:00\"",
		"51238696781 feed_in_power.above_kw: 25 → 26", "51238696781 grid_state.every: 1m → 15m",
	}, changed("22:00", "21:00", "above_kw = 25", "above_kw = 26", `every = "1m"`, `every = "15m"`))
	require.Equal(t, []string{
		"41373559241 class: B → C",
		"+1 41373559241 LF 9900357000099", "+3 41373559241 LF 9900357000099", "+6 41373559241 LF 9900357000099", "+7 41373559241 LF 9900357000099",
		"-1 41373559241 LF 9900357000004", "-3 41373559241 LF 9900357000004", "-6 41373559241 LF 9900357000004", "-7 41373559241 LF 9900357000004",
	}, changed(`class = "B"`, `class = "C"`, `"9900357000004", endpoint`, `"9900357000099", endpoint`))
	gone := changed("51238696781", "51238696707")
	require.Contains(t, gone, "51238696781 market_location: 51238696781 → ")
	require.Contains(t, gone, "51238696707 market_location:  → 51238696707")
	require.Contains(t, gone, "-8 51238696781 AB 9900357000035")
	require.Contains(t, gone, "+8 51238696707 AB 9900357000035")
}
