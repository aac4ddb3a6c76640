package config

import (
	"slices"
	"strings"
	"time"

	"smgw/meter/form"
)

// Change is a setting of a contract that is another in a later version, as both
// are written in a file; "" where it is not written.
type Change struct {
	MaLo string `json:"malo,omitempty"` // of which market location; "": of the contract itself
	Key  string `json:"key"`            // "transformer_factor", "high_tariff"; "market_location": all of it
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Claim is one row of the form that one receiver is entitled to.
type Claim struct {
	MaLo      form.MarketLocationID `json:"malo"`
	Row       form.RowNumber        `json:"row"`
	To        form.Role             `json:"to"`
	PartnerID form.PartnerID        `json:"partner_id"`
}

// Changes compares two contracts: what is set otherwise, and which rows of the
// form begin and end for whom. Endpoints and the day that a contract holds from
// are no part of it.
func Changes(old, next *form.Contract) (settings []Change, begins, ends []Claim) {
	was, is := settingsOf(old), settingsOf(next)
	for _, s := range was {
		if now := find(is, s); now != s.New && (s.Key == wholeLocation || has(next, s.MaLo)) {
			settings = append(settings, Change{s.MaLo, s.Key, s.New, now})
		}
	}
	for _, s := range is {
		if find(was, s) == "" && (s.Key == wholeLocation || has(old, s.MaLo)) {
			settings = append(settings, Change{s.MaLo, s.Key, "", s.New})
		}
	}
	had, gets := claimsOf(old), claimsOf(next)
	return settings, without(gets, had), without(had, gets)
}

// wholeLocation is the key of a market location that is there or not.
const wholeLocation = "market_location"

// settingsOf takes apart what FormatContract writes: nothing of a contract can be
// forgotten here.
func settingsOf(c *form.Contract) (all []Change) {
	n := *c
	n.From = form.Date{}
	var malo, table string
	for line := range strings.Lines(string(FormatContract(&n))) {
		line = strings.TrimSuffix(line, "\n")
		key, value, isSetting := strings.Cut(line, " = ")
		switch {
		case !isSetting && line != "":
			table = strings.TrimPrefix(strings.Trim(line, "[]"), "market_location")
		case !isSetting || table == ".receiver": // receivers are told by rows
		case key == "malo":
			malo = unquoted(value)
			all = append(all, Change{MaLo: malo, Key: wholeLocation, New: malo})
		case table == ".high_tariff": // a list: told as one
			last := &all[len(all)-1]
			if last.MaLo != malo || last.Key != "high_tariff" {
				all = append(all, Change{MaLo: malo, Key: "high_tariff"})
				last = &all[len(all)-1]
			}
			last.New = strings.TrimSpace(last.New + " " + line)
		case strings.HasPrefix(table, "."):
			all = append(all, Change{MaLo: malo, Key: table[1:] + "." + key, New: unquoted(value)})
		default:
			all = append(all, Change{MaLo: malo, Key: key, New: unquoted(value)})
		}
	}
	return all
}

func unquoted(value string) string {
	if inside, ok := strings.CutPrefix(value, `"`); ok {
		return strings.TrimSuffix(inside, `"`)
	}
	return value
}

// find is the value of a setting among others, "" where it is not set.
func find(all []Change, s Change) string {
	i := slices.IndexFunc(all, func(x Change) bool { return x.MaLo == s.MaLo && x.Key == s.Key })
	if i < 0 {
		return ""
	}
	return all[i].New
}

// has says whether a contract has a market location; "" stands for itself.
func has(c *form.Contract, malo string) bool {
	return malo == "" || slices.ContainsFunc(c.MarketLocations, func(m form.MarketLocation) bool { return m.MaLo.String() == malo })
}

func claimsOf(c *form.Contract) (all []Claim) {
	for _, e := range (&Config{Contract: *c}).Entitlements(time.Unix(0, 0)) {
		for _, to := range e.To {
			all = append(all, Claim{e.MaLo, e.Row, to.Role, to.PartnerID})
		}
	}
	return all
}

// without lists the claims that are not among others.
func without(all, others []Claim) []Claim {
	return slices.DeleteFunc(slices.Clone(all), func(c Claim) bool { return slices.Contains(others, c) })
}
