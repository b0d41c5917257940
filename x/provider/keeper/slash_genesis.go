package keeper

import (
	"context"

	"cosmossdk.io/collections"

	"github.com/mesh-security/mesh/x/provider/types"
)

// initSlashes stores slashes and meters; which slashes are pending or vetoed, and when
// each is worked on, is built from them.
func (k *Keeper) initSlashes(ctx context.Context, g types.GenesisState) error {
	for _, rec := range g.Slashes {
		if err := k.Slashes.Set(ctx, rec.Id, rec); err != nil {
			return err
		}
		if err := k.SlashQueue.Set(ctx, collections.Join(nanos(rec.DueAt), rec.Id)); err != nil {
			return err
		}
		if rec.Status == types.SLASH_STATUS_VETOED && rec.IsProof() {
			if err := k.VetoedProofs.Set(ctx, collections.Join3(rec.ClientId, rec.Validator, rec.Id)); err != nil {
				return err
			}
		}
		if !rec.IsPending() {
			continue
		}
		if err := k.PendingSlashes.Set(ctx, collections.Join3(rec.ClientId, rec.Validator, rec.Id)); err != nil {
			return err
		}
	}
	for _, m := range g.Meters {
		if err := k.Meters.Set(ctx, m.ClientId, m.Meter); err != nil {
			return err
		}
	}
	return nil
}

// exportSlashes exports slashes and meters.
func (k *Keeper) exportSlashes(ctx context.Context, g *types.GenesisState) error {
	err := k.Slashes.Walk(ctx, nil, func(_ uint64, rec types.SlashRecord) (bool, error) {
		g.Slashes = append(g.Slashes, rec)
		return false, nil
	})
	if err != nil {
		return err
	}
	return k.Meters.Walk(ctx, nil, func(clientID string, m types.SlashMeter) (bool, error) {
		g.Meters = append(g.Meters, types.MeterRecord{ClientId: clientID, Meter: m})
		return false, nil
	})
}
