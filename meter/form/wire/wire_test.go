package wire_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"smgw/meter"
	"smgw/meter/form"
	"smgw/meter/form/wire"
	"smgw/meter/obis"
)

func number(t require.TestingT, s string) decimal.NullDecimal {
	d, err := decimal.NewFromString(s)
	require.NoError(t, err)
	return decimal.NewNullDecimal(d)
}

func kwh(t require.TestingT, s string) form.Quantity {
	return form.Quantity{Amount: number(t, s), State: form.True}
}

// payload is a row 5 payload of one local day, still without values.
func payload(t require.TestingT) *form.Payload {
	p := &form.Payload{Gateway: "smgw-0123456789", Edition: form.EditionBK618032, Row: 5, To: form.UENB}
	var err error
	p.MeLo, err = form.ParseMeteringLocationID("DE00056266802AO6G56M11SN51G21M24S")
	require.NoError(t, err)
	p.MaLo, err = form.ParseMarketLocationID("41373559241")
	require.NoError(t, err)
	p.PartnerID, err = form.ParsePartnerID("9900357000004")
	require.NoError(t, err)
	p.Period, err = form.ParsePeriod("2026-11-03")
	require.NoError(t, err)
	return p
}

// workingDay is a day of 96 true values of up to 4.8 kWh each, read to 0.1 Wh.
func workingDay(t require.TestingT) *form.Payload {
	p := payload(t)
	v := form.Value{Code: obis.Drawn, Kind: form.LoadProfile, At: p.Period.From}
	for i := range 96 {
		v.Intervals = append(v.Intervals, form.Quantity{Amount: decimal.NewNullDecimal(decimal.New(int64(101+487*i), -4)), State: form.True})
	}
	p.Values = []form.Value{v}
	return p
}

// troubledDay has every state that an interval can have.
func troubledDay(t require.TestingT) *form.Payload {
	p := workingDay(t)
	q := p.Values[0].Intervals
	q[3] = form.Quantity{State: form.Missing, Reason: form.Communication}
	q[4] = q[3]
	q[5] = form.Quantity{State: form.Missing, Reason: form.Implausible}
	q[40].Warning = form.OffsetWarning
	q[50] = form.Quantity{Amount: number(t, "2"), State: form.Unusable, Reason: form.Resolution}
	q[60] = form.Quantity{Amount: number(t, "0.25"), State: form.Substitute, Reason: form.Communication, Method: form.Interpolation}
	q[95] = form.Quantity{Amount: number(t, "70000.5"), State: form.Unusable, Reason: form.ClockSet, Warning: form.OffsetWarning}
	return p
}

// month is a row 7 payload with two tariffs.
func month(t require.TestingT) *form.Payload {
	p := payload(t)
	p.Row, p.To = 7, form.LF
	var err error
	p.Period, err = form.ParsePeriod("2026-10")
	require.NoError(t, err)
	at := p.Period.To
	power := form.Quantity{Amount: number(t, "7.1236"), State: form.Preliminary}
	p.Values = []form.Value{
		{Code: obis.Drawn, Kind: form.Energy, Quantity: kwh(t, "312.4567")},
		{Code: obis.Drawn, Kind: form.MaxPower, At: p.Period.From + 75, Quantity: power, MissingIntervals: 2},
		{Code: obis.Drawn, Kind: form.Register, At: at, Quantity: kwh(t, "16824.8565")},
		{Code: obis.DrawnT1, Kind: form.Register, At: at, Quantity: kwh(t, "16000")},
		{Code: obis.DrawnT2, Kind: form.Register, At: at, Quantity: form.Quantity{Amount: number(t, "824.8565"), State: form.True, Warning: form.OffsetWarning}},
		{Code: obis.DrawnError, Kind: form.Register, At: at, Quantity: form.Quantity{State: form.Missing, Reason: form.Implausible}},
	}
	return p
}

// information is the smallest payload there is: row 1, what the consumer used.
func information(t require.TestingT) *form.Payload {
	p := month(t)
	p.Row = 1
	p.Values = []form.Value{p.Values[0], p.Values[2]}
	return p
}

