// Package keeper holds the state and the logic of the provider module.
package keeper

import (
	"context"
	"fmt"
	"time"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/flow"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Composite keys. Operator addresses on consumers are raw bytes; times are unix nanoseconds.
type (
	clientVal     = collections.Pair[string, []byte]
	clientValID   = collections.Triple[string, []byte, uint64]
	movedKey      = collections.Quad[string, []byte, uint64, []byte]
	clientTimeVal = collections.Triple[string, uint64, []byte]
	clientTime    = collections.Pair[string, uint64]
	delegatorPool = collections.Pair[sdk.AccAddress, uint64]
	poolDelegator = collections.Pair[uint64, sdk.AccAddress]
	timePool      = collections.Pair[uint64, uint64]
	timeSlash     = collections.Pair[uint64, uint64]
	timeDelegator = collections.Pair[uint64, sdk.AccAddress]
	// accruedKey is delegator, consumer, operator, denom.
	accruedKey = collections.Quad[sdk.AccAddress, string, []byte, string]
	// holdKey is delegator, native validator, creation height, completion time.
	holdKey = collections.Quad[sdk.AccAddress, sdk.ValAddress, uint64, uint64]
	// holdQueueKey is completion time, delegator, native validator, creation height.
	holdQueueKey = collections.Quad[uint64, sdk.AccAddress, sdk.ValAddress, uint64]
)

// Keeper is the provider module's keeper.
type Keeper struct {
	cdc       codec.BinaryCodec
	authority string

	accounts types.AccountKeeper
	bank     types.BankKeeper
	staking  types.StakingKeeper
	slashing types.SlashingKeeper
	clients  types.ClientKeeper
	conns    types.ConnectionKeeper
	channels types.ChannelKeeper
	sender   types.PacketSender
	// clientsV2 and senderV2 are IBC v2's; they are nil on a chain without it.
	clientsV2 meshtypes.ClientKeeperV2
	senderV2  meshtypes.PacketSenderV2

	// stakingPages, community and transfer may be nil.
	stakingPages types.StakingQuerier
	community    types.DistributionKeeper
	transfer     types.TransferKeeper

	Schema collections.Schema

	Params    collections.Item[types.Params]
	Epoch     collections.Item[types.EpochState]
	Consumers collections.Map[string, types.Consumer]
	Pairings  collections.Map[string, types.Pairing]
	// Channels holds, by channel id, which consumer it serves or served.
	Channels collections.Map[string, types.ChannelRecord]
	// Validators is the registry of consumers' validators.
	Validators collections.Map[clientVal, types.ConsumerValidator]

	NextPoolID collections.Sequence
	// Pools holds pools and batches by id.
	Pools collections.Map[uint64, types.Pool]
	// ActivePools holds the pool of each (consumer, validator) that new stake joins.
	ActivePools collections.Map[clientVal, uint64]
	// OpenBatches holds the batch of each (consumer, validator, batch epoch) that unstakes join until it closes.
	OpenBatches collections.Map[clientValID, uint64]
	// Batches lists all batches of each (consumer, validator).
	Batches collections.KeySet[clientValID]
	// WaitingBatches lists those that are closed, not matured, and whose execution was not reported.
	WaitingBatches collections.KeySet[clientValID]
	// Moved holds redelegated stake whose leaving is not acknowledged, by consumer, validator left, time and validator joined.
	Moved collections.Map[movedKey, sdkmath.Int]
	// MovedTo sums it up by validator joined.
	MovedTo collections.Map[clientVal, sdkmath.Int]
	// Departures holds before which time what left a validator is acknowledged, where EndBlock has yet to list what moved.
	Departures collections.Map[clientVal, uint64]
	// Executions holds what consumers reported as executed and whose clocks are still to be started.
	Executions collections.Map[clientValID, types.Execution]
	// BatchQueue lists batches by the time of their next event: closing, forced start of the clock, maturity.
	BatchQueue collections.KeySet[timePool]

	Positions collections.Map[delegatorPool, types.Position]
	// Members lists the delegators of each pool or batch.
	Members  collections.KeySet[poolDelegator]
	Accounts collections.Map[sdk.AccAddress, types.Account]
	// Marked lists the delegators to be evaluated in EndBlock.
	Marked     collections.KeySet[sdk.AccAddress]
	MarkCursor collections.Item[[]byte]

	// Holds lists the native unbonding entries that this module keeps from completing.
	Holds collections.Map[holdKey, types.Hold]
	// HoldQueue lists those whose own completion time has not been worked on, by that time.
	HoldQueue collections.KeySet[holdQueueKey]

	Walks       collections.Map[uint64, types.PoolWalk]
	RatioWalk   collections.Item[types.RatioWalk]
	NativeRatio collections.Item[sdkmath.LegacyDec]
	// LastNativeSlash is the height of the last slash of a validator of this chain.
	LastNativeSlash collections.Item[int64]

	// Outbox holds the sending state of touched validators.
	Outbox collections.Map[clientVal, types.OutboxEntry]
	// OutboxByOldest orders them by their oldest touch.
	OutboxByOldest collections.KeySet[clientTimeVal]
	// Heights says which height of a consumer was known at which of our block times.
	Heights collections.Map[clientTime, meshtypes.Height]

	// ConsKeys holds, by consumer and consensus address, the operator address of the validator that had the key first.
	ConsKeys collections.Map[clientVal, []byte]

	NextSlashID collections.Sequence
	// Slashes holds what was claimed and proved, by id, until it is forgotten.
	Slashes collections.Map[uint64, types.SlashRecord]
	// PendingSlashes lists the ids of the pending slashes of each (consumer, validator).
	PendingSlashes collections.KeySet[clientValID]
	// SlashQueue lists slashes by the time of their next event: execution, or forgetting.
	SlashQueue collections.KeySet[timeSlash]
	// VetoedProofs lists the ids of the proofs of each (consumer, validator) that governance took away, until they are
	// forgotten.
	VetoedProofs collections.KeySet[clientValID]
	Meters       collections.Map[string, types.SlashMeter]
	Totals       collections.Item[types.SlashTotals]
	// DebtQueue lists the delegators whose debt is being burned, by the time they were queued.
	DebtQueue collections.KeySet[timeDelegator]
	// DebtCursor is the last of them that was passed over because its collateral could not be taken.
	DebtCursor collections.Item[types.DebtRecord]
	// NativeSlashes holds the walks over the delegators of slashed validators of this chain, by operator address.
	NativeSlashes collections.Map[sdk.ValAddress, types.NativeSlashWalk]
	// Rewards holds what submitters of proofs are still to be paid, by slash.
	Rewards    collections.Map[uint64, types.SubmitterReward]
	Shortfalls collections.Map[sdk.AccAddress, types.Shortfall]

	// RewardAccounts holds the consumer of each account that rewards are sent to.
	RewardAccounts collections.Map[sdk.AccAddress, string]
	// RewardBooks say what became of a consumer's rewards, by denom.
	RewardBooks collections.Map[clientDenom, types.RewardBook]
	// Accrued holds rewards that were settled when a position changed.
	Accrued collections.Map[accruedKey, sdkmath.Int]
	// RewardSweep is the walk over reward accounts.
	RewardSweep collections.Item[types.RewardSweep]

	// OwnHeights says when the blocks with flows were: what flows are pruned by.
	OwnHeights collections.Map[int64, uint64]
	// Flow is the log of tokens that left and came to native validators without an x/staking entry.
	Flow flow.Log
}

// NewKeeper returns the provider keeper. IBC's keepers and x/slashing's may be connected later.
func NewKeeper(
	cdc codec.BinaryCodec, storeService store.KVStoreService, authority string,
	ak types.AccountKeeper, bk types.BankKeeper, sk types.StakingKeeper, slk types.SlashingKeeper,
) *Keeper {
	if _, err := ak.AddressCodec().StringToBytes(authority); err != nil {
		panic(fmt.Errorf("authority of %s: %w", types.ModuleName, err))
	}
	sb := collections.NewSchemaBuilder(storeService)
	cv := collections.PairKeyCodec(collections.StringKey, collections.BytesKey)
	cvID := collections.TripleKeyCodec(collections.StringKey, collections.BytesKey, collections.Uint64Key)
	k := &Keeper{
		cdc: cdc, authority: authority,
		accounts: ak, bank: bk, staking: sk, slashing: slk,

		Params:    collections.NewItem(sb, types.ParamsKey, "params", codec.CollValue[types.Params](cdc)),
		Epoch:     collections.NewItem(sb, types.EpochKey, "epoch", codec.CollValue[types.EpochState](cdc)),
		Consumers: collections.NewMap(sb, types.ConsumersKey, "consumers", collections.StringKey, codec.CollValue[types.Consumer](cdc)),
		Pairings:  collections.NewMap(sb, types.PairingsKey, "pairings", collections.StringKey, codec.CollValue[types.Pairing](cdc)),
		Channels:  collections.NewMap(sb, types.ChannelsKey, "channels", collections.StringKey, codec.CollValue[types.ChannelRecord](cdc)),
		Validators: collections.NewMap(sb, types.ValidatorsKey, "validators", cv,
			codec.CollValue[types.ConsumerValidator](cdc)),

		NextPoolID:     collections.NewSequence(sb, types.NextPoolIDKey, "next_pool_id"),
		Pools:          collections.NewMap(sb, types.PoolsKey, "pools", collections.Uint64Key, codec.CollValue[types.Pool](cdc)),
		ActivePools:    collections.NewMap(sb, types.ActivePoolsKey, "active_pools", cv, collections.Uint64Value),
		OpenBatches:    collections.NewMap(sb, types.OpenBatchesKey, "open_batches", cvID, collections.Uint64Value),
		Batches:        collections.NewKeySet(sb, types.BatchesKey, "batches", cvID),
		WaitingBatches: collections.NewKeySet(sb, types.WaitingBatchesKey, "waiting_batches", cvID),
		Executions: collections.NewMap(sb, types.ExecutionsKey, "executions", cvID,
			codec.CollValue[types.Execution](cdc)),
		BatchQueue: collections.NewKeySet(sb, types.BatchQueueKey, "batch_queue",
			collections.PairKeyCodec(collections.Uint64Key, collections.Uint64Key)),

		Positions: collections.NewMap(sb, types.PositionsKey, "positions",
			collections.PairKeyCodec(sdk.AccAddressKey, collections.Uint64Key), codec.CollValue[types.Position](cdc)),
		Members: collections.NewKeySet(sb, types.MembersKey, "members",
			collections.PairKeyCodec(collections.Uint64Key, sdk.AccAddressKey)),
		Accounts:   collections.NewMap(sb, types.AccountsKey, "accounts", sdk.AccAddressKey, codec.CollValue[types.Account](cdc)),
		Marked:     collections.NewKeySet(sb, types.MarkedKey, "marked", sdk.AccAddressKey),
		MarkCursor: collections.NewItem(sb, types.MarkCursorKey, "mark_cursor", collections.BytesValue),

		Holds: collections.NewMap(sb, types.HoldsKey, "holds",
			collections.QuadKeyCodec(sdk.AccAddressKey, sdk.ValAddressKey, collections.Uint64Key, collections.Uint64Key),
			codec.CollValue[types.Hold](cdc)),
		HoldQueue: collections.NewKeySet(sb, types.HoldQueueKey, "hold_queue",
			collections.QuadKeyCodec(collections.Uint64Key, sdk.AccAddressKey, sdk.ValAddressKey, collections.Uint64Key)),

		Walks:           collections.NewMap(sb, types.WalksKey, "walks", collections.Uint64Key, codec.CollValue[types.PoolWalk](cdc)),
		RatioWalk:       collections.NewItem(sb, types.RatioWalkKey, "ratio_walk", codec.CollValue[types.RatioWalk](cdc)),
		NativeRatio:     collections.NewItem(sb, types.NativeRatioKey, "native_ratio", sdk.LegacyDecValue),
		LastNativeSlash: collections.NewItem(sb, types.LastNativeSlashKey, "last_native_slash", collections.Int64Value),

		Outbox: collections.NewMap(sb, types.OutboxKey, "outbox", cv, codec.CollValue[types.OutboxEntry](cdc)),
		OutboxByOldest: collections.NewKeySet(sb, types.OutboxByOldestKey, "outbox_by_oldest",
			collections.TripleKeyCodec(collections.StringKey, collections.Uint64Key, collections.BytesKey)),
		Heights: collections.NewMap(sb, types.HeightsKey, "heights",
			collections.PairKeyCodec(collections.StringKey, collections.Uint64Key), codec.CollValue[meshtypes.Height](cdc)),
	}
	k.ConsKeys = collections.NewMap(sb, types.ConsKeysKey, "cons_keys", cv, collections.BytesValue)
	k.NextSlashID = collections.NewSequence(sb, types.NextSlashIDKey, "next_slash_id")
	k.Slashes = collections.NewMap(sb, types.SlashesKey, "slashes", collections.Uint64Key, codec.CollValue[types.SlashRecord](cdc))
	k.PendingSlashes = collections.NewKeySet(sb, types.PendingSlashesKey, "pending_slashes", cvID)
	k.VetoedProofs = collections.NewKeySet(sb, types.VetoedProofsKey, "vetoed_proofs", cvID)
	k.SlashQueue = collections.NewKeySet(sb, types.SlashQueueKey, "slash_queue",
		collections.PairKeyCodec(collections.Uint64Key, collections.Uint64Key))
	k.Meters = collections.NewMap(sb, types.MetersKey, "meters", collections.StringKey, codec.CollValue[types.SlashMeter](cdc))
	k.Totals = collections.NewItem(sb, types.TotalsKey, "totals", codec.CollValue[types.SlashTotals](cdc))
	k.DebtQueue = collections.NewKeySet(sb, types.DebtQueueKey, "debt_queue",
		collections.PairKeyCodec(collections.Uint64Key, sdk.AccAddressKey))
	k.NativeSlashes = collections.NewMap(sb, types.NativeSlashesKey, "native_slashes", sdk.ValAddressKey,
		codec.CollValue[types.NativeSlashWalk](cdc))
	k.Rewards = collections.NewMap(sb, types.RewardsKey, "rewards", collections.Uint64Key, codec.CollValue[types.SubmitterReward](cdc))
	k.Shortfalls = collections.NewMap(sb, types.ShortfallsKey, "shortfalls", sdk.AccAddressKey, codec.CollValue[types.Shortfall](cdc))
	k.DebtCursor = collections.NewItem(sb, types.DebtCursorKey, "debt_cursor", codec.CollValue[types.DebtRecord](cdc))
	k.OwnHeights = collections.NewMap(sb, types.OwnHeightsKey, "own_heights", collections.Int64Key, collections.Uint64Value)
	k.RewardAccounts = collections.NewMap(sb, types.RewardAccountsKey, "reward_accounts", sdk.AccAddressKey, collections.StringValue)
	k.RewardBooks = collections.NewMap(sb, types.RewardBooksKey, "reward_books",
		collections.PairKeyCodec(collections.StringKey, collections.StringKey), codec.CollValue[types.RewardBook](cdc))
	k.Accrued = collections.NewMap(sb, types.AccruedKey, "accrued",
		collections.QuadKeyCodec(sdk.AccAddressKey, collections.StringKey, collections.BytesKey, collections.StringKey), sdk.IntValue)
	k.RewardSweep = collections.NewItem(sb, types.RewardSweepKey, "reward_sweep", codec.CollValue[types.RewardSweep](cdc))
	k.Flow = flow.NewLog(sb, cdc, types.FlowRecordsKey, types.FlowQueueKey, types.FlowLastKey)
	k.Moved = collections.NewMap(sb, types.MovedKey, "moved",
		collections.QuadKeyCodec(collections.StringKey, collections.BytesKey, collections.Uint64Key, collections.BytesKey), sdk.IntValue)
	k.MovedTo = collections.NewMap(sb, types.MovedToKey, "moved_to", cv, sdk.IntValue)
	k.Departures = collections.NewMap(sb, types.DeparturesKey, "departures", cv, collections.Uint64Value)
	schema, err := sb.Build()
	if err != nil {
		panic(err)
	}
	k.Schema = schema
	return k
}

// ConnectIBC gives the keeper IBC's keepers, which are built after it.
func (k *Keeper) ConnectIBC(clients types.ClientKeeper, conns types.ConnectionKeeper, channels types.ChannelKeeper) {
	k.clients, k.conns, k.channels = clients, conns, channels
	if k.sender == nil {
		k.sender = channels
	}
}

// ConnectSlashing gives the keeper x/slashing's, if it is built after it.
func (k *Keeper) ConnectSlashing(slk types.SlashingKeeper) { k.slashing = slk }

// SetPacketSender makes the keeper send packets through a middleware instead of the channel keeper.
func (k *Keeper) SetPacketSender(s types.PacketSender) { k.sender = s }

// Authority returns the address that governs the module.
func (k *Keeper) Authority() string { return k.authority }

// Logger returns the module's logger.
func (k *Keeper) Logger(ctx context.Context) log.Logger {
	return sdk.UnwrapSDKContext(ctx).Logger().With("module", "x/"+types.ModuleName)
}

// emit emits a typed event. It fails only on types that are not events, so its error is logged and no state depends on it.
func (k *Keeper) emit(ctx context.Context, event eventMessage) {
	if e, ok := event.(interface{ ToEvent() sdk.Event }); ok {
		sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(e.ToEvent())
		return
	}
	if err := sdk.UnwrapSDKContext(ctx).EventManager().EmitTypedEvent(event); err != nil {
		k.Logger(ctx).Error("event not emitted", "error", err)
	}
}

// now returns the block time.
func now(ctx context.Context) time.Time { return sdk.UnwrapSDKContext(ctx).BlockTime() }

// nanos returns t as unix nanoseconds for keys and the wire; times before 1970 count as 0.
func nanos(t time.Time) uint64 {
	n := t.UnixNano()
	if n < 0 {
		return 0
	}
	return uint64(n)
}

// fromNanos is the inverse of nanos.
func fromNanos(n uint64) time.Time { return time.Unix(0, int64(n)).UTC() }

// delString returns the bech32 string of an account address, for events.
func (k *Keeper) delString(addr sdk.AccAddress) string {
	s, err := k.accounts.AddressCodec().BytesToString(addr)
	if err != nil {
		return fmt.Sprintf("%X", []byte(addr))
	}
	return s
}

// valString returns the bech32 string of a native operator address, for events.
func (k *Keeper) valString(addr sdk.ValAddress) string {
	s, err := k.staking.ValidatorAddressCodec().BytesToString(addr)
	if err != nil {
		return fmt.Sprintf("%X", []byte(addr))
	}
	return s
}

// isolate runs fn on a cache of the state with its own gas meter. Only if it neither fails nor panics are its writes and
// events kept. CONTRACT: fn is bounded work; the meter has no limit, EndBlock's has none either.
func (k *Keeper) isolate(ctx sdk.Context, fn func(ctx sdk.Context) error) (err error) {
	cacheCtx, write := ctx.CacheContext()
	cacheCtx = cacheCtx.WithGasMeter(newGasMeter())
	defer func() {
		if r := recover(); r != nil {
			err = errorsmod.Wrapf(types.ErrPanic, "%v", r)
		}
	}()
	if err := fn(cacheCtx); err != nil {
		return err
	}
	write()
	return nil
}

// isolateTx runs fn on a cache of the state inside a transaction: its gas is charged there, and running out of it ends the
// transaction, or a relayer could make packets fail by giving too little. Any other panic becomes an error.
func (k *Keeper) isolateTx(ctx sdk.Context, fn func(ctx sdk.Context) error) (err error) {
	cacheCtx, write := ctx.CacheContext()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case storetypes.ErrorOutOfGas, storetypes.ErrorGasOverflow, storetypes.ErrorNegativeGasConsumed:
			panic(r)
		default:
			err = errorsmod.Wrapf(types.ErrPanic, "%v", r)
		}
	}()
	if err := fn(cacheCtx); err != nil {
		return err
	}
	write()
	return nil
}

// attempt isolates fn; a failure becomes an event and a log line. It says whether fn succeeded.
func (k *Keeper) attempt(ctx sdk.Context, stage, subject string, fn func(ctx sdk.Context) error) bool {
	err := k.isolate(ctx, fn)
	if err == nil {
		return true
	}
	k.Logger(ctx).Error("stage failed", "stage", stage, "subject", subject, "error", err)
	k.emit(ctx, &types.EventStageFailed{Stage: stage, Subject: subject, Reason: err.Error()})
	return false
}
