package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// queries returns clients of a chain's query services, over the router that gRPC and REST use.
func queries(c *meshtest.Chain) (providertypes.QueryClient, consumertypes.QueryClient) {
	conn := &baseapp.QueryServiceTestHelper{GRPCQueryRouter: c.App.GRPCQueryRouter(), Ctx: c.CommittedContext()}
	return providertypes.NewQueryClient(conn), consumertypes.NewQueryClient(conn)
}

// page asks for at most a few items a time.
func page(key []byte, limit uint64) *query.PageRequest {
	return &query.PageRequest{Key: key, Limit: limit}
}

// collect walks all pages of a query.
func collect[T any](t *testing.T, limit uint64, ask func(*query.PageRequest) ([]T, *query.PageResponse, error)) []T {
	t.Helper()
	var (
		all []T
		key []byte
	)
	for {
		items, res, err := ask(page(key, limit))
		require.NoError(t, err)
		require.LessOrEqual(t, uint64(len(items)), limit)
		all = append(all, items...)
		if res == nil || len(res.NextKey) == 0 {
			return all
		}
		key = res.NextKey
	}
}

func TestQueriesOfTheProviderTellEveryFact(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	for i := range 4 {
		p.CrossStake("alice", val(p, i), 20*one)
		p.CrossStake("bob", val(p, i), 5*one)
	}
	settle(n, p)
	p.CrossUnstake("alice", val(p, 0), 10*one)
	n.Advance(3 * epoch)
	p.CrossUnstake("alice", val(p, 1), 5*one)
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 40*one))
	n.Relayer.Policy = meshtest.HoldAll
	n.Advance(2 * epoch)

	ctx := context.Background()
	q, _ := queries(p.Provider)
	state := p.Provider.ProviderState()

	params, err := q.Params(ctx, &providertypes.QueryParamsRequest{})
	require.NoError(t, err)
	require.Equal(t, state.Params, params.Params)
	ep, err := q.Epoch(ctx, &providertypes.QueryEpochRequest{})
	require.NoError(t, err)
	require.Equal(t, state.Epoch, ep.Epoch)
	require.Equal(t, state.NativeRatio, ep.NativeRatio)
	consumer, err := q.Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: p.ConsumerID})
	require.NoError(t, err)
	require.Equal(t, p.ConsumerRecord().Consumer, consumer.Info.Consumer)
	require.Positive(t, consumer.Info.SyncedAge, "a listing is in flight")
	require.Len(t, collect(t, 1, func(pg *query.PageRequest) ([]providertypes.ConsumerInfo, *query.PageResponse, error) {
		r, err := q.Consumers(ctx, &providertypes.QueryConsumersRequest{Pagination: pg})
		return r.GetConsumers(), r.GetPagination(), err
	}), 1)
	require.Len(t, collect(t, 3, func(pg *query.PageRequest) ([]providertypes.ConsumerValidatorInfo, *query.PageResponse, error) {
		r, err := q.ConsumerValidators(ctx, &providertypes.QueryConsumerValidatorsRequest{ConsumerId: p.ConsumerID, Pagination: pg})
		return r.GetValidators(), r.GetPagination(), err
	}), 4)
	require.Len(t, collect(t, 1, func(pg *query.PageRequest) ([]providertypes.PoolInfo, *query.PageResponse, error) {
		r, err := q.Pools(ctx, &providertypes.QueryPoolsRequest{ConsumerId: p.ConsumerID, Pagination: pg})
		return r.GetPools(), r.GetPagination(), err
	}), 4)
	pool, err := q.Pool(ctx, &providertypes.QueryPoolRequest{ConsumerId: p.ConsumerID, Validator: val(p, 0).String()})
	require.NoError(t, err)
	requireInt(t, 15*one, pool.Pool.Pool.Tokens)
	require.NotZero(t, pool.ExecutedSeq)
	batches := collect(t, 1, func(pg *query.PageRequest) ([]providertypes.BatchInfo, *query.PageResponse, error) {
		r, err := q.Batches(ctx, &providertypes.QueryBatchesRequest{ConsumerId: p.ConsumerID, Pagination: pg})
		return r.GetBatches(), r.GetPagination(), err
	})
	require.Len(t, batches, 2)
	for _, b := range batches {
		require.False(t, b.LatestMaturity.IsZero())
	}
	require.Len(t, collect(t, 2, func(pg *query.PageRequest) ([]providertypes.PositionInfo, *query.PageResponse, error) {
		r, err := q.Positions(ctx, &providertypes.QueryPositionsRequest{Delegator: alice.String(), Pagination: pg})
		return r.GetPositions(), r.GetPagination(), err
	}), 4)
	claims := collect(t, 1, func(pg *query.PageRequest) ([]providertypes.UnbondingInfo, *query.PageResponse, error) {
		r, err := q.Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: alice.String(), Pagination: pg})
		return r.GetClaims(), r.GetPagination(), err
	})
	require.Len(t, claims, 2)
	started := 0
	for _, c := range claims {
		if c.MaturesAt != nil {
			started++
		}
	}
	require.Equal(t, 1, started, "one is executed, the other waits for the consumer")

	collateral, err := q.Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: alice.String()})
	require.NoError(t, err)
	requireInt(t, 60*one, collateral.Bonded)
	requireInt(t, 40*one, collateral.Held)
	requireInt(t, 100*one, collateral.Collateral)
	requireInt(t, 80*one, collateral.MaxLien)
	requireInt(t, 4*one, collateral.Budgets)
	requireInt(t, 80*one, collateral.Required)
	requireInt(t, 20*one, collateral.Free)
	require.True(t, collateral.Stakeable.IsZero(), "held collateral backs no new lien")
	require.Len(t, collateral.Entries, 1)
	require.Len(t, collateral.Liens, 1)

	require.Len(t, collect(t, 1, func(pg *query.PageRequest) ([]providertypes.HoldInfo, *query.PageResponse, error) {
		r, err := q.Holds(ctx, &providertypes.QueryHoldsRequest{Pagination: pg})
		return r.GetHolds(), r.GetPagination(), err
	}), 1)
	require.Len(t, collect(t, 1, func(pg *query.PageRequest) ([]providertypes.AccountInfo, *query.PageResponse, error) {
		r, err := q.Accounts(ctx, &providertypes.QueryAccountsRequest{Pagination: pg})
		return r.GetAccounts(), r.GetPagination(), err
	}), 2)
	outbox, err := q.Outbox(ctx, &providertypes.QueryOutboxRequest{ConsumerId: p.ConsumerID})
	require.NoError(t, err)
	require.NotEmpty(t, outbox.String())
	heights, err := q.Heights(ctx, &providertypes.QueryHeightsRequest{ConsumerId: p.ConsumerID})
	require.NoError(t, err)
	require.NotEmpty(t, heights.String())

	// Bad requests are errors, not panics.
	for name, err := range map[string]error{
		"unknown consumer":  second(q.Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: "x"})),
		"no consumer":       second(q.Consumer(ctx, &providertypes.QueryConsumerRequest{})),
		"invalid delegator": second(q.Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: "x"})),
		"invalid validator": second(q.Pool(ctx, &providertypes.QueryPoolRequest{ConsumerId: p.ConsumerID, Validator: "x"})),
		"bad page": second(q.Pools(ctx, &providertypes.QueryPoolsRequest{
			ConsumerId: p.ConsumerID, Pagination: &query.PageRequest{Key: []byte("x"), Offset: 3},
		})),
	} {
		require.Error(t, err, name)
	}
	nobody, err := q.Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: p.Provider.Account(meshtest.RelayerName).String()})
	require.NoError(t, err)
	require.True(t, nobody.Collateral.IsZero())
}

