package sml_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"smgw/sml"
)

// recordings gives all recordings of the corpus as one stream, in the order of
// their names, or telegrams of our own where there is no corpus.
func recordings(b *testing.B) []byte {
	dir := os.Getenv("SML_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "dumps", "*.bin"))
	var stream []byte
	for _, path := range files {
		recording, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		stream = append(stream, recording...)
	}
	if len(stream) == 0 {
		b.Log("no recordings: own telegrams")
		for range 200 {
			stream = append(stream, telegram(8)...)
		}
	}
	return stream
}

// telegram is a push with so many registers.
func telegram(registers int) []byte {
	server := []byte("\x0a\x01TES\x00\x00\x00\x00\x2a")
	var entries []sml.Entry
	for i := range registers {
		entries = append(entries, sml.Entry{
			Name: []byte{1, 0, 1, 8, byte(i), 255}, Status: sml.Uint{Value: 0x1c0104, Size: 4},
			Unit: sml.U8(30), Scaler: sml.I8(-1), Value: sml.UnsignedValue(168248565, 8),
		})
	}
	return sml.AppendFile(nil, sml.X25,
		sml.NewMessage([]byte("0001"), &sml.OpenResponse{ReqFileID: []byte("0001"), ServerID: server}),
		sml.NewMessage([]byte("0002"), &sml.GetListResponse{ServerID: server, SensorTime: sml.Time{Choice: sml.SecIndex, Value: 5}, Entries: sml.NewList(entries...)}),
		sml.NewMessage([]byte("0003"), &sml.CloseResponse{}))
}

// endless gives a stream again and again, n times.
type endless struct {
	stream []byte
	r      bytes.Reader
	n      int
}

func (e *endless) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err == io.EOF && e.n > 0 {
		e.n--
		e.r.Reset(e.stream)
		return e.r.Read(p)
	}
	return n, err
}

// decoded is what decode counts.
type decoded struct{ frames, values, refused int }

var sink uint64

// decode reads a stream down to the number in every value.
func decode(r *sml.Reader) (d decoded, err error) {
	var list sml.GetListResponse
	for {
		f, err := r.Next()
		if err != nil {
			if _, ok := err.(*sml.RefusedError); !ok {
				return d, err
			}
			d.refused++
			continue
		}
		d.frames++
		for m, err := range f.Messages() {
			if err != nil || m.Tag != sml.TagGetListResponse || m.Decode(&list) != nil {
				continue
			}
			for e, err := range list.Entries.All() {
				if err == nil {
					d.values++
					sink += e.Value.Bits + uint64(e.Scaler.Value) + e.Unit.Value
				}
			}
		}
	}
}

// benchmark decodes stream once for each iteration, through one Reader.
func benchmark(b *testing.B, stream []byte) decoded {
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	source := &endless{stream: stream, n: b.N}
	r := sml.NewReader(source)
	b.ResetTimer()
	d, err := decode(r)
	if err != io.EOF {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(d.frames)/b.Elapsed().Seconds(), "telegrams/s")
	if d.values > 0 {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(d.values), "ns/value")
	}
	return d
}

// BenchmarkDecode is all recordings, noise and torn frames with them, from
// bytes to values.
func BenchmarkDecode(b *testing.B) { benchmark(b, recordings(b)) }

// BenchmarkDecodeClean is telegrams without a fault between them.
func BenchmarkDecodeClean(b *testing.B) { benchmark(b, telegram(8)) }

func BenchmarkDecodeNoise(b *testing.B) {
	noise := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(noise)
	b.Run("random", func(b *testing.B) { benchmark(b, noise) })
	b.Run("flood of 1b", func(b *testing.B) { benchmark(b, bytes.Repeat([]byte{0x1b}, 1<<20)) })
	b.Run("starts", func(b *testing.B) {
		benchmark(b, bytes.Repeat([]byte("\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x01\x01\x01\x01"), 1<<16))
	})
}

func BenchmarkDecodeLargest(b *testing.B) {
	b.Run("values", func(b *testing.B) {
		benchmark(b, telegram(1900))
	})
	b.Run("escapes", func(b *testing.B) {
		benchmark(b, sml.AppendFrame(nil, sml.X25, bytes.Repeat([]byte{0x1b}, sml.MaxFrame/2-16)))
	})
}

// BenchmarkLinear shows that a telegram costs the same in any company and
// however it is cut.
func BenchmarkLinear(b *testing.B) {
	one := telegram(8)
	for n := 1; n <= 10_000; n *= 10 {
		stream := bytes.Repeat(one, n)
		for _, cut := range []int{1, 7, 4096} {
			b.Run(fmt.Sprintf("telegrams=%d/cut=%d", n, cut), func(b *testing.B) {
				b.SetBytes(int64(len(stream)))
				for b.Loop() {
					if d, _ := decode(sml.NewReader(&pieces{stream, cut})); d.frames != n {
						b.Fatal(d)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(b.N), "ns/telegram")
			})
		}
	}
}
