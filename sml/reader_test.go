package sml_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/sml"
)

// found is what a Reader gave: a frame with its payload, or a refused region.
type found struct {
	Offset, End int64
	Payload     string
	Reason      sml.Reason
}

// readAll reads a stream to its end and checks that frames and refused regions
// cover it, in order and without overlap.
func readAll(t require.TestingT, r io.Reader, length int) (all []found) {
	reader := sml.NewReader(r)
	at := int64(0)
	for {
		f, err := reader.Next()
		var refused *sml.RefusedError
		switch {
		case err == nil:
			all = append(all, found{f.Offset, f.End, string(f.Payload), ""})
		case errors.As(err, &refused):
			all = append(all, found{refused.Offset, refused.End, "", refused.Reason})
		default:
			require.Equal(t, io.EOF, err)
			require.EqualValues(t, length, at, "the whole stream is told")
			return all
		}
		last := all[len(all)-1]
		require.Equal(t, at, last.Offset)
		require.Greater(t, last.End, last.Offset)
		at = last.End
	}
}

// payloads gives the frames that were found.
func payloads(all []found) (p []string) {
	for _, f := range all {
		if f.Reason == "" {
			p = append(p, f.Payload)
		}
	}
	return p
}

// anyPayload draws bytes that are mostly those the transport gives a meaning.
func anyPayload(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]byte{0x1b, 0x1b, 0x1b, 0x01, 0x01, 0x1a, 0x00}), rapid.Byte()), 1, 80).Draw(t, "payload")
}

func anyChecksum(t *rapid.T) sml.Checksum {
	return rapid.SampledFrom([]sml.Checksum{sml.X25, sml.Kermit}).Draw(t, "checksum")
}

func TestReaderGivesBackWhatWasFramed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := anyPayload(t)
		frame := sml.AppendFrame(nil, anyChecksum(t), payload)
		require.Zero(t, len(frame)%4)
		require.Equal(t, []found{{0, int64(len(frame)), string(payload), ""}}, readAll(t, bytes.NewReader(frame), len(frame)))
	})
}

// A telegram's payload ends in 00, so that its end sequence cannot be mistaken.
func drawFrame(t *rapid.T) []byte {
	return sml.AppendFrame(nil, anyChecksum(t), append(anyPayload(t), 0))
}

// fault damages a frame, or what stands before it, as lines do.
func fault(t *rapid.T, frame []byte) (damaged []byte, lost bool) {
	b := slices.Clone(frame)
	at := rapid.IntRange(0, len(b)-2).Draw(t, "at")
	switch rapid.IntRange(0, 8).Draw(t, "fault") {
	case 0: // bytes lost
		n := min(rapid.IntRange(1, 6).Draw(t, "n"), len(b)-at)
		return slices.Delete(b, at, at+n), true
	case 1: // a byte doubled
		return slices.Insert(b, at, b[at]), true
	case 2: // two bytes swapped
		b[at], b[at+1] = b[at+1], b[at]
		return b, !bytes.Equal(b, frame)
	case 3: // a bit flipped
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return b, true
	case 4: // cut
		return b[:at], true
	case 5: // stray 1b before the start
		return append(bytes.Repeat([]byte{0x1b}, rapid.IntRange(1, 5).Draw(t, "n")), b...), false
	case 6: // a flood of 1b
		return append(bytes.Repeat([]byte{0x1b}, rapid.IntRange(6, 300).Draw(t, "n")), b...), false
	case 7: // a start sequence in the middle of a torn frame
		return append(b[:at], b...), false
	default: // noise without a start
		noise := rapid.SliceOfN(rapid.SampledFrom([]byte{0x1b, 0x00, 0x1a, 0x55}), 1, 40).Draw(t, "noise")
		return append(noise, b...), false
	}
}

func TestReaderLosesNoFrameToAnothersFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		n := rapid.IntRange(2, 6).Draw(t, "frames")
		for i := range n {
			frame := drawFrame(t)
			whole := payloads(readAll(t, bytes.NewReader(frame), len(frame)))
			require.Len(t, whole, 1)
			if i < n-1 && rapid.Bool().Draw(t, "faulty") {
				damaged, lost := fault(t, frame)
				// A doubled byte may stand behind the frame, a lost one be
				// among equals: what the frame alone gives is what must come.
				// That may be another payload: the other CRC fits by chance once
				// in thousands of frames.
				if lost {
					whole = payloads(readAll(t, bytes.NewReader(damaged), len(damaged)))
				}
				frame = damaged
			}
			stream, want = append(stream, frame...), append(want, whole...)
		}
		got := payloads(readAll(t, bytes.NewReader(stream), len(stream)))
		// A frame that lost its first byte may find it again in what stands
		// before: so there may be more than is sure.
		for _, p := range got {
			if len(want) > 0 && p == want[0] {
				want = want[1:]
			}
		}
		require.Empty(t, want, "found only %q", got)
	})
}

