package meter

// FNNStatus is a status word as the meters of the FNN specification send it
// (FNN Lastenheft EDL; FORM.md, Values). Other makers' words mean other things.
type FNNStatus struct {
	Running       bool    // bit 8: above the starting current (Anlauf)
	Magnet        bool    // bit 9: magnetic manipulation
	Cover         bool    // bit 10: the cover was opened
	FeedingIn     bool    // bit 11: the sum of the power is negative
	PhaseNegative [3]bool // bits 12 to 14: the power of L1, L2, L3 is negative
	PhaseOrder    bool    // bit 15: the phases' order is wrong
	BackStop      bool    // bit 16: counts in one direction only
	Fatal         bool    // bit 17: fatal error
	Voltage       [3]bool // bits 18 to 20: L1, L2, L3 have voltage
}

// FNN decodes the word. It is not ok where the word is none of FNN's: bit 2 is
// set in every one of them, and beside it only bits 8 to 20 may be.
func (w StatusWord) FNN() (FNNStatus, bool) {
	if !w.Valid || w.Bits&^0x1fff00 != 0x04 {
		return FNNStatus{}, false
	}
	bit := func(n uint) bool { return w.Bits>>n&1 != 0 }
	return FNNStatus{
		Running: bit(8), Magnet: bit(9), Cover: bit(10), FeedingIn: bit(11),
		PhaseNegative: [3]bool{bit(12), bit(13), bit(14)},
		PhaseOrder:    bit(15), BackStop: bit(16), Fatal: bit(17),
		Voltage: [3]bool{bit(18), bit(19), bit(20)},
	}, true
}

// Words says what the status means, for people: first what is wrong.
func (s FNNStatus) Words() (words []string) {
	say := func(is bool, what string) {
		if is {
			words = append(words, what)
		}
	}
	say(s.Fatal, "fatal error")
	say(s.Magnet, "magnetic manipulation")
	say(s.Cover, "cover opened")
	say(s.PhaseOrder, "wrong order of phases")
	for i, phase := range [...]string{"L1", "L2", "L3"} {
		say(!s.Voltage[i], phase+" without voltage")
	}
	if s.Running {
		if s.FeedingIn {
			say(true, "feeding in")
		} else {
			say(true, "drawing")
		}
	} else {
		say(true, "no load")
	}
	say(s.BackStop, "counts one direction only")
	return words
}
