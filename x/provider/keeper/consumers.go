package keeper

import (
	"context"
	"slices"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// liveConsumer returns a consumer that is registered and not removed. Errors: ErrUnknownConsumer, ErrConsumerRemoved.
func (k *Keeper) liveConsumer(ctx context.Context, clientID string) (types.Consumer, error) {
	consumer, found, err := getOr(ctx, k.Consumers, clientID)
	switch {
	case err != nil:
		return types.Consumer{}, err
	case !found:
		return types.Consumer{}, errorsmod.Wrapf(types.ErrUnknownConsumer, "%q", clientID)
	case !consumer.IsLive():
		return types.Consumer{}, errorsmod.Wrap(types.ErrConsumerRemoved, clientID)
	}
	return consumer, nil
}

// operatorString returns the bech32 operator address of a consumer's validator, for events.
func (k *Keeper) operatorString(ctx context.Context, clientID string, operator []byte) string {
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return ""
	}
	return consumer.Config.FormatValidator(operator)
}

// tendermintClient returns the state of a client that tracks a Tendermint chain.
func (k *Keeper) tendermintClient(ctx context.Context, clientID string) (*ibctm.ClientState, bool) {
	if k.clients == nil {
		return nil, false
	}
	state, found := k.clients.GetClientState(sdk.UnwrapSDKContext(ctx), clientID)
	if !found {
		return nil, false
	}
	tm, ok := state.(*ibctm.ClientState)
	return tm, ok
}

// checkClient checks that the configuration's client exists, is active and tracks its chain id, which is not our own.
// Errors: ErrOwnChainID, ErrClientUnknown, ErrClientInactive, ErrClientChainID.
func (k *Keeper) checkClient(ctx sdk.Context, cfg types.ConsumerConfig) error {
	if cfg.ChainId == ctx.ChainID() {
		return errorsmod.Wrapf(types.ErrOwnChainID, "%q", cfg.ChainId)
	}
	tm, ok := k.tendermintClient(ctx, cfg.ClientId)
	if !ok {
		return errorsmod.Wrapf(types.ErrClientUnknown, "%q", cfg.ClientId)
	}
	if status := k.clients.GetClientStatus(ctx, cfg.ClientId); status != exported.Active {
		return errorsmod.Wrapf(types.ErrClientInactive, "%s is %s", cfg.ClientId, status)
	}
	if tm.ChainId != cfg.ChainId {
		return errorsmod.Wrapf(types.ErrClientChainID, "%s tracks %q, not %q", cfg.ClientId, tm.ChainId, cfg.ChainId)
	}
	return nil
}

