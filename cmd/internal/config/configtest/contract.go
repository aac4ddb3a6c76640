// Package configtest has contracts for tests of what lives by them.
package configtest

// ClassA and ClassB are whole files with a contract alone: one market location,
// drawn, at one meter.
const (
	ClassA = head + `class = "A"
` + supplierAndNetwork

	ClassB = head + `class = "B"
` + supplierAndNetwork + `
[[market_location.receiver]]
role = "ÜNB"
partner_id = "9900357000006"
`
)

const head = `
[contract]
edition = "BK6-18-032"
melo = "DE00056266802AO6G56M11SN51G21M24S"

[[market_location]]
malo = "41373559241"
direction = "draw"
`

const supplierAndNetwork = `
[[market_location.receiver]]
role = "LF"
partner_id = "9900357000004"

[[market_location.receiver]]
role = "NB"
partner_id = "9900357000005"
`
