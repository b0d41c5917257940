package bench_test

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/app"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// unbonding is the unbonding period of every chain.
	unbonding = 21 * 24 * time.Hour
	// clientTrust keeps clients alive although nobody updates them: benchmarks run for months of block time.
	clientTrust = 50 * 365 * 24 * time.Hour
)

// partner is another chain as this one sees it: only its client, connection and channel exist.
type partner struct {
	chainID, client, channel string
	// peer and own are the halves of the session.
	session meshtypes.Session
	seq     uint64
}

// connect makes a client, a connection and an open channel to another chain. What follows a channel's opening in the
// module is up to the caller.
func (c *chain) connect(i int, port, counterparty string) *partner {
	c.Helper()
	ctx, ibc := c.deferred(), c.app.IBCKeeper
	p := &partner{chainID: fmt.Sprintf("partner%d-1", i)}
	var (
		height = clienttypes.NewHeight(1, 1_000_000)
		state  = ibctm.NewClientState(
			p.chainID, ibctm.DefaultTrustLevel, clientTrust, clientTrust+unbonding, 10*time.Second, height,
			commitmenttypes.GetSDKSpecs(), []string{"upgrade", "upgradedIBCState"},
		)
		root = commitmenttypes.NewMerkleRoot(make([]byte, 32))
		cons = ibctm.NewConsensusState(c.time, root, make([]byte, 32))
		cdc  = c.app.AppCodec()
		err  error
	)
	p.client, err = ibc.ClientKeeper.CreateClient(ctx, ibcexported.Tendermint, cdc.MustMarshal(state), cdc.MustMarshal(cons))
	require.NoError(c, err)

	connection := ibc.ConnectionKeeper.GenerateConnectionIdentifier(ctx)
	ibc.ConnectionKeeper.SetConnection(ctx, connection, connectiontypes.NewConnectionEnd(
		connectiontypes.OPEN, p.client,
		connectiontypes.NewCounterparty("07-tendermint-0", "connection-0", commitmenttypes.NewMerklePrefix([]byte("ibc"))),
		connectiontypes.GetCompatibleVersions(), 0,
	))
	p.channel = ibc.ChannelKeeper.GenerateChannelIdentifier(ctx)
	ibc.ChannelKeeper.SetChannel(ctx, port, p.channel, channeltypes.NewChannel(
		channeltypes.OPEN, channeltypes.UNORDERED, channeltypes.NewCounterparty(counterparty, "channel-0"),
		[]string{connection}, meshtypes.Version,
	))
	ibc.ChannelKeeper.SetNextSequenceSend(ctx, port, p.channel, 1)
	return p
}

// activePool is the key of the pool that new stake on a partner's validator joins.
func activePool(p *partner, validator int) collections.Pair[string, []byte] {
	return collections.Join(p.client, operator(validator))
}

// operator is the i-th validator of another chain.
func operator(i int) []byte { return address("partner's operator", i) }

// pairConsumer pairs with a consumer of n bonded validators: it may be staked on from now on.
func (c *chain) pairConsumer(i, n int) *partner {
	c.Helper()
	p := c.connect(i, meshtypes.PortProvider, meshtypes.PortConsumer)
	c.run(&providertypes.MsgAddConsumer{Authority: app.Authority(), Config: providertypes.ConsumerConfig{
		ClientId: p.client, ChainId: p.chainID,
		ValidatorPrefix:            sdk.GetConfig().GetBech32ValidatorAddrPrefix(),
		UnbondingPeriod:            unbonding,
		MaxSlashFractionDoubleSign: sdkmath.LegacyNewDecWithPrec(5, 2),
		MaxSlashFractionDowntime:   sdkmath.LegacyNewDecWithPrec(1, 2),
		SlashPolicy:                providertypes.DefaultSlashPolicy(sdkmath.LegacyNewDecWithPrec(1, 2)),
	}})
	ctx, k := c.deferred(), c.provider()
	require.NoError(c, k.OpenChannel(ctx, p.client, p.channel))
	pairing, err := k.Pairings.Get(ctx, p.client)
	require.NoError(c, err)
	p.session = meshtypes.Session{Provider: pairing.Session.Provider, Consumer: uint64(c.time.UnixNano())}
	c.report(p, n)
	consumer, err := k.Consumers.Get(ctx, p.client)
	require.NoError(c, err)
	require.Equal(c, providertypes.CONSUMER_STATUS_ACTIVE, consumer.Status)
	return p
}

