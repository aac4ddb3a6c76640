// Package docs is the folder of the pages for people. The one of them that a
// program prints is embedded here.
package docs

import _ "embed"

// Example is a commented configuration, right as it stands, to begin with.
//
//go:embed smgw.example.toml
var Example string
