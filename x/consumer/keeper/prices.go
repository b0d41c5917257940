package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// PriceFeed tells the price of a provider's token, in whole native tokens per whole collateral token, and when it was
// posted by block time. An error means that there is none.
type PriceFeed interface {
	Price(ctx context.Context, providerID string) (types.PostedPrice, error)
}

// governanceFeed gives the prices that governance posts.
type governanceFeed struct{ k *Keeper }

// Price implements PriceFeed.
func (f governanceFeed) Price(ctx context.Context, providerID string) (types.PostedPrice, error) {
	posted, err := f.k.Prices.Get(ctx, providerID)
	if errors.Is(err, collections.ErrNotFound) {
		return types.PostedPrice{}, types.ErrNoPrice
	}
	return posted, err
}

// posted returns the price that the provider's feed gives. Errors: ErrUnknownPriceFeed, ErrNoPrice, ErrInvalidPrice.
func (k *Keeper) posted(ctx context.Context, p types.Provider) (types.PostedPrice, error) {
	feed, ok := k.feeds[p.Config.PriceFeed]
	if !ok {
		return types.PostedPrice{}, errorsmod.Wrap(types.ErrUnknownPriceFeed, p.Config.PriceFeed)
	}
	posted, err := feed.Price(ctx, p.Config.ProviderId)
	if err != nil {
		return types.PostedPrice{}, err
	}
	return posted, types.ValidatePrice(posted.Price)
}

// nextPrice returns the provider's price for the next plan and whether it may raise targets. A rise over the price in
// force is clamped to max_price_change, a fall is taken at once; an old price only falls.
func (k *Keeper) nextPrice(ctx sdk.Context, params types.Params, p types.Provider) (price sdkmath.LegacyDec, mayRise bool, err error) {
	posted, err := k.posted(ctx, p)
	if err != nil {
		return sdkmath.LegacyZeroDec(), false, err
	}
	price, mayRise = ClampPrice(posted.Price, p.Price, params.MaxPriceChange), true
	if age := ctx.BlockTime().Sub(posted.PostedAt); age > params.MaxPriceAge {
		k.emit(ctx, &types.EventPriceUnusable{
			ProviderId: p.Config.ProviderId,
			Reason:     fmt.Sprintf("posted %s ago, at most %s", age, params.MaxPriceAge),
		})
		mayRise = false
		if p.Price.IsPositive() {
			price = sdkmath.LegacyMinDec(price, p.Price)
		}
	}
	return price, mayRise, nil
}

// ClampPrice returns the posted price, but at most the price in force raised by maxChange. Without a price in force
// (zero) the posted one counts. A price can always rise by its smallest unit.
func ClampPrice(posted, inForce, maxChange sdkmath.LegacyDec) sdkmath.LegacyDec {
	if !inForce.IsPositive() || posted.LTE(inForce) {
		return posted
	}
	limit := inForce.Add(sdkmath.LegacyMaxDec(inForce.MulTruncate(maxChange), sdkmath.LegacySmallestDec()))
	return sdkmath.LegacyMinDec(posted, limit)
}
