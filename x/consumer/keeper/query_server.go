package keeper

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/mesh/invariant"
)

type queryServer struct{ k *Keeper }

var _ types.QueryServer = queryServer{}

// NewQueryServer returns the module's query server.
func NewQueryServer(k *Keeper) types.QueryServer { return queryServer{k} }

var errNoRequest = status.Error(codes.InvalidArgument, "empty request")

// Params implements types.QueryServer.
func (q queryServer) Params(ctx context.Context, req *types.QueryParamsRequest) (*types.QueryParamsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	params, err := q.k.Params.Get(ctx)
	return &types.QueryParamsResponse{Params: params}, err
}

// providerInfo adds to a provider what is derived from the state of the moment.
func (q queryServer) providerInfo(ctx sdk.Context, v *view, p types.Provider) (types.ProviderInfo, error) {
	params, err := q.k.Params.Get(ctx)
	if err != nil {
		return types.ProviderInfo{}, err
	}
	limit, err := q.k.freshnessLimit(ctx, params, p)
	if err != nil {
		return types.ProviderInfo{}, err
	}
	account, err := q.k.accounts.AddressCodec().BytesToString(types.VirtualAccount(p.Config.ProviderId))
	if err != nil {
		return types.ProviderInfo{}, err
	}
	info := types.ProviderInfo{
		Provider: p, Account: account, FreshnessLimit: limit, Fresh: isFresh(ctx, p, limit),
		Cap: sdkmath.ZeroInt(), VirtualTokens: sdkmath.ZeroInt(),
	}
	if !p.SyncedAt.IsZero() {
		info.SyncedAge = ctx.BlockTime().Sub(p.SyncedAt)
	}
	if pv, ok := v.byID[p.Config.ProviderId]; ok {
		info.Cap, info.VirtualTokens = v.providerCap(pv), pv.total
	}
	return info, nil
}

// Providers implements types.QueryServer.
func (q queryServer) Providers(goCtx context.Context, req *types.QueryProvidersRequest) (*types.QueryProvidersResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	ctx := sdk.UnwrapSDKContext(goCtx)
	v, err := q.k.newView(ctx)
	if err != nil {
		return nil, err
	}
	infos, page, err := query.CollectionFilteredPaginate(ctx, q.k.Providers, req.Pagination,
		func(_ string, p types.Provider) (bool, error) {
			return req.Status == types.PROVIDER_STATUS_UNSPECIFIED || req.Status == p.Status, nil
		},
		func(_ string, p types.Provider) (types.ProviderInfo, error) { return q.providerInfo(ctx, v, p) })
	return &types.QueryProvidersResponse{Providers: infos, Pagination: page}, err
}

