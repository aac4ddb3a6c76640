package config

import (
	"fmt"
	"slices"

	"smgw/meter/form"
)

// LoadHistory reads the versions of a contract, in any order. Of several all but
// the first say in [contract] from when they hold; the first is taken to have held
// from the beginning of time.
func LoadHistory(files ...string) (*form.History, error) {
	type version struct {
		file string
		*form.Contract
	}
	var versions []version
	for _, file := range files {
		c, err := LoadContract(file)
		if err != nil {
			return nil, err
		}
		versions = append(versions, version{file, c})
	}
	slices.SortStableFunc(versions, func(a, b version) int {
		switch {
		case a.From.Before(b.From):
			return -1
		case b.From.Before(a.From):
			return 1
		}
		return 0
	})
	h := &form.History{}
	for i, v := range versions {
		switch {
		case i == 0:
			h = v.Always()
			continue
		case v.From == form.Date{}:
			return nil, fmt.Errorf("%s and %s: neither [contract] has a from: of several versions all but the first say from which day they hold, as from = \"2026-12-01\"", versions[i-1].file, v.file)
		case v.From == versions[i-1].From:
			return nil, fmt.Errorf("%s and %s: both contracts hold from %s: want one for each day", versions[i-1].file, v.file, v.From)
		}
		h.Versions = append(h.Versions, form.Version{From: v.From.Midnight(), Contract: v.Contract})
	}
	return h, nil
}
