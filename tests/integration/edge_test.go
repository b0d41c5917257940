package integration_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestTheSameHistoryGivesTheSameStateOnEveryNode(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T) []string {
		t.Helper()
		n := meshtest.NewNetwork(t, 4711, meshtest.ChainConfig{Name: "prov"}, meshtest.ChainConfig{Name: "cons"})
		p := n.Pair(n.Chain("prov"), n.Chain("cons"))
		n.Relayer.Shuffle = true
		n.Relayer.Policy = n.Unreliable(20, 30, 10, false)
		var hashes []string
		for i := range 60 {
			actRandomly(n, p, "alice", "bob", "carol", "dave")
			if i%7 == 0 {
				p.Provider.Account("alice").Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), one))
			}
			if i == 30 {
				p.Consumer.DoubleSign(val(p, 3), p.Consumer.Height())
			}
			n.Step()
			for _, c := range n.Chains() {
				hashes = append(hashes, fmt.Sprintf("%s %d %X", c.Name, c.Height(), c.App.LastCommitID().Hash))
			}
		}
		return hashes
	}
	require.Equal(t, play(t), play(t))
}

func TestAChainThatHaltsAndComesBack(t *testing.T) {
	for _, name := range []string{"prov", "cons"} {
		t.Run(name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			n.Chain(name).Halted = true
			n.Advance(meshtest.Silence + time.Minute)
			if name == "prov" {
				require.True(t, p.TotalVirtual().IsZero(), "no power without word of its backing")
			} else {
				p.CrossUnstake("alice", val(p, 0), 10*one)
			}
			n.Chain(name).Halted = false
			n.Step()
			p.WaitConverged(time.Hour)
			settle(n, p)
			want := int64(36 * one)
			if name == "cons" {
				want = 27 * one
			}
			requireInt(t, want, p.TotalVirtual())
		})
	}
}

func TestInflationAndSupplyDoNotSeeVirtualStake(t *testing.T) {
	n, p := pair(t)
	cons := p.Consumer
	supply := func(ctx sdk.Context) sdkmath.Int { return cons.App.BankKeeper.GetSupply(ctx, cons.Denom).Amount }
	before := supply(cons.CommittedContext())
	minted := func() sdkmath.Int {
		minter, err := cons.App.MintKeeper.Minter.Get(cons.CommittedContext())
		require.NoError(t, err)
		params, err := cons.App.MintKeeper.Params.Get(cons.CommittedContext())
		require.NoError(t, err)
		return minter.BlockProvision(params).Amount
	}
	provision := minted()
	p.CrossStake("alice", val(p, 0), 100*one)
	p.CrossStake("bob", val(p, 1), 50*one)
	settle(n, p)
	virtual := p.TotalVirtual()
	requireInt(t, 135*one, virtual)

	nativeCoin, err := cons.App.Mesh.Consumer.NativeSupply(cons.CommittedContext())
	require.NoError(t, err)
	native := nativeCoin.Amount
	require.Equal(t, supply(cons.CommittedContext()).Sub(virtual).String(), native.String())

	// The next inflation rate is that of the native stake alone.
	ctx := cons.CommittedContext()
	minter, err := cons.App.MintKeeper.Minter.Get(ctx)
	require.NoError(t, err)
	params, err := cons.App.MintKeeper.Params.Get(ctx)
	require.NoError(t, err)
	ratio := sdkmath.LegacyNewDecFromInt(nativeBonded(cons, p)).QuoInt(native)
	want := minter.NextInflationRate(params, ratio)
	n.Step()
	after, err := cons.App.MintKeeper.Minter.Get(cons.CommittedContext())
	require.NoError(t, err)
	require.Equal(t, want.String(), after.Inflation.String())
	require.Equal(t, after.Inflation.MulInt(native).String(), after.AnnualProvisions.String())

	// Everything that came goes: what is left is the supply before and what was minted since.
	p.CrossUnstake("alice", val(p, 0), 100*one)
	p.CrossUnstake("bob", val(p, 1), 50*one)
	blocks := cons.Height()
	settle(n, p)
	require.True(t, p.TotalVirtual().IsZero())
	grown := supply(cons.CommittedContext()).Sub(before)
	most := provision.MulRaw(cons.Height()).MulRaw(2)
	require.True(t, grown.IsPositive() && grown.LT(most), "%s in %d blocks", grown, cons.Height()-blocks)
}

