package meshtest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// Dec parses a decimal.
func Dec(s string) sdkmath.LegacyDec { return sdkmath.LegacyMustNewDecFromStr(s) }

// Int returns an integer.
func Int(i int64) sdkmath.Int { return sdkmath.NewInt(i) }

// Pairing is one direction of Mesh Security between two chains: Provider's stake secures Consumer.
type Pairing struct {
	Provider, Consumer *Chain
	// ConsumerID is the client on the provider that tracks the consumer, ProviderID the one on the consumer.
	ConsumerID, ProviderID string
	// ProviderChannel and ConsumerChannel are the ends of the channel opened last.
	ProviderChannel, ConsumerChannel string
	// ConsumerConfig is what the provider registers, ProviderConfig what the consumer does.
	ConsumerConfig providertypes.ConsumerConfig
	ProviderConfig consumertypes.ProviderConfig
	// Price is set at registration; zero sets none.
	Price sdkmath.LegacyDec
	// SkipBacking turns off the check that the consumer's power has stake behind it, for tests in which collateral is
	// lost.
	SkipBacking bool

	net  *Network
	link *Link
	// highest is the highest price there was.
	highest sdkmath.LegacyDec
}

// NewPairing returns a pairing over a link that is not registered yet. Its configs may be changed first.
func (n *Network) NewPairing(link *Link, provider, consumer *Chain) *Pairing {
	n.Helper()
	p := &Pairing{
		Provider: provider, Consumer: consumer,
		ConsumerID: link.On(provider).Client, ProviderID: link.On(consumer).Client,
		Price: sdkmath.LegacyOneDec(), highest: sdkmath.LegacyZeroDec(),
		net: n, link: link,
	}
	unbonding, err := consumer.App.StakingKeeper.UnbondingTime(consumer.CommittedContext())
	require.NoError(n, err)
	p.ConsumerConfig = providertypes.ConsumerConfig{
		ClientId:                   p.ConsumerID,
		ChainId:                    consumer.ChainID,
		ValidatorPrefix:            sdk.GetConfig().GetBech32ValidatorAddrPrefix(),
		UnbondingPeriod:            unbonding,
		MaxSlashFractionDoubleSign: Dec("0.05"),
		MaxSlashFractionDowntime:   Dec("0.01"),
		SlashPolicy:                providertypes.DefaultSlashPolicy(Dec("0.01")),
	}
	p.ProviderConfig = consumertypes.ProviderConfig{
		ProviderId:         p.ProviderID,
		ChainId:            provider.ChainID,
		CollateralDenom:    provider.Denom,
		CollateralDecimals: 6,
		PriceFeed:          "governance",
		Discount:           Dec("0.1"),
		MaxCap:             Int(1_000_000 * One),
		MaxPowerRatio:      Dec("0.3"),
		GovernanceWeight:   sdkmath.LegacyZeroDec(),
		RewardRatio:        Dec("0.5"),
	}
	n.pairings = append(n.pairings, p)
	return p
}

// Pair connects two chains and sets up one direction between them, up to the exchange of sessions and validators.
func (n *Network) Pair(provider, consumer *Chain) *Pairing {
	n.Helper()
	p := n.NewPairing(n.Connect(provider, consumer), provider, consumer)
	p.SetUp()
	return p
}

// Link returns the link the pairing is over.
func (p *Pairing) Link() *Link { return p.link }

// SetUp registers both sides, opens a channel unless packets go over IBC v2, and waits until the sides know each other.
func (p *Pairing) SetUp() {
	p.net.Helper()
	p.Register()
	if !p.ConsumerConfig.UsesV2() {
		require.NoError(p.net, p.OpenChannel())
	}
	p.WaitReady()
}

// UseV2 makes the configurations choose IBC v2. It comes before the registration; the link needs counterparties.
func (p *Pairing) UseV2() {
	p.ConsumerConfig.CounterpartyClient, p.ProviderConfig.CounterpartyClient = p.ProviderID, p.ConsumerID
}

// UseV1 makes the configurations choose a channel; it is for a pairing whose way over IBC v2 was given up on both sides.
func (p *Pairing) UseV1() {
	p.ConsumerConfig.CounterpartyClient, p.ProviderConfig.CounterpartyClient = "", ""
}

// MoveToV2 makes packets go over IBC v2 from now on, after the channel was given up on both sides.
func (p *Pairing) MoveToV2() {
	p.net.Helper()
	p.UseV2()
	p.UpdateConsumer(func(*providertypes.ConsumerConfig) {})
	p.UpdateProvider(func(*consumertypes.ProviderConfig) {})
}

// PairV2 is Pair over IBC v2, without a connection.
func (n *Network) PairV2(provider, consumer *Chain) *Pairing {
	n.Helper()
	p := n.NewPairing(n.ConnectV2(provider, consumer), provider, consumer)
	p.UseV2()
	p.SetUp()
	return p
}

