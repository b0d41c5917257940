package keeper_test

import (
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func key(id string, val []byte) collections.Pair[string, []byte] { return collections.Join(id, val) }

func dec(s string) sdkmath.LegacyDec { return sdkmath.LegacyMustNewDecFromStr(s) }

func tokens(n int64) sdkmath.Int { return sdkmath.NewInt(n).MulRaw(oneToken) }

// reconfigure changes a provider's configuration as governance would.
func (f *fixture) reconfigure(id string, change func(*types.ProviderConfig)) {
	f.t.Helper()
	c := f.provider(id).Config
	change(&c)
	_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
	require.NoError(f.t, err)
}

func TestStakeBecomesVirtualStake(t *testing.T) {
	f := newFixture(t, 100, 100, 100)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 20})
	f.requireVirtual(provider1, 0, 0)
	f.epoch()
	f.requireVirtual(provider1, 0, 10)
	f.requireVirtual(provider1, 1, 20)
	require.EqualValues(t, 110, f.powers[f.ctx.BlockHeight()][string(f.vals[0].addr)])
	require.EqualValues(t, f.seqs[provider1], f.record(provider1, 0).ExecutedSeq)

	f.update(provider1, map[int]int64{0: 4, 1: 0})
	f.epoch()
	f.requireVirtual(provider1, 0, 4)
	f.requireVirtual(provider1, 1, 0)
	supply, err := f.k.NativeSupply(f.ctx)
	require.NoError(t, err)
	require.Equal(t, "300000000", supply.Amount.String())
}

func TestConversion(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) {
		c.Discount, c.CollateralDecimals = dec("0.1"), 18
	})
	f.setPrice(provider1, "0.45")
	u := f.packet(provider1, map[int]int64{0: 0})
	u.Stakes[0].Amount = sdkmath.NewInt(1_000_000_000_000_000_000).MulRaw(7)
	f.deliver(provider1, u)
	f.epoch()
	require.Equal(t, "2835000", f.virtual(provider1, 0).String()) // 7 · 0.45 · 0.9
}

func TestExtremeAmounts(t *testing.T) {
	for _, amount := range []string{"1", "9223372036854775808", "1000000000000000000000000000000", meshtypes.MaxAmount.SubRaw(1).String()} {
		f := newFixture(t, 1_000_000, 1_000_000)
		f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxCap = meshtypes.MaxAmount.SubRaw(1) })
		u := f.packet(provider1, map[int]int64{0: 0, 1: 0})
		for i := range u.Stakes {
			u.Stakes[i].Amount, _ = sdkmath.NewIntFromString(amount)
		}
		f.deliver(provider1, u)
		f.epoch()
		f.setPrice(provider1, "1000000000000000000")
		f.epoch()
		f.deliver(provider1, f.packet(provider1, map[int]int64{0: 0, 1: 0}))
		f.epoch()
		f.requireVirtual(provider1, 0, 0)
	}
}

func TestCapAbsolute(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxCap = sdkmath.NewInt(100) })
	f.update(provider1, map[int]int64{0: 1, 1: 1, 2: 1})
	f.epoch()
	// 100 over three equal ones: the remainder to the first.
	require.Equal(t, "34", f.virtual(provider1, 0).String())
	require.Equal(t, "33", f.virtual(provider1, 1).String())
	require.Equal(t, "33", f.virtual(provider1, 2).String())

	f.reconfigure(provider1, func(c *types.ProviderConfig) { c.MaxCap = sdkmath.NewInt(101) })
	f.epoch()
	require.Equal(t, "34", f.virtual(provider1, 1).String())
	require.Equal(t, "33", f.virtual(provider1, 2).String())
	f.requireExecuted(provider1, 0, 1, 2)
}

