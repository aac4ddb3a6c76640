package form

// Permits says whether the contract entitles a payload to exist.
func (c *Contract) Permits(p *Payload) error { panic("not yet") }
