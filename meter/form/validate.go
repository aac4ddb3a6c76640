package form

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"smgw/meter"
)

// ContractError is one contradiction in a contract, with its place: the names
// are those of the configuration file, so that a reader of the file can be
// shown the line.
type ContractError struct {
	Location int    // index of the market location, −1: of the contract itself
	Receiver int    // index of the receiver in it, −1: of the location itself
	MaLo     string // the market location's id, "" with Location −1
	Field    string // "transformer_factor", "class", "two_tariffs", "receiver", "role", "partner_id" …
	What     string // what is wrong
	Want     string // what would be right
}

func (e *ContractError) Error() string {
	where := "contract"
	if e.Location >= 0 {
		where = "market location " + e.MaLo
	}
	return fmt.Sprintf("%s: %s: %s; %s", where, e.Field, e.What, e.Want)
}

// Validate reports every contradiction of the contract: a role without
// receiver, a receiver that no row needs, a class where none belongs. The error
// wraps one *ContractError for each (errors.Join), in the order of the file.
func (c *Contract) Validate() error {
	var errs []error
	wrong := func(field, what, want string) {
		errs = append(errs, &ContractError{-1, -1, "", field, what, want})
	}
	if c.Edition == (Edition{}) {
		wrong("edition", "missing", `want "BK6-18-032"`)
	}
	if c.MeLo == (MeteringLocationID{}) {
		wrong("melo", "missing", "want DE and 31 capital letters or digits")
	}
	if c.TransformerFactor < 1 {
		wrong("transformer_factor", fmt.Sprintf("%d is no factor", c.TransformerFactor), "want a whole number of at least 1; 1 where no transformer stands before the meter")
	}
	if c.MaxPowerKW.Valid && !c.MaxPowerKW.Decimal.IsPositive() {
		wrong("max_power_kw", c.MaxPowerKW.Decimal.String()+" would make every reading implausible", "want a power above 0, or leave it out")
	}
	if c.OffsetLimit < 0 || c.OffsetLimit > MaxOffset {
		wrong("offset_limit", c.OffsetLimit.String()+" is out of range", "want at most 27s; it can only be set lower")
	}
	if len(c.MarketLocations) == 0 {
		wrong("market_location", "missing", "want at least one [[market_location]]")
	}
	for i := range c.MarketLocations {
		errs = append(errs, c.validateLocation(i)...)
	}
	return errors.Join(errs...)
}

func (c *Contract) validateLocation(i int) (errs []error) {
	m := &c.MarketLocations[i]
	wrong := func(receiver int, field, what, want string) {
		errs = append(errs, &ContractError{i, receiver, m.MaLo.String(), field, what, want})
	}
	if m.MaLo == (MarketLocationID{}) {
		wrong(-1, "malo", "missing", "want 11 digits")
	}
	for _, other := range c.MarketLocations[:i] {
		if other.MaLo == m.MaLo {
			wrong(-1, "malo", "this market location was already given", "want each of them once")
			break
		}
	}
	class := m.Class
	switch m.Direction {
	case Draw:
		if class == (Class{}) || class == ClassE {
			wrong(-1, "class", "missing for what is drawn", "want A, B or C")
			return errs // without a class nobody knows which roles it needs
		}
	case FeedIn:
		if class != ClassE {
			wrong(-1, "class", fmt.Sprintf("%s, but what is fed in has no class", class), "leave it out")
			class = ClassE
		}
		if m.TwoTariffs {
			wrong(-1, "two_tariffs", "tariffs are for what is drawn", "leave it out")
		}
	default:
		wrong(-1, "direction", "missing", "want draw or feed_in")
		return errs
	}

	if len(m.HighTimes) > 0 && !m.TwoTariffs {
		wrong(-1, "high_tariff", "times of a high tariff, but there is one tariff only", "want two_tariffs = true, or leave them out")
	}
	for _, high := range m.HighTimes {
		if high.To.quarters <= high.From.quarters {
			wrong(-1, "high_tariff", fmt.Sprintf("from %s to %s is no time", high.From, high.To), "want from before to; a time over midnight is two: to 24:00, and from 00:00")
		}
	}

	if g := m.Interpolate; g < 0 || g > MaxInterpolation || g%meter.QuarterLength != 0 {
		wrong(-1, "interpolate", g.String()+" is no length of a gap", "want quarter hours up to 24h, as 2h or 45m")
	}

	m.validateMoments(func(field, what, want string) { wrong(-1, field, what, want) })

	needed := rolesOf(class)
	for j, r := range m.Receivers {
		switch {
		case r.Role == (Role{}):
			wrong(j, "role", "missing", "want "+roleNames(needed))
		case !slices.Contains(needed, r.Role):
			wrong(j, "role", fmt.Sprintf("no row of class %s goes to %s", class, r.Role), "want only "+roleNames(needed))
		case slices.ContainsFunc(m.Receivers[:j], func(earlier Receiver) bool { return earlier.Role == r.Role }):
			wrong(j, "role", fmt.Sprintf("%s was already given", r.Role), "want one receiver for each role")
		}
		if r.PartnerID == (PartnerID{}) {
			wrong(j, "partner_id", "missing", "want 13 digits")
		}
	}
	for _, role := range needed {
		if _, ok := m.Receiver(role); !ok {
			wrong(-1, "receiver", fmt.Sprintf("rows of class %s go to %s, but it is not given", class, role),
				fmt.Sprintf("want a [[market_location.receiver]] with role = %q", role))
		}
	}
	return errs
}

func roleNames(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}