func (f *fixture) requireExecuted(id string, vals ...int) {
	f.t.Helper()
	for _, v := range vals {
		rec := f.record(id, v)
		require.Equal(f.t, rec.Seq, rec.ExecutedSeq, "%s on %d", id, v)
		require.Equal(f.t, rec.Amount.String(), rec.ExecutedAmount.String())
	}
}

func TestCapRatio(t *testing.T) {
	f := newFixture(t, 500, 500)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.2") })
	f.update(provider1, map[int]int64{0: 900, 1: 300})
	f.epoch()
	// 0.2/0.8 · 1000 = 250
	require.Equal(t, "187500000", f.virtual(provider1, 0).String())
	require.Equal(t, "62500000", f.virtual(provider1, 1).String())
	f.epoch()
	require.Equal(t, "187500000", f.virtual(provider1, 0).String(), "own stake does not raise the cap")
	res, err := f.query.Provider(f.ctx, &types.QueryProviderRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, "250000000", res.Provider.Cap.String())
	require.Equal(t, "250000000", res.Provider.VirtualTokens.String())
}

func TestCapOfAllProviders(t *testing.T) {
	f := newFixture(t, 500, 500)
	f.setParams(func(p *types.Params) { p.GlobalMaxPowerRatio = dec("0.2") })
	half := func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") }
	f.addProvider(provider1, half)
	f.addProvider(provider2, half)
	f.update(provider1, map[int]int64{0: 150})
	f.update(provider2, map[int]int64{0: 100, 1: 50})
	f.epoch()
	require.Equal(t, "125000000", f.virtual(provider1, 0).String())
	sum := f.virtual(provider1, 0).Add(f.virtual(provider2, 0)).Add(f.virtual(provider2, 1))
	require.Equal(t, "250000000", sum.String())
}

func TestCapOfAValidator(t *testing.T) {
	f := newFixture(t, 10, 5000)
	small := func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") }
	f.addProvider(provider1, small)
	f.addProvider(provider2, small)
	f.update(provider1, map[int]int64{0: 30, 1: 5})
	f.update(provider2, map[int]int64{0: 60})
	f.epoch()
	f.requireVirtual(provider1, 0, 10) // 3 × 10, pro rata
	f.requireVirtual(provider2, 0, 20)
	f.requireVirtual(provider1, 1, 5)
	// With native stake the room grows.
	f.delegate('n', 0, tokens(10))
	f.epoch()
	f.requireVirtual(provider1, 0, 20)
	f.requireVirtual(provider2, 0, 40)
}

func TestFullCapOneUpAnotherDown(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxCap = tokens(100) })
	f.update(provider1, map[int]int64{0: 90, 1: 10})
	f.epoch()
	f.requireVirtual(provider1, 0, 90)
	f.update(provider1, map[int]int64{0: 20, 1: 80})
	f.epoch()
	f.requireVirtual(provider1, 0, 20)
	f.requireVirtual(provider1, 1, 80)
	f.requireExecuted(provider1, 0, 1)
}

func TestDecreasesFirstAndIncreasesStopAtTheCap(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxCap = tokens(100) })
	f.update(provider1, map[int]int64{1: 90})
	f.epoch()
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.update(provider1, map[int]int64{0: 80, 1: 20}) // the increase is first by address
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 20)
	epoch, err := f.query.Epoch(f.ctx, &types.QueryEpochRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1, epoch.IncreasesLeft)
	require.EqualValues(t, 2, epoch.Epoch.Planned)
	require.Empty(t, f.reports()[1:], "reports wait for the plan")
	f.block(blockTime)
	f.requireVirtual(provider1, 0, 80)

	// A decrease that fails keeps its room.
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 10 })
	f.broken.failUnbond[string(f.vals[0].addr)] = func() error { return errors.New("no") }
	f.update(provider1, map[int]int64{0: 10, 1: 90})
	f.epoch()
	f.requireVirtual(provider1, 0, 80)
	f.requireVirtual(provider1, 1, 20)
	require.Equal(t, f.seqs[provider1], f.record(provider1, 1).ExecutedSeq, "a withheld increase counts as executed")
	require.Less(t, f.record(provider1, 0).ExecutedSeq, f.seqs[provider1])
	delete(f.broken.failUnbond, string(f.vals[0].addr))
	f.epoch()
	f.requireVirtual(provider1, 0, 10)
	f.requireVirtual(provider1, 1, 90)
}

