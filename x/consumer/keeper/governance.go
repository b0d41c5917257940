package keeper

import (
	"context"
	"errors"
	"math/big"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// SetTallies sets what counts the votes on a proposal, for the query.
func (k *Keeper) SetTallies(tallies types.Tallies) { k.tallies = tallies }

// weight returns which part of a provider's virtual stake counts in governance: nothing once it is removed, since those
// who bound the sum of weights no longer count it.
func weight(p types.Provider) sdkmath.LegacyDec {
	if p.Status == types.PROVIDER_STATUS_REMOVED || p.Config.GovernanceWeight.IsNil() {
		return sdkmath.LegacyZeroDec()
	}
	return p.Config.GovernanceWeight
}

// weighed returns shares · weight exactly, with 36 decimals.
func weighed(shares, weight sdkmath.LegacyDec) *big.Int {
	return new(big.Int).Mul(shares.BigInt(), weight.BigInt())
}

// addCounted adds to what counts in governance of the virtual shares of a validator, and stops at zero: leaving must not
// fail for the sake of votes.
func (k *Keeper) addCounted(ctx context.Context, valAddr sdk.ValAddress, delta *big.Int) error {
	if delta.Sign() == 0 {
		return nil
	}
	bz, err := k.CountedShares.Get(ctx, valAddr)
	if err != nil && !errors.Is(err, collections.ErrNotFound) {
		return err
	}
	sum := new(big.Int).SetBytes(bz)
	if sum.Add(sum, delta).Sign() <= 0 {
		return k.CountedShares.Remove(ctx, valAddr)
	}
	return k.CountedShares.Set(ctx, valAddr, sum.Bytes())
}

// reweigh makes virtual stake count by a provider's new weight: one write for each of its delegations, which are at most
// max_validators_per_provider.
func (k *Keeper) reweigh(ctx sdk.Context, from, to types.Provider) error {
	more := weight(to).Sub(weight(from))
	if more.IsZero() {
		return nil
	}
	delegations, err := k.virtualDelegations(ctx, types.VirtualAccount(to.Config.ProviderId))
	if err != nil {
		return err
	}
	for _, d := range delegations {
		valAddr, err := k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress)
		if err != nil {
			return err
		}
		if err := k.addCounted(ctx, valAddr, weighed(d.Shares, more)); err != nil {
			return err
		}
	}
	return nil
}

// VirtualVotes returns, by operator address, the shares of virtual delegations and which of them count in governance,
// rounded down. Both are known by validator: no delegation is read.
func (k *Keeper) VirtualVotes(ctx context.Context) (map[string]types.VirtualVotes, error) {
	counted := map[string]sdkmath.LegacyDec{}
	err := k.CountedShares.Walk(ctx, nil, func(valAddr, bz []byte) (bool, error) {
		sum := new(big.Int).SetBytes(bz)
		counted[string(valAddr)] = sdkmath.LegacyNewDecFromBigIntWithPrec(sum.Quo(sum, oneDec), sdkmath.LegacyPrecision)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	votes := map[string]types.VirtualVotes{}
	err = k.VirtualShares.Walk(ctx, nil, func(valAddr []byte, shares sdkmath.LegacyDec) (bool, error) {
		operator, err := k.staking.ValidatorAddressCodec().BytesToString(valAddr)
		if err != nil {
			return true, err
		}
		counts, ok := counted[string(valAddr)]
		if !ok {
			counts = sdkmath.LegacyZeroDec()
		}
		votes[operator] = types.VirtualVotes{Operator: valAddr, Shares: shares, Counted: sdkmath.LegacyMinDec(counts, shares)}
		return false, nil
	})
	return votes, err
}

// oneDec is 1 as the decimals of the SDK hold it.
var oneDec = sdkmath.LegacyOneDec().BigInt()

// Tally implements types.QueryServer.
func (q queryServer) Tally(goCtx context.Context, req *types.QueryTallyRequest) (*types.QueryTallyResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	if q.k.tallies == nil {
		return nil, types.ErrGovNotConnected
	}
	return q.k.tallies(sdk.UnwrapSDKContext(goCtx), req.ProposalId)
}