func TestCoinsThatStrangersSendToTheVirtualAccountDoNothing(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	mallory := p.Consumer.Account("bob")
	mallory.Send(banktypes.NewMsgSend(mallory.Address(), p.VirtualAccount(), sdk.NewCoins(sdk.NewInt64Coin(p.Consumer.Denom, 500*one))))
	p.CrossStake("alice", val(p, 1), 20*one)
	settle(n, p)
	requireInt(t, 54*one, p.TotalVirtual())
	// They are no reward: they went to the community pool, and rewards are what they would have been.
	ctx := p.Consumer.CommittedContext()
	pool, err := p.Consumer.App.DistrKeeper.FeePool.Get(ctx)
	require.NoError(t, err)
	require.True(t, pool.CommunityPool.AmountOf(p.Consumer.Denom).GTE(sdkmath.LegacyNewDec(500*one)))
	require.True(t, p.Consumer.App.BankKeeper.GetBalance(ctx, p.VirtualAccount(), p.Consumer.Denom).Amount.LT(amount(one)))
	for _, b := range p.Consumer.ConsumerState().RewardBooks {
		require.True(t, b.Book.Collected.LT(amount(one)), "%s", b.Book.Collected)
	}
}

func TestVirtualStakeDecidesWhoIsInTheActiveSetAndLeavesFromOutsideOfIt(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{
		Validators: []int64{100 * one, 90 * one, 80 * one, 70 * one},
		Delegators: []meshtest.Delegator{{Name: "bob"}},
		Genesis:    func(g *meshtest.Genesis) { g.StakingParams(func(s *stakingParams) { s.MaxValidators = 3 }) },
	})
	_, known := p.Registered(val(p, 3))
	require.False(t, known, "it was never bonded")
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 3), one), providertypes.ErrUnknownValidator)

	p.CrossStake("alice", val(p, 2), 20*one)
	settle(n, p)
	requireInt(t, 18*one, p.Virtual(val(p, 2)))
	// 95 native pass 90 native; val1 drops out.
	p.Consumer.Account("bob").Send(p.Consumer.MsgDelegate("bob", val(p, 3), 25*one))
	n.Advance(time.Minute)
	require.EqualValues(t, 95, p.Consumer.Power(val(p, 3)))
	require.EqualValues(t, 0, p.Consumer.Power(val(p, 1)))
	reg, known := p.Registered(val(p, 3))
	require.True(t, known)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, reg.Status)
	reg, _ = p.Registered(val(p, 1))
	require.Equal(t, meshtypes.VALIDATOR_STATUS_UNBONDED, reg.Status)

	// Virtual stake on a validator outside lifts it back in.
	p.CrossStake("alice", val(p, 1), 20*one)
	settle(n, p)
	requireInt(t, 18*one, p.Virtual(val(p, 1)))
	require.EqualValues(t, 108, p.Consumer.Power(val(p, 1)))
	require.EqualValues(t, 0, p.Consumer.Power(val(p, 3)), "95 against 98 of val2 with its virtual stake")

	// And stake leaves from a validator that is unbonding.
	p.CrossStake("bob", val(p, 3), 20*one)
	settle(n, p)
	requireInt(t, 18*one, p.Virtual(val(p, 3)))
	require.EqualValues(t, 113, p.Consumer.Power(val(p, 3)))
	require.EqualValues(t, 0, p.Consumer.Power(val(p, 2)))
	require.True(t, p.Consumer.Validator(val(p, 2)).IsUnbonding())
	p.CrossUnstake("alice", val(p, 2), 20*one)
	settle(n, p)
	require.True(t, p.Virtual(val(p, 2)).IsZero())
}

