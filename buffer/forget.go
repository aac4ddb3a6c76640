package buffer

import (
	"fmt"
)

// Forget erases items with everything that is known of them, and stores what was
// lost with them and journal entries, in one commit: items that nobody will ask
// for one by one. Ids that are unknown are passed over.
func (s *Store) Forget(ids []string, losses []Loss, events ...Event) error {
	err := s.update(func(t *txn) error {
		for _, id := range ids {
			if it, unsettled := s.outbox.get(id); unsettled {
				it.State = GivenUp // so that memory forgets it as well
				t.items = append(t.items, it)
			}
			for _, bucket := range [...][]byte{bucketBodies, bucketItems} {
				if err := t.Bucket(bucket).Delete([]byte(id)); err != nil {
					return err
				}
			}
		}
		if err := appendLosses(t.Tx, losses); err != nil {
			return err
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("forget %d payloads: %w", len(ids), err)
	}
	return nil
}