// Register registers the consumer on the provider and the provider on the consumer, and posts the price.
func (p *Pairing) Register() {
	p.net.Helper()
	p.Provider.MustGov(p.MsgAddConsumer())
	p.Consumer.MustGov(p.MsgAddProvider())
	if p.Price.IsPositive() {
		p.SetPrice(p.Price)
	}
	p.net.Step()
}

// OpenChannel opens a channel from the consumer's side.
func (p *Pairing) OpenChannel() error {
	path := p.link.On(p.Consumer).Channel()
	steps := []struct {
		name string
		do   func() error
	}{
		{"init", path.EndpointA.ChanOpenInit},
		{"try", path.EndpointB.ChanOpenTry},
		{"ack", path.EndpointA.ChanOpenAck},
		{"confirm", path.EndpointB.ChanOpenConfirm},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("channel open %s: %w", step.name, err)
		}
	}
	p.ConsumerChannel, p.ProviderChannel = path.EndpointA.ChannelID, path.EndpointB.ChannelID
	return nil
}

// WaitReady steps until both sides know each other's session and the provider knows all bonded validators.
func (p *Pairing) WaitReady() {
	p.net.Helper()
	p.net.Until("pairing is ready", 5*time.Minute, p.Ready)
}

// Ready says whether both sides know each other's session and the provider knows all bonded validators.
func (p *Pairing) Ready() bool {
	prov, cons := p.ConsumerRecord(), p.ProviderRecord()
	s := prov.Pairing.Session
	if s != cons.Session || s.Provider == 0 || s.Consumer == 0 {
		return false
	}
	known := map[string]bool{}
	for _, v := range p.Registry() {
		known[string(v.Validator)] = true
	}
	for _, v := range p.Consumer.Validators {
		if p.Consumer.Power(v) > 0 && !known[string(v.ValAddress())] {
			return false
		}
	}
	return true
}

// MsgAddConsumer returns the message that registers the consumer.
func (p *Pairing) MsgAddConsumer() sdk.Msg {
	return &providertypes.MsgAddConsumer{Authority: p.Provider.Authority(), Config: p.ConsumerConfig}
}

// MsgAddProvider returns the message that registers the provider.
func (p *Pairing) MsgAddProvider() sdk.Msg {
	return &consumertypes.MsgAddProvider{Authority: p.Consumer.Authority(), Config: p.ProviderConfig}
}

// SetPrice posts the price of the provider's token on the consumer.
func (p *Pairing) SetPrice(price sdkmath.LegacyDec) {
	p.net.Helper()
	p.Consumer.MustGov(p.MsgSetPrice(price))
}

// MsgSetPrice returns the message that posts the price.
func (p *Pairing) MsgSetPrice(price sdkmath.LegacyDec) sdk.Msg {
	p.highest = sdkmath.LegacyMaxDec(p.highest, price)
	return &consumertypes.MsgSetPrice{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID, Price: price}
}

// UpdateProvider changes the provider's configuration on the consumer.
func (p *Pairing) UpdateProvider(edit func(*consumertypes.ProviderConfig)) {
	p.net.Helper()
	edit(&p.ProviderConfig)
	p.Consumer.MustGov(&consumertypes.MsgUpdateProvider{Authority: p.Consumer.Authority(), Config: p.ProviderConfig})
}

// UpdateConsumer changes the consumer's configuration on the provider.
func (p *Pairing) UpdateConsumer(edit func(*providertypes.ConsumerConfig)) {
	p.net.Helper()
	edit(&p.ConsumerConfig)
	p.Provider.MustGov(&providertypes.MsgUpdateConsumer{Authority: p.Provider.Authority(), Config: p.ConsumerConfig})
}

// RemoveConsumer winds the consumer down on the provider.
func (p *Pairing) RemoveConsumer() {
	p.net.Helper()
	p.Provider.MustGov(&providertypes.MsgRemoveConsumer{Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID})
}

