package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

func TestCrossRedelegateBadInput(t *testing.T) {
	type change = func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossRedelegate)
	report := func(n int, status meshtypes.ValidatorStatus) change {
		return func(_ *testutil.Fixture, c *testutil.Consumer, _ *types.MsgCrossRedelegate) {
			r := testutil.ValidatorReport(n)
			r.Status = status
			c.Send(c.Message(r))
		}
	}
	for _, tc := range []struct {
		name   string
		change change
		err    error
	}{
		{"good", func(*testutil.Fixture, *testutil.Consumer, *types.MsgCrossRedelegate) {}, nil},
		{"all of it", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.Amount.Amount = sdkmath.NewInt(500)
		}, nil},
		{"all of it, below the smallest", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			f.SetParams(func(p *types.Params) { p.MinCrossStake = sdkmath.NewInt(1_000) })
			m.Amount.Amount = sdkmath.NewInt(500)
		}, nil},
		{"from a jailed validator", report(1, meshtypes.VALIDATOR_STATUS_JAILED), nil},
		{"bad delegator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.Delegator = "x" }, types.ErrInvalidAddress},
		{"amount zero", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.Amount.Amount = sdkmath.ZeroInt()
		}, types.ErrAmountNotPositive},
		{"other denom", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.Amount.Denom = "uatom" }, types.ErrInvalidDenom},
		{"part below the smallest", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossRedelegate) {
			f.SetParams(func(p *types.Params) { p.MinCrossStake = sdkmath.NewInt(101) })
		}, types.ErrAmountTooSmall},
		{"more than held", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.Amount.Amount = sdkmath.NewInt(501)
		}, types.ErrInsufficientStake},
		{"to itself", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.To = m.From }, types.ErrSameValidator},
		{"to a tombstoned validator", report(2, meshtypes.VALIDATOR_STATUS_TOMBSTONED), types.ErrValidatorTombstoned},
		{"from a tombstoned validator", report(1, meshtypes.VALIDATOR_STATUS_TOMBSTONED), types.ErrNoPosition},
		{"to an unknown validator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.To = testutil.OperatorString(9)
		}, types.ErrUnknownValidator},
		{"from a validator without stake", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.From = testutil.OperatorString(3)
		}, types.ErrNoPosition},
		{"bad from", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.From = "x" }, types.ErrInvalidValidator},
		{"bad to", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.To = "x" }, types.ErrInvalidValidator},
		{"unknown consumer", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) { m.ConsumerId = "x" }, types.ErrUnknownConsumer},
		{"paused consumer", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossRedelegate) {
			_, err := f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, types.ErrConsumerPaused},
		{"somebody else's stake", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			m.Delegator = f.Address().String()
		}, types.ErrNoPosition},
		{"too many positions", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossRedelegate) {
			f.SetParams(func(p *types.Params) { p.MaxPositions = 2 })
		}, types.ErrTooManyPositions},
		{"beyond the budget", func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossRedelegate) {
			// Of 1,000, 850 are for native slashes; 92 are reserved, and another 92 are not there.
			u := sdk.MustAccAddressFromBech32(m.Delegator)
			require.NoError(f, c.Stake(u, 1, 420))
			m.Amount.Amount = sdkmath.NewInt(920)
		}, types.ErrInsufficientCollateral},
		{"barred", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossRedelegate) {
			u := sdk.MustAccAddressFromBech32(m.Delegator)
			a, err := f.Provider.Accounts.Get(f.Ctx, u)
			require.NoError(f, err)
			a.Barred = true
			require.NoError(f, f.Provider.Accounts.Set(f.Ctx, u, a))
		}, types.ErrBarred},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, u, c := setup(t)
			f.SetNativeRatio("0.85")
			f.Epoch()
			require.NoError(t, c.Stake(u, 1, 500))
			msg := types.MsgCrossRedelegate{
				Delegator: u.String(), ConsumerId: client, From: testutil.OperatorString(1), To: testutil.OperatorString(2),
				Amount: sdk.NewInt64Coin(testutil.Denom, 100),
			}
			tc.change(f, c, &msg)
			before := export(t, f)
			err := f.Try(func(ctx sdk.Context) error {
				res, err := f.Msgs.CrossRedelegate(ctx, &msg)
				if err == nil {
					require.Equal(t, msg.Amount.Amount, res.Amount)
					require.Equal(t, msg.Amount.Amount, res.Shares)
					p := c.Pairing()
					require.Equal(t, p.BatchEpochEnd.Add(2*p.EffectiveUnbonding), res.LatestMaturity)
				}
				return err
			})
			if tc.err == nil {
				require.NoError(t, err)
				f.NextBlock()
				return
			}
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, export(t, f), "nothing changed")
		})
	}
}