func TestOneFailingValidatorHoldsUpNobody(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no") },
		"panic": func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 1000, 1000, 1000)
			f.addProvider(provider1, nil)
			f.broken.failDelegate[string(f.vals[1].addr)] = fail
			f.update(provider1, map[int]int64{0: 10, 1: 10, 2: 10})
			f.epoch()
			require.True(t, f.has("EventChangeFailed"))
			f.requireVirtual(provider1, 0, 10)
			f.requireVirtual(provider1, 1, 0)
			f.requireVirtual(provider1, 2, 10)
			f.requireExecuted(provider1, 0, 1, 2)

			delete(f.broken.failDelegate, string(f.vals[1].addr))
			f.epoch()
			f.requireVirtual(provider1, 1, 10)

			f.broken.failUnbond[string(f.vals[1].addr)] = fail
			f.update(provider1, map[int]int64{0: 5, 1: 5, 2: 5})
			f.epoch()
			f.requireVirtual(provider1, 0, 5)
			f.requireVirtual(provider1, 1, 10)
			f.requireVirtual(provider1, 2, 5)
			f.requireExecuted(provider1, 0, 2)
			require.Less(t, f.record(provider1, 1).ExecutedSeq, f.seqs[provider1])
			require.False(t, f.record(provider1, 1).FailingSince.IsZero())
		})
	}
}

func TestMintingThatFailsHoldsUpNoDecrease(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10})
	f.epoch()
	f.bankFail.failMint = func(sdk.Coins) error { return errors.New("no minting") }
	f.update(provider1, map[int]int64{0: 4, 1: 5})
	f.epoch()
	f.requireVirtual(provider1, 0, 4)
	f.requireVirtual(provider1, 1, 0)
	f.requireExecuted(provider1, 0, 1)
	f.bankFail.failMint = func(c sdk.Coins) error {
		if c.AmountOf(bondDenom).GT(tokens(6)) {
			return errors.New("too much at once")
		}
		return nil
	}
	f.update(provider1, map[int]int64{2: 6})
	f.epoch()
	f.requireVirtual(provider1, 1, 5)
	f.requireVirtual(provider1, 2, 6)
	f.bankFail.failMint = nil
}

func TestDecreaseThatKeepsFailingJailsTheValidator(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") })
	f.update(provider1, map[int]int64{0: 10})
	f.update(provider2, map[int]int64{0: 5})
	f.epoch()
	f.broken.failUnbond[string(f.vals[0].addr)] = func() error { return errors.New("no") }
	f.update(provider1, map[int]int64{0: 1})
	f.epoch()
	require.False(t, f.validator(0).Jailed)
	limit := 7 * 24 * time.Hour
	f.block(limit/2 - time.Minute)
	f.update(provider1, nil)
	f.update(provider2, nil)
	f.epoch()
	require.True(t, f.validator(0).Jailed)
	require.True(t, f.has("EventValidatorHeld"))
	require.ErrorIs(t, f.k.MayUnjail(f.ctx, f.vals[0].cons), types.ErrUnjailRefused)
	require.ErrorIs(t, f.slashing.Unjail(f.ctx, f.vals[0].addr), types.ErrUnjailRefused)
	require.NoError(t, f.k.MayUnjail(f.ctx, f.vals[1].cons))
	f.block(blockTime)
	require.False(t, f.validator(0).IsBonded())

	delete(f.broken.failUnbond, string(f.vals[0].addr))
	f.epoch()
	f.requireVirtual(provider1, 0, 1)
	require.True(t, f.record(provider1, 0).FailingSince.IsZero())
	require.NoError(t, f.k.MayUnjail(f.ctx, f.vals[0].cons))
	require.NoError(t, f.slashing.Unjail(f.ctx, f.vals[0].addr))
	f.block(blockTime)
	require.True(t, f.validator(0).IsBonded())
}