// RemoveProvider removes the provider on the consumer.
func (p *Pairing) RemoveProvider() {
	p.net.Helper()
	p.Consumer.MustGov(&consumertypes.MsgRemoveProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
}

// RetireOnProvider gives the channel up on the provider.
func (p *Pairing) RetireOnProvider() {
	p.net.Helper()
	p.Provider.MustGov(&providertypes.MsgRetireChannel{Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID})
}

// RetireOnConsumer gives the channel up on the consumer.
func (p *Pairing) RetireOnConsumer() {
	p.net.Helper()
	p.Consumer.MustGov(&consumertypes.MsgRetireChannel{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
}

// IsStakeUpdate says whether t is a StakeUpdate, or the answer to one, of this pairing.
func (p *Pairing) IsStakeUpdate(t *Transit) bool {
	return t.Packet.SourcePort == meshtypes.PortProvider && t.sender().Chain == p.Provider && t.sender().link == p.link
}

// IsReport says whether t is a ConsumerReport, or the answer to one, of this pairing.
func (p *Pairing) IsReport(t *Transit) bool {
	return t.Packet.SourcePort == meshtypes.PortConsumer && t.sender().Chain == p.Consumer && t.sender().link == p.link
}

// StakeUpdate decodes a StakeUpdate in transit.
func (t *Transit) StakeUpdate() meshtypes.StakeUpdate {
	u, err := meshtypes.UnmarshalStakeUpdate(t.Packet.Data)
	require.NoError(t.To.Chain, err)
	return u
}

// Report decodes a ConsumerReport in transit.
func (t *Transit) Report() meshtypes.ConsumerReport {
	r, err := meshtypes.UnmarshalReport(t.Packet.Data)
	require.NoError(t.To.Chain, err)
	return r
}

// Coin returns an amount of the provider's bond denom.
func (p *Pairing) Coin(amount int64) sdk.Coin { return sdk.NewInt64Coin(p.Provider.Denom, amount) }

// MsgCrossStake returns the message by which del, an account name on the provider, stakes to a consumer's validator.
func (p *Pairing) MsgCrossStake(del string, val *Validator, amount int64) *providertypes.MsgCrossStake {
	return &providertypes.MsgCrossStake{
		Delegator: p.Provider.Account(del).String(), ConsumerId: p.ConsumerID,
		Validator: val.String(), Amount: p.Coin(amount),
	}
}

// MsgCrossUnstake returns the message by which del takes stake back.
func (p *Pairing) MsgCrossUnstake(del string, val *Validator, amount int64) *providertypes.MsgCrossUnstake {
	return &providertypes.MsgCrossUnstake{
		Delegator: p.Provider.Account(del).String(), ConsumerId: p.ConsumerID,
		Validator: val.String(), Amount: p.Coin(amount),
	}
}

// MsgsLeave returns the messages by which del takes back all it has with validators that can still be left; none if that
// is nothing.
func (p *Pairing) MsgsLeave(del string) (msgs []sdk.Msg) {
	p.net.Helper()
	account, state := p.Provider.Account(del), p.Provider.ProviderState()
	pools := map[uint64]providertypes.Pool{}
	for _, r := range state.Pools {
		pools[r.Id] = r.Pool
	}
	for _, r := range state.Positions {
		pool := pools[r.PoolId]
		value := pool.ValueOf(r.Position.Shares)
		if !account.Address().Equals(sdk.AccAddress(r.Delegator)) || pool.ClientId != p.ConsumerID ||
			pool.Kind != providertypes.POOL_KIND_ACTIVE || !value.IsPositive() {
			continue
		}
		msgs = append(msgs, &providertypes.MsgCrossUnstake{
			Delegator: account.String(), ConsumerId: p.ConsumerID,
			Validator: p.ConsumerConfig.FormatValidator(pool.Validator), Amount: sdk.NewCoin(p.Provider.Denom, value),
		})
	}
	return msgs
}

// CrossStake stakes, in one step.
func (p *Pairing) CrossStake(del string, val *Validator, amount int64) {
	p.net.Helper()
	p.Provider.Account(del).Send(p.MsgCrossStake(del, val, amount))
}

// CrossUnstake takes stake back, in one step.
func (p *Pairing) CrossUnstake(del string, val *Validator, amount int64) {
	p.net.Helper()
	p.Provider.Account(del).Send(p.MsgCrossUnstake(del, val, amount))
}

// MsgCrossRedelegate moves cross-stake from one of the consumer's validators to another.
func (p *Pairing) MsgCrossRedelegate(del string, from, to *Validator, amount int64) *providertypes.MsgCrossRedelegate {
	return &providertypes.MsgCrossRedelegate{
		Delegator: p.Provider.Account(del).String(), ConsumerId: p.ConsumerID,
		From: from.String(), To: to.String(), Amount: p.Coin(amount),
	}
}

// TryCrossStake tries to stake and returns the error.
func (p *Pairing) TryCrossStake(del string, val *Validator, amount int64) error {
	p.net.Helper()
	return p.Provider.Account(del).Try(p.MsgCrossStake(del, val, amount)).Err()
}

// TryCrossUnstake tries to take stake back and returns the error.
func (p *Pairing) TryCrossUnstake(del string, val *Validator, amount int64) error {
	p.net.Helper()
	return p.Provider.Account(del).Try(p.MsgCrossUnstake(del, val, amount)).Err()
}

// Channel returns the state of the channel's end on a chain of the pairing.
func (p *Pairing) Channel(c *Chain) channeltypes.Channel {
	p.net.Helper()
	port, channel := meshtypes.PortProvider, p.ProviderChannel
	if c == p.Consumer {
		port, channel = meshtypes.PortConsumer, p.ConsumerChannel
	}
	ch, ok := c.App.IBCKeeper.ChannelKeeper.GetChannel(c.CommittedContext(), port, channel)
	require.True(p.net, ok, "no channel %s/%s on %s", port, channel, c.ChainID)
	return ch
}

// validatorName names an operator address of the consumer, for messages.
func (p *Pairing) validatorName(operator []byte) string {
	for _, v := range p.Consumer.Validators {
		if bytes.Equal(v.ValAddress(), operator) {
			return v.Operator.Name
		}
	}
	return fmt.Sprintf("%X", operator)
}
