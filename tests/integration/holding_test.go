package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestNativeUndelegationIsHeldOnlyAsFarAsALienNeedsIt(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 50*one)

	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 40*one))
	n.Step()
	requireInt(t, 0, p.Provider.Held("alice"), "60 are still bonded for a lien of 50")

	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 20*one))
	n.Step()
	requireInt(t, 20*one, p.Provider.Held("alice"), "the younger entry suffices")

	// The lien falls to 35; of 40 bonded nothing more is needed.
	p.CrossUnstake("alice", val(p, 0), 15*one)
	n.Until("the batch matures", u+round, func() bool { return len(p.Batches()) == 0 })
	n.Step()
	requireInt(t, 0, p.Provider.Held("alice"))
	n.Advance(round)
	require.Empty(t, p.Provider.Unbondings("alice"))
	require.True(t, p.Provider.Balance(alice).GTE(sdkmath.NewInt(meshtest.Balance+60*one)))
}

func TestLeavingBothChainsTakesTheLongerPeriodNotTheSum(t *testing.T) {
	for name, periods := range map[string][2]time.Duration{
		"consumer longer": {10 * time.Minute, 15 * time.Minute},
		"provider longer": {15 * time.Minute, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			n, p := pairOf(t, meshtest.ChainConfig{Unbonding: periods[0]}, meshtest.ChainConfig{Unbonding: periods[1]})
			alice := p.Provider.Account("alice")
			p.CrossStake("alice", val(p, 0), 100*one)
			settle(n, p)

			start := n.Now()
			alice.Queue(p.MsgCrossUnstake("alice", val(p, 0), 100*one))
			alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), 60*one))
			alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 1), 40*one))
			n.Steps(2)
			requireInt(t, 100*one, p.Provider.Held("alice"))
			longer := max(periods[0], periods[1])
			n.Until("everything is paid", longer+round, func() bool { return len(p.Provider.Unbondings("alice")) == 0 })
			require.GreaterOrEqual(t, n.Now().Sub(start), longer)
			require.True(t, p.Provider.Balance(alice).GTE(sdkmath.NewInt(meshtest.Balance+100*one)))
			require.Empty(t, p.Provider.ProviderState().Accounts)
		})
	}
}

func TestWhoeverOnlyLeavesNativelyIsUnstakedWhenTheEntryMatures(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 60*one)
	p.CrossStake("alice", val(p, 1), 30*one)
	settle(n, p)

	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 60*one))
	n.AdvanceIn(u-time.Minute, 15*time.Second)
	active, unbonding := p.Lien("alice")
	requireInt(t, 90*one, active, "nothing happens before the entry's own time has come")
	require.True(t, unbonding.IsZero())

	n.Advance(90 * time.Second)
	active, unbonding = p.Lien("alice")
	// 40 stay bonded, so 50 of 90 go, pro rata over two positions and rounded up.
	require.True(t, active.LTE(amount(40*one)) && active.GTE(amount(40*one-2)), "%s", active)
	requireInt(t, 90*one, active.Add(unbonding))
	n.Until("everything is paid", u+round, func() bool { return len(p.Provider.Unbondings("alice")) == 0 })
	settle(n, p)
	require.True(t, p.TotalVirtual().Sub(amount(36*one)).Abs().LTE(amount(2)), "%s", p.TotalVirtual())
	require.Len(t, p.Totals(), 2)
}

func TestTwoUndelegationsInOneBlockMergeIntoOneEntry(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 90*one)
	alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), 7*one))
	tx := alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), 20*one))
	n.Steps(2)
	require.NoError(t, tx.Err())
	entries := p.Provider.Unbondings("alice")
	require.Len(t, entries, 1, "x/staking merges them and runs its hook once")
	requireInt(t, 27*one, p.Provider.Held("alice"))

	// A third one in a later block, small enough to be left alone once the younger one is held.
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 1), 3*one))
	n.Step()
	requireInt(t, 30*one, p.Provider.Held("alice"), "70 bonded, 20 needed: the younger 3 and the 27")
	n.AdvanceIn(u+round, 15*time.Second)
	n.AdvanceIn(u+round, 15*time.Second)
	require.Empty(t, p.Provider.Unbondings("alice"))
	active, _ := p.Lien("alice")
	requireInt(t, 70*one, active)
}

