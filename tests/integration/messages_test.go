package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// refuse checks that a message is refused with an error. What it wrote before it failed goes with its transaction.
func refuse(t *testing.T, c *meshtest.Chain, name string, msg sdk.Msg, want error) {
	t.Helper()
	ctx, _ := c.NextContext().CacheContext()
	_, err := c.App.MsgServiceRouter().Handler(msg)(ctx, msg)
	require.ErrorIs(t, err, want, name)
}

func TestBadCrossStakesAreRefused(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ProviderParams(func(params *providerParams) { params.MaxPositions = 3 })
	}}, meshtest.ChainConfig{})
	p.CrossStake("alice", val(p, 0), 10*one)
	p.CrossStake("alice", val(p, 1), 10*one)
	p.CrossStake("alice", val(p, 2), 10*one)
	p.CrossStake("carol", val(p, 0), one)
	settle(n, p)

	stake := func(edit func(*providertypes.MsgCrossStake)) sdk.Msg {
		m := p.MsgCrossStake("carol", val(p, 0), one)
		edit(m)
		return m
	}
	coin := func(denom string, a sdkmath.Int) sdk.Coin { return sdk.Coin{Denom: denom, Amount: a} }
	denom := p.Provider.Denom
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"no delegator", stake(func(m *providertypes.MsgCrossStake) { m.Delegator = "" }), providertypes.ErrInvalidAddress},
		{"delegator of another chain", stake(func(m *providertypes.MsgCrossStake) { m.Delegator = "osmo1clpqr4nrk4khgkxj78fcwwh6dl3uw4epasmvnj" }), providertypes.ErrInvalidAddress},
		{"operator as delegator", stake(func(m *providertypes.MsgCrossStake) { m.Delegator = val(p, 0).String() }), providertypes.ErrInvalidAddress},
		{"unknown consumer", stake(func(m *providertypes.MsgCrossStake) { m.ConsumerId = "07-tendermint-77" }), providertypes.ErrUnknownConsumer},
		{"no consumer", stake(func(m *providertypes.MsgCrossStake) { m.ConsumerId = "" }), providertypes.ErrUnknownConsumer},
		{"no validator", stake(func(m *providertypes.MsgCrossStake) { m.Validator = "" }), providertypes.ErrInvalidValidator},
		{"validator is an account", stake(func(m *providertypes.MsgCrossStake) { m.Validator = m.Delegator }), providertypes.ErrInvalidValidator},
		{"validator of 10,000 letters", stake(func(m *providertypes.MsgCrossStake) { m.Validator = strings.Repeat("a", 10_000) }), providertypes.ErrInvalidValidator},
		{"unknown validator", stake(func(m *providertypes.MsgCrossStake) { m.Validator = nat(p, 0).String() }), providertypes.ErrUnknownValidator},
		{"zero", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, sdkmath.ZeroInt()) }), providertypes.ErrAmountNotPositive},
		{"negative", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, amount(-5)) }), providertypes.ErrAmountNotPositive},
		{"nil amount", stake(func(m *providertypes.MsgCrossStake) { m.Amount = sdk.Coin{Denom: denom} }), providertypes.ErrAmountNotPositive},
		{"below the minimum", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, amount(999)) }), providertypes.ErrAmountTooSmall},
		{"other denom", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin("uatom", amount(one)) }), providertypes.ErrInvalidDenom},
		{"no denom", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin("", amount(one)) }), providertypes.ErrInvalidDenom},
		{"more than the collateral", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, amount(30*one)) }), providertypes.ErrInsufficientCollateral},
		{"2^127", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, pow2(127)) }), providertypes.ErrInsufficientCollateral},
		{"2^128", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, pow2(128)) }), providertypes.ErrAmountTooLarge},
		{"2^255", stake(func(m *providertypes.MsgCrossStake) { m.Amount = coin(denom, pow2(255)) }), providertypes.ErrAmountTooLarge},
		{"nothing staked natively", stake(func(m *providertypes.MsgCrossStake) {
			m.Delegator = p.Provider.Account(meshtest.RelayerName).String()
		}), providertypes.ErrInsufficientCollateral},
		{"too many positions", p.MsgCrossStake("alice", val(p, 3), one), providertypes.ErrTooManyPositions},
	} {
		refuse(t, p.Provider, tc.name, tc.msg, tc.want)
	}
	p.CrossStake("alice", val(p, 2), one) // more of a position one has is no new one
}

