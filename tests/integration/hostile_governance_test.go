package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// TestHostileGovernance: governance of the other chain decides whatever it may, at any moment: unbonding periods, slash fractions,
// the size of the set, caps, prices, the parameters of the modules; it removes the pairing, adds it again, also over another
// client; its module sends what ours does not know; it mints. The honest chain keeps its bounds.
func TestHostileGovernance(t *testing.T) {
	t.Run("of the consumer", hostileConsumerGovernance)
	t.Run("of the provider", hostileProviderGovernance)
}

// hostileGovernance decides for one chain.
type hostileGovernance struct {
	t     *testing.T
	n     *meshtest.Network
	p     *meshtest.Pairing
	chain *meshtest.Chain
	// second is the pairing again, over another client.
	second *meshtest.Pairing
	// done and refused count decisions.
	done, refused map[string]int
}

func (g *hostileGovernance) decide(what string, msgs ...sdk.Msg) bool {
	g.t.Helper()
	ok := true
	for _, msg := range msgs {
		if err := g.chain.Gov(msg); err != nil {
			g.refused[what]++
			ok = false
		}
	}
	if ok {
		g.done[what]++
	}
	return ok
}

// oneOf picks one.
func oneOf[T any](n *meshtest.Network, of ...T) T { return of[n.Rand.Intn(len(of))] }

// ownModules changes what is the SDK's.
func (g *hostileGovernance) ownModules(maxValidators ...uint32) {
	g.t.Helper()
	ctx, authority := g.chain.CommittedContext(), g.chain.Authority()
	switch g.n.Rand.Intn(3) {
	case 0:
		params, err := g.chain.App.StakingKeeper.GetParams(ctx)
		require.NoError(g.t, err)
		params.UnbondingTime = oneOf(g.n, time.Second, time1, u, 365*24*time.Hour)
		params.MaxValidators = oneOf(g.n, maxValidators...)
		params.HistoricalEntries = 0 // governance of these tests acts ahead of BeginBlock, where x/staking counts validators for them
		g.decide("staking", &stakingtypes.MsgUpdateParams{Authority: authority, Params: params})
	case 1:
		params, err := g.chain.App.SlashingKeeper.GetParams(ctx)
		require.NoError(g.t, err)
		params.SlashFractionDoubleSign = meshtest.Dec(oneOf(g.n, "0", "0.05", "0.5", "1"))
		params.SlashFractionDowntime = meshtest.Dec(oneOf(g.n, "0", "0.01", "1"))
		g.decide("slashing", &slashingtypes.MsgUpdateParams{Authority: authority, Params: params})
	default:
		params, err := g.chain.App.MintKeeper.Params.Get(ctx)
		require.NoError(g.t, err)
		params.InflationMax, params.InflationMin = sdkmath.LegacyOneDec(), meshtest.Dec(oneOf(g.n, "0", "1"))
		params.InflationRateChange, params.BlocksPerYear = sdkmath.LegacyOneDec(), oneOf[uint64](g.n, 1, 1000, 6_311_520)
		g.decide("mint", &minttypes.MsgUpdateParams{Authority: authority, Params: params})
	}
}

// tryReopen opens a channel again if a side has none, as relayers and the honest side would.
func (g *hostileGovernance) tryReopen() {
	p := g.p
	if p.ConsumerRecord().Pairing.ChannelId != "" && p.ProviderRecord().ChannelId != "" {
		return
	}
	if p.ConsumerRecord().Pairing.ChannelId != "" {
		p.RetireOnProvider()
	}
	if p.ProviderRecord().ChannelId != "" {
		p.RetireOnConsumer()
	}
	g.n.Steps(2)
	if p.OpenChannel() == nil {
		g.done["reopened"]++
	}
}

func newHostileGovernance(t *testing.T, n *meshtest.Network, p *meshtest.Pairing, chain *meshtest.Chain) *hostileGovernance {
	t.Helper()
	g := &hostileGovernance{t: t, n: n, p: p, chain: chain, done: map[string]int{}, refused: map[string]int{}}
	g.second = n.NewPairing(n.Connect(p.Provider, p.Consumer), p.Provider, p.Consumer)
	p.SkipBacking, g.second.SkipBacking = true, true // the other chain need not execute anything, and can devalue its stake
	n.Relayer.OnError = func(*meshtest.Transit, error) {}
	return g
}

