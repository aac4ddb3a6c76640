package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"smgw/buffer"
	"smgw/cmd/internal/agent"
	"smgw/cmd/internal/config"
	"smgw/cmd/internal/control"
	"smgw/meter"
	"smgw/meter/form"
)

// change is what a file would change of the contract that the gateway keeps.
type change struct {
	With       string          `json:"compared_with"` // "agent": the running one; "store": at rest; "": there is nothing to compare with
	Since      *boundary       `json:"held_since"`    // from when the contract holds that it is compared with
	New        bool            `json:"new"`           // the file has another contract
	From       *boundary       `json:"holds_from"`    // from when it holds; null: from the gateway's first reading
	Wanted     *boundary       `json:"wanted_from"`   // the earlier midnight that the file asks for
	NeverHolds []boundary      `json:"never_holds"`   // from when contracts were to hold that were configured ahead
	Settings   []config.Change `json:"settings"`
	Begins     []config.Claim  `json:"begins"`
	Ends       []config.Claim  `json:"ends"`
	Endpoints  bool            `json:"endpoints"` // payloads go elsewhere, by the same contract
}

// changeOf asks the running agent, or the store at rest, for the contract that it
// keeps, and compares. Nothing is written.
func changeOf(ctx context.Context, c *config.Config, now time.Time) (*change, error) {
	var kept control.Contracts
	with, err := askGateway(c, func(client *control.Client) error {
		return client.Do(ctx, http.MethodGet, control.ContractsPath, &kept)
	})
	if err != nil {
		return nil, err
	}
	var stored []buffer.ContractVersion
	for _, v := range kept.Versions {
		stored = append(stored, buffer.ContractVersion{From: v.From, Text: []byte(v.Text)})
	}
	versions, err := agent.ParseVersions(stored)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		with = ""
	}
	return newChange(with, versions, &kept, c, now), nil
}

func newChange(with string, versions []form.Version, kept *control.Contracts, c *config.Config, now time.Time) *change {
	s := agent.Succeed(versions, 0, kept.BuiltUpTo, &c.Contract, now)
	x := &change{With: with, New: s.Begins, Endpoints: s.Moved, NeverHolds: []boundary{}, Settings: []config.Change{}, Begins: []config.Claim{}, Ends: []config.Claim{}}
	for _, v := range s.Ahead {
		x.NeverHolds = append(x.NeverHolds, boundary(v.From))
	}
	if s.Begins && (len(versions) > 0 || c.Contract.From != form.Date{}) {
		x.From = at(s.From)
	}
	if s.Wanted != 0 {
		x.Wanted = at(s.Wanted)
	}
	before := s.Now()
	if before == nil {
		return x
	}
	x.Since = at(s.Held[len(s.Held)-1].From)
	settings, begins, ends := config.Changes(before, &c.Contract)
	x.Settings, x.Begins, x.Ends = append(x.Settings, settings...), append(x.Begins, begins...), append(x.Ends, ends...)
	return x
}

// boundary is a quarter hour's begin: for programs in RFC 3339, for people by day.
type boundary meter.Quarter

func at(q meter.Quarter) *boundary { return (*boundary)(&q) }

func (b boundary) MarshalText() ([]byte, error) { return []byte(form.Local(meter.Quarter(b))), nil }
func (b boundary) String() string {
	return meter.Quarter(b).Time().In(form.Berlin).Format("Mon 2006-01-02 15:04")
}

// print says what changes, for people.
func (x *change) print(w io.Writer) {
	if x.With == "" {
		fmt.Fprint(w, "\nThere is no contract yet to compare it with: the agent keeps none. ")
		if x.From == nil {
			fmt.Fprint(w, "This one holds from the gateway's first reading on.\n")
		} else {
			fmt.Fprintf(w, "This one holds from %s on, or from the gateway's first reading where that is later.\n", *x.From)
		}
		return
	}
	whose := "the running agent keeps"
	if x.With == "store" {
		whose = "the store keeps (no agent runs)"
	}
	for _, at := range x.NeverHolds {
		fmt.Fprintf(w, "\nThe contract that was to hold from %s never holds: this file takes its place.", at)
	}
	switch {
	case x.New && x.Since == nil:
		fmt.Fprintf(w, "\nNone holds yet of the contracts that %s. This one holds from %s on.\n", whose, *x.From)
		return
	case !x.New && x.Endpoints:
		fmt.Fprintf(w, "\nThe contract is the one that %s since %s. Payloads go to other addresses as soon as the agent starts with this file.\n", whose, *x.Since)
		return
	case !x.New:
		fmt.Fprintf(w, "\nThe contract is the one that %s since %s: nothing changes.\n", whose, *x.Since)
		return
	}
	fmt.Fprintf(w, "\nAgainst the contract that %s since %s, this changes from %s on\n(when the agent has started with this file before that):\n", whose, *x.Since, *x.From)
	for _, s := range x.Settings {
		where := ""
		if s.MaLo != "" {
			where = "market location " + s.MaLo + ": "
		}
		switch {
		case s.Key == "market_location" && s.Old == "":
			fmt.Fprintf(w, "  %sbegins\n", where)
		case s.Key == "market_location":
			fmt.Fprintf(w, "  %sends\n", where)
		case s.Old == "":
			fmt.Fprintf(w, "  %s%s begins as %s\n", where, s.Key, s.New)
		case s.New == "":
			fmt.Fprintf(w, "  %s%s, until now %s, ends\n", where, s.Key, s.Old)
		default:
			fmt.Fprintf(w, "  %s%s: %s becomes %s\n", where, s.Key, s.Old, s.New)
		}
	}
	for _, c := range x.Ends {
		fmt.Fprintf(w, "  row %d of %s to %s (%s) ends\n", c.Row, c.MaLo, c.To, c.PartnerID)
	}
	for _, c := range x.Begins {
		fmt.Fprintf(w, "  row %d of %s to %s (%s) begins\n", c.Row, c.MaLo, c.To, c.PartnerID)
	}
	fmt.Fprint(w, "What was read before then is built by the contract of its time.\n")
	if x.Wanted != nil {
		fmt.Fprintf(w, "The file asks for %s, but payloads are built beyond that already.\n", *x.Wanted)
	}
}
