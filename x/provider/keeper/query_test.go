package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

func TestQueries(t *testing.T) {
	f, val, u, c := setup(t)
	d := f.Consumer("d", nil)
	d.Bond(2)
	require.NoError(t, c.Stake(u, 1, 600))
	require.NoError(t, c.Stake(u, 2, 300))
	require.NoError(t, d.Stake(u, 1, 500))
	f.Epoch()
	c.Relay()
	c.Execute(1)
	require.NoError(t, c.Unstake(u, 1, 200))
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	q, ctx := f.Queries, f.Ctx

	params, err := q.Params(ctx, &types.QueryParamsRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1, params.Params.MinCrossStake.Int64())

	epoch, err := q.Epoch(ctx, &types.QueryEpochRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 2, epoch.Epoch.Number)
	require.Equal(t, "0.050000000000000000", epoch.NativeRatio.String())
	require.Zero(t, epoch.Marked)

	consumers, err := q.Consumers(ctx, &types.QueryConsumersRequest{Pagination: &query.PageRequest{Limit: 1, CountTotal: true}})
	require.NoError(t, err)
	require.Len(t, consumers.Consumers, 1)
	require.EqualValues(t, 2, consumers.Pagination.Total)
	consumers, err = q.Consumers(ctx, &types.QueryConsumersRequest{Pagination: &query.PageRequest{Key: consumers.Pagination.NextKey}})
	require.NoError(t, err)
	require.Equal(t, "d", consumers.Consumers[0].Consumer.Config.ClientId)

	consumer, err := q.Consumer(ctx, &types.QueryConsumerRequest{ConsumerId: "d"})
	require.NoError(t, err)
	require.Positive(t, consumer.Info.SyncedAge, "the update to d was not acknowledged")
	require.Equal(t, consumer.Info.SyncedAt, d.Outbox()[one].Oldest)

	validators, err := q.ConsumerValidators(ctx, &types.QueryConsumerValidatorsRequest{ConsumerId: client})
	require.NoError(t, err)
	require.Len(t, validators.Validators, 3)
	require.Equal(t, testutil.OperatorString(1), validators.Validators[0].Operator)
	require.Equal(t, "400", validators.Validators[0].Tokens.String())
	require.Equal(t, "0", validators.Validators[2].Tokens.String())

	pools, err := q.Pools(ctx, &types.QueryPoolsRequest{ConsumerId: client})
	require.NoError(t, err)
	require.Len(t, pools.Pools, 2)
	pool, err := q.Pool(ctx, &types.QueryPoolRequest{ConsumerId: client, Validator: testutil.OperatorString(1)})
	require.NoError(t, err)
	require.EqualValues(t, 1, pool.ExecutedSeq)
	require.EqualValues(t, c.Height, pool.ExecutedHeight.Height)

	positions, err := q.Positions(ctx, &types.QueryPositionsRequest{Delegator: u.String(), Pagination: &query.PageRequest{Limit: 2}})
	require.NoError(t, err)
	require.Len(t, positions.Positions, 2)
	require.Equal(t, "400", positions.Positions[0].Value.String())
	positions, err = q.Positions(ctx, &types.QueryPositionsRequest{Delegator: u.String(), Pagination: &query.PageRequest{Key: positions.Pagination.NextKey}})
	require.NoError(t, err)
	require.Len(t, positions.Positions, 1)
	require.Equal(t, "d", positions.Positions[0].ConsumerId)

	unbonding, err := q.Unbonding(ctx, &types.QueryUnbondingRequest{Delegator: u.String()})
	require.NoError(t, err)
	require.Len(t, unbonding.Claims, 1)
	require.Nil(t, unbonding.Claims[0].MaturesAt)
	require.Equal(t, "200", unbonding.Claims[0].Claim.Value.String())

	col := f.Collateral(u)
	require.Equal(t, testutil.Denom, col.Denom)
	require.Equal(t, "600", col.Bonded.String())
	require.Equal(t, "400", col.Held.String())
	require.Equal(t, "900", col.MaxLien.String())
	require.Equal(t, "140", col.Budgets.String())
	require.Equal(t, "50", col.NativeReserve.String())
	require.Equal(t, "900", col.Required.String())
	require.Equal(t, "100", col.Free.String())
	require.Equal(t, "0", col.Stakeable.String())
	require.Len(t, col.Liens, 2)
	require.Equal(t, "300", col.Entries[0].Needed.String())
	require.True(t, col.Entries[0].Held)

	accounts, err := q.Accounts(ctx, &types.QueryAccountsRequest{})
	require.NoError(t, err)
	require.Len(t, accounts.Accounts, 1)
	accounts, err = q.Accounts(ctx, &types.QueryAccountsRequest{DebtorsOnly: true})
	require.NoError(t, err)
	require.Empty(t, accounts.Accounts)

	holds, err := q.Holds(ctx, &types.QueryHoldsRequest{})
	require.NoError(t, err)
	require.Len(t, holds.Holds, 1)
	require.Equal(t, val.String(), holds.Holds[0].Validator)

	stranger, err := q.Collateral(ctx, &types.QueryCollateralRequest{Delegator: f.Address().String()})
	require.NoError(t, err)
	require.Equal(t, "0", stranger.Required.String())
}

