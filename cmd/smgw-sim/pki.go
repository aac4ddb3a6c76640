package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"smgw/cmd/internal/headend"
	"smgw/tls/authority"
	"smgw/tls/identity"
)

func newPKICommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "A development PKI: root, sub-CA, the head-end's certificate, and gateways enrolled with their contracts",
		Args:  cobra.NoArgs,
		Example: `  smgw-sim pki init --pki ./pki --headend ./headend
  smgw identity create --dir ./identity --gateway ESMG0000000001
  smgw-sim pki enrol --pki ./pki --headend ./headend --identity ./identity --contract smgw.toml`,
	}
	cmd.AddCommand(newPKIInitCommand(), newPKIEnrolCommand(), newPKIHeadEndCommand())
	return cmd
}

// pkiFolders are what every verb of the PKI works on.
type pkiFolders struct{ pki, headend string }

func (f *pkiFolders) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pki, "pki", "pki", "the PKI's `folder`")
	cmd.Flags().StringVar(&f.headend, "headend", "headend", "the head-end's `folder`")
}

func hostFlag(cmd *cobra.Command, hosts *[]string) {
	cmd.Flags().StringSliceVar(hosts, "host", []string{"localhost", "127.0.0.1", "::1"}, "a `name` or address that the head-end's certificate is good for; may be given several times")
}

func newPKIInitCommand() *cobra.Command {
	var (
		folders pkiFolders
		hosts   []string
	)
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make a root and a sub-CA, and a certificate for the head-end",
		Example: "  smgw-sim pki init --pki ./pki --headend ./headend",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pki, err := authority.Create(folders.pki)
			if err != nil {
				return err
			}
			if err := equipHeadEnd(pki, folders.headend, hosts, authority.Sound); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made a development PKI in %s and a head-end for %s in %s\n", folders.pki, strings.Join(hosts, ", "), folders.headend)
			return nil
		},
	}
	folders.flags(cmd)
	hostFlag(cmd, &hosts)
	return cmd
}

func newPKIHeadEndCommand() *cobra.Command {
	var (
		folders pkiFolders
		hosts   []string
		name    string
	)
	flaws := make([]string, len(authority.Flaws))
	for i, f := range authority.Flaws {
		flaws[i] = f.String()
	}
	cmd := &cobra.Command{
		Use:     "headend",
		Short:   "Make a new certificate for the head-end, sound or with a flaw for tests",
		Example: "  smgw-sim pki headend --flaw expired",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flaw, err := authority.ParseFlaw(name)
			if err != nil {
				return err
			}
			pki, err := authority.Open(folders.pki)
			if err != nil {
				return err
			}
			if err := equipHeadEnd(pki, folders.headend, hosts, flaw); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made a new certificate for the head-end in %s\n", folders.headend)
			return nil
		},
	}
	folders.flags(cmd)
	hostFlag(cmd, &hosts)
	cmd.Flags().StringVar(&name, "flaw", "", "the `FLAW` that it has: "+strings.Join(flaws, ", "))
	return cmd
}

func equipHeadEnd(pki *authority.Authority, dir string, hosts []string, flaw authority.Flaw) error {
	key, chain, err := pki.HeadEnd(hosts, flaw)
	if err != nil {
		return err
	}
	return headend.Install(dir, key, chain, pki.Roots())
}

func newPKIEnrolCommand() *cobra.Command {
	var (
		folders               pkiFolders
		identityDir, contract string
	)
	cmd := &cobra.Command{
		Use:   "enrol",
		Short: "Issue a gateway's certificates from its requests, and make it known to the head-end with its contract",
		Long: `Enrol reads the two certificate signing requests in a gateway's identity folder,
issues the certificates, puts them and the root beside the requests, and makes
the gateway known to the head-end. The gateway's keys stay where they are. A
gateway that is enrolled already gets new certificates; the old ones count no more.
Its contract is replaced where both hold from the same day. One that holds from
another day ([contract] from) is put beside it as contract-DATE.toml, so that what is
about the time before is judged by the contract of that time.`,
		Example: "  smgw-sim pki enrol --identity ./identity --contract smgw.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pki, err := authority.Open(folders.pki)
			if err != nil {
				return err
			}
			issued, err := pki.Enrol(identityDir)
			if err != nil {
				return err
			}
			id, err := identity.Load(identityDir)
			if err != nil {
				return err
			}
			name, err := headend.Enrol(folders.headend, id.GatewayID, issued, contract)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "enrolled gateway %s; its contract is %s\n", id.GatewayID, name)
			return nil
		},
	}
	folders.flags(cmd)
	cmd.Flags().StringVar(&identityDir, "identity", "", "the gateway's identity `folder`")
	cmd.Flags().StringVar(&contract, "contract", "", "a configuration `file` with the gateway's contract")
	cmd.MarkFlagRequired("identity")
	cmd.MarkFlagRequired("contract")
	return cmd
}
