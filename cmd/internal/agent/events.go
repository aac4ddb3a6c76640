package agent

import (
	"time"

	"smgw/buffer"
)

// Kinds of events in the journal that the agent writes.
const (
	AgentStarted    = "agent_started"
	AgentHung       = "agent_hung" // it ended itself because a stage hung
	AgentStopped    = "agent_stopped"
	DeviceSeen      = "device_seen"      // another server id answers on a meter's line
	RegisterFell    = "register_fell"    // a device's register shows less than at the boundary before
	HeadRestarted   = "head_restarted"   // the optical head of a meter was restarted by its reset line
	Causes          = "causes"           // what was wrong in the last quarter hour is other than before
	SeriesBegun     = "series_begun"     // payloads of one rhythm about a market location begin
	SeriesEnded     = "series_ended"     // the contract has them no more, and they are built up to its end
	Delivered       = "delivered"        // a payload left and was acknowledged
	Refused         = "refused"          // a payload was refused for good and set aside
	Damaged         = "payload_damaged"  // a payload's bytes went bad on flash; it was set aside
	MomentsLost     = "moments_lost"     // momentary figures that waited too long were given up
	ReadingsLost    = "readings_lost"    // boundary readings that could not be kept
	ClockJumped     = "clock_jumped"     // the wall clock moved against the host's count of time
	ClockDoubted    = "clock_doubted"    // the kernel says that it is synchronised, and other things say no
	ClockBelieved   = "clock_believed"   // it is believed again
	ReadingsDated   = "readings_dated"   // readings from before the clock was right have got their instants
	ReadingsUndated = "readings_undated" // and these never will
	Looked          = "looked"           // somebody read measured values that are kept
	Retried         = "retried"          // somebody had a refused payload sent again
	GivenUp         = "given_up"         // somebody decided that a refused payload is not sent
	EventTold       = "event_told"       // what happened at the metering point: somebody told it, or the agent saw it
	EventWithdrawn  = "event_withdrawn"  // somebody took it back
	EventBuilt      = "event_built"      // its payloads are built
	MomentDemanded  = "moment_demanded"  // somebody asked for a momentary figure
	Imported        = "readings_imported"
	HandedOver      = "handed_over"     // somebody said that this gateway's work begins where that of the one before it ended
	Decommissioning = "decommissioning" // somebody ends this gateway's work
)

// event is an event of the agent, now, with details as pairs of name and value.
func (a *Agent) event(kind string, details ...string) buffer.Event {
	return buffer.Event{At: a.Clock.Now().Time, Kind: kind, Detail: pairs(nil, details)}
}

// event is an event about an item of the outbox: with what the item is, for
// whom and why, because the journal is asked when the item is long forgotten.
func event(at time.Time, kind string, item buffer.Item, details ...string) buffer.Event {
	detail := map[string]string{"id": item.ID}
	for name, text := range item.Label {
		if name != tellsLosses && name != labelContent {
			detail[name] = text
		}
	}
	return buffer.Event{At: at, Kind: kind, Detail: pairs(detail, details)}
}

func pairs(into map[string]string, details []string) map[string]string {
	if into == nil {
		into = map[string]string{}
	}
	for i := 0; i+1 < len(details); i += 2 {
		if details[i+1] != "" {
			into[details[i]] = details[i+1]
		}
	}
	return into
}
