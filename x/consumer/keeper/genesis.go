package keeper

import (
	"errors"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// InitGenesis stores the genesis state, and registers the validators that x/staking has and the state does not.
//
// CONTRACT: x/staking's genesis state is in place.
func (k *Keeper) InitGenesis(ctx sdk.Context, gs types.GenesisState) error {
	if err := gs.Validate(); err != nil {
		return err
	}
	if gs.Epoch.Start.IsZero() {
		gs.Epoch.Start = ctx.BlockTime()
	}
	if err := errors.Join(k.Params.Set(ctx, gs.Params), k.Epoch.Set(ctx, gs.Epoch)); err != nil {
		return err
	}
	for _, p := range gs.Providers {
		id, account := p.Config.ProviderId, types.VirtualAccount(p.Config.ProviderId)
		if err := errors.Join(k.setProvider(ctx, p), k.Accounts.Set(ctx, account, id)); err != nil {
			return err
		}
		if p.ChannelId != "" {
			if err := k.Channels.Set(ctx, p.ChannelId, id); err != nil {
				return err
			}
		}
		k.ownAccount(ctx, account)
		k.ownAccount(ctx, types.RewardAccount(id))
		if err := k.deriveShares(ctx, p); err != nil {
			return err
		}
	}
	for _, r := range gs.Prices {
		if err := k.Prices.Set(ctx, r.ProviderId, r.Price); err != nil {
			return err
		}
	}
	if err := k.importPrices(ctx, gs); err != nil {
		return err
	}
	for _, r := range gs.Stakes {
		if err := k.Stakes.Set(ctx, collections.Join(r.ProviderId, r.Validator), r.Record); err != nil {
			return err
		}
	}
	for _, r := range gs.Plan {
		if err := k.Plan.Set(ctx, collections.Join3(r.Increase, r.Validator, r.ProviderId), r.Target); err != nil {
			return err
		}
	}
	for _, r := range gs.Validators {
		if err := k.Validators.Set(ctx, r.Validator, r.State); err != nil {
			return err
		}
	}
	for _, val := range gs.Changed {
		if err := k.Changed.Set(ctx, val); err != nil {
			return err
		}
	}
	for _, r := range gs.Dirty {
		if err := k.Dirty.Set(ctx, collections.Join(r.ProviderId, r.Validator), r.State); err != nil {
			return err
		}
	}
	for _, val := range gs.Strays {
		if err := k.Strays.Set(ctx, val); err != nil {
			return err
		}
	}
	for _, r := range gs.Heights {
		if err := k.Heights.Set(ctx, r.Height, r.Time); err != nil {
			return err
		}
	}
	for _, r := range gs.SlashLog {
		if err := k.SlashLog.Set(ctx, collections.Join(r.ProviderId, r.Record.Entry.Index), r.Record); err != nil {
			return err
		}
	}
	if err := k.Flows.Import(ctx, gs.Flows); err != nil {
		return err
	}
	if err := k.importRewards(ctx, gs); err != nil {
		return err
	}
	if err := k.seedValidators(ctx); err != nil {
		return err
	}
	return k.cacheSupply(ctx)
}

// deriveShares adds a provider's virtual delegations to the shares by validator and by provider.
func (k *Keeper) deriveShares(ctx sdk.Context, p types.Provider) error {
	providerID := p.Config.ProviderId
	delegations, err := k.virtualDelegations(ctx, types.VirtualAccount(providerID))
	if err != nil {
		return err
	}
	for _, d := range delegations {
		valAddr, err := k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress)
		if err != nil {
			return err
		}
		if err := k.addCounted(ctx, valAddr, weighed(d.Shares, weight(p))); err != nil {
			return err
		}
		if err := addShares(ctx, k.VirtualShares, valAddr, d.Shares); err != nil {
			return err
		}
		if err := addShares(ctx, k.ProviderShares, providerID, d.Shares); err != nil {
			return err
		}
	}
	return nil
}

