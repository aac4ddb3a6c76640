package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/obis"
)

// startMeter runs the meter command and returns what it prints as its source.
func startMeter(t *testing.T, args ...string) (source meter.Source, done chan error) {
	t.Helper()
	r, w := io.Pipe()
	cmd := newMeterCommand()
	cmd.SetOut(w)
	cmd.SetArgs(args)
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		w.CloseWithError(err)
		done <- err
	}()
	t.Cleanup(cancel)
	name, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	source, err = meter.ParseSource(strings.TrimSpace(name))
	require.NoError(t, err)
	return source, done
}

// It pushes what it counted, and writes down what that was.
func TestMeterWritesDownWhatItCounted(t *testing.T) {
	folder := t.TempDir()
	table, link := filepath.Join(folder, "registers.csv"), filepath.Join(folder, "meter")
	source, done := startMeter(t, "--fast", "--interval", "10s", "--roof", "--link", link, "--registers", table,
		"--start", "2026-10-25T00:00:00+02:00", "--until", "2026-10-26T00:00:00+01:00", "--device", "0a0153494d0000000009")
	require.FileExists(t, link)

	zero := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	read := map[meter.Quarter]meter.Reading{}
	heard := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	line := meter.Line{Source: source}
	ended := make(chan error, 1)
	go func() {
		n := 0
		ended <- line.Run(ctx, func(telegram meter.Telegram) {
			at := zero.Add(time.Duration(telegram.SecIndex().Seconds) * time.Second)
			if r, ok := telegram.Reading("main", meter.Stamp{Time: at}); ok && at.Unix()%900 == 0 {
				read[meter.QuarterOf(at)] = r
			}
			if n++; n == 25*360+1 {
				heard <- n
			}
		})
	}()
	require.NoError(t, <-done)
	<-heard
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.NoFileExists(t, link)

	f, err := os.Open(table)
	require.NoError(t, err)
	defer f.Close()
	counted, err := meter.ReadTable(f)
	require.NoError(t, err)
	require.Len(t, counted, 101, "a day of 100 quarter hours has 101 boundaries")
	for _, b := range counted {
		r := read[b.Boundary]
		require.Equal(t, "0a0153494d0000000009", r.Device.String())
		for _, c := range []obis.Code{obis.Drawn, obis.FedIn} {
			want, ok := b.Register(c)
			require.True(t, ok)
			var got string
			for _, v := range r.Registers {
				if v.Code == c {
					got = v.Value.String()
				}
			}
			require.Equal(t, want.String(), got, "%v at %v", c, b.Boundary)
		}
	}
}

func TestMeterReplaysARecordingOverTheNetwork(t *testing.T) {
	recording := filepath.Join(t.TempDir(), "recording.bin")
	require.NoError(t, os.WriteFile(recording, []byte("any bytes at all"), 0o600))
	source, done := startMeter(t, "--tcp", "127.0.0.1:0", "--replay", recording, "--once", "--fast")
	r, err := source.Open(t.Context())
	require.NoError(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "any bytes at all", string(got))
	require.NoError(t, <-done)
}
