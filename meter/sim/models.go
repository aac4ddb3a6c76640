package sim

import (
	"fmt"
	"strings"

	"smgw/meter/obis"
	"smgw/sml"
)

// signature stands for a public key, which older meters send with each
// telegram. It holds an escape sequence, so that every such telegram has one
// to be doubled in its payload.
const signature = "\x28\xab\xdb\xf4\x1b\x1b\x1b\x1b\x33\xec\x38\xbd\x9c\x0e\x0a\x79\x03\x0d\xa5\xf4\xa4\xd7\x39\x5f" +
	"\x69\x52\xef\x7a\x0b\x0f\xf3\xfc\xd1\x37\xf8\x66\xd1\x14\x15\x4c\xf0\xa9\x52\x42\xde\xaa\xb1\x7d"

var (
	voltageL1 = obis.Code{1, 0, 32, 7, 0, 255}
	voltageL2 = obis.Code{1, 0, 52, 7, 0, 255}
	voltageL3 = obis.Code{1, 0, 72, 7, 0, 255}
)

// Models are all models, the default first.
var Models = []*Model{
	{
		Name: "mme", About: "current basic meter (mME) with PIN, two directions",
		Device:  "\x0a\x01SIM\x00\x00\x00\x00\x01",
		version: 1, refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, status: fnn4},
			{code: obis.FedIn, is: fedIn, scaler: -1},
			{code: obis.Power, is: power, signed: true},
		},
	},
	{
		Name: "two-tariff", About: "current basic meter that keeps two tariffs",
		Device:  "\x0a\x01SIM\x00\x00\x00\x00\x02",
		version: 1, refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, status: fnn4},
			{code: obis.DrawnT1, is: drawnT1, scaler: -1},
			{code: obis.DrawnT2, is: drawnT2, scaler: -1},
			{code: obis.Power, is: power, signed: true},
		},
	},
	{
		Name: "feed-in", About: "meter of a plant that counts only what is fed in",
		Device:  "\x0a\x01SIM\x00\x00\x00\x00\x03",
		version: 1, refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.FedIn, is: fedIn, scaler: -1, status: fnn4},
			{code: obis.Power, is: power, signed: true},
		},
	},
	{
		Name: "emh", About: "EMH eHZ-IW8E: 40-bit registers, an entry without a value, 16-bit tags",
		Device:  "\x06EMH\x01\x07\x19\x00\x00\x01",
		tagSize: 2, listName: true,
		list: []register{
			{code: obis.Maker, is: constant, octets: "EMH"},
			{code: obis.ServerIDOld, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, width: 5, signed: true, status: vendor3},
			{code: obis.DrawnT1, is: drawnT1, scaler: -1, width: 5, signed: true},
			{code: obis.DrawnT2, is: drawnT2, scaler: -1, width: 5, signed: true},
			{code: obis.Power, is: power, scaler: -1, width: 4, signed: true},
			{code: obis.PublicKey, is: constant, octets: signature},
			{code: obis.Code{1, 0, 96, 50, 2, 6}, is: nothing, time: listTime},
		},
	},
	{
		Name: "emh-ed300l", About: "EMH ED300L: direction of its power only in bit 5 of a status",
		Device: "\x06EMH\x01\x02\x71\x00\x00\x01",
		list: []register{
			{code: obis.Maker, is: constant, octets: "EMH"},
			{code: obis.ServerIDOld, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, width: 5, signed: true, status: bit5},
			{code: obis.FedIn, is: fedIn, scaler: -1, width: 5, signed: true},
			{code: obis.PowerAbs, is: powerAmount, scaler: -1, width: 4, signed: true},
			{code: obis.PublicKey, is: constant, octets: signature},
		},
	},
	{
		Name: "emh-ehz361", About: "EMH eHZ361 of a plant: 1-0:2.8.1 alone, its power as 1-0:1.7.1 with a sign",
		Device: "1000001",
		list: []register{
			{code: obis.Maker, is: constant, octets: "HAGER"},
			{code: obis.Code{1, 0, 0, 0, 0, 255}, is: device},
			{code: obis.Code{1, 0, 2, 8, 1, 255}, is: fedIn, scaler: -1, width: 8, status: vendor3},
			{code: obis.PowerDrawn1, is: power, scaler: -4, width: 4, signed: true, status: vendor3},
		},
	},
	{
		Name: "iskra", About: "Iskra MT631 with PIN: values as narrow as they are",
		Device:  "\x0a\x01ISK\x00\x04\x00\x00\x01",
		version: 1, refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, status: fnn4},
			{code: obis.FedIn, is: fedIn, scaler: -1},
			{code: obis.Power, is: power, signed: true},
		},
	},
	{
		Name: "iskra-mt175", About: "Iskra MT175: 64-bit registers, power of each phase",
		Device:   "\x09\x01ISK\x00\x04\x00\x00\x02",
		listName: true,
		list: []register{
			{code: obis.Maker, is: constant, octets: "ISK"},
			{code: obis.ServerIDOld, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, width: 8, signed: true, status: vendor4},
			{code: obis.FedIn, is: fedIn, scaler: -1, width: 8, signed: true},
			{code: obis.Power, is: power, width: 4, signed: true},
			{code: obis.PowerL1, is: powerL1, width: 4, signed: true},
			{code: obis.PowerL2, is: powerL2, width: 4, signed: true},
			{code: obis.PowerL3, is: powerL3, width: 4, signed: true},
			{code: obis.PublicKey, is: constant, octets: signature},
		},
	},
	{
		Name: "dzg-old", About: "DZG DVS74 in a serial range that calls unsigned power signed",
		Device:  "\x0a\x01DZG\x00\x02\x82\x00\x01", // number 42,074,113
		version: 2, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker, time: zeroTime},
			{code: obis.ServerID, is: device, time: zeroTime},
			{code: obis.Drawn, is: drawn, scaler: -1, status: fnn3Drawing, time: zeroTime},
			{code: obis.FedIn, is: fedIn, scaler: -1, time: zeroTime},
			{code: obis.Power, is: powerDZG, scaler: -2, time: zeroTime},
		},
	},
	{
		Name: "dzg", About: "DZG DWSB20: signed power that is signed",
		Device:  "\x0a\x01DZG\x00\x02\x63\x00\x01", // number 40,042,497
		version: 2, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker, time: zeroTime},
			{code: obis.ServerID, is: device, time: zeroTime},
			{code: obis.Drawn, is: drawn, scaler: -1, signed: true, status: fnn3, time: listTime},
			{code: obis.FedIn, is: fedIn, scaler: -1, signed: true, time: listTime},
			{code: obis.Power, is: power, scaler: -2, signed: true, time: zeroTime},
		},
	},
	{
		Name: "holley", About: "Holley DTZ541: times without their list, 16-bit tags",
		Device: "\x0a\x01HLY\x02\x00\x00\x00\x01", tagSize: 2, noTime: true,
		list: holley,
	},
	{
		Name: "holley-kermit", About: "Holley DTZ541 over RS-485: CRC-16/Kermit on frame and messages",
		Device: "\x0a\x01HLY\x02\x00\x00\x00\x02", tagSize: 2, noTime: true,
		frame: sml.Kermit, messages: sml.Kermit,
		list: holley,
	},
	{
		Name: "holley-kermit-frame", About: "Holley DTZ541 over RS-485: CRC-16/Kermit on the frame alone",
		Device: "\x0a\x01HLY\x02\x00\x00\x00\x03", tagSize: 2, noTime: true,
		frame: sml.Kermit,
		list:  holley,
	},
	{
		Name: "easymeter", About: "EasyMeter Q3A: 64-bit registers of 0.1 mWh, voltages",
		Device:   "\x09\x01ESY\x11\x03\x00\x00\x01",
		listName: true,
		list: []register{
			{code: obis.Maker, is: constant, octets: "ESY"},
			{code: obis.ServerIDOld, is: device},
			{code: obis.Drawn, is: drawn, scaler: -4, width: 8, signed: true, status: vendor3},
			{code: obis.FedIn, is: fedIn, scaler: -4, width: 8, signed: true, status: vendor3},
			{code: obis.Power, is: power, scaler: -2, width: 8, signed: true},
			{code: obis.PowerL1, is: powerL1, scaler: -2, width: 8, signed: true},
			{code: obis.PowerL2, is: powerL2, scaler: -2, width: 8, signed: true},
			{code: obis.PowerL3, is: powerL3, scaler: -2, width: 8, signed: true},
			{code: obis.PublicKey, is: constant, octets: signature},
			{code: voltageL1, is: voltage, scaler: -1, width: 2},
			{code: voltageL2, is: voltage, scaler: -1, width: 2},
			{code: voltageL3, is: voltage, scaler: -1, width: 2},
		},
	},
	{
		Name: "ebz", About: "eBZ DD3 without PIN: whole kWh, no power",
		Device: "\x09\x01EBZ\x01\x00\x00\x00\x01",
		list: []register{
			{code: obis.Maker, is: constant, octets: "EBZ"},
			{code: obis.ServerIDOld, is: device},
			{code: obis.Drawn, is: drawn, scaler: 3, width: 4, status: vendor3},
			{code: obis.FedIn, is: fedIn, scaler: 3, width: 4, status: vendor3},
		},
	},
	{
		Name: "itron", About: "ITRON OpenWay 3.HZ without PIN: whole kWh, no power",
		Device:  "\x0a\x01ITR\x00\x03\x00\x00\x01",
		refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.Drawn, is: drawn, scaler: 3, width: 8, status: fnn4},
			{code: obis.FedIn, is: fedIn, scaler: 3, width: 8},
		},
	},
	{
		Name: "itron-pin", About: "ITRON OpenWay 3.HZ with its PIN entered",
		Device:  "\x0a\x01ITR\x00\x03\x00\x00\x02",
		refTime: true, listName: true,
		list: []register{
			{code: obis.MakerFNN, is: maker},
			{code: obis.ServerID, is: device},
			{code: obis.Drawn, is: drawn, scaler: -1, width: 8, status: fnn4},
			{code: obis.FedIn, is: fedIn, scaler: -1, width: 8},
			{code: obis.Power, is: power, signed: true, width: 4},
		},
	},
}

