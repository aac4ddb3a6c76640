package meter

import (
	"fmt"

	"smgw/meter/obis"
)

// Describe says in words what a register holds: "energy drawn, total". It is
// empty for a code that electricity meters here do not use.
func Describe(c obis.Code) string {
	if words, ok := registerWords[c]; ok {
		return words
	}
	if c[0] != 1 {
		return ""
	}
	words, ok := quantityWords[[2]byte{c[2], c[3]}]
	switch {
	case !ok:
		return ""
	case c[3] == 8 && c[4] == 0 && c[5] == 255:
		return words + ", total"
	case c[3] == 8 && c[4] == 0:
		if span, ok := spanWords[c[5]]; ok {
			return words + ", " + span
		}
	case c[3] == 8 && c[4] == 63:
		return words + ", of no tariff"
	case c[3] == 8:
		return fmt.Sprintf("%s, tariff %d", words, c[4])
	case c[4] == 0 && c[5] == 255:
		return words
	}
	return ""
}

// quantityWords names groups C and D of electricity (IEC 62056-6-1).
var quantityWords = map[[2]byte]string{
	{1, 8}: "energy drawn", {2, 8}: "energy fed in", {3, 8}: "reactive energy drawn", {4, 8}: "reactive energy fed in",
	{21, 8}: "energy drawn L1", {41, 8}: "energy drawn L2", {61, 8}: "energy drawn L3",
	{1, 7}: "power drawn", {2, 7}: "power fed in", {16, 7}: "power", {15, 7}: "power, without direction",
	{36, 7}: "power L1", {56, 7}: "power L2", {76, 7}: "power L3",
	{21, 7}: "power drawn L1", {41, 7}: "power drawn L2", {61, 7}: "power drawn L3",
	{32, 7}: "voltage L1", {52, 7}: "voltage L2", {72, 7}: "voltage L3",
	{31, 7}: "current L1", {51, 7}: "current L2", {71, 7}: "current L3", {91, 7}: "current of the neutral",
	{14, 7}: "frequency", {13, 7}: "power factor",
}

// spanWords names group F of the energies that modern meters show their owner.
var spanWords = map[byte]string{
	96: "last day", 97: "last 7 days", 98: "last 30 days", 99: "last 365 days", 100: "since last reset",
}

var registerWords = map[obis.Code]string{
	obis.ServerID: "identification", obis.ServerIDOld: "identification",
	{1, 0, 0, 0, 0, 255}: "identification", {0, 0, 96, 1, 255, 255}: "number given by the owner",
	obis.Maker: "maker", obis.MakerFNN: "maker", obis.PublicKey: "public key",
	{1, 0, 0, 2, 0, 0}: "firmware", {1, 0, 96, 90, 2, 1}: "firmware checksum",
	{1, 0, 96, 5, 0, 255}: "status",
	{1, 0, 81, 7, 1, 255}: "angle U L2 to U L1", {1, 0, 81, 7, 2, 255}: "angle U L3 to U L1",
	{1, 0, 81, 7, 4, 255}: "angle I L1 to U L1", {1, 0, 81, 7, 15, 255}: "angle I L2 to U L2",
	{1, 0, 81, 7, 26, 255}: "angle I L3 to U L3",
}
