package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/mesh/invariant"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Names of the invariants.
const (
	InvariantProviders     = "providers"
	InvariantStakes        = "stakes"
	InvariantPlan          = "plan"
	InvariantValidators    = "validators"
	InvariantPrices        = "prices"
	InvariantSlashLog      = "slash-log"
	InvariantFlows         = "flows"
	InvariantVirtualShares = "virtual-shares"
	InvariantCaps          = "caps"
	InvariantRewards       = "rewards"
)

// Invariants returns everything that must hold after every block, for CheckInvariants and for the query.
func (k *Keeper) Invariants() []invariant.Check {
	return []invariant.Check{
		k.providersInvariant(),
		k.stakesInvariant(),
		k.planInvariant(),
		k.validatorsInvariant(),
		k.pricesInvariant(),
		k.slashLogInvariant(),
		k.flowsInvariant(),
		k.virtualSharesInvariant(),
		k.capsInvariant(),
		k.rewardsInvariant(),
	}
}

// CheckInvariants checks the invariants of the given names, or all. It is unbounded work, for tests; the query does it in
// pages. Errors wrap ErrInvariant.
func (k *Keeper) CheckInvariants(ctx context.Context, names ...string) error {
	return invariant.Err(sdk.UnwrapSDKContext(ctx), k.Invariants(), types.ErrInvariant, names...)
}

func providerName(id string) string { return "provider " + id }

func (k *Keeper) stakeName(key stakeKey) string {
	return fmt.Sprintf("provider %s on %s", key.K1(), k.valString(key.K2()))
}

// known returns an error unless there is a provider of that id.
func (k *Keeper) known(p *invariant.Page, id string) error {
	p.Spend(1)
	found, err := k.Providers.Has(p.Context(), id)
	if err == nil && !found {
		err = fmt.Errorf("there is no provider %q", id)
	}
	return err
}

// providersInvariant says that parameters and providers are valid by themselves and together; that channels and accounts
// lead to their providers and nothing else; and that no provider's totals are known up to a time to come, nor a cursor left
// behind.
func (k *Keeper) providersInvariant() invariant.Check {
	return invariant.Check{Name: InvariantProviders, Phases: []invariant.Phase{
		invariant.Once("parameters", func(p *invariant.Page) error {
			params, err := k.Params.Get(p.Context())
			if err != nil {
				return err
			}
			if _, err := k.Epoch.Get(p.Context()); err != nil {
				return fmt.Errorf("epoch: %w", err)
			}
			return params.Validate()
		}),
		invariant.Once("providers together", func(p *invariant.Page) error {
			providers, err := k.allProviders(p.Context())
			p.Spend(len(providers))
			if err != nil {
				return err
			}
			return types.ValidateProvidersTogether(providers)
		}),
		invariant.Each(k.Providers, providerName, k.checkProvider),
		invariant.Each(k.Channels, func(channel string) string { return channel }, func(p *invariant.Page, channel, id string) error {
			p.Spend(1)
			provider, err := k.Providers.Get(p.Context(), id)
			if err == nil && provider.ChannelId != channel {
				err = fmt.Errorf("leads to %s, whose channel is %q", id, provider.ChannelId)
			}
			return err
		}),
		invariant.Each(k.Accounts, func(account []byte) string { return sdk.AccAddress(account).String() },
			func(p *invariant.Page, account []byte, id string) error {
				if !sdk.AccAddress(account).Equals(types.VirtualAccount(id)) {
					return fmt.Errorf("leads to %s, whose account it is not", id)
				}
				return k.known(p, id)
			}),
	}}
}

func (k *Keeper) checkProvider(p *invariant.Page, id string, provider types.Provider) error {
	ctx := p.Context()
	p.Spend(2)
	if id != provider.Config.ProviderId {
		return fmt.Errorf("it says it is %q", provider.Config.ProviderId)
	}
	if err := provider.Validate(); err != nil {
		return err
	}
	if got, err := k.Accounts.Get(ctx, types.VirtualAccount(id)); err != nil || got != id {
		return errors.Join(fmt.Errorf("its account leads to %q", got), err)
	}
	if provider.ChannelId != "" {
		if got, err := k.Channels.Get(ctx, provider.ChannelId); err != nil || got != id {
			return errors.Join(fmt.Errorf("its channel %s leads to %q", provider.ChannelId, got), err)
		}
	}
	if provider.SyncedAt.After(ctx.BlockTime()) {
		return fmt.Errorf("it is synced at %s, now is %s", provider.SyncedAt, ctx.BlockTime())
	}
	if !provider.Marking && len(provider.MarkCursor) > 0 {
		return errors.New("it has a cursor but marks nothing")
	}
	return nil
}

