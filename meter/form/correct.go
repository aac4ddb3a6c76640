package form

// Sent is what the sender of a payload remembers of the last revision of it that
// left.
type Sent struct {
	Revision    int
	Content     string // a digest of what it said
	Preliminary bool   // Payload.Preliminary
	Final       bool   // Payload.Settled
}

// Corrected reports whether a payload made anew of the same due date, with this
// digest, is to go out and supersede what was sent: it says something else, and
// no figure that was once more than preliminary becomes so again (FORM.md,
// Values). What was settled on the 8th is not unsettled: from then on BuildFinal
// makes what is compared.
func (s Sent) Corrected(p *Payload, content string) bool {
	switch {
	case content == s.Content:
		return false
	case p.Preliminary():
		return s.Preliminary
	case p.Settled():
		return s.Preliminary || s.Final
	}
	return true
}
