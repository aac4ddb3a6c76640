package profile

import (
	"crypto/tls"
	_ "unsafe" // for go:linkname
)

var (
	suites13 = []uint16{
		tls.TLS_AES_128_GCM_SHA256,
		tls.TLS_AES_256_GCM_SHA384,
	}
	suites12 = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	}
)

// crypto/tls has no setting for the suites of TLS 1.3 and offers ChaCha20 with
// them: first, where the processor has no AES instructions, as on ARMv6. Two such
// ends would agree on it, so refusing it afterwards is not enough. The setting
// GODEBUG fips140=on takes it out, but costs 32 MiB of resident memory for its
// entropy source (Go 1.26: 35.8 MB against 3.0 MB for a program that draws
// one random number), nearly three times what the whole agent may have.
//
// So the two lists themselves are set. They are among the names of the standard
// library that go:linkname may reach, with the promise that neither name nor
// type changes (go.dev/issue/67401). Should that end, programs do not link, or a
// test here fails, or at worst a connection with ChaCha20 is refused.
var (
	//go:linkname offered13 crypto/tls.defaultCipherSuitesTLS13
	offered13 []uint16
	//go:linkname offered13WithoutAES crypto/tls.defaultCipherSuitesTLS13NoAES
	offered13WithoutAES []uint16
)

func init() { offered13, offered13WithoutAES = suites13, suites13 }
