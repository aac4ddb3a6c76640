package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// FileState is how a file of an identity folder is found.
type FileState string

const (
	There   FileState = "there"
	Missing FileState = "missing"
	Wrong   FileState = "wrong"
)

// File is one file of an identity folder as Inspect finds it.
type File struct {
	Name  string    `json:"file"`
	State FileState `json:"state"`
	Why   string    `json:"why,omitempty"`  // of one that is wrong
	Todo  string    `json:"todo,omitempty"` // of one that is missing or wrong
}

// Inspection is what there is of an identity that may be incomplete.
type Inspection struct {
	GatewayID string // as the certificates say, or the requests where there are none; "" where neither is there
	Files     []File // in the order in which they come to be
}

// Complete says that no file is missing or wrong.
func (i Inspection) Complete() bool {
	for _, f := range i.Files {
		if f.State != There {
			return false
		}
	}
	return true
}

// Inspect looks at each file of dir by itself, where Load ends at the first
// one that is not as it should be. gateway is whose identity it should be, "" where that
// is not known. The error is that of a folder that may not be looked into.
func Inspect(dir, gateway string, now time.Time) (Inspection, error) {
	if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Inspection{}, fmt.Errorf("look into the identity folder: %w", err)
	}
	i := inspector{dir: dir, gateway: gateway, now: now}
	var all []File
	for _, use := range Uses {
		key, keyFile := i.key(use)
		request := i.request(use, key)
		certificate := i.certificate(use, key)
		all = append(all, keyFile)
		// Once there is a certificate, nobody asks for its request.
		if request.State == There || certificate.State != There {
			all = append(all, request)
		}
		all = append(all, certificate)
	}
	return Inspection{GatewayID: i.found, Files: append(all, i.roots())}, nil
}

// inspector finds files one by one, and whose they are.
type inspector struct {
	dir     string
	gateway string // whose they should be, if known; later whose the first certificate is
	found   string // as certificates and requests say
	now     time.Time
}

const replaceKeys = "make new keys with smgw identity create --replace, and have new certificates issued for them"

func (i *inspector) key(use Use) (*ecdsa.PrivateKey, File) {
	f := File{Name: use.KeyFile(), State: There}
	key, err := loadKey(i.dir, use)
	info, statErr := os.Stat(filepath.Join(i.dir, f.Name))
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		f.State, f.Todo = Missing, "run smgw identity create"
	case err != nil:
		return nil, wrong(f, err)
	case info.Mode().Perm()&0o077 != 0:
		f.State, f.Why = Wrong, fmt.Sprintf("others may read it (mode %04o)", info.Mode().Perm())
		f.Todo = "chmod 600 " + filepath.Join(i.dir, f.Name) + "; if anyone may have read it, " + replaceKeys
	}
	return key, f
}

func (i *inspector) request(use Use, key *ecdsa.PrivateKey) File {
	f := File{Name: use.RequestFile(), State: There}
	text, err := os.ReadFile(filepath.Join(i.dir, f.Name))
	if errors.Is(err, fs.ErrNotExist) {
		f.State, f.Todo = Missing, "run smgw identity create"
		if key != nil {
			f.Todo = replaceKeys
		}
		return f
	}
	if err != nil {
		return wrong(f, err)
	}
	request, err := ParseRequest(text)
	switch {
	case err != nil:
		f.State, f.Why, f.Todo = Wrong, "this is no certificate signing request: "+err.Error(), replaceKeys
	case key != nil && !key.PublicKey.Equal(request.PublicKey):
		f.State, f.Why, f.Todo = Wrong, "it was not made for "+use.KeyFile(), replaceKeys
	case i.found == "":
		i.found = request.Subject.CommonName
	}
	return f
}

func (i *inspector) certificate(use Use, key *ecdsa.PrivateKey) File {
	f := File{Name: use.CertificateFile(), State: There}
	chain, err := readCertificates(filepath.Join(i.dir, f.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.State = Missing
		f.Todo = fmt.Sprintf("give %s to the metering point operator's PKI, and put the certificate that comes back here as %s", use.RequestFile(), f.Name)
		return f
	case err != nil:
		return wrong(f, err)
	case key != nil && !key.PublicKey.Equal(chain[0].PublicKey):
		return wrong(f, notIssuedFor(filepath.Join(i.dir, f.Name), chain[0], use))
	}
	id := chain[0].Subject.CommonName
	if i.gateway != "" && id != i.gateway {
		f.State, f.Why, f.Todo = Wrong, fmt.Sprintf("it is gateway %q's, and this is gateway %q", id, i.gateway), "put this gateway's certificate there, or correct id in [gateway]"
		return f
	}
	i.gateway, i.found = id, id
	if err := checkChain(use, chain, i.now); err != nil {
		return wrong(f, err)
	}
	return f
}

func (i *inspector) roots() File {
	f := File{Name: RootsFile, State: There}
	switch _, err := readCertificates(filepath.Join(i.dir, f.Name)); {
	case errors.Is(err, fs.ErrNotExist):
		f.State, f.Todo = Missing, "put the root certificates of the metering point operator's PKI there, in PEM: they say which head-end to trust"
	case err != nil:
		return wrong(f, err)
	}
	return f
}

// wrong takes the reason and the hint out of an error.
func wrong(f File, err error) File {
	f.State, f.Why = Wrong, err.Error()
	if e, ok := errors.AsType[*Error](err); ok {
		f.Why, f.Todo = e.What, e.Hint
		if e.Err != nil {
			f.Why += ": " + e.Err.Error()
		}
	} else if errors.Is(err, fs.ErrPermission) {
		f.Why, f.Todo = "it may not be read by this user", "try again as root or as the user that the agent runs as"
	}
	return f
}

func notIssuedFor(file string, c *x509.Certificate, use Use) *Error {
	return &Error{File: file, What: fmt.Sprintf("the certificate %q was not issued for the key in %s", c.Subject, use.KeyFile()),
		Hint: fmt.Sprintf("ask for one with %s; if the key was replaced, the old certificate is of no use any more", use.RequestFile())}
}
