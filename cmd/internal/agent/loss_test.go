package agent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/meter"
	"smgw/meter/form"
)

// What is lost of a meter that measures no market location is nobody's to hear.
// It must not have what is lost after it told again with every payload, nor keep
// the lamp from all well for ever.
func TestALossOfNobodysMeterHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.configure("[[meter]]", "[[meter]]\nname = \"main\"", "[headend]", "[[meter]]\nname = \"spare\"\nport = \"file:/dev/null\"\n\n[headend]",
		"class = \"B\"", "class = \"B\"\nmeter = \"main\"")
	b.play(b.home.Since(), began.At(12, 0))
	at := began.At(12, 0)
	for _, name := range []string{"spare", "main", "spare"} {
		require.NoError(t, b.store.AddLoss([]buffer.Loss{{At: at, Kind: agent.ReadingsLost, Subject: name, From: at, To: at.Add(time.Hour), Count: 4}}))
	}
	b.play(at.Add(time.Minute), began.AddDays(4).At(12, 0))
	losses, err := b.store.Losses()
	require.NoError(t, err)
	require.Empty(t, losses)
	told := map[form.Date]int{}
	for _, p := range b.payloads {
		require.LessOrEqual(t, len(p.Notices), 1)
		if len(p.Notices) > 0 {
			told[form.DateOf(p.Period.To.Time())]++
		}
	}
	require.Len(t, told, 1, "with the first payloads that are made, and no others")
}

// What is lost to one meter is not told to the receivers of another's.
func TestALossIsThatOfItsMeter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	readings := func(name string, n int) (all []meter.BoundaryReading) {
		for i := range n {
			all = append(all, meter.BoundaryReading{Meter: name, Boundary: began.Midnight() + meter.Quarter(i)})
		}
		return all
	}
	b.clock = agent.NewSteppedClock(b.home.Since())
	a := b.agent(true)
	a.Lose(append(readings("main", 3), readings("roof", 2)...), nil)
	require.NoError(t, a.Run(t.Context()))
	losses, err := b.store.Losses()
	require.NoError(t, err)
	from := began.Midnight()
	require.Len(t, losses, 2)
	for i, want := range []buffer.Loss{
		{Subject: "main", From: from.Time(), To: (from + 2).Time(), Count: 3},
		{Subject: "roof", From: from.Time(), To: (from + 1).Time(), Count: 2},
	} {
		want.Seq, want.At, want.Kind = uint64(i+1), b.home.Since().UTC(), agent.ReadingsLost
		require.Equal(t, want, losses[i])
	}
	require.Len(t, b.journal(agent.ReadingsLost), 2)
}