// TestRedelegationCountsTheLienOnceAndBothBudgets: the same stake answers for both validators.
func TestRedelegationCountsTheLienOnceAndBothBudgets(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 900))
	require.NoError(t, c.Redelegate(u, 1, 2, 600))
	col := f.Collateral(u)
	require.Len(t, col.Liens, 1)
	require.Equal(t, "900", col.Liens[0].Active.String())
	require.Equal(t, "0", col.Liens[0].Unbonding.String())
	require.Equal(t, "150", col.Budgets.String(), "30 and 60 active, 60 for the validator left")
	require.Equal(t, "300", c.Pool(1).Tokens.String())
	require.Equal(t, "600", c.Pool(2).Tokens.String())
	res, err := f.Queries.Unbonding(f.Ctx, &types.QueryUnbondingRequest{Delegator: u.String()})
	require.NoError(t, err)
	require.Len(t, res.Claims, 1)
	require.True(t, res.Claims[0].Redelegated)
	require.Equal(t, "600", res.Claims[0].Claim.Value.String())

	// An unstake of the same validator in the same epoch is a claim of its own, and its lien counts.
	require.NoError(t, c.Unstake(u, 1, 300))
	require.Len(t, c.Batches(), 2)
	col = f.Collateral(u)
	require.Equal(t, "600", col.Liens[0].Active.String())
	require.Equal(t, "300", col.Liens[0].Unbonding.String())

	// Both claims mature; the stake on the other validator stays.
	f.Skip(30 * day)
	require.Empty(t, c.Batches())
	col = f.Collateral(u)
	require.Equal(t, "600", col.Liens[0].Active.String())
	require.Equal(t, "60", col.Budgets.String())
}

// TestBothValidatorsOfARedelegationDoubleSign: each slash takes from what was reserved for it, and no more.
func TestBothValidatorsOfARedelegationDoubleSign(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(f.Delegator(val, 100_000), 3, 90_000)) // so that it is no mass slash
	require.NoError(t, c.Stake(u, 1, 900))
	f.Epoch()
	c.Relay()
	require.NoError(t, c.Redelegate(u, 1, 2, 900))
	f.Epoch()
	c.Relay()
	c.Execute(1)
	h := meshtypes.NewHeight(4, c.Height)
	for n := 1; n <= 2; n++ {
		rec, err := f.Provider.RecordProof(f.Ctx, client, testutil.Operator(n), h, f.Address(), true)
		require.NoError(t, err)
		require.Equal(t, "90", rec.Amount.String())
	}
	f.Blocks(3)
	require.Equal(t, "820", f.Collateral(u).Bonded.String())
	require.Equal(t, "180", export(t, f).Totals.Burned.String())
	f.Skip(60 * day)
	col := f.Collateral(u)
	require.True(t, col.MaxLien.IsZero() && col.Budgets.IsZero() && col.Debt.IsZero(), "what was left is free")
}

// TestCrossRedelegateIntoAPoolAfterAProof: after a proof, however harmless, nothing can be moved under the flag of what was
// punished.
func TestCrossRedelegateIntoAPoolAfterAProof(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(f.Delegator(val, 100_000), 3, 90_000)) // so that it is no mass slash
	require.NoError(t, c.Stake(f.Delegator(val, 1_000), 2, 1))
	require.NoError(t, c.Stake(u, 1, 900))
	f.Epoch()
	c.Relay()
	c.Execute(2)
	_, err := f.Provider.RecordProof(f.Ctx, client, testutil.Operator(2), meshtypes.NewHeight(4, c.Height), f.Address(), true)
	require.NoError(t, err)
	before := export(t, f)
	require.ErrorIs(t, c.Redelegate(u, 1, 2, 900), types.ErrValidatorClosed)
	require.Equal(t, before, export(t, f))
}