// stakeCount is how many stakes of a provider there are.
type stakeCount struct {
	Provider string `json:"provider"`
	N        uint32 `json:"n"`
}

// stakesInvariant says that what was reported is of known providers and valid, above all that nothing is executed that was
// not received, and that there is as much of it as the provider says.
func (k *Keeper) stakesInvariant() invariant.Check {
	compare := func(p *invariant.Page, s *stakeCount) {
		if s.Provider == "" {
			return
		}
		provider, err := k.Providers.Get(p.Context(), s.Provider)
		if err == nil && provider.Stakes != s.N {
			err = fmt.Errorf("it has %d stakes, says %d", s.N, provider.Stakes)
		}
		if err != nil {
			p.Fail(providerName(s.Provider), err)
		}
	}
	return invariant.Check{Name: InvariantStakes, Phases: []invariant.Phase{
		invariant.Pass(k.Stakes, k.stakeName, func() stakeCount { return stakeCount{} },
			func(p *invariant.Page, s *stakeCount, key stakeKey, record types.StakeRecord) error {
				if s.Provider != key.K1() {
					compare(p, s)
					*s = stakeCount{Provider: key.K1()}
				}
				s.N++
				if err := types.ValidateOperator(key.K2()); err != nil {
					return err
				}
				return record.Validate()
			}, compare),
		invariant.Each(k.Providers, providerName, func(p *invariant.Page, id string, provider types.Provider) error {
			if provider.Stakes == 0 {
				return nil
			}
			p.Spend(1)
			some, err := hasAny(p.Context(), k.Stakes, collections.NewPrefixedPairRange[string, []byte](id))
			if err == nil && !some {
				err = fmt.Errorf("it has no stakes, says %d", provider.Stakes)
			}
			return err
		}),
	}}
}

// hasAny says whether there is anything within the range.
func hasAny[K, V any](ctx context.Context, m collections.Map[K, V], rng collections.Ranger[K]) (bool, error) {
	it, err := m.Iterate(ctx, rng)
	if err != nil {
		return false, err
	}
	return it.Valid(), it.Close()
}

// planInvariant says that what is planned is valid and for known providers.
func (k *Keeper) planInvariant() invariant.Check {
	return invariant.Check{Name: InvariantPlan, Phases: []invariant.Phase{
		invariant.Each(k.Plan, func(key planKey) string { return k.stakeName(collections.Join(key.K3(), key.K2())) },
			func(p *invariant.Page, key planKey, target types.Target) error {
				if err := errors.Join(types.ValidateOperator(key.K2()), target.Validate()); err != nil {
					return err
				}
				return k.known(p, key.K3())
			}),
	}}
}

// validatorsInvariant says that the registry and the validators marked are valid, and that nothing is in flight that was never
// sent.
func (k *Keeper) validatorsInvariant() invariant.Check {
	marked := func(_ *invariant.Page, val []byte) error { return types.ValidateOperator(val) }
	name := func(val []byte) string { return k.valString(val) }
	return invariant.Check{Name: InvariantValidators, Phases: []invariant.Phase{
		invariant.Each(k.Validators, name, func(_ *invariant.Page, val []byte, state types.ValidatorState) error {
			return errors.Join(types.ValidateOperator(val), state.ConsensusKey.Validate())
		}),
		invariant.EachKey(k.Changed, name, marked),
		invariant.EachKey(k.Strays, name, marked),
		invariant.Each(k.Dirty, k.stakeName, func(p *invariant.Page, key stakeKey, state types.DirtyValidator) error {
			p.Spend(1)
			provider, err := k.Providers.Get(p.Context(), key.K1())
			if err == nil {
				err = types.ValidateOperator(key.K2())
			}
			if err == nil && state.InFlight > provider.LastSeq {
				err = fmt.Errorf("in flight with seq %d, last sent %d", state.InFlight, provider.LastSeq)
			}
			return err
		}),
	}}
}

// observed is how far the observations of a provider's price have been looked through.
type observed struct {
	Provider string                 `json:"provider"`
	Order    types.ObservationOrder `json:"order"`
}

