package keeper

import (
	"context"
	"slices"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// PostPrice implements types.MsgServer.
func (s msgServer) PostPrice(goCtx context.Context, msg *types.MsgPostPrice) (*types.MsgPostPriceResponse, error) {
	feeder, err := s.signer(msg.Feeder)
	if err != nil {
		return nil, err
	}
	if err := types.ValidateProviderID(msg.ProviderId); err != nil {
		return nil, err
	}
	if err := types.ValidatePrice(msg.Price); err != nil {
		return nil, err
	}
	median, err := s.k.PostPrice(sdk.UnwrapSDKContext(goCtx), msg.ProviderId, feeder, msg.Price)
	if err != nil {
		return nil, err
	}
	return &types.MsgPostPriceResponse{Median: median}, nil
}

// ProvePrice implements types.MsgServer.
func (s msgServer) ProvePrice(goCtx context.Context, msg *types.MsgProvePrice) (*types.MsgProvePriceResponse, error) {
	if _, err := s.signer(msg.Submitter); err != nil {
		return nil, err
	}
	if err := types.ValidateProviderID(msg.ProviderId); err != nil {
		return nil, err
	}
	if len(msg.Value) == 0 || len(msg.Value) > types.MaxPriceValueBytes {
		return nil, errorsmod.Wrapf(types.ErrPriceTooLong, "value of %d bytes, must be 1 to %d", len(msg.Value), types.MaxPriceValueBytes)
	}
	if len(msg.Proof) == 0 || len(msg.Proof) > types.MaxPriceProofBytes {
		return nil, errorsmod.Wrapf(types.ErrPriceTooLong, "proof of %d bytes, must be 1 to %d", len(msg.Proof), types.MaxPriceProofBytes)
	}
	if err := msg.ProofHeight.Validate(); err != nil {
		return nil, errorsmod.Wrap(types.ErrPriceHeight, err.Error())
	}
	price, err := s.k.ProvePrice(sdk.UnwrapSDKContext(goCtx), PriceProof{
		Submitter: msg.Submitter, ProviderID: msg.ProviderId, Value: msg.Value, Proof: msg.Proof, Height: msg.ProofHeight,
	})
	if err != nil {
		return nil, err
	}
	return &types.MsgProvePriceResponse{Price: price}, nil
}

// signer returns an account's address, or ErrInvalidSigner.
func (s msgServer) signer(text string) (sdk.AccAddress, error) {
	addr, err := s.k.accounts.AddressCodec().StringToBytes(text)
	if err != nil {
		return nil, errorsmod.Wrap(types.ErrInvalidSigner, err.Error())
	}
	return addr, nil
}

// Price implements types.QueryServer.
func (q queryServer) Price(goCtx context.Context, req *types.QueryPriceRequest) (*types.QueryPriceResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	ctx := sdk.UnwrapSDKContext(goCtx)
	p, err := q.k.GetProvider(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	params, err := q.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	none := sdkmath.LegacyZeroDec()
	res := &types.QueryPriceResponse{
		Posted: types.PostedPrice{Price: none}, InForce: p.Price, Feed: p.Config.PriceFeed, Average: none, Next: none,
	}
	posted, average, err := q.k.posted(ctx, p)
	if err != nil {
		res.Unusable = err.Error()
		return res, nil //nolint:nilerr // no price is an answer too
	}
	res.Posted, res.Average, res.Age = posted, average, ctx.BlockTime().Sub(posted.PostedAt)
	if res.Next, res.MayRise, err = q.k.nextPrice(ctx, params, p); err != nil {
		res.Unusable = err.Error()
	}
	return res, nil
}

// PricePosts implements types.QueryServer.
func (q queryServer) PricePosts(goCtx context.Context, req *types.QueryPricePostsRequest) (*types.QueryPricePostsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	ctx := sdk.UnwrapSDKContext(goCtx)
	p, err := q.k.GetProvider(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	params, err := q.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	oldest := ctx.BlockTime().Add(-maxPostAge(params, p.Config.PriceOrDefault()))
	posts, page, err := query.CollectionPaginate(ctx, q.k.PricePosts, req.Pagination,
		func(key stakeKey, posted types.PostedPrice) (types.PricePost, error) {
			feeder, err := q.k.accounts.AddressCodec().BytesToString(key.K2())
			return types.PricePost{Feeder: feeder, Posted: posted, Counts: !posted.PostedAt.Before(oldest)}, err
		}, query.WithCollectionPaginationPairPrefix[string, []byte](req.ProviderId))
	if err != nil {
		return nil, err
	}
	return &types.QueryPricePostsResponse{Posts: posts, Pagination: page}, nil
}

// PriceObservations implements types.QueryServer.
func (q queryServer) PriceObservations(
	ctx context.Context, req *types.QueryPriceObservationsRequest,
) (*types.QueryPriceObservationsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	if _, err := q.k.GetProvider(ctx, req.ProviderId); err != nil {
		return nil, err
	}
	height, err := q.k.provedHeight(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	observations, page, err := query.CollectionPaginate(ctx, q.k.PriceObservations, req.Pagination,
		func(key observationKey, o types.PriceObservation) (types.DatedObservation, error) {
			return types.DatedObservation{Time: time.Unix(0, int64(key.K2())).UTC(), Observation: o}, nil
		}, query.WithCollectionPaginationPairPrefix[string, uint64](req.ProviderId))
	if err != nil {
		return nil, err
	}
	return &types.QueryPriceObservationsResponse{Observations: observations, ProvedHeight: height, Pagination: page}, nil
}

// importPrices stores what genesis has of posts, accumulators and proofs.
func (k *Keeper) importPrices(ctx context.Context, gs types.GenesisState) error {
	feeders := map[string][]string{}
	for _, p := range gs.Providers {
		feeders[p.Config.ProviderId] = p.Config.PriceOrDefault().Feeders
	}
	for _, r := range gs.PricePosts {
		feeder, err := k.accounts.AddressCodec().BytesToString(r.Feeder)
		if err != nil {
			return err
		}
		if !slices.Contains(feeders[r.ProviderId], feeder) {
			return errorsmod.Wrapf(types.ErrInvalidGenesis, "price of %q by %s, who is no feeder", r.ProviderId, feeder)
		}
		post := types.PostedPrice{Price: r.Price, PostedAt: r.PostedAt}
		if err := k.PricePosts.Set(ctx, collections.Join(r.ProviderId, r.Feeder), post); err != nil {
			return err
		}
	}
	for _, r := range gs.PriceObservations {
		if err := k.PriceObservations.Set(ctx, collections.Join(r.ProviderId, r.Time), r.Observation); err != nil {
			return err
		}
	}
	for _, r := range gs.ProvedHeights {
		if err := k.ProvedHeights.Set(ctx, r.ProviderId, r.Height); err != nil {
			return err
		}
	}
	return nil
}
