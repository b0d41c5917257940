package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// allProviders returns all providers, removed ones included, in the order of their ids.
func (k *Keeper) allProviders(ctx context.Context) (providers []types.Provider, err error) {
	err = k.Providers.Walk(ctx, nil, func(_ string, p types.Provider) (bool, error) {
		providers = append(providers, p)
		return false, nil
	})
	return providers, err
}

// GetProvider returns a provider, or ErrProviderNotFound.
func (k *Keeper) GetProvider(ctx context.Context, providerID string) (types.Provider, error) {
	p, err := k.Providers.Get(ctx, providerID)
	if errors.Is(err, collections.ErrNotFound) {
		return p, errorsmod.Wrap(types.ErrProviderNotFound, providerID)
	}
	return p, err
}

// liveProvider returns a provider that is not removed. Errors: ErrProviderNotFound, ErrProviderRemoved.
func (k *Keeper) liveProvider(ctx context.Context, providerID string) (types.Provider, error) {
	p, err := k.GetProvider(ctx, providerID)
	if err == nil && p.Status == types.PROVIDER_STATUS_REMOVED {
		err = errorsmod.Wrap(types.ErrProviderRemoved, providerID)
	}
	return p, err
}

func (k *Keeper) setProvider(ctx context.Context, p types.Provider) error {
	return k.Providers.Set(ctx, p.Config.ProviderId, p)
}