// correction replaces month, and tells of a loss.
func correction(t require.TestingT) *form.Payload {
	p := month(t)
	p.Supersedes = wire.ID(p)
	p.Revision = 1
	p.Values = p.Values[:3]
	p.Values[1].State, p.Values[1].MissingIntervals = form.True, 0
	p.Notices = []form.Notice{{Kind: "store_damaged", From: p.Period.From, To: p.Period.From + 8, Count: 8}}
	return p
}

// final is month as it is settled on the 8th.
func final(t require.TestingT) *form.Payload {
	p := correction(t)
	p.Notices = nil
	p.Values[1].State, p.Values[1].MissingIntervals, p.Values[1].Final = form.Preliminary, 2, true
	return p
}

// event is a row 3 payload: the supply of a roof ends at a midnight of the month.
func event(t require.TestingT) *form.Payload {
	p := payload(t)
	p.Row, p.To = 3, form.LF
	var err error
	p.MaLo, err = form.ParseMarketLocationID("51238696781")
	require.NoError(t, err)
	p.Period, err = form.ParsePeriod("2026-11-01..2026-11-14")
	require.NoError(t, err)
	p.Values = []form.Value{
		{Code: obis.FedIn, Kind: form.Energy, Quantity: kwh(t, "88.0312")},
		{Code: obis.FedIn, Kind: form.MaxPower, At: p.Period.From + 48, Quantity: kwh(t, "3.52")},
		{Code: obis.FedIn, Kind: form.Register, At: p.Period.To, Quantity: kwh(t, "1248.5653")},
	}
	return p
}

// moment is a row 9 payload: what a roof feeds in at 12:34:56.
func moment(t require.TestingT) *form.Payload {
	p := event(t)
	p.Row, p.To = 9, form.NB
	p.Moment = time.Date(2026, 11, 3, 11, 34, 56, 0, time.UTC)
	p.Period = form.Period{From: meter.QuarterOf(p.Moment), To: meter.QuarterOf(p.Moment) + 1}
	p.Values = []form.Value{{Code: obis.PowerFedIn, Kind: form.Momentary, Quantity: kwh(t, "3.217")}}
	return p
}

// grid is the state of the grid on the quarter hour.
func grid(t require.TestingT) *form.Payload {
	p := moment(t)
	p.Row, p.Moment = form.GridState, p.Period.From.Time()
	at := func(c byte, e byte, amount string) form.Value {
		return form.Value{Code: obis.Code{1, 0, c, 7, e, 255}, Kind: form.Momentary, Quantity: kwh(t, amount)}
	}
	p.Values = []form.Value{
		at(32, 0, "232.4"), at(52, 0, "232.6"), at(72, 0, "231"), at(31, 0, "1.07"), at(14, 0, "49.98"), at(81, 1, "120"), at(81, 4, "298"),
	}
	p.Values[3].Quantity = form.Quantity{State: form.Missing, Reason: form.Communication}
	p.Values[4].State, p.Values[4].Reason = form.Unusable, form.ClockSet
	return p
}

// requireSame compares payloads with figures as text: 1.0 and 1 are the same.
func requireSame(t require.TestingT, want, got *form.Payload) {
	text := func(p *form.Payload) form.Payload {
		c := *p
		c.Values = nil
		return c
	}
	require.Equal(t, text(want), text(got))
	require.Len(t, got.Values, len(want.Values))
	for i, v := range want.Values {
		w, err := v.MarshalJSON()
		require.NoError(t, err)
		g, err := got.Values[i].MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, string(w), string(g))
		require.Equal(t, v.At, got.Values[i].At)
	}
}

func key(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return k
}

func TestSignedWorkingDayIsAtMost512Bytes(t *testing.T) {
	encoded, err := wire.Encode(workingDay(t))
	require.NoError(t, err)
	k := key(t)
	keyID := make([]byte, 20) // a subject key identifier
	signed, err := wire.Sign(encoded, k, keyID)
	require.NoError(t, err)
	t.Logf("a day of 96 true values: %d bytes, signed %d", len(encoded), len(signed))
	require.LessOrEqual(t, len(signed), 512)

	large := workingDay(t) // up to 1,677 kWh in a quarter hour, to 0.1 Wh
	for i := range large.Values[0].Intervals {
		large.Values[0].Intervals[i].Amount = decimal.NewNullDecimal(decimal.New(int64(1<<24-1-i), -4))
	}
	encoded, err = wire.Encode(large)
	require.NoError(t, err)
	signed, err = wire.Sign(encoded, k, keyID)
	require.NoError(t, err)
	require.LessOrEqual(t, len(signed), 512)
}