func TestPrices(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxPriceChange = dec("0.5"); p.RebalanceThreshold = dec("0.05") })
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)

	f.setPrice(provider1, "1.04") // below the threshold
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.setPrice(provider1, "1.06") // against the price last executed
	f.epoch()
	f.requireVirtual(provider1, 0, 106)
	f.setPrice(provider1, "10") // a rise is clamped, an epoch at a time
	f.epoch()
	f.requireVirtual(provider1, 0, 159)
	f.setPrice(provider1, "0.1") // a fall of more than 90 % is taken at once
	f.epoch()
	f.requireVirtual(provider1, 0, 10)

	// A small change of price goes along with a change of the amount.
	f.setPrice(provider1, "0.101")
	f.update(provider1, map[int]int64{0: 200})
	f.epoch()
	require.Equal(t, "20200000", f.virtual(provider1, 0).String())
}

func TestOldPriceOnlyLowers(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxPriceAge = time.Hour })
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.block(time.Hour)
	f.update(provider1, map[int]int64{0: 200, 1: 50})
	f.epoch()
	require.True(t, f.has("EventPriceUnusable"))
	f.requireVirtual(provider1, 0, 100)
	f.requireVirtual(provider1, 1, 0)
	f.requireExecuted(provider1, 0, 1)
	f.update(provider1, map[int]int64{0: 60})
	f.epoch()
	f.requireVirtual(provider1, 0, 60)
	res, err := f.query.Price(f.ctx, &types.QueryPriceRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.False(t, res.MayRise)
	f.setPrice(provider1, "1")
	f.epoch()
	f.requireVirtual(provider1, 1, 50)
}

func TestMissingPriceNeverRaises(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	require.NoError(t, f.k.Prices.Remove(f.ctx, provider1))
	f.update(provider1, map[int]int64{0: 1000, 1: 5})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.requireVirtual(provider1, 1, 0)
	require.True(t, f.has("EventPriceUnusable"))
	// 1000 was executed without moving anything; a fifth of it is a fifth of what there is.
	f.update(provider1, map[int]int64{0: 200})
	f.epoch()
	f.requireVirtual(provider1, 0, 20)
	// A zero or negative one, as a broken feed might give, neither.
	for _, price := range []string{"0", "-1"} {
		require.NoError(t, f.k.Prices.Set(f.ctx, provider1, types.PostedPrice{Price: dec(price), PostedAt: f.ctx.BlockTime()}))
		f.quiet = true // such a price is no valid state
		f.epoch()
		f.requireVirtual(provider1, 0, 20)
	}
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.quiet = false
	f.setPrice(provider1, "1")
	f.epoch()
	f.requireVirtual(provider1, 1, 5)
}

func TestSilentProviderLosesItsPowerAndGetsItBack(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 7})
	f.epoch()
	limit := 7 * 24 * time.Hour
	f.block(limit - 2*time.Minute) // an epoch with synced_at just within the limit
	f.requireVirtual(provider1, 0, 100)
	f.block(2 * time.Minute)
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 0)
	require.Equal(t, tokens(100).String(), f.record(provider1, 0).Amount.String(), "amounts are kept")
	require.True(t, f.has("EventFreshness"))
	require.False(t, f.provider(provider1).Fresh)

	f.update(provider1, nil) // a heartbeat
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.requireVirtual(provider1, 1, 7)
	require.True(t, f.provider(provider1).Fresh)
}

