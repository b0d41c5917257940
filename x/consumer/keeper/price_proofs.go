package keeper

import (
	"context"
	"errors"
	"math"
	"math/big"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypesv2 "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types/v2"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// PriceProof is what a message proves: the value at the path of the provider's source, in the state whose root is in the
// header of a height.
type PriceProof struct {
	Submitter  string
	ProviderID string
	Value      []byte
	Proof      []byte
	Height     meshtypes.Height
}

// ProvePrice takes what is proved of another chain's state as the provider's price, or as one of two accumulators that
// make it. It returns the price, zero while the accumulator waits for one at least a window and at most two windows
// later. Errors: ErrProviderNotFound, ErrProviderRemoved, ErrWrongFeed, and those of verify and of the types' Read.
func (k *Keeper) ProvePrice(ctx sdk.Context, m PriceProof) (sdkmath.LegacyDec, error) {
	none := sdkmath.LegacyZeroDec()
	p, err := k.fedBy(ctx, m.ProviderID, types.PriceFeedProof)
	if err != nil {
		return none, err
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return none, err
	}
	source := *p.Config.Price.Source
	provedAt, err := k.verifyPrice(ctx, source, m)
	if err != nil {
		return none, err
	}
	number, err := source.Read(m.Value)
	if err != nil {
		return none, err
	}
	at := provedAt
	if len(source.TimePath) != 0 {
		if at, err = source.ReadTime(m.Value); err != nil {
			return none, err
		}
		if at > provedAt {
			return none, errorsmod.Wrap(types.ErrPriceTime, "later than the header that proves it")
		}
	}
	if now, limit := nanos(ctx.BlockTime()), maxPostAge(params, *p.Config.Price); at < now && now-at > uint64(limit) {
		return none, errorsmod.Wrapf(types.ErrPriceTooOld, "%s, at most %s", time.Duration(now-at), limit)
	}
	var price sdkmath.LegacyDec
	if source.Accumulator {
		price, err = k.proveAccumulator(ctx, p, types.Point{Time: at, Sum: number}, m.Height)
	} else {
		price, err = types.ScaledDec(number)
	}
	if err != nil {
		return none, err
	}
	if price.IsPositive() {
		if err := k.post(ctx, p, types.PostedPrice{Price: price, PostedAt: ctx.BlockTime()}); err != nil {
			return none, err
		}
	}
	if err := k.ProvedHeights.Set(ctx, m.ProviderID, m.Height); err != nil {
		return none, err
	}
	k.emit(ctx, &types.EventPriceProved{
		ProviderId: m.ProviderID, Submitter: m.Submitter, Height: m.Height, Observed: sdkmath.NewIntFromBigInt(number), Price: price,
	})
	return price, nil
}

// verifyPrice checks that the light client shows the value at the source's path, above the height proved last, and
// returns the time of the header, in unix nanoseconds. Errors: ErrNotConnected, ErrPriceHeight, ErrPriceClient,
// ErrPriceNoHeader, ErrPriceProof.
func (k *Keeper) verifyPrice(ctx sdk.Context, source types.PriceSource, m PriceProof) (uint64, error) {
	if k.clients == nil {
		return 0, types.ErrNotConnected
	}
	last, err := k.provedHeight(ctx, m.ProviderID)
	if err != nil {
		return 0, err
	}
	if m.Height.Compare(last) <= 0 {
		return 0, errorsmod.Wrapf(types.ErrPriceHeight, "%s, not above %s", m.Height, last)
	}
	if status := k.clients.GetClientStatus(ctx, source.ClientId); status != exported.Active {
		return 0, errorsmod.Wrapf(types.ErrPriceClient, "%s is %s", source.ClientId, status)
	}
	height := clienttypes.NewHeight(m.Height.Revision, m.Height.Height)
	at, err := k.clients.GetClientTimestampAtHeight(ctx, source.ClientId, height)
	if err != nil {
		return 0, errorsmod.Wrapf(types.ErrPriceNoHeader, "%s of %s: %s", m.Height, source.ClientId, err)
	}
	if at == 0 || at > math.MaxInt64 {
		return 0, errorsmod.Wrapf(types.ErrPriceNoHeader, "%s of %s has no time", m.Height, source.ClientId)
	}
	err = safely(func() error {
		path := commitmenttypesv2.NewMerklePath(source.Path...)
		return k.clients.VerifyMembership(ctx, source.ClientId, height, 0, 0, m.Proof, path, m.Value)
	})
	if err != nil {
		return 0, errorsmod.Wrap(types.ErrPriceProof, err.Error())
	}
	return at, nil
}

// proveAccumulator stores an accumulator and returns the price it makes with the newest one a window older, zero if there
// is none that is not more than two windows older. Errors: ErrPriceTime, ErrAccumulatorFell, ErrInvalidPrice.
func (k *Keeper) proveAccumulator(
	ctx context.Context, p types.Provider, now types.Point, height meshtypes.Height,
) (sdkmath.LegacyDec, error) {
	price, id, window := sdkmath.LegacyZeroDec(), p.Config.ProviderId, p.Config.Price.Window
	points, err := k.points(ctx, id)
	if err != nil {
		return price, err
	}
	if len(points) > 0 {
		switch last := points[len(points)-1]; {
		case now.Time <= last.Time:
			return price, errorsmod.Wrap(types.ErrPriceTime, "not later than the last one's")
		case now.Sum.Cmp(last.Sum) < 0:
			return price, types.ErrAccumulatorFell
		}
	}
	if base, ok := types.Base(points, now.Time, window); ok {
		if price, err = types.ScaledDec(types.MeanPrice(base, now, p.Config.Price.Source.AccumulatorUnit)); err != nil {
			return price, err
		}
	}
	return price, k.observe(ctx, id, points, now, window, height)
}

// provedHeight returns the height that a provider's price was last proved at, zero height if it never was.
func (k *Keeper) provedHeight(ctx context.Context, id string) (meshtypes.Height, error) {
	height, err := k.ProvedHeights.Get(ctx, id)
	if errors.Is(err, collections.ErrNotFound) {
		return meshtypes.Height{}, nil
	}
	return height, err
}

func newSum() *big.Int { return new(big.Int) }
