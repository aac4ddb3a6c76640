package control

import (
	"context"
	"fmt"

	"smgw/buffer"
)

// Journal asks the agent behind the socket for its whole journal, oldest entry
// first, in as many answers as it takes, and calls fn for each entry.
func Journal(ctx context.Context, socket string, fn func(buffer.Entry) error) error {
	for next := uint64(0); ; {
		var entries []buffer.Entry
		if err := Get(ctx, socket, fmt.Sprintf("%s?from=%d", JournalPath, next), &entries); err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		next = entries[len(entries)-1].Seq + 1
	}
}
