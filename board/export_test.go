package board

import "time"

// Line is what a test gives for a GPIO line.
type Line = line

// NewPanel is the panel behind Open on lines that a test makes.
func NewPanel(lamps []Lamp, lines ...Line) Lamps { return newPanel(lamps, lines) }

// NewButton is the Button behind OpenButton on a line that a test makes, and
// what the kernel's edges call: down or up. A kernel that debounces has bounce 0.
func NewButton(l Line, bounce time.Duration) (Button, func(down bool)) {
	levels := newLevels()
	return newButton(l, levels, bounce), levels.set
}

// OpenButtonBy is OpenButton with the request of the line passed in.
var OpenButtonBy = openButton

// Settle is how long a contact bounces at most.
const Settle = settle

// NewReset is the Reset behind OpenReset on a line that a test makes.
func NewReset(l Line) Reset { return &resetLine{l, LineOffset(4)} }
