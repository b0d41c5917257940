package keeper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// observationKey is a provider and a time in unix nanoseconds.
type observationKey = collections.Pair[string, uint64]

// PriceFeed tells the price of a provider's token, in whole native tokens per whole collateral token, and when it was
// posted by block time. An error means that there is none.
type PriceFeed interface {
	Price(ctx context.Context, providerID string) (types.PostedPrice, error)
}

// storedFeed gives the newest price that was posted: by governance, by enough feeders together, or with a proof.
type storedFeed struct{ k *Keeper }

// Price implements PriceFeed.
func (f storedFeed) Price(ctx context.Context, providerID string) (types.PostedPrice, error) {
	posted, err := f.k.Prices.Get(ctx, providerID)
	if errors.Is(err, collections.ErrNotFound) {
		return types.PostedPrice{}, types.ErrNoPrice
	}
	return posted, err
}

// priceFeeds are the feeds by name.
func (k *Keeper) priceFeeds() map[string]PriceFeed {
	stored := storedFeed{k}
	return map[string]PriceFeed{
		types.PriceFeedGovernance: stored, types.PriceFeedFeeders: stored, types.PriceFeedProof: stored,
	}
}

// posted returns the price that the provider's feed gives, and its average over the provider's window. Errors:
// ErrUnknownPriceFeed, ErrNoPrice, ErrInvalidPrice.
func (k *Keeper) posted(ctx sdk.Context, p types.Provider) (posted types.PostedPrice, average sdkmath.LegacyDec, err error) {
	feed, ok := k.feeds[p.Config.PriceFeed]
	if !ok {
		return posted, average, errorsmod.Wrap(types.ErrUnknownPriceFeed, p.Config.PriceFeed)
	}
	if posted, err = feed.Price(ctx, p.Config.ProviderId); err != nil {
		return posted, average, err
	}
	if err := types.ValidatePrice(posted.Price); err != nil {
		return posted, average, err
	}
	if !averaged(p.Config) {
		return posted, posted.Price, nil
	}
	points, err := k.points(ctx, p.Config.ProviderId)
	if err != nil {
		return posted, average, err
	}
	average, err = types.ScaledDec(types.Average(points, posted.Price, nanos(ctx.BlockTime()), p.Config.Price.Window))
	return posted, average, err
}

// averaged says whether a provider's posted prices are averaged here; what is proved of an accumulator is an average.
func averaged(c types.ProviderConfig) bool {
	p := c.PriceOrDefault()
	return p.Window > 0 && (p.Source == nil || !p.Source.Accumulator)
}

