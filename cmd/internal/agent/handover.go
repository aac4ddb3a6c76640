package agent

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// A gateway's own work begins with its first reading, and that of the gateway
// before it ended with its last one. What was used in between is nobody's, unless
// the gateway that follows takes it over: its work then begins where the other's
// ended. That is the last reading of the table that the other one left.

// handOver moves where this gateway's work begins back to the end of the one before it.
func (i *Inspection) handOver(r *http.Request, name string, end meter.Quarter) error {
	defer i.alone()()
	begin, err := i.canFollow(end)
	if err != nil || begin == end {
		return err
	}
	marks, err := i.Store.Series()
	if err != nil {
		return err
	}
	var series []string
	for mark := range marks {
		if isSeries(mark) {
			series = append(series, mark)
		}
	}
	slices.Sort(series)
	detail, err := by(r, "meter", name, "from", end.String(), "before", begin.String())
	if err != nil {
		return err
	}
	if err := i.Store.BeginEarlier(end, series, buffer.Event{At: i.Now(), Kind: HandedOver, Detail: detail}); err != nil {
		return err
	}
	if i.Begun != nil {
		i.Begun()
	}
	return nil
}

// canFollow says why this gateway's work cannot begin where that of another ended.
// begin is where it begins now.
func (i *Inspection) canFollow(end meter.Quarter) (begin meter.Quarter, err error) {
	versions, err := i.Store.Contracts()
	if err != nil {
		return 0, err
	}
	if len(versions) == 0 {
		return 0, control.Impossible("this gateway has no contract yet")
	}
	begin = versions[0].From
	const without = "; without --handover its readings are taken, and what is sent stays as it is"
	switch from := i.Config.Contract.From; {
	case end > begin:
		return 0, control.Impossible("the table ends at %s, and this gateway's own work began before, at %s: both have the time between"+without, form.Local(end), form.Local(begin))
	case end == begin:
		return begin, nil
	case len(versions) > 1:
		return 0, control.Impossible("this gateway has %d versions of its contract already, and which of them holds from %s is not known: a gateway is handed over on the day of its installation, before another contract is configured"+without, len(versions), form.Local(end))
	case from != form.Date{} && from.Midnight() > end:
		return 0, control.Impossible("the table ends at %s, and the contract holds from %s: put the day from which it holds for this metering point under from in [contract], or leave it out, restart the agent and try again"+without, form.Local(end), from)
	case begin.Time().Sub(end.Time()) > eventPast:
		return 0, control.Impossible("the table ends at %s, more than %d days before this gateway's own work began at %s: is it the table of another gateway?"+without, form.Local(end), eventPast/(24*time.Hour), form.Local(begin))
	}
	var built map[string]string
	err = i.Store.Items(func(it buffer.Item) bool {
		number, _ := strconv.Atoi(it.Label["row"])
		if row, known := form.RowNumber(number).Row(); known && row.Rhythm != form.OnDemand {
			built = it.Label
		}
		return built == nil
	})
	if err == nil && built != nil {
		err = control.Impossible("payloads are built already (row %s from %s): they begin at %s, and the time from %s on is in none of them. "+
			"A gateway is handed over on the day of its installation, before its first midnight; tell the metering point operator what the meter counted in between"+without,
			built["row"], built["from"], form.Local(begin), form.Local(end))
	}
	return begin, err
}
