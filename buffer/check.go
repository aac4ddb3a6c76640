package buffer

func checkHead(path string) error { return nil }

func Check(path string) error { s, err := Open(path, Options{}); if err == nil { err = s.Close() }; return err }