// nextPrice returns the provider's price for the next plan and whether it may raise targets. It is the smaller of the
// newest price and the average: an average holds back rises, a fall is taken at once. A rise over the price in force is
// clamped to max_price_change; an old price only falls.
func (k *Keeper) nextPrice(ctx sdk.Context, params types.Params, p types.Provider) (price sdkmath.LegacyDec, mayRise bool, err error) {
	posted, average, err := k.posted(ctx, p)
	if err != nil {
		return sdkmath.LegacyZeroDec(), false, err
	}
	price, mayRise = ClampPrice(sdkmath.LegacyMinDec(posted.Price, average), p.Price, params.MaxPriceChange), true
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

// SetPrice posts the governance-set price. Errors: ErrProviderNotFound, ErrProviderRemoved, ErrWrongFeed.
func (k *Keeper) SetPrice(ctx sdk.Context, providerID string, price sdkmath.LegacyDec) error {
	p, err := k.fedBy(ctx, providerID, types.PriceFeedGovernance)
	if err != nil {
		return err
	}
	return k.post(ctx, p, types.PostedPrice{Price: price, PostedAt: ctx.BlockTime()})
}

// fedBy returns a provider that is not removed and whose price comes from the feed.
func (k *Keeper) fedBy(ctx context.Context, providerID, feed string) (types.Provider, error) {
	p, err := k.liveProvider(ctx, providerID)
	if err == nil && p.Config.PriceFeed != feed {
		err = errorsmod.Wrapf(types.ErrWrongFeed, "%q, not %q", p.Config.PriceFeed, feed)
	}
	return p, err
}

// post stores a provider's newest price.
func (k *Keeper) post(ctx sdk.Context, p types.Provider, posted types.PostedPrice) error {
	id := p.Config.ProviderId
	if averaged(p.Config) {
		if err := k.accumulate(ctx, p); err != nil {
			return err
		}
	}
	if err := k.Prices.Set(ctx, id, posted); err != nil {
		return err
	}
	k.emit(ctx, &types.EventPriceSet{ProviderId: id, Price: posted.Price})
	return nil
}

// accumulate ends the time of the newest price in the module's own accumulator.
func (k *Keeper) accumulate(ctx sdk.Context, p types.Provider) error {
	id, window, now := p.Config.ProviderId, p.Config.Price.Window, nanos(ctx.BlockTime())
	points, err := k.points(ctx, id)
	if err != nil {
		return err
	}
	old, err := k.Prices.Get(ctx, id)
	if errors.Is(err, collections.ErrNotFound) {
		return k.observe(ctx, id, points, types.Point{Time: now, Sum: newSum()}, window, meshtypes.Height{})
	}
	if err != nil {
		return err
	}
	if len(points) == 0 {
		// Posted before there was a window.
		first := types.Point{Time: min(now, nanos(old.PostedAt)), Sum: newSum()}
		if err := k.observe(ctx, id, nil, first, window, meshtypes.Height{}); err != nil {
			return err
		}
		points = append(points, first)
	}
	last := points[len(points)-1]
	if last.Time >= now {
		return nil // in one block only the last price counts
	}
	return k.observe(ctx, id, points, types.Advance(last, old.Price, now), window, meshtypes.Height{})
}

// observe stores an accumulator, and drops those that are of no use any more.
func (k *Keeper) observe(
	ctx context.Context, id string, points []types.Point, p types.Point, window time.Duration, height meshtypes.Height,
) error {
	for _, at := range types.Thin(points, p.Time, window) {
		if err := k.PriceObservations.Remove(ctx, collections.Join(id, at)); err != nil {
			return err
		}
	}
	return k.PriceObservations.Set(ctx, collections.Join(id, p.Time), types.NewObservation(p.Sum, height))
}

// points returns a provider's accumulators in the order of time.
func (k *Keeper) points(ctx context.Context, id string) (points []types.Point, err error) {
	err = k.PriceObservations.Walk(ctx, collections.NewPrefixedPairRange[string, uint64](id),
		func(key observationKey, o types.PriceObservation) (bool, error) {
			points = append(points, types.Point{Time: key.K2(), Sum: o.Accumulator.BigInt()})
			return false, nil
		})
	return points, err
}

// PostPrice stores a feeder's post and, if enough of them agree, their median as the price. It returns the median, zero if
// there is none. Errors: ErrProviderNotFound, ErrProviderRemoved, ErrWrongFeed, ErrNotFeeder.
//
// CONTRACT: the price is valid.
func (k *Keeper) PostPrice(ctx sdk.Context, providerID string, feeder sdk.AccAddress, price sdkmath.LegacyDec) (sdkmath.LegacyDec, error) {
	none := sdkmath.LegacyZeroDec()
	p, err := k.fedBy(ctx, providerID, types.PriceFeedFeeders)
	if err != nil {
		return none, err
	}
	text, err := k.accounts.AddressCodec().BytesToString(feeder)
	if err != nil {
		return none, err
	}
	config := p.Config.PriceOrDefault()
	if !slices.Contains(config.Feeders, text) {
		return none, errorsmod.Wrap(types.ErrNotFeeder, text)
	}
	post := types.PostedPrice{Price: price, PostedAt: ctx.BlockTime()}
	if err := k.PricePosts.Set(ctx, collections.Join(providerID, feeder.Bytes()), post); err != nil {
		return none, err
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return none, err
	}
	var posts []types.PostedPrice
	oldest := ctx.BlockTime().Add(-maxPostAge(params, config))
	err = k.PricePosts.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](providerID),
		func(_ stakeKey, post types.PostedPrice) (bool, error) {
			if !post.PostedAt.Before(oldest) {
				posts = append(posts, post)
			}
			return false, nil
		})
	if err != nil {
		return none, err
	}
	median, used, ok := types.Median(posts, config.MaxDeviation, int(config.MinFeeders))
	if ok {
		if err := k.post(ctx, p, median); err != nil {
			return none, err
		}
	}
	k.emit(ctx, &types.EventPricePosted{
		ProviderId: providerID, Feeder: text, Price: price, Median: median.Price, Used: uint32(used), Dropped: uint32(len(posts) - used),
	})
	return median.Price, nil
}

