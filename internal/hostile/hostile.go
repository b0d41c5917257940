// Package hostile is a chain that lies to its allies, as a consumer and as a provider, to show and to test what it can do to
// them: not much. It is in no program that is released; meshd-hostile, below it, is meshd with the lies built in.
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

// BoastFactor is how many times the stake a hostile provider says it has.
const BoastFactor = 1_000

// BoastAccount is the account of a provider's lie. While it has an odd number of base units, the hostile chain says in every
// update that BoastFactor times as much is staked as is.
func BoastAccount() []byte { return address.Module("meshd-hostile", []byte("boast")) }
