package form

import "time"

const (
	// WarnOffset is how far off its boundary a reading may be without a warning:
	// 1 % of 900 s (PTB-A 50.8).
	WarnOffset = 9 * time.Second
	// MaxOffset is how far off a reading may be at all, where the contract sets
	// no lower limit.
	MaxOffset = 27 * time.Second
)