func TestShorterUnbondingShortensTheLimit(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	u := f.packet(provider1, map[int]int64{0: 100})
	u.UnbondingPeriod = uint64(3 * 24 * time.Hour)
	f.deliver(provider1, u)
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.block(24 * time.Hour) // the margin is two days
	f.requireVirtual(provider1, 0, 0)
	res, err := f.query.Provider(f.ctx, &types.QueryProviderRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, res.Provider.FreshnessLimit)
	require.False(t, res.Provider.Fresh)
}

func TestSyncedAtNeitherAheadNorBack(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	now := f.ctx.BlockTime()
	u := f.packet(provider1, nil)
	u.SyncedAt = uint64(now.Add(1000 * time.Hour).UnixNano())
	f.deliver(provider1, u)
	require.Equal(t, now, f.provider(provider1).SyncedAt)
	u = f.packet(provider1, nil)
	u.SyncedAt = 1
	f.deliver(provider1, u)
	require.Equal(t, now, f.provider(provider1).SyncedAt)
}

func TestPause(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	_, err := f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.update(provider1, map[int]int64{0: 50, 1: 50})
	f.epoch()
	f.requireVirtual(provider1, 0, 50)
	f.requireVirtual(provider1, 1, 0)
	f.requireExecuted(provider1, 0, 1)
	_, err = f.msg.ResumeProvider(f.ctx, &types.MsgResumeProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.epoch()
	f.requireVirtual(provider1, 1, 50)
}

func TestPauseStopsIncreasesOfARunningPlan(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 10, 2: 10})
	f.epoch()
	_, err := f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.block(blockTime)
	f.block(blockTime)
	f.requireVirtual(provider1, 0, 10)
	f.requireVirtual(provider1, 1, 0)
	f.requireVirtual(provider1, 2, 0)
}

func TestRemovalAndAddingAgain(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 30})
	f.epoch()
	old := f.session(provider1)
	_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)

	// Its stake has not left yet: an error, so that nobody counts it as executed.
	bz, err := ptr(f.packet(provider1, map[int]int64{0: 1})).Marshal()
	require.NoError(t, err)
	_, ok := f.receive(provider1, bz)
	require.False(t, ok)
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 0)
	ack := f.update(provider1, map[int]int64{0: 1, 1: 1})
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_NOT_REGISTERED, meshtypes.STAKE_CODE_NOT_REGISTERED}, ack.Codes)
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	f.epoch()
	require.Zero(t, f.provider(provider1).Stakes, "nothing is left to remember")

	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "provider-of-"+provider1)})
	require.NoError(t, err)
	p := f.provider(provider1)
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, p.Status, "the channel is still there")
	require.Greater(t, p.Session.Consumer, old.Consumer)
	require.Equal(t, peerHalf, p.Session.Provider)
	_, err = f.k.Prices.Get(f.ctx, provider1)
	require.ErrorIs(t, err, collections.ErrNotFound)

	// The provider still uses the old session: refused, and told the new one.
	u := f.packet(provider1, map[int]int64{0: 5})
	u.Session = old
	ack = f.deliver(provider1, u)
	require.True(t, ack.Refused)
	require.Equal(t, f.session(provider1), ack.Current)
	f.seqs[provider1] = 0
	f.setPrice(provider1, "1")
	f.update(provider1, map[int]int64{0: 5})
	f.epoch()
	f.requireVirtual(provider1, 0, 5)
}

func TestAddingAgainInTheSameEpochForgetsWhatWas(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 30})
	f.epoch()
	_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "provider-of-"+provider1)})
	require.NoError(t, err)
	f.check()
	f.setPrice(provider1, "1")
	f.seqs[provider1] = 0
	f.update(provider1, map[int]int64{1: 12})
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 12)
}

