package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/shopspring/decimal"

	"smgw/meter/form"
)

const chartHeight = 6 // lines

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// drawProfile draws a day's load profile in the terminal, one column for each
// quarter hour and a dot where one is missing.
func drawProfile(out io.Writer, title string, intervals []form.Quantity) {
	top := decimal.Zero
	for _, i := range intervals {
		if i.Amount.Valid && i.Amount.Decimal.GreaterThan(top) {
			top = i.Amount.Decimal
		}
	}
	fmt.Fprintf(out, "%s, largest quarter hour %s kWh\n", title, top)
	steps := decimal.NewFromInt(chartHeight * 8)
	for line := chartHeight - 1; line >= 0; line-- {
		var b strings.Builder
		for _, i := range intervals {
			switch {
			case !i.Amount.Valid && line == 0:
				b.WriteRune('·')
			case !i.Amount.Valid || top.IsZero():
				b.WriteRune(' ')
			default:
				// A picture may round; the figures of the table do not.
				level := int(i.Amount.Decimal.Mul(steps).DivRound(top, 0).IntPart())
				b.WriteRune(eighths[min(max(level-line*8, 0), 8)])
			}
		}
		fmt.Fprintf(out, "  │%s\n", strings.TrimRight(b.String(), " "))
	}
	fmt.Fprintf(out, "  └%s\n", strings.Repeat("─", len(intervals)))
}
