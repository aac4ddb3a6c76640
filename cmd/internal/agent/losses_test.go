package agent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/meter"
	"smgw/meter/form"
)

// A full store may give up thousands of figures before a head-end is back: it is
// told of all of them by a payload that it can read.
func TestManyLossesAreOneNotice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.every = meter.QuarterLength
	begin := b.home.Since()
	b.play(begin, begin.Add(time.Hour))
	losses := []buffer.Loss{{Kind: "readings_lost", From: begin, To: begin.Add(time.Hour), Count: 4}}
	for i := range 5000 {
		at := begin.Add(time.Duration(i) * time.Minute)
		losses = append(losses, buffer.Loss{Kind: buffer.LossFull, Subject: "a figure", From: at, To: at, Count: 1})
	}
	require.NoError(t, b.store.AddLoss(losses))
	until := form.Date{Year: 2026, Month: time.October, Day: 26}.At(12, 0)
	b.play(begin.Add(time.Hour+meter.QuarterLength), until)
	b.requireDelivered(b.due(until))
	first := meter.QuarterOf(begin)
	require.Equal(t, []form.Notice{
		{Kind: "readings_lost", From: first, To: first + 4, Count: 4},
		{Kind: buffer.LossFull, From: first, To: meter.QuarterOf(begin.Add(4999 * time.Minute)), Count: 5000},
	}, b.payloads[b.order[0]].Notices)
	left, err := b.store.Losses()
	require.NoError(t, err)
	require.Empty(t, left, "told once")
}