func TestTombstonedValidatorGetsNothing(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for range 4 {
		f.block(blockTime)
	}
	f.doubleSign(0, f.ctx.BlockHeight())
	f.block(blockTime)
	f.requireVirtual(provider1, 0, 95)
	// Stake is left, so the amount is stored and its execution reported.
	ack := f.update(provider1, map[int]int64{0: 50, 1: 5})
	require.Equal(t, meshtypes.STAKE_CODE_STORED, ack.Codes[0])
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 5)
	f.requireExecuted(provider1, 0)
	ack = f.update(provider1, map[int]int64{0: 60})
	require.Equal(t, meshtypes.STAKE_CODE_TOMBSTONED, ack.Codes[0])
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireExecuted(provider1, 0)
}

func TestTombstonedWithoutVirtualStake(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	for range 4 {
		f.block(blockTime)
	}
	f.doubleSign(0, f.ctx.BlockHeight())
	f.block(blockTime)
	ack := f.update(provider1, map[int]int64{0: 50})
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_TOMBSTONED}, ack.Codes)
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	var last meshtypes.ConsumerReport
	for _, r := range f.reports() {
		if len(r.Validators) > 0 {
			last = r
		}
	}
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, last.Validators[0].Status)
}

func TestJailedValidatorKeepsItsStake(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	require.NoError(t, f.slashing.Jail(f.ctx, f.vals[0].cons))
	f.block(blockTime)
	require.False(t, f.validator(0).IsBonded())
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.update(provider1, map[int]int64{0: 40, 1: 10})
	f.epoch()
	f.requireVirtual(provider1, 0, 40)
	f.update(provider1, map[int]int64{0: 70})
	f.epoch()
	f.requireVirtual(provider1, 0, 70)
	res, err := f.query.Security(f.ctx, &types.QuerySecurityRequest{})
	require.NoError(t, err)
	require.Equal(t, tokens(2000).String(), res.NativeBonded.String())
	require.Equal(t, tokens(10).String(), res.VirtualBonded.String())
}

func TestLastNativeDelegationLeavesNoVirtualStakeBehind(t *testing.T) {
	f := newFixture(t, 100, 1000, 1000)
	f.addProvider(provider1, nil)
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") })
	f.update(provider1, map[int]int64{0: 50, 1: 10})
	f.update(provider2, map[int]int64{0: 5})
	f.epoch()
	_, _, err := f.staking.Undelegate(f.ctx, sdk.AccAddress(f.vals[0].addr), f.vals[0].addr, sdkmath.LegacyNewDecFromInt(tokens(100)))
	require.NoError(t, err)
	f.block(blockTime)
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider2, 0, 0)
	f.requireVirtual(provider1, 1, 10)
	require.False(t, f.validator(0).IsBonded())
	f.epoch()
	f.block(22 * 24 * time.Hour)
	_, err = f.staking.GetValidator(f.ctx, f.vals[0].addr)
	require.ErrorIs(t, err, stakingtypes.ErrNoValidatorFound)
	ack := f.update(provider1, map[int]int64{0: 1})
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR}, ack.Codes)
	f.epoch()
	f.requireExecuted(provider1, 0)
}

func TestValidatorSlashedToZeroLosesItsVirtualDelegation(t *testing.T) {
	f := newFixture(t, 100, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 50, 1: 10})
	f.epoch()
	f.block(blockTime)
	// All of it: the rate becomes invalid.
	_, err := f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 150, sdkmath.LegacyOneDec())
	require.NoError(t, err)
	require.True(t, f.validator(0).Tokens.IsZero())
	require.True(t, f.record(provider1, 0).Amount.IsZero())
	f.epoch()
	_, err = f.staking.GetDelegation(f.ctx, types.VirtualAccount(provider1), f.vals[0].addr)
	require.ErrorIs(t, err, stakingtypes.ErrNoDelegation)
	f.requireVirtual(provider1, 1, 10)
}

func TestSlashedStakeIsNotMintedBack(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for range 4 {
		f.block(blockTime)
	}
	_, err := f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1100, dec("0.1"))
	require.NoError(t, err)
	require.Equal(t, "90000000", f.virtual(provider1, 0).String())
	f.epoch()
	require.Equal(t, "90000000", f.virtual(provider1, 0).String())
	require.Equal(t, "90000000", f.record(provider1, 0).Amount.String())
}