// pricesInvariant says that prices, posts and observations are valid and of known providers, and that observations rise.
func (k *Keeper) pricesInvariant() invariant.Check {
	return invariant.Check{Name: InvariantPrices, Phases: []invariant.Phase{
		invariant.Each(k.Prices, providerName, func(p *invariant.Page, id string, price types.PostedPrice) error {
			return errors.Join(types.ValidatePrice(price.Price), k.known(p, id))
		}),
		invariant.Each(k.PricePosts, func(key stakeKey) string {
			return fmt.Sprintf("post of %s for %s", sdk.AccAddress(key.K2()), key.K1())
		}, func(p *invariant.Page, key stakeKey, post types.PostedPrice) error {
			return errors.Join(types.ValidateFeeder(key.K2()), types.ValidatePrice(post.Price), k.known(p, key.K1()))
		}),
		invariant.Pass(k.PriceObservations, func(key observationKey) string { return providerName(key.K1()) },
			func() observed { return observed{} },
			func(p *invariant.Page, s *observed, key observationKey, observation types.PriceObservation) error {
				if s.Provider != key.K1() {
					*s = observed{Provider: key.K1()}
					if err := k.known(p, key.K1()); err != nil {
						return err
					}
				}
				return s.Order.Add(key.K2(), observation)
			}, func(*invariant.Page, *observed) {}),
		invariant.Each(k.ProvedHeights, providerName, func(p *invariant.Page, id string, height meshtypes.Height) error {
			return errors.Join(height.Validate(), k.known(p, id))
		}),
	}}
}

// logged is how far a provider's slash log has been looked through.
type logged struct {
	Provider string              `json:"provider"`
	Order    types.SlashLogOrder `json:"order"`
}

// slashLogInvariant says that each provider's log has every entry from its first to its last index, in the order of time.
func (k *Keeper) slashLogInvariant() invariant.Check {
	end := func(p *invariant.Page, s *logged) {
		if s.Provider == "" {
			return
		}
		provider, err := k.Providers.Get(p.Context(), s.Provider)
		if err == nil && s.Order.Next != provider.LastIndex+1 {
			err = fmt.Errorf("the slash log ends before index %d", provider.LastIndex)
		}
		if err != nil {
			p.Fail(providerName(s.Provider), err)
		}
	}
	return invariant.Check{Name: InvariantSlashLog, Phases: []invariant.Phase{
		invariant.Pass(k.SlashLog, func(key slashKey) string { return fmt.Sprintf("slash %d of provider %s", key.K2(), key.K1()) },
			func() logged { return logged{} },
			func(p *invariant.Page, s *logged, key slashKey, record types.SlashRecord) error {
				if s.Provider != key.K1() {
					end(p, s)
					*s = logged{Provider: key.K1()}
					p.Spend(1)
					provider, err := k.Providers.Get(p.Context(), key.K1())
					if err != nil {
						return err
					}
					s.Order.Next = provider.FirstIndex
				}
				if record.Entry.Index != key.K2() {
					return fmt.Errorf("it says its index is %d", record.Entry.Index)
				}
				return s.Order.Add(record)
			}, end),
		invariant.Each(k.Providers, providerName, func(p *invariant.Page, id string, provider types.Provider) error {
			if provider.FirstIndex == provider.LastIndex+1 {
				return nil
			}
			p.Spend(1)
			some, err := hasAny(p.Context(), k.SlashLog, collections.NewPrefixedPairRange[string, uint64](id))
			if err == nil && !some {
				err = fmt.Errorf("no slash log from index %d to %d", provider.FirstIndex, provider.LastIndex)
			}
			return err
		}),
	}}
}

// flowsInvariant says that no total of virtual stake that left or came is negative.
func (k *Keeper) flowsInvariant() invariant.Check {
	return invariant.Check{Name: InvariantFlows, Phases: []invariant.Phase{
		invariant.Each(k.Flows.Records(), func(key collections.Pair[[]byte, int64]) string {
			return fmt.Sprintf("flow of %s at %d", k.valString(key.K1()), key.K2())
		}, func(_ *invariant.Page, key collections.Pair[[]byte, int64], flow meshtypes.TokenFlow) error {
			return types.ValidateFlow(meshtypes.TokenFlowRecord{Validator: key.K1(), Height: key.K2(), Flow: flow})
		}),
	}}
}

// sharesSum is how far the delegations of all providers to a validator have been added up.
type sharesSum struct {
	After    []byte            `json:"after,omitempty"`
	Provider []byte            `json:"provider,omitempty"`
	Sum      sdkmath.LegacyDec `json:"sum"`
	// Counted is what counts in governance of it, with 36 decimals.
	Counted *big.Int `json:"counted"`
}

func newSharesSum() sharesSum { return sharesSum{Sum: sdkmath.LegacyZeroDec(), Counted: new(big.Int)} }

