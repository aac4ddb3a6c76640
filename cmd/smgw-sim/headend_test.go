package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
	"smgw/cmd/internal/config/configtest"
	"smgw/cmd/internal/headend"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/tls/authority"
	"smgw/tls/deliver"
	"smgw/tls/identity"
	"smgw/tls/profile"
)

func TestWhatAHeadEndAcknowledgedSurvivesItsKill(t *testing.T) {
	dir := t.TempDir()
	own := enrolGateway(t, dir)
	client := deliver.NewClient(profile.Client(own.Roots, profile.Fixed(*own.TLSCertificate())), deliver.DefaultLimits)
	defer client.Close()
	var acknowledged []string

	for _, p := range payloadsOf(t, filepath.Join(dir, "contract.toml"), own.GatewayID) {
		process, endpoint := startHeadEnd(t, filepath.Join(dir, "headend"))
		encoded, err := wire.Encode(&p)
		require.NoError(t, err)
		signed, err := wire.Sign(encoded, own.Signature.Signer, own.Signature.KeyID())
		require.NoError(t, err)
		result := client.Put(t.Context(), endpoint, wire.ID(&p), signed)
		require.Equal(t, deliver.Stored, result.Outcome, "%v", result.Err)
		require.NoError(t, process.Process.Signal(syscall.SIGKILL))
		process.Wait()
		acknowledged = append(acknowledged, wire.ID(&p))
	}

	all, err := headend.Dump(filepath.Join(dir, "headend"))
	require.NoError(t, err)
	ids := make([]string, len(all))
	for i, d := range all {
		ids[i] = d.ID
	}
	require.Equal(t, acknowledged, ids)
}

// enrolGateway makes a PKI, a head-end and a gateway in dir.
func enrolGateway(t *testing.T, dir string) *identity.Identity {
	t.Helper()
	contract := filepath.Join(dir, "contract.toml")
	require.NoError(t, os.WriteFile(contract, []byte(configtest.ClassB), 0o600))
	pki, err := authority.Create(filepath.Join(dir, "pki"))
	require.NoError(t, err)
	require.NoError(t, equipHeadEnd(pki, filepath.Join(dir, "headend"), []string{"127.0.0.1"}, authority.Sound))
	folder := filepath.Join(dir, "identity")
	require.NoError(t, identity.Create(folder, "gateway-1", false))
	issued, err := pki.Enrol(folder)
	require.NoError(t, err)
	_, err = headend.Enrol(filepath.Join(dir, "headend"), "gateway-1", issued, contract)
	require.NoError(t, err)
	own, err := identity.Load(folder)
	require.NoError(t, err)
	return own
}

// payloadsOf are the payloads due on 1 November 2026, of which nothing was read.
func payloadsOf(t *testing.T, contract, gatewayID string) []form.Payload {
	t.Helper()
	c, err := config.LoadContract(contract)
	require.NoError(t, err)
	day := form.Date{Year: 2026, Month: time.November, Day: 1}
	var payloads []form.Payload
	for _, due := range form.Plan(c, day, day) {
		p, err := c.Always().Build(due, nil)
		require.NoError(t, err)
		p.Gateway = gatewayID
		payloads = append(payloads, p)
	}
	require.NotEmpty(t, payloads)
	return payloads
}

// startHeadEnd runs smgw-sim headend as a process of its own: this test binary
// under the name that TestMain knows.
func startHeadEnd(t *testing.T, dir string) (process *exec.Cmd, endpoint string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	process = exec.Command(self)
	process.Args = []string{"smgw-sim", "headend", "--quiet", "--dir", dir}
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		process.Process.Kill()
		process.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return process, strings.TrimSpace(line)
}