// checkChainID refuses a chain id that another consumer, not removed, has or had; and more consumers than allowed, if
// one more is to be registered. Errors: ErrChainIDTaken, ErrTooManyConsumers.
func (k *Keeper) checkChainID(ctx context.Context, cfg types.ConsumerConfig, adding bool) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	live := uint32(0)
	err = k.Consumers.Walk(ctx, nil, func(id string, c types.Consumer) (bool, error) {
		if id == cfg.ClientId || !c.IsLive() {
			return false, nil
		}
		live++
		if slices.ContainsFunc(c.Chains, func(r types.ChainRecord) bool { return r.ChainId == cfg.ChainId }) {
			return true, errorsmod.Wrapf(types.ErrChainIDTaken, "%q is %s", cfg.ChainId, id)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if adding && live >= params.MaxConsumers {
		return errorsmod.Wrapf(types.ErrTooManyConsumers, "%d", live)
	}
	return nil
}

// chainRecord returns the record of a chain id that a consumer has from now on.
func chainRecord(chainID string) types.ChainRecord {
	return types.ChainRecord{ChainId: chainID, Revision: clienttypes.ParseChainID(chainID)}
}

// addConsumer registers a consumer, or one that was removed again, with a new half of the session.
func (k *Keeper) addConsumer(ctx sdk.Context, cfg types.ConsumerConfig) error {
	old, found, err := getOr(ctx, k.Consumers, cfg.ClientId)
	if err != nil {
		return err
	}
	if found && old.IsLive() {
		return errorsmod.Wrap(types.ErrConsumerExists, cfg.ClientId)
	}
	if err := k.checkClient(ctx, cfg); err != nil {
		return err
	}
	if err := k.checkChainID(ctx, cfg, true); err != nil {
		return err
	}
	if err := k.checkCounterparty(ctx, cfg); err != nil {
		return err
	}
	if err := meshtypes.CheckTransferClient(ctx, k.clientsV2, cfg.RewardChannel); err != nil {
		return err
	}
	before, _, err := getOr(ctx, k.Pairings, cfg.ClientId)
	if err != nil {
		return err
	}
	consumer := types.Consumer{Config: cfg, Status: types.CONSUMER_STATUS_REGISTERED, Chains: old.Chains}
	if n := len(consumer.Chains); n == 0 || consumer.Chains[n-1].ChainId != cfg.ChainId {
		consumer.Chains = append(consumer.Chains, chainRecord(cfg.ChainId))
	}
	pairing := types.Pairing{
		// Halves only rise, also when a consumer is registered twice in one block.
		Session:    meshtypes.Session{Provider: max(nanos(ctx.BlockTime()), before.Session.Provider+1), Consumer: before.Session.Consumer},
		BatchEpoch: before.BatchEpoch + 1,
		Validators: before.Validators,
		// Records of heights are kept, and what is missing before them stays missing.
		HeightsPruned: before.HeightsPruned,
	}
	k.adjustUnbonding(ctx, cfg, &pairing)
	pairing.BatchEpochEnd = ctx.BlockTime().Add(cfg.BatchEpochFor(pairing.EffectiveUnbonding))
	if err := k.Consumers.Set(ctx, cfg.ClientId, consumer); err != nil {
		return err
	}
	if err := k.Pairings.Set(ctx, cfg.ClientId, pairing); err != nil {
		return err
	}
	if err := k.recordHeight(ctx, cfg.ClientId, pairing); err != nil {
		return err
	}
	if err := k.RewardAccounts.Set(ctx, types.RewardAccount(cfg.ClientId), cfg.ClientId); err != nil {
		return err
	}
	k.emit(ctx, &types.EventConsumerAdded{ConsumerId: cfg.ClientId, ChainId: cfg.ChainId, Session: pairing.Session.Provider})
	return k.changeTransport(ctx, types.ConsumerConfig{}, cfg)
}

// updateConsumer changes a consumer's configuration. Lower slash fractions hold at once, higher ones after 2U.
func (k *Keeper) updateConsumer(ctx sdk.Context, cfg types.ConsumerConfig) error {
	consumer, err := k.liveConsumer(ctx, cfg.ClientId)
	if err != nil {
		return err
	}
	old := consumer.Config
	if cfg.ChainId != old.ChainId {
		if err := k.checkClient(ctx, cfg); err != nil {
			return err
		}
		if err := k.checkChainID(ctx, cfg, false); err != nil {
			return err
		}
		if len(consumer.Chains) >= maxChainRecords {
			return errorsmod.Wrapf(types.ErrInvalidConfig, "%d chain ids are on record already", len(consumer.Chains))
		}
		consumer.Chains = append(consumer.Chains, chainRecord(cfg.ChainId))
	}
	pairing, err := k.Pairings.Get(ctx, cfg.ClientId)
	if err != nil {
		return err
	}
	if err := k.checkTransport(ctx, pairing, old, cfg); err != nil {
		return err
	}
	if err := meshtypes.CheckTransferClient(ctx, k.clientsV2, cfg.RewardChannel); err != nil {
		return err
	}
	// What is raised is announced, and takes effect after two of the longest unbonding periods that batches have.
	raise := types.SlashRaise{
		DoubleSign: cfg.MaxSlashFractionDoubleSign, Downtime: cfg.MaxSlashFractionDowntime,
		EffectiveAt: ctx.BlockTime().Add(2 * max(pairing.EffectiveUnbonding, cfg.UnbondingPeriod)),
	}
	cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyMinDec(cfg.MaxSlashFractionDoubleSign, old.MaxSlashFractionDoubleSign)
	cfg.MaxSlashFractionDowntime = sdkmath.LegacyMinDec(cfg.MaxSlashFractionDowntime, old.MaxSlashFractionDowntime)
	consumer.Raise = nil
	if raise.DoubleSign.GT(cfg.MaxSlashFractionDoubleSign) || raise.Downtime.GT(cfg.MaxSlashFractionDowntime) {
		consumer.Raise = &raise
	}
	consumer.Config = cfg
	k.adjustUnbonding(ctx, cfg, &pairing)
	if err := k.Pairings.Set(ctx, cfg.ClientId, pairing); err != nil {
		return err
	}
	if err := k.Consumers.Set(ctx, cfg.ClientId, consumer); err != nil {
		return err
	}
	if cfg.MaxSlashFractionDoubleSign.LT(old.MaxSlashFractionDoubleSign) {
		if err := k.lowerRatio(ctx, cfg); err != nil {
			return err
		}
	}
	k.emit(ctx, &types.EventConsumerUpdated{ConsumerId: cfg.ClientId, Config: cfg})
	return k.changeTransport(ctx, old, cfg)
}

// maxChainRecords bounds how many chain ids one consumer may have had.
const maxChainRecords = 64

// lowerRatio lowers g of every active pool of a consumer to ratio·T/S. There are at most as many as validators.
func (k *Keeper) lowerRatio(ctx context.Context, cfg types.ConsumerConfig) error {
	return k.eachActivePool(ctx, cfg.ClientId, types.HardMaxValidators, func(id uint64, pool types.Pool) error {
		pool.LowerRatio(cfg.MaxSlashFractionDoubleSign)
		return k.Pools.Set(ctx, id, pool)
	})
}

// eachActivePool calls fn for at most limit active pools of a consumer. fn may change them.
func (k *Keeper) eachActivePool(ctx context.Context, clientID string, limit int, fn func(id uint64, pool types.Pool) error) error {
	keys, err := mapKeys(ctx, k.ActivePools, collections.NewPrefixedPairRange[string, []byte](clientID), limit)
	if err != nil {
		return err
	}
	for _, key := range keys {
		id, pool, found, err := k.activePool(ctx, clientID, key.K2())
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if err := fn(id, pool); err != nil {
			return err
		}
	}
	return nil
}

// applyRaise puts a raise of slash fractions into force when its time has come, and starts the walks that reserve the
// larger budgets.
func (k *Keeper) applyRaise(ctx sdk.Context, consumer *types.Consumer) error {
	if consumer.Raise == nil || consumer.Raise.EffectiveAt.After(ctx.BlockTime()) {
		return nil
	}
	cfg := &consumer.Config
	cfg.MaxSlashFractionDoubleSign, cfg.MaxSlashFractionDowntime = consumer.Raise.DoubleSign, consumer.Raise.Downtime
	consumer.Raise = nil
	if err := k.Consumers.Set(ctx, cfg.ClientId, *consumer); err != nil {
		return err
	}
	k.emit(ctx, &types.EventConsumerUpdated{ConsumerId: cfg.ClientId, Config: *cfg})
	return k.eachActivePool(ctx, cfg.ClientId, types.HardMaxValidators, func(id uint64, pool types.Pool) error {
		return k.startWalk(ctx, id, pool)
	})
}

// removeConsumer begins to wind a consumer down.
func (k *Keeper) removeConsumer(ctx sdk.Context, clientID string) error {
	consumer, err := k.liveConsumer(ctx, clientID)
	if err != nil {
		return err
	}
	if consumer.Status == types.CONSUMER_STATUS_WINDING_DOWN {
		return errorsmod.Wrap(types.ErrConsumerWindingDown, clientID)
	}
	consumer.Raise = nil
	return k.setStatus(ctx, consumer, types.CONSUMER_STATUS_WINDING_DOWN)
}

// windDown converts at most limit pools of a consumer that is winding down, and removes it when nothing is left. It returns
// how many it converted.
func (k *Keeper) windDown(ctx sdk.Context, consumer types.Consumer, limit int) (converted int, err error) {
	clientID := consumer.Config.ClientId
	keys, err := mapKeys(ctx, k.ActivePools, collections.NewPrefixedPairRange[string, []byte](clientID), limit)
	if err != nil {
		return 0, err
	}
	countSteps(ctx, len(keys))
	for _, key := range keys {
		k.attempt(ctx, "conversion", clientID, func(ctx sdk.Context) error { return k.convertPool(ctx, clientID, key.K2()) })
	}
	if len(keys) > 0 {
		return len(keys), nil
	}
	left, err := firstKeys(ctx, k.Batches, collections.NewPrefixedTripleRange[string, []byte, uint64](clientID), 1)
	if err != nil || len(left) > 0 {
		return 0, err
	}
	if more, err := k.dropMoved(ctx, clientID, max(limit, 1)); err != nil || more {
		return 0, err
	}
	if err := k.closeChannel(ctx, consumer.Config); err != nil {
		return 0, err
	}
	if err := k.Outbox.Clear(ctx, collections.NewPrefixedPairRange[string, []byte](clientID)); err != nil {
		return 0, err
	}
	if err := k.OutboxByOldest.Clear(ctx, collections.NewPrefixedTripleRange[string, uint64, []byte](clientID)); err != nil {
		return 0, err
	}
	consumer.PauseReasons = nil
	return 0, k.setStatus(ctx, consumer, types.CONSUMER_STATUS_REMOVED)
}

// setStatus stores a consumer with a new status.
func (k *Keeper) setStatus(ctx context.Context, consumer types.Consumer, status types.ConsumerStatus) error {
	consumer.Status = status
	if err := k.Consumers.Set(ctx, consumer.Config.ClientId, consumer); err != nil {
		return err
	}
	k.emit(ctx, &types.EventConsumerStatus{ConsumerId: consumer.Config.ClientId, Status: status, PauseReasons: consumer.PauseReasons})
	return nil
}

// pause adds a reason to pause. A consumer that is winding down takes no new stake anyway; it only notes the reason.
func (k *Keeper) pause(ctx context.Context, consumer types.Consumer, reason types.PauseReason) error {
	if consumer.HasPauseReason(reason) {
		return nil
	}
	if err := k.freezeMeter(ctx, consumer); err != nil {
		return err
	}
	consumer.PauseReasons = append(consumer.PauseReasons, reason)
	slices.Sort(consumer.PauseReasons)
	status := types.CONSUMER_STATUS_PAUSED
	if consumer.Status == types.CONSUMER_STATUS_WINDING_DOWN {
		status = consumer.Status
	}
	return k.setStatus(ctx, consumer, status)
}

// resume takes reasons to pause away. With none left the consumer is active, or registered if nothing can be sent
// to it.
func (k *Keeper) resume(ctx context.Context, consumer types.Consumer, reasons ...types.PauseReason) error {
	if err := k.freezeMeter(ctx, consumer); err != nil {
		return err
	}
	consumer.PauseReasons = slices.DeleteFunc(slices.Clone(consumer.PauseReasons), func(r types.PauseReason) bool {
		return slices.Contains(reasons, r)
	})
	status := consumer.Status
	if status == types.CONSUMER_STATUS_PAUSED && len(consumer.PauseReasons) == 0 {
		pairing, err := k.Pairings.Get(ctx, consumer.Config.ClientId)
		if err != nil {
			return err
		}
		status = types.CONSUMER_STATUS_REGISTERED
		if pairing.ChannelId != "" || consumer.Config.UsesV2() {
			status = types.CONSUMER_STATUS_ACTIVE
		}
	}
	return k.setStatus(ctx, consumer, status)
}

// adjustUnbonding brings U into agreement with what is registered, what the consumer reports and the client's unbonding
// period: the smallest of the three. A larger U holds at once. A smaller one is announced first: it holds for batches
// opened after an update that carried it was acknowledged.
func (k *Keeper) adjustUnbonding(ctx context.Context, cfg types.ConsumerConfig, p *types.Pairing) {
	target := cfg.UnbondingPeriod
	if p.ReportedUnbonding > 0 {
		target = min(target, p.ReportedUnbonding)
	}
	if tm, ok := k.tendermintClient(ctx, cfg.ClientId); ok && tm.UnbondingPeriod > 0 {
		target = min(target, tm.UnbondingPeriod)
	}
	effective, announced := p.EffectiveUnbonding, p.AnnouncedUnbonding
	switch {
	case target >= effective:
		p.EffectiveUnbonding, p.AnnouncedUnbonding, p.AnnouncedSeq = target, 0, 0
	case target != announced:
		p.AnnouncedUnbonding, p.AnnouncedSeq = target, 0
	}
	if effective != p.EffectiveUnbonding || announced != p.AnnouncedUnbonding {
		k.emit(ctx, &types.EventUnbondingPeriod{ConsumerId: cfg.ClientId, Effective: p.EffectiveUnbonding, Announced: p.AnnouncedUnbonding})
	}
}

// unbondingAcknowledged puts an announced U into force once an update that carried it was acknowledged.
func (k *Keeper) unbondingAcknowledged(ctx context.Context, clientID string, p *types.Pairing, seq uint64) {
	if p.AnnouncedUnbonding == 0 || p.AnnouncedSeq == 0 || seq < p.AnnouncedSeq {
		return
	}
	p.EffectiveUnbonding, p.AnnouncedUnbonding, p.AnnouncedSeq = p.AnnouncedUnbonding, 0, 0
	k.emit(ctx, &types.EventUnbondingPeriod{ConsumerId: clientID, Effective: p.EffectiveUnbonding})
}

// checkClientStatus pauses a consumer whose client is expired or frozen, and ends that pause when it is active again.
func (k *Keeper) checkClientStatus(ctx sdk.Context, consumer types.Consumer) error {
	if k.clients == nil {
		return nil
	}
	active := k.clients.GetClientStatus(ctx, consumer.Config.ClientId) == exported.Active
	paused := consumer.HasPauseReason(types.PAUSE_REASON_CLIENT)
	switch {
	case !active && !paused:
		return k.pause(ctx, consumer, types.PAUSE_REASON_CLIENT)
	case active && paused:
		return k.resume(ctx, consumer, types.PAUSE_REASON_CLIENT)
	}
	return nil
}

// latestHeight returns the client's latest height; false without a client.
func (k *Keeper) latestHeight(ctx context.Context, clientID string) (meshtypes.Height, bool) {
	if k.clients == nil {
		return meshtypes.Height{}, false
	}
	h := k.clients.GetClientLatestHeight(sdk.UnwrapSDKContext(ctx), clientID)
	return meshtypes.NewHeight(h.RevisionNumber, h.RevisionHeight), true
}

// recordHeight notes which height of the consumer is known now, and forgets at most a few records older than 2U. CONTRACT:
// p is the pairing on record.
func (k *Keeper) recordHeight(ctx sdk.Context, clientID string, p types.Pairing) error {
	if k.clients == nil {
		return nil
	}
	h := k.clients.GetClientLatestHeight(ctx, clientID)
	at := nanos(ctx.BlockTime())
	if err := k.Heights.Set(ctx, collections.Join(clientID, at), meshtypes.NewHeight(h.RevisionNumber, h.RevisionHeight)); err != nil {
		return err
	}
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return err
	}
	oldest := nanos(ctx.BlockTime().Add(-2 * max(consumer.Config.LongestUnbonding(p.EffectiveUnbonding), time.Second)))
	rng := collections.NewPrefixedPairRange[string, uint64](clientID).EndExclusive(oldest)
	old, err := mapKeys(ctx, k.Heights, rng, 4)
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := k.Heights.Remove(ctx, key); err != nil {
			return err
		}
	}
	if len(old) == 0 || p.HeightsPruned {
		return nil
	}
	p.HeightsPruned = true
	return k.Pairings.Set(ctx, clientID, p)
}