func TestReaderFindsAFrameBehindOneCutInItsEnd(t *testing.T) {
	frame := sml.AppendFrame(nil, sml.X25, []byte("first\x00"))
	next := sml.AppendFrame(nil, sml.X25, []byte("second\x00"))
	for cut := 1; cut < len(frame); cut++ {
		for stray := range 6 {
			stream := slices.Concat(frame[:cut], bytes.Repeat([]byte{0x1b}, stray), next)
			require.Equal(t, []string{"second\x00"}, payloads(readAll(t, bytes.NewReader(stream), len(stream))), "cut at %d, %d stray", cut, stray)
		}
	}
}

// pieces gives a stream in pieces of n bytes.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func TestReaderGivesTheSameHoweverTheStreamIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			part, _ := fault(t, drawFrame(t))
			stream = append(stream, part...)
		}
		want := readAll(t, bytes.NewReader(stream), len(stream))
		n := rapid.IntRange(1, 50).Draw(t, "cut")
		require.Equal(t, want, readAll(t, &pieces{stream, n}, len(stream)))
		require.Equal(t, want, readAll(t, iotest.DataErrReader(bytes.NewReader(stream)), len(stream)))
	})
}

func TestReaderGivesTheSameHoweverALongStreamIsCut(t *testing.T) {
	frame := sml.AppendFrame(nil, sml.X25, bytes.Repeat([]byte("\x1b\x1b\x1b\x1b\x01\x01\x01\x01 data "), 300))
	stream := slices.Concat(
		frame,
		bytes.Repeat([]byte{0x1b}, 70_000), // a flood
		frame,
		bytes.Repeat([]byte{0x55, 0x1b}, 2*sml.MaxFrame), // noise, longer than a window
		frame[:len(frame)/2],
		bytes.Repeat([]byte{0x55}, 70_000), // a frame without an end
		frame,
		frame[:len(frame)-3],
		frame,
	)
	want := readAll(t, bytes.NewReader(stream), len(stream))
	require.Len(t, payloads(want), 4)
	for _, n := range []int{1, 7, 4093, 4096, 100_000} {
		require.Equal(t, want, readAll(t, &pieces{stream, n}, len(stream)), "cut into %d", n)
	}
}

func TestReaderKeepsManyStartsInOneFrameApart(t *testing.T) {
	// Every start in the payload is a candidate; the oldest is the frame.
	payload := bytes.Repeat([]byte("\x1b\x1b\x1b\x1b\x01\x01\x01\x01"), 4000)
	frame := sml.AppendFrame(nil, sml.Kermit, payload)
	require.Equal(t, []string{string(payload)}, payloads(readAll(t, bytes.NewReader(frame), len(frame))))

	// The same, torn before its end: the last of the candidates is the frame.
	torn := frame[:len(frame)-8]
	good := sml.AppendFrame(nil, sml.X25, []byte("good"))
	stream := slices.Concat(torn, []byte("\x1b\x1b\x1b\x1b"), good)
	require.Equal(t, []string{"good"}, payloads(readAll(t, bytes.NewReader(stream), len(stream))))
}

func TestReaderBoundsAFrame(t *testing.T) {
	payload := bytes.Repeat([]byte{0x55}, sml.MaxFrame-16)
	longest := sml.AppendFrame(nil, sml.X25, payload)
	require.Len(t, longest, sml.MaxFrame)
	require.Equal(t, []string{string(payload)}, payloads(readAll(t, bytes.NewReader(longest), len(longest))))

	tooLong := sml.AppendFrame(nil, sml.X25, append(payload, 0x55))
	_, err := sml.NewReader(bytes.NewReader(tooLong)).Next()
	var refused *sml.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, &sml.RefusedError{Offset: 0, End: sml.MaxFrame, Reason: sml.FrameTooLong, Limit: sml.MaxFrame}, refused)
}

