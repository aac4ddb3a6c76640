package meter_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/meter"
	"smgw/meter/sim"
)

func TestASourceIsNamedAsPeopleNameIt(t *testing.T) {
	folder := t.TempDir()
	recording := filepath.Join(folder, "meter.bin")
	require.NoError(t, os.WriteFile(recording, nil, 0o600))
	dangling := filepath.Join(folder, "dangling")
	require.NoError(t, os.Symlink(filepath.Join(folder, "nothing"), dangling))
	port, err := sim.OpenPort()
	require.NoError(t, err)
	defer port.Close()
	link := filepath.Join(folder, "port")
	require.NoError(t, port.Link(link))

	for spec, want := range map[string]struct {
		source string
		live   bool
	}{
		"-":                         {"-", false},
		recording:                   {"file:" + recording, false},
		"file:" + recording:         {"file:" + recording, false},
		"file:/nothing":             {"file:/nothing", false},
		port.Name():                 {"serial:" + port.Name(), true},
		link:                        {"serial:" + link, true},
		dangling:                    {"serial:" + dangling, true},
		"/dev/ttyNobodyHas":         {"serial:/dev/ttyNobodyHas", true},
		"serial:/nothing":           {"serial:/nothing", true},
		"usb:A50285BI":              {"usb:A50285BI", true},
		"tcp://192.168.1.20:7000":   {"tcp://192.168.1.20:7000", true},
		"tcp://[fe80::1%eth0]:7000": {"tcp://[fe80::1%eth0]:7000", true},
	} {
		source, err := meter.ParseSource(spec)
		require.NoError(t, err, spec)
		require.Equal(t, want.source, source.String())
		require.Equal(t, want.live, source.Live(), spec)
		again, err := meter.ParseSource(source.String())
		require.NoError(t, err)
		require.Equal(t, source, again)
	}
	for spec, want := range map[string]string{
		"":                     "empty",
		"tcp://192.168.1.20":   "want tcp://host:port",
		"tcp://:7000":          "want tcp://host:port",
		"tcp://host:99999":     "want tcp://host:port",
		"tcp:host:7000":        "want tcp://host:port",
		"http://host:7000":     "want a serial port",
		"serial:":              "want a serial port",
		"file:":                "want a serial port",
		folder:                 "is a folder",
		folder + "/nothing":    "write serial:",
		"ttyUSB7":              "did you mean /dev/ttyUSB7?",
		"usb:":                 "want a serial port",
		recording + "/nothing": "not a directory",
	} {
		_, err := meter.ParseSource(spec)
		require.ErrorContains(t, err, want, spec)
	}
}

func TestAPortThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	source, err := meter.ParseSource("/dev/null")
	require.NoError(t, err)
	_, err = source.Open(t.Context())
	require.ErrorContains(t, err, "open /dev/null")
	require.ErrorContains(t, err, "this is no serial port")
	for spec, want := range map[string]string{"serial:" + t.TempDir(): "this is a folder, no serial port", "file:" + t.TempDir(): "is a folder: want a recording in it"} {
		source, err := meter.ParseSource(spec)
		require.NoError(t, err)
		_, err = source.Open(t.Context())
		require.ErrorContains(t, err, want)
	}
}