func TestJailedValidatorKeepsItsVirtualStakeAndComesBack(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.SlashingParams(func(s *slashingtypes.Params) {
			s.SignedBlocksWindow, s.DowntimeJailDuration, s.SlashFractionDowntime = 20, time.Minute, sdkmath.LegacyZeroDec()
		})
	}})
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	v := val(p, 0)
	v.Absent = true
	n.Until("jailed", round*3, func() bool { return p.Consumer.Validator(v).Jailed })
	v.Absent = false
	n.Advance(2 * time.Minute)
	requireInt(t, 36*one, p.Virtual(v))
	require.EqualValues(t, 0, p.Consumer.Power(v))
	reg, _ := p.Registered(v)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, reg.Status)

	p.CrossUnstake("alice", v, 10*one)
	settle(n, p)
	requireInt(t, 27*one, p.Virtual(v))
	v.Operator.Send(slashingtypes.NewMsgUnjail(v.String()))
	settle(n, p)
	require.EqualValues(t, 160+27, p.Consumer.Power(v))
	reg, _ = p.Registered(v)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, reg.Status)
}

func TestAValidatorThatIsRemovedAndCreatedAgainGetsItsStakeBack(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Unbonding: 5 * time.Minute, Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(c *consumerParams) { c.MaxProviderSilence, c.FreshnessMargin = 3*time.Minute, time.Minute })
	}})
	p.CrossStake("alice", val(p, 3), 40*one)
	settle(n, p)
	op := val(p, 3)
	p.Consumer.Account("val3").Queue(p.Consumer.MsgUndelegate("val3", op, 100*one))
	p.Consumer.Account("dave").Queue(p.Consumer.MsgUndelegate("dave", op, 20*one))
	n.Advance(8 * time.Minute)
	_, err := p.Consumer.App.StakingKeeper.GetValidator(p.Consumer.CommittedContext(), op.ValAddress())
	require.Error(t, err, "removed")
	require.True(t, p.TotalVirtual().IsZero())
	active, _ := p.Lien("alice")
	requireInt(t, 40*one, active, "the position stands")

	again := p.Consumer.CreateValidator("val3", 2, 90*one)
	n.Until("its stake is back", 5*time.Minute, func() bool { return p.Virtual(again).Equal(amount(36 * one)) })
	settle(n, p)
	reg, _ := p.Registered(again)
	require.Len(t, reg.Keys, 2, "the first key stands, the new one is appended")
	p.CrossUnstake("alice", again, 40*one)
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestAVestingAccountRestakesWhatItMayNotSpend(t *testing.T) {
	n, p := pair(t)
	prov := p.Provider
	funder := prov.Account("bob")
	// "erin" is an account that does not exist yet; all its tokens vest in a year.
	erin := prov.NewAccount("erin")
	funder.Send(vestingtypes.NewMsgCreateVestingAccount(
		funder.Address(), erin.Address(), sdk.NewCoins(sdk.NewInt64Coin(prov.Denom, 80*one)),
		n.Now().Add(365*24*time.Hour).Unix(), true,
	))
	erin.Send(prov.MsgDelegate("erin", nat(p, 2), 80*one))
	p.CrossStake("erin", val(p, 0), 60*one)
	settle(n, p)
	requireInt(t, 54*one, p.TotalVirtual())

	vesting := func() *vestingtypes.DelayedVestingAccount {
		acc, ok := prov.App.AccountKeeper.GetAccount(prov.CommittedContext(), erin.Address()).(*vestingtypes.DelayedVestingAccount)
		require.True(t, ok, "it is still a vesting account")
		return acc
	}
	requireInt(t, 80*one, vesting().DelegatedVesting.AmountOf(prov.Denom))
	erin.Send(prov.MsgUndelegate("erin", nat(p, 2), 80*one))
	n.Step()
	requireInt(t, 80*one, prov.Held("erin"))
	// At maturity 20 are paid out and 60 wait for the batch; both ways count as undelegated.
	n.AdvanceIn(u+30*time.Second, 15*time.Second)
	requireInt(t, 60*one, prov.Held("erin"))
	requireInt(t, 60*one, vesting().DelegatedVesting.AmountOf(prov.Denom))
	n.AdvanceIn(u+round, 15*time.Second)
	require.True(t, vesting().DelegatedVesting.IsZero())
	send := banktypes.NewMsgSend(erin.Address(), funder.Address(), sdk.NewCoins(sdk.NewInt64Coin(prov.Denom, 30*one)))
	require.Error(t, erin.Try(send).Err(), "what it got back is still locked")
}

