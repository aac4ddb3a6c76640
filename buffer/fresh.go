package buffer

import bolt "go.etcd.io/bbolt"

// freshLimit is the largest content of the bucket fresh. bbolt keeps a bucket
// inside its parent's page up to a quarter of a page, headers included.
const freshLimit = pageSize / 4

// elementSize is what a record takes of a leaf page.
func elementSize(key, value []byte) int { return 16 + len(key) + len(value) }

// makeRoom moves all of fresh to the archive when another record of that size
// would make it outgrow the root page.
func makeRoom(fresh, archive *bolt.Bucket, size int) error {
	used := 16 // page header
	c := fresh.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		used += elementSize(k, v)
	}
	if used+size <= freshLimit {
		return nil
	}
	return moveAll(fresh, archive)
}

func moveAll(from, to *bolt.Bucket) error {
	to.FillPercent = 1 // keys ascend: pages are filled once and not split again
	var keys [][]byte
	c := from.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := to.Put(k, v); err != nil {
			return err
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := from.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
