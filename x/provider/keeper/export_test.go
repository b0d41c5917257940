package keeper

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// RecordProof records a proof as if its evidence had been verified.
func (k *Keeper) RecordProof(ctx sdk.Context, clientID string, operator []byte, infraction meshtypes.Height, submitter sdk.AccAddress, atOnce bool) (types.SlashRecord, error) {
	consumer, err := k.liveConsumer(ctx, clientID)
	if err != nil {
		return types.SlashRecord{}, err
	}
	return k.recordProof(ctx, consumer, proof{types.SLASH_ORIGIN_DOUBLE_VOTE, operator, infraction, submitter}, atOnce)
}

// SlashOne takes a fraction of one pool or batch.
func (k *Keeper) SlashOne(ctx sdk.Context, id uint64, fraction sdkmath.LegacyDec) (sdkmath.Int, error) {
	pool, err := k.Pools.Get(ctx, id)
	if err != nil {
		return sdkmath.Int{}, err
	}
	consumer, err := k.Consumers.Get(ctx, pool.ClientId)
	if err != nil {
		return sdkmath.Int{}, err
	}
	rec := types.SlashRecord{Kind: meshtypes.SLASH_KIND_DOWNTIME, Origin: types.SLASH_ORIGIN_DOUBLE_VOTE, Amount: sdkmath.ZeroInt()}
	err = k.slashStake(ctx, consumer.Config, &rec, []stakeOn{{id, pool}}, []sdkmath.LegacyDec{fraction})
	return rec.Amount, err
}

// TouchAll takes what is in flight as lost and touches every validator that the consumer must know of.
func (k *Keeper) TouchAll(ctx context.Context, clientID string) error {
	return k.touchAll(ctx, clientID)
}

// WithSteps returns a context in which EndBlocker adds the steps that it takes to a counter.
func WithSteps(ctx sdk.Context, steps *int) sdk.Context { return ctx.WithValue(stepsKey{}, steps) }

// MostSteps returns how many steps all queues together may take in a block with that limit.
func MostSteps(limit int) int {
	s := sharesOf(limit)
	return 3*s.quarter + s.executions + s.departures + s.slashes + s.clocks + s.conversions + s.holds + s.ratioWalk +
		s.nativeSlashes + s.flows + s.sweeps
}
