package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smgw/meter"
	"smgw/sml"
)

// oldDZG is a telegram with an octet string, an energy, a power with a quirk,
// a time as value and an absent value.
func oldDZG() []byte {
	server := []byte("\x0a\x01DZG\x00\x02\x83\xeb\xc0")
	at := sml.Time{Choice: sml.SecIndex, Value: 90_000}
	return sml.AppendFile(nil, sml.X25,
		sml.NewMessage([]byte("1"), &sml.OpenResponse{ReqFileID: []byte("1"), ServerID: server}),
		sml.NewMessage([]byte("2"), &sml.GetListResponse{ServerID: server, SensorTime: at, Entries: sml.NewList(
			sml.Entry{Name: []byte{1, 0, 96, 50, 1, 1}, Value: sml.OctetValue([]byte("DZG"))},
			sml.Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Status: sml.Uint{Value: 0x1c0104, Size: 3}, Unit: sml.U8(30), Scaler: sml.I8(-1), Value: sml.UnsignedValue(1<<64-1, 8)},
			sml.Entry{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: sml.U8(27), Scaler: sml.I8(-2), Value: sml.SignedValue(-32731, 2)},
			sml.Entry{Name: []byte{129, 0, 96, 8, 0, 1}, Value: sml.TimeValue(at)},
			sml.Entry{Name: []byte{1, 0, 96, 50, 2, 6}},
		)}),
		sml.NewMessage([]byte("3"), &sml.CloseResponse{}))
}

func decodeArgs(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := newDecodeCommand()
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetOut(&out)
	command.SetArgs(args)
	err := command.ExecuteContext(context.Background())
	return out.String(), err
}

func recordingOf(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recording.bin")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestDecodeGivesOneObjectALine(t *testing.T) {
	file := oldDZG()
	out, err := decodeArgs(t, "--json", recordingOf(t, append(file, 0x55)))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	end, _ := json.Marshal(len(file))
	behind, _ := json.Marshal(len(file) + 1)
	require.Equal(t, `{"type":"telegram","offset":0,"end":`+string(end)+`,"crc":"x25","server_id":"0a01445a47000283ebc0","sensor_time":{"choice":1,"value":90000},"values":[`+
		`{"obis":"010060320101","code":"1-0:96.50.1*1","octets":"445a47","scaler":null,"unit":null,"status":null,"value":null,"unit_name":null},`+
		`{"obis":"0100010800ff","code":"1-0:1.8.0*255","raw":18446744073709551615,"scaler":-1,"unit":30,"status":1835268,"value":"1844674407370955161.5","unit_name":"Wh"},`+
		`{"obis":"0100100700ff","code":"1-0:16.7.0*255","raw":-32731,"scaler":-2,"unit":27,"status":null,"value":"328.05","unit_name":"W","quirk":"dzg_unsigned_power"},`+
		`{"obis":"810060080001","code":"129-0:96.8.0*1","raw":null,"time":{"choice":1,"value":90000},"scaler":null,"unit":null,"status":null,"value":null,"unit_name":null},`+
		`{"obis":"010060320206","code":"1-0:96.50.2*6","raw":null,"scaler":null,"unit":null,"status":null,"value":null,"unit_name":null}]}`, lines[0])
	require.Equal(t, `{"type":"rejected","offset":`+string(end)+`,"end":`+string(behind)+`,"reason":"noise"}`, lines[1])
	require.Equal(t, `{"type":"summary","bytes":`+string(behind)+`,"telegrams":1,"rejected":{"noise":1}}`, lines[2])
}

