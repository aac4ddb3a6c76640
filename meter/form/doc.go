// Package form is the standard form "Datenkommunikation mit Smart-Meter-Gateway"
// after § 54 MsbG: what a gateway may send about a metering point, to whom and
// when. It is pure: contract and readings in, payloads out. It does no I/O and
// reads no clock, so that the same payload can be built by the agent, by a bench
// in fast time, and by anybody who doubts it.
//
//	for _, due := range history.Settled(after, upTo) {
//		payload, err := history.Build(due, readings)
//		…
//	}
//
// Rows are the nine lines of the form, as data. A Contract says which of them
// apply to its market locations, and who the receivers are; a History is the
// contracts that hold one after another, and Always a contract alone. What none of
// them entitles cannot be built (DeniedError). Plan and Settled turn rows into
// dates: working days and months of German local time, whose days have 92, 96 or
// 100 quarter hours. Occasioned does so for the rows that events make due.
//
// Build judges each register's boundary readings once, oldest first: too far off
// its boundary, implausible, or good. Every value follows from that judgement,
// exactly and with its State: what cannot be known is absent with a Reason, and
// never zero; a substitute is made only where the contract asks for one. All
// numbers are decimals from the telegram to the payload. BuildFinal settles what is
// still preliminary on the 8th, Sent says what may correct what was sent, and
// Verify whether a payload that somebody built follows from readings.
//
// The rules stand in FORM.md; a model of them, slow and independent, is in the
// tests.
package form
