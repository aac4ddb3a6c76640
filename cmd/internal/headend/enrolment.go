package headend

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"smgw/cmd/internal/config"
	"smgw/meter/form"
	"smgw/tls/identity"
)

// contractFile is a gateway's contract; versions that hold from a later day stand
// beside it, as contract-2026-12-01.toml.
const contractFile, contractFiles = "contract.toml", "contract*.toml"

// enrolment is the folder of gateways. It is read anew for every request, so
// that enrolling and renewing need no restart: a bench has few gateways.
type enrolment struct{ dir string }

func (e enrolment) of(gatewayID string) string { return filepath.Join(e.dir, "gateways", gatewayID) }

// gateway is one enrolled gateway.
type gateway struct {
	id        string
	contracts *form.History
	keys      []*x509.Certificate // signature certificates
}

// errNotEnrolled: a certificate of the PKI, and no gateway we know.
var errNotEnrolled = errors.New("this TLS certificate is not enrolled here")

// find returns the gateway whose TLS certificate this is. Belonging to the PKI
// is not enough: the certificate must be the very one that was enrolled.
func (e enrolment) find(leaf *x509.Certificate) (*gateway, error) {
	id := leaf.Subject.CommonName
	if err := identity.ValidGatewayID(id); err != nil {
		return nil, errNotEnrolled
	}
	enrolled, err := e.certificates(id, identity.TLS)
	if err != nil {
		return nil, err
	}
	for _, c := range enrolled {
		if c.Equal(leaf) {
			return e.load(id)
		}
	}
	return nil, fmt.Errorf("%w: common name %q, serial number %x", errNotEnrolled, id, leaf.SerialNumber)
}

func (e enrolment) load(id string) (*gateway, error) {
	g := &gateway{id: id}
	var err error
	if g.keys, err = e.certificates(id, identity.Signature); err != nil {
		return nil, err
	}
	files, err := e.files(id, contractFiles)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s is missing: smgw-sim pki enrol writes it", contractFile)
	}
	if err == nil {
		g.contracts, err = config.LoadHistory(files...)
	}
	if err != nil {
		return nil, fmt.Errorf("contract of gateway %s: %w", id, err)
	}
	return g, nil
}

// files are those of a gateway with such names, in order. The folder's own path is
// no pattern, whatever is in it.
func (e enrolment) files(id, pattern string) ([]string, error) {
	names, err := fs.Glob(os.DirFS(e.of(id)), pattern)
	for i, name := range names {
		names[i] = filepath.Join(e.of(id), name)
	}
	return names, err
}

// certificates are those of all files of a use, tls.cert.pem and tls-2.cert.pem.
func (e enrolment) certificates(id string, use identity.Use) ([]*x509.Certificate, error) {
	files, err := e.files(id, use.String()+"*.cert.pem")
	if err != nil {
		return nil, fmt.Errorf("certificates of gateway %s: %w", id, err)
	}
	var leaves []*x509.Certificate
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("certificates of gateway %s: %w", id, err)
		}
		chain, err := identity.ParseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("certificates of gateway %s: %s: %w", id, file, err)
		}
		leaves = append(leaves, chain[0])
	}
	return leaves, nil
}

// publicKey is the key of the signature certificate that a payload names.
func (g *gateway) publicKey(keyID []byte) (*ecdsa.PublicKey, bool) {
	for _, c := range g.keys {
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok && string(c.SubjectKeyId) == string(keyID) {
			return key, true
		}
	}
	return nil, false
}

// Enrol makes a gateway known to the head-end in dir: its certificates as a PKI
// issued them, and a copy of its contract, which is checked first. A gateway that
// is known already is enrolled anew: what its contract was before stays, where the
// new one says that it holds from another day. It returns the name of the copy.
func Enrol(dir, gatewayID string, issued identity.Issued, contract string) (name string, err error) {
	c, err := config.LoadContract(contract)
	if err != nil {
		return "", fmt.Errorf("enrol gateway %s: %w", gatewayID, err)
	}
	text, err := os.ReadFile(contract)
	if err != nil {
		return "", fmt.Errorf("enrol gateway %s: %w", gatewayID, err)
	}
	if err := identity.ValidGatewayID(gatewayID); err != nil {
		return "", err
	}
	e := enrolment{dir}
	if name, err = e.place(gatewayID, c.From); err != nil {
		return "", fmt.Errorf("enrol gateway %s: %w", gatewayID, err)
	}
	return name, writeFolder(e.of(gatewayID), []file{
		{identity.TLS.CertificateFile(), issued.TLS, 0o644},
		{identity.Signature.CertificateFile(), issued.Signature, 0o644},
		{name, text, 0o644},
	})
}

// place is the file for a contract that holds from a day: that of the version from
// the same day, which it replaces, or one beside the others.
func (e enrolment) place(id string, from form.Date) (string, error) {
	files, err := e.files(id, contractFiles)
	if err != nil || len(files) == 0 {
		return contractFile, err
	}
	for _, file := range files {
		c, err := config.LoadContract(file)
		if err != nil {
			return "", fmt.Errorf("a contract that it has already cannot be read; mend or remove it: %w", err)
		}
		if c.From == from {
			return filepath.Base(file), nil
		}
	}
	if from == (form.Date{}) {
		return "", fmt.Errorf("%s has a contract that holds from a day, and the new one does not say from when: want from = \"2026-12-01\" in its [contract]", e.of(id))
	}
	return "contract-" + from.String() + ".toml", nil
}

// Install puts the head-end's own key, certificate chain and roots, in PEM, into dir.
func Install(dir string, key, chain, roots []byte) error {
	return writeFolder(dir, []file{
		{keyFile, key, 0o600},
		{certificateFile, chain, 0o644},
		{identity.RootsFile, roots, 0o644},
	})
}

type file struct {
	name string
	text []byte
	mode fs.FileMode
}

func writeFolder(dir string, files []file) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("head-end folder: %w", err)
	}
	for _, f := range files {
		if err := renameio.WriteFile(filepath.Join(dir, f.name), f.text, f.mode, renameio.IgnoreUmask()); err != nil {
			return fmt.Errorf("head-end folder: %w", err)
		}
	}
	return nil
}
