package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"

	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	rewardChannel  = "channel-7"
	rewardReceiver = "osmo1receiver"
	foreign        = "ibc/ATOM"
)

var escrow = sdk.AccAddress("escrow of channel-7_")

// rewarded is a fixture with real rewards of x/distribution and a transfer module that escrows and refunds.
type rewarded struct {
	*fixture
	transfers  *escrowing
	middleware consumer.TransferMiddleware
}

// escrowing stands for the transfer module: it escrows what is sent, and gives it back when a transfer fails.
type escrowing struct {
	porttypes.IBCModule
	f    *fixture
	sent []*transfertypes.MsgTransfer
	fail func(*transfertypes.MsgTransfer) error
}

func (e *escrowing) Transfer(ctx context.Context, msg *transfertypes.MsgTransfer) (*transfertypes.MsgTransferResponse, error) {
	if err := e.f.bank.SendCoins(ctx, sdk.MustAccAddressFromBech32(msg.Sender), escrow, sdk.NewCoins(msg.Token)); err != nil {
		return nil, err
	}
	if e.fail != nil {
		if err := e.fail(msg); err != nil {
			return nil, err
		}
	}
	e.sent = append(e.sent, msg)
	return &transfertypes.MsgTransferResponse{Sequence: uint64(len(e.sent))}, nil
}

func (e *escrowing) refund(ctx sdk.Context, packet channeltypes.Packet) error {
	msg := e.sent[packet.Sequence-1]
	return e.f.bank.SendCoins(ctx, escrow, sdk.MustAccAddressFromBech32(msg.Sender), sdk.NewCoins(msg.Token))
}

func (e *escrowing) OnAcknowledgementPacket(ctx sdk.Context, _ string, packet channeltypes.Packet, ack []byte, _ sdk.AccAddress) error {
	if string(ack) == string(channeltypes.NewResultAcknowledgement([]byte{1}).Acknowledgement()) {
		return nil
	}
	return e.refund(ctx, packet)
}

func (e *escrowing) OnTimeoutPacket(ctx sdk.Context, _ string, packet channeltypes.Packet, _ sdk.AccAddress) error {
	return e.refund(ctx, packet)
}

// newRewarded returns a chain with validators of a million tokens, a provider with stake on the first so many, and rewards
// forwarded in the given part.
func newRewarded(t *testing.T, validators, backed int, change func(*types.ProviderConfig)) *rewarded {
	t.Helper()
	native := make([]int64, validators)
	amounts := map[int]int64{}
	for i := range native {
		native[i] = 1_000_000
		if i < backed {
			amounts[i] = int64(10_000 + 1_000*i)
		}
	}
	f := newFixture(t, native...)
	r := &rewarded{fixture: f, transfers: &escrowing{f: f}}
	f.k.ConnectDistribution(f.distribution)
	f.k.ConnectTransfer(r.transfers)
	f.channels.channels[rewardChannel] = channeltypes.Channel{State: channeltypes.OPEN}
	r.middleware = consumer.NewTransferMiddleware(r.transfers, f.k)
	f.addProvider(provider1, func(c *types.ProviderConfig) {
		c.RewardChannel, c.RewardReceiver = rewardChannel, rewardReceiver
		if change != nil {
			change(c)
		}
	})
	f.update(provider1, amounts)
	f.epoch()
	f.block(blockTime)
	for i := range backed {
		f.requireVirtual(provider1, i, amounts[i])
	}
	return r
}

func (r *rewarded) mint(to sdk.AccAddress, coins ...sdk.Coin) {
	r.t.Helper()
	all := sdk.NewCoins(coins...)
	require.NoError(r.t, r.bank.MintCoins(r.ctx, minttypes.ModuleName, all))
	require.NoError(r.t, r.bank.SendCoinsFromModuleToAccount(r.ctx, minttypes.ModuleName, to, all))
}

// allocate gives a validator rewards, as x/distribution does at the beginning of a block.
func (r *rewarded) allocate(val int, coins ...sdk.Coin) {
	r.t.Helper()
	r.mint(authtypes.NewModuleAddress(distrtypes.ModuleName), coins...)
	v := r.validator(val)
	require.NoError(r.t, r.distribution.AllocateTokensToValidator(r.ctx, v, sdk.NewDecCoinsFromCoins(coins...)))
}

// due returns what x/distribution would pay now for a provider's stake on a validator.
func (r *rewarded) due(id string, val int, denom string) sdkmath.Int {
	r.t.Helper()
	cacheCtx, _ := r.ctx.WithBlockHeight(r.ctx.BlockHeight() + 1).CacheContext()
	coins, err := r.distribution.WithdrawDelegationRewards(cacheCtx, types.VirtualAccount(id), r.vals[val].addr)
	require.NoError(r.t, err)
	return coins.AmountOf(denom)
}

func (r *rewarded) balance(addr sdk.AccAddress, denom string) sdkmath.Int {
	return r.bank.GetBalance(r.ctx, addr, denom).Amount
}

func (r *rewarded) distributionHas(denom string) sdkmath.Int {
	return r.balance(authtypes.NewModuleAddress(distrtypes.ModuleName), denom)
}

func (r *rewarded) communityHas(denom string) sdkmath.LegacyDec {
	r.t.Helper()
	pool, err := r.distribution.FeePool.Get(r.ctx)
	require.NoError(r.t, err)
	return pool.CommunityPool.AmountOf(denom)
}

func (r *rewarded) book(id, denom string) types.RewardBook {
	r.t.Helper()
	book, err := r.k.RewardBooks.Get(r.ctx, collections.Join(id, denom))
	if errors.Is(err, collections.ErrNotFound) {
		return types.NewRewardBook()
	}
	require.NoError(r.t, err)
	return book
}

// requireBook checks a book's pending, in flight, delivered and abandoned amounts.
func (r *rewarded) requireBook(id, denom string, pending, inFlight, delivered, abandoned sdkmath.Int) {
	r.t.Helper()
	b := r.book(id, denom)
	require.Equal(r.t, fmt.Sprint(pending, inFlight, delivered, abandoned), fmt.Sprint(b.Pending, b.InFlight, b.Delivered, b.Abandoned))
	require.Equal(r.t, pending.Add(inFlight).Add(delivered).Add(abandoned).String(), b.Collected.String())
}

// requireSwept checks that nothing is left on the provider's accounts in a denom but what waits.
func (r *rewarded) requireSwept(id, denom string, waiting sdkmath.Int) {
	r.t.Helper()
	require.Equal(r.t, "0", r.balance(types.VirtualAccount(id), denom).String())
	require.Equal(r.t, waiting.String(), r.balance(types.RewardAccount(id), denom).String())
}

