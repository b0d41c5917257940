package meshtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/internal/meshtest"
)

func pair(t *testing.T) (*meshtest.Network, *meshtest.Chain, *meshtest.Chain) {
	t.Helper()
	n := meshtest.NewNetwork(t, 1, meshtest.ChainConfig{Name: "alpha"}, meshtest.ChainConfig{Name: "beta"})
	return n, n.Chain("alpha"), n.Chain("beta")
}

func TestChainsMakeBlocksAndPayRewards(t *testing.T) {
	n, alpha, _ := pair(t)
	n.Steps(20)
	alice := alpha.Account("alice")
	ctx := alpha.CommittedContext()
	before := alpha.App.BankKeeper.GetBalance(ctx, alice.Address(), alpha.Denom).Amount
	require.Equal(t, sdkmath.NewInt(meshtest.Balance), before)

	tx := alice.Send(&stakingtypes.MsgDelegate{
		DelegatorAddress: alice.String(),
		ValidatorAddress: alpha.Validators[0].String(),
		Amount:           sdk.NewInt64Coin(alpha.Denom, meshtest.One),
	})
	require.Equal(t, alpha.Height(), tx.Height)
	after := alpha.App.BankKeeper.GetBalance(alpha.CommittedContext(), alice.Address(), alpha.Denom).Amount
	require.True(t, after.GT(before.SubRaw(meshtest.One)), "the delegation withdraws rewards")
	n.Step()
	require.EqualValues(t, 161, alpha.Power(alpha.Validators[0]))
}

func TestAbsentValidatorIsJailed(t *testing.T) {
	n, alpha, _ := pair(t)
	v := alpha.Validators[2]
	v.Absent = true
	n.Steps(160)
	val, err := alpha.App.StakingKeeper.GetValidator(alpha.CommittedContext(), v.ValAddress())
	require.NoError(t, err)
	require.True(t, val.Jailed)
	require.Zero(t, alpha.Power(v))
}

func TestEvidenceTombstones(t *testing.T) {
	n, alpha, _ := pair(t)
	n.Steps(5)
	v := alpha.Validators[1]
	alpha.DoubleSign(v, 3)
	n.Step()
	require.True(t, alpha.App.SlashingKeeper.IsTombstoned(alpha.CommittedContext(), v.ConsAddress()))
}

func TestRelayerTimesOutRepeatsAndReorders(t *testing.T) {
	n, alpha, beta := pair(t)
	link := n.Connect(alpha, beta)
	path := link.A.TransferChannel()
	n.Steps(3)

	bob := alpha.Account("bob")
	send := func() {
		bob.Send(&transfertypes.MsgTransfer{
			SourcePort: transfertypes.PortID, SourceChannel: path.EndpointA.ChannelID,
			Token:            sdk.NewInt64Coin(alpha.Denom, 7),
			Sender:           bob.String(),
			Receiver:         beta.Account("bob").String(),
			TimeoutHeight:    clienttypes.ZeroHeight(),
			TimeoutTimestamp: uint64(n.Now().Add(time.Minute).UnixNano()),
		})
	}
	fate := map[uint64]meshtest.Fate{2: meshtest.Drop, 3: meshtest.Repeat}
	n.Relayer.Shuffle = true
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if tr.IsAck() || tr.Deliveries > 0 {
			return meshtest.Deliver
		}
		return fate[tr.Packet.Sequence]
	}
	for range 5 {
		send()
	}
	n.Steps(40)
	require.Empty(t, n.Relayer.InFlight())
	require.Equal(t, 1, n.Relayer.TimedOut)

	denom := transfertypes.NewDenom(alpha.Denom, transfertypes.NewHop(transfertypes.PortID, path.EndpointB.ChannelID)).IBCDenom()
	got := beta.App.BankKeeper.GetBalance(beta.CommittedContext(), beta.Account("bob").Address(), denom)
	require.EqualValues(t, 4*7, got.Amount.Int64())
}

func TestClientsStayAliveAndExpire(t *testing.T) {
	n, alpha, beta := pair(t)
	link := n.Connect(alpha, beta)
	n.AdvanceIn(time.Hour, 30*time.Second)
	require.Equal(t, exported.Active, link.A.ClientStatus())
	link.NoKeepAlive = true
	n.StepBy(time.Hour)
	require.Equal(t, exported.Expired, link.A.ClientStatus())
	require.Equal(t, exported.Expired, link.B.ClientStatus())
}

func TestRestartKeepsClientsAndPacketsInFlight(t *testing.T) {
	n, alpha, beta := pair(t)
	path := n.Connect(alpha, beta).A.TransferChannel()
	alice := alpha.Account("alice")
	alice.Send(alpha.MsgUndelegate("alice", alpha.Validators[0], 3*meshtest.One))
	n.Relayer.Policy = meshtest.HoldAll
	alice.Send(&transfertypes.MsgTransfer{
		SourcePort: transfertypes.PortID, SourceChannel: path.EndpointA.ChannelID,
		Token:  sdk.NewInt64Coin(alpha.Denom, 7),
		Sender: alice.String(), Receiver: beta.Account("bob").String(),
		TimeoutHeight:    clienttypes.ZeroHeight(),
		TimeoutTimestamp: uint64(n.Now().Add(time.Hour).UnixNano()),
	})
	alpha.Restart()
	beta.Restart()
	n.Relayer.Policy = meshtest.Perfect
	n.Steps(10)
	require.Empty(t, n.Relayer.InFlight())
	denom := transfertypes.NewDenom(alpha.Denom, transfertypes.NewHop(transfertypes.PortID, path.EndpointB.ChannelID)).IBCDenom()
	require.EqualValues(t, 7, beta.App.BankKeeper.GetBalance(beta.CommittedContext(), beta.Account("bob").Address(), denom).Amount.Int64())
	require.Len(t, alpha.Unbondings("alice"), 1)
	n.AdvanceIn(meshtest.UnbondingTime, 30*time.Second)
	n.Step()
	require.Empty(t, alpha.Unbondings("alice"))
}