func TestVerifyGivesBackWhatWasSigned(t *testing.T) {
	encoded, err := wire.Encode(month(t))
	require.NoError(t, err)
	k := key(t)
	signed, err := wire.Sign(encoded, k, []byte("kid"))
	require.NoError(t, err)
	again, err := wire.Sign(encoded, k, []byte("kid"))
	require.NoError(t, err)
	require.NotEqual(t, signed, again, "a signature differs each time")
	for _, s := range [][]byte{signed, again} {
		got, err := wire.Verify(s, &k.PublicKey)
		require.NoError(t, err)
		require.Equal(t, encoded, got)
		require.True(t, wire.IsSigned(s))
		got, err = wire.Unwrap(s)
		require.NoError(t, err)
		require.Equal(t, encoded, got)
	}
	require.False(t, wire.IsSigned(encoded))
	_, err = wire.Unwrap(encoded)
	require.Error(t, err)
}

func TestVerifyRefusesEveryChangedByte(t *testing.T) {
	encoded, err := wire.Encode(month(t))
	require.NoError(t, err)
	k := key(t)
	signed, err := wire.Sign(encoded, k, nil)
	require.NoError(t, err)
	_, err = wire.Verify(signed, &key(t).PublicKey)
	require.Error(t, err, "another gateway's key")
	for i := range signed {
		bad := append([]byte(nil), signed...)
		bad[i] ^= 1
		got, err := wire.Verify(bad, &k.PublicKey)
		if err == nil {
			// Only the key's id is outside what is signed.
			require.Equal(t, encoded, got)
			require.Less(t, i, 12)
		}
		_, err = wire.Verify(signed[:i], &k.PublicKey)
		require.Error(t, err)
	}
}

func TestIDIsMadeOfWhatAPayloadIs(t *testing.T) {
	p := workingDay(t)
	id := wire.ID(p)
	require.Regexp(t, "^[0-9a-f]{32}$", id)

	same := troubledDay(t)
	same.Notices = []form.Notice{{Kind: "store_damaged", Count: 1}}
	require.Equal(t, id, wire.ID(same), "what it says does not matter")

	other := map[string]func(*form.Payload){
		"gateway":         func(p *form.Payload) { p.Gateway += "x" },
		"market location": func(p *form.Payload) { p.MaLo, _ = form.ParseMarketLocationID("50987654321") },
		"row":             func(p *form.Payload) { p.Row = 6 },
		"role":            func(p *form.Payload) { p.To = form.NB },
		"partner":         func(p *form.Payload) { p.PartnerID, _ = form.ParsePartnerID("9900357000005") },
		"from":            func(p *form.Payload) { p.Period.From-- },
		"to":              func(p *form.Payload) { p.Period.To++ },
		"revision":        func(p *form.Payload) { p.Revision = 1 },
		"moment":          func(p *form.Payload) { p.Moment = p.Period.From.Time() },
	}
	for name, change := range other {
		q := workingDay(t)
		change(q)
		require.NotEqual(t, id, wire.ID(q), name)
	}
}

