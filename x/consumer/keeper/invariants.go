package keeper

import (
	"context"
	"errors"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// CheckInvariants returns an error wrapping ErrInvariant unless everything that must hold after every block does.
func (k *Keeper) CheckInvariants(ctx context.Context) error {
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	return errors.Join(
		k.StateInvariant(sdkCtx),
		k.IndexInvariant(sdkCtx),
		k.VirtualSharesInvariant(sdkCtx),
		k.CountedSharesInvariant(sdkCtx),
		k.CapInvariant(sdkCtx),
		k.ClockInvariant(sdkCtx),
		k.RewardInvariant(sdkCtx),
	)
}

func broken(format string, args ...any) error {
	return errorsmod.Wrapf(types.ErrInvariant, format, args...)
}

// StateInvariant checks that the state is consistent in itself; above all, no seq is executed that was not received, and no amount
// is negative.
func (k *Keeper) StateInvariant(ctx sdk.Context) error {
	gs, err := k.ExportGenesis(ctx)
	if err != nil {
		return err
	}
	if err := gs.Validate(); err != nil {
		return broken("state: %s", err)
	}
	lastSeq := map[string]uint64{}
	for _, p := range gs.Providers {
		lastSeq[p.Config.ProviderId] = p.LastSeq
	}
	for _, d := range gs.Dirty {
		if d.State.InFlight > lastSeq[d.ProviderId] {
			return broken("%X is in flight to %s with seq %d, last sent %d", d.Validator, d.ProviderId, d.State.InFlight, lastSeq[d.ProviderId])
		}
	}
	return nil
}

// IndexInvariant checks that channels and accounts lead to their providers and nothing else.
func (k *Keeper) IndexInvariant(ctx sdk.Context) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	channels := 0
	for _, p := range providers {
		id := p.Config.ProviderId
		if got, err := k.Accounts.Get(ctx, types.VirtualAccount(id)); err != nil || got != id {
			return broken("account of %s leads to %q", id, got)
		}
		if p.ChannelId == "" {
			continue
		}
		channels++
		if got, err := k.Channels.Get(ctx, p.ChannelId); err != nil || got != id {
			return broken("channel %s of %s leads to %q", p.ChannelId, id, got)
		}
	}
	err = k.Channels.Walk(ctx, nil, func(string, string) (bool, error) { channels--; return false, nil })
	if err != nil {
		return err
	}
	if channels != 0 {
		return broken("%d channels too few in the index", channels)
	}
	return nil
}

// VirtualSharesInvariant checks that the shares kept by validator and by provider are those of the providers' delegations; so virtual stake is on
// the derived accounts only, and the native supply is the supply of x/bank less the virtual one.
func (k *Keeper) VirtualSharesInvariant(ctx sdk.Context) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	sums := map[string]sdkmath.LegacyDec{}
	var delegations []stakingtypes.Delegation
	for _, p := range providers {
		first := len(delegations)
		err := k.staking.IterateDelegatorDelegations(ctx, types.VirtualAccount(p.Config.ProviderId), func(d stakingtypes.Delegation) bool {
			delegations = append(delegations, d)
			return false
		})
		if err != nil {
			return err
		}
		held := sdkmath.LegacyZeroDec()
		for _, d := range delegations[first:] {
			held = held.Add(d.Shares)
		}
		shares, err := sharesOf(ctx, k.ProviderShares, p.Config.ProviderId)
		if err != nil {
			return err
		}
		if !held.Equal(shares) {
			return broken("virtual shares of %s are %s, delegated are %s", p.Config.ProviderId, shares, held)
		}
	}
	for _, d := range delegations {
		val, err := k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress)
		if err != nil {
			return err
		}
		if sum, ok := sums[string(val)]; ok {
			sums[string(val)] = sum.Add(d.Shares)
		} else {
			sums[string(val)] = d.Shares
		}
	}
	err = k.VirtualShares.Walk(ctx, nil, func(val []byte, shares sdkmath.LegacyDec) (bool, error) {
		sum, ok := sums[string(val)]
		if !ok || !sum.Equal(shares) {
			return true, broken("virtual shares of %s are %s, delegated are %v", k.valString(val), shares, sum)
		}
		delete(sums, string(val))
		return false, nil
	})
	if err != nil {
		return err
	}
	if len(sums) != 0 {
		return broken("%d validators have virtual delegations that are not counted", len(sums))
	}
	return nil
}

// CapInvariant checks that, once a plan has run without failure, the virtual stake of each provider is within the cap that the plan
// had, to a token per validator for rounding.
func (k *Keeper) CapInvariant(ctx sdk.Context) error {
	epoch, err := k.Epoch.Get(ctx)
	if err != nil {
		return err
	}
	empty, err := k.planEmpty(ctx)
	if err != nil || !empty || epoch.Failed > 0 {
		return err
	}
	v, err := k.newView(ctx)
	if err != nil {
		return err
	}
	for _, p := range v.providers {
		if limit := p.Cap.AddRaw(int64(len(p.current))); p.total.GT(limit) {
			return broken("virtual stake of %s is %s, cap %s", p.id(), p.total, p.Cap)
		}
	}
	return nil
}

// ClockInvariant checks that no provider's totals are known up to a time to come, and no cursor is left behind.
func (k *Keeper) ClockInvariant(ctx sdk.Context) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		if p.SyncedAt.After(ctx.BlockTime()) {
			return broken("%s is synced at %s, now is %s", p.Config.ProviderId, p.SyncedAt, ctx.BlockTime())
		}
		if !p.Marking && len(p.MarkCursor) > 0 {
			return broken("%s has a cursor but marks nothing", p.Config.ProviderId)
		}
	}
	return nil
}
