//go:build race

package buffer_test

const raceDetector = true
