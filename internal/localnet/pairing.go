package localnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// connect opens everything between the chains: clients and connections, the
// registrations by governance, channels, and last the relayer itself.
func (n *Network) connect(ctx context.Context, topo *Topology) error {
	links := topo.links()
	if len(links) == 0 {
		return nil
	}
	setupLog := n.state.Relayer.SetupLog
	relayer := n.mainLane(n.linked(links))
	cfg := relayerConfig(RelayerAccount, relayer.chains, links)
	err := n.report.step("", "relayer keys", setupLog, func() (string, error) { return "", relayer.setUp(ctx, cfg) })
	if err != nil {
		return err
	}
	// One after another, so that their ids are the same in every run.
	states := make([]LinkState, len(links))
	for i, l := range links {
		err := n.report.step("", "clients of "+l.a+" and "+l.b, setupLog, func() (detail string, err error) {
			states[i], err = relayer.createClients(ctx, l, topo.Relayer.TrustingPercent)
			return fmt.Sprintf("%s, %s", states[i].AClient, states[i].BClient), err
		})
		if err != nil {
			return err
		}
	}
	lanes := make([]*lane, len(links))
	for i := range states {
		lanes[i] = n.setupLane(i, states[i])
	}
	n.mu.Lock()
	n.state.Links = states
	n.mu.Unlock()

	// Governance needs the clients only, so it votes while the relayers go on.
	err = both(ctx,
		func(ctx context.Context) error { return n.register(ctx, topo) },
		func(ctx context.Context) error { return n.openConnections(ctx, topo, lanes) })
	if err != nil {
		return err
	}
	err = both(ctx,
		func(ctx context.Context) error { return n.completeRegistration(ctx, topo) },
		func(ctx context.Context) error { return n.openPairings(ctx, topo, lanes) })
	if err != nil {
		return err
	}
	return n.report.step("", "start relayer", n.state.Relayer.Log, func() (string, error) {
		if err := n.isolateRelayer(RelayerAccount, 0); err != nil {
			return "", err
		}
		cfg.Paths = paths(states)
		if err := relayer.write(cfg); err != nil {
			return "", err
		}
		n.mu.Lock()
		n.state.Relayer.Args = startArgs(n.state.Links, topo.Relayer.FlushInterval, topo.clientRefresh())
		n.mu.Unlock()
		if err := n.StartRelayer(); err != nil {
			return "", err
		}
		// It ends at once if it cannot use its configuration.
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(2 * time.Second):
		}
		if !n.RelayerRunning() {
			return "", n.launcher.exited(*n.state.Relayer.Process)
		}
		return fmt.Sprintf("pid %d", n.state.Relayer.Process.PID), nil
	})
}

// both does two things at the same time.
func both(ctx context.Context, one, other func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return one(ctx) })
	group.Go(func() error { return other(ctx) })
	return group.Wait()
}