// memo reads the memo of a transfer by its sequence and checks that it adds up.
func (r *rewarded) memo(sequence int) map[string]sdkmath.Int {
	r.t.Helper()
	msg := r.transfers.sent[sequence-1]
	rewards, err := meshtypes.ParseRewardMemo(msg.Memo)
	require.NoError(r.t, err)
	out, sum := map[string]sdkmath.Int{}, sdkmath.ZeroInt()
	for _, reward := range rewards {
		out[reward.Validator] = reward.Amount
		sum = sum.Add(reward.Amount)
	}
	require.Equal(r.t, sum.String(), msg.Token.Amount.String())
	return out
}

func (r *rewarded) packet(sequence int) channeltypes.Packet {
	return channeltypes.Packet{SourcePort: transfertypes.PortID, SourceChannel: rewardChannel, Sequence: uint64(sequence)}
}

func (r *rewarded) acknowledge(sequence int) {
	r.t.Helper()
	require.NoError(r.t, r.middleware.OnAcknowledgementPacket(r.ctx, transfertypes.V1, r.packet(sequence),
		channeltypes.NewResultAcknowledgement([]byte{1}).Acknowledgement(), nil))
}

func (r *rewarded) refuse(sequence int) {
	r.t.Helper()
	require.NoError(r.t, r.middleware.OnAcknowledgementPacket(r.ctx, transfertypes.V1, r.packet(sequence),
		channeltypes.NewErrorAcknowledgement(errors.New("no")).Acknowledgement(), nil))
}

func (r *rewarded) timeOut(sequence int) {
	r.t.Helper()
	require.NoError(r.t, r.middleware.OnTimeoutPacket(r.ctx, transfertypes.V1, r.packet(sequence), nil))
}

func coin(denom string, amount int64) sdk.Coin { return sdk.NewInt64Coin(denom, amount) }

func zero() sdkmath.Int { return sdkmath.ZeroInt() }

// TestRewardsToTheLastUnit: what x/distribution pays for each validator's virtual stake is split by the ratio, rounded down
// for the provider, and every unit is in the transfer or in the community pool.
func TestRewardsToTheLastUnit(t *testing.T) {
	ratio := sdkmath.LegacyMustNewDecFromStr("0.7")
	r := newRewarded(t, 4, 3, func(c *types.ProviderConfig) { c.RewardRatio = ratio })
	for i, amount := range []int64{1_000_003, 777_777, 5_432_109, 999} {
		r.allocate(i, coin(bondDenom, amount))
	}
	parts, sum := map[string]sdkmath.Int{}, zero()
	for i := range 3 {
		paid := r.due(provider1, i, bondDenom)
		require.True(t, paid.GT(sdkmath.NewInt(1_000)), "%s", paid)
		part := sdkmath.LegacyNewDecFromInt(paid).Mul(ratio).TruncateInt()
		require.True(t, part.LT(paid))
		parts[r.vals[i].addr.String()] = part
		sum = sum.Add(part)
	}
	before, supply := r.distributionHas(bondDenom), r.bank.GetSupply(r.ctx, bondDenom)
	r.epoch()
	require.Len(t, r.transfers.sent, 1)
	require.Equal(t, fmt.Sprint(parts), fmt.Sprint(r.memo(1)))
	msg := r.transfers.sent[0]
	require.Equal(t, types.RewardAccount(provider1).String(), msg.Sender)
	require.Equal(t, rewardReceiver, msg.Receiver)
	require.Equal(t, rewardChannel, msg.SourceChannel)
	require.Equal(t, uint64(r.ctx.BlockTime().Add(24*time.Hour).UnixNano()), msg.TimeoutTimestamp)
	require.Equal(t, sum.String(), r.balance(escrow, bondDenom).String())
	// The community pool is part of x/distribution's account: only what was sent has left it.
	require.Equal(t, before.Sub(sum).String(), r.distributionHas(bondDenom).String())
	require.Equal(t, supply.String(), r.bank.GetSupply(r.ctx, bondDenom).String())
	r.requireBook(provider1, bondDenom, zero(), sum, zero(), zero())
	r.requireSwept(provider1, bondDenom, zero())
	r.acknowledge(1)
	r.requireBook(provider1, bondDenom, zero(), zero(), sum, zero())
	for _, event := range []string{"EventRewardsCollected", "EventRewardsSent", "EventRewardsSwept", "EventRewardsDelivered"} {
		require.True(t, r.has(event), event)
	}
	has, err := r.k.RewardWork.Has(r.ctx, provider1)
	require.NoError(t, err)
	require.False(t, has)

	// Nothing is paid twice.
	r.epoch()
	require.Len(t, r.transfers.sent, 1)
	require.Equal(t, before.Sub(sum).String(), r.distributionHas(bondDenom).String())
}

// TestRewardsOfChanges: x/distribution pays out by itself before each change of a delegation. An increase, a decrease and a
// removal count what they bring, once.
func TestRewardsOfChanges(t *testing.T) {
	for _, maxOps := range []uint32{500, 1} {
		t.Run(fmt.Sprint(maxOps), func(t *testing.T) {
			r := newRewarded(t, 4, 4, nil)
			r.setParams(func(p *types.Params) { p.MaxEpochOperations = maxOps })
			sum := zero()
			for i := range 4 {
				r.allocate(i, coin(bondDenom, 1_000_003*int64(i+1)))
				sum = sum.Add(r.due(provider1, i, bondDenom))
			}
			// Up, down, away, unchanged.
			r.update(provider1, map[int]int64{0: 20_000, 1: 5_000, 2: 0, 3: 13_000})
			before := r.distributionHas(bondDenom)
			r.epoch()
			for range 5 {
				r.block(blockTime)
			}
			r.requireVirtual(provider1, 0, 20_000)
			r.requireVirtual(provider1, 1, 5_000)
			r.requireVirtual(provider1, 2, 0)
			r.epoch()
			b := r.book(provider1, bondDenom)
			require.Equal(t, sum.String(), b.Collected.String())
			require.Equal(t, sum.String(), r.balance(escrow, bondDenom).String())
			require.Equal(t, before.Sub(sum).String(), r.distributionHas(bondDenom).String())
			r.requireSwept(provider1, bondDenom, zero())
		})
	}
}

