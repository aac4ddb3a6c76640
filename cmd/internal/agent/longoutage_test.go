package agent_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/tls/deliver"
)

// Sixty days of all rows are built with the head-ends away, over two restarts:
// what comes when they are back is what comes where they never were, the newest
// day first and then from old to new, and nothing else was ever lost or said.
// With both classes these are all rows of the form.
func TestSixtyDaysOfAllRowsArriveAfterAnOutage(t *testing.T) {
	t.Parallel()
	for class, drawn := range map[string][]form.RowNumber{"A": {1, 2, 4}, "B": {1, 3, 5, 6, 7}} {
		t.Run("class "+class, func(t *testing.T) {
			t.Parallel()
			var away bool
			live := func(outage bool) (b *bench, attempts int, order map[string][]*form.Payload) {
				b = newRoof(t, "[market_location.feed_in_power]\nabove_kw = 3\nbelow_kw = 0.6\nhysteresis_kw = 0.4\n")
				if class == "A" {
					const last = "]\n\n[[market_location]]"
					b.configure("class = \"B\"", "class = \"A\"", "    { role = \"ÜNB\", partner_id = \"9900357000028\" },\n"+last, last)
				}
				b.every = 5 * time.Minute
				var log bytes.Buffer
				b.log = &log
				taken := map[string][]string{}
				away = outage
				b.answer = func(endpoint, id string, _ time.Time) deliver.Result {
					attempts++
					if away {
						return deliver.Result{Cause: deliver.Unreachable, Err: errors.New("connection refused")}
					}
					taken[endpoint] = append(taken[endpoint], id)
					return deliver.Result{Outcome: deliver.Stored, Status: 201}
				}
				from := b.home.Since()
				for i, until := range []time.Time{began.AddDays(20).At(13, 0), began.AddDays(40).At(1, 0), backAfterSixtyDays} {
					c := inside(b.play(from, until))
					if i == 1 {
						for _, l := range b.config.Contract.MarketLocations {
							_, err := b.tell(c, form.ParametersChanged, began.AddDays(42).Midnight(), "malo", l.MaLo.String())
							require.NoError(t, err)
						}
					}
					b.reopen()
					from = until.Add(b.every)
				}
				if outage {
					require.Empty(t, b.order)
					stats, err := b.store.Stats()
					require.NoError(t, err)
					t.Logf("%d payloads wait after %d attempts; of the store %d kB are in use", stats.Waiting, attempts, stats.UsedBytes/1000)
					require.Less(t, stats.UsedBytes, stats.LimitBytes/8)
					require.Less(t, attempts, 3*60*48, "three endpoints, each asked about once an hour")
					require.Greater(t, attempts, 3*60*12)
					require.LessOrEqual(t, strings.Count(log.String(), "level=WARN"), 3*(3+1), "at each start one line for each endpoint, and one for the cause:\n%s", log.String())
					require.NotContains(t, log.String(), "level=ERROR")
				}
				away = false
				b.play(from, from.Add(2*time.Hour))
				losses, err := b.store.Losses()
				require.NoError(t, err)
				require.Empty(t, losses)
				require.NoError(t, b.store.Items(func(it buffer.Item) bool {
					require.Equal(t, buffer.Acknowledged, it.State)
					return true
				}))
				require.NoError(t, b.store.VerifyJournal())
				order = map[string][]*form.Payload{}
				for endpoint, ids := range taken {
					for _, id := range ids {
						order[endpoint] = append(order[endpoint], b.payloads[id])
					}
				}
				return b, attempts, order
			}
			sound, _, _ := live(false)
			b, _, order := live(true)
			require.Equal(t, sound.payloads, b.payloads, "not one more, not one less, and each as it would have been")
			require.Len(t, b.order, len(b.payloads), "each came once")

			came := map[form.RowNumber]int{}
			for _, p := range b.payloads {
				came[p.Row]++
				require.Empty(t, p.Notices)
			}
			for _, row := range append(drawn, 3, 5, 6, 8, 9) {
				require.Positive(t, came[row], "row %d", row)
			}
			t.Logf("payloads by row: %v", came)
			require.Len(t, order, 3)
			for endpoint, all := range order {
				requireNewestFirst(t, endpoint, all)
			}
			b.take(rows(2, 3, 9))
			b.requireDelivered(b.due(backAfterSixtyDays.Add(2 * time.Hour)))
		})
	}
}

// backAfterSixtyDays is late on a working day, when the day before it is overdue as well.
var backAfterSixtyDays = began.AddDays(60).At(15, 0) // a Tuesday

// requireNewestFirst holds that an endpoint got the newest daily values before all
// else, and then what it had missed from old to new.
func requireNewestFirst(t *testing.T, endpoint string, all []*form.Payload) {
	daily := func(p *form.Payload) bool { return p.Row == 5 || p.Row == 6 }
	newest := meter.Quarter(0)
	for _, p := range all {
		if daily(p) {
			newest = max(newest, p.Period.From)
		}
	}
	fresh := 0
	for fresh < len(all) && daily(all[fresh]) && all[fresh].Period.From == newest {
		fresh++
	}
	if newest > 0 {
		require.Positive(t, fresh, endpoint)
	}
	var days, moments []time.Time
	for _, p := range all[fresh:] {
		switch {
		case daily(p):
			require.NotEqual(t, newest, p.Period.From, endpoint)
			days = append(days, p.Period.To.Time())
		case p.Row == 9:
			moments = append(moments, p.Moment)
		}
	}
	require.True(t, slices.IsSortedFunc(days, time.Time.Compare), endpoint)
	require.True(t, slices.IsSortedFunc(moments, time.Time.Compare), endpoint)
}