func TestQueriesRefused(t *testing.T) {
	f, _, _, _ := setup(t)
	q, ctx := f.Queries, f.Ctx
	for name, run := range map[string]func() error{
		"consumer": func() error { _, err := q.Consumer(ctx, &types.QueryConsumerRequest{ConsumerId: "x"}); return err },
		"validators": func() error {
			_, err := q.ConsumerValidators(ctx, &types.QueryConsumerValidatorsRequest{ConsumerId: "x"})
			return err
		},
		"pools": func() error { _, err := q.Pools(ctx, &types.QueryPoolsRequest{ConsumerId: "x"}); return err },
		"pool": func() error {
			_, err := q.Pool(ctx, &types.QueryPoolRequest{ConsumerId: client, Validator: testutil.OperatorString(1)})
			return err
		},
		"batches": func() error { _, err := q.Batches(ctx, &types.QueryBatchesRequest{ConsumerId: "x"}); return err },
		"outbox":  func() error { _, err := q.Outbox(ctx, &types.QueryOutboxRequest{ConsumerId: "x"}); return err },
		"heights": func() error { _, err := q.Heights(ctx, &types.QueryHeightsRequest{ConsumerId: "x"}); return err },
	} {
		require.Equal(t, codes.NotFound, status.Code(run()), name)
	}
	for name, run := range map[string]func() error{
		"pool": func() error {
			_, err := q.Pool(ctx, &types.QueryPoolRequest{ConsumerId: client, Validator: "x"})
			return err
		},
		"positions":  func() error { _, err := q.Positions(ctx, &types.QueryPositionsRequest{Delegator: "x"}); return err },
		"unbonding":  func() error { _, err := q.Unbonding(ctx, &types.QueryUnbondingRequest{}); return err },
		"collateral": func() error { _, err := q.Collateral(ctx, &types.QueryCollateralRequest{}); return err },
		"nothing":    func() error { _, err := q.Collateral(ctx, nil); return err },
	} {
		require.Equal(t, codes.InvalidArgument, status.Code(run()), name)
	}
}

// TestOneFailureHoldsUpNobody: a delegator whose evaluation panics stays marked; the others are evaluated, also when
// there is work for several blocks, and it is evaluated when it can be.
func TestOneFailureHoldsUpNobody(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(1_000_000, 1)
	var us []sdk.AccAddress
	for range 12 {
		us = append(us, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	for _, u := range us {
		require.NoError(t, c.Stake(u, 1, 900))
		require.NoError(t, f.Undelegate(u, val, 500))
	}
	f.Broken[string(us[0])], f.Broken[string(us[5])] = true, true
	f.NoInvariants = true
	f.Blocks(8)
	for i, u := range us {
		require.Equal(t, i != 0 && i != 5, held(f, u, val) == 1, "%d", i)
	}
	marked, err := f.Provider.Marked.Has(f.Ctx, us[5])
	require.NoError(t, err)
	require.True(t, marked)
	f.Broken[string(us[0])], f.Broken[string(us[5])] = false, false
	f.Blocks(3)
	require.Equal(t, 1, held(f, us[0], val))
	require.Equal(t, 1, held(f, us[5], val))
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
}