func (g *hostileGovernance) consumerDecides() {
	g.t.Helper()
	n, p, authority := g.n, g.p, g.chain.Authority()
	switch n.Rand.Intn(9) {
	case 0, 1:
		g.ownModules(2, 3, 4)
	case 2:
		params := g.chain.ConsumerState().Params
		switch n.Rand.Intn(6) {
		case 0:
			params.MaxProviderSilence = oneOf(n, time.Second, meshtest.Silence, 8*time.Minute)
		case 1:
			params.EpochDuration, params.FreshnessMargin = oneOf(n, time.Second, epoch, 2*time1), oneOf(n, time.Second, meshtest.Margin)
		case 2:
			params.MaxEpochOperations = oneOf[uint32](n, 1, 10_000)
		case 3:
			params.MaxValidatorMultiple = sdkmath.LegacyNewDec(oneOf[int64](n, 0, 3, 999_999))
		case 4:
			params.GlobalMaxPowerRatio = meshtest.Dec(oneOf(n, "0", "0.33"))
		default:
			params.PacketTimeout = oneOf(n, time.Second, time1, 24*time.Hour)
		}
		g.decide("params", &consumertypes.MsgUpdateParams{Authority: authority, Params: params})
	case 3:
		c := p.ProviderConfig
		c.MaxCap, c.MaxPowerRatio = oneOf(n, amount(0), amount(1), pow2(127)), meshtest.Dec(oneOf(n, "0", "0.32"))
		c.Discount, c.RewardRatio = meshtest.Dec(oneOf(n, "0", "0.999999")), meshtest.Dec(oneOf(n, "0", "1"))
		g.decide("caps", &consumertypes.MsgUpdateProvider{Authority: authority, Config: c})
	case 4:
		price := oneOf(n, sdkmath.LegacyNewDec(10).Power(18), sdkmath.LegacySmallestDec(), sdkmath.LegacyOneDec())
		g.decide("price", &consumertypes.MsgSetPrice{Authority: authority, ProviderId: p.ProviderID, Price: price})
	case 5:
		g.decide("remove", &consumertypes.MsgRemoveProvider{Authority: authority, ProviderId: p.ProviderID})
		if n.Rand.Intn(2) == 0 { // over another client, which nobody has registered on the provider
			if g.decide("another client", g.second.MsgAddProvider()) {
				n.Step()
				require.Error(g.t, g.second.OpenChannel())
				g.decide("remove", &consumertypes.MsgRemoveProvider{Authority: authority, ProviderId: g.second.ProviderID})
			}
		}
		n.Steps(n.Rand.Intn(4))
		g.decide("add again", p.MsgAddProvider(), &consumertypes.MsgSetPrice{Authority: authority, ProviderId: p.ProviderID, Price: sdkmath.LegacyOneDec()})
		g.tryReopen()
	case 6:
		if g.decide("retire", &consumertypes.MsgRetireChannel{Authority: authority, ProviderId: p.ProviderID}) {
			n.Step()
			g.tryReopen()
		}
	case 7:
		g.decide("pause", &consumertypes.MsgPauseProvider{Authority: authority, ProviderId: p.ProviderID})
		g.decide("resume", &consumertypes.MsgResumeProvider{Authority: authority, ProviderId: p.ProviderID})
	default:
		// What an upgrade may make of its packets, and a slash of all that a validator has.
		if ch := p.ProviderRecord().ChannelId; ch != "" && ch == p.ConsumerChannel {
			g.chain.SendRaw(meshtypes.PortConsumer, ch, oneOf(n, []byte("mesh-9"), []byte{0x0a, 0xff}, make([]byte, 4096)))
			g.done["packets"]++
		}
		if n.Rand.Intn(3) == 0 {
			slashNow(g.t, p, val(p, n.Rand.Intn(2)), oneOf(n, "0.5", "0.9"))
		}
	}
}

