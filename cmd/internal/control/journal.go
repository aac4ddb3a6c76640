package control

import (
	"context"

	"smgw/buffer"
)

// Journal asks the agent behind the socket for its whole journal, oldest entry
// first, and calls fn for each entry.
func Journal(ctx context.Context, socket string, fn func(buffer.Entry) error) error {
	return Each(ctx, Dial(socket), JournalPath, fn)
}
