package board

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is what the kernel says about the quality of its wall clock.
type Clock struct {
	// Synchronised is false from power-on until a time service (chrony,
	// timesyncd) has set the clock, and again when the service has been without
	// a source so long that the kernel's error bound passed 16 s.
	Synchronised   bool          `json:"synchronised"`
	EstimatedError time.Duration `json:"estimated_error_ns"` // what the time service believes
	MaxError       time.Duration `json:"max_error_ns"`       // the bound, growing while nobody disciplines the clock
}

// ClockState asks the kernel. It only reads, and needs no privilege.
func ClockState() (Clock, error) { return ClockFrom(unix.Adjtimex) }

// ClockFrom is ClockState with the system call passed in.
func ClockFrom(adjtimex func(*unix.Timex) (state int, err error)) (Clock, error) {
	var t unix.Timex // Modes 0: read only
	state, err := adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("ask the kernel for the state of its clock (adjtimex): %w", err)
	}
	return Clock{
		Synchronised:   state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		EstimatedError: time.Duration(t.Esterror) * time.Microsecond,
		MaxError:       time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}