// checkConfig checks a configuration, valid in itself, against the IBC client, this chain, and the other providers.
func (k *Keeper) checkConfig(ctx sdk.Context, config types.ProviderConfig) error {
	if config.ChainId == ctx.ChainID() {
		return errorsmod.Wrap(types.ErrOwnChainID, config.ChainId)
	}
	if k.clients == nil {
		return types.ErrNotConnected
	}
	client, ok := k.clients.GetClientState(ctx, config.ProviderId)
	if !ok {
		return errorsmod.Wrap(types.ErrClientNotFound, config.ProviderId)
	}
	tracks, ok := client.(interface{ GetChainID() string })
	if !ok {
		return errorsmod.Wrapf(types.ErrClientChainID, "a %s client has no chain id", client.ClientType())
	}
	if tracks.GetChainID() != config.ChainId {
		return errorsmod.Wrapf(types.ErrClientChainID, "%q, not %q", tracks.GetChainID(), config.ChainId)
	}

	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	if err := k.checkFeed(ctx, params, config); err != nil {
		return err
	}
	if err := meshtypes.CheckTransferClient(ctx, k.clientsV2, config.RewardChannel); err != nil {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	together := []types.ProviderConfig{config}
	for _, p := range providers {
		if p.Status == types.PROVIDER_STATUS_REMOVED || p.Config.ProviderId == config.ProviderId {
			continue
		}
		if p.Config.ChainId == config.ChainId {
			return errorsmod.Wrapf(types.ErrChainIDTaken, "%s is %s", p.Config.ProviderId, p.Config.ChainId)
		}
		together = append(together, p.Config)
	}
	if len(together) > int(params.MaxProviders) {
		return errorsmod.Wrapf(types.ErrTooManyProviders, "at most %d", params.MaxProviders)
	}
	veto, err := k.vetoThreshold(ctx)
	if err != nil {
		return err
	}
	return types.ValidateTogether(together, veto)
}

func (k *Keeper) vetoThreshold(ctx context.Context) (sdkmath.LegacyDec, error) {
	if k.vetoQuorum == nil {
		return sdkmath.LegacyOneDec().QuoInt64(3), nil
	}
	return k.vetoQuorum(ctx)
}

// AddProvider registers a provider, or registers a removed one anew: with a new half of the session, and nothing known
// of what came from it before. Virtual stake still there leaves unless it is reported again.
func (k *Keeper) AddProvider(ctx sdk.Context, config types.ProviderConfig) error {
	old, err := k.GetProvider(ctx, config.ProviderId)
	known := err == nil
	if err != nil && !errors.Is(err, types.ErrProviderNotFound) {
		return err
	}
	if known && old.Status != types.PROVIDER_STATUS_REMOVED {
		return errorsmod.Wrap(types.ErrProviderExists, config.ProviderId)
	}
	if err := k.checkConfig(ctx, config); err != nil {
		return err
	}
	if err := k.checkTransport(ctx, old.ChannelId, config); err != nil {
		return err
	}

	p := types.NewProvider(config, ctx.BlockTime())
	if known {
		p.Session.Provider, p.Cap = old.Session.Provider, old.Cap
		p.Session.Consumer = max(p.Session.Consumer, old.Session.Consumer+1)
		if p.ChannelId = old.ChannelId; p.ChannelId != "" {
			p.Status = types.PROVIDER_STATUS_ACTIVE
		}
		if p.Stakes, err = k.forgetStakes(ctx, config.ProviderId); err != nil {
			return err
		}
		if p.DroppedHeight = old.DroppedHeight; old.Stakes > 0 {
			p.DroppedHeight = ownHeight(ctx)
		}
		if err := k.forgetSlashes(ctx, config.ProviderId); err != nil {
			return err
		}
		if err := k.forgetPrices(ctx, config.ProviderId); err != nil {
			return err
		}
		if err := k.Dirty.Clear(ctx, collections.NewPrefixedPairRange[string, []byte](config.ProviderId)); err != nil {
			return err
		}
	}
	account := types.VirtualAccount(config.ProviderId)
	k.ownAccount(ctx, account)
	k.ownAccount(ctx, types.RewardAccount(config.ProviderId))
	if err := k.Accounts.Set(ctx, account, config.ProviderId); err != nil {
		return err
	}
	if known {
		if err := k.reweigh(ctx, old, p); err != nil {
			return err
		}
	}
	text, err := k.accounts.AddressCodec().BytesToString(account)
	if err != nil {
		return err
	}
	k.emit(ctx, &types.EventProviderAdded{ProviderId: config.ProviderId, ChainId: config.ChainId, Account: text})
	if p, err = k.changeTransport(ctx, p, types.ProviderConfig{}); err != nil {
		return err
	}
	return k.setProvider(ctx, p)
}

// UpdateProvider replaces a provider's configuration. What was posted belongs to the denom and the feed: with another one
// it goes. The price in force goes only with the denom; until a price is posted targets do not rise.
func (k *Keeper) UpdateProvider(ctx sdk.Context, config types.ProviderConfig) error {
	p, err := k.liveProvider(ctx, config.ProviderId)
	if err != nil {
		return err
	}
	if err := k.checkConfig(ctx, config); err != nil {
		return err
	}
	if config.CounterpartyClient != p.Config.CounterpartyClient {
		if err := k.checkTransport(ctx, p.ChannelId, config); err != nil {
			return err
		}
	}
	if config.CollateralDenom != p.Config.CollateralDenom {
		p.Price = sdkmath.LegacyZeroDec()
	}
	if err := k.feedChanged(ctx, p.Config, config); err != nil {
		return err
	}
	old := p
	p.Config = config
	if err := k.reweigh(ctx, old, p); err != nil {
		return err
	}
	k.emit(ctx, &types.EventProviderUpdated{ProviderId: config.ProviderId})
	if p, err = k.changeTransport(ctx, p, old.Config); err != nil {
		return err
	}
	return k.setProvider(ctx, p)
}

// RemoveProvider makes all virtual stake of a provider leave at the next epoch.
func (k *Keeper) RemoveProvider(ctx sdk.Context, providerID string) error {
	p, err := k.liveProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if err := k.dropPlan(ctx, providerID, true); err != nil {
		return err
	}
	return k.setStatus(ctx, p, types.PROVIDER_STATUS_REMOVED)
}

// PauseProvider lets a provider's targets only fall.
func (k *Keeper) PauseProvider(ctx sdk.Context, providerID string) error {
	p, err := k.liveProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if p.Status == types.PROVIDER_STATUS_PAUSED {
		return errorsmod.Wrap(types.ErrProviderStatus, "paused already")
	}
	if err := k.dropPlan(ctx, providerID, true); err != nil {
		return err
	}
	return k.setStatus(ctx, p, types.PROVIDER_STATUS_PAUSED)
}

// ResumeProvider ends a pause.
func (k *Keeper) ResumeProvider(ctx sdk.Context, providerID string) error {
	p, err := k.liveProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if p.Status != types.PROVIDER_STATUS_PAUSED {
		return errorsmod.Wrap(types.ErrProviderStatus, "not paused")
	}
	if !p.IsOpen() {
		return k.setStatus(ctx, p, types.PROVIDER_STATUS_REGISTERED)
	}
	return k.setStatus(ctx, p, types.PROVIDER_STATUS_ACTIVE)
}

func (k *Keeper) setStatus(ctx sdk.Context, p types.Provider, status types.ProviderStatus) error {
	old := p
	p.Status = status
	if err := k.reweigh(ctx, old, p); err != nil {
		return err
	}
	if err := k.setProvider(ctx, p); err != nil {
		return err
	}
	k.emit(ctx, &types.EventProviderStatus{ProviderId: p.Config.ProviderId, Status: status})
	return nil
}