// TestRewardsOfStrays: virtual stake that is taken away outside of a plan brings its rewards too.
func TestRewardsOfStrays(t *testing.T) {
	r := newRewarded(t, 2, 2, nil)
	r.allocate(0, coin(bondDenom, 1_000_003))
	sum := r.due(provider1, 0, bondDenom)
	_, _, err := r.staking.Undelegate(r.ctx, sdk.AccAddress(r.vals[0].addr), r.vals[0].addr, sdkmath.LegacyNewDecFromInt(
		sdkmath.NewInt(1_000_000).MulRaw(oneToken)))
	require.NoError(t, err)
	r.block(blockTime)
	r.requireVirtual(provider1, 0, 0)
	require.Equal(t, sum.String(), r.book(provider1, bondDenom).Pending.String())
	r.epoch()
	require.Equal(t, sum.String(), r.balance(escrow, bondDenom).String())
}

// TestTwoProviders: each gets what its own stake earned.
func TestTwoProviders(t *testing.T) {
	r := newRewarded(t, 2, 2, func(c *types.ProviderConfig) { c.MaxPowerRatio = sdkmath.LegacyNewDecWithPrec(1, 1) })
	r.addProvider(provider2, func(c *types.ProviderConfig) {
		c.MaxPowerRatio = sdkmath.LegacyNewDecWithPrec(1, 1)
		c.RewardRatio = sdkmath.LegacyNewDecWithPrec(5, 1)
		c.RewardChannel, c.RewardReceiver = "channel-8", "axelar1receiver"
	})
	r.update(provider2, map[int]int64{0: 30_000})
	r.epoch()
	r.allocate(0, coin(bondDenom, 1_000_001))
	r.allocate(1, coin(bondDenom, 2_000_001))
	r.block(blockTime)
	one := r.due(provider1, 0, bondDenom).Add(r.due(provider1, 1, bondDenom))
	two := r.due(provider2, 0, bondDenom).QuoRaw(2)
	r.epoch()
	require.Equal(t, one.String(), r.book(provider1, bondDenom).InFlight.String())
	require.Equal(t, two.String(), r.book(provider2, bondDenom).InFlight.String())
	require.Len(t, r.transfers.sent, 2)
	require.Equal(t, "channel-8", r.transfers.sent[1].SourceChannel)
	require.Equal(t, uint64(r.ctx.BlockTime().Add(24*time.Hour).Unix()), r.transfers.sent[1].TimeoutTimestamp, "not a channel: seconds")
	r.requireSwept(provider1, bondDenom, zero())
	r.requireSwept(provider2, bondDenom, zero())
}

// TestThousandForeignDenoms: anyone can put any denom into a validator's rewards. They go to the community pool, twenty a
// block; the registered ones arrive, stake can leave, and other validators are not held up.
func TestThousandForeignDenoms(t *testing.T) {
	r := newRewarded(t, 2, 2, func(c *types.ProviderConfig) {
		c.RewardDenoms = []types.RewardDenom{{Denom: bondDenom, MinTransfer: zero()}, {Denom: foreign, MinTransfer: zero()}}
	})
	var junk sdk.Coins
	for i := range 1000 {
		junk = append(junk, coin(fmt.Sprintf("junk%04d", i), 1_000_000))
	}
	r.allocate(0, junk...)
	r.allocate(0, coin(bondDenom, 1_000_003), coin(foreign, 2_000_003))
	r.allocate(1, coin(bondDenom, 500_000))
	want := r.due(provider1, 0, bondDenom).Add(r.due(provider1, 1, bondDenom))
	wantForeign := r.due(provider1, 0, foreign)
	paid := r.due(provider1, 0, "junk0500")
	require.True(t, paid.IsPositive() && want.IsPositive() && wantForeign.IsPositive())
	r.update(provider1, map[int]int64{0: 0}) // leaving is what must not be held up
	start := time.Now()
	r.epoch()
	t.Logf("a block with a thousand denoms took %s", time.Since(start))
	require.False(t, r.has("EventChangeFailed"))
	r.requireVirtual(provider1, 0, 0)
	require.Len(t, r.transfers.sent, 2, "one per registered denom")
	require.Equal(t, want.String(), r.balance(escrow, bondDenom).String())
	require.Equal(t, wantForeign.String(), r.balance(escrow, foreign).String())
	left := func() (n int) {
		r.bank.IterateAccountBalances(r.ctx, types.VirtualAccount(provider1), func(sdk.Coin) bool { n++; return false })
		return n
	}
	require.Equal(t, 980, left(), "twenty a block")
	for n := 980; n > 0; n -= 20 {
		require.Equal(t, n, left())
		r.quiet = true
		r.block(time.Second)
	}
	require.Zero(t, left())
	require.Equal(t, "1000000", r.distributionHas("junk0500").String(), "in the community pool, which x/distribution holds")
	require.True(t, r.communityHas("junk0500").GTE(sdkmath.LegacyNewDecFromInt(paid)))
}

// TestMoneyOfStrangers: what anybody sends to the two accounts is never a reward and goes to the community pool.
func TestMoneyOfStrangers(t *testing.T) {
	r := newRewarded(t, 1, 1, nil)
	r.mint(types.VirtualAccount(provider1), coin(bondDenom, 123_456), coin("junk", 5))
	r.mint(types.RewardAccount(provider1), coin(bondDenom, 654_321), coin("junk", 7))
	r.update(provider1, map[int]int64{0: 20_000}) // a change, too, counts only what it brings
	before := r.communityHas(bondDenom)
	r.epoch()
	require.Empty(t, r.transfers.sent)
	require.Equal(t, "0", r.book(provider1, bondDenom).Collected.String())
	require.Equal(t, "777777.000000000000000000", r.communityHas(bondDenom).Sub(before).String())
	require.Equal(t, "12.000000000000000000", r.communityHas("junk").String())
	r.requireSwept(provider1, bondDenom, zero())
	r.requireSwept(provider1, "junk", zero())

	// With rewards waiting, only what is beyond them.
	r.transfers.fail = func(*transfertypes.MsgTransfer) error { return errors.New("closed") }
	r.allocate(0, coin(bondDenom, 1_000_000))
	want := r.due(provider1, 0, bondDenom)
	r.mint(types.RewardAccount(provider1), coin(bondDenom, 99))
	before = r.communityHas(bondDenom)
	r.epoch()
	r.requireSwept(provider1, bondDenom, want)
	require.True(t, r.communityHas(bondDenom).Sub(before).GTE(sdkmath.LegacyNewDec(99)))
}

