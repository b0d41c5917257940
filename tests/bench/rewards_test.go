package bench_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providerkeeper "github.com/mesh-security/mesh/x/provider/keeper"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// distributeRewards is the limit of time and gas of a transfer of rewards for many positions against one for a hundred.
	distributeRewards = 1.2
	// withdrawRewards is the limit of MsgWithdrawRewards against the native MsgWithdrawDelegatorReward of the same delegator.
	withdrawRewards = 1.3

	rewardChannel, partnerChannel = "channel-900", "channel-901"
	rewardDenom, rewardSender     = "upartner", "partner1rewards"
)

// rewardVoucher is what rewards are called here.
var rewardVoucher = transfertypes.NewDenom(rewardDenom, transfertypes.NewHop(transfertypes.PortID, rewardChannel)).IBCDenom()

// reward makes ICS-20 credit rewards for the first n validators of a partner, and returns the transfer.
func (c *chain) reward(p *partner, n int, amount int64) providerkeeper.Transfer {
	c.Helper()
	ctx, k := c.deferred(), c.provider()
	consumer, err := k.Consumers.Get(ctx, p.client)
	require.NoError(c, err)
	cfg := &consumer.Config
	cfg.RewardChannel, cfg.RewardSender, cfg.RewardDenoms = rewardChannel, rewardSender, []string{rewardDenom}
	require.NoError(c, cfg.Validate())
	require.NoError(c, k.Consumers.Set(ctx, p.client, consumer))

	rewards := make([]meshtypes.Reward, n)
	for i := range rewards {
		rewards[i] = meshtypes.Reward{Validator: cfg.FormatValidator(operator(i)), Amount: sdkmath.NewInt(amount)}
	}
	memo, err := meshtypes.MarshalRewardMemo(rewards)
	require.NoError(c, err)
	account := providertypes.RewardAccount(p.client)
	sum := sdkmath.NewInt(amount).MulRaw(int64(n))
	coins := sdk.NewCoins(sdk.NewCoin(rewardVoucher, sum))
	require.NoError(c, c.app.BankKeeper.MintCoins(ctx, transfertypes.ModuleName, coins))
	require.NoError(c, c.app.BankKeeper.SendCoinsFromModuleToAccount(ctx, transfertypes.ModuleName, account, coins))
	return providerkeeper.Transfer{
		SourcePort: transfertypes.PortID, SourceChannel: partnerChannel, DestPort: transfertypes.PortID, DestChannel: rewardChannel,
		Data: transfertypes.NewInternalTransferRepresentation(
			transfertypes.Token{Denom: transfertypes.NewDenom(rewardDenom), Amount: sum.String()}, rewardSender, account.String(), memo,
		),
	}
}

// received returns what the book says of a partner's rewards.
func (c *chain) received(ctx sdk.Context, p *partner) providertypes.RewardBook {
	c.Helper()
	book, err := c.provider().RewardBooks.Get(ctx, collections.Join(p.client, rewardVoucher))
	require.NoError(c, err)
	return book
}

// distribution runs what our middleware does with a transfer of rewards for two validators.
type distribution struct {
	*chain
	transfer providerkeeper.Transfer
	base     sdk.Context
	gas      uint64
}

func newDistribution(b *testing.B, positions int) *distribution {
	b.Helper()
	c, p := crowded(b, positions)
	d := &distribution{chain: c, transfer: c.reward(p, 2, 1_000_000)}
	c.block()
	d.base = c.next()
	ctx, _ := d.base.CacheContext()
	c.provider().ReceiveTransfer(ctx, d.transfer)
	book := c.received(ctx, p)
	require.True(b, book.Community.IsZero() && book.Received.Equal(sdkmath.NewInt(2_000_000)), "%v", book)
	d.gas = c.gasOf(d.base, func(ctx sdk.Context) { c.provider().ReceiveTransfer(ctx, d.transfer) })
	return d
}

func (d *distribution) once() span {
	ctx, _ := d.base.CacheContext()
	return spanOf(func() { d.provider().ReceiveTransfer(ctx, d.transfer) })
}

// BenchmarkDistributeRewards is a transfer of rewards to two validators, one of which has so many positions, against one
// to validators of which it has a hundred.
func BenchmarkDistributeRewards(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if testing.Short() {
		sizes[1] = 100_000
	}
	base := newDistribution(b, 100)
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newDistribution(b, n)
			contest{ours: side{run: d.once}, base: side{run: base.once}, turn: 50, limit: distributeRewards}.run(b)
			reportGas(b, d.gas, base.gas, distributeRewards)
		})
	}
}

// BenchmarkWithdrawRewards is MsgWithdrawRewards against x/distribution's MsgWithdrawDelegatorReward, of one delegator with
// one native delegation and three positions.
func BenchmarkWithdrawRewards(b *testing.B) {
	c, partners := restaked(b)
	c.provider().ReceiveTransfer(c.deferred(), c.reward(partners[0], 1, 1_000_000))
	c.block()
	del := delegator(0).addr
	ours := c.attempt(&providertypes.MsgWithdrawRewards{Delegator: del.String(), ConsumerId: partners[0].client})
	native := c.attempt(&distrtypes.MsgWithdrawDelegatorReward{DelegatorAddress: del.String(), ValidatorAddress: c.operators[0].String()})

	ctx := c.next()
	for _, a := range []*attempt{ours, native} {
		before := c.app.BankKeeper.GetAllBalances(ctx, del)
		_, err := a.handler(ctx, a.msg)
		require.NoError(b, err)
		require.False(b, c.app.BankKeeper.GetAllBalances(ctx, del).Equal(before), "%T pays", a.msg)
	}
	contest{ours: side{run: ours.once}, base: side{run: native.once}, turn: 100, limit: withdrawRewards}.run(b)
	reportGas(b, ours.gas, native.gas, withdrawRewards)
}
