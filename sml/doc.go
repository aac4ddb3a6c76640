// Package sml reads and writes the Smart Message Language (BSI TR-03109-1
// Anlage IV, IEC 62056-5-3-8), in which German electricity meters speak.
package sml
