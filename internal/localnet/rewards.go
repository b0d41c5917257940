package localnet

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// completeRegistration is what can only follow the registration: the first
// prices that governance does not set, and the accounts and channels of rewards.
func (n *Network) completeRegistration(ctx context.Context, topo *Topology) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range topo.Pairings {
		p := &topo.Pairings[i]
		if p.PriceFeed == consumertypes.PriceFeedGovernance {
			continue
		}
		group.Go(func() error {
			return n.report.step(p.Consumer, "first price of "+p.Provider, n.Chain(p.Consumer).Nodes[0].Log, func() (string, error) {
				return n.firstPrice(ctx, p)
			})
		})
	}
	group.Go(func() error { return n.registerRewards(ctx, topo) })
	return group.Wait()
}

// transferBetween returns the ids of the transfer channel between two chains, first
// the one on a; empty ones if there is no such channel.
func (n *Network) transferBetween(a, b string) (onA, onB string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, tr := range n.state.Transfers {
		switch {
		case tr.A == a && tr.B == b:
			return tr.AChannel, tr.BChannel
		case tr.A == b && tr.B == a:
			return tr.BChannel, tr.AChannel
		}
	}
	return "", ""
}

// registerRewards lets governance of both sides of every pairing with a transfer
// channel register it, with the accounts that the modules derive, which their
// queries show.
func (n *Network) registerRewards(ctx context.Context, topo *Topology) error {
	proposals := map[string][]Proposal{}
	for i := range topo.Pairings {
		p := &topo.Pairings[i]
		onProvider, onConsumer := n.transferBetween(p.Provider, p.Consumer)
		if onProvider == "" {
			continue
		}
		n.mu.Lock()
		state := n.pairingState(*p)
		state.ProviderTransfer, state.ConsumerTransfer = onProvider, onConsumer
		ids := *state
		n.mu.Unlock()

		update, err := n.rewardConfigs(ctx, p, ids)
		if err != nil {
			return err
		}
		proposals[p.Provider] = append(proposals[p.Provider], Proposal{
			Title: "Rewards of " + p.Consumer, Messages: []sdk.Msg{update.onProvider},
		})
		proposals[p.Consumer] = append(proposals[p.Consumer], Proposal{
			Title: "Rewards for " + p.Provider, Messages: []sdk.Msg{update.onConsumer},
		})
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range n.chains {
		if len(proposals[c.ID]) == 0 {
			continue
		}
		group.Go(func() error {
			return n.report.step(c.ID, "governance on rewards", c.Nodes[0].Log, func() (string, error) {
				ids, err := c.passProposals(ctx, proposals[c.ID])
				return fmt.Sprintf("proposals %v passed", ids), err
			})
		})
	}
	return group.Wait()
}

// rewardUpdates are what the two sides of a pairing register about rewards.
type rewardUpdates struct {
	onProvider *providertypes.MsgUpdateConsumer
	onConsumer *consumertypes.MsgUpdateProvider
}

// rewardConfigs asks each side for its account and adds it to the other's
// configuration.
func (n *Network) rewardConfigs(ctx context.Context, p *PairingSpec, ids PairingState) (rewardUpdates, error) {
	var out rewardUpdates
	provider, consumer := n.Chain(p.Provider), n.Chain(p.Consumer)
	onProvider, err := providertypes.NewQueryClient(provider.Conn()).Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: ids.ConsumerID})
	if err != nil {
		return out, err
	}
	queries := consumertypes.NewQueryClient(consumer.Conn())
	onConsumer, err := queries.Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: ids.ProviderID})
	if err != nil {
		return out, err
	}
	rewards, err := queries.Rewards(ctx, &consumertypes.QueryRewardsRequest{ProviderId: ids.ProviderID})
	if err != nil {
		return out, err
	}

	there := onConsumer.Provider.Provider.Config
	there.RewardChannel, there.RewardReceiver = ids.ConsumerTransfer, onProvider.Info.RewardAccount
	here := onProvider.Info.Consumer.Config
	here.RewardChannel, here.RewardSender = ids.ProviderTransfer, rewards.RewardAccount
	here.RewardDenoms = nil
	for _, d := range p.RewardDenoms {
		least, ok := math.NewIntFromString(d.MinTransfer)
		if !ok {
			return out, fmt.Errorf("%w: min_transfer %q", ErrBadAmount, d.MinTransfer)
		}
		there.RewardDenoms = append(there.RewardDenoms, consumertypes.RewardDenom{Denom: d.Denom, MinTransfer: least})
		here.RewardDenoms = append(here.RewardDenoms, d.Denom)
	}
	if len(here.RewardDenoms) == 0 { // as the consumer reads it
		here.RewardDenoms = []string{consumer.Denom}
	}
	out.onProvider = &providertypes.MsgUpdateConsumer{Authority: provider.Authority(), Config: here}
	out.onConsumer = &consumertypes.MsgUpdateProvider{Authority: consumer.Authority(), Config: there}
	return out, nil
}
