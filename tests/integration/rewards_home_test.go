package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providerkeeper "github.com/mesh-security/mesh/x/provider/keeper"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// homePair is a pairing whose rewards reach delegators: both sides know the transfer channel.
type homePair struct {
	*rewardPair
	account sdk.AccAddress
}

// pairForRewards registers rewards on both sides before anybody stakes: alice on two validators, bob on one.
func pairForRewards(t *testing.T) *homePair {
	t.Helper()
	n, p := pair(t)
	h := &homePair{&rewardPair{Pairing: p, t: t, net: n}, providertypes.RewardAccount(p.ConsumerID)}
	channel, remote := p.Link().OpenTransfer()
	if p.Link().A.Chain != p.Consumer {
		channel, remote = remote, channel
	}
	h.channel = channel
	h.denom = transfertypes.NewDenom(p.Consumer.Denom, transfertypes.NewHop(transfertypes.PortID, remote)).IBCDenom()
	p.UpdateConsumer(func(c *providertypes.ConsumerConfig) {
		c.RewardChannel, c.RewardSender = remote, consumertypes.RewardAccount(p.ProviderID).String()
		c.RewardDenoms = []string{p.Consumer.Denom}
	})
	p.UpdateProvider(func(c *consumertypes.ProviderConfig) {
		c.RewardChannel, c.RewardReceiver, c.RewardRatio = channel, h.account.String(), meshtest.Dec("0.7")
	})
	p.CrossStake("alice", val(p, 0), 10*one)
	p.CrossStake("alice", val(p, 1), 7*one)
	p.CrossStake("bob", val(p, 0), 3*one)
	settle(n, p)
	require.True(t, p.TotalVirtual().IsPositive())
	return h
}

// home returns what the provider's book says of the rewards.
func (h *homePair) home() providertypes.ConsumerReward {
	h.t.Helper()
	res, err := providerkeeper.NewQueryServer(h.Provider.App.Mesh.Provider).ConsumerRewards(
		h.Provider.CommittedContext(), &providertypes.QueryConsumerRewardsRequest{ConsumerId: h.ConsumerID})
	require.NoError(h.t, err)
	require.Equal(h.t, h.account.String(), res.RewardAccount)
	require.Len(h.t, res.Rewards, 1)
	require.Equal(h.t, h.denom, res.Rewards[0].Denom)
	return res.Rewards[0]
}

func (h *homePair) vouchers(del string) sdkmath.Int {
	a := h.Provider.Account(del)
	return h.Provider.App.BankKeeper.GetBalance(h.Provider.CommittedContext(), a.Address(), h.denom).Amount
}

func (h *homePair) withdraw(del, receiver string) {
	a := h.Provider.Account(del)
	a.Send(&providertypes.MsgWithdrawRewards{Delegator: a.String(), ConsumerId: h.ConsumerID, Receiver: receiver})
}

// requireBooks checks both sides against each other and against what x/distribution paid, to the last unit.
func (h *homePair) requireBooks() {
	h.t.Helper()
	b, home := h.book(), h.home()
	require.Equal(h.t, h.earned().String(), b.Collected.String())
	require.True(h.t, home.Book.Received.GTE(b.Delivered), "what was acknowledged has arrived")
	require.True(h.t, home.Book.Received.LTE(b.Delivered.Add(b.InFlight)))
	require.Equal(h.t, home.Book.Received.String(),
		home.Book.Withdrawn.Add(home.Claimable).Add(home.Dust).Add(home.Book.Community).String())
	require.NoError(h.t, h.Provider.App.Mesh.Provider.CheckInvariants(h.Provider.CommittedContext()))
	require.NoError(h.t, h.Consumer.App.Mesh.Consumer.CheckInvariants(h.Consumer.CommittedContext()))
}

