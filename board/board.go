// Package board is what the agent knows of the small computer it runs on: the
// lamps on its box and the quality of its clock.
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
// A dark lamp means that no agent runs. Lamps are a convenience: whatever is
// wrong with them, the caller goes on without.
package board