// TestUnregisteredDenomIsNotForwarded: a denom that is not registered goes to the community pool whole, and so does the
// bond denom where others are registered.
func TestUnregisteredDenomIsNotForwarded(t *testing.T) {
	r := newRewarded(t, 1, 1, func(c *types.ProviderConfig) {
		c.RewardDenoms = []types.RewardDenom{{Denom: foreign, MinTransfer: zero()}}
	})
	r.allocate(0, coin(bondDenom, 1_000_000), coin(foreign, 1_000_000), coin("other", 1_000_000))
	want := r.due(provider1, 0, foreign)
	r.epoch()
	require.Len(t, r.transfers.sent, 1)
	require.Equal(t, sdk.NewCoin(foreign, want).String(), r.transfers.sent[0].Token.String())
	require.Equal(t, "1000000", r.distributionHas("other").String())
	r.requireSwept(provider1, bondDenom, zero())
}

// TestMinTransferAndTheDay: what is below the minimum waits, with what comes after, but no longer than a day.
func TestMinTransferAndTheDay(t *testing.T) {
	r := newRewarded(t, 1, 1, func(c *types.ProviderConfig) {
		c.RewardDenoms = []types.RewardDenom{{Denom: bondDenom, MinTransfer: sdkmath.NewInt(15_000)}}
	})
	pay := func() sdkmath.Int {
		r.allocate(0, coin(bondDenom, 1_000_000)) // about 9,900 for the provider
		return r.due(provider1, 0, bondDenom)
	}
	first := pay()
	require.True(t, first.LT(sdkmath.NewInt(15_000)))
	r.epoch()
	require.Empty(t, r.transfers.sent)
	require.Equal(t, first.String(), r.balance(types.RewardAccount(provider1), bondDenom).String())
	since := r.ctx.BlockTime()
	require.Equal(t, since, r.book(provider1, bondDenom).WaitingSince)

	second := pay()
	r.epoch()
	require.Len(t, r.transfers.sent, 1, "enough together")
	require.Equal(t, first.Add(second).String(), r.balance(escrow, bondDenom).String())
	require.True(t, r.book(provider1, bondDenom).WaitingSince.IsZero())

	third := pay()
	r.epoch()
	since = r.ctx.BlockTime()
	r.block(24*time.Hour - time.Second)
	require.Len(t, r.transfers.sent, 1)
	require.Equal(t, since, r.book(provider1, bondDenom).WaitingSince)
	r.epoch()
	require.Len(t, r.transfers.sent, 2, "a day is over")
	require.Equal(t, first.Add(second).Add(third).String(), r.balance(escrow, bondDenom).String())
}

// TestFailingTransfer: what cannot be sent stays where it is, and is tried again later and later, at most a day.
func TestFailingTransfer(t *testing.T) {
	for name, fail := range map[string]func(*transfertypes.MsgTransfer) error{
		"error": func(*transfertypes.MsgTransfer) error { return channeltypes.ErrInvalidChannelState },
		"panic": func(*transfertypes.MsgTransfer) error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRewarded(t, 1, 1, nil)
			tries := 0
			r.transfers.fail = func(msg *transfertypes.MsgTransfer) error { tries++; return fail(msg) }
			r.allocate(0, coin(bondDenom, 1_000_000))
			want := r.due(provider1, 0, bondDenom)
			var gaps []time.Duration
			var last time.Time
			for range 40 {
				before := tries
				r.epoch()
				if tries > before {
					require.True(t, r.has("EventRewardsNotSent"))
					if !last.IsZero() {
						gaps = append(gaps, r.ctx.BlockTime().Sub(last))
					}
					last = r.ctx.BlockTime()
				}
				r.requireBook(provider1, bondDenom, want, zero(), zero(), zero())
				r.requireSwept(provider1, bondDenom, want)
			}
			require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute}, gaps)
			for range 10 {
				r.block(24 * time.Hour)
			}
			b := r.book(provider1, bondDenom)
			require.Equal(t, 24*time.Hour, b.RetryAt.Sub(r.ctx.BlockTime()))
			r.transfers.fail = nil
			r.block(24 * time.Hour)
			require.Equal(t, want.String(), r.balance(escrow, bondDenom).String())
			r.acknowledge(1)
			b = r.book(provider1, bondDenom)
			require.Zero(t, b.Failures)
			require.True(t, b.RetryAt.IsZero())
		})
	}
}

// TestRewardsWaitWithoutChannel: no channel is no failure.
func TestRewardsWaitWithoutChannel(t *testing.T) {
	r := newRewarded(t, 1, 1, func(c *types.ProviderConfig) { c.RewardChannel, c.RewardReceiver = "", "" })
	r.allocate(0, coin(bondDenom, 1_000_000))
	want := r.due(provider1, 0, bondDenom)
	r.epoch()
	require.False(t, r.has("EventRewardsNotSent"))
	r.block(25 * time.Hour)
	r.requireBook(provider1, bondDenom, want, zero(), zero(), zero())
	r.requireSwept(provider1, bondDenom, want)
}

// TestRefundsAreCreditedOnce: a timeout and an error acknowledgement put the amounts back, once, however often the end of
// the packet is told; then they are sent again.
func TestRefundsAreCreditedOnce(t *testing.T) {
	for name, end := range map[string]func(*rewarded, int){
		"timeout": func(r *rewarded, seq int) { r.timeOut(seq) },
		"error":   func(r *rewarded, seq int) { r.refuse(seq) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRewarded(t, 3, 3, nil)
			for i := range 3 {
				r.allocate(i, coin(bondDenom, 1_000_000))
			}
			r.epoch()
			sum := r.balance(escrow, bondDenom)
			first := r.memo(1)
			require.Len(t, first, 3)
			// New rewards come in while the transfer is in flight.
			r.allocate(1, coin(bondDenom, 300_000))
			more := r.due(provider1, 1, bondDenom)
			r.transfers.fail = func(*transfertypes.MsgTransfer) error { return errors.New("later") }
			r.epoch()
			r.requireBook(provider1, bondDenom, more, sum, zero(), zero())

			end(r, 1)
			require.True(t, r.has("EventRewardsRefunded"))
			r.requireBook(provider1, bondDenom, sum.Add(more), zero(), zero(), zero())
			r.requireSwept(provider1, bondDenom, sum.Add(more))
			// Told again, of a transfer that ended, that never was, or over another channel: nothing.
			require.NoError(t, r.k.TransferDone(r.ctx, rewardChannel, 1, false))
			require.NoError(t, r.k.TransferDone(r.ctx, rewardChannel, 1, true))
			require.NoError(t, r.k.TransferDone(r.ctx, rewardChannel, 99, false))
			require.NoError(t, r.k.TransferDone(r.ctx, "channel-0", 1, false))
			r.requireBook(provider1, bondDenom, sum.Add(more), zero(), zero(), zero())
			r.check()

			r.transfers.fail = nil
			r.block(time.Hour)
			require.Len(t, r.transfers.sent, 2)
			second := r.memo(2)
			for val, amount := range first {
				if val == r.vals[1].addr.String() {
					amount = amount.Add(more)
				}
				require.Equal(t, amount.String(), second[val].String())
			}
			r.acknowledge(2)
			r.requireBook(provider1, bondDenom, zero(), zero(), sum.Add(more), zero())
			require.NoError(t, r.k.TransferDone(r.ctx, rewardChannel, 2, false))
			r.requireBook(provider1, bondDenom, zero(), zero(), sum.Add(more), zero())
		})
	}
}

