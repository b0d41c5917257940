package types

import (
	"bytes"
	"cmp"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
)

// validateRewards checks reward indices, books and settled rewards against one another. CONTRACT: pools and positions were
// checked.
func (g GenesisState) validateRewards(known func(string) error) error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidGenesis, format, args...) }
	type key struct{ clientID, denom string }
	accrued, unsettled := map[key]sdkmath.Int{}, map[key]sdkmath.Int{}
	add := func(m map[key]sdkmath.Int, k key, x sdkmath.Int) {
		if sum, found := m[k]; found {
			x = x.Add(sum)
		}
		m[k] = x
	}
	pools := map[uint64]Pool{}
	for _, r := range g.Pools {
		if len(r.Pool.Rewards) > MaxPoolDenoms {
			return bad("pool %d earned in %d denoms", r.Id, len(r.Pool.Rewards))
		}
		for i, w := range r.Pool.Rewards {
			if sdk.ValidateDenom(w.Denom) != nil || r.Pool.RewardIndex(w.Denom) != i || w.Index.IsNil() || !w.Index.IsPositive() || w.Index.BigInt().BitLen() > maxIndexBits {
				return bad("pool %d: reward in %q is there twice, or its denom or index is invalid", r.Id, w.Denom)
			}
		}
		pools[r.Id] = r.Pool
	}
	for _, r := range g.Positions {
		p := pools[r.PoolId]
		if len(r.Position.RewardIndices) > len(p.Rewards) {
			return bad("position of %X in pool %d was settled in denoms that the pool did not earn", r.Delegator, r.PoolId)
		}
		for i, index := range r.Position.RewardIndices {
			if index.IsNil() || index.IsNegative() || index.GT(p.Rewards[i].Index) {
				return bad("position of %X in pool %d: reward index is missing, negative or in the future", r.Delegator, r.PoolId)
			}
		}
		for _, e := range p.EarnedBy(r.Position.Shares, r.Position) {
			add(unsettled, key{p.ClientId, e.Denom}, e.Scaled)
		}
	}
	for i, a := range g.Accrued {
		if err := known(a.ClientId); err != nil {
			return err
		}
		if len(a.Delegator) == 0 || len(a.Validator) == 0 || sdk.ValidateDenom(a.Denom) != nil || a.Amount.IsNil() || !a.Amount.IsPositive() {
			return bad("settled reward of %X has no delegator, validator, denom or amount", a.Delegator)
		}
		if i > 0 && !accruedBefore(g.Accrued[i-1], a) {
			return bad("settled rewards are not in order, or one is there twice")
		}
		add(accrued, key{a.ClientId, a.Denom}, a.Amount)
	}
	for i, b := range g.RewardBooks {
		if err := known(b.ClientId); err != nil {
			return err
		}
		if i > 0 {
			last := g.RewardBooks[i-1]
			if cmp.Or(cmp.Compare(last.ClientId, b.ClientId), cmp.Compare(last.Denom, b.Denom)) >= 0 {
				return bad("reward books are not in order, or one is there twice")
			}
		}
		if err := b.Book.validate(); err != nil {
			return errorsmod.Wrapf(err, "%s in %s", b.ClientId, b.Denom)
		}
		at := key{b.ClientId, b.Denom}
		for _, sum := range []struct {
			m    map[key]sdkmath.Int
			want sdkmath.Int
		}{{accrued, b.Book.Accrued}, {unsettled, b.Book.Unsettled}} {
			have, found := sum.m[at]
			if !found {
				have = sdkmath.ZeroInt()
			}
			if !have.Equal(sum.want) {
				return bad("rewards of %s in %s: records sum up to %s, the book says %s", b.ClientId, b.Denom, have, sum.want)
			}
			delete(sum.m, at)
		}
	}
	if len(accrued)+len(unsettled) > 0 {
		return bad("rewards without a book")
	}
	return nil
}

// accruedBefore says whether a comes before b, in the order of the store's keys: parts that are not the last come after
// their length or end with a zero byte.
func accruedBefore(a, b AccruedReward) bool {
	return cmp.Or(
		cmp.Compare(len(a.Delegator), len(b.Delegator)), bytes.Compare(a.Delegator, b.Delegator),
		cmp.Compare(a.ClientId, b.ClientId),
		cmp.Compare(len(a.Validator), len(b.Validator)), bytes.Compare(a.Validator, b.Validator),
		cmp.Compare(a.Denom, b.Denom),
	) < 0
}