// virtualSharesInvariant says that the shares kept by validator and by provider are those of the providers' delegations; so
// virtual stake is on the derived accounts only, and the native supply is the supply of x/bank less the virtual one. And that
// what counts in governance is each provider's delegations times its weight.
//
// A provider's delegations, at most max_validators_per_provider, are one object.
func (k *Keeper) virtualSharesInvariant() invariant.Check {
	return invariant.Check{Name: InvariantVirtualShares, Phases: []invariant.Phase{
		invariant.Each(k.Providers, providerName, k.checkProviderShares),
		invariant.Each(k.ProviderShares, providerName, func(p *invariant.Page, id string, _ sdkmath.LegacyDec) error {
			return k.known(p, id)
		}),
		invariant.Each(k.CountedShares, func(val []byte) string { return k.valString(val) }, func(p *invariant.Page, val, _ []byte) error {
			p.Spend(1)
			virtual, err := k.VirtualShares.Has(p.Context(), val)
			if err == nil && !virtual {
				err = errors.New("shares count in governance, but there are no virtual ones")
			}
			return err
		}),
		invariant.Loop(newSharesSum,
			func(p *invariant.Page, s *sharesSum) bool {
				return invariant.Walk(p, k.VirtualShares, &s.After, func(val []byte) string { return k.valString(val) },
					func(val []byte, shares sdkmath.LegacyDec) error {
						if !invariant.Walk(p, k.Providers, &s.Provider, providerName, func(id string, provider types.Provider) error {
							p.Spend(1)
							d, err := k.staking.GetDelegation(p.Context(), types.VirtualAccount(id), val)
							if errors.Is(err, stakingtypes.ErrNoDelegation) {
								return nil
							}
							if err == nil {
								s.Sum = s.Sum.Add(d.Shares)
								s.Counted.Add(s.Counted, weighed(d.Shares, weight(provider)))
							}
							return err
						}) {
							return invariant.ErrUnfinished
						}
						sum, counted := s.Sum, s.Counted
						s.Provider, s.Sum, s.Counted = nil, sdkmath.LegacyZeroDec(), new(big.Int)
						if !sum.Equal(shares) {
							return fmt.Errorf("virtual shares are %s, delegated are %s", shares, sum)
						}
						bz, err := k.CountedShares.Get(p.Context(), val)
						if err != nil && !errors.Is(err, collections.ErrNotFound) {
							return err
						}
						if kept := new(big.Int).SetBytes(bz); kept.Cmp(counted) != 0 {
							return fmt.Errorf("counted shares are %s, by delegations %s", kept, counted)
						}
						return nil
					})
			}),
	}}
}

// checkProviderShares compares a provider's delegations with the sum of its shares, and checks that each counts on its validator.
func (k *Keeper) checkProviderShares(p *invariant.Page, id string, _ types.Provider) error {
	delegations, err := k.virtualDelegations(p.Context(), types.VirtualAccount(id))
	p.Spend(2 * len(delegations))
	if err != nil {
		return err
	}
	held := sdkmath.LegacyZeroDec()
	for _, d := range delegations {
		held = held.Add(d.Shares)
		val, err := k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress)
		if err != nil {
			return err
		}
		if counted, err := k.VirtualShares.Has(p.Context(), val); err != nil || !counted {
			return errors.Join(fmt.Errorf("the virtual delegation to %s is not counted", d.ValidatorAddress), err)
		}
	}
	shares, err := sharesOf(p.Context(), k.ProviderShares, id)
	if err == nil && !held.Equal(shares) {
		err = fmt.Errorf("virtual shares are %s, delegated are %s", shares, held)
	}
	return err
}

// capsInvariant says that, once a plan has run without failure, the virtual stake of each provider is within the cap that the
// plan had, to a token per validator for rounding.
//
// A provider's delegations, at most max_validators_per_provider, are one object.
func (k *Keeper) capsInvariant() invariant.Check {
	return invariant.Check{Name: InvariantCaps, Phases: []invariant.Phase{
		invariant.Loop(func() []byte { return nil }, func(p *invariant.Page, after *[]byte) bool {
			epoch, err := k.Epoch.Get(p.Context())
			empty := false
			if err == nil {
				empty, err = k.planEmpty(p.Context())
			}
			if err != nil {
				p.Fail("epoch", err)
			}
			if err != nil || !empty || epoch.Failed > 0 {
				return true
			}
			return invariant.Walk(p, k.Providers, after, providerName, func(_ string, provider types.Provider) error {
				v, pv := newEmptyView(p.Context()), newProviderView(provider)
				if err := k.readProvider(p.Context(), v, pv); err != nil {
					return err
				}
				p.Spend(2 * len(pv.current))
				if limit := pv.Cap.AddRaw(int64(len(pv.current))); pv.total.GT(limit) {
					return fmt.Errorf("virtual stake is %s, cap %s", pv.total, pv.Cap)
				}
				return nil
			})
		}),
	}}
}