func TestCancellingAHeldUndelegation(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 90*one)
	tx := alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 60*one))
	n.Step()
	requireInt(t, 60*one, p.Provider.Held("alice"))

	alice.Send(p.Provider.MsgCancelUnbonding("alice", nat(p, 0), tx.Height, 10*one))
	n.Step()
	requireInt(t, 50*one, p.Provider.Held("alice"), "what is left of the entry is needed")
	alice.Send(p.Provider.MsgCancelUnbonding("alice", nat(p, 0), tx.Height, 50*one))
	n.Step()
	require.Empty(t, p.Provider.Unbondings("alice"))
	require.Empty(t, p.Provider.ProviderState().Holds)
	requireInt(t, 60*one, p.Provider.Delegated(alice.Address(), nat(p, 0)))
	active, _ := p.Lien("alice")
	requireInt(t, 90*one, active)
}

func TestCancellingReleasesWhatIsNoLongerNeeded(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 70*one)
	first := alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 30*one))
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 30*one))
	n.Step()
	requireInt(t, 30*one, p.Provider.Held("alice"))
	alice.Send(p.Provider.MsgCancelUnbonding("alice", nat(p, 0), first.Height, 30*one))
	n.Step()
	requireInt(t, 0, p.Provider.Held("alice"))
}

func TestSevenHeldEntriesFillXStakingsLimit(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	for range 7 {
		alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 2*one))
	}
	n.Step()
	require.Len(t, p.Provider.Unbondings("alice"), 7)
	requireInt(t, 14*one, p.Provider.Held("alice"))
	tx := alice.Try(p.Provider.MsgUndelegate("alice", nat(p, 0), 2*one))
	require.ErrorIs(t, tx.Err(), stakingtypes.ErrMaxUnbondingDelegationEntries)

	// All mature while held; what they backed is unstaked, and then they are paid.
	n.AdvanceIn(2*u+round, 15*time.Second)
	require.Empty(t, p.Provider.Unbondings("alice"))
	active, unbonding := p.Lien("alice")
	requireInt(t, 86*one, active)
	require.True(t, unbonding.IsZero())
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 2*one))
}

func TestAMaturedEntryPaysOutWhatIsNotNeeded(t *testing.T) {
	n, p := pair(t)
	bob := p.Provider.Account("bob") // 50 on one validator
	p.CrossStake("bob", val(p, 0), 30*one)
	bob.Send(p.Provider.MsgUndelegate("bob", nat(p, 1), 50*one))
	n.Step()
	requireInt(t, 50*one, p.Provider.Held("bob"), "an entry is held whole")
	before := p.Provider.Balance(bob)
	n.AdvanceIn(u+30*time.Second, 15*time.Second)
	requireInt(t, 30*one, p.Provider.Held("bob"), "when it matures, only what is needed stays")
	requireInt(t, 20*one, p.Provider.Balance(bob).Sub(before))
	active, unbonding := p.Lien("bob")
	require.True(t, active.IsZero())
	requireInt(t, 30*one, unbonding)
	n.AdvanceIn(u+round, 15*time.Second)
	requireInt(t, 50*one, p.Provider.Balance(bob).Sub(before))
}

func TestHeldCollateralBacksOldLiensButNoNewOnes(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 60*one)
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 60*one))
	n.Step()
	requireInt(t, 60*one, p.Provider.Held("alice"))
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 0), one), providertypes.ErrInsufficientCollateral)
	alice.Send(p.Provider.MsgDelegate("alice", nat(p, 1), 25*one))
	p.CrossStake("alice", val(p, 0), 5*one)
	n.Step()
	requireInt(t, 0, p.Provider.Held("alice"), "65 are bonded again")
}

func TestNativeRedelegationKeepsCollateral(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	alice.Send(p.Provider.MsgRedelegate("alice", nat(p, 0), nat(p, 2), 60*one))
	n.Steps(3)
	active, _ := p.Lien("alice")
	requireInt(t, 100*one, active)
	require.Empty(t, p.Provider.Unbondings("alice"))
}