func TestBadCrossUnstakesAreRefused(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
	unstake := func(edit func(*providertypes.MsgCrossUnstake)) sdk.Msg {
		m := p.MsgCrossUnstake("alice", val(p, 0), one)
		edit(m)
		return m
	}
	denom := p.Provider.Denom
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"no delegator", unstake(func(m *providertypes.MsgCrossUnstake) { m.Delegator = "" }), providertypes.ErrInvalidAddress},
		{"unknown consumer", unstake(func(m *providertypes.MsgCrossUnstake) { m.ConsumerId = "x" }), providertypes.ErrUnknownConsumer},
		{"invalid validator", unstake(func(m *providertypes.MsgCrossUnstake) { m.Validator = "cosmosvaloper1x" }), providertypes.ErrInvalidValidator},
		{"no position", p.MsgCrossUnstake("alice", val(p, 1), one), providertypes.ErrNoPosition},
		{"somebody else's position", p.MsgCrossUnstake("bob", val(p, 0), one), providertypes.ErrNoPosition},
		{"one more than held", p.MsgCrossUnstake("alice", val(p, 0), 10*one+1), providertypes.ErrInsufficientStake},
		{"2^255", unstake(func(m *providertypes.MsgCrossUnstake) { m.Amount.Amount = pow2(255) }), providertypes.ErrAmountTooLarge},
		{"zero", unstake(func(m *providertypes.MsgCrossUnstake) { m.Amount.Amount = sdkmath.ZeroInt() }), providertypes.ErrAmountNotPositive},
		{"negative", unstake(func(m *providertypes.MsgCrossUnstake) { m.Amount = sdk.Coin{Denom: denom, Amount: amount(-1)} }), providertypes.ErrAmountNotPositive},
		{"other denom", unstake(func(m *providertypes.MsgCrossUnstake) { m.Amount.Denom = "uatom" }), providertypes.ErrInvalidDenom},
	} {
		refuse(t, p.Provider, tc.name, tc.msg, tc.want)
	}
	p.CrossUnstake("alice", val(p, 0), 1) // leaving has no minimum
	p.CrossUnstake("alice", val(p, 0), 10*one-1)
}

func TestGovernanceMessagesFromAnyoneElseAreRefused(t *testing.T) {
	n, p := pair(t)
	mallory := p.Provider.Account("alice").String()
	provider := []sdk.Msg{
		&providertypes.MsgAddConsumer{Authority: mallory, Config: p.ConsumerConfig},
		&providertypes.MsgUpdateConsumer{Authority: mallory, Config: p.ConsumerConfig},
		&providertypes.MsgRemoveConsumer{Authority: mallory, ConsumerId: p.ConsumerID},
		&providertypes.MsgPauseConsumer{Signer: mallory, ConsumerId: p.ConsumerID},
		&providertypes.MsgResumeConsumer{Authority: mallory, ConsumerId: p.ConsumerID},
		&providertypes.MsgRetireChannel{Authority: mallory, ConsumerId: p.ConsumerID},
		&providertypes.MsgUpdateParams{Authority: mallory, Params: p.Provider.ProviderState().Params},
	}
	for _, msg := range provider {
		name := sdk.MsgTypeURL(msg)
		refuse(t, p.Provider, name, msg, providertypes.ErrUnauthorized)
		require.ErrorIs(t, p.Provider.Account("alice").Try(msg).Err(), providertypes.ErrUnauthorized, name)
	}
	mallory = p.Consumer.Account("alice").String()
	consumer := []sdk.Msg{
		&consumertypes.MsgAddProvider{Authority: mallory, Config: p.ProviderConfig},
		&consumertypes.MsgUpdateProvider{Authority: mallory, Config: p.ProviderConfig},
		&consumertypes.MsgRemoveProvider{Authority: mallory, ProviderId: p.ProviderID},
		&consumertypes.MsgPauseProvider{Authority: mallory, ProviderId: p.ProviderID},
		&consumertypes.MsgResumeProvider{Authority: mallory, ProviderId: p.ProviderID},
		&consumertypes.MsgSetPrice{Authority: mallory, ProviderId: p.ProviderID, Price: sdkmath.LegacyOneDec()},
		&consumertypes.MsgRetireChannel{Authority: mallory, ProviderId: p.ProviderID},
		&consumertypes.MsgUpdateParams{Authority: mallory, Params: p.Consumer.ConsumerState().Params},
	}
	for _, msg := range consumer {
		name := sdk.MsgTypeURL(msg)
		refuse(t, p.Consumer, name, msg, consumertypes.ErrUnauthorized)
		require.ErrorIs(t, p.Consumer.Account("alice").Try(msg).Err(), consumertypes.ErrUnauthorized, name)
	}
	n.Step()
	p.RequireConverged()
}