func hostileConsumerGovernance(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), meshtest.ChainConfig{})
	g := newHostileGovernance(t, n, p, p.Consumer)
	prov, everybody := p.Provider, []string{"alice", "bob", "carol", "dave"}
	books := newLedger(t, prov, everybody...)
	p.CrossStake("alice", val(p, 0), 60*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	p.CrossStake("carol", val(p, 2), 10*one)
	settle(n, p)
	start := n.Now()
	slashNow(t, p, val(p, 0), "0.5") // while all goes well, so that it is believed as far as the limits let it
	n.Advance(time1)
	for range 60 {
		g.consumerDecides()
		actOnFirst(n, p, 4, "alice", "bob", "carol")
		n.Step()
	}
	// Everybody leaves, while it goes on deciding for a while, and within the time promised: twice U, and the delay of a claim.
	left := n.Now()
	n.Until("all have left", u+round, func() bool {
		g.consumerDecides()
		away := false
		for _, name := range everybody {
			away = leave(p, name) || away
		}
		return !away
	})
	n.BlockTime = 15 * time.Second
	n.Until("all are free", 2*u+u/3+round, func() bool { return len(p.Provider.ProviderState().Positions) == 0 })
	t.Log(g.done, g.refused, n.Now().Sub(left))
	for _, what := range []string{"staking", "slashing", "mint", "params", "caps", "price", "remove", "add again", "another client", "retire", "pause", "packets", "reopened"} {
		require.NotZero(t, g.done[what], what)
	}
	goHome(t, n, u+round, prov, []*meshtest.Pairing{p}, everybody...)

	// The meter is all it could take, and what was taken is all that is missing.
	policy, totals := p.ConsumerConfig.SlashPolicy, prov.ProviderState().Totals
	spans := sdkmath.LegacyNewDec(int64(n.Now().Sub(start))).QuoInt64(int64(policy.UnprovenWindow)).Add(sdkmath.LegacyOneDec())
	most := policy.UnprovenLimit.Mul(spans).MulInt64(180 * one)
	require.True(t, sdkmath.LegacyNewDecFromInt(totals.Slashed).LTE(most), "%s of at most %s", totals.Slashed, most)
	require.True(t, totals.Slashed.IsPositive(), "nothing was claimed")
	sum := sdkmath.ZeroInt()
	for _, name := range everybody {
		require.False(t, books.lost(name).IsNegative(), name)
		sum = sum.Add(books.lost(name))
	}
	require.Equal(t, totals.Burned.String(), sum.String())
	requireClose(t, totals.Slashed, totals.Burned, 200)
	books.requireNothingLost("dave")
	require.Zero(t, len(prov.ProviderState().Holds))
}

