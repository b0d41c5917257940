package keeper

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// maxCount is how far queue lengths are counted.
const maxCount = 10_000

type queryServer struct{ k *Keeper }

var _ types.QueryServer = queryServer{}

// NewQueryServer returns the module's query server.
func NewQueryServer(k *Keeper) types.QueryServer { return queryServer{k} }

// Params returns the parameters.
func (s queryServer) Params(ctx context.Context, _ *types.QueryParamsRequest) (*types.QueryParamsResponse, error) {
	params, err := s.k.Params.Get(ctx)
	return &types.QueryParamsResponse{Params: params}, err
}

// Epoch returns the epoch counter, the native ratio and the queues' lengths.
func (s queryServer) Epoch(ctx context.Context, _ *types.QueryEpochRequest) (*types.QueryEpochResponse, error) {
	params, err := s.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	res := &types.QueryEpochResponse{}
	if res.Epoch, err = getItemOr(ctx, s.k.Epoch, types.EpochState{}); err != nil {
		return nil, err
	}
	res.EndsAt = res.Epoch.Start.Add(params.EpochDuration)
	if res.NativeRatio, err = getItemOr(ctx, s.k.NativeRatio, sdkmath.LegacyZeroDec()); err != nil {
		return nil, err
	}
	if res.RatioWalk, err = s.k.RatioWalk.Has(ctx); err != nil {
		return nil, err
	}
	if res.LastNativeSlash, err = getItemOr(ctx, s.k.LastNativeSlash, 0); err != nil {
		return nil, err
	}
	marked, err := firstKeys(ctx, s.k.Marked, nil, maxCount)
	if err != nil {
		return nil, err
	}
	walks, err := mapKeys(ctx, s.k.Walks, nil, maxCount)
	if err != nil {
		return nil, err
	}
	holds, err := firstKeys(ctx, s.k.HoldQueue, dueHolds(nanos(now(ctx))), maxCount)
	if err != nil {
		return nil, err
	}
	batches, err := firstKeys(ctx, s.k.BatchQueue, untilTime(nanos(now(ctx))), maxCount)
	if err != nil {
		return nil, err
	}
	res.Marked, res.Walks = uint64(len(marked)), uint64(len(walks))
	res.HoldsDue, res.BatchEventsDue = uint64(len(holds)), uint64(len(batches))
	return res, nil
}