// maxPostAge is how old a feeder's post, or what is proved, may be.
func maxPostAge(params types.Params, config types.PriceConfig) time.Duration {
	if config.MaxPostAge <= 0 {
		return params.MaxPriceAge
	}
	return min(config.MaxPostAge, params.MaxPriceAge)
}

// checkFeed checks a configuration's feed, valid in itself, against this chain: feeders are accounts, the client of a
// source exists, a window is no shorter than an epoch.
func (k *Keeper) checkFeed(ctx sdk.Context, params types.Params, config types.ProviderConfig) error {
	price := config.PriceOrDefault()
	if price.Window != 0 && price.Window < params.EpochDuration {
		return errorsmod.Wrapf(types.ErrInvalidPriceConfig, "window %s is shorter than an epoch, %s", price.Window, params.EpochDuration)
	}
	for _, feeder := range price.Feeders {
		bz, err := k.accounts.AddressCodec().StringToBytes(feeder)
		if err != nil {
			return errorsmod.Wrapf(types.ErrInvalidFeeders, "%q: %s", feeder, err)
		}
		if text, err := k.accounts.AddressCodec().BytesToString(bz); err != nil || text != feeder {
			return errorsmod.Wrapf(types.ErrInvalidFeeders, "%q is written %q", feeder, text)
		}
	}
	if price.Source == nil {
		return nil
	}
	if _, ok := k.clients.GetClientState(ctx, price.Source.ClientId); !ok {
		return errorsmod.Wrapf(types.ErrClientNotFound, "%s, of the price", price.Source.ClientId)
	}
	return nil
}

// checkWindows returns ErrParamsConflict if a provider's window is shorter than an epoch.
func (k *Keeper) checkWindows(ctx context.Context, params types.Params) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		window := p.Config.PriceOrDefault().Window
		if p.Status != types.PROVIDER_STATUS_REMOVED && window != 0 && window < params.EpochDuration {
			return errorsmod.Wrapf(types.ErrParamsConflict, "epoch_duration is above the price window of %s, %s", p.Config.ProviderId, window)
		}
	}
	return nil
}

// feedChanged drops what was posted under a provider's configuration and does not count under its new one.
func (k *Keeper) feedChanged(ctx context.Context, old, config types.ProviderConfig) error {
	if !config.SameSource(old) {
		return k.forgetPrices(ctx, config.ProviderId)
	}
	if config.PriceFeed == types.PriceFeedFeeders {
		if err := k.forgetFeeders(ctx, config); err != nil {
			return err
		}
	}
	if config.PriceOrDefault().Window != 0 {
		return nil
	}
	return k.PriceObservations.Clear(ctx, collections.NewPrefixedPairRange[string, uint64](config.ProviderId))
}

// forgetFeeders drops the posts of those who are no feeders any more.
func (k *Keeper) forgetFeeders(ctx context.Context, config types.ProviderConfig) error {
	var gone []stakeKey
	err := k.PricePosts.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](config.ProviderId),
		func(key stakeKey, _ types.PostedPrice) (bool, error) {
			text, err := k.accounts.AddressCodec().BytesToString(key.K2())
			if err != nil || !slices.Contains(config.Price.Feeders, text) {
				gone = append(gone, key)
			}
			return false, nil
		})
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := k.PricePosts.Remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// forgetPrices drops everything that was posted for a provider.
func (k *Keeper) forgetPrices(ctx context.Context, id string) error {
	return errors.Join(
		k.Prices.Remove(ctx, id),
		k.PricePosts.Clear(ctx, collections.NewPrefixedPairRange[string, []byte](id)),
		k.PriceObservations.Clear(ctx, collections.NewPrefixedPairRange[string, uint64](id)),
		k.ProvedHeights.Remove(ctx, id),
	)
}

// nanos returns a time in unix nanoseconds, not below zero.
func nanos(t time.Time) uint64 {
	if t.Unix() <= 0 || t.Unix() > math.MaxInt64/int64(time.Second) {
		return 0
	}
	return uint64(t.UnixNano())
}
