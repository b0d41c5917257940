package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// TestHostileFeeder: whoever posts or proves prices decides at most what the specification lets it: nothing alone, and with a
// majority a rise of max_price_change per epoch within the caps. A fall costs power and nobody a token.
func TestHostileFeeder(t *testing.T) {
	t.Run("one of three", hostileMinority)
	t.Run("all", hostileMajority)
	t.Run("prover", hostileProver)
}

// feeders makes accounts on the consumer post the price; need of them must agree.
func feeders(p *meshtest.Pairing, need uint32, names ...string) {
	p.UpdateProvider(func(c *providerConfig) {
		c.PriceFeed = consumertypes.PriceFeedFeeders
		c.Price = &consumertypes.PriceConfig{MaxDeviation: meshtest.Dec("0.1"), MaxPostAge: 2 * time.Minute, MinFeeders: need}
		for _, name := range names {
			c.Price.Feeders = append(c.Price.Feeders, p.Consumer.Account(name).String())
		}
	})
}

func post(p *meshtest.Pairing, name string, price sdkmath.LegacyDec) sdk.Msg {
	return &consumertypes.MsgPostPrice{Feeder: p.Consumer.Account(name).String(), ProviderId: p.ProviderID, Price: price}
}

// wildPrices are prices that some chain may have believed.
func wildPrices() []sdkmath.LegacyDec {
	return []sdkmath.LegacyDec{
		sdkmath.LegacyNewDec(10).Power(18), sdkmath.LegacySmallestDec(), meshtest.Dec("1000"), meshtest.Dec("0.001"),
		meshtest.Dec("1.1"), meshtest.Dec("0.9"), meshtest.Dec("1.0999"), meshtest.Dec("0.9001"),
	}
}

// refusedPrices are no prices at all.
func refusedPrices() []sdkmath.LegacyDec {
	return []sdkmath.LegacyDec{
		sdkmath.LegacyZeroDec(), meshtest.Dec("-1"), sdkmath.LegacySmallestDec().Neg(),
		sdkmath.LegacyNewDec(10).Power(18).Add(sdkmath.LegacySmallestDec()), sdkmath.LegacyMustNewDecFromStr("1" + "000000000000000000000000000000000000000"),
	}
}

func requireRefusedPrices(t *testing.T, p *meshtest.Pairing, name string) {
	t.Helper()
	for _, price := range refusedPrices() {
		refuse(t, p.Consumer, price.String(), post(p, name, price), consumertypes.ErrInvalidPrice)
	}
}

func hostileMinority(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{}))
	books := newLedger(t, p.Provider, "alice")
	feeders(p, 2, "alice", "bob", "carol")
	low, high := meshtest.Dec("0.98"), meshtest.Dec("1.02")
	_ = p.MsgSetPrice(high) // nothing is backed at more than that
	for _, name := range []string{"alice", "bob"} {
		p.Consumer.Account(name).Queue(post(p, name, low))
	}
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	mallory := p.Consumer.Account("carol")
	requireRefusedPrices(t, p, "carol")
	for i := range 60 {
		if i%6 == 0 { // honest ones, now at the one end and now at the other
			price := low
			if n.Rand.Intn(2) == 0 {
				price = high
			}
			p.Consumer.Account("alice").Queue(post(p, "alice", price))
			p.Consumer.Account("bob").Queue(post(p, "bob", low.Add(meshtest.Dec("0.02"))))
		}
		wild := wildPrices()
		for range n.Rand.Intn(4) {
			var msgs []sdk.Msg
			for range 1 + n.Rand.Intn(20) {
				msgs = append(msgs, post(p, "carol", wild[n.Rand.Intn(len(wild))]))
			}
			mallory.Queue(msgs...)
		}
		n.Step()
		if i < 6 {
			continue
		}
		price := p.ProviderRecord().Price
		require.True(t, price.GTE(low) && price.LTE(high), "price %s", price)
		virtual := sdkmath.LegacyNewDecFromInt(p.TotalVirtual())
		require.True(t, virtual.GTE(low.MulInt64(44*one)) && virtual.LTE(high.MulInt64(45*one+1)), "%s", virtual)
	}
	goHome(t, n, u+2*round, p.Provider, []*meshtest.Pairing{p}, "alice")
	books.requireNothingLost()
}