// Consumers returns all consumers.
func (s queryServer) Consumers(ctx context.Context, req *types.QueryConsumersRequest) (*types.QueryConsumersResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	consumers, page, err := query.CollectionPaginate(ctx, s.k.Consumers, req.Pagination, func(_ string, c types.Consumer) (types.ConsumerInfo, error) {
		return s.consumerInfo(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	return &types.QueryConsumersResponse{Consumers: consumers, Pagination: page}, nil
}

// Consumer returns one consumer.
func (s queryServer) Consumer(ctx context.Context, req *types.QueryConsumerRequest) (*types.QueryConsumerResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	info, err := s.consumerInfo(ctx, c)
	return &types.QueryConsumerResponse{Info: info}, err
}

func (s queryServer) consumerInfo(ctx context.Context, c types.Consumer) (types.ConsumerInfo, error) {
	p, err := s.k.Pairings.Get(ctx, c.Config.ClientId)
	if err != nil {
		return types.ConsumerInfo{}, err
	}
	synced, err := s.k.syncedAt(ctx, c.Config.ClientId)
	return types.ConsumerInfo{
		Consumer: c, Pairing: p, SyncedAt: synced, SyncedAge: now(ctx).Sub(synced),
		BatchEpoch: c.Config.BatchEpochFor(p.EffectiveUnbonding), RewardAccount: s.k.delString(types.RewardAccount(c.Config.ClientId)),
	}, err
}

var errEmptyRequest = status.Error(codes.InvalidArgument, "empty request")

// consumer returns a consumer, removed ones included.
func (s queryServer) consumer(ctx context.Context, clientID string) (types.Consumer, error) {
	c, found, err := getOr(ctx, s.k.Consumers, clientID)
	if err == nil && !found {
		err = status.Errorf(codes.NotFound, "unknown consumer %q", clientID)
	}
	return c, err
}

// ConsumerValidators returns the registry of a consumer's validators.
func (s queryServer) ConsumerValidators(ctx context.Context, req *types.QueryConsumerValidatorsRequest) (*types.QueryConsumerValidatorsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	validators, page, err := query.CollectionPaginate(ctx, s.k.Validators, req.Pagination, func(key clientVal, v types.ConsumerValidator) (types.ConsumerValidatorInfo, error) {
		tokens, err := s.k.activeTokens(ctx, key.K1(), key.K2())
		return types.ConsumerValidatorInfo{Operator: c.Config.FormatValidator(key.K2()), Validator: v, Tokens: tokens}, err
	}, query.WithCollectionPaginationPairPrefix[string, []byte](req.ConsumerId))
	if err != nil {
		return nil, err
	}
	return &types.QueryConsumerValidatorsResponse{Validators: validators, Pagination: page}, nil
}

// Pools returns a consumer's active pools.
func (s queryServer) Pools(ctx context.Context, req *types.QueryPoolsRequest) (*types.QueryPoolsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	pools, page, err := query.CollectionPaginate(ctx, s.k.ActivePools, req.Pagination, func(key clientVal, id uint64) (types.PoolInfo, error) {
		pool, err := s.k.Pools.Get(ctx, id)
		if err != nil {
			return types.PoolInfo{}, err
		}
		return s.k.poolInfo(ctx, c, id, pool)
	}, query.WithCollectionPaginationPairPrefix[string, []byte](req.ConsumerId))
	if err != nil {
		return nil, err
	}
	return &types.QueryPoolsResponse{Pools: pools, Pagination: page}, nil
}

// Pool returns the active pool of one validator.
func (s queryServer) Pool(ctx context.Context, req *types.QueryPoolRequest) (*types.QueryPoolResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	operator, err := c.Config.ParseValidator(req.Validator)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	id, pool, found, err := s.k.activePool(ctx, req.ConsumerId, operator)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, status.Errorf(codes.NotFound, "nothing is staked on %s", req.Validator)
	}
	p, err := s.k.Pairings.Get(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	info, err := s.k.poolInfo(ctx, c, id, pool)
	if err != nil {
		return nil, err
	}
	res := &types.QueryPoolResponse{Pool: info}
	v, _, err := getOr(ctx, s.k.Validators, collections.Join(req.ConsumerId, operator))
	if v.Session == p.Session {
		res.ExecutedSeq, res.ExecutedHeight = v.ExecutedSeq, v.ExecutedHeight
	}
	return res, err
}

// poolInfo returns what queries tell of an active pool.
func (k *Keeper) poolInfo(ctx context.Context, c types.Consumer, id uint64, pool types.Pool) (types.PoolInfo, error) {
	moved, err := k.movedTo(ctx, pool.ClientId, pool.Validator)
	return types.PoolInfo{Id: id, Operator: c.Config.FormatValidator(pool.Validator), Pool: pool, Moved: moved}, err
}

// Batches returns a consumer's unbonding batches.
func (s queryServer) Batches(ctx context.Context, req *types.QueryBatchesRequest) (*types.QueryBatchesResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	batches, page, err := query.CollectionPaginate(ctx, s.k.Batches, req.Pagination, func(key clientValID, _ collections.NoValue) (types.BatchInfo, error) {
		pool, err := s.k.Pools.Get(ctx, key.K3())
		if err != nil {
			return types.BatchInfo{}, err
		}
		waits, err := s.waitsFor(ctx, pool)
		if err != nil {
			return types.BatchInfo{}, err
		}
		return types.BatchInfo{
			Batch: types.PoolInfo{
				Id: key.K3(), Operator: c.Config.FormatValidator(key.K2()), Pool: pool, Moved: sdkmath.ZeroInt(),
			},
			WaitsFor: waits, LatestMaturity: pool.Batch.LatestMaturity(),
		}, nil
	}, func(o *query.CollectionsPaginateOptions[clientValID]) {
		prefix := collections.TriplePrefix[string, []byte, uint64](req.ConsumerId)
		o.Prefix = &prefix
	})
	if err != nil {
		return nil, err
	}
	return &types.QueryBatchesResponse{Batches: batches, Pagination: page}, nil
}

// waitsFor says in words what a batch waits for.
func (s queryServer) waitsFor(ctx context.Context, pool types.Pool) (string, error) {
	height, err := s.k.executed(ctx, pool)
	if err != nil {
		return "", err
	}
	b := *pool.Batch
	if b.StartedAt.IsZero() && !height.IsZero() {
		return "its turn: its clock starts as of the consumer's report", nil
	}
	p, err := s.k.Pairings.Get(ctx, pool.ClientId)
	if err != nil {
		return "", err
	}
	e, touched, err := getOr(ctx, s.k.Outbox, collections.Join(pool.ClientId, pool.Validator))
	if err != nil {
		return "", err
	}
	// Closing touched the validator: what was not listed since is still touched, and what is in flight may be older.
	unlisted := touched && (e.InFlight == 0 || b.Session == p.Session && e.InFlight < b.Seq)
	if b.Session != p.Session {
		b.Seq = 1 // any listing of this session
	}
	return describeWait(b, unlisted), nil
}

// describeWait says what a batch waits for whose execution is not being worked on. unlisted: its validator was not listed
// since it closed.
func describeWait(b types.Batch, unlisted bool) string {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	forced := stamp(b.ClosesAt.Add(b.Unbonding))
	switch {
	case b.Matured:
		return "nothing: it matured, its members are being released"
	case !b.Closed:
		return "the end of its batch epoch at " + stamp(b.ClosesAt)
	case !b.StartedAt.IsZero():
		return "its unbonding period, until " + stamp(b.MaturesAt)
	case unlisted:
		return "its listing to the consumer; its clock starts at " + forced + " at the latest"
	default:
		return fmt.Sprintf("the consumer's report that it executed update %d or a later one; its clock starts at %s at the latest", b.Seq, forced)
	}
}

// Positions returns a delegator's active positions.
func (s queryServer) Positions(ctx context.Context, req *types.QueryPositionsRequest) (*types.QueryPositionsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	positions, page, err := s.positions(ctx, req.Delegator, req.Pagination, func(p types.Pool) bool { return !p.IsBatch() })
	if err != nil {
		return nil, err
	}
	res := &types.QueryPositionsResponse{Pagination: page}
	for _, p := range positions {
		res.Positions = append(res.Positions, p.info)
	}
	return res, nil
}

// Unbonding returns a delegator's claims on unbonding batches.
func (s queryServer) Unbonding(ctx context.Context, req *types.QueryUnbondingRequest) (*types.QueryUnbondingResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	claims, page, err := s.positions(ctx, req.Delegator, req.Pagination, types.Pool.IsBatch)
	if err != nil {
		return nil, err
	}
	res := &types.QueryUnbondingResponse{Pagination: page}
	for _, c := range claims {
		waits, err := s.waitsFor(ctx, c.pool)
		if err != nil {
			return nil, err
		}
		info := types.UnbondingInfo{Claim: c.info, WaitsFor: waits, LatestMaturity: c.pool.Batch.LatestMaturity(), Redelegated: c.pool.Batch.Redelegated}
		if !c.pool.Batch.MaturesAt.IsZero() {
			info.MaturesAt = &c.pool.Batch.MaturesAt
		}
		res.Claims = append(res.Claims, info)
	}
	return res, nil
}

type positionWithPool struct {
	info types.PositionInfo
	pool types.Pool
}

// positions returns a page of a delegator's positions in the pools that are wanted.
func (s queryServer) positions(ctx context.Context, delegator string, page *query.PageRequest, wanted func(types.Pool) bool) ([]positionWithPool, *query.PageResponse, error) {
	delAddr, err := s.address(delegator)
	if err != nil {
		return nil, nil, err
	}
	return query.CollectionFilteredPaginate(ctx, s.k.Positions, page,
		func(key delegatorPool, _ types.Position) (bool, error) {
			pool, err := s.k.Pools.Get(ctx, key.K2())
			return err == nil && wanted(pool), err
		},
		func(key delegatorPool, pos types.Position) (positionWithPool, error) {
			pool, err := s.k.Pools.Get(ctx, key.K2())
			if err != nil {
				return positionWithPool{}, err
			}
			return positionWithPool{types.PositionInfo{
				PoolId: key.K2(), ConsumerId: pool.ClientId, Operator: s.k.operatorString(ctx, pool.ClientId, pool.Validator),
				Position: pos, Value: pool.ValueOf(pos.Shares), Owed: pool.Owed(pos),
			}, pool}, nil
		},
		query.WithCollectionPaginationPairPrefix[sdk.AccAddress, uint64](delAddr))
}

func (s queryServer) address(bech32 string) (sdk.AccAddress, error) {
	bz, err := s.k.accounts.AddressCodec().StringToBytes(bech32)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%q: %s", bech32, err)
	}
	return bz, nil
}

// Collateral returns every term of a delegator's collateral.
func (s queryServer) Collateral(ctx context.Context, req *types.QueryCollateralRequest) (*types.QueryCollateralResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	delAddr, err := s.address(req.Delegator)
	if err != nil {
		return nil, err
	}
	// Reading settles in memory and drops dead markers: what is written here is thrown away.
	cacheCtx, _ := sdk.UnwrapSDKContext(ctx).CacheContext()
	l, err := s.k.load(cacheCtx, delAddr)
	if err != nil {
		return nil, err
	}
	if err := s.k.loadNative(cacheCtx, l); err != nil {
		return nil, err
	}
	denom, err := s.k.staking.BondDenom(ctx)
	if err != nil {
		return nil, err
	}
	marked, err := s.k.Marked.Has(ctx, delAddr)
	if err != nil {
		return nil, err
	}
	required := l.required()
	res := &types.QueryCollateralResponse{
		Denom: denom, Bonded: l.bonded, Held: l.held, Collateral: l.collateral(),
		MaxLien: l.maxLien(), Budgets: l.allBudgets(), NativeRatio: l.nativeRatio,
		NativeReserve: types.MulCeil(l.collateral(), l.nativeRatio), Debt: l.account.Debt,
		Required: required, Free: l.collateral().Sub(required), Stakeable: sdkmath.ZeroInt(),
		Barred: l.account.Barred, Marked: marked, MinSelfDelegation: l.account.MinSelfDelegation,
	}
	if required.LTE(l.bonded) {
		res.Stakeable = l.bonded.Sub(l.account.Debt)
	}
	for _, x := range l.liens() {
		res.Liens = append(res.Liens, types.LienInfo{ConsumerId: x.clientID, Active: x.active, Unbonding: x.unbonding, Lien: x.total()})
	}
	res.Entries, err = s.entries(cacheCtx, l)
	return res, err
}

// entries explains for each native unbonding entry of a delegator whether, why and until when it is held.
func (s queryServer) entries(ctx sdk.Context, l *ledger) ([]types.HeldEntry, error) {
	entries, err := s.k.readEntries(ctx, l.delAddr)
	if err != nil {
		return nil, err
	}
	needed, ok := l.needed()
	until := s.freeAt(l)
	counted := l.bonded
	var out []types.HeldEntry
	for _, e := range entries {
		need := sdkmath.MaxInt(sdkmath.MinInt(needed.Sub(counted), e.balance), sdkmath.ZeroInt())
		if !ok {
			need = e.balance
		}
		info := types.HeldEntry{
			Validator: s.k.valString(e.valAddr), CreationHeight: e.creationHeight, CompletionTime: e.completion,
			Balance: e.balance, Held: e.ours, Needed: need,
		}
		switch {
		case !e.ours && need.IsPositive():
			info.Reason = "not held yet, will be at the end of the block: bonded collateral alone does not back what is required"
		case !e.ours:
			info.Reason = "not held"
		case l.account.Debt.IsPositive():
			info.Reason = "held: a slash is not paid yet"
		case need.IsPositive():
			info.Reason = "held: bonded collateral alone does not back what is required"
			if at := until(counted); at != nil {
				if at.Before(e.completion) {
					at = &e.completion
				}
				info.Until = at
			}
		default:
			info.Reason = "held, not needed any more: it is released at the end of the block"
			info.Until = &e.completion
		}
		counted = counted.Add(e.balance)
		out = append(out, info)
	}
	return out, nil
}

// freeAt returns a function that says when liens will have fallen so far that the given collateral backs what is left,
// if the delegator does nothing more: nil if active cross-stake alone needs more, or debt stands.
func (s queryServer) freeAt(l *ledger) func(collateral sdkmath.Int) *time.Time {
	return func(collateral sdkmath.Int) *time.Time {
		rest := &ledger{account: l.account, nativeRatio: l.nativeRatio, refs: append([]*ref(nil), l.refs...)}
		at := time.Time{}
		for {
			if needed, ok := rest.needed(); ok && needed.LTE(collateral) {
				return &at
			}
			next := -1
			for i, r := range rest.refs {
				if r.counts() && r.pool.IsBatch() &&
					(next < 0 || r.pool.Batch.LatestMaturity().Before(rest.refs[next].pool.Batch.LatestMaturity())) {
					next = i
				}
			}
			if next < 0 {
				return nil
			}
			at = rest.refs[next].pool.Batch.LatestMaturity()
			rest.refs = append(rest.refs[:next:next], rest.refs[next+1:]...)
		}
	}
}

// Outbox returns the sending state of a consumer's touched validators.
func (s queryServer) Outbox(ctx context.Context, req *types.QueryOutboxRequest) (*types.QueryOutboxResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	entries, page, err := query.CollectionPaginate(ctx, s.k.Outbox, req.Pagination, func(key clientVal, e types.OutboxEntry) (types.OutboxInfo, error) {
		amount, err := s.k.activeTokens(ctx, key.K1(), key.K2())
		return types.OutboxInfo{Operator: c.Config.FormatValidator(key.K2()), Entry: e, Amount: amount}, err
	}, query.WithCollectionPaginationPairPrefix[string, []byte](req.ConsumerId))
	if err != nil {
		return nil, err
	}
	return &types.QueryOutboxResponse{Entries: entries, Pagination: page}, nil
}

// Accounts returns the delegators with liens, debt or held entries.
func (s queryServer) Accounts(ctx context.Context, req *types.QueryAccountsRequest) (*types.QueryAccountsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	accounts, page, err := query.CollectionFilteredPaginate(ctx, s.k.Accounts, req.Pagination,
		func(_ sdk.AccAddress, a types.Account) (bool, error) {
			return !req.DebtorsOnly || a.Debt.IsPositive(), nil
		},
		func(delAddr sdk.AccAddress, a types.Account) (types.AccountInfo, error) {
			return types.AccountInfo{Delegator: s.k.delString(delAddr), Account: a}, nil
		})
	if err != nil {
		return nil, err
	}
	return &types.QueryAccountsResponse{Accounts: accounts, Pagination: page}, nil
}

// Holds returns the native unbonding entries on hold.
func (s queryServer) Holds(ctx context.Context, req *types.QueryHoldsRequest) (*types.QueryHoldsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	holds, page, err := query.CollectionPaginate(ctx, s.k.Holds, req.Pagination, func(_ holdKey, h types.Hold) (types.HoldInfo, error) {
		return types.HoldInfo{Delegator: s.k.delString(h.Delegator), Validator: s.k.valString(h.Validator), Hold: h}, nil
	})
	if err != nil {
		return nil, err
	}
	return &types.QueryHoldsResponse{Holds: holds, Pagination: page}, nil
}

// Heights returns which height of a consumer was known when.
func (s queryServer) Heights(ctx context.Context, req *types.QueryHeightsRequest) (*types.QueryHeightsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	if _, err := s.consumer(ctx, req.ConsumerId); err != nil {
		return nil, err
	}
	heights, page, err := query.CollectionPaginate(ctx, s.k.Heights, req.Pagination, func(key clientTime, h meshtypes.Height) (types.ClientHeight, error) {
		return types.ClientHeight{Height: h, Time: fromNanos(key.K2())}, nil
	}, query.WithCollectionPaginationPairPrefix[string, uint64](req.ConsumerId))
	if err != nil {
		return nil, err
	}
	return &types.QueryHeightsResponse{Heights: heights, Pagination: page}, nil
}

// Invariants checks one page of the invariants.
func (s queryServer) Invariants(ctx context.Context, req *types.QueryInvariantsRequest) (*types.QueryInvariantsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	page, err := invariant.Run(sdk.UnwrapSDKContext(ctx), s.k.Invariants(), req.Invariant, req.Key, req.Limit)
	if err != nil {
		return nil, err
	}
	return &types.QueryInvariantsResponse{
		Failures: page.Failures, NextKey: page.NextKey, Records: page.Records, Height: page.Height,
	}, nil
}