func second[T any](_ T, err error) error { return err }

func TestQueriesOfTheConsumerTellEveryFact(t *testing.T) {
	n, p := pair(t)
	for i := range 4 {
		p.CrossStake("alice", val(p, i), 20*one)
	}
	settle(n, p)
	ctx := context.Background()
	_, q := queries(p.Consumer)
	state := p.Consumer.ConsumerState()

	params, err := q.Params(ctx, &consumertypes.QueryParamsRequest{})
	require.NoError(t, err)
	require.Equal(t, state.Params, params.Params)
	ep, err := q.Epoch(ctx, &consumertypes.QueryEpochRequest{})
	require.NoError(t, err)
	require.Equal(t, state.Epoch, ep.Epoch)
	provider, err := q.Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: p.ProviderID})
	require.NoError(t, err)
	requireInt(t, 72*one, provider.Provider.VirtualTokens)
	require.True(t, provider.Provider.Fresh)
	require.Equal(t, meshtest.Silence, provider.Provider.FreshnessLimit)
	require.Equal(t, p.VirtualAccount().String(), provider.Provider.Account)
	require.Len(t, collect(t, 1, func(pg *query.PageRequest) ([]consumertypes.ProviderInfo, *query.PageResponse, error) {
		r, err := q.Providers(ctx, &consumertypes.QueryProvidersRequest{Pagination: pg})
		return r.GetProviders(), r.GetPagination(), err
	}), 1)
	stakes := collect(t, 1, func(pg *query.PageRequest) ([]consumertypes.StakeInfo, *query.PageResponse, error) {
		r, err := q.Stakes(ctx, &consumertypes.QueryStakesRequest{ProviderId: p.ProviderID, Pagination: pg})
		return r.GetStakes(), r.GetPagination(), err
	})
	require.Len(t, stakes, 4)
	for _, s := range stakes {
		requireInt(t, 20*one, s.Record.Amount)
		requireInt(t, 18*one, s.Current)
	}
	onOne, err := q.ValidatorStakes(ctx, &consumertypes.QueryValidatorStakesRequest{Validator: val(p, 2).String()})
	require.NoError(t, err)
	require.Len(t, onOne.Stakes, 1)
	validators := collect(t, 3, func(pg *query.PageRequest) ([]consumertypes.ValidatorInfo, *query.PageResponse, error) {
		r, err := q.Validators(ctx, &consumertypes.QueryValidatorsRequest{Pagination: pg})
		return r.GetValidators(), r.GetPagination(), err
	})
	require.Len(t, validators, 4)
	for _, v := range validators {
		requireInt(t, 18*one, v.VirtualTokens)
		require.Equal(t, v.Tokens.Sub(v.VirtualTokens).String(), v.NativeTokens.String())
	}
	price, err := q.Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: p.ProviderID})
	require.NoError(t, err)
	require.Equal(t, meshtest.Dec("1"), price.InForce)
	supply, err := q.Supply(ctx, &consumertypes.QuerySupplyRequest{})
	require.NoError(t, err)
	requireInt(t, 72*one, supply.VirtualSupply)
	require.Equal(t, supply.BankSupply.Sub(supply.VirtualSupply).String(), supply.NativeSupply.String())
	security, err := q.Security(ctx, &consumertypes.QuerySecurityRequest{})
	require.NoError(t, err)
	require.Equal(t, nativeBonded(p.Consumer, p).String(), security.NativeBonded.String())
	requireInt(t, 72*one, security.VirtualBonded)
	require.Len(t, security.VirtualByProvider, 1)
	requireInt(t, 72*one, security.VirtualByProvider[0].VirtualBonded)
	require.Equal(t, p.Provider.ChainID, security.VirtualByProvider[0].ChainId)

	for name, err := range map[string]error{
		"unknown provider":  second(q.Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: "x"})),
		"no price":          second(q.Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: "x"})),
		"invalid validator": second(q.ValidatorStakes(ctx, &consumertypes.QueryValidatorStakesRequest{Validator: "x"})),
	} {
		require.Error(t, err, name)
	}
}