// TestRedelegatedStakeIsListedOnceItsLeavingIsAcknowledged: the consumer never counts it twice.
func TestRedelegatedStakeIsListedOnceItsLeavingIsAcknowledged(t *testing.T) {
	amounts := func(p testutil.Packet) map[string]string {
		m := map[string]string{}
		for _, s := range p.Update().Stakes {
			m[types.ConsumerConfig{ValidatorPrefix: testutil.Prefix}.FormatValidator(s.Validator)] = s.Amount.String()
		}
		return m
	}
	two := testutil.OperatorString(2)
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, c.Stake(u, 2, 100))
	p := sendOne(t, f)
	// A listing is in flight that knows nothing of the move.
	require.NoError(t, c.Redelegate(u, 1, 2, 200))
	c.Acknowledge(p, c.Receive(p))
	f.NextBlock()
	moved := func() string {
		res, err := f.Queries.Pool(f.Ctx, &types.QueryPoolRequest{ConsumerId: client, Validator: two})
		require.NoError(t, err)
		return res.Pool.Moved.String()
	}
	require.Equal(t, "200", moved())

	p = sendOne(t, f)
	require.Equal(t, map[string]string{one: "300", two: "100"}, amounts(p))
	// Another move while that one is in flight.
	require.NoError(t, c.Redelegate(u, 1, 2, 50))
	c.Acknowledge(p, c.Receive(p))
	f.NextBlock()
	require.Equal(t, "50", moved())
	p = sendOne(t, f)
	require.Equal(t, map[string]string{one: "250", two: "300"}, amounts(p))
	// Lost: nothing is known of it.
	c.Timeout(p)
	f.NextBlock()
	require.Equal(t, "50", moved())
	f.Epoch()
	p = sendOne(t, f)
	require.Equal(t, map[string]string{one: "250", two: "300"}, amounts(p))
	c.Acknowledge(p, c.Receive(p))
	f.NextBlock()
	require.Equal(t, "0", moved())
	p = sendOne(t, f)
	require.Equal(t, "350", amounts(p)[two])
	require.Empty(t, export(t, f).Moved)
	require.Empty(t, export(t, f).Departures)
}

// TestManyRedelegationsArriveABoundedNumberPerBlock: one acknowledgement may concern any number of them.
func TestManyRedelegationsArriveABoundedNumberPerBlock(t *testing.T) {
	f, _, u, c := setup(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps, p.MaxPositions = 20, 100 })
	require.NoError(t, c.Stake(u, 1, 900))
	for n := 2; n <= 26; n++ {
		c.Send(c.Message(testutil.ValidatorReport(n)))
		require.NoError(t, c.Redelegate(u, 1, n, 2))
	}
	p := sendOne(t, f)
	c.Acknowledge(p, c.Receive(p))
	for left := 25; left > 0; left -= 10 {
		require.Len(t, export(t, f).Moved, left)
		f.NextBlock()
	}
	require.Empty(t, export(t, f).Moved)
	require.Empty(t, export(t, f).Departures)
}

// TestFiftyHopsInARow: every hop reserves for the validator it leaves, until the collateral allows no more; then everybody
// leaves in full.
func TestFiftyHopsInARow(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 200))
	hops := 0
	for i := range 50 {
		from, to := 1+i%3, 1+(i+1)%3
		err := c.Redelegate(u, from, to, 200)
		if err != nil {
			require.ErrorIs(t, err, types.ErrInsufficientCollateral)
			break
		}
		hops++
		f.NextBlock()
	}
	require.Equal(t, 46, hops, "of 950, which native slashes leave, the stake reserves 20 and each hop 20")
	col := f.Collateral(u)
	require.Equal(t, "200", col.Liens[0].Lien.String())
	require.Equal(t, "940", col.Budgets.String())
	require.NoError(t, c.Unstake(u, 1+hops%3, 200))
	f.Skip(60 * day)
	require.Empty(t, export(t, f).Accounts)
	require.Empty(t, export(t, f).Pools)
}

// TestRedelegationInABlockOfAnAcknowledgement: what moves after the acknowledgement, in the same block, is not known yet.
func TestRedelegationInABlockOfAnAcknowledgement(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, c.Redelegate(u, 1, 2, 100))
	p := sendOne(t, f)
	c.Acknowledge(p, c.Receive(p))
	require.NoError(t, c.Redelegate(u, 1, 2, 10))
	f.NextBlock()
	g := export(t, f)
	require.Len(t, g.Moved, 1)
	require.Equal(t, "10", g.Moved[0].Amount.String())
}

// TestRemovedConsumerForgetsMoves: after it is registered again its stake is listed in full.
func TestRemovedConsumerForgetsMoves(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, c.Redelegate(u, 1, 2, 100))
	_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	f.Skip(60 * day)
	require.Equal(t, types.CONSUMER_STATUS_REMOVED, c.Status().Status)
	g := export(t, f)
	require.Empty(t, g.Moved)
	require.Empty(t, g.Departures)
	require.NoError(t, f.Provider.MovedTo.Walk(f.Ctx, nil, func(_ collections.Pair[string, []byte], _ sdkmath.Int) (bool, error) {
		require.Fail(t, "a sum is left")
		return true, nil
	}))
}