// spoiled are changes to a payload's map that make it none.
var spoiled = map[string]func(m map[int]any){
	"an unknown key":                        func(m map[int]any) { m[15] = 1 },
	"a moment of a month":                   func(m map[int]any) { m[14] = 1793570400 },
	"a momentary figure without its moment": func(m map[int]any) { first(m)[uint64(2)] = 5 },
	"final though true":                     func(m map[int]any) { first(m)[uint64(13)] = true },
	"not final in words":                    func(m map[int]any) { m[10].([]any)[1].(map[any]any)[uint64(13)] = false },
	"an unknown edition":                    func(m map[int]any) { m[1] = 2 },
	"a wrong check digit":                   func(m map[int]any) { m[4] = "41373559242" },
	"a wrong metering location":             func(m map[int]any) { m[3] = "DE1" },
	"row 0":                                 func(m map[int]any) { m[5] = 0 },
	"row 10":                                func(m map[int]any) { m[5] = 10 },
	"a role that receives nothing":          func(m map[int]any) { m[6] = "MSB" },
	"ÜNB in other letters":                  func(m map[int]any) { m[6] = "UENB" },
	"a short partner":                       func(m map[int]any) { m[7] = "12345" },
	"an empty period":                       func(m map[int]any) { m[9] = 0 },
	"a period of a century":                 func(m map[int]any) { m[9] = 4_000_000 },
	"a period before 1970":                  func(m map[int]any) { m[8] = -1 },
	"a period beyond all calendars":         func(m map[int]any) { m[8] = int64(1) << 62 },
	"a register beyond all calendars":       func(m map[int]any) { m[10].([]any)[2].(map[any]any)[uint64(3)] = int64(1) << 62 },
	"no values":                             func(m map[int]any) { delete(m, 10) },
	"a correction that names nothing":       func(m map[int]any) { m[11] = 1 },
	"a short superseded id":                 func(m map[int]any) { m[11], m[12] = 1, []byte{1} },
	"an unknown kind":                       func(m map[int]any) { first(m)[uint64(2)] = 6 },
	"a short obis code":                     func(m map[int]any) { first(m)[uint64(1)] = []byte{1} },
	"an unknown state":                      func(m map[int]any) { first(m)[uint64(5)] = 9 },
	"a state spelled out":                   func(m map[int]any) { first(m)[uint64(5)] = 1 },
	"missing with an amount":                func(m map[int]any) { first(m)[uint64(5)] = 5 },
	"true without an amount":                func(m map[int]any) { delete(first(m), uint64(4)) },
	"an unknown reason":                     func(m map[int]any) { first(m)[uint64(6)] = "Z99" },
	"an unknown method":                     func(m map[int]any) { first(m)[uint64(7)] = "Z93" },
	"a time of an energy":                   func(m map[int]any) { first(m)[uint64(3)] = 1 },
	"missing quarter hours of an energy":    func(m map[int]any) { first(m)[uint64(9)] = 1 },
	"missing quarter hours beyond a decade": func(m map[int]any) { m[10].([]any)[1].(map[any]any)[uint64(9)] = uint32(1) << 31 },
	"a revision beyond an int of 32 bits":   func(m map[int]any) { m[11], m[12] = uint32(1)<<31, make([]byte, 16) },
	"a notice of more than can be counted":  func(m map[int]any) { m[13] = []any{[]any{"x", 0, 0, uint32(1) << 31}} },
	"an unknown warning":                    func(m map[int]any) { first(m)[uint64(8)] = 2 },
	"an amount without its tag":             func(m map[int]any) { first(m)[uint64(4)] = []int{-1, 5} },
	"a trailing zero":                       func(m map[int]any) { first(m)[uint64(4)] = cbor.Tag{Number: 4, Content: []int{-2, 50}} },
	"a huge exponent":                       func(m map[int]any) { first(m)[uint64(4)] = cbor.Tag{Number: 4, Content: []int{1 << 30, 5}} },
	"intervals of an energy":                func(m map[int]any) { first(m)[uint64(11)] = []byte{1} },
}

// remade is the month's payload with its map changed, in deterministic CBOR.
func remade(t require.TestingT, change func(map[int]any)) []byte {
	encoded, err := wire.Encode(month(t))
	require.NoError(t, err)
	var m map[int]any
	require.NoError(t, cbor.Unmarshal(encoded, &m))
	change(m)
	mode, err := cbor.CoreDetEncOptions().EncMode()
	require.NoError(t, err)
	encoded, err = mode.Marshal(m)
	require.NoError(t, err)
	return encoded
}

