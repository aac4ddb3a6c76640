package config

// Keys lists every key that a file may contain, without tables.
func Keys() []string { return keysOf(schema) }

func keysOf(s shape) []string {
	var all []string
	for _, k := range s.keys {
		if k.keys == nil {
			all = append(all, k.name)
		}
		all = append(all, keysOf(k)...)
	}
	return all
}
