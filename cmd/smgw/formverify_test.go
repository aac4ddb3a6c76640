package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/obis"
	"smgw/tls/identity"
)

// verifyBench is a folder with a configuration, a table of readings, the
// payload of row 6 that they make of Tuesday, 3 November 2026, bare and signed, and
// the signature's certificate.
func verifyBench(t *testing.T) (dir string) {
	dir = t.TempDir()
	write := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	example, err := os.ReadFile("../../docs/smgw.example.toml")
	require.NoError(t, err)
	write("smgw.toml", example)
	contract, err := config.LoadContract(filepath.Join(dir, "smgw.toml"))
	require.NoError(t, err)

	day := form.Date{Year: 2026, Month: 11, Day: 4}
	due := form.Plan(contract, day, day)
	d := due[len(due)-2] // row 6 of what is drawn
	require.Equal(t, form.RowNumber(6), d.Row)
	var all []meter.BoundaryReading
	var table bytes.Buffer
	w := meter.NewTableWriter(&table)
	for q := d.Period.From; q <= d.Period.To; q++ {
		r := meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
			Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(int64(q)*1234, -1)}}}
		require.NoError(t, w.Write(&r))
		all = append(all, r)
	}
	require.NoError(t, w.Flush())
	write("november.csv", table.Bytes())
	write("other.csv", bytes.Replace(table.Bytes(), []byte("2026-11-03T11:00:00Z,"), []byte("2026-11-04T11:00:00Z,"), 1))

	p, err := contract.Always().Build(d, all)
	require.NoError(t, err)
	p.Gateway = "ESMG0000000001"
	encoded, err := wire.Encode(&p)
	require.NoError(t, err)
	write("bare", encoded)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signed, err := wire.Sign(encoded, key, []byte("kid"))
	require.NoError(t, err)
	write("signed", signed)
	for name, key := range map[string]*ecdsa.PrivateKey{"signature.pem": key, "another.pem": anotherKey(t)} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		write(name, identity.EncodeCertificates(c))
	}

	p.MaLo, p.To, p.Row = contract.MarketLocations[1].MaLo, form.AB, 8
	encoded, err = wire.Encode(&p)
	require.NoError(t, err)
	write("denied", encoded)
	return dir
}

// historyBench is verifyBench with a second contract, next.toml, that holds from 16
// November 2026 with another transformer factor, readings of that month with a
// gap, and payloads: month of row 7, its correction after the gap was settled, and
// an event's of row 3.
func historyBench(t *testing.T) (dir string) {
	dir = verifyBench(t)
	write := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	text, err := os.ReadFile(filepath.Join(dir, "smgw.toml"))
	require.NoError(t, err)
	replaced := regexp.MustCompile(`transformer_factor = \d+`).ReplaceAll(text, []byte("transformer_factor = 77"))
	write("next.toml", bytes.Replace(replaced, []byte("[contract]\n"), []byte("[contract]\nfrom = \"2026-11-16\"\n"), 1))
	h, err := config.LoadHistory(filepath.Join(dir, "next.toml"), filepath.Join(dir, "smgw.toml"))
	require.NoError(t, err)

	first := form.Date{Year: 2026, Month: 11, Day: 1}
	from, to := first.Midnight(), first.FirstOfNextMonth().Midnight()
	var all []meter.BoundaryReading
	var table bytes.Buffer
	w := meter.NewTableWriter(&table)
	for q := from; q <= to; q++ {
		if q == from+100 {
			continue
		}
		r := meter.BoundaryReading{Boundary: q, Clock: meter.ClockSynchronised,
			Registers: []meter.RegisterValue{{Code: obis.Drawn, Value: decimal.New(int64(q-from)*1234, -1)}}}
		require.NoError(t, w.Write(&r))
		all = append(all, r)
	}
	require.NoError(t, w.Flush())
	write("month.csv", table.Bytes())

	put := func(name string, p form.Payload, err error) string {
		require.NoError(t, err)
		p.Gateway = "ESMG0000000001"
		encoded, err := wire.Encode(&p)
		require.NoError(t, err)
		write(name, encoded)
		return wire.ID(&p)
	}
	var month form.Due
	for _, d := range h.Settled(from, to) {
		if d.Row == 7 && d.To == form.NB {
			month = d
		}
	}
	p, err := h.Build(month, all)
	id := put("month", p, err)
	p, err = h.BuildFinal(month, all)
	p.Revision, p.Supersedes = 1, id
	put("final", p, err)
	for _, d := range h.Occasioned(append(h.Implied(), form.Event{Kind: form.DeviceRemoved, MaLo: month.MaLo, At: to - 500}), from, to) {
		p, err = h.Build(d, all)
		put("event", p, err)
	}
	return dir
}

