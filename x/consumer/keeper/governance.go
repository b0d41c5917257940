package keeper

import (
	"context"
	"math/big"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

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

// VirtualVotes returns, by operator address, the shares of virtual delegations and which of them count in governance.
//
// Shares are known by validator. So only providers whose weight is not the one that most have are read delegation by
// delegation: in a chain that gives all the same weight, none.
func (k *Keeper) VirtualVotes(ctx context.Context) (map[string]types.VirtualVotes, error) {
	type votes struct {
		valAddr sdk.ValAddress
		shares  sdkmath.LegacyDec
		// counted is exact: shares · weight, 36 decimals.
		counted *big.Int
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	common := commonWeight(providers)
	byVal := map[string]votes{}
	err = k.VirtualShares.Walk(ctx, nil, func(valAddr []byte, shares sdkmath.LegacyDec) (bool, error) {
		operator, err := k.staking.ValidatorAddressCodec().BytesToString(valAddr)
		if err != nil {
			return true, err
		}
		byVal[operator] = votes{valAddr, shares, new(big.Int).Mul(shares.BigInt(), common.BigInt())}
		return false, nil
	})
	if err != nil || len(byVal) == 0 {
		return nil, err
	}
	for _, p := range providers {
		more := weight(p).Sub(common).BigInt()
		if more.Sign() == 0 {
			continue
		}
		account := types.VirtualAccount(p.Config.ProviderId)
		err := k.staking.IterateDelegatorDelegations(ctx, account, func(d stakingtypes.Delegation) bool {
			if v, ok := byVal[d.ValidatorAddress]; ok {
				v.counted.Add(v.counted, new(big.Int).Mul(d.Shares.BigInt(), more))
			}
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	out := make(map[string]types.VirtualVotes, len(byVal))
	for operator, v := range byVal {
		counted := sdkmath.LegacyNewDecFromBigIntWithPrec(v.counted.Quo(v.counted, oneDec), sdkmath.LegacyPrecision)
		counted = sdkmath.LegacyMinDec(sdkmath.LegacyMaxDec(counted, sdkmath.LegacyZeroDec()), v.shares)
		out[operator] = types.VirtualVotes{Operator: v.valAddr, Shares: v.shares, Counted: counted}
	}
	return out, nil
}

// oneDec is 1 as the decimals of the SDK hold it.
var oneDec = sdkmath.LegacyOneDec().BigInt()

// commonWeight returns the weight that most providers have; of several the one that comes to so many first.
func commonWeight(providers []types.Provider) sdkmath.LegacyDec {
	common, most, count := sdkmath.LegacyZeroDec(), 0, map[string]int{}
	for _, p := range providers {
		w := weight(p)
		key := w.String()
		if count[key]++; count[key] > most {
			common, most = w, count[key]
		}
	}
	return common
}

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