func TestDecodeRefuses(t *testing.T) {
	_, err := wire.Decode(remade(t, func(map[int]any) {}))
	require.NoError(t, err, "what is spoiled below is good before")
	for name, change := range spoiled {
		_, err := wire.Decode(remade(t, change))
		require.Error(t, err, name)
	}

	encoded := remade(t, func(map[int]any) {})
	_, err = wire.Decode(append(encoded, 0))
	require.Error(t, err, "bytes behind the payload")
	_, err = wire.Decode(make([]byte, wire.MaxSize+1))
	require.ErrorContains(t, err, "more than")
	_, err = wire.Decode([]byte("\xbf\xff"))
	require.Error(t, err, "indefinite length")
	for i := range encoded {
		_, err := wire.Decode(encoded[:i])
		require.Error(t, err)
	}
}

func first(m map[int]any) map[any]any { return m[10].([]any)[0].(map[any]any) }

func TestEncodeRefusesWhatContradictsItself(t *testing.T) {
	spoil := map[string]func(*form.Payload){
		"no edition":                    func(p *form.Payload) { p.Edition = form.Edition{} },
		"a profile of another day":      func(p *form.Payload) { p.Values[0].At++ },
		"no row":                        func(p *form.Payload) { p.Row = 0 },
		"no values":                     func(p *form.Payload) { p.Values = nil },
		"superseding without revision":  func(p *form.Payload) { p.Supersedes = wire.ID(p) },
		"no hexadecimal superseded id":  func(p *form.Payload) { p.Revision, p.Supersedes = 1, "x" },
		"no state":                      func(p *form.Payload) { p.Values[0].Intervals[7].State = 0 },
		"missing with an amount":        func(p *form.Payload) { p.Values[0].Intervals[7].State = form.Missing },
		"true without an amount":        func(p *form.Payload) { p.Values[0].Intervals[7].Amount.Valid = false },
		"an unknown warning":            func(p *form.Payload) { p.Values[0].Intervals[7].Warning = "?" },
		"a negative interval":           func(p *form.Payload) { p.Values[0].Intervals[7].Amount = number(t, "-1") },
		"no intervals":                  func(p *form.Payload) { p.Values[0].Intervals = nil },
		"an interval beyond all meters": func(p *form.Payload) { p.Values[0].Intervals[7].Amount.Decimal = decimal.New(1, 400) },
	}
	for name, change := range spoil {
		p := workingDay(t)
		change(p)
		_, err := wire.Encode(p)
		require.Error(t, err, name)
	}
}

// drawPayload draws a payload with every state that a figure can have.
func drawPayload(t *rapid.T) *form.Payload {
	reasons := []form.Reason{form.Communication, form.DeviceChange, form.Implausible}
	p := payload(t)
	n := rapid.IntRange(1, 200).Draw(t, "intervals")
	p.Period.To = p.Period.From + meter.Quarter(n)
	v := form.Value{Code: obis.FedIn, Kind: form.LoadProfile, At: p.Period.From}
	amount := rapid.Custom(func(t *rapid.T) decimal.NullDecimal {
		return decimal.NewNullDecimal(decimal.New(rapid.Int64Range(0, 1<<40).Draw(t, "mantissa"), rapid.Int32Range(-9, 2).Draw(t, "exponent")))
	})
	for range n {
		q := form.Quantity{State: form.State(rapid.IntRange(1, 5).Draw(t, "state"))}
		if q.State != form.Missing {
			q.Amount = amount.Draw(t, "amount")
		}
		if q.State != form.True {
			q.Reason = rapid.SampledFrom(reasons).Draw(t, "reason")
		}
		v.Intervals = append(v.Intervals, q)
	}
	register := form.Value{Code: obis.FedIn, Kind: form.Register, At: p.Period.To, Quantity: form.Quantity{Amount: amount.Draw(t, "register"), State: form.True}}
	if rapid.Bool().Draw(t, "final") {
		register.State, register.Final = form.Preliminary, true
	}
	p.Values = []form.Value{v, register}
	if rapid.IntRange(0, 3).Draw(t, "about a moment") == 0 {
		p.Row, p.To = 9, form.NB
		p.Period.To = p.Period.From + 1
		p.Moment = p.Period.From.Time().Add(time.Duration(rapid.IntRange(0, 899).Draw(t, "second")) * time.Second)
		p.Values = []form.Value{{Code: obis.PowerFedIn, Kind: form.Momentary, Quantity: v.Intervals[0]}}
	}
	return p
}

