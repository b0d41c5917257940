package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/testutil/simsx"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Refusable accepts success and every refusal that the module has an error for. Anything else fails the simulation.
func Refusable(err error) error {
	space, code, _ := errorsmod.ABCIInfo(err, false)
	if err == nil || space == types.ModuleName && code != types.ErrPanic.ABCICode() {
		return nil
	}
	return err
}

// Refused accepts only refusals.
func Refused(err error) error {
	if err == nil {
		return errors.New("was not refused")
	}
	return Refusable(err)
}

type (
	source   = *simsx.ChainDataSource
	reporter = simsx.SimulationReporter
	handler  = simsx.SimDeliveryResultHandler
)

// provider returns a random provider.
func provider(ctx context.Context, k *keeper.Keeper, r *rand.Rand) (types.Provider, bool) {
	var all []types.Provider
	_ = k.Providers.Walk(ctx, nil, func(_ string, p types.Provider) (bool, error) {
		all = append(all, p)
		return false, nil
	})
	if len(all) == 0 {
		return types.Provider{}, false
	}
	return all[r.Intn(len(all))], true
}

// factory returns a factory of messages about a random provider, whose result is judged by judge.
func factory[T sdk.Msg](
	k *keeper.Keeper, judge handler, create func(ctx context.Context, data source, rep reporter, p types.Provider) (simsx.SimAccount, T),
) simsx.SimMsgFactoryX {
	return simsx.NewSimMsgFactoryWithDeliveryResultHandler(
		func(ctx context.Context, data source, rep reporter) ([]simsx.SimAccount, T, handler) {
			p, ok := provider(ctx, k, data.Rand().Rand)
			if !ok {
				rep.Skip("no provider")
				var none T
				return nil, none, nil
			}
			signer, msg := create(ctx, data, rep, p)
			return []simsx.SimAccount{signer}, msg, judge
		})
}

// price returns a price from 0.001 to 10.
func price(r *rand.Rand) sdkmath.LegacyDec {
	return sdkmath.LegacyNewDecWithPrec(1+r.Int63n(10_000), 3)
}

// MsgPostPriceFactory posts prices: of a feeder if the provider has any, else of a stranger.
func MsgPostPriceFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(k, Refusable,
		func(_ context.Context, data source, rep reporter, p types.Provider) (simsx.SimAccount, *types.MsgPostPrice) {
			who := data.AnyAccount(rep)
			if p.Config.Price != nil && len(p.Config.Price.Feeders) > 0 && data.Rand().Intn(10) > 0 {
				feeder := p.Config.Price.Feeders[data.Rand().Intn(len(p.Config.Price.Feeders))]
				if data.HasAccount(feeder) {
					who = data.GetAccount(rep, feeder)
				}
			}
			return who, &types.MsgPostPrice{Feeder: who.AddressBech32, ProviderId: p.Config.ProviderId, Price: price(data.Rand().Rand)}
		})
}

// MsgProvePriceFactory proves prices with proofs that prove nothing.
func MsgProvePriceFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(k, Refused,
		func(_ context.Context, data source, rep reporter, p types.Provider) (simsx.SimAccount, *types.MsgProvePrice) {
			who := data.AnyAccount(rep)
			return who, &types.MsgProvePrice{
				Submitter: who.AddressBech32, ProviderId: p.Config.ProviderId, Value: []byte("1.0"), Proof: []byte("proof"),
				ProofHeight: meshtypes.NewHeight(1, 1+uint64(data.Rand().Int63n(1000))),
			}
		})
}

// strange returns a factory of messages that only governance may send, by somebody else.
func strange[T sdk.Msg](k *keeper.Keeper, create func(signer string, p types.ProviderConfig) T) simsx.SimMsgFactoryX {
	judge := func(err error) error {
		if !errors.Is(err, types.ErrUnauthorized) {
			return fmt.Errorf("a stranger's message: %w", err)
		}
		return nil
	}
	return factory(k, judge, func(_ context.Context, data source, rep reporter, p types.Provider) (simsx.SimAccount, T) {
		who := data.AnyAccount(rep)
		return who, create(who.AddressBech32, p.Config)
	})
}

// StrangersFactories try what only governance may do.
func StrangersFactories(k *keeper.Keeper) []simsx.SimMsgFactoryX {
	return []simsx.SimMsgFactoryX{
		strange(k, func(signer string, p types.ProviderConfig) *types.MsgSetPrice {
			return &types.MsgSetPrice{Authority: signer, ProviderId: p.ProviderId, Price: sdkmath.LegacyOneDec()}
		}),
		strange(k, func(signer string, p types.ProviderConfig) *types.MsgUpdateProvider {
			return &types.MsgUpdateProvider{Authority: signer, Config: p}
		}),
		strange(k, func(signer string, p types.ProviderConfig) *types.MsgRemoveProvider {
			return &types.MsgRemoveProvider{Authority: signer, ProviderId: p.ProviderId}
		}),
		strange(k, func(signer string, p types.ProviderConfig) *types.MsgPauseProvider {
			return &types.MsgPauseProvider{Authority: signer, ProviderId: p.ProviderId}
		}),
		strange(k, func(signer string, p types.ProviderConfig) *types.MsgRetireChannel {
			return &types.MsgRetireChannel{Authority: signer, ProviderId: p.ProviderId}
		}),
		strange(k, func(signer string, _ types.ProviderConfig) *types.MsgUpdateParams {
			return &types.MsgUpdateParams{Authority: signer, Params: types.DefaultParams()}
		}),
	}
}

// MsgUpdateParamsFactory proposes random parameters.
func MsgUpdateParamsFactory() simsx.SimMsgFactoryFn[*types.MsgUpdateParams] {
	return func(_ context.Context, data source, rep reporter) ([]simsx.SimAccount, *types.MsgUpdateParams) {
		return nil, &types.MsgUpdateParams{Authority: data.ModuleAccountAddress(rep, "gov"), Params: RandomParams(data.Rand().Rand)}
	}
}
