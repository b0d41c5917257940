package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// rewardPair is a pairing with stake on two validators whose rewards go to an account on the provider.
type rewardPair struct {
	*meshtest.Pairing
	t   *testing.T
	net *meshtest.Network
	// channel is the consumer's end of the transfer channel, denom what the rewards are called on the provider.
	channel, denom string
	receiver       *meshtest.Account
}

// pairWithRewards sets up stake, then a transfer channel and the registration of rewards. receiver is the text registered;
// empty means the delegator's.
func pairWithRewards(t *testing.T, receiver string) *rewardPair {
	t.Helper()
	n, p := pair(t)
	r := &rewardPair{Pairing: p, t: t, net: n, receiver: p.Provider.Account("alice")}
	onA, onB := p.Link().OpenTransfer()
	channel, remote := onA, onB
	if p.Link().A.Chain != p.Consumer {
		channel, remote = onB, onA
	}
	r.channel = channel
	r.denom = transfertypes.NewDenom(p.Consumer.Denom, transfertypes.NewHop(transfertypes.PortID, remote)).IBCDenom()
	if receiver == "" {
		receiver = r.receiver.String()
	}
	p.UpdateProvider(func(c *consumertypes.ProviderConfig) {
		c.RewardChannel, c.RewardReceiver, c.RewardRatio = channel, receiver, meshtest.Dec("0.7")
	})
	p.CrossStake("alice", val(p, 0), 10*one)
	p.CrossStake("alice", val(p, 1), 7*one)
	settle(n, p)
	require.True(t, p.TotalVirtual().IsPositive())
	return r
}

func (r *rewardPair) book() consumertypes.RewardBook {
	r.t.Helper()
	for _, b := range r.Consumer.ConsumerState().RewardBooks {
		if b.ProviderId == r.ProviderID && b.Denom == r.Consumer.Denom {
			require.NoError(r.t, b.Book.Validate())
			return b.Book
		}
	}
	return consumertypes.NewRewardBook()
}

// earned sums up, from x/distribution's events, the provider's part of what was ever paid for its virtual stake.
func (r *rewardPair) earned() sdkmath.Int {
	r.t.Helper()
	sum := sdkmath.ZeroInt()
	for _, b := range r.Consumer.Blocks(0) {
		for _, e := range b.Events {
			if e.Type != distrtypes.EventTypeWithdrawRewards {
				continue
			}
			values := map[string]string{}
			for _, a := range e.Attributes {
				values[a.Key] = a.Value
			}
			if values[distrtypes.AttributeKeyDelegator] != r.VirtualAccount().String() {
				continue
			}
			coins, err := sdk.ParseCoinsNormalized(values[sdk.AttributeKeyAmount])
			require.NoError(r.t, err)
			sum = sum.Add(coins.AmountOf(r.Consumer.Denom).MulRaw(7).QuoRaw(10))
		}
	}
	return sum
}

func (r *rewardPair) arrived() sdkmath.Int {
	ctx := r.Provider.CommittedContext()
	return r.Provider.App.BankKeeper.GetBalance(ctx, r.receiver.Address(), r.denom).Amount
}

func (r *rewardPair) escrowed() sdkmath.Int {
	ctx := r.Consumer.CommittedContext()
	escrow := transfertypes.GetEscrowAddress(transfertypes.PortID, r.channel)
	return r.Consumer.App.BankKeeper.GetBalance(ctx, escrow, r.Consumer.Denom).Amount
}

// requireTotals checks that what was earned is what arrived, what is on its way and what waits, to the last unit.
func (r *rewardPair) requireTotals() {
	r.t.Helper()
	b := r.book()
	require.True(r.t, b.Collected.IsPositive())
	require.Equal(r.t, r.earned().String(), b.Collected.String())
	require.Equal(r.t, b.InFlight.Add(b.Delivered).String(), r.escrowed().String())
	require.False(r.t, b.Delivered.GT(r.arrived()))
	require.False(r.t, r.arrived().GT(b.Delivered.Add(b.InFlight)))
	require.NoError(r.t, r.Consumer.App.Mesh.Consumer.CheckInvariants(r.Consumer.CommittedContext()))
}

func isRewards(tr *meshtest.Transit) bool { return tr.Packet.SourcePort == transfertypes.PortID }

// TestRewardsOverICS20: rewards of every epoch reach the provider through the real transfer module, over two chains.
func TestRewardsOverICS20(t *testing.T) {
	r := pairWithRewards(t, "")
	for range 5 {
		r.net.Advance(2 * epoch)
		r.requireTotals()
	}
	require.True(t, r.arrived().IsPositive())
	// Stake that leaves takes its last rewards along.
	r.CrossUnstake("alice", val(r.Pairing, 1), 7*one)
	settle(r.net, r.Pairing)
	r.requireTotals()
	// The epochs of a stake that is gone bring nothing more.
	r.RemoveProvider()
	r.net.Advance(4 * epoch)
	require.True(t, r.TotalVirtual().IsZero())
	r.net.Until("all has arrived", round, func() bool { return r.book().InFlight.IsZero() && r.book().Pending.IsZero() })
	r.requireTotals()
	require.Equal(t, r.earned().String(), r.arrived().String())
}

// TestRewardsTimeOut: a transfer that times out is refunded by ICS-20 and sent again, nothing twice and nothing lost.
func TestRewardsTimeOut(t *testing.T) {
	r := pairWithRewards(t, "")
	r.net.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if isRewards(tr) && !tr.IsAck() {
			return meshtest.Drop
		}
		return meshtest.Deliver
	}
	before := r.arrived()
	r.net.Advance(meshtest.PacketTimeout + 10*epoch)
	require.Positive(t, r.net.Relayer.TimedOut)
	r.requireTotals()
	require.Equal(t, before.String(), r.arrived().String())
	r.net.Relayer.Policy = meshtest.Perfect
	r.net.Until("what came back has arrived", time.Hour, func() bool {
		b := r.book()
		return b.Failures == 0 && r.arrived().GT(before) && b.Pending.IsZero()
	})
	r.requireTotals()
}

// TestRewardsRefused: a receiver that the provider refuses sends everything back; with the right one it arrives.
func TestRewardsRefused(t *testing.T) {
	r := pairWithRewards(t, "nobody")
	r.net.Advance(6 * epoch)
	b := r.book()
	require.Positive(t, b.Failures)
	require.True(t, b.Delivered.IsZero())
	r.requireTotals()
	r.UpdateProvider(func(c *consumertypes.ProviderConfig) { c.RewardReceiver = r.receiver.String() })
	r.net.Until("all has arrived", time.Hour, func() bool { return r.book().Delivered.IsPositive() && r.book().Pending.IsZero() })
	r.requireTotals()
}

// TestRewardsWithoutClient: an expired or frozen client fails the transfer; what is earned waits on the reward account.
func TestRewardsWithoutClient(t *testing.T) {
	r := pairWithRewards(t, "")
	r.net.Relayer.OnError = func(*meshtest.Transit, error) {}
	freeze(t, r.Link().On(r.Consumer))
	r.net.Advance(6 * epoch)
	b := r.book()
	require.Positive(t, b.Failures)
	require.True(t, b.Pending.IsPositive())
	require.Equal(t, r.earned().String(), b.Collected.String())
	ctx := r.Consumer.CommittedContext()
	waiting := r.Consumer.App.BankKeeper.GetBalance(ctx, consumertypes.RewardAccount(r.ProviderID), r.Consumer.Denom)
	require.Equal(t, b.Pending.String(), waiting.Amount.String())
	require.NoError(t, r.Consumer.App.Mesh.Consumer.CheckInvariants(ctx))
}