func hostileMajority(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(params *consumerParams) { params.MaxPriceAge = 5 * time.Minute })
	}}))
	p.SkipBacking = true // it is at the price of this feeder
	books := newLedger(t, p.Provider, "alice", "bob")
	feeders(p, 1, "carol")
	mallory := p.Consumer.Account("carol")
	mallory.Send(post(p, "carol", meshtest.Dec("1")))
	limit := amount(80 * one)
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = limit })
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	requireInt(t, 45*one, p.TotalVirtual())
	requireRefusedPrices(t, p, "carol")

	rate, wild := meshtest.Dec("1.1"), wildPrices()
	highest, lowest := sdkmath.ZeroInt(), limit
	n.BlockTime = epoch // so that a step is an epoch
	for i := range 70 {
		before, virtual := p.ProviderRecord().Price, p.TotalVirtual()
		switch {
		case i < 12: // always up, as far as it goes
			mallory.Queue(post(p, "carol", wild[0]))
		case i < 40: // up by what is allowed and down again, many times in a block
			mallory.Queue(post(p, "carol", before.Mul(rate)), post(p, "carol", before.Quo(rate)), post(p, "carol", before.Mul(rate)))
			if i%2 == 1 {
				mallory.Queue(post(p, "carol", before.Quo(rate)))
			}
		default:
			for range n.Rand.Intn(3) {
				mallory.Queue(post(p, "carol", wild[n.Rand.Intn(len(wild))]), post(p, "carol", wild[n.Rand.Intn(len(wild))]))
			}
		}
		n.Step()
		price, now := p.ProviderRecord().Price, p.TotalVirtual()
		require.True(t, price.LTE(before.Mul(rate).Add(sdkmath.LegacySmallestDec())), "from %s to %s in an epoch", before, price)
		require.True(t, now.LTE(limit), "%s", now)
		// What is below one per cent does not move power, so a rise may catch up by that much.
		most := rate.MulInt(virtual).MulInt64(102).QuoInt64(100).Ceil().TruncateInt().AddRaw(2)
		require.True(t, now.LTE(most), "from %s to %s in an epoch", virtual, now)
		highest, lowest = sdkmath.MaxInt(highest, now), sdkmath.MinInt(lowest, now)
	}
	require.Equal(t, limit.String(), highest.String(), "it gets as far as the cap")
	requireInt(t, 0, lowest, "and can take all power away")

	// It falls silent: nothing new counts, and everybody can leave.
	n.BlockTime = 15 * time.Second
	n.Advance(6 * time.Minute)
	before := p.TotalVirtual()
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	require.True(t, p.Virtual(val(p, 1)).IsZero())
	require.True(t, p.TotalVirtual().LTE(before))
	goHome(t, n, u+2*round, p.Provider, []*meshtest.Pairing{p}, "alice", "bob")
	require.True(t, p.TotalVirtual().IsZero())
	books.requireNothingLost()
}

// hostileProver chooses what is proved, and when; the price on the third chain is hostile as well.
func hostileProver(t *testing.T) {
	x := pairWithProvedPrice(t, still)
	n, p := x.net, x.Pairing
	p.SkipBacking = true
	books := newLedger(t, p.Provider, "alice")
	mallory := val(p, 1).Operator
	mallory.Send(x.fetch(mallory))
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	requireInt(t, 45*one, p.TotalVirtual())

	rate := meshtest.Dec("1.1")
	prices := []string{"1", "1.1", "0.5", "1000000", "0.9", "1.2"}
	var proofs []*consumertypes.MsgProvePrice
	proved := map[uint64]bool{}
	for i := range 24 {
		before := p.ProviderRecord().Price
		if i%2 == 0 {
			x.third.MustGov(x.held.MsgSetPrice(meshtest.Dec(prices[n.Rand.Intn(len(prices))])))
			proofs = append(proofs, x.fetch(mallory))
		}
		for range 3 { // old ones again, in any order; sometimes with another's value or height
			msg := *proofs[n.Rand.Intn(len(proofs))]
			honest := true
			switch other := proofs[n.Rand.Intn(len(proofs))]; n.Rand.Intn(4) {
			case 0:
				honest = string(msg.Value) == string(other.Value)
				msg.Value = other.Value
			case 1:
				honest = msg.ProofHeight == other.ProofHeight
				msg.ProofHeight = other.ProofHeight
			}
			if tx := mallory.Try(&msg); tx.Err() == nil {
				require.True(t, honest)
				require.False(t, proved[msg.ProofHeight.Height], "height %s a second time", msg.ProofHeight)
				for h := range proved {
					require.Less(t, h, msg.ProofHeight.Height)
				}
				proved[msg.ProofHeight.Height] = true
			}
		}
		n.Step()
		// Between two looks at most four epochs have ended.
		price := p.ProviderRecord().Price
		require.True(t, price.LTE(before.Mul(rate.Power(4))), "from %s to %s", before, price)
	}
	require.Greater(t, len(proved), 3)
	goHome(t, n, u+2*round, p.Provider, []*meshtest.Pairing{p}, "alice")
	books.requireNothingLost()
}