var holley = []register{
	{code: obis.MakerFNN, is: maker},
	{code: obis.ServerID, is: device},
	{code: obis.Drawn, is: drawn, scaler: -1, status: fnn4, time: bareTime},
	{code: obis.FedIn, is: fedIn, scaler: -1, status: fnn4, time: bareTime},
	{code: obis.Power, is: power, signed: true},
	{code: voltageL1, is: voltage, scaler: -1},
	{code: voltageL2, is: voltage, scaler: -1},
	{code: voltageL3, is: voltage, scaler: -1},
	{code: obis.Code{1, 0, 31, 7, 0, 255}, is: current, scaler: -2},
	{code: obis.Code{1, 0, 51, 7, 0, 255}, is: current, scaler: -2},
	{code: obis.Code{1, 0, 71, 7, 0, 255}, is: current, scaler: -2},
	{code: obis.Code{1, 0, 81, 7, 1, 255}, is: angle},
	{code: obis.Code{1, 0, 81, 7, 2, 255}, is: angle},
	{code: obis.Code{1, 0, 81, 7, 4, 255}, is: angle},
	{code: obis.Code{1, 0, 81, 7, 15, 255}, is: angle},
	{code: obis.Code{1, 0, 81, 7, 26, 255}, is: angle},
	{code: obis.Code{1, 0, 14, 7, 0, 255}, is: frequency, scaler: -1},
	{code: obis.Code{1, 0, 0, 2, 0, 0}, is: constant, octets: "1.02.007"},
	{code: obis.Code{1, 0, 96, 5, 0, 255}, is: statusNumber},
}

// FindModel returns the model of a name.
func FindModel(name string) (*Model, error) {
	names := make([]string, len(Models))
	for i, m := range Models {
		if m.Name == name {
			return m, nil
		}
		names[i] = m.Name
	}
	return nil, fmt.Errorf("model %q is unknown: want one of %s", name, strings.Join(names, ", "))
}
