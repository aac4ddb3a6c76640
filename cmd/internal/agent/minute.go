package agent

import "time"

// keepMinute stores the newest reading of a minute when the first one of
// another has come, where the configuration wants it: one commit a minute.
func (a *Agent) keepMinute(m *meterState, next time.Time) {
	last := m.last.At.Time
	if !a.Config.Readings.Minutes || last.IsZero() || !m.dated || last.Truncate(time.Minute).Equal(next.Truncate(time.Minute)) {
		return
	}
	err := a.Store.PutMinute(m.last)
	if err != nil && !m.minuteRefused {
		a.Log.Warn("the store takes no minute readings", "meter", m.name, "err", err)
	}
	m.minuteRefused = err != nil
}
