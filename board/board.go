// Package board is what the agent knows of the small computer it runs on: the
// lamps and the button on its box, the line that restarts the optical head, and
// the quality of its clock.
//
// A lamp says one thing, the most urgent [Cause] that holds, by a number of
// flashes that a person in front of the box can count:
//
//	panel, err := board.Open(board.Config{
//		Chip:  "gpiochip0",
//		Lamps: []board.Lamp{{Line: board.LineName("STATUS")}},
//	})
//	if err != nil {
//		log.Warn("running without lamps", "err", err)
//	}
//	panel.Show(board.ReaderSilent, board.HeadEndUnreachable) // two flashes
//	panel.Show()                                             // all well: steady light
//
// A dark lamp means that no agent runs. The button asks for a self-test or for
// the gateway's number:
//
//	button, err := board.OpenButton(config)
//	switch <-button.Presses() {
//	case board.Short:
//		panel.SelfTest()
//	case board.Long:
//		panel.Spell("0001")
//	}
//
// All of it is a convenience: whatever is wrong with a line, the caller goes on
// without.
package board