// Provider implements types.QueryServer.
func (q queryServer) Provider(goCtx context.Context, req *types.QueryProviderRequest) (*types.QueryProviderResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	ctx := sdk.UnwrapSDKContext(goCtx)
	p, err := q.k.GetProvider(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	v, err := q.k.newView(ctx)
	if err != nil {
		return nil, err
	}
	info, err := q.providerInfo(ctx, v, p)
	return &types.QueryProviderResponse{Provider: info}, err
}

// stakeInfo adds to a record what is planned and what there is.
func (q queryServer) stakeInfo(ctx context.Context, providerID string, val []byte, rec types.StakeRecord) (types.StakeInfo, error) {
	current, err := q.k.VirtualTokens(ctx, providerID, val)
	if err != nil {
		return types.StakeInfo{}, err
	}
	info := types.StakeInfo{
		ProviderId: providerID, Validator: q.k.valString(val), Record: rec, Target: current, Current: current,
	}
	for _, increase := range []bool{false, true} {
		target, planned, err := q.k.planned(ctx, collections.Join3(increase, val, providerID))
		if err != nil {
			return types.StakeInfo{}, err
		}
		if planned {
			info.Target, info.Pending = target.Tokens, true
		}
	}
	return info, nil
}

// Stakes implements types.QueryServer.
func (q queryServer) Stakes(ctx context.Context, req *types.QueryStakesRequest) (*types.QueryStakesResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	if _, err := q.k.GetProvider(ctx, req.ProviderId); err != nil {
		return nil, err
	}
	stakes, page, err := query.CollectionPaginate(ctx, q.k.Stakes, req.Pagination,
		func(key stakeKey, rec types.StakeRecord) (types.StakeInfo, error) {
			return q.stakeInfo(ctx, key.K1(), key.K2(), rec)
		}, query.WithCollectionPaginationPairPrefix[string, []byte](req.ProviderId))
	return &types.QueryStakesResponse{Stakes: stakes, Pagination: page}, err
}

// SlashLog implements types.QueryServer.
func (q queryServer) SlashLog(ctx context.Context, req *types.QuerySlashLogRequest) (*types.QuerySlashLogResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	p, err := q.k.GetProvider(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	slashes, page, err := query.CollectionPaginate(ctx, q.k.SlashLog, req.Pagination,
		func(key slashKey, record types.SlashRecord) (types.SlashInfo, error) {
			return types.SlashInfo{
				Validator: q.k.valString(record.Entry.Operator), Record: record, Acknowledged: key.K2() <= p.AckedIndex,
			}, nil
		}, query.WithCollectionPaginationPairPrefix[string, uint64](req.ProviderId))
	return &types.QuerySlashLogResponse{
		Slashes: slashes, FirstIndex: p.FirstIndex, AckedIndex: p.AckedIndex, LastIndex: p.LastIndex, Pagination: page,
	}, err
}

// ValidatorStakes implements types.QueryServer.
func (q queryServer) ValidatorStakes(ctx context.Context, req *types.QueryValidatorStakesRequest) (*types.QueryValidatorStakesResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	val, err := q.k.staking.ValidatorAddressCodec().StringToBytes(req.Validator)
	if err != nil {
		return nil, errorsmod.Wrap(types.ErrInvalidValidator, err.Error())
	}
	providers, err := q.k.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	res := &types.QueryValidatorStakesResponse{}
	for _, p := range providers {
		rec, found, err := q.k.getStake(ctx, p.Config.ProviderId, val)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		info, err := q.stakeInfo(ctx, p.Config.ProviderId, val, rec)
		if err != nil {
			return nil, err
		}
		res.Stakes = append(res.Stakes, info)
	}
	return res, nil
}

// Validators implements types.QueryServer.
func (q queryServer) Validators(ctx context.Context, req *types.QueryValidatorsRequest) (*types.QueryValidatorsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	vals, page, err := query.CollectionPaginate(ctx, q.k.Validators, req.Pagination,
		func(val []byte, state types.ValidatorState) (types.ValidatorInfo, error) {
			st, err := q.k.validatorStatus(ctx, val, state)
			if err != nil {
				return types.ValidatorInfo{}, err
			}
			shares, err := q.k.virtualShares(ctx, val)
			if err != nil {
				return types.ValidatorInfo{}, err
			}
			info := types.ValidatorInfo{
				Validator: q.k.valString(val), Status: st, State: state,
				Tokens: sdkmath.ZeroInt(), NativeTokens: sdkmath.ZeroInt(), VirtualTokens: sdkmath.ZeroInt(),
			}
			if validator, err := q.k.staking.GetValidator(ctx, val); err == nil {
				info.Tokens, info.VirtualTokens = validator.Tokens, tokensOf(validator, shares)
				info.NativeTokens = info.Tokens.Sub(info.VirtualTokens)
			}
			return info, nil
		})
	return &types.QueryValidatorsResponse{Validators: vals, Pagination: page}, err
}

// Epoch implements types.QueryServer.
func (q queryServer) Epoch(ctx context.Context, req *types.QueryEpochRequest) (*types.QueryEpochResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	params, err := q.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := q.k.Epoch.Get(ctx)
	if err != nil {
		return nil, err
	}
	res := &types.QueryEpochResponse{Epoch: epoch, EndsAt: epoch.Start.Add(params.EpochDuration)}
	err = q.k.Plan.Walk(ctx, nil, func(key planKey, _ types.Target) (bool, error) {
		if key.K1() {
			res.IncreasesLeft++
		} else {
			res.DecreasesLeft++
		}
		return false, nil
	})
	return res, err
}

// Supply implements types.QueryServer.
func (q queryServer) Supply(ctx context.Context, req *types.QuerySupplyRequest) (*types.QuerySupplyResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	denom, err := q.k.staking.BondDenom(ctx)
	if err != nil {
		return nil, err
	}
	virtual, err := q.k.SumVirtualSupply(ctx)
	if err != nil {
		return nil, err
	}
	bank := q.k.bank.GetSupply(ctx, denom).Amount
	return &types.QuerySupplyResponse{
		Denom: denom, BankSupply: bank, VirtualSupply: virtual.Total, NativeSupply: bank.Sub(virtual.Total),
	}, nil
}

// Security implements types.QueryServer.
func (q queryServer) Security(ctx context.Context, req *types.QuerySecurityRequest) (*types.QuerySecurityResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	denom, err := q.k.staking.BondDenom(ctx)
	if err != nil {
		return nil, err
	}
	v, err := q.k.newView(ctx)
	if err != nil {
		return nil, err
	}
	res := &types.QuerySecurityResponse{
		Denom: denom, NativeBonded: v.bonded.Sub(v.virtualBonded), VirtualBonded: v.virtualBonded,
	}
	for _, p := range v.providers {
		if p.bonded.IsPositive() {
			res.VirtualByProvider = append(res.VirtualByProvider, types.ProviderSecurity{
				ProviderId: p.id(), ChainId: p.Config.ChainId, VirtualBonded: p.bonded,
			})
		}
	}
	return res, nil
}

// Invariants implements types.QueryServer.
func (q queryServer) Invariants(ctx context.Context, req *types.QueryInvariantsRequest) (*types.QueryInvariantsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	page, err := invariant.Run(sdk.UnwrapSDKContext(ctx), q.k.Invariants(), req.Invariant, req.Key, req.Limit)
	if err != nil {
		return nil, err
	}
	return &types.QueryInvariantsResponse{
		Failures: page.Failures, NextKey: page.NextKey, Records: page.Records, Height: page.Height,
	}, nil
}
