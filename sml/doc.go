// Package sml reads and writes the Smart Message Language (BSI TR-03109-1
// Anlage IV, IEC 62056-5-3-8), in which German electricity meters speak: the
// transport that finds a file in a noisy line, the encoding, and the messages.
//
//	r := sml.NewReader(port)
//	var list sml.GetListResponse
//	for {
//		frame, err := r.Next()
//		var refused *sml.RefusedError
//		if errors.As(err, &refused) {
//			continue // bytes that are no frame; reading goes on behind them
//		} else if err != nil {
//			return err
//		}
//		for m, err := range frame.Messages() {
//			if err != nil || m.Tag != sml.TagGetListResponse || m.Decode(&list) != nil {
//				continue
//			}
//			for e, err := range list.Entries.All() {
//				if err != nil {
//					break
//				}
//				fmt.Printf("%x %d × 10^%d\n", e.Name, int64(e.Value.Bits), e.Scaler.Value)
//			}
//		}
//	}
//
// # Transport, version 1
//
//	1b1b1b1b 01010101             start
//	payload                       every 1b1b1b1b in it doubled
//	00 …                          0 to 3 fill bytes, up to a multiple of four
//	1b1b1b1b 1a <fill> <crc16>    end; CRC-16/X.25 from the start to the fill count
//
// A [Reader] takes any stream of bytes and gives the frames with a good CRC. All
// other bytes it refuses with a [*RefusedError] that says where and why. A fault
// costs the frame that it is in and never the next one.
//
// # Encoding
//
// A byte of type and length (TL) stands before each element: its high nibble is the type, 0
// octets, 4 boolean, 5 signed, 6 unsigned, 7 list; its low nibble the length, TL included,
// or a list's count of elements. Bit 7 says that another TL byte follows. 01 is an absent
// element. Integers have any width from one to eight octets; [Uint], [Int] and [Value] keep it,
// so that what was decoded encodes to the same bytes again.
//
// # Memory
//
// Decoding does not allocate. Slices are borrowed from the frame, which is
// valid until the next call of Next; lists are read where they stand, element
// by element, so that a claimed length costs nothing. Whatever
// comes in, a Reader uses less than 512 KiB.
//
// # Leniency
//
// Meters differ, and a good CRC says that they meant it. Accepted are both CRCs
// of [Checksum], at the frame and at each message; a fill count of four; any width of
// integers and tags; TLs longer than need be; every form of time in [TimeForm]; and
// a message without its end mark. What numbers mean for one make of meter and
// another is not this package's business.
package sml
