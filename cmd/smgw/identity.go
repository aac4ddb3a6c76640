package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/config"
	"smgw/tls/identity"
)

func newIdentityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "The gateway's keys and certificates: make keys, see what there is and what is missing",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newIdentityCreateCommand(), newIdentityShowCommand())
	return cmd
}

// identityFolder is the identity folder that a verb is about: --dir, or that of
// the configuration.
type identityFolder struct {
	config string
	dir    string
}

func (f *identityFolder) flags(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.dir, "dir", "", "the identity `folder`, in place of the one in the configuration's state folder")
}

// find returns the folder, and the gateway's id where the configuration says it.
func (f *identityFolder) find() (dir, gateway string, err error) {
	if f.dir != "" {
		return f.dir, "", nil
	}
	c, err := config.Load(f.config)
	if err != nil {
		return "", "", err
	}
	return filepath.Join(c.Gateway.StateDir, "identity"), c.Gateway.ID, nil
}

func newIdentityCreateCommand() *cobra.Command {
	var (
		folder  identityFolder
		gateway string
		replace bool
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make the gateway's two keys and the certificate signing requests for its operator's PKI",
		Long: `Create makes a key for TLS connections and a key for signatures, both of which
never leave the gateway, and a certificate signing request for each. Hand the
requests to the metering point operator's PKI, and put the certificates that come
back beside them: smgw identity show says what goes where.

Keys that exist are not touched, unless --replace is given: their certificates
are void then and are removed.`,
		Example: "  smgw identity create\n  smgw identity create --dir ./identity --gateway ESMG0000000001",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, configured, err := folder.find()
			if err != nil {
				return err
			}
			if gateway == "" {
				gateway = configured
			}
			if gateway == "" {
				return fmt.Errorf("with --dir the gateway's id is needed too: --gateway ID")
			}
			if err := identity.Create(dir, gateway, replace); err != nil {
				return err
			}
			requests := make([]string, len(identity.Uses))
			for i, use := range identity.Uses {
				requests[i] = filepath.Join(dir, use.RequestFile())
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(map[string]any{"gateway": gateway, "dir": dir, "requests": requests})
			}
			fmt.Fprintf(out, "made keys for gateway %s in %s\nhand these requests to the metering point operator's PKI:\n", gateway, dir)
			for _, request := range requests {
				fmt.Fprintf(out, "  %s\n", request)
			}
			return nil
		},
	}
	folder.flags(cmd)
	cmd.Flags().StringVar(&gateway, "gateway", "", "the gateway's `id`, in place of the configuration's")
	cmd.Flags().BoolVar(&replace, "replace", false, "make new keys although there are some, and remove their certificates")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// shownIdentity is what smgw identity show --json prints.
type shownIdentity struct {
	OK      bool            `json:"ok"`
	Dir     string          `json:"dir"`
	Gateway string          `json:"gateway,omitempty"`
	Files   []identity.File `json:"files"`
	Pairs   []shownPair     `json:"pairs"`
}

type shownPair struct {
	Use         string             `json:"use"`
	Certificate *shownCertificate  `json:"certificate"` // null: there is none, or none that fits
	Issuers     []shownCertificate `json:"issuers,omitempty"`
	Problem     string             `json:"problem,omitempty"`
}

type shownCertificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	KeyID     string    `json:"key_id"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"` // of the whole certificate
}

func newIdentityShowCommand() *cobra.Command {
	var (
		folder identityFolder
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the gateway's certificates, how long they last, and what is missing",
		Example: "  smgw identity show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, gateway, err := folder.find()
			if err != nil {
				return err
			}
			shown, err := showIdentity(dir, gateway, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(shown); err != nil {
					return err
				}
			} else {
				shown.print(cmd.OutOrStdout(), time.Now())
			}
			return shown.incomplete()
		},
	}
	folder.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// showIdentity looks at a folder that may be incomplete.
func showIdentity(dir, gateway string, now time.Time) (*shownIdentity, error) {
	found, err := identity.Inspect(dir, gateway, now)
	if err != nil {
		return nil, err
	}
	shown := &shownIdentity{OK: found.Complete(), Dir: dir, Gateway: cmp.Or(found.GatewayID, gateway), Files: found.Files}
	for _, use := range identity.Uses {
		p := shownPair{Use: use.String()}
		pair, err := identity.LoadPair(dir, use)
		if err != nil {
			p.Problem = err.Error()
		}
		for i, c := range pair.Chain {
			sum := sha256.Sum256(c.Raw)
			sc := shownCertificate{
				Subject: c.Subject.String(), Issuer: c.Issuer.String(),
				Serial: hex.EncodeToString(c.SerialNumber.Bytes()), KeyID: hex.EncodeToString(c.SubjectKeyId),
				NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SHA256: hex.EncodeToString(sum[:]),
			}
			if i == 0 {
				p.Certificate = &sc
			} else {
				p.Issuers = append(p.Issuers, sc)
			}
		}
		shown.Pairs = append(shown.Pairs, p)
	}
	return shown, nil
}

// incomplete counts what is missing or wrong; nil when there is nothing.
func (s *shownIdentity) incomplete() error {
	found := map[identity.FileState]int{}
	for _, f := range s.Files {
		found[f.State]++
	}
	var parts []string
	for _, state := range []identity.FileState{identity.Missing, identity.Wrong} {
		if n := found[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(n, "file"), state))
		}
	}
	if parts == nil {
		return nil
	}
	return fmt.Errorf("the identity is not complete: %s", strings.Join(parts, ", "))
}

func (s *shownIdentity) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "identity of gateway %s in %s\n", orNone(s.Gateway), s.Dir)
	certificates := map[string]*shownCertificate{}
	for i, use := range identity.Uses {
		certificates[use.CertificateFile()] = s.Pairs[i].Certificate
	}
	next := ""
	for _, f := range s.Files {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-18s  %-7s  %s", f.Name, f.State, f.Why), " "))
		if c := certificates[f.Name]; c != nil {
			fmt.Fprintf(w, "    serial %s, issued by %s\n", c.Serial, c.Issuer)
			fmt.Fprintf(w, "    valid %s to %s (%s)\n", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), timeLeft(c, now))
			fmt.Fprintf(w, "    key id %s\n", c.KeyID)
		}
		if f.Todo != "" && f.Todo != next { // one thing to do may mend several files in a row
			fmt.Fprintf(w, "    → %s\n", f.Todo)
			next = f.Todo
		}
	}
	if s.OK {
		fmt.Fprintln(w, "complete")
	}
}

func timeLeft(c *shownCertificate, now time.Time) string {
	const day = 24 * time.Hour
	switch {
	case now.Before(c.NotBefore):
		return "not yet valid"
	case now.After(c.NotAfter):
		return "expired"
	}
	return fmt.Sprintf("%d days left", c.NotAfter.Sub(now)/day)
}

func orNone(s string) string {
	if s == "" {
		return "(not known yet)"
	}
	return s
}
