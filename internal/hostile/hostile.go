// Package hostile is a consumer chain that lies, to show and to test what it can do to its providers: not much. It is in
// no program that is released; meshd-hostile, below it, is meshd with the lie built in.
package hostile

import (
	"github.com/cosmos/cosmos-sdk/types/address"
)

// LieUnit is how many base units sent to a validator's Account stand for the whole of its stake.
const LieUnit = 1_000_000

// Account is the account of a lie about a validator, by its raw operator address. In the block in which somebody sends
// n base units to it, the hostile chain writes into its slash logs that the validator was slashed n/LieUnit for downtime.
// Nothing has happened to the validator.
func Account(operator []byte) []byte { return address.Module("meshd-hostile", operator) }