func TestSlashWhileAnIncreaseIsInFlight(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 100})
	f.epoch()
	_, err := f.staking.Slash(f.ctx, f.vals[1].cons, f.ctx.BlockHeight(), 1000, dec("0.1"))
	require.NoError(t, err)
	f.block(blockTime)
	f.requireVirtual(provider1, 1, 90)
	require.Equal(t, "90000000", f.record(provider1, 1).ExecutedAmount.String())
}

func TestRoundingAfterASlashSettlesDown(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	_, err := f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1100, dec("0.333333333333333333"))
	require.NoError(t, err)
	f.epoch()
	f.recorded[provider1] = 1 // what is reported from now on has been slashed there too
	for i, amount := range []int64{77, 13, 91, 12, 11, 78} {
		f.update(provider1, map[int]int64{0: amount})
		f.epoch()
		target := tokens(amount)
		got := f.virtual(provider1, 0)
		require.True(t, got.LTE(target) && got.GTE(target.SubRaw(1)), "%d: %s of %s", i, got, target)
		f.requireExecuted(provider1, 0)
		f.epoch()
		require.False(t, f.has("EventVirtualStakeChanged"), "a token of rounding is not chased")
	}
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	_, err = f.staking.GetDelegation(f.ctx, types.VirtualAccount(provider1), f.vals[0].addr)
	require.ErrorIs(t, err, stakingtypes.ErrNoDelegation)
}

func TestCapSetToZeroIsGoneInOneEpoch(t *testing.T) {
	native := make([]int64, 60)
	for i := range native {
		native[i] = 1000
	}
	f := newFixture(t, native...)
	f.addProvider(provider1, nil)
	amounts := map[int]int64{}
	for i := range native {
		amounts[i] = 100
	}
	f.update(provider1, amounts)
	f.epoch()
	f.reconfigure(provider1, func(c *types.ProviderConfig) { c.MaxCap = sdkmath.ZeroInt() })
	f.epoch()
	for i := range native {
		f.requireVirtual(provider1, i, 0)
	}
	sum, err := f.k.SumVirtualSupply(f.ctx)
	require.NoError(t, err)
	require.True(t, sum.Total.IsZero())
}

func TestCapSetToZeroWithoutAPrice(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	require.NoError(t, f.k.Prices.Remove(f.ctx, provider1))
	f.reconfigure(provider1, func(c *types.ProviderConfig) { c.MaxCap = sdkmath.ZeroInt() })
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
}

func TestPlanOverManyBlocksIsReplacedByTheNext(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 10, 2: 10, 3: 10})
	f.epoch()
	f.update(provider1, map[int]int64{3: 0})
	f.epoch()
	f.block(blockTime)
	f.block(blockTime)
	f.requireVirtual(provider1, 0, 10)
	f.requireVirtual(provider1, 1, 10)
	f.requireVirtual(provider1, 2, 10)
	f.requireVirtual(provider1, 3, 0)
	f.requireExecuted(provider1, 0, 1, 2, 3)
}

func ptr[T any](v T) *T { return &v }

// Anyone can put denoms into a validator's rewards.
func TestAThousandForeignDenomsDoNotStopADecrease(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 10})
	f.epoch()

	coins := make(sdk.Coins, 1000)
	for i := range coins {
		coins[i] = sdk.NewInt64Coin(fmt.Sprintf("foreign%06d", i), 1_000_000)
	}
	require.NoError(t, f.bank.MintCoins(f.ctx, minttypes.ModuleName, coins))
	require.NoError(t, f.bank.SendCoinsFromModuleToModule(f.ctx, minttypes.ModuleName, distrtypes.ModuleName, coins))
	require.NoError(t, f.distribution.AllocateTokensToValidator(f.ctx, f.validator(0), sdk.NewDecCoinsFromCoins(coins...)))

	f.update(provider1, map[int]int64{0: 4, 1: 4})
	f.epoch()
	f.requireVirtual(provider1, 0, 4)
	f.requireVirtual(provider1, 1, 4)
	f.requireExecuted(provider1, 0, 1)
	require.True(t, f.record(provider1, 0).FailingSince.IsZero())
}