// TestRewardsReachDelegators: what x/distribution of the consumer pays for virtual stake is what delegators on the provider
// withdraw, to the last unit of rounding; some of it straight to an account on the consumer.
func TestRewardsReachDelegators(t *testing.T) {
	h := pairForRewards(t)
	h.net.Until("rewards have arrived", time.Hour, func() bool { return h.book().Delivered.IsPositive() })
	h.net.Advance(6 * epoch)
	h.requireBooks()
	require.True(t, h.home().Book.Community.IsZero())

	// Twice before a transfer completes: the second finds nothing, or what has come since.
	h.withdraw("alice", "")
	first := h.vouchers("alice")
	require.True(t, first.IsPositive())
	a := h.Provider.Account("alice")
	if err := a.Try(&providertypes.MsgWithdrawRewards{Delegator: a.String(), ConsumerId: h.ConsumerID}).Err(); err != nil {
		require.ErrorContains(t, err, providertypes.ErrNoRewards.Error())
	}
	// Alice leaves a validator: what she earned there is settled, and still hers.
	h.CrossUnstake("alice", val(h.Pairing, 1), 7*one)
	settle(h.net, h.Pairing)
	h.requireBooks()

	// Bob's go straight home.
	friend := h.Consumer.Account("bob")
	before := h.Consumer.Balance(friend)
	h.withdraw("bob", friend.String())
	require.True(t, h.vouchers("bob").IsZero())
	h.net.Until("they are home", time.Hour, func() bool { return h.Consumer.Balance(friend).GT(before) })
	atHome := h.Consumer.Balance(friend).Sub(before)

	// A consumer that is removed brings nothing more; what is left can be taken.
	h.RemoveProvider()
	h.net.Advance(4 * epoch)
	require.True(t, h.TotalVirtual().IsZero())
	h.net.Until("all has arrived", round, func() bool { return h.book().InFlight.IsZero() && h.book().Pending.IsZero() })
	h.withdraw("alice", "")
	if h.home().Claimable.IsPositive() {
		h.withdraw("bob", "")
	}
	h.requireBooks()
	home := h.home()
	require.Equal(t, h.earned().String(), home.Book.Received.String())
	taken := h.vouchers("alice").Add(h.vouchers("bob")).Add(atHome)
	require.Equal(t, home.Book.Withdrawn.String(), taken.String())
	require.Equal(t, home.Book.Received.String(), taken.Add(home.Claimable).Add(home.Dust).Add(home.Book.Community).String())
	require.True(t, home.Claimable.Add(home.Dust).LT(sdkmath.NewInt(200)), "only roundings are left: %v", home)
	require.Equal(t, home.Book.Owed().String(), home.Balance.String())
}

// TestRewardsRefusedAtHome: a consumer whose rewards are not as registered on the provider loses them to the community pool
// there: nothing comes back, and nobody can claim anything.
func TestRewardsRefusedAtHome(t *testing.T) {
	h := pairForRewards(t)
	h.UpdateConsumer(func(c *providertypes.ConsumerConfig) { c.RewardSender = h.Provider.Account("carol").String() })
	received := sdkmath.ZeroInt()
	if b := h.book(); b.Delivered.IsPositive() {
		received = h.home().Book.Received
	}
	ctx := h.Provider.CommittedContext()
	pool, err := h.Provider.App.DistrKeeper.FeePool.Get(ctx)
	require.NoError(t, err)
	before := pool.CommunityPool.AmountOf(h.denom)
	h.net.Advance(6 * epoch)
	require.True(t, h.book().Failures == 0, "it was acknowledged")
	pool, err = h.Provider.App.DistrKeeper.FeePool.Get(h.Provider.CommittedContext())
	require.NoError(t, err)
	require.True(t, pool.CommunityPool.AmountOf(h.denom).GT(before))
	if received.IsPositive() {
		require.Equal(t, received.String(), h.home().Book.Received.String())
	}
	require.NoError(t, h.Provider.App.Mesh.Provider.CheckInvariants(h.Provider.CommittedContext()))
}
