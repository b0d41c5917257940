package types

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
)

// VirtualVotes is what of a validator's shares is virtual stake, and what of that counts in governance.
type VirtualVotes struct {
	// Operator is the validator's address.
	Operator sdk.ValAddress
	// Shares are those of all virtual delegations.
	Shares sdkmath.LegacyDec
	// Counted is Σ shares · weight of all providers, rounded down: at most Shares.
	Counted sdkmath.LegacyDec
}

// Tallies counts the votes on a proposal in its voting period and changes nothing. Errors: ErrProposalNotFound,
// ErrProposalNotVoting.
type Tallies func(ctx context.Context, proposalID uint64) (*QueryTallyResponse, error)