func TestRestakeRightAfterReleaseOfTheLien(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("carol", val(p, 0), 30*one)
	settle(n, p)
	p.CrossUnstake("carol", val(p, 0), 30*one)
	require.ErrorIs(t, p.TryCrossStake("carol", val(p, 1), one), providertypes.ErrInsufficientCollateral)
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
	p.CrossStake("carol", val(p, 1), 30*one)
	settle(n, p)
	require.Equal(t, map[string]string{"val1": "30000000"}, p.Stored())
}

func TestCollateralThatEscapesShrinksPositionsAndBars(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true // collateral is lost
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	from := p.Provider.Height() + 1

	// A module that moves a delegation away without an entry, as tokenised shares do.
	p.Provider.Direct(func(ctx sdk.Context) {
		sk := p.Provider.App.StakingKeeper
		tokens, err := sk.Unbond(ctx, alice.Address(), nat(p, 0).ValAddress(), sdkmath.LegacyNewDec(60*one))
		require.NoError(t, err)
		require.NoError(t, p.Provider.App.BankKeeper.UndelegateCoinsFromModuleToAccount(
			ctx, stakingtypes.BondedPoolName, alice.Address(), sdk.NewCoins(sdk.NewCoin(p.Provider.Denom, tokens)),
		))
	})
	n.Steps(2)
	require.NotEmpty(t, p.Provider.EventsSince(from, "mesh.provider.v1.EventCollateralEscaped"))
	active, unbonding := p.Lien("alice")
	requireInt(t, 40*one, active.Add(unbonding), "at once, with no unbonding: the collateral is gone")
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 1), one), providertypes.ErrBarred)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
	p.CrossUnstake("alice", val(p, 0), active.Int64())
}

func TestAfterANativeDoubleSignLiensShrinkToTheCollateralLeft(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true // collateral is lost
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	infraction := p.Provider.Height()
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 30*one))
	settle(n, p)
	requireInt(t, 30*one, p.Provider.Held("alice"))

	p.Provider.DoubleSign(nat(p, 0), infraction)
	n.Steps(2)
	// 5 % of 30 bonded there and of 30 in the entry, for an infraction while both were bonded.
	active, unbonding := p.Lien("alice")
	requireInt(t, 97*one, active.Add(unbonding), "the slash itself is followed by an evaluation")
	requireInt(t, 97*one, collateralOf(p, "alice"))
	// What the delegator adds is free: positions that were cut stay cut.
	alice.Send(withdrawAndDelegate(p, "alice", nat(p, 1), 1)...)
	n.Steps(2)
	active, unbonding = p.Lien("alice")
	requireInt(t, 97*one, active.Add(unbonding))
	requireInt(t, 97*one+1, collateralOf(p, "alice"))
	bobs, _ := p.Lien("bob")
	requireInt(t, 20*one, bobs, "others keep theirs")
	settle(n, p)
}

// collateralOf is what the account has bonded on the provider, with either validator, and held there.
func collateralOf(p *meshtest.Pairing, name string) sdkmath.Int {
	address := p.Provider.Account(name).Address()
	return p.Provider.Delegated(address, nat(p, 0)).Add(p.Provider.Delegated(address, nat(p, 1))).Add(p.Provider.Held(name))
}

func TestAutomaticUnstakeReservesNothingTwiceOverManyEpochs(t *testing.T) {
	// Leaving in small steps on both sides, in different orders, ends with nothing left.
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	for i := range 5 {
		if i%2 == 0 {
			p.CrossUnstake("alice", val(p, 0), 20*one)
			alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 10*one))
		} else {
			alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 10*one))
			p.CrossUnstake("alice", val(p, 0), 20*one)
		}
		n.Advance(time.Minute)
	}
	n.AdvanceIn(2*u, 15*time.Second)
	require.Empty(t, p.Provider.ProviderState().Positions)
	require.Empty(t, p.Provider.ProviderState().Holds)
	require.Empty(t, p.Provider.Unbondings("alice"))
}
