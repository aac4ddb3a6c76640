package sml

// Time is an SML_Time as the meter sent it. The zero Time is an absent one.
// Clocks of meters are often wrong; only a SecIndex is dependable, as a count
// that never goes back.
type Time struct {
	Choice       TimeChoice
	Value        uint32 // seconds: since installation (SecIndex) or since 1970
	LocalOffset  int16  // LocalTimestamp: minutes from UTC to standard time
	SeasonOffset int16  // LocalTimestamp: further minutes, for summer time
	Form         TimeForm
	sizes        [4]uint8 // octets that choice, value and offsets had on the wire, 0: 1, 4, 2, 2
}

// TimeChoice says what a Time counts.
type TimeChoice uint8

const (
	SecIndex       TimeChoice = 1 // seconds since the meter was installed
	Timestamp      TimeChoice = 2 // seconds since 1970, UTC
	LocalTimestamp TimeChoice = 3 // seconds since 1970, with offsets
)

// TimeForm is how a Time stands on the wire.
type TimeForm uint8

const (
	Standard   TimeForm = iota // a list of choice and time
	Bare                       // an unsigned without a choice, meant as SecIndex (Holley DTZ541)
	BareLocal                  // timestamp and both offsets without a choice
	LocalIndex                 // SecIndex or Timestamp with the list of three that belongs to LocalTimestamp (FROETEC ZG22)
)

// Valid reports whether there is a time at all.
func (t Time) Valid() bool { return t.Choice != 0 }

// OfSize gives the same time with its Value encoded in n octets, 1 to 4,
// as meters do that send no leading zeros. It panics on another n.
func (t Time) OfSize(n int) Time {
	if n < 1 || n > 4 {
		panic("sml: a time has 1 to 4 octets")
	}
	t.sizes[1] = uint8(n)
	return t
}

func orSize(n, usual uint8) uint8 {
	if n == 0 {
		return usual
	}
	return n
}

func (t Time) append(dst []byte) []byte {
	if t.Choice == 0 {
		return append(dst, 0x01)
	}
	value := Uint{uint64(t.Value), orSize(t.sizes[1], 4)}
	if t.Form == Bare {
		return value.append(dst)
	}
	if t.Form != BareLocal {
		dst = append(dst, 0x72)
		dst = Uint{uint64(t.Choice), orSize(t.sizes[0], 1)}.append(dst)
		if t.Choice != LocalTimestamp && t.Form != LocalIndex {
			return value.append(dst)
		}
	}
	dst = append(dst, 0x73)
	dst = value.append(dst)
	dst = Int{int64(t.LocalOffset), orSize(t.sizes[2], 2)}.append(dst)
	return Int{int64(t.SeasonOffset), orSize(t.sizes[3], 2)}.append(dst)
}

// timeInto is time for where most are absent: it copies nothing then.
func (c *cursor) timeInto(t *Time) {
	if c.absent() {
		*t = Time{}
		return
	}
	*t = c.time()
}

// time reads an SML_Time. No time is worth a list of registers: of one in a
// form that no standard knows what can be read is taken, and else it is absent.
// Such a time encodes as the standard says, so not to the same bytes.
func (c *cursor) time() (t Time) {
	if c.absent() || c.why != "" {
		return t
	}
	start := *c
	if t = c.formal(); c.why != "" {
		*c = start
		t = oddTime(c.element())
	}
	return t
}

// oddTime reads the numbers of a time, in whatever lists and types they stand:
// a choice, seconds and offsets, or where no choice is first, seconds and
// offsets (three), or seconds alone.
func oddTime(element []byte) (t Time) {
	var numbers [4]int64
	n := 0
	c := cursor{b: element}
	form, count := c.tl()
	if form != kindList {
		c, count = cursor{b: element}, 1
	}
	for c.why == "" && c.i < len(element) && n < len(numbers) {
		kind, size := c.tl()
		switch kind {
		case kindUnsigned:
			if numbers[n] = int64(c.bigEndian(size)); numbers[n] < 0 {
				return Time{}
			}
			n++
		case kindSigned:
			numbers[n] = c.signed(size)
			n++
		case kindList: // its elements follow
		default: // an absent one: what stands behind it has no place
			c.i = len(element)
		}
	}
	if c.why != "" || n == 0 {
		return Time{}
	}
	seconds, offsets := numbers[0], numbers[1:3]
	switch {
	case count == 2 || count == 3 && numbers[0] <= int64(LocalTimestamp):
		if n < 2 || numbers[0] < 1 || numbers[0] > int64(LocalTimestamp) {
			return Time{}
		}
		t.Choice = TimeChoice(numbers[0])
		seconds, offsets = numbers[1], numbers[2:4]
	case count == 3:
		t.Choice, t.Form = LocalTimestamp, BareLocal
	case form != kindList:
		t.Choice, t.Form = SecIndex, Bare
	default:
		return Time{}
	}
	if seconds < 0 || seconds > 1<<32-1 {
		return Time{}
	}
	t.Value = uint32(seconds)
	if t.Choice == LocalTimestamp {
		t.LocalOffset, t.SeasonOffset = int16(offsets[0]), int16(offsets[1])
		if int64(t.LocalOffset) != offsets[0] || int64(t.SeasonOffset) != offsets[1] {
			return Time{}
		}
	}
	return t
}

// formal reads an SML_Time in the forms that encode again to the same bytes.
func (c *cursor) formal() (t Time) {
	if c.absent() {
		return t
	}
	switch kind, n := c.tl(); kind {
	case kindOctets:
		if n != 0 {
			c.fail(WrongType)
		}
	case kindUnsigned:
		t.Choice, t.Form, t.Value = SecIndex, Bare, c.timeValue(n, &t)
	case kindList:
		switch n {
		case 2:
			choice := c.uint()
			if choice.Value < 1 || choice.Value > 3 {
				c.fail(OutOfRange)
				return Time{}
			}
			t.Choice, t.sizes[0] = TimeChoice(choice.Value), choice.Size
			switch kind, n := c.tl(); kind {
			case kindUnsigned:
				t.Value = c.timeValue(n, &t)
				if t.Choice == LocalTimestamp {
					c.fail(WrongType)
				}
			case kindList:
				if n != 3 {
					c.fail(WrongCount)
					return Time{}
				}
				if t.Choice != LocalTimestamp {
					t.Form = LocalIndex
				}
				c.local(&t)
			default:
				c.fail(WrongType)
			}
		case 3:
			t.Choice, t.Form = LocalTimestamp, BareLocal
			c.local(&t)
		default:
			c.fail(WrongCount)
		}
	default:
		c.fail(WrongType)
	}
	if c.why != "" {
		return Time{}
	}
	return t
}

func (c *cursor) timeValue(n int, t *Time) uint32 {
	v := c.bigEndian(n)
	if v > 1<<32-1 {
		c.fail(OutOfRange)
	}
	t.sizes[1] = uint8(n)
	return uint32(v)
}

func (c *cursor) local(t *Time) {
	kind, n := c.tl()
	if kind != kindUnsigned {
		c.fail(WrongType)
		return
	}
	t.Value = c.timeValue(n, t)
	t.LocalOffset, t.sizes[2] = c.minutes()
	t.SeasonOffset, t.sizes[3] = c.minutes()
}

func (c *cursor) minutes() (int16, uint8) {
	v := c.int()
	if v.Value != int64(int16(v.Value)) {
		c.fail(OutOfRange)
	}
	return int16(v.Value), v.Size
}