func TestDecodeShowsATableToPeople(t *testing.T) {
	out, err := decodeArgs(t, recordingOf(t, append([]byte("noise"), oldDZG()...)))
	require.NoError(t, err)
	require.Equal(t, `Meter     1 DZG00 4220 0000  DZG
Server id 0a01445a47000283ebc0
Its time  second 90000 since it was installed (1 day)
Status    drawing

  1-0:96.50.1*1   maker                DZG
  1-0:1.8.0       energy drawn, total  1844674407370955.1615 kWh
  1-0:16.7.0      power                               328.05 W *
  129-0:96.8.0*1                       second 90000
  1-0:96.50.2*6                        –

  * this DZG sends its power as a signed number though it is not; put right

1 telegram in 217 bytes
  refused    1 ×  noise: bytes outside any telegram
`, out)
}

// portThatSays gives a port on which something comes again and again, as
// from a meter, until the test ends.
func portThatSays(t *testing.T, what string) string {
	t.Helper()
	master, port, err := pty.Open()
	require.NoError(t, err)
	mode, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	require.NoError(t, err)
	mode.Lflag, mode.Iflag, mode.Oflag = 0, 0, 0 // raw, before anyone opens it
	require.NoError(t, unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, mode))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				master.Write([]byte(what))
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		master.Close() // ends a Write that no one reads
		<-stopped
		port.Close()
	})
	return "serial:" + port.Name()
}

func TestDecodeReadsAPortUntilTheFirstTelegram(t *testing.T) {
	out, err := decodeArgs(t, portThatSays(t, "\x1b\x1b\x1b\x1b\x01\x01\x01\x01 torn"+string(oldDZG())))
	require.NoError(t, err)
	require.Contains(t, out, "328.05 W")
	require.Contains(t, out, "1 telegram in")
}

func TestDecodeFollowsUntilTheLineEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			conn.Write(bytes.Repeat(oldDZG(), 2))
			conn.Close()
		}
	}()
	out, err := decodeArgs(t, "--follow", "tcp://"+listener.Addr().String())
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(out, "328.05 W"))
}

func TestDecodeExplainsAPortWithoutTelegrams(t *testing.T) {
	for what, c := range map[string]struct {
		sent string
		want string
	}{
		"silence":    {"", "not a byte in 100ms"},
		"light":      {"\x00\xf8\x80\x00\xf8", "light, but no SML"},
		"plain text": {"/ESY5Q3DA1024 V3.03\r\n\r\n1-0:1.8.0*255(00000.000*kWh)\r\n", `plain text (IEC 62056-21, "D0")`},
		"damage":     {"\x1b\x1b\x1b\x1b\x01\x01\x01\x01v", "SML comes, but no telegram whole"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			wait := "1s"
			if c.sent == "" {
				wait = "100ms"
			}
			_, err := decodeArgs(t, "--wait", wait, portThatSays(t, c.sent))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestDecodeSaysWhoReadsABusyPort(t *testing.T) {
	source, err := meter.ParseSource("serial:/dev/ttyUSB0")
	require.NoError(t, err)
	for by, want := range map[string]string{
		"":                    "/dev/ttyUSB0: busy, another program has it open (sudo fuser --verbose /dev/ttyUSB0 names it). If it is the agent, ask it: smgw status\n",
		"smgw (process 9)":    "/dev/ttyUSB0: busy, smgw (process 9) has it open. If that is the agent, ask it: smgw status\n",
		"minicom (process 8)": "/dev/ttyUSB0: busy, minicom (process 8) has it open. End that, then try again",
	} {
		require.ErrorContains(t, explainOpen(source, &meter.BusyError{Path: "/dev/ttyUSB0", By: by}), want)
	}
}

func TestDecodeExplainsAConverterThatCannotBeReached(t *testing.T) {
	source, err := meter.ParseSource("tcp://converter.example:7000")
	require.NoError(t, err)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", Name: "converter.example", IsNotFound: true}, "no host converter.example is known here"},
		{&net.OpError{Op: "dial", Err: unix.EHOSTUNREACH}, "converter.example does not answer"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "converter.example does not answer"},
		{&net.OpError{Op: "dial", Err: unix.ECONNREFUSED}, "nothing answers at port 7000"},
	} {
		require.ErrorContains(t, explainOpen(source, c.err), c.want)
	}
}