// Content is what a payload says: its revision, what it replaces and what was lost
// meanwhile do not belong to it, and anything else does.
func TestContentIsWhatAPayloadSays(t *testing.T) {
	content := func(change func(*form.Payload)) string {
		p := month(t)
		p.Notices = []form.Notice{{Kind: form.TariffSum, From: p.Period.To, To: p.Period.To, Count: 1}}
		change(p)
		c, err := wire.Content(p)
		require.NoError(t, err)
		require.Regexp(t, "^[0-9a-f]{32}$", c)
		return c
	}
	want := content(func(*form.Payload) {})
	for name, change := range map[string]func(*form.Payload){
		"a revision":      func(p *form.Payload) { p.Revision, p.Supersedes = 1, wire.ID(p) },
		"a loss":          func(p *form.Payload) { p.Notices = append(p.Notices, form.Notice{Kind: "store_damaged", Count: 1}) },
		"a trailing zero": func(p *form.Payload) { p.Values[0].Amount = number(t, "312.45670") },
	} {
		require.Equal(t, want, content(change), name)
	}
	for name, change := range map[string]func(*form.Payload){
		"a figure":        func(p *form.Payload) { p.Values[0].Amount = number(t, "312.4568") },
		"a state":         func(p *form.Payload) { p.Values[0].State = form.Unusable },
		"final":           func(p *form.Payload) { p.Values[1].Final = true },
		"what was made":   func(p *form.Payload) { p.Notices = nil },
		"another gateway": func(p *form.Payload) { p.Gateway += "x" },
	} {
		require.NotEqual(t, want, content(change), name)
	}
	p := month(t)
	p.Values = nil
	_, err := wire.Content(p)
	require.Error(t, err)
}

func TestEncodeRefusesMomentsThatAreNone(t *testing.T) {
	for name, change := range map[string]func(*form.Payload){
		"half a second":                 func(p *form.Payload) { p.Moment = p.Moment.Add(time.Second / 2) },
		"before its period":             func(p *form.Payload) { p.Moment = p.Period.From.Time().Add(-time.Second) },
		"after its period":              func(p *form.Payload) { p.Moment = p.Period.To.Time() },
		"a momentary figure without it": func(p *form.Payload) { p.Moment = time.Time{} },
		"a figure about a period":       func(p *form.Payload) { p.Values[0].Kind = form.Energy },
		"a figure at a boundary":        func(p *form.Payload) { p.Values[0].At = p.Period.From },
		"a true figure that is final":   func(p *form.Payload) { p.Values[0].Final = true },
		"the first instant of all": func(p *form.Payload) {
			p.Period, p.Moment = form.Period{From: 0, To: 1}, time.Unix(0, 0)
		},
	} {
		p := moment(t)
		change(p)
		_, err := wire.Encode(p)
		require.Error(t, err, name)
	}
	p := workingDay(t)
	p.Values[0].Final = true
	_, err := wire.Encode(p)
	require.ErrorContains(t, err, "no preliminary figures")
}

func TestWhatIsEncodedComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPayload(t)
		encoded, err := wire.Encode(p)
		require.NoError(t, err)
		back, err := wire.Decode(encoded)
		require.NoError(t, err)
		requireSame(t, p, back)
	})
}

func FuzzDecode(f *testing.F) {
	for _, build := range vectors {
		encoded, err := wire.Encode(build(f))
		require.NoError(f, err)
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := wire.Decode(b)
		if err != nil {
			return
		}
		again, err := wire.Encode(p)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// BenchmarkMonth encodes and signs a load profile of a month, 2,976 quarter hours.
func BenchmarkMonth(b *testing.B) {
	p := workingDay(b)
	p.Period.To = p.Period.From + 2976
	v := &p.Values[0]
	for len(v.Intervals) < 2976 {
		v.Intervals = append(v.Intervals, v.Intervals[:96]...)
	}
	k := key(b)
	b.ReportAllocs()
	for b.Loop() {
		encoded, err := wire.Encode(p)
		require.NoError(b, err)
		_, err = wire.Sign(encoded, k, []byte("kid"))
		require.NoError(b, err)
	}
}
