package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"smgw/meter/form"
	"smgw/meter/form/wire"
)

var update = flag.Bool("update", false, "write docs/vectors anew")

const vectorDir = "../../../docs/vectors"

// vectors are the payloads of docs/vectors, by file.
var vectors = map[string]func(require.TestingT) *form.Payload{
	"information": information, "day": workingDay, "troubled-day": troubledDay, "month": month, "correction": correction,
	"event": event, "moment": moment, "grid": grid, "final": final,
}

// vector is a file of docs/vectors, whose README says what its fields are.
type vector struct {
	ID         string          `json:"id"`
	Key        jwk             `json:"key"`
	Payload    string          `json:"payload"`
	Diagnostic string          `json:"diagnostic,omitempty"`
	Signed     string          `json:"signed"`
	Values     json.RawMessage `json:"values"`
	Wrong      string          `json:"wrong,omitempty"`
}

type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// vectorKey is the key that signs the vectors, that of RFC 6979, A.2.5: known to all.
func vectorKey(t require.TestingT) *ecdsa.PrivateKey {
	d, ok := new(big.Int).SetString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", 16)
	require.True(t, ok)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	require.NoError(t, err)
	return key
}

func newVector(t require.TestingT, p *form.Payload) vector {
	key := vectorKey(t)
	encoded, err := wire.Encode(p)
	require.NoError(t, err)
	signed, err := wire.Sign(encoded, key, []byte("vectors"))
	require.NoError(t, err)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	values, err := json.Marshal(p.Values)
	require.NoError(t, err)
	text := base64.RawURLEncoding.EncodeToString
	return vector{
		ID: wire.ID(p), Key: jwk{"EC", "P-256", text(point[1:33]), text(point[33:])},
		Payload: hex.EncodeToString(encoded), Diagnostic: notation(t, encoded), Signed: hex.EncodeToString(signed), Values: values,
	}
}

// notation is the diagnostic notation (RFC 8949, 8), with letters as they are.
func notation(t require.TestingT, encoded []byte) string {
	s, err := cbor.Diagnose(encoded)
	require.NoError(t, err)
	return strings.ReplaceAll(s, `\u00dc`, "Ü")
}

// file is the vector as it lies in docs/vectors: a line for each field.
func (v vector) file(t require.TestingT) []byte {
	line, err := json.Marshal(v)
	require.NoError(t, err)
	line = regexp.MustCompile(`,"(key|payload|diagnostic|signed|values)":`).ReplaceAll(line, []byte(",\n  \"$1\": "))
	line = bytes.Replace(line, []byte(`{"id":`), []byte("{\n  \"id\": "), 1)
	return append(line[:len(line)-1], "\n}\n"...)
}

func TestVectorsAreWhatTheCodeMakes(t *testing.T) {
	for name, build := range vectors {
		t.Run(name, func(t *testing.T) {
			p := build(t)
			file := filepath.Join(vectorDir, name+".json")
			if *update {
				require.NoError(t, os.WriteFile(file, newVector(t, p).file(t), 0o644))
			}
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			var have vector
			require.NoError(t, json.Unmarshal(data, &have))

			signed, err := hex.DecodeString(have.Signed) // differs each time it is made
			require.NoError(t, err)
			encoded, err := wire.Verify(signed, &vectorKey(t).PublicKey)
			require.NoError(t, err)
			require.Equal(t, have.Payload, hex.EncodeToString(encoded))
			want := newVector(t, p)
			want.Signed = have.Signed
			require.Equal(t, string(want.file(t)), string(data))

			back, err := wire.Decode(encoded)
			require.NoError(t, err)
			requireSame(t, p, back)
		})
	}
}

// The page explains a vector byte by byte: the bytes of its blocks, put
// together, are the vector.
func TestPageExplainsEveryByte(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(vectorDir, "README.md"))
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(vectorDir, "information.json"))
	require.NoError(t, err)
	var v vector
	require.NoError(t, json.Unmarshal(data, &v))

	blocks := regexp.MustCompile("(?s)```hex\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, blocks, 2)
	for i, want := range []string{v.Signed, v.Payload} {
		var have strings.Builder
		for line := range strings.Lines(string(blocks[i][1])) {
			digits, _, _ := strings.Cut(line, ";")
			have.WriteString(strings.Join(strings.Fields(digits), ""))
		}
		got := strings.Replace(have.String(), "…", v.Payload, 1)
		require.Equal(t, want, got, fmt.Sprintf("block %d", i+1))
	}
	require.Contains(t, string(page), v.ID)
}