// ExportGenesis returns the module's state. What is derived from x/staking's state, and indexes, are left out.
func (k *Keeper) ExportGenesis(ctx sdk.Context) (*types.GenesisState, error) {
	gs := &types.GenesisState{}
	var err error
	if gs.Params, err = k.Params.Get(ctx); err != nil {
		return nil, err
	}
	if gs.Epoch, err = k.Epoch.Get(ctx); err != nil {
		return nil, err
	}
	if gs.Providers, err = k.allProviders(ctx); err != nil {
		return nil, err
	}
	if gs.Flows, err = k.Flows.Export(ctx); err != nil {
		return nil, err
	}
	if err := k.exportRewards(ctx, gs); err != nil {
		return nil, err
	}
	err = errors.Join(
		k.Prices.Walk(ctx, nil, func(id string, price types.PostedPrice) (bool, error) {
			gs.Prices = append(gs.Prices, types.PriceRecord{ProviderId: id, Price: price})
			return false, nil
		}),
		k.PricePosts.Walk(ctx, nil, func(key stakeKey, p types.PostedPrice) (bool, error) {
			gs.PricePosts = append(gs.PricePosts, types.PricePostEntry{
				ProviderId: key.K1(), Feeder: key.K2(), Price: p.Price, PostedAt: p.PostedAt,
			})
			return false, nil
		}),
		k.PriceObservations.Walk(ctx, nil, func(key observationKey, o types.PriceObservation) (bool, error) {
			gs.PriceObservations = append(gs.PriceObservations, types.PriceObservationEntry{
				ProviderId: key.K1(), Time: key.K2(), Observation: o,
			})
			return false, nil
		}),
		k.ProvedHeights.Walk(ctx, nil, func(id string, height meshtypes.Height) (bool, error) {
			gs.ProvedHeights = append(gs.ProvedHeights, types.ProvedHeightEntry{ProviderId: id, Height: height})
			return false, nil
		}),
		k.Stakes.Walk(ctx, nil, func(key stakeKey, rec types.StakeRecord) (bool, error) {
			gs.Stakes = append(gs.Stakes, types.StakeEntry{ProviderId: key.K1(), Validator: key.K2(), Record: rec})
			return false, nil
		}),
		k.Plan.Walk(ctx, nil, func(key planKey, target types.Target) (bool, error) {
			gs.Plan = append(gs.Plan, types.PlanEntry{Increase: key.K1(), ProviderId: key.K3(), Validator: key.K2(), Target: target})
			return false, nil
		}),
		k.Validators.Walk(ctx, nil, func(val []byte, state types.ValidatorState) (bool, error) {
			gs.Validators = append(gs.Validators, types.ValidatorEntry{Validator: val, State: state})
			return false, nil
		}),
		k.Dirty.Walk(ctx, nil, func(key stakeKey, state types.DirtyValidator) (bool, error) {
			gs.Dirty = append(gs.Dirty, types.DirtyEntry{ProviderId: key.K1(), Validator: key.K2(), State: state})
			return false, nil
		}),
		k.Changed.Walk(ctx, nil, func(val []byte) (bool, error) {
			gs.Changed = append(gs.Changed, val)
			return false, nil
		}),
		k.Strays.Walk(ctx, nil, func(val []byte) (bool, error) {
			gs.Strays = append(gs.Strays, val)
			return false, nil
		}),
		k.Heights.Walk(ctx, nil, func(height int64, at uint64) (bool, error) {
			gs.Heights = append(gs.Heights, types.HeightRecord{Height: height, Time: at})
			return false, nil
		}),
		k.SlashLog.Walk(ctx, nil, func(key slashKey, record types.SlashRecord) (bool, error) {
			gs.SlashLog = append(gs.SlashLog, types.SlashLogEntry{ProviderId: key.K1(), Record: record})
			return false, nil
		}),
	)
	return gs, err
}

// PrepareForZeroHeight drops what refers to heights of this chain, which is exported to start anew at height zero.
func (k *Keeper) PrepareForZeroHeight(ctx sdk.Context) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		p.DroppedHeight = meshtypes.Height{}
		if err := k.setProvider(ctx, p); err != nil {
			return err
		}
	}
	return errors.Join(k.Flows.Clear(ctx), k.Heights.Clear(ctx, nil))
}