func TestCrossStakingThroughAGrant(t *testing.T) {
	n, p := pair(t)
	alice, carol := p.Provider.Account("alice"), p.Provider.Account("carol")
	expires := n.Now().Add(time.Hour)
	grant, err := authz.NewMsgGrant(alice.Address(), carol.Address(),
		authz.NewGenericAuthorization(sdk.MsgTypeURL(&providertypes.MsgCrossStake{})), &expires)
	require.NoError(t, err)
	alice.Send(grant)
	exec := authz.NewMsgExec(carol.Address(), []sdk.Msg{p.MsgCrossStake("alice", val(p, 0), 40*one)})
	carol.Send(&exec)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
	exec = authz.NewMsgExec(carol.Address(), []sdk.Msg{p.MsgCrossUnstake("alice", val(p, 0), one)})
	require.Error(t, carol.Try(&exec).Err())
}

func TestADelegatorWithTooManyNativeDelegationsGetsNoLiens(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ProviderParams(func(params *providerParams) { params.MaxNativeDelegations = 2 })
	}}, meshtest.ChainConfig{})
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 40*one)
	alice.Send(p.Provider.MsgDelegate("alice", nat(p, 2), one))
	n.Steps(3)
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 0), one), providertypes.ErrTooManyDelegations)
	active, _ := p.Lien("alice")
	requireInt(t, 40*one, active, "a third delegation costs nobody a position")
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestARaisedNativeSlashFractionCutsWhatItNoLongerBacks(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.SkipBacking = true // lost backing, by decision of the provider
	p.ConsumerConfig.MaxSlashFractionDoubleSign = meshtest.Dec("0.5")
	p.SetUp()
	p.CrossStake("alice", val(p, 0), 100*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	setFraction := func(fraction string) {
		params, err := prov.App.SlashingKeeper.GetParams(prov.CommittedContext())
		require.NoError(t, err)
		params.SlashFractionDoubleSign = meshtest.Dec(fraction)
		prov.MustGov(&slashingtypes.MsgUpdateParams{Authority: prov.Authority(), Params: params})
		n.Advance(4 * epoch)
	}
	// 0.5 · lien + 0.6 · 100 ≤ 100
	setFraction("0.6")
	require.Equal(t, meshtest.Dec("0.6"), prov.ProviderState().NativeRatio)
	active, unbonding := p.Lien("alice")
	requireInt(t, 80*one, active.Add(unbonding))
	bobs, _ := p.Lien("bob")
	requireInt(t, 20*one, bobs, "10 + 0.6 · 50 is still backed")
	settle(n, p)
	setFraction("0.05")
	require.Equal(t, meshtest.Dec("0.05"), prov.ProviderState().NativeRatio)
	p.CrossStake("alice", val(p, 0), 20*one)
	settle(n, p)
}

// budgets returns the sum of the budgets of a delegator's positions.
func budgets(p *meshtest.Pairing, del string) sdkmath.Int {
	sum := sdkmath.ZeroInt()
	for _, r := range p.Provider.ProviderState().Positions {
		if p.Provider.Account(del).Address().Equals(sdk.AccAddress(r.Delegator)) {
			sum = sum.Add(r.Position.Budget)
		}
	}
	return sum
}

func TestARaisedSlashFractionOfAConsumerTakesEffectAfterTwiceU(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	requireInt(t, 5*one, budgets(p, "alice"))
	p.UpdateConsumer(func(c *consumerConfig) { c.MaxSlashFractionDoubleSign = meshtest.Dec("0.2") })
	n.AdvanceIn(2*u-time.Minute, 15*time.Second)
	requireInt(t, 5*one, budgets(p, "alice"))
	require.Equal(t, meshtest.Dec("0.05"), p.ConsumerRecord().Consumer.Config.MaxSlashFractionDoubleSign)
	n.AdvanceIn(2*time.Minute, 15*time.Second)
	require.Equal(t, meshtest.Dec("0.2"), p.ConsumerRecord().Consumer.Config.MaxSlashFractionDoubleSign)
	requireInt(t, 20*one, budgets(p, "alice"), "a walk reserves the larger budget")

	p.UpdateConsumer(func(c *consumerConfig) { c.MaxSlashFractionDoubleSign = meshtest.Dec("0.01") })
	n.Step()
	require.Equal(t, meshtest.Dec("0.01"), p.ConsumerRecord().Consumer.Config.MaxSlashFractionDoubleSign, "lowering holds at once")
	p.CrossStake("bob", val(p, 0), 50*one)
	requireInt(t, one/2, budgets(p, "bob"))
	settle(n, p)
}

func TestExtremeValuesThatAreAllowedHaltNothing(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true // a hostile provider
	p.UpdateProvider(func(c *providerConfig) {
		c.CollateralDecimals, c.Discount = 0, sdkmath.LegacyZeroDec()
	})
	p.SetPrice(meshtest.Dec("1000000000000000000"))
	n.Step()
	rec := p.ConsumerRecord()
	all := make([]meshtypes.Stake, 0, 4)
	for i := range p.Consumer.Validators {
		all = append(all, meshtypes.Stake{Validator: val(p, i).ValAddress(), Amount: pow2(128).SubRaw(1)})
	}
	slices.SortFunc(all, func(a, b meshtypes.Stake) int { return bytes.Compare(a.Validator, b.Validator) })
	const most = 1<<63 - 1
	sendUpdate(t, p, meshtypes.StakeUpdate{
		Session: rec.Pairing.Session, Seq: most, UnbondingPeriod: most, SyncedAt: most, SlashSeq: most, Stakes: all,
	})
	n.Advance(2 * time.Minute)
	require.True(t, p.TotalVirtual().IsPositive())
	limit := nativeBonded(p.Consumer, p).MulRaw(3).QuoRaw(7)
	require.True(t, p.TotalVirtual().LTE(limit), "%s of at most %s", p.TotalVirtual(), limit)
	require.False(t, p.ProviderRecord().SyncedAt.After(p.Consumer.LastBlock().Time))

	// The consumer's governance starts over: the honest totals win.
	p.RemoveProvider()
	n.Advance(3 * epoch)
	require.True(t, p.TotalVirtual().IsZero())
	p.ProviderConfig.CollateralDecimals = 6
	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(sdkmath.LegacyOneDec())
	n.Step()
	reopen(t, n, p)
	p.CrossStake("alice", val(p, 0), 40*one)
	p.WaitConverged(time.Hour)
	settle(n, p)
	requireInt(t, 40*one, p.TotalVirtual())
}

func TestExtremeReportsThatAreAllowedHaltNothing(t *testing.T) {
	for name, value := range map[string]uint64{"zero": 0, "a nanosecond": 1, "292 years": 1<<63 - 1} {
		t.Run(name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			reg, _ := p.Registered(val(p, 0))
			sendReport(t, p, meshtypes.ConsumerReport{
				Session: session(p), Seq: 1<<63 - 1, FirstIndex: 1<<63 - 1, UnbondingPeriod: value, FreshnessLimit: value,
				Validators: []meshtypes.ValidatorReport{{
					Operator: val(p, 0).ValAddress(), Status: meshtypes.VALIDATOR_STATUS_BONDED, ConsensusKey: reg.Keys[0].Key,
					KeyHeight: meshtypes.NewHeight(1<<63-1, 1<<63-1), ExecutedSeq: 1<<63 - 1, ExecutedHeight: meshtypes.NewHeight(1<<63-1, 1<<63-1),
				}},
			})
			n.Advance(2 * time.Minute)
			start := n.Now()
			p.CrossUnstake("alice", val(p, 0), 40*one)
			n.Until("free", 2*u+2*round, func() bool { return len(p.Batches()) == 0 })
			require.LessOrEqual(t, n.Now().Sub(start), 2*u+2*time.Minute)
		})
	}
}

