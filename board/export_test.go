package board

// NewPanel is the panel behind Open on lines that a test makes.
func NewPanel(lamps []Lamp, lines ...interface {
	SetValue(int) error
	Close() error
}) Lamps {
	all := make([]line, len(lines))
	for i, l := range lines {
		all[i] = l
	}
	return newPanel(lamps, all)
}