func TestFormVerifyOfAChangedContract(t *testing.T) {
	t.Chdir(historyBench(t))
	verify := func(args string) (string, error) {
		var out bytes.Buffer
		root := newRootCommand()
		root.SetOut(&out)
		root.SetArgs(append(strings.Fields("form verify --readings month.csv"), strings.Fields(args)...))
		err := root.Execute()
		return out.String(), err
	}
	for _, payload := range []string{"month", "final", "event"} {
		out, err := verify(payload + " --config smgw.toml --config next.toml")
		require.NoError(t, err, "%s: %s", payload, out)
		require.Contains(t, out, "It follows from the readings.\n", payload)
		out, err = verify(payload + " --config smgw.toml")
		require.Error(t, err, payload)
		require.Contains(t, out, "energy", "the other factor is not known")
	}
	out, err := verify("event --config smgw.toml --config next.toml")
	require.NoError(t, err)
	require.Contains(t, out, "Row 3 of market location 41373559241, 2026-11-16T00:00:00+01:00 to 2026-11-25T19:00:00+01:00, to NB, revision 0")
	out, err = verify("final --config smgw.toml --config next.toml --json")
	require.NoError(t, err)
	require.Contains(t, out, `"revision":1,"supersedes":"`)

	_, err = verify("month --config smgw.toml --config next.toml --config smgw.toml")
	require.ErrorContains(t, err, "smgw.toml and smgw.toml: neither [contract] has a from: of several versions all but the first say from which day they hold")
	_, err = verify("month --config next.toml --config smgw.toml --config next.toml")
	require.ErrorContains(t, err, "next.toml and next.toml: both contracts hold from 2026-11-16")
}

func anotherKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func TestFormVerify(t *testing.T) {
	t.Chdir(verifyBench(t))
	for name, test := range map[string]struct {
		args string // after form verify --config smgw.toml
		out  []string
		err  string // "" for none
	}{
		"signed, with the certificate": {"signed --readings november.csv --certificate signature.pem", []string{
			"Row 6 of market location 41373559241, 2026-11-03, to LF, revision 0, by gateway ESMG0000000001. The signature is that of the certificate.\nIt follows from the readings.\n"}, ""},
		"signed, without": {"signed --readings november.csv", []string{"Its signature was not checked", "It follows"}, ""},
		"bare":            {"bare --readings november.csv --json", []string{`{"follows":true,"signature":"none","id":"`, `"row":6,`, `"to":"LF","period":{"from":"2026-11-03T00:00:00+01:00"`, `"difference":null}`}, ""},
		"a different reading": {"bare --readings other.csv", []string{"It does not follow from the readings. The first difference:\n",
			"  payload   1-0:1.8.0  load_profile  2026-11-03T11:45:00+01:00  0.1234 kWh  true\n",
			"  readings  1-0:1.8.0  load_profile  2026-11-03T11:45:00+01:00  –           missing Z75\n"}, "payload bare does not follow from other.csv"},
		"a different reading, for programs": {"signed --readings other.csv --json", []string{`"follows":false`,
			`"difference":{"payload":{"obis":"1-0:1.8.0","kind":"load_profile","unit":"kWh","start":"2026-11-03T11:45:00+01:00","intervals":[{"value":"0.1234","state":"true"}]},"readings":{`},
			"payload signed does not follow from other.csv"},
		"what the contract does not entitle": {"denied --readings november.csv", []string{"The contract does not entitle it: row 8 for market location 51238696781: AB is market partner 9900357000042, not 9900357000004"}, "payload denied does not follow"},
		"another gateway's certificate":      {"signed --readings november.csv --certificate another.pem", nil, "verification error"},
		"a certificate for a bare payload":   {"bare --readings november.csv --certificate signature.pem", nil, "payload bare: it is not signed"},
		"no certificate":                     {"signed --readings november.csv --certificate smgw.toml", nil, "smgw.toml: block 1 is no PEM block"},
		"no payload":                         {"smgw.toml --readings november.csv", nil, "payload smgw.toml: it is no payload as a gateway sends it: decode payload"},
		"no readings":                        {"bare --readings smgw.toml", nil, "readings smgw.toml: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			root := newRootCommand()
			root.SetOut(&out)
			root.SetArgs(append([]string{"form", "verify", "--config", "smgw.toml"}, strings.Fields(test.args)...))
			err := root.Execute()
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			for _, want := range test.out {
				require.Contains(t, out.String(), want)
			}
			if test.out == nil {
				require.Empty(t, out.String())
			}
		})
	}
}