func TestBadConsumersAreRefused(t *testing.T) {
	n := network(t, "prov", "cons", "third")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	second := n.Connect(prov, cons) // another client of the same chain
	add := func(edit func(*consumerConfig)) sdk.Msg {
		c := p.ConsumerConfig
		edit(&c)
		return &providertypes.MsgAddConsumer{Authority: prov.Authority(), Config: c}
	}
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"unknown client", add(func(c *consumerConfig) { c.ClientId = "07-tendermint-55" }), providertypes.ErrClientUnknown},
		{"no client", add(func(c *consumerConfig) { c.ClientId = "" }), providertypes.ErrInvalidConfig},
		{"not a Tendermint client", add(func(c *consumerConfig) { c.ClientId = "09-localhost" }), providertypes.ErrClientUnknown},
		{"other chain id than the client's", add(func(c *consumerConfig) { c.ChainId = "third-1" }), providertypes.ErrClientChainID},
		{"our own chain id", add(func(c *consumerConfig) { c.ChainId = prov.ChainID }), providertypes.ErrOwnChainID},
		{"no prefix", add(func(c *consumerConfig) { c.ValidatorPrefix = "" }), providertypes.ErrInvalidConfig},
		{"no unbonding period", add(func(c *consumerConfig) { c.UnbondingPeriod = 0 }), providertypes.ErrInvalidConfig},
		{"unbonding period of a century", add(func(c *consumerConfig) { c.UnbondingPeriod = 100 * 365 * 24 * time.Hour }), providertypes.ErrInvalidConfig},
		{"slash fraction 0", add(func(c *consumerConfig) { c.MaxSlashFractionDoubleSign = sdkmath.LegacyZeroDec() }), providertypes.ErrInvalidConfig},
		{"slash fraction above 1", add(func(c *consumerConfig) { c.MaxSlashFractionDoubleSign = meshtest.Dec("1.01") }), providertypes.ErrInvalidConfig},
		{"no slash fraction", add(func(c *consumerConfig) { c.MaxSlashFractionDoubleSign = sdkmath.LegacyDec{} }), providertypes.ErrInvalidConfig},
		{"downtime fraction below 0", add(func(c *consumerConfig) { c.MaxSlashFractionDowntime = meshtest.Dec("-0.01") }), providertypes.ErrInvalidConfig},
		{"batch epoch shorter than U/64", add(func(c *consumerConfig) { c.BatchEpoch = c.UnbondingPeriod/64 - 1 }), providertypes.ErrInvalidConfig},
		{"batch epoch below 0", add(func(c *consumerConfig) { c.BatchEpoch = -time.Second }), providertypes.ErrInvalidConfig},
		{"guardian is no address", add(func(c *consumerConfig) { c.Guardian = "guardian" }), providertypes.ErrInvalidAddress},
		{"update of nobody", &providertypes.MsgUpdateConsumer{Authority: prov.Authority(), Config: p.ConsumerConfig}, providertypes.ErrUnknownConsumer},
		{"removal of nobody", &providertypes.MsgRemoveConsumer{Authority: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrUnknownConsumer},
		{"pause of nobody", &providertypes.MsgPauseConsumer{Signer: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrUnknownConsumer},
		{"resume of nobody", &providertypes.MsgResumeConsumer{Authority: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrUnknownConsumer},
		{"channel of nobody", &providertypes.MsgRetireChannel{Authority: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrUnknownConsumer},
	} {
		refuse(t, prov, tc.name, tc.msg, tc.want)
	}
	prov.MustGov(p.MsgAddConsumer())
	n.Step()
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"twice", p.MsgAddConsumer(), providertypes.ErrConsumerExists},
		{"the same chain over another client", add(func(c *consumerConfig) { c.ClientId = second.On(prov).Client }), providertypes.ErrChainIDTaken},
		{"resume without a pause", &providertypes.MsgResumeConsumer{Authority: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrNotPaused},
		{"retire without a channel", &providertypes.MsgRetireChannel{Authority: prov.Authority(), ConsumerId: p.ConsumerID}, providertypes.ErrNoChannel},
	} {
		refuse(t, prov, tc.name, tc.msg, tc.want)
	}
}

func TestBadProvidersAreRefused(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	second := n.Connect(prov, cons)
	add := func(edit func(*providerConfig)) sdk.Msg {
		c := p.ProviderConfig
		edit(&c)
		return &consumertypes.MsgAddProvider{Authority: cons.Authority(), Config: c}
	}
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"unknown client", add(func(c *providerConfig) { c.ProviderId = "07-tendermint-55" }), consumertypes.ErrClientNotFound},
		{"no id", add(func(c *providerConfig) { c.ProviderId = "" }), consumertypes.ErrInvalidProviderID},
		{"other chain id than the client's", add(func(c *providerConfig) { c.ChainId = "third-1" }), consumertypes.ErrClientChainID},
		{"our own chain id", add(func(c *providerConfig) { c.ChainId = cons.ChainID }), consumertypes.ErrOwnChainID},
		{"no chain id", add(func(c *providerConfig) { c.ChainId = "" }), consumertypes.ErrInvalidChainID},
		{"no denom", add(func(c *providerConfig) { c.CollateralDenom = "" }), consumertypes.ErrInvalidDenom},
		{"31 decimals", add(func(c *providerConfig) { c.CollateralDecimals = 31 }), consumertypes.ErrInvalidDecimals},
		{"unknown price feed", add(func(c *providerConfig) { c.PriceFeed = "oracle" }), consumertypes.ErrUnknownPriceFeed},
		{"discount of 1", add(func(c *providerConfig) { c.Discount = sdkmath.LegacyOneDec() }), consumertypes.ErrInvalidDiscount},
		{"negative discount", add(func(c *providerConfig) { c.Discount = meshtest.Dec("-0.1") }), consumertypes.ErrInvalidDiscount},
		{"negative cap", add(func(c *providerConfig) { c.MaxCap = amount(-1) }), consumertypes.ErrInvalidMaxCap},
		{"no cap", add(func(c *providerConfig) { c.MaxCap = sdkmath.Int{} }), consumertypes.ErrInvalidMaxCap},
		{"power ratio of 1", add(func(c *providerConfig) { c.MaxPowerRatio = sdkmath.LegacyOneDec() }), consumertypes.ErrInvalidPowerRatio},
		{"power ratio of a third", add(func(c *providerConfig) { c.MaxPowerRatio = sdkmath.LegacyOneDec().QuoInt64(3) }), consumertypes.ErrPowerRatioSum},
		{"governance weight of 2", add(func(c *providerConfig) { c.GovernanceWeight = meshtest.Dec("2") }), consumertypes.ErrInvalidWeight},
		{"reward ratio of 2", add(func(c *providerConfig) { c.RewardRatio = meshtest.Dec("2") }), consumertypes.ErrInvalidRewardRatio},
		{"update of nobody", &consumertypes.MsgUpdateProvider{Authority: cons.Authority(), Config: p.ProviderConfig}, consumertypes.ErrProviderNotFound},
		{"price of nobody", p.MsgSetPrice(sdkmath.LegacyOneDec()), consumertypes.ErrProviderNotFound},
		{"removal of nobody", &consumertypes.MsgRemoveProvider{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrProviderNotFound},
		{"pause of nobody", &consumertypes.MsgPauseProvider{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrProviderNotFound},
		{"resume of nobody", &consumertypes.MsgResumeProvider{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrProviderNotFound},
		{"channel of nobody", &consumertypes.MsgRetireChannel{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrProviderNotFound},
	} {
		refuse(t, cons, tc.name, tc.msg, tc.want)
	}
	cons.MustGov(p.MsgAddProvider())
	n.Step()
	price := func(d sdkmath.LegacyDec) sdk.Msg {
		return &consumertypes.MsgSetPrice{Authority: cons.Authority(), ProviderId: p.ProviderID, Price: d}
	}
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"twice", p.MsgAddProvider(), consumertypes.ErrProviderExists},
		{"the same chain over another client", add(func(c *providerConfig) { c.ProviderId = second.On(cons).Client }), consumertypes.ErrChainIDTaken},
		{"price 0", price(sdkmath.LegacyZeroDec()), consumertypes.ErrInvalidPrice},
		{"price −1", price(meshtest.Dec("-1")), consumertypes.ErrInvalidPrice},
		{"no price", price(sdkmath.LegacyDec{}), consumertypes.ErrInvalidPrice},
		{"price above 10^18", price(meshtest.Dec("1000000000000000001")), consumertypes.ErrInvalidPrice},
		{"resume without a pause", &consumertypes.MsgResumeProvider{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrProviderStatus},
		{"retire without a channel", &consumertypes.MsgRetireChannel{Authority: cons.Authority(), ProviderId: p.ProviderID}, consumertypes.ErrNoChannel},
	} {
		refuse(t, cons, tc.name, tc.msg, tc.want)
	}
}

func TestBadParamsAreRefused(t *testing.T) {
	n, p := pair(t)
	provider := func(edit func(*providerParams)) sdk.Msg {
		params := p.Provider.ProviderState().Params
		edit(&params)
		return &providertypes.MsgUpdateParams{Authority: p.Provider.Authority(), Params: params}
	}
	for name, msg := range map[string]sdk.Msg{
		"epoch 0":                 provider(func(x *providerParams) { x.EpochDuration = 0 }),
		"minimum 0":               provider(func(x *providerParams) { x.MinCrossStake = sdkmath.ZeroInt() }),
		"no positions":            provider(func(x *providerParams) { x.MaxPositions = 0 }),
		"eight claims":            provider(func(x *providerParams) { x.MaxUnbondingClaims = 8 }),
		"no steps":                provider(func(x *providerParams) { x.MaxSettlementSteps = 0 }),
		"timeout of two days":     provider(func(x *providerParams) { x.PacketTimeout = 48 * time.Hour }),
		"timeout of a moment":     provider(func(x *providerParams) { x.PacketTimeout = time.Nanosecond }),
		"no consumers":            provider(func(x *providerParams) { x.MaxConsumers = 0 }),
		"a million validators":    provider(func(x *providerParams) { x.MaxValidatorsPerConsumer = 1_000_000 }),
		"no native delegations":   provider(func(x *providerParams) { x.MaxNativeDelegations = 0 }),
		"minimum is not a number": provider(func(x *providerParams) { x.MinCrossStake = sdkmath.Int{} }),
	} {
		refuse(t, p.Provider, name, msg, providertypes.ErrInvalidParams)
	}
	consumer := func(edit func(*consumerParams)) sdk.Msg {
		params := p.Consumer.ConsumerState().Params
		edit(&params)
		return &consumertypes.MsgUpdateParams{Authority: p.Consumer.Authority(), Params: params}
	}
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"epoch 0", consumer(func(x *consumerParams) { x.EpochDuration = 0 }), consumertypes.ErrInvalidParams},
		{"31 decimals", consumer(func(x *consumerParams) { x.NativeDecimals = 31 }), consumertypes.ErrInvalidParams},
		{"no operations", consumer(func(x *consumerParams) { x.MaxEpochOperations = 0 }), consumertypes.ErrInvalidParams},
		{"a third for all", consumer(func(x *consumerParams) { x.GlobalMaxPowerRatio = sdkmath.LegacyOneDec().QuoInt64(3) }), consumertypes.ErrInvalidParams},
		{"negative multiple", consumer(func(x *consumerParams) { x.MaxValidatorMultiple = meshtest.Dec("-1") }), consumertypes.ErrInvalidParams},
		{"no multiple", consumer(func(x *consumerParams) { x.MaxValidatorMultiple = sdkmath.LegacyDec{} }), consumertypes.ErrInvalidParams},
		{"threshold 1", consumer(func(x *consumerParams) { x.RebalanceThreshold = sdkmath.LegacyOneDec() }), consumertypes.ErrInvalidParams},
		{"price age 0", consumer(func(x *consumerParams) { x.MaxPriceAge = 0 }), consumertypes.ErrInvalidParams},
		{"timeout of two days", consumer(func(x *consumerParams) { x.PacketTimeout = 48 * time.Hour }), consumertypes.ErrInvalidParams},
		{"silence longer than unbonding", consumer(func(x *consumerParams) { x.MaxProviderSilence = u }), consumertypes.ErrParamsConflict},
		{"margin shorter than an epoch", consumer(func(x *consumerParams) { x.FreshnessMargin = epoch - 1 }), consumertypes.ErrParamsConflict},
		{"epoch not small against unbonding", consumer(func(x *consumerParams) {
			x.EpochDuration, x.FreshnessMargin, x.MaxProviderSilence = u/2, u/2, time.Minute
		}), consumertypes.ErrParamsConflict},
	} {
		refuse(t, p.Consumer, tc.name, tc.msg, tc.want)
	}
	p.Provider.MustGov(provider(func(x *providerParams) { x.EpochDuration = 20 * time.Second }))
	p.Consumer.MustGov(consumer(func(x *consumerParams) { x.EpochDuration = 20 * time.Second }))
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
}