// TestOnlyAfterTheTransferModule: if the transfer module fails to refund, nothing is credited; other packets pass.
func TestOnlyAfterTheTransferModule(t *testing.T) {
	r := newRewarded(t, 1, 1, nil)
	r.allocate(0, coin(bondDenom, 1_000_000))
	r.epoch()
	sum := r.balance(escrow, bondDenom)
	require.NoError(t, r.bank.SendCoins(r.ctx, escrow, sdk.AccAddress("a thief of escrows__"), sdk.NewCoins(sdk.NewCoin(bondDenom, sum))))
	require.Error(t, r.middleware.OnTimeoutPacket(r.ctx, transfertypes.V1, r.packet(1), nil))
	require.Error(t, r.middleware.OnAcknowledgementPacket(r.ctx, transfertypes.V1, r.packet(1), []byte("no ack"), nil))
	r.requireBook(provider1, bondDenom, zero(), sum, zero(), zero())
}

// TestRemovedProvider: what its stake earned until it left is still sent; what comes back afterwards, or cannot be sent,
// goes to the community pool.
func TestRemovedProvider(t *testing.T) {
	remove := func(r *rewarded) {
		_, err := r.msg.RemoveProvider(r.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
		require.NoError(t, err)
	}
	t.Run("sent at last, whatever the minimum", func(t *testing.T) {
		r := newRewarded(t, 1, 1, func(c *types.ProviderConfig) {
			c.RewardDenoms = []types.RewardDenom{{Denom: bondDenom, MinTransfer: sdkmath.NewInt(1_000_000_000)}}
		})
		r.allocate(0, coin(bondDenom, 1_000_000))
		want := r.due(provider1, 0, bondDenom)
		remove(r)
		r.epoch()
		r.requireVirtual(provider1, 0, 0)
		r.requireBook(provider1, bondDenom, zero(), want, zero(), zero())
		r.acknowledge(1)
		r.requireBook(provider1, bondDenom, zero(), zero(), want, zero())
	})
	t.Run("comes back", func(t *testing.T) {
		r := newRewarded(t, 1, 1, nil)
		r.allocate(0, coin(bondDenom, 1_000_000))
		r.epoch()
		want := r.balance(escrow, bondDenom)
		remove(r)
		r.epoch()
		before := r.communityHas(bondDenom)
		r.timeOut(1)
		require.True(t, r.has("EventRewardsAbandoned"))
		r.requireBook(provider1, bondDenom, zero(), zero(), zero(), want)
		r.epoch()
		r.requireSwept(provider1, bondDenom, zero())
		require.Equal(t, sdkmath.LegacyNewDecFromInt(want).String(), r.communityHas(bondDenom).Sub(before).String())
		require.Len(t, r.transfers.sent, 1)
	})
	t.Run("comes back while stake is left", func(t *testing.T) {
		r := newRewarded(t, 1, 1, nil)
		r.allocate(0, coin(bondDenom, 1_000_000))
		r.epoch()
		want := r.balance(escrow, bondDenom)
		remove(r)
		r.timeOut(1)
		r.requireBook(provider1, bondDenom, want, zero(), zero(), zero())
		r.epoch()
		require.Len(t, r.transfers.sent, 2)
		r.requireBook(provider1, bondDenom, zero(), want, zero(), zero())
	})
	t.Run("cannot be sent", func(t *testing.T) {
		r := newRewarded(t, 1, 1, nil)
		r.transfers.fail = func(*transfertypes.MsgTransfer) error { return errors.New("closed") }
		r.allocate(0, coin(bondDenom, 1_000_000))
		want := r.due(provider1, 0, bondDenom)
		remove(r)
		r.epoch()
		r.requireBook(provider1, bondDenom, zero(), zero(), zero(), want)
		r.requireSwept(provider1, bondDenom, zero())
	})
	t.Run("registered anew", func(t *testing.T) {
		r := newRewarded(t, 1, 1, nil)
		r.allocate(0, coin(bondDenom, 1_000_000))
		r.epoch()
		want := r.balance(escrow, bondDenom)
		remove(r)
		r.epoch()
		c := r.provider(provider1).Config
		_, err := r.msg.AddProvider(r.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
		require.NoError(t, err)
		r.timeOut(1)
		r.requireBook(provider1, bondDenom, want, zero(), zero(), zero())
	})
}

// TestFailingWithdrawal: one validator whose rewards cannot be withdrawn holds up no other, and is tried again.
func TestFailingWithdrawal(t *testing.T) {
	r := newRewarded(t, 3, 3, nil)
	want := zero()
	for i := range 3 {
		r.allocate(i, coin(bondDenom, 1_000_000))
		if i != 1 {
			want = want.Add(r.due(provider1, i, bondDenom))
		}
	}
	late := r.due(provider1, 1, bondDenom)
	account := types.VirtualAccount(provider1)
	info, err := r.distribution.GetDelegatorStartingInfo(r.ctx, r.vals[1].addr, account)
	require.NoError(t, err)
	require.NoError(t, r.distribution.DeleteDelegatorStartingInfo(r.ctx, r.vals[1].addr, account))
	r.epoch()
	require.True(t, r.has("EventWithdrawalFailed"))
	r.requireBook(provider1, bondDenom, zero(), want, zero(), zero())
	require.NoError(t, r.distribution.SetDelegatorStartingInfo(r.ctx, r.vals[1].addr, account, info))
	r.epoch()
	r.requireBook(provider1, bondDenom, zero(), want.Add(late), zero(), zero())
}

// TestRewardWorkIsBounded: so many withdrawals in a block, then so many transfers.
func TestRewardWorkIsBounded(t *testing.T) {
	r := newRewarded(t, 7, 7, nil)
	r.setParams(func(p *types.Params) { p.MaxRewardWithdrawals = 2 })
	want := zero()
	for i := range 7 {
		r.allocate(i, coin(bondDenom, 1_000_000))
		want = want.Add(r.due(provider1, i, bondDenom))
	}
	r.epoch()
	for n := 2; n < 7; n += 2 {
		pending, err := r.query.PendingRewards(r.ctx, &types.QueryPendingRewardsRequest{ProviderId: provider1})
		require.NoError(t, err)
		require.Len(t, pending.Rewards, n)
		require.Empty(t, r.transfers.sent, "all are collected first")
		r.block(blockTime)
	}
	require.Len(t, r.transfers.sent, 1)
	require.Equal(t, want.String(), r.balance(escrow, bondDenom).String())
}

// TestFullBlocksCollectNothing: a block full of changes leaves rewards to the next one, but not for longer than half an
// epoch.
func TestFullBlocksCollectNothing(t *testing.T) {
	r := newRewarded(t, 6, 6, nil)
	r.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	for i := range 6 {
		r.allocate(i, coin(bondDenom, 1_000_000))
	}
	want := zero()
	for i := range 6 {
		want = want.Add(r.due(provider1, i, bondDenom))
	}
	r.update(provider1, map[int]int64{0: 20_000, 1: 20_000, 2: 20_000, 3: 20_000})
	r.epoch()
	require.Equal(t, r.due(provider1, 5, bondDenom).IsPositive(), true)
	require.Empty(t, r.transfers.sent)
	r.block(epochTime/2 + time.Second)
	require.Len(t, r.transfers.sent, 1, "half of the epoch is over")
	require.Equal(t, want.String(), r.book(provider1, bondDenom).Collected.String())
}

// wait makes a provider wait for an amount of rewards on each of so many validators.
func (r *rewarded) wait(denom string, validators int, each sdkmath.Int) {
	r.t.Helper()
	sum := each.MulRaw(int64(validators))
	r.mint(types.RewardAccount(provider1), sdk.NewCoin(denom, sum))
	for i := range validators {
		val := make([]byte, 20)
		val[0], val[1], val[2] = 9, byte(i>>8), byte(i)
		require.NoError(r.t, r.k.Rewards.Set(r.ctx, collections.Join3(provider1, denom, val), each))
	}
	book := types.NewRewardBook()
	book.Collected, book.Pending, book.WaitingSince = sum, sum, r.ctx.BlockTime()
	require.NoError(r.t, r.k.RewardBooks.Set(r.ctx, collections.Join(provider1, denom), book))
}

// TestManyTransfers: 500 and 1,150 validators take transfers of 200, at most five in a block; the minimum counts for all of
// them together.
func TestManyTransfers(t *testing.T) {
	r := newRewarded(t, 1, 1, func(c *types.ProviderConfig) {
		c.RewardDenoms = []types.RewardDenom{{Denom: bondDenom, MinTransfer: zero()}, {Denom: foreign, MinTransfer: sdkmath.NewInt(1_000)}}
	})
	r.wait(foreign, 1_150, sdkmath.OneInt())
	r.epoch()
	require.Len(t, r.transfers.sent, 5)
	for i := range 5 {
		require.Len(t, r.memo(i+1), 200)
	}
	r.requireBook(provider1, foreign, sdkmath.NewInt(150), sdkmath.NewInt(1_000), zero(), zero())
	r.block(blockTime)
	require.Len(t, r.transfers.sent, 6, "the rest follows, although it is less than the minimum")
	require.Len(t, r.memo(6), 150)
	r.block(blockTime)
	require.Len(t, r.transfers.sent, 6)
	seen := map[string]bool{}
	for i := range 6 {
		for val := range r.memo(i + 1) {
			require.False(t, seen[val])
			seen[val] = true
		}
	}
	require.Len(t, seen, 1_150)
	r.requireBook(provider1, foreign, zero(), sdkmath.NewInt(1_150), zero(), zero())

	// The third of them comes back.
	r.timeOut(3)
	r.requireBook(provider1, foreign, sdkmath.NewInt(200), sdkmath.NewInt(950), zero(), zero())
}

// TestFiveHundredValidators: the rewards of 500 validators in one epoch, collected in three blocks and sent in three
// transfers, to the last unit.
func TestFiveHundredValidators(t *testing.T) {
	const n = 500
	r := newRewarded(t, n, n, func(c *types.ProviderConfig) { c.RewardRatio = sdkmath.LegacyNewDecWithPrec(9, 1) })
	r.quiet = true
	for range 3 {
		r.block(blockTime) // the work of the epoch before
	}
	parts, sum := map[string]sdkmath.Int{}, zero()
	for i := range n {
		r.allocate(i, coin(bondDenom, 1_000_000+int64(i)))
		part := types.RewardPart(r.due(provider1, i, bondDenom), sdkmath.LegacyNewDecWithPrec(9, 1))
		require.True(t, part.IsPositive())
		parts[r.vals[i].addr.String()] = part
		sum = sum.Add(part)
	}
	before := r.distributionHas(bondDenom)
	r.epoch()
	require.Zero(t, len(r.transfers.sent))
	r.block(blockTime)
	require.Zero(t, len(r.transfers.sent))
	r.block(blockTime)
	require.Len(t, r.transfers.sent, 3)
	got := map[string]sdkmath.Int{}
	for i, count := range []int{200, 200, 100} {
		memo := r.memo(i + 1)
		require.Len(t, memo, count)
		for val, amount := range memo {
			got[val] = amount
		}
	}
	require.Equal(t, fmt.Sprint(parts), fmt.Sprint(got))
	require.Equal(t, sum.String(), r.balance(escrow, bondDenom).String())
	require.Equal(t, before.Sub(sum).String(), r.distributionHas(bondDenom).String())
	r.check()
}

// TestAmountsBeyondAMemo: what does not fit an entry follows with later epochs.
func TestAmountsBeyondAMemo(t *testing.T) {
	r := newRewarded(t, 1, 1, nil)
	huge := meshtypes.MaxAmount.MulRaw(2)
	r.wait(foreign, 1, huge)
	r.epoch()
	require.Len(t, r.transfers.sent, 1)
	most := meshtypes.MaxAmount.SubRaw(1)
	require.Equal(t, most.String(), r.transfers.sent[0].Token.Amount.String())
	r.epoch()
	r.epoch()
	require.Len(t, r.transfers.sent, 3)
	require.Equal(t, "2", r.transfers.sent[2].Token.Amount.String())
	r.requireBook(provider1, foreign, zero(), huge, zero(), zero())
}

// TestVestingAccountOnOurAddress: nobody can lock coins on an account of ours by creating it first.
func TestVestingAccountOnOurAddress(t *testing.T) {
	f := newFixture(t, 1_000_000)
	for _, addr := range []sdk.AccAddress{types.VirtualAccount(provider1), types.RewardAccount(provider1)} {
		base := authtypes.NewBaseAccountWithAddress(addr)
		vesting, err := vestingtypes.NewPermanentLockedAccount(base, sdk.NewCoins(coin(bondDenom, 5)))
		require.NoError(t, err)
		f.accounts.SetAccount(f.ctx, f.accounts.NewAccount(f.ctx, vesting))
		f.fund(addr, sdkmath.NewInt(5))
	}
	require.Equal(t, "0", f.bank.SpendableCoin(f.ctx, types.RewardAccount(provider1), bondDenom).Amount.String())
	f.addProvider(provider1, nil)
	for _, addr := range []sdk.AccAddress{types.VirtualAccount(provider1), types.RewardAccount(provider1)} {
		require.Equal(t, "5", f.bank.SpendableCoin(f.ctx, addr, bondDenom).Amount.String())
	}
}

// TestRewardGenesis: rewards that wait, a transfer in flight and work half done survive an export, and go on as they would
// have.
func TestRewardGenesis(t *testing.T) {
	r := newRewarded(t, 5, 5, nil)
	for i := range 5 {
		r.allocate(i, coin(bondDenom, 1_000_000))
	}
	r.epoch()
	r.setParams(func(p *types.Params) { p.MaxRewardWithdrawals = 2 })
	for i := range 5 {
		r.allocate(i, coin(bondDenom, 2_000_000))
	}
	r.epoch()
	gs, err := r.k.ExportGenesis(r.ctx)
	require.NoError(t, err)
	require.NoError(t, gs.Validate())
	require.NotEmpty(t, gs.RewardBooks)
	require.Len(t, gs.Rewards, 2)
	require.Len(t, gs.RewardTransfers, 1)
	require.Len(t, gs.RewardWork, 1)
	require.Equal(t, types.REWARD_PHASE_COLLECT, gs.RewardWork[0].Work.Phase)

	g := newBareFixture(t)
	g.ctx = g.ctx.WithBlockTime(r.ctx.BlockTime()).WithBlockHeight(r.ctx.BlockHeight())
	require.NoError(t, g.k.InitGenesis(g.ctx, *gs))
	again, err := g.k.ExportGenesis(g.ctx)
	require.NoError(t, err)
	require.Equal(t, gs.RewardBooks, again.RewardBooks)
	require.Equal(t, gs.Rewards, again.Rewards)
	require.Equal(t, gs.RewardTransfers, again.RewardTransfers)
	require.Equal(t, gs.RewardWork, again.RewardWork)

	valid := func() types.GenesisState {
		c, err := r.k.ExportGenesis(r.ctx)
		require.NoError(t, err)
		return *c
	}
	one := sdkmath.OneInt()
	for name, spoil := range map[string]func(*types.GenesisState){
		"book of unknown provider": func(gs *types.GenesisState) { gs.RewardBooks[0].ProviderId = "07-tendermint-9" },
		"book twice":               func(gs *types.GenesisState) { gs.RewardBooks = append(gs.RewardBooks, gs.RewardBooks[0]) },
		"book does not add up":     func(gs *types.GenesisState) { gs.RewardBooks[0].Book.Collected = one },
		"negative":                 func(gs *types.GenesisState) { gs.RewardBooks[0].Book.Delivered = one.Neg() },
		"unmoved beyond pending":   func(gs *types.GenesisState) { gs.RewardBooks[0].Book.Unmoved = gs.RewardBooks[0].Book.Pending.Add(one) },
		"nothing known since when": func(gs *types.GenesisState) { gs.RewardBooks[0].Book.WaitingSince = time.Time{} },
		"more waits than the book": func(gs *types.GenesisState) { gs.Rewards[0].Amount = gs.Rewards[0].Amount.Add(one) },
		"less waits than the book": func(gs *types.GenesisState) { gs.Rewards = gs.Rewards[1:] },
		"reward twice":             func(gs *types.GenesisState) { gs.Rewards[0] = gs.Rewards[1] },
		"no reward":                func(gs *types.GenesisState) { gs.Rewards[0].Amount = zero() },
		"reward without a book":    func(gs *types.GenesisState) { gs.Rewards[0].Denom = foreign },
		"reward without validator": func(gs *types.GenesisState) { gs.Rewards[0].Validator = nil },
		"transfer twice":           func(gs *types.GenesisState) { gs.RewardTransfers = append(gs.RewardTransfers, gs.RewardTransfers[0]) },
		"transfer is missing":      func(gs *types.GenesisState) { gs.RewardTransfers = nil },
		"transfer of nothing":      func(gs *types.GenesisState) { gs.RewardTransfers[0].Transfer.Rewards = nil },
		"transfer of 2^128":        func(gs *types.GenesisState) { gs.RewardTransfers[0].Transfer.Rewards[0].Amount = meshtypes.MaxAmount },
		"transfer over no channel": func(gs *types.GenesisState) { gs.RewardTransfers[0].Channel = "" },
		"work of an unknown one":   func(gs *types.GenesisState) { gs.RewardWork[0].ProviderId = "07-tendermint-9" },
		"work in no phase":         func(gs *types.GenesisState) { gs.RewardWork[0].Work.Phase = 0 },
		"work in an unknown phase": func(gs *types.GenesisState) { gs.RewardWork[0].Work.Phase = 4 },
		"work twice":               func(gs *types.GenesisState) { gs.RewardWork = append(gs.RewardWork, gs.RewardWork[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			gs := valid()
			spoil(&gs)
			require.Error(t, gs.Validate())
		})
	}
}

// TestRewardConfigRefused: each bad field has its own error, and nothing changes.
func TestRewardConfigRefused(t *testing.T) {
	f := newFixture(t, 1_000_000)
	f.addProvider(provider1, nil)
	denoms := func(denoms ...types.RewardDenom) func(*types.ProviderConfig) {
		return func(c *types.ProviderConfig) { c.RewardDenoms = denoms }
	}
	d := func(denom string, least sdkmath.Int) types.RewardDenom {
		return types.RewardDenom{Denom: denom, MinTransfer: least}
	}
	for _, tc := range []struct {
		name   string
		change func(*types.ProviderConfig)
		err    error
	}{
		{"five denoms", denoms(d("aaa", zero()), d("bbb", zero()), d("ccc", zero()), d("ddd", zero()), d("eee", zero())), types.ErrTooManyRewardDenoms},
		{"no denom", denoms(d("", zero())), types.ErrInvalidRewardDenom},
		{"bad denom", denoms(d("1 x", zero())), types.ErrInvalidRewardDenom},
		{"twice", denoms(d("aaa", zero()), d("aaa", zero())), types.ErrInvalidRewardDenom},
		{"negative minimum", denoms(d("aaa", sdkmath.NewInt(-1))), types.ErrInvalidRewardDenom},
		{"no minimum", denoms(types.RewardDenom{Denom: "aaa"}), types.ErrInvalidRewardDenom},
		{"minimum 2^128", denoms(d("aaa", meshtypes.MaxAmount)), types.ErrInvalidRewardDenom},
		{"ratio above 1", func(c *types.ProviderConfig) { c.RewardRatio = sdkmath.LegacyMustNewDecFromStr("1.000000000000000001") }, types.ErrInvalidRewardRatio},
		{"ratio negative", func(c *types.ProviderConfig) { c.RewardRatio = sdkmath.LegacyMustNewDecFromStr("-0.1") }, types.ErrInvalidRewardRatio},
		{"receiver without channel", func(c *types.ProviderConfig) { c.RewardReceiver = "x" }, types.ErrInvalidRewardChannel},
		{"bad channel", func(c *types.ProviderConfig) { c.RewardChannel, c.RewardReceiver = "channel 1", "x" }, types.ErrInvalidRewardChannel},
		{"channel without receiver", func(c *types.ProviderConfig) { c.RewardChannel = rewardChannel }, types.ErrInvalidRewardReceiver},
		{"long receiver", func(c *types.ProviderConfig) {
			c.RewardChannel, c.RewardReceiver = rewardChannel, string(make([]byte, types.MaxReceiverBytes+1))
		}, types.ErrInvalidRewardReceiver},
		{"blank receiver", func(c *types.ProviderConfig) { c.RewardChannel, c.RewardReceiver = rewardChannel, " " }, types.ErrInvalidRewardReceiver},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := f.provider(provider1)
			c := before.Config
			tc.change(&c)
			_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, f.provider(provider1))
		})
	}
}

