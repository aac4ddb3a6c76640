package form

import "fmt"

// MarketLocationID is the number of a market location (Marktlokation, MaLo):
// eleven digits, the last a check digit. A struct, so that a TOML decoder
// reports where a malformed one stands.
type MarketLocationID struct{ digits string }

// ParseMarketLocationID checks s: eleven digits, the first 1–9, and the check
// digit (10 − (sum of the 1st, 3rd … 9th + 2 × sum of the 2nd … 10th) mod 10) mod 10.
func ParseMarketLocationID(s string) (MarketLocationID, error) {
	if len(s) != 11 || !allDigits(s) || s[0] == '0' {
		return MarketLocationID{}, fmt.Errorf("market location %q: want 11 digits, the first of them 1 to 9", s)
	}
	sum := 0
	for i := range 10 {
		d := int(s[i] - '0')
		if i%2 == 1 {
			d *= 2
		}
		sum += d
	}
	if want := byte('0' + (10-sum%10)%10); s[10] != want {
		return MarketLocationID{}, fmt.Errorf("market location %q: its check digit should be %c, not %c; a digit is mistyped or two are swapped", s, want, s[10])
	}
	return MarketLocationID{s}, nil
}

func (id MarketLocationID) String() string                { return id.digits }
func (id MarketLocationID) MarshalText() ([]byte, error)  { return []byte(id.digits), nil }
func (id *MarketLocationID) UnmarshalText(b []byte) error { return set(id, b, ParseMarketLocationID) }

// MeteringLocationID names a metering location (Messlokation, MeLo): DE and 31
// capital letters or digits.
type MeteringLocationID struct{ text string }

// ParseMeteringLocationID checks s.
func ParseMeteringLocationID(s string) (MeteringLocationID, error) {
	ok := len(s) == 33 && s[:2] == "DE"
	for i := 2; ok && i < len(s); i++ {
		ok = '0' <= s[i] && s[i] <= '9' || 'A' <= s[i] && s[i] <= 'Z'
	}
	if !ok {
		return MeteringLocationID{}, fmt.Errorf("metering location %q (%d characters): want DE and 31 capital letters or digits", s, len(s))
	}
	return MeteringLocationID{s}, nil
}

func (id MeteringLocationID) String() string               { return id.text }
func (id MeteringLocationID) MarshalText() ([]byte, error) { return []byte(id.text), nil }
func (id *MeteringLocationID) UnmarshalText(b []byte) error {
	return set(id, b, ParseMeteringLocationID)
}

// PartnerID is a market partner's number (Marktpartner-ID, of BDEW or DVGW):
// thirteen digits without a check digit.
type PartnerID struct{ digits string }

// ParsePartnerID checks s.
func ParsePartnerID(s string) (PartnerID, error) {
	if len(s) != 13 || !allDigits(s) {
		return PartnerID{}, fmt.Errorf("market partner %q: want 13 digits", s)
	}
	return PartnerID{s}, nil
}

func (id PartnerID) String() string                { return id.digits }
func (id PartnerID) MarshalText() ([]byte, error)  { return []byte(id.digits), nil }
func (id *PartnerID) UnmarshalText(b []byte) error { return set(id, b, ParsePartnerID) }

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || '9' < s[i] {
			return false
		}
	}
	return true
}

func set[T any](to *T, text []byte, parse func(string) (T, error)) error {
	v, err := parse(string(text))
	if err == nil {
		*to = v
	}
	return err
}