func (g *hostileGovernance) providerDecides() {
	g.t.Helper()
	n, p, authority := g.n, g.p, g.chain.Authority()
	switch n.Rand.Intn(9) {
	case 0, 1:
		g.ownModules(3, 4)
	case 2:
		params := g.chain.ProviderState().Params
		params.EpochDuration = oneOf(n, time.Second, epoch, time.Hour)
		params.MinCrossStake = oneOf(n, amount(1), amount(1000), pow2(100))
		params.MaxPositions, params.MaxUnbondingClaims = oneOf[uint32](n, 1, 1000), oneOf[uint32](n, 1, 7)
		params.MaxSettlementSteps, params.PacketTimeout = oneOf[uint32](n, 20, 1_000_000), oneOf(n, time1, 24*time.Hour)
		g.decide("params", &providertypes.MsgUpdateParams{Authority: authority, Params: params})
	case 3:
		c := p.ConsumerConfig
		c.UnbondingPeriod = oneOf(n, time1, u, 100*u)
		c.MaxSlashFractionDoubleSign, c.MaxSlashFractionDowntime = meshtest.Dec(oneOf(n, "0.05", "1")), meshtest.Dec(oneOf(n, "0", "0.01"))
		g.decide("consumer", &providertypes.MsgUpdateConsumer{Authority: authority, Config: c})
	case 4:
		g.decide("pause", &providertypes.MsgPauseConsumer{Signer: authority, ConsumerId: p.ConsumerID})
		g.decide("resume", &providertypes.MsgResumeConsumer{Authority: authority, ConsumerId: p.ConsumerID})
	case 5:
		if consumerStatus(p) == providertypes.CONSUMER_STATUS_REMOVED {
			g.decide("add again", p.MsgAddConsumer())
		} else if n.Rand.Intn(4) == 0 {
			g.decide("remove", &providertypes.MsgRemoveConsumer{Authority: authority, ConsumerId: p.ConsumerID})
		}
		g.decide("another client", g.second.MsgAddConsumer())
		g.tryReopen()
	case 6:
		if g.decide("retire", &providertypes.MsgRetireChannel{Authority: authority, ConsumerId: p.ConsumerID}) {
			n.Step()
			g.tryReopen()
		}
	case 7:
		g.chain.Direct(func(ctx sdk.Context) { // its own coin is its own
			coins := sdk.NewCoins(sdk.NewInt64Coin(g.chain.Denom, 1_000_000*one))
			require.NoError(g.t, g.chain.App.BankKeeper.MintCoins(ctx, minttypes.ModuleName, coins))
			require.NoError(g.t, g.chain.App.BankKeeper.SendCoinsFromModuleToAccount(ctx, minttypes.ModuleName, g.chain.Account("carol").Address(), coins))
		})
		v := nat(p, n.Rand.Intn(2))
		g.chain.Account("carol").Queue(g.chain.MsgDelegate("carol", v, 100_000*one), p.MsgCrossStake("carol", val(p, n.Rand.Intn(4)), 50_000*one))
		g.done["stake out of nothing"]++
	default:
		if ch := p.ConsumerRecord().Pairing.ChannelId; ch != "" && ch == p.ProviderChannel {
			g.chain.SendRaw(meshtypes.PortProvider, ch, oneOf(n, []byte("mesh-9"), []byte{0x0a, 0xff}, make([]byte, 4096)))
			g.done["packets"]++
		}
	}
}

func hostileProviderGovernance(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, still(meshtest.ChainConfig{}))
	g := newHostileGovernance(t, n, p, p.Provider)
	cons := p.Consumer
	everybody := []string{"alice", "bob", "carol", "dave", "val0", "val1", "val2", "val3"}
	books := newLedger(t, cons, everybody...)
	supply := func() sdkmath.Int {
		return cons.App.BankKeeper.GetSupply(cons.CommittedContext(), cons.Denom).Amount.Sub(p.TotalVirtual())
	}
	native := supply()
	limit := amount(60 * one) // less than what is staked from the beginning
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = limit })
	p.CrossStake("alice", val(p, 0), 60*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	highest := sdkmath.ZeroInt()
	for range 70 {
		g.providerDecides()
		actOnFirst(n, p, 4, "alice", "bob")
		n.Step()
		virtual := p.TotalVirtual()
		highest = sdkmath.MaxInt(highest, virtual)
		require.True(t, virtual.LTE(limit.AddRaw(4)), "%s", virtual)
		require.Equal(t, native.String(), supply().String())
	}
	t.Log(g.done, g.refused)
	for _, what := range []string{"staking", "slashing", "mint", "params", "consumer", "pause", "retire", "stake out of nothing", "packets", "reopened"} {
		require.NotZero(t, g.done[what], what)
	}
	require.Zero(t, g.done["another client"], "while the first one is registered")
	require.Equal(t, limit.String(), highest.String(), "it gets as far as its cap")

	// The consumer ends it, and its own delegators leave with what they have.
	p.RemoveProvider()
	n.Advance(3 * epoch)
	require.True(t, p.TotalVirtual().IsZero())
	books.requireNothingLost()
	n.BlockTime = 15 * time.Second
	leaving := []string{"alice", "bob", "carol", "dave"}
	for _, name := range leaving {
		for i, v := range cons.Validators {
			if tokens := cons.Delegated(cons.Account(name).Address(), val(p, i)); tokens.IsPositive() {
				cons.Account(name).Queue(cons.MsgUndelegate(name, v, tokens.Int64()))
			}
		}
	}
	n.Advance(u + time1)
	for _, name := range leaving {
		require.Equal(t, books.worth[name].String(), cons.Balance(cons.Account(name)).String(), name)
	}
	require.Equal(t, native.String(), supply().String())
}
