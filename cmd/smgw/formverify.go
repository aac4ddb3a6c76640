package main

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/tls/identity"
)

// verdict is what `smgw form verify --json` writes.
type verdict struct {
	Follows    bool                  `json:"follows"`
	Signature  string                `json:"signature"` // "good", "unchecked", or "none" of a bare payload
	ID         string                `json:"id"`
	Gateway    string                `json:"gateway"`
	Row        form.RowNumber        `json:"row"`
	MaLo       form.MarketLocationID `json:"malo"`
	From       form.Role             `json:"from"`
	To         form.Role             `json:"to"`
	Period     form.Period           `json:"period"`
	Revision   int                   `json:"revision"`
	Supersedes string                `json:"supersedes,omitempty"`
	Notices    []form.Notice         `json:"notices,omitempty"`
	Denied     string                `json:"denied,omitempty"`
	Difference *form.Difference      `json:"difference"`
}

func newFormVerifyCommand() *cobra.Command {
	var files []string
	var readings, certificate string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify PAYLOAD --readings CSV --config FILE",
		Short: "Say whether a delivered payload follows from the readings, and show the first difference",
		Long: `Say whether a delivered payload, signed or as bare CBOR, is what the contract and
a file of readings make of its row and period, and show the first difference. The
file should begin some days before the period: what is plausible depends on
earlier readings. Payloads of events, corrections and what was settled on the 8th
are rebuilt as they were made.

Where the contract changed within the period, give --config for each version; all but
the first say in [contract] from when they hold.

With --certificate, the gateway's signature certificate, the signature is checked
first. Without it anybody may have written the payload. The exit status is 1 when
the payload does not follow from the readings.`,
		Example: "  smgw form verify 5aaae038ffed78da7915ace0d850ee0e --readings october.csv --config smgw.toml --certificate signature.cert.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			history, err := config.LoadHistory(files...)
			if err != nil {
				return err
			}
			payload, signature, err := readPayload(args[0], certificate)
			if err != nil {
				return fmt.Errorf("payload %s: %w", args[0], err)
			}
			table, err := readTable(readings)
			if err != nil {
				return err
			}
			v := verdict{
				Signature: signature, ID: wire.ID(payload), Gateway: payload.Gateway, Row: payload.Row, MaLo: payload.MaLo,
				From: form.MSB, To: payload.To, Period: payload.Period, Revision: payload.Revision, Supersedes: payload.Supersedes, Notices: payload.Notices,
			}
			v.Difference, err = history.Verify(payload, table)
			if denied, ok := errors.AsType[*form.DeniedError](err); ok {
				v.Denied = denied.Error()
			} else if err != nil {
				return err
			}
			v.Follows = v.Denied == "" && v.Difference == nil
			write := v.write
			if asJSON {
				write = func(w io.Writer) error { return writeLine(w, v) }
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if !v.Follows {
				return fmt.Errorf("payload %s does not follow from %s", args[0], readings)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	historyFlag(flags, &files)
	flags.StringVar(&readings, "readings", "", "readings, a `CSV` as smgw export writes it (needed)")
	flags.StringVar(&certificate, "certificate", "", "the gateway's signature certificate, a PEM `file`")
	flags.BoolVar(&asJSON, "json", false, "one JSON object on one line")
	cmd.MarkFlagRequired("readings")
	return cmd
}

// readPayload reads a payload, signed or bare, and says what its signature is worth.
func readPayload(path, certificate string) (p *form.Payload, signature string, err error) {
	data, err := readAtMost(path, 2*wire.MaxSize)
	if err != nil {
		return nil, "", err
	}
	switch {
	case !wire.IsSigned(data) && certificate != "":
		return nil, "", errors.New("it is not signed: leave --certificate out to look at it all the same")
	case !wire.IsSigned(data):
		signature = "none"
	case certificate == "":
		signature = "unchecked"
		data, err = wire.Unwrap(data)
	default:
		var key *ecdsa.PublicKey
		if key, err = readSignatureKey(certificate); err != nil {
			return nil, "", err
		}
		signature = "good"
		data, err = wire.Verify(data, key)
	}
	if err != nil {
		return nil, "", err
	}
	if p, err = wire.Decode(data); err != nil {
		err = fmt.Errorf("it is no payload as a gateway sends it: %w", err)
	}
	return p, signature, err
}

// readAtMost reads a file of at most limit bytes.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes: that is no payload", limit)
	}
	return data, err
}

// readSignatureKey reads the key of a certificate, the first of the file.
func readSignatureKey(path string) (*ecdsa.PublicKey, error) {
	text, err := readAtMost(path, 1<<20)
	if err != nil {
		return nil, err
	}
	certs, err := identity.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := certs[0].PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: want a key on P-256, as gateways sign with", path)
	}
	return key, nil
}

var signatures = map[string]string{
	"good": "The signature is that of the certificate.", "unchecked": "Its signature was not checked: --certificate does.", "none": "It is not signed.",
}

// write writes the verdict for people.
func (v verdict) write(w io.Writer) error {
	revision := fmt.Sprintf("revision %d", v.Revision)
	if v.Supersedes != "" {
		revision += " in place of " + v.Supersedes
	}
	fmt.Fprintf(w, "Row %d of market location %s, %s, to %s, %s, by gateway %s. %s\n",
		v.Row, v.MaLo, days(v.Period), v.To, revision, v.Gateway, signatures[v.Signature])
	if err := writeNotices(w, v.Notices); err != nil {
		return err
	}
	switch d := v.Difference; {
	case v.Denied != "":
		_, err := fmt.Fprintf(w, "The contract does not entitle it: %s.\n", v.Denied)
		return err
	case d == nil:
		_, err := fmt.Fprintln(w, "It follows from the readings.")
		return err
	case d.Notice != "":
		_, err := fmt.Fprintf(w, "The values follow from the readings, but %s.\n", d.Notice)
		return err
	}
	fmt.Fprintln(w, "It does not follow from the readings. The first difference:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, side := range []struct {
		name  string
		value *form.Value
	}{{"payload", v.Difference.Payload}, {"readings", v.Difference.Readings}} {
		fmt.Fprintf(t, "  %s\t", side.name)
		if side.value == nil {
			fmt.Fprintln(t, "no such value")
			continue
		}
		writeValue(t, *side.value)
	}
	return t.Flush()
}
