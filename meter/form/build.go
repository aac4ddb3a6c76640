package form

import "smgw/meter"

// Build makes the payload of a Due from boundary readings.
func Build(c *Contract, d Due, readings []meter.BoundaryReading) (Payload, error) {
	panic("not yet")
}