// report gives the provider module a report that lists n bonded validators.
func (c *chain) report(p *partner, n int) {
	c.Helper()
	p.seq++
	r := meshtypes.ConsumerReport{
		Session: p.session, Seq: p.seq, FirstIndex: 1,
		UnbondingPeriod: uint64(unbonding), FreshnessLimit: uint64(7 * 24 * time.Hour),
	}
	for _, op := range operators(n) {
		r.Validators = append(r.Validators, meshtypes.ValidatorReport{
			Operator: op, Status: meshtypes.VALIDATOR_STATUS_BONDED,
			ConsensusKey: meshtypes.ConsensusKey{Type: "ed25519", Key: partnerKey(op).PubKey().Bytes()},
			KeyHeight:    meshtypes.NewHeight(1, 1),
		})
	}
	bz, err := r.Marshal()
	require.NoError(c, err)
	ack, err := c.provider().ReceiveReport(c.deferred(), p.client, bz)
	require.NoError(c, err)
	answer, err := meshtypes.UnmarshalReportAck(ack)
	require.NoError(c, err)
	require.False(c, answer.Refused)
}

// acknowledge answers a StakeUpdate as the consumer would that stores all of it.
func (c *chain) acknowledge(p *partner, packet []byte) {
	c.Helper()
	update, err := meshtypes.UnmarshalStakeUpdate(packet)
	require.NoError(c, err)
	ack := meshtypes.StakeUpdateAck{
		Echo: update.Session, Current: update.Session, Seq: update.Seq, Height: meshtypes.NewHeight(1, 1_000_000),
	}
	for range update.Stakes {
		ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_STORED)
	}
	bz, err := ack.Marshal()
	require.NoError(c, err)
	require.NoError(c, c.provider().AcknowledgeUpdate(c.deferred(), p.client, packet, bz))
}

// msgCrossStake stakes to a validator of a consumer.
func (c *chain) msgCrossStake(a account, p *partner, validator int, amount int64) *providertypes.MsgCrossStake {
	return &providertypes.MsgCrossStake{
		Delegator: a.addr.String(), ConsumerId: p.client,
		Validator: sdk.ValAddress(operator(validator)).String(), Amount: sdk.NewInt64Coin(denom, amount),
	}
}

// pairProvider pairs with a provider whose virtual stake has a price.
func (c *chain) pairProvider(i int) *partner {
	c.Helper()
	p := c.connect(i, meshtypes.PortConsumer, meshtypes.PortProvider)
	c.run(&consumertypes.MsgAddProvider{Authority: app.Authority(), Config: consumertypes.ProviderConfig{
		ProviderId: p.client, ChainId: p.chainID,
		CollateralDenom: "ucollateral", CollateralDecimals: 6, PriceFeed: consumertypes.PriceFeedGovernance,
		Discount:         sdkmath.LegacyNewDecWithPrec(10, 2),
		MaxCap:           sdkmath.NewInt(selfStake).MulRaw(validators),
		MaxPowerRatio:    sdkmath.LegacyNewDecWithPrec(3, 2),
		GovernanceWeight: sdkmath.LegacyZeroDec(),
		RewardRatio:      sdkmath.LegacyNewDecWithPrec(50, 2),
	}})
	c.setPrice(p)
	ctx, k := c.deferred(), c.consumer()
	provider, err := k.GetProvider(ctx, p.client)
	require.NoError(c, err)
	require.NoError(c, k.OpenChannel(ctx, provider, p.channel))
	p.session = meshtypes.Session{Provider: uint64(c.time.UnixNano()), Consumer: provider.Session.Consumer}
	return p
}

// setPrice posts a provider's price, which does not change but would grow old.
func (c *chain) setPrice(p *partner) {
	c.Helper()
	c.run(&consumertypes.MsgSetPrice{
		Authority: app.Authority(), ProviderId: p.client, Price: sdkmath.LegacyNewDecWithPrec(125, 2),
	})
}

// update gives the consumer module an update that lists the amounts on this chain's validators.
func (c *chain) update(p *partner, amount func(validator int) int64) {
	c.Helper()
	p.seq++
	u := meshtypes.StakeUpdate{
		Session: p.session, Seq: p.seq, UnbondingPeriod: uint64(unbonding), SyncedAt: uint64(c.header().Time.UnixNano()),
	}
	for _, i := range c.sorted() {
		u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: c.operators[i], Amount: sdkmath.NewInt(amount(i))})
	}
	bz, err := u.Marshal()
	require.NoError(c, err)
	ack, err := c.consumer().ReceiveUpdate(c.deferred(), p.client, bz)
	require.NoError(c, err)
	answer, err := meshtypes.UnmarshalStakeUpdateAck(ack)
	require.NoError(c, err)
	require.False(c, answer.Refused)
	for _, code := range answer.Codes {
		require.Equal(c, meshtypes.STAKE_CODE_STORED, code)
	}
}
