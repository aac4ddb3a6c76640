package main

import (
	"fmt"
	"strings"

	"smgw/meter/form"
	"smgw/meter/obis"
)

// rhythmNames are how often a row is sent, for programs.
var rhythmNames = map[form.Rhythm]string{
	form.EachMonth: "each_month", form.EachWorkingDay: "each_working_day", form.OnEvent: "on_event", form.OnDemand: "on_demand",
}

// words are a language that the form is shown in.
type words struct {
	title     string // edition, metering location
	location  string // market location, direction, class
	direction map[form.Direction]string
	columns   []string
	rhythm    map[form.Rhythm]string
	from      string            // from when it holds, where that is to come
	ended     string            // when the gateway was decommissioned
	every     map[string]string // a period
	point     string            // of a decimal number
	across    string            // a threshold
	purpose   map[string]string // of the form's German purposes; nil: as they are
	kind      map[form.Kind]string
	register  map[obis.Code]string // beside the total
	grid      string               // what an order of the grid's state has
	clock     string
	day       string
	lastSent  string // one of the columns
	notSent   string // where nobody knows when something was sent
	events    string
	passedOn  string
	class     map[form.Class]string
	role      map[form.Role]string
}

var languages = map[string]words{
	"de": {
		title:     "Standardformblatt nach § 54 MsbG, Festlegung %s, für die Messlokation\n%s.\nWas hier nicht steht, verlässt das Gateway nicht.",
		location:  "Marktlokation %s: %s, Klasse %s",
		direction: map[form.Direction]string{form.Draw: "Bezug aus dem Netz", form.FeedIn: "Einspeisung ins Netz"},
		columns:   []string{"ZEILE", "VON → AN", "WIE OFT", "WAS", "ZWECK", "ZULETZT", "NÄCHSTES MAL BIS"},
		rhythm: map[form.Rhythm]string{
			form.EachMonth:      "monatlich",
			form.EachWorkingDay: "werktäglich",
			form.OnEvent:        "einmal je Ereignis",
			form.OnDemand:       "auf Abruf",
		},
		from:   "Der Vertrag gilt ab dem %s.",
		ended:  "Das Gateway ist seit dem %s außer Betrieb und sendet nichts mehr.",
		every:  map[string]string{"1m": "jede Minute", "15m": "alle 15 Minuten"},
		point:  ",",
		across: "über/unter %s kW",
		kind: map[form.Kind]string{
			form.Energy: "Energiemenge", form.MaxPower: "Höchstleistung", form.Register: "Zählerstand", form.LoadProfile: "Viertelstundenwerte",
			form.Momentary: "Einspeiseleistung im Augenblick",
		},
		register: map[obis.Code]string{obis.DrawnT1: "HT", obis.DrawnT2: "NT", obis.DrawnError: "ohne Tarif"},
		grid:     "Spannung, Strom, Frequenz, Winkel im Augenblick",
		lastSent: "ZULETZT",
		notSent:  "Wann zuletzt etwas gesendet wurde, weiß das Journal eines Gateways; hier ist keines gefragt worden.\n",
		clock:    "02.01.2006 15:04",
		day:      "02.01.2006",
		events:   "Ereignisse sind Beginn oder Ende der Belieferung, Einbau, Ausbau oder Übernahme eines Geräts, Änderung von Parametern.",
		passedOn: "Die Werte der Zeile 1 gibt der Lieferant an den Letztverbraucher weiter.",
		class: map[form.Class]string{
			form.ClassA: "Klasse A: Jahresverbrauch bis 10 000 kWh.",
			form.ClassB: "Klasse B: Jahresverbrauch über 10 000 bis 100 000 kWh, oder darunter, wenn der Lieferant es so gewählt hat (Wahlrecht).",
			form.ClassC: "Klasse C: Jahresverbrauch über 100 000 kWh.",
		},
		role: map[form.Role]string{
			form.MSB: "Messstellenbetreiber", form.LF: "Lieferant", form.NB: "Netzbetreiber", form.UENB: "Übertragungsnetzbetreiber", form.AB: "Anlagenbetreiber",
		},
	},
	"en": {
		title:     "Standard form after § 54 MsbG, edition %s, for the metering location\n%s.\nWhat is not on it does not leave the gateway.",
		location:  "Market location %s: %s, class %s",
		direction: map[form.Direction]string{form.Draw: "drawn from the grid", form.FeedIn: "fed into the grid"},
		columns:   []string{"ROW", "FROM → TO", "HOW OFTEN", "WHAT", "PURPOSE", "LAST SENT", "NEXT BY"},
		rhythm: map[form.Rhythm]string{
			form.EachMonth:      "monthly",
			form.EachWorkingDay: "every working day",
			form.OnEvent:        "once for an event",
			form.OnDemand:       "on demand",
		},
		from:   "The contract holds from %s on.",
		ended:  "The gateway has been out of service since %s and sends nothing any more.",
		every:  map[string]string{"1m": "every minute", "15m": "every 15 minutes"},
		point:  ".",
		across: "across %s kW",
		purpose: map[string]string{
			"Verbrauchsinformation nach § 40 Abs. 3 EnWG": "consumption information, § 40(3) EnWG", "Bilanzierung": "balancing", "Abrechnung": "billing",
			"Versorgungssicherheit": "security of supply", "Netzzustand nach § 56 MsbG": "state of the grid, § 56 MsbG",
		},
		kind: map[form.Kind]string{
			form.Energy: "energy", form.MaxPower: "maximum power", form.Register: "register", form.LoadProfile: "quarter-hour values",
			form.Momentary: "momentary power fed in",
		},
		register: map[obis.Code]string{obis.DrawnT1: "HT", obis.DrawnT2: "NT", obis.DrawnError: "without tariff"},
		grid:     "momentary voltage, current, frequency, angles",
		lastSent: "LAST SENT",
		notSent:  "When something was last sent is known by a gateway's journal; none was asked here.\n",
		clock:    "2006-01-02 15:04",
		day:      "2006-01-02",
		events:   "Events are: supply starts or ends, a device is built in, removed or taken over, parameters change.",
		passedOn: "The supplier passes the values of row 1 on to the final consumer.",
		class: map[form.Class]string{
			form.ClassA: "Class A: yearly use up to 10 000 kWh.",
			form.ClassB: "Class B: yearly use above 10 000 and up to 100 000 kWh, or less where the supplier chose so.",
			form.ClassC: "Class C: yearly use above 100 000 kWh.",
		},
		role: map[form.Role]string{
			form.MSB: "metering point operator", form.LF: "supplier", form.NB: "distribution network operator", form.UENB: "transmission system operator",
			form.AB: "operator of the generating plant",
		},
	},
}

// howOften says when a row is sent.
func (in words) howOften(r shownRow) string {
	o := r.Occasions
	if o == nil {
		return in.rhythm[r.rhythm]
	}
	var all []string
	if o.Every != "" {
		all = append(all, in.every[o.Every])
	}
	for _, threshold := range []string{o.Above, o.Below} {
		if threshold != "" {
			all = append(all, fmt.Sprintf(in.across, strings.Replace(threshold, ".", in.point, 1)))
		}
	}
	if r.Row != form.GridState {
		all = append(all, in.rhythm[r.rhythm])
	}
	return strings.Join(all, ", ")
}

// contents says what a row sends.
func (in words) contents(r shownRow) string {
	if r.Row == form.GridState {
		return in.grid
	}
	var all []string
	for _, v := range r.Values {
		what := in.kind[v.Kind]
		if tariff, ok := in.register[v.OBIS]; ok {
			what += " " + tariff
		}
		all = append(all, what)
	}
	return strings.Join(all, ", ")
}

// purposes says what a row is for.
func (in words) purposes(german string) string {
	if in.purpose == nil {
		return german
	}
	all := strings.Split(german, ", ")
	for i, p := range all {
		all[i] = in.purpose[p]
	}
	return strings.Join(all, ", ")
}