func TestMoreValidatorsThanTheConsumerKeepsRecordsOf(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(c *consumerParams) { c.MaxValidatorsPerProvider = 2 })
	}})
	for i := range 3 {
		p.CrossStake("alice", val(p, i), 20*one)
		n.Advance(time.Minute)
	}
	require.Len(t, p.Stored(), 2)
	requireInt(t, 36*one, p.TotalVirtual())
	require.Empty(t, p.Provider.ProviderState().Outbox, "the third is answered")
	// Whoever is left out leaves as soon as anybody.
	p.CrossUnstake("alice", val(p, 2), 20*one)
	start := n.Now()
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	require.Less(t, n.Now().Sub(start), u+2*time.Minute)
	// Room again.
	p.CrossUnstake("alice", val(p, 0), 20*one)
	n.Advance(round)
	p.CrossStake("alice", val(p, 3), 20*one)
	n.Advance(round)
	require.Equal(t, map[string]string{"val1": "20000000", "val3": "20000000"}, p.Stored())
}

func TestManyMembersOfABatchAreReleasedABoundedNumberPerBlock(t *testing.T) {
	const members = 60
	prov := meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ProviderParams(func(params *providerParams) { params.MaxSettlementSteps = 20 })
	}}
	for i := range members {
		prov.Delegators = append(prov.Delegators, meshtest.Delegator{Name: fmt.Sprintf("d%d", i), Stakes: []int64{one}})
	}
	n, p := pairOf(t, prov, meshtest.ChainConfig{})
	for i := range members {
		name := fmt.Sprintf("d%d", i)
		p.Provider.Account(name).Queue(p.MsgCrossStake(name, val(p, 0), one))
	}
	settle(n, p)
	requireInt(t, members*one*9/10, p.TotalVirtual())
	for i := range members {
		name := fmt.Sprintf("d%d", i)
		p.Provider.Account(name).Queue(p.MsgCrossUnstake(name, val(p, 0), one))
		p.Provider.Account(name).Queue(p.Provider.MsgUndelegate(name, nat(p, 0), one))
	}
	n.Until("the batch matures", u+round, func() bool {
		b := p.Batches()
		return len(b) == 1 && b[0].Pool.IsMatured()
	})
	before := len(p.Provider.ProviderState().Positions)
	n.Step()
	after := len(p.Provider.ProviderState().Positions)
	require.Greater(t, before-after, 0)
	require.LessOrEqual(t, before-after, 40, "a part of them in each block")
	n.Until("all are free", round, func() bool { return len(p.Provider.ProviderState().Positions) == 0 })
	n.Until("and paid", u, func() bool { return len(p.Provider.ProviderState().Holds) == 0 })
	for i := range members {
		name := fmt.Sprintf("d%d", i)
		require.Empty(t, p.Provider.Unbondings(name))
	}
}