// TestAFailingPlanStillTakesAwayWhatMustNotBe: where a provider's part of the plan fails, or the caps do, targets need no
// price and do not rise, and are zero all the same for a provider that is removed or silent and for a tombstoned validator.
func TestAFailingPlanStillTakesAwayWhatMustNotBe(t *testing.T) {
	enormous := sdkmath.LegacyNewDecFromInt(sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 254)))
	// Values beyond what may be set make the sums overflow. The invariants, which would see them, are checked at the end.
	setParams := func(f *fixture, change func(*types.Params)) {
		f.quiet = true
		params, err := f.k.Params.Get(f.ctx)
		require.NoError(f.t, err)
		change(&params)
		require.NoError(f.t, f.k.Params.Set(f.ctx, params))
	}
	failures := map[string]func(f *fixture){
		"the provider's part": func(f *fixture) {
			setParams(f, func(p *types.Params) { p.MaxPriceChange = enormous })
			f.setPrice(provider1, "2000")
			p := f.provider(provider1)
			p.Price = dec("1000")
			require.NoError(f.t, f.k.Providers.Set(f.ctx, provider1, p))
		},
		"the caps": func(f *fixture) { setParams(f, func(p *types.Params) { p.MaxValidatorMultiple = enormous }) },
	}
	for name, fail := range failures {
		for _, tc := range []struct {
			name string
			do   func(f *fixture)
			// first and second are what the two validators have afterwards.
			first, second int64
		}{
			{"active", func(*fixture) {}, 95, 50},
			{"a fall", func(f *fixture) { f.update(provider1, map[int]int64{1: 25}) }, 95, 25},
			{"a rise", func(f *fixture) { f.update(provider1, map[int]int64{1: 80}) }, 95, 50},
			{"paused", func(f *fixture) {
				_, err := f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider1})
				require.NoError(f.t, err)
				f.update(provider1, map[int]int64{1: 80})
			}, 95, 50},
			{"removed", func(f *fixture) {
				_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
				require.NoError(f.t, err)
			}, 0, 0},
			{"silent", func(f *fixture) {
				f.ctx = f.ctx.WithBlockTime(f.ctx.BlockTime().Add(8 * 24 * time.Hour))
			}, 0, 0},
		} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				f := newFixture(t, 1000, 1000, 1000)
				f.addProvider(provider1, nil)
				f.update(provider1, map[int]int64{0: 95, 1: 50})
				f.epoch()
				f.requireVirtual(provider1, 0, 95)
				fail(f)
				tc.do(f)
				f.epoch()
				require.True(t, f.has("EventPlanFailed") || tc.first == 0)
				f.requireVirtual(provider1, 0, tc.first)
				f.requireVirtual(provider1, 1, tc.second)
				f.setParams(func(p *types.Params) { *p = testParams() })
				f.check()
			})
		}
		t.Run(name+"/tombstoned", func(t *testing.T) {
			f := newFixture(t, 1000, 1000, 1000)
			f.addProvider(provider1, nil)
			f.update(provider1, map[int]int64{0: 100, 1: 50})
			f.epoch()
			f.block(blockTime)
			f.doubleSign(0, f.ctx.BlockHeight())
			f.block(blockTime)
			f.requireVirtual(provider1, 0, 95)
			fail(f)
			f.epoch()
			require.True(t, f.has("EventPlanFailed"))
			f.requireVirtual(provider1, 0, 0)
			f.requireVirtual(provider1, 1, 50)
			f.setParams(func(p *types.Params) { *p = testParams() })
			f.check()
		})
	}
}