// TestRewardPart: rounded down, exact for amounts that a decimal cannot hold.
func TestRewardPart(t *testing.T) {
	top := sdkmath.NewIntFromBigInt(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))
	dec := sdkmath.LegacyMustNewDecFromStr
	for _, tc := range []struct {
		amount sdkmath.Int
		ratio  sdkmath.LegacyDec
		want   string
	}{
		{sdkmath.NewInt(10), dec("0.39"), "3"},
		{sdkmath.NewInt(1), dec("0.999999999999999999"), "0"},
		{sdkmath.NewInt(7), dec("1"), "7"},
		{sdkmath.NewInt(7), dec("0"), "0"},
		{top, dec("1"), top.String()},
		{top, dec("0.5"), top.QuoRaw(2).String()},
	} {
		require.Equal(t, tc.want, types.RewardPart(tc.amount, tc.ratio).String())
	}
}

// TestRewardQueries: what waits, what is in flight and where it goes.
func TestRewardQueries(t *testing.T) {
	r := newRewarded(t, 2, 2, func(c *types.ProviderConfig) {
		c.RewardDenoms = []types.RewardDenom{{Denom: bondDenom, MinTransfer: zero()}, {Denom: foreign, MinTransfer: sdkmath.NewInt(1 << 40)}}
	})
	for i := range 2 {
		r.allocate(i, coin(bondDenom, 1_000_000), coin(foreign, 500_000))
	}
	want, waits := r.due(provider1, 0, bondDenom).Add(r.due(provider1, 1, bondDenom)), r.due(provider1, 1, foreign)
	r.epoch()
	rewards, err := r.query.Rewards(r.ctx, &types.QueryRewardsRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, types.RewardAccount(provider1).String(), rewards.RewardAccount)
	require.Equal(t, rewardChannel, rewards.RewardChannel)
	require.Equal(t, rewardReceiver, rewards.RewardReceiver)
	require.Len(t, rewards.Rewards, 2)
	require.Equal(t, want.String(), rewards.Rewards[0].Book.InFlight.String())
	require.True(t, rewards.Rewards[1].Registered)

	pending, err := r.query.PendingRewards(r.ctx, &types.QueryPendingRewardsRequest{ProviderId: provider1, Denom: foreign})
	require.NoError(t, err)
	require.Len(t, pending.Rewards, 2)
	require.Equal(t, r.vals[1].addr.String(), pending.Rewards[1].Validator)
	require.Equal(t, waits.String(), pending.Rewards[1].Amount.String())
	pending, err = r.query.PendingRewards(r.ctx, &types.QueryPendingRewardsRequest{ProviderId: provider1, Denom: bondDenom})
	require.NoError(t, err)
	require.Empty(t, pending.Rewards)

	for id, n := range map[string]int{"": 1, provider1: 1, provider2: 0} {
		transfers, err := r.query.RewardTransfers(r.ctx, &types.QueryRewardTransfersRequest{ProviderId: id})
		require.NoError(t, err)
		require.Len(t, transfers.Transfers, n)
		if n > 0 {
			require.Equal(t, want.String(), transfers.Transfers[0].Amount.String())
		}
	}

	// A denom that is not registered any more is still shown, and sent.
	c := r.provider(provider1).Config
	c.RewardDenoms = c.RewardDenoms[:1]
	_, err = r.msg.UpdateProvider(r.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
	require.NoError(t, err)
	rewards, err = r.query.Rewards(r.ctx, &types.QueryRewardsRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Len(t, rewards.Rewards, 2)
	require.False(t, rewards.Rewards[1].Registered)
	r.epoch()
	require.Equal(t, "0", r.book(provider1, foreign).Pending.String())

	for _, id := range []string{"", "07-tendermint-9"} {
		_, err = r.query.Rewards(r.ctx, &types.QueryRewardsRequest{ProviderId: id})
		require.ErrorIs(t, err, types.ErrProviderNotFound)
		_, err = r.query.PendingRewards(r.ctx, &types.QueryPendingRewardsRequest{ProviderId: id})
		require.ErrorIs(t, err, types.ErrProviderNotFound)
	}
}
