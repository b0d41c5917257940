package keeper

import (
	"context"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// InitGenesis stores an exported state. Indices and queues are built from the records.
func (k *Keeper) InitGenesis(ctx context.Context, g types.GenesisState) error {
	if err := g.Validate(); err != nil {
		return err
	}
	if err := k.Params.Set(ctx, g.Params); err != nil {
		return err
	}
	if err := k.Epoch.Set(ctx, g.Epoch); err != nil {
		return err
	}
	if err := k.NextPoolID.Set(ctx, g.NextPoolId); err != nil {
		return err
	}
	if err := k.NextSlashID.Set(ctx, g.NextSlashId); err != nil {
		return err
	}
	if err := k.Totals.Set(ctx, g.Totals); err != nil {
		return err
	}
	if err := k.NativeRatio.Set(ctx, g.NativeRatio); err != nil {
		return err
	}
	for _, c := range g.Consumers {
		if err := k.Consumers.Set(ctx, c.Consumer.Config.ClientId, c.Consumer); err != nil {
			return err
		}
		if err := k.Pairings.Set(ctx, c.Consumer.Config.ClientId, c.Pairing); err != nil {
			return err
		}
	}
	for _, c := range g.Channels {
		if err := k.Channels.Set(ctx, c.ChannelId, c); err != nil {
			return err
		}
	}
	for _, v := range g.Validators {
		if err := k.Validators.Set(ctx, collections.Join(v.ClientId, v.Validator), v.State); err != nil {
			return err
		}
		if err := k.indexKeys(ctx, v.ClientId, v.Validator, v.State); err != nil {
			return err
		}
	}
	for _, r := range g.Pools {
		if err := k.initPool(ctx, r.Id, r.Pool); err != nil {
			return err
		}
	}
	for _, r := range g.Positions {
		delAddr := sdk.AccAddress(r.Delegator)
		if err := k.Positions.Set(ctx, collections.Join(delAddr, r.PoolId), r.Position); err != nil {
			return err
		}
		if err := k.Members.Set(ctx, collections.Join(r.PoolId, delAddr)); err != nil {
			return err
		}
	}
	for _, a := range g.Accounts {
		if err := k.Accounts.Set(ctx, a.Delegator, a.Account); err != nil {
			return err
		}
	}
	for _, h := range g.Holds {
		if err := k.initHold(ctx, h); err != nil {
			return err
		}
	}
	if err := k.initSettlement(ctx, g); err != nil {
		return err
	}
	if err := k.initSlashes(ctx, g); err != nil {
		return err
	}
	if err := k.initRewards(ctx, g); err != nil {
		return err
	}
	for _, o := range g.Outbox {
		if err := k.Outbox.Set(ctx, collections.Join(o.ClientId, o.Validator), o.Entry); err != nil {
			return err
		}
		if err := k.OutboxByOldest.Set(ctx, collections.Join3(o.ClientId, nanos(o.Entry.Oldest), o.Validator)); err != nil {
			return err
		}
	}
	return k.initQueues(ctx, g)
}

// initQueues stores what is being worked on.
func (k *Keeper) initQueues(ctx context.Context, g types.GenesisState) error {
	for _, m := range g.Marked {
		if err := k.mark(ctx, m); err != nil {
			return err
		}
	}
	if len(g.MarkCursor) > 0 {
		if err := k.MarkCursor.Set(ctx, g.MarkCursor); err != nil {
			return err
		}
	}
	for _, w := range g.Walks {
		if err := k.Walks.Set(ctx, w.PoolId, w); err != nil {
			return err
		}
	}
	if g.RatioWalk != nil {
		if err := k.RatioWalk.Set(ctx, *g.RatioWalk); err != nil {
			return err
		}
	}
	if g.LastNativeSlash != 0 {
		if err := k.LastNativeSlash.Set(ctx, g.LastNativeSlash); err != nil {
			return err
		}
	}
	if err := k.initMoved(ctx, &g); err != nil {
		return err
	}
	for _, e := range g.Executions {
		if err := k.Executions.Set(ctx, collections.Join3(e.ClientId, e.Validator, e.Id), e); err != nil {
			return err
		}
	}
	for _, h := range g.Heights {
		if err := k.Heights.Set(ctx, collections.Join(h.ClientId, nanos(h.Time)), h.Height); err != nil {
			return err
		}
	}
	return k.Flow.Import(ctx, g.Flows)
}

// initPool stores a pool or batch with its indices.
func (k *Keeper) initPool(ctx context.Context, id uint64, pool types.Pool) error {
	if err := k.Pools.Set(ctx, id, pool); err != nil {
		return err
	}
	if !pool.IsBatch() {
		return k.ActivePools.Set(ctx, collections.Join(pool.ClientId, pool.Validator), id)
	}
	b := pool.Batch
	key := collections.Join3(pool.ClientId, pool.Validator, id)
	if err := k.Batches.Set(ctx, key); err != nil {
		return err
	}
	if due, ok := batchDue(*b); ok {
		if err := k.BatchQueue.Set(ctx, collections.Join(nanos(due), id)); err != nil {
			return err
		}
	}
	switch {
	case !b.Closed && !b.Converted:
		// Ids rise: of two open batches of one epoch the later one is joined, as before the export.
		return k.OpenBatches.Set(ctx, openBatchKey(pool.ClientId, pool.Validator, b.Epoch, b.Redelegated), id)
	case b.Closed && !b.Matured && b.ExecutedHeight.IsZero():
		return k.WaitingBatches.Set(ctx, key)
	}
	return nil
}

// ExportGenesis returns the whole state, in the order of its keys.
func (k *Keeper) ExportGenesis(ctx context.Context) (*types.GenesisState, error) {
	g := &types.GenesisState{}
	var err error
	if g.Params, err = k.Params.Get(ctx); err != nil {
		return nil, err
	}
	if g.Epoch, err = getItemOr(ctx, k.Epoch, types.EpochState{}); err != nil {
		return nil, err
	}
	if g.NextPoolId, err = k.NextPoolID.Peek(ctx); err != nil {
		return nil, err
	}
	if g.NextSlashId, err = k.NextSlashID.Peek(ctx); err != nil {
		return nil, err
	}
	if g.Totals, err = getItemOr(ctx, k.Totals, types.NewSlashTotals()); err != nil {
		return nil, err
	}
	if g.NativeRatio, err = getItemOr(ctx, k.NativeRatio, sdkmath.LegacyZeroDec()); err != nil {
		return nil, err
	}
	err = k.Consumers.Walk(ctx, nil, func(id string, c types.Consumer) (bool, error) {
		p, err := k.Pairings.Get(ctx, id)
		g.Consumers = append(g.Consumers, types.ConsumerRecord{Consumer: c, Pairing: p})
		return false, err
	})
	if err != nil {
		return nil, err
	}
	err = k.Channels.Walk(ctx, nil, func(_ string, c types.ChannelRecord) (bool, error) {
		g.Channels = append(g.Channels, c)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Validators.Walk(ctx, nil, func(key clientVal, v types.ConsumerValidator) (bool, error) {
		g.Validators = append(g.Validators, types.ValidatorRecord{ClientId: key.K1(), Validator: key.K2(), State: v})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Pools.Walk(ctx, nil, func(id uint64, p types.Pool) (bool, error) {
		g.Pools = append(g.Pools, types.PoolRecord{Id: id, Pool: p})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Positions.Walk(ctx, nil, func(key delegatorPool, p types.Position) (bool, error) {
		g.Positions = append(g.Positions, types.PositionRecord{Delegator: key.K1(), PoolId: key.K2(), Position: p})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Accounts.Walk(ctx, nil, func(delAddr sdk.AccAddress, a types.Account) (bool, error) {
		g.Accounts = append(g.Accounts, types.AccountRecord{Delegator: delAddr, Account: a})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Holds.Walk(ctx, nil, func(_ holdKey, h types.Hold) (bool, error) {
		g.Holds = append(g.Holds, h)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = k.Outbox.Walk(ctx, nil, func(key clientVal, e types.OutboxEntry) (bool, error) {
		g.Outbox = append(g.Outbox, types.OutboxRecord{ClientId: key.K1(), Validator: key.K2(), Entry: e})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if err := k.exportSettlement(ctx, g); err != nil {
		return nil, err
	}
	if err := k.exportSlashes(ctx, g); err != nil {
		return nil, err
	}
	if err := k.exportRewards(ctx, g); err != nil {
		return nil, err
	}
	return g, k.exportQueues(ctx, g)
}

// exportQueues exports what is being worked on.
func (k *Keeper) exportQueues(ctx context.Context, g *types.GenesisState) (err error) {
	err = k.Marked.Walk(ctx, nil, func(delAddr sdk.AccAddress) (bool, error) {
		g.Marked = append(g.Marked, delAddr)
		return false, nil
	})
	if err != nil {
		return err
	}
	if g.MarkCursor, err = getItemOr(ctx, k.MarkCursor, nil); err != nil {
		return err
	}
	err = k.Walks.Walk(ctx, nil, func(_ uint64, w types.PoolWalk) (bool, error) {
		g.Walks = append(g.Walks, w)
		return false, nil
	})
	if err != nil {
		return err
	}
	running, err := k.RatioWalk.Has(ctx)
	if err != nil {
		return err
	}
	if running {
		w, err := k.RatioWalk.Get(ctx)
		if err != nil {
			return err
		}
		g.RatioWalk = &w
	}
	if g.LastNativeSlash, err = getItemOr(ctx, k.LastNativeSlash, 0); err != nil {
		return err
	}
	err = k.Executions.Walk(ctx, nil, func(_ clientValID, e types.Execution) (bool, error) {
		g.Executions = append(g.Executions, e)
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.Heights.Walk(ctx, nil, func(key clientTime, h meshtypes.Height) (bool, error) {
		g.Heights = append(g.Heights, types.HeightRecord{ClientId: key.K1(), Height: h, Time: fromNanos(key.K2())})
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := k.exportMoved(ctx, g); err != nil {
		return err
	}
	g.Flows, err = k.Flow.Export(ctx)
	return err
}