// openConnections makes what needs nobody's consent: connections, and channels
// for transfers. All links are worked on at the same time.
func (n *Network) openConnections(ctx context.Context, topo *Topology, lanes []*lane) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range lanes {
		group.Go(func() error { return n.openLink(ctx, topo, r, &n.state.Links[i]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortStableFunc(n.state.Transfers, func(a, b ChannelState) int { return topo.transferIndex(a) - topo.transferIndex(b) })
	return nil
}

// openLink makes the connection of one link, and its transfer channels.
func (n *Network) openLink(ctx context.Context, topo *Topology, r *lane, l *LinkState) error {
	err := n.report.step("", "connect "+l.A+" and "+l.B, r.log, func() (string, error) {
		cfg := relayerConfig(r.account, r.chains, nil)
		cfg.Paths = paths([]LinkState{*l})
		if err := r.setUp(ctx, cfg); err != nil {
			return "", err
		}
		err := r.openConnection(ctx, l)
		return fmt.Sprintf("%s, %s", l.AConnection, l.BConnection), err
	})
	if err != nil {
		return err
	}
	for _, tr := range topo.Transfers {
		if linkName(tr.From, tr.To) != linkName(l.A, l.B) {
			continue
		}
		err := n.report.step("", "open transfer channel "+tr.From+" – "+tr.To, r.log, func() (string, error) {
			return n.openTransfer(ctx, r, l.Path, tr)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// transferIndex is a transfer channel's place in the topology.
func (t *Topology) transferIndex(s ChannelState) int {
	return slices.IndexFunc(t.Transfers, func(tr TransferSpec) bool { return tr.From == s.A && tr.To == s.B })
}

// openPairings opens the channels of all pairings, those of different links at
// the same time.
func (n *Network) openPairings(ctx context.Context, topo *Topology, lanes []*lane) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range lanes {
		l := &n.state.Links[i]
		group.Go(func() error {
			for _, p := range topo.Pairings {
				if linkName(p.Provider, p.Consumer) != linkName(l.A, l.B) {
					continue
				}
				err := n.report.step("", "open channel "+p.Name(), r.log, func() (string, error) { return n.openPairing(ctx, r, l.Path, p) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// clientsBetween returns the light clients that two chains have of one another,
// first the one on a.
func (n *Network) clientsBetween(a, b string) (onA, onB string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.state.Links {
		switch {
		case l.A == a && l.B == b:
			return l.AClient, l.BClient, nil
		case l.A == b && l.B == a:
			return l.BClient, l.AClient, nil
		}
	}
	return "", "", fmt.Errorf("%s and %s are not connected", a, b)
}

// register lets governance of every chain register its partners, all chains at
// the same time.
func (n *Network) register(ctx context.Context, topo *Topology) error {
	n.mu.Lock()
	n.state.Pairings = make([]PairingState, len(topo.Pairings))
	n.mu.Unlock()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, c := range n.chains {
		var proposals []Proposal
		var record []func(id uint64)
		for i := range topo.Pairings {
			p := &topo.Pairings[i]
			if p.Provider != c.ID && p.Consumer != c.ID {
				continue
			}
			consumer := n.Chain(p.Consumer)
			consumerID, providerID, err := n.clientsBetween(p.Provider, p.Consumer)
			if err != nil {
				return err
			}
			state := &n.state.Pairings[i]
			if p.Provider == c.ID {
				*state = PairingState{Provider: p.Provider, Consumer: p.Consumer, ConsumerID: consumerID, ProviderID: providerID}
				msg, err := addConsumer(p, c, consumer, consumerID)
				if err != nil {
					return err
				}
				proposals = append(proposals, Proposal{Title: "Register consumer " + p.Consumer, Messages: []sdk.Msg{msg}})
				record = append(record, func(id uint64) { state.ProviderProposal = id })
			} else {
				msgs, err := n.addProvider(p, c, n.Chain(p.Provider), providerID)
				if err != nil {
					return err
				}
				proposals = append(proposals, Proposal{Title: "Register provider " + p.Provider, Messages: msgs})
				record = append(record, func(id uint64) { state.ConsumerProposal = id })
			}
		}
		if len(proposals) == 0 {
			continue
		}
		group.Go(func() error {
			return n.report.step(c.ID, "governance", c.Nodes[0].Log, func() (string, error) {
				ids, err := c.passProposals(groupCtx, proposals)
				n.mu.Lock()
				for i, id := range ids {
					record[i](id)
				}
				n.mu.Unlock()
				return fmt.Sprintf("proposals %v passed", ids), err
			})
		})
	}
	return group.Wait()
}

// addConsumer is what governance of the provider decides.
func addConsumer(p *PairingSpec, provider, consumer *Chain, clientID string) (*providertypes.MsgAddConsumer, error) {
	doubleSign, err1 := math.LegacyNewDecFromStr(p.DoubleSignSlash)
	downtime, err2 := math.LegacyNewDecFromStr(p.DowntimeSlash)
	policy, err3 := p.slashPolicy(downtime)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return &providertypes.MsgAddConsumer{
		Authority: provider.Authority(),
		Config: providertypes.ConsumerConfig{
			ClientId:                   clientID,
			ChainId:                    consumer.ID,
			ValidatorPrefix:            consumer.Prefix + sdk.PrefixValidator + sdk.PrefixOperator,
			UnbondingPeriod:            time.Duration(p.UnbondingPeriod),
			MaxSlashFractionDoubleSign: doubleSign,
			MaxSlashFractionDowntime:   downtime,
			BatchEpoch:                 time.Duration(p.BatchEpoch),
			SlashPolicy:                policy,
		},
	}, nil
}

// slashPolicy is the provider module's own, but for what the topology says.
func (p *PairingSpec) slashPolicy(downtime math.LegacyDec) (providertypes.SlashPolicy, error) {
	if downtime.IsNil() {
		return providertypes.SlashPolicy{}, nil
	}
	policy := providertypes.DefaultSlashPolicy(downtime)
	policy.UnprovenDelay, policy.MassDelay = time.Duration(p.UnprovenDelay), time.Duration(p.MassDelay)
	if p.UnprovenWindow != 0 {
		policy.UnprovenWindow = time.Duration(p.UnprovenWindow)
	}
	var err error
	if p.UnprovenLimit != "" {
		policy.UnprovenLimit, err = math.LegacyNewDecFromStr(p.UnprovenLimit)
	}
	return policy, err
}

// addProvider is what governance of the consumer decides: the registration, and
// the first price if it sets it.
func (n *Network) addProvider(p *PairingSpec, consumer, provider *Chain, clientID string) ([]sdk.Msg, error) {
	discount, err1 := math.LegacyNewDecFromStr(p.Discount)
	ratio, err2 := math.LegacyNewDecFromStr(p.MaxPowerRatio)
	weight, err3 := math.LegacyNewDecFromStr(p.GovernanceWeight)
	reward, err4 := math.LegacyNewDecFromStr(p.RewardRatio)
	price, err5 := math.LegacyNewDecFromStr(p.Price)
	maxCap, ok := math.NewIntFromString(p.MaxCap)
	feed, err6 := n.priceConfig(p, consumer)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil || !ok {
		return nil, errors.Join(err, ErrBadAmount)
	}
	msgs := []sdk.Msg{&consumertypes.MsgAddProvider{
		Authority: consumer.Authority(),
		Config: consumertypes.ProviderConfig{
			ProviderId:         clientID,
			ChainId:            provider.ID,
			CollateralDenom:    provider.Denom,
			CollateralDecimals: provider.Decimals,
			PriceFeed:          p.PriceFeed,
			Discount:           discount,
			MaxCap:             maxCap,
			MaxPowerRatio:      ratio,
			GovernanceWeight:   weight,
			RewardRatio:        reward,
			Price:              feed,
		},
	}}
	if p.PriceFeed == consumertypes.PriceFeedGovernance {
		msgs = append(msgs, &consumertypes.MsgSetPrice{Authority: consumer.Authority(), ProviderId: clientID, Price: price})
	}
	return msgs, nil
}

// openPairing opens the channel of one direction, from the consumer.
func (n *Network) openPairing(ctx context.Context, r *lane, path string, p PairingSpec) (string, error) {
	onConsumer, onProvider, err := r.openChannel(ctx, path, p.Consumer, meshtypes.PortConsumer, meshtypes.PortProvider, meshtypes.Version)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	state := n.pairingState(p)
	state.ConsumerChannel, state.ProviderChannel = onConsumer, onProvider
	n.mu.Unlock()
	return fmt.Sprintf("%s on %s, %s on %s", onConsumer, p.Consumer, onProvider, p.Provider), nil
}

// pairingState is what is written down about a pairing; the lock must be held.
func (n *Network) pairingState(p PairingSpec) *PairingState {
	i := slices.IndexFunc(n.state.Pairings, func(s PairingState) bool {
		return s.Provider == p.Provider && s.Consumer == p.Consumer
	})
	return &n.state.Pairings[i]
}

func (n *Network) openTransfer(ctx context.Context, r *lane, path string, tr TransferSpec) (string, error) {
	a, b, err := r.openChannel(ctx, path, tr.From, transfertypes.PortID, transfertypes.PortID, transfertypes.V1)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	n.state.Transfers = append(n.state.Transfers, ChannelState{A: tr.From, B: tr.To, AChannel: a, BChannel: b})
	n.mu.Unlock()
	return fmt.Sprintf("%s on %s, %s on %s", a, tr.From, b, tr.To), nil
}

// openChannelOn finds the open channel of a port on a connection: its id and
// its counterparty's. The newest counts, should there be several.
func (c *Chain) openChannelOn(ctx context.Context, connection, port string) (string, string, error) {
	res, err := channeltypes.NewQueryClient(c.Conn()).ConnectionChannels(ctx, &channeltypes.QueryConnectionChannelsRequest{Connection: connection})
	if err != nil {
		return "", "", err
	}
	var own, other string
	var newest uint64
	for _, ch := range res.Channels {
		seq, err := channeltypes.ParseChannelSequence(ch.ChannelId)
		if err != nil {
			return "", "", err
		}
		if ch.PortId == port && ch.State == channeltypes.OPEN && (own == "" || seq > newest) {
			own, other, newest = ch.ChannelId, ch.Counterparty.ChannelId, seq
		}
	}
	if own == "" {
		return "", "", fmt.Errorf("no open channel of port %s on %s of %s", port, connection, c.ID)
	}
	return own, other, nil
}