func TestReaderAcceptsAFillCountOfFour(t *testing.T) {
	// DZG: as AppendFrame, with four zeros and the count saying so.
	frame := sml.AppendFrame(nil, sml.X25, []byte("fill\x00\x00\x00\x00"))
	for count, want := range map[byte]string{0: "fill\x00\x00\x00\x00", 3: "fill\x00", 4: "fill", 5: ""} {
		got := payloads(readAll(t, bytes.NewReader(refill(frame, count)), len(frame)))
		if want == "" {
			require.Empty(t, got)
		} else {
			require.Equal(t, []string{want}, got)
		}
	}
}

// refill gives a frame another fill count, with the CRC that belongs to it.
func refill(frame []byte, count byte) []byte {
	b := slices.Clone(frame)
	b[len(b)-3] = count
	sum := x25(b[:len(b)-2])
	b[len(b)-2], b[len(b)-1] = byte(sum), byte(sum>>8)
	return b
}

// x25 is CRC-16/X.25 bit by bit, as its standard has it.
func x25(b []byte) uint16 {
	r := uint16(0xffff)
	for _, c := range b {
		r ^= uint16(c)
		for range 8 {
			low := r & 1
			r >>= 1
			if low != 0 {
				r ^= 0x8408
			}
		}
	}
	return ^r
}

func TestReaderGoesOnAfterATimeLimit(t *testing.T) {
	frame := sml.AppendFrame(nil, sml.X25, []byte("slow"))
	r := sml.NewReader(io.MultiReader(bytes.NewReader(frame[:10]), iotest.ErrReader(os.ErrDeadlineExceeded)))
	_, err := r.Next()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	half := &twoHalves{first: frame[:10], second: frame[10:]}
	r = sml.NewReader(half)
	_, err = r.Next()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	f, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "slow", string(f.Payload))
}

// twoHalves reports a time limit between its halves.
type twoHalves struct {
	first, second []byte
	limit         bool
}

func (h *twoHalves) Read(p []byte) (int, error) {
	if len(h.first) > 0 {
		n := copy(p, h.first)
		h.first = h.first[n:]
		return n, nil
	}
	if !h.limit {
		h.limit = true
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, h.second)
	h.second = h.second[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestReaderGivesUpOnAReaderThatGivesNothing(t *testing.T) {
	_, err := sml.NewReader(&pieces{[]byte("x"), 0}).Next()
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestReaderHoldsLittleWhateverComes(t *testing.T) {
	start := []byte("\x1b\x1b\x1b\x1b\x01\x01\x01\x01")
	for what, piece := range map[string][]byte{
		"starts as data":        slices.Concat(start[:4], start),
		"starts":                start,
		"a frame without end":   append(bytes.Repeat([]byte{0x55}, 2*sml.MaxFrame), start...),
		"a flood of 1b":         {0x1b},
		"ends":                  []byte("\x1b\x1b\x1b\x1b\x1a\x00\x00\x00"),
		"longest with escapes":  sml.AppendFrame(nil, sml.X25, bytes.Repeat([]byte{0x1b}, sml.MaxFrame/2-8)),
		"starts, then escapes":  slices.Concat(start, bytes.Repeat([]byte{0x1b}, 8), []byte{0x1b, 0x1b, 0x1b, 0x1b, 0x02}),
		"as many starts as fit": sml.AppendFrame(nil, sml.X25, bytes.Repeat(start, 5000)),
	} {
		t.Run(what, func(t *testing.T) {
			stream := bytes.Repeat(piece, 1+(4<<20)/len(piece))
			r := sml.NewReader(bytes.NewReader(stream))
			for {
				_, err := r.Next()
				if err == io.EOF {
					break
				}
			}
			require.Less(t, r.Held(), 512<<10)
		})
	}
}

func TestAFillCountThatIsTooLargeCostsNoMessage(t *testing.T) {
	for id := range 600 { // among them CRCs that end in 00
		var payload []byte
		for _, name := range [...]string{"first", "last"} {
			payload = sml.AppendMessage(payload, sml.NewMessage([]byte{byte(id >> 8), byte(id)}, &sml.CloseResponse{Signature: []byte(name)}))
		}
		for claim := range byte(5) {
			file := refill(sml.AppendFrame(nil, sml.X25, payload), claim)
			frame, err := sml.NewReader(bytes.NewReader(file)).Next()
			require.NoError(t, err)
			n := 0
			for m, err := range frame.Messages() {
				require.NoError(t, err)
				require.Equal(t, m.Body, file[m.End-4-int64(len(m.Body)):m.End-4])
				n++
			}
			require.Equal(t, 2, n, "%d %d", id, claim)
		}
	}
}
