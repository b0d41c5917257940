package keeper

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// ref is one position of a delegator with its pool or batch, in memory.
type ref struct {
	id   uint64
	pool types.Pool
	pos  types.Position

	poolDirty, posDirty bool
	// isNew: the position is not stored yet.
	isNew bool
	// tokensBefore is T as stored: a change of an active pool's T touches the validator.
	tokensBefore sdkmath.Int
	// sharesBefore is s as stored, nil for a new position: a change settles rewards.
	sharesBefore sdkmath.Int
}

// value is what the position is worth.
func (r *ref) value() sdkmath.Int { return r.pool.ValueOf(r.pos.Shares) }

// counts says whether the position is part of liens and budgets: what a matured batch holds does not.
func (r *ref) counts() bool { return r.pos.Shares.IsPositive() && !r.pool.IsMatured() }

// redelegated says whether the claim's stake is on another validator: there its lien counts.
func (r *ref) redelegated() bool { return r.pool.IsBatch() && r.pool.Batch.Redelegated }

// active says whether the position counts on the consumer.
func (r *ref) active() bool { return r.pos.Shares.IsPositive() && !r.pool.IsBatch() }

// ledger is everything the module has about one delegator, settled and in memory. Nothing is stored before save.
type ledger struct {
	delAddr sdk.AccAddress
	account types.Account
	// stored: there is an account in the store. accountDirty: it differs from what is there.
	stored, accountDirty bool
	refs                 []*ref

	// owed is what settling has added to the debt since the ledger was last saved, by so many settlements.
	owed        sdkmath.Int
	settlements uint64
	// eased: since the ledger was last saved claims have ended or budgets were reserved anew, so less may be needed of what
	// is held, or more.
	eased bool
	// evaluated: the ledger is saved by an evaluation, so what settling it changed needs none.
	evaluated bool

	nativeRatio sdkmath.LegacyDec
	// bonded and held are read by loadNative or by the evaluation.
	bonded, held sdkmath.Int
	// delegations is the number of native delegations.
	delegations uint32
}

// lien is what a delegator has staked on one consumer.
type lien struct {
	clientID          string
	active, unbonding sdkmath.Int
}

func (l lien) total() sdkmath.Int { return l.active.Add(l.unbonding) }

// collateral returns bonded + held.
func (l *ledger) collateral() sdkmath.Int { return l.bonded.Add(l.held) }

// liens returns the delegator's liens ordered by consumer.
func (l *ledger) liens() []lien {
	var liens []lien
	for _, r := range l.refs {
		if !r.counts() || r.redelegated() {
			continue
		}
		i := slices.IndexFunc(liens, func(x lien) bool { return x.clientID == r.pool.ClientId })
		if i < 0 {
			i = len(liens)
			liens = append(liens, lien{r.pool.ClientId, sdkmath.ZeroInt(), sdkmath.ZeroInt()})
		}
		if r.pool.IsBatch() {
			liens[i].unbonding = liens[i].unbonding.Add(r.value())
		} else {
			liens[i].active = liens[i].active.Add(r.value())
		}
	}
	slices.SortFunc(liens, func(a, b lien) int { return strings.Compare(a.clientID, b.clientID) })
	return liens
}

// maxLien returns the largest lien.
func (l *ledger) maxLien() sdkmath.Int {
	largest := sdkmath.ZeroInt()
	for _, x := range l.liens() {
		largest = sdkmath.MaxInt(largest, x.total())
	}
	return largest
}

// budgets returns what active positions and unbonding claims have reserved.
func (l *ledger) budgets() (active, unbonding sdkmath.Int) {
	active, unbonding = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, r := range l.refs {
		switch {
		case !r.counts():
		case r.pool.IsBatch():
			unbonding = unbonding.Add(r.pos.Budget)
		default:
			active = active.Add(r.pos.Budget)
		}
	}
	return active, unbonding
}

// allBudgets returns the sum of all budgets.
func (l *ledger) allBudgets() sdkmath.Int {
	a, u := l.budgets()
	return a.Add(u)
}

// required returns required(u) of provider.md with the collateral read.
func (l *ledger) required() sdkmath.Int {
	return types.Required(l.account.Debt, l.maxLien(), l.allBudgets(), l.collateral(), l.nativeRatio)
}

// needed returns the smallest collateral that would satisfy required(u); ok is false if none does.
func (l *ledger) needed() (needed sdkmath.Int, ok bool) {
	return types.NeededCollateral(l.account.Debt, l.maxLien(), l.allBudgets(), l.nativeRatio)
}

// afterDebt returns what is left of the given collateral once the debt is paid.
func (l *ledger) afterDebt(collateral sdkmath.Int) sdkmath.Int {
	return sdkmath.MaxInt(collateral.Sub(l.account.Debt), sdkmath.ZeroInt())
}

// room returns how much more the budgets may grow with the given collateral once the debt is paid, not below zero: paying it
// takes collateral, and with that of what a native slash may take.
func (l *ledger) room(collateral sdkmath.Int) sdkmath.Int {
	room := types.BudgetRoom(l.afterDebt(collateral), l.nativeRatio).Sub(l.allBudgets())
	return sdkmath.MaxInt(room, sdkmath.ZeroInt())
}

// missing returns how much more collateral it takes to back the liens and budgets once the debt is paid, not below zero.
func (l *ledger) missing(collateral sdkmath.Int) sdkmath.Int {
	after := l.afterDebt(collateral)
	needed, ok := types.NeededCollateral(sdkmath.ZeroInt(), l.maxLien(), l.allBudgets(), l.nativeRatio)
	if !ok {
		needed = sdkmath.MaxInt(needed, after.AddRaw(1))
	}
	return sdkmath.MaxInt(needed.Sub(after), sdkmath.ZeroInt())
}

// backing is the collateral that the last evaluation or stake has counted.
func (l *ledger) backing() sdkmath.Int {
	if l.account.Backing.IsNil() {
		return sdkmath.ZeroInt()
	}
	return l.account.Backing
}

// setBacking notes how much collateral counts.
func (l *ledger) setBacking(collateral sdkmath.Int) {
	if !collateral.Equal(l.backing()) {
		l.account.Backing, l.accountDirty = collateral, true
	}
}

// find returns the delegator's position in the pool or batch.
func (l *ledger) find(id uint64) *ref {
	for _, r := range l.refs {
		if r.id == id {
			return r
		}
	}
	return nil
}

// positionCount returns how many positions and claims the delegator has.
func (l *ledger) positionCount() uint32 {
	n := uint32(0)
	for _, r := range l.refs {
		if r.counts() {
			n++
		}
	}
	return n
}

// load reads what the module has about a delegator and settles it in memory: what slashes took goes from budgets to
// debt, claims on matured batches end, positions worth nothing are dropped.
func (k *Keeper) load(ctx context.Context, delAddr sdk.AccAddress) (*ledger, error) {
	l := &ledger{delAddr: delAddr, owed: sdkmath.ZeroInt(), bonded: sdkmath.ZeroInt(), held: sdkmath.ZeroInt()}
	var err error
	if l.account, l.stored, err = getOr(ctx, k.Accounts, delAddr); err != nil {
		return nil, err
	}
	if l.nativeRatio, err = getItemOr(ctx, k.NativeRatio, sdkmath.LegacyZeroDec()); err != nil {
		return nil, err
	}
	if !l.stored {
		l.account = types.Account{Debt: sdkmath.ZeroInt(), MinSelfDelegation: sdkmath.ZeroInt(), Backing: sdkmath.ZeroInt()}
		return l, nil // no account, no positions
	}
	rng := collections.NewPrefixedPairRange[sdk.AccAddress, uint64](delAddr)
	err = k.Positions.Walk(ctx, rng, func(key delegatorPool, pos types.Position) (bool, error) {
		l.refs = append(l.refs, &ref{id: key.K2(), pos: pos, sharesBefore: pos.Shares})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range l.refs {
		if r.pool, err = k.Pools.Get(ctx, r.id); err != nil {
			return nil, err
		}
		r.tokensBefore = r.pool.Tokens
		k.settle(ctx, l, r)
	}
	return l, nil
}

// settle brings one position up to date in memory.
func (k *Keeper) settle(ctx context.Context, l *ledger, r *ref) {
	if !r.pos.SlashIndex.Equal(r.pool.SlashIndex) {
		if owed := r.pool.Settle(&r.pos); owed.IsPositive() {
			l.account.Debt, l.owed = l.account.Debt.Add(owed), l.owed.Add(owed)
			l.settlements++
			l.accountDirty = true
			k.emit(ctx, &types.EventSettled{Delegator: k.delString(l.delAddr), PoolId: r.id, Amount: owed})
		}
		r.posDirty = true
	}
	matured := r.pool.IsMatured()
	value := r.value()
	if !matured && value.IsPositive() {
		return
	}
	// The claim ends: its lien has fallen, or it is worth less than one token.
	r.pool.Burn(r.pos.Shares, value)
	r.pos.Shares, r.pos.Budget = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	r.posDirty, r.poolDirty, l.eased = true, true, true
	if matured {
		k.emit(ctx, &types.EventUnbondingReleased{
			Delegator: k.delString(l.delAddr), ConsumerId: r.pool.ClientId, Validator: k.operatorString(ctx, r.pool.ClientId, r.pool.Validator),
			Amount: value, BatchId: r.id,
		})
	}
}

// save stores what changed in the ledger. Emptied positions and pools are deleted; an active pool whose tokens changed
// touches its validator.
func (k *Keeper) save(ctx context.Context, l *ledger) error {
	for _, r := range l.refs {
		if r.posDirty {
			if err := k.savePosition(ctx, l.delAddr, r); err != nil {
				return err
			}
		}
		if !r.poolDirty {
			continue
		}
		if !r.pool.IsBatch() && !r.pool.Tokens.Equal(r.tokensBefore) {
			if err := k.touch(ctx, r.pool.ClientId, r.pool.Validator); err != nil {
				return err
			}
		}
		if r.pool.IsLeaving() {
			if err := k.addToBatches(ctx, r.pool.ClientId, r.pool.Tokens.Sub(r.tokensBefore)); err != nil {
				return err
			}
		}
		if err := k.savePool(ctx, r.id, r.pool); err != nil {
			return err
		}
		r.poolDirty, r.tokensBefore = false, r.pool.Tokens
	}
	l.refs = slices.DeleteFunc(l.refs, func(r *ref) bool { return !r.pos.Shares.IsPositive() })
	if err := k.saveDebt(ctx, l); err != nil {
		return err
	}
	// The walk over a matured batch will not come to who has left it, and releases nothing for it.
	if l.eased && l.stored && !l.evaluated {
		if err := k.mark(ctx, l.delAddr); err != nil {
			return err
		}
	}
	l.eased = false
	if !l.accountDirty {
		return nil
	}
	l.accountDirty, l.stored = false, true
	return k.Accounts.Set(ctx, l.delAddr, l.account)
}

func (k *Keeper) savePosition(ctx context.Context, delAddr sdk.AccAddress, r *ref) error {
	r.posDirty = false
	if len(r.pool.Rewards) > 0 {
		if err := k.accrueRewards(ctx, delAddr, r); err != nil {
			return err
		}
	}
	key, member := collections.Join(delAddr, r.id), collections.Join(r.id, delAddr)
	if !r.pos.Shares.IsPositive() {
		if r.isNew {
			return nil
		}
		if err := k.Members.Remove(ctx, member); err != nil {
			return err
		}
		return k.Positions.Remove(ctx, key)
	}
	if r.isNew {
		r.isNew = false
		if err := k.Members.Set(ctx, member); err != nil {
			return err
		}
	}
	return k.Positions.Set(ctx, key, r.pos)
}

// open makes sure that the delegator has an account: it begins with the first lien.
func (k *Keeper) open(ctx context.Context, l *ledger) error {
	if l.stored {
		return nil
	}
	validator, err := k.staking.GetValidator(ctx, sdk.ValAddress(l.delAddr))
	switch {
	case err == nil:
		l.account.MinSelfDelegation = validator.MinSelfDelegation
	case !errors.Is(err, stakingtypes.ErrNoValidatorFound):
		return err
	}
	l.account.EvaluatedHeight = sdk.UnwrapSDKContext(ctx).BlockHeight()
	l.accountDirty = true
	return nil
}

// loadNative reads the delegator's native delegations and held entries.
func (k *Keeper) loadNative(ctx context.Context, l *ledger) (err error) {
	if l.bonded, l.delegations, err = k.readBonded(ctx, l.delAddr, l.minSelf()); err != nil {
		return err
	}
	l.held, err = k.readHeld(ctx, l.delAddr)
	return err
}

// minSelf returns the recorded minimum self-delegation, or nil if no lien has begun.
func (l *ledger) minSelf() *sdkmath.Int {
	if !l.stored {
		return nil
	}
	return &l.account.MinSelfDelegation
}

// readBonded returns bonded(u), truncated per delegation, and the number of delegations. Of an operator's delegation to
// its own validator only what exceeds its minimum self-delegation counts: the smaller of the validator's present one and
// minSelf, which is nil if no lien has begun.
func (k *Keeper) readBonded(ctx context.Context, delAddr sdk.AccAddress, minSelf *sdkmath.Int) (sdkmath.Int, uint32, error) {
	total, count := sdkmath.ZeroInt(), uint32(0)
	var inner error
	err := k.staking.IterateDelegatorDelegations(ctx, delAddr, func(d stakingtypes.Delegation) bool {
		count++
		var valAddr sdk.ValAddress
		if valAddr, inner = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); inner != nil {
			return true
		}
		validator, err := k.staking.GetValidator(ctx, valAddr)
		if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
			return false
		}
		if err != nil {
			inner = err
			return true
		}
		tokens := tokensOf(validator, d.Shares)
		if bytes.Equal(valAddr, delAddr) {
			least := validator.MinSelfDelegation
			if minSelf != nil {
				least = sdkmath.MinInt(least, *minSelf)
			}
			tokens = sdkmath.MaxInt(tokens.Sub(least), sdkmath.ZeroInt())
		}
		total = total.Add(tokens)
		return false
	})
	if err == nil {
		err = inner
	}
	return total, count, err
}

// tokensOf returns what shares of a native validator are worth, truncated.
func tokensOf(v stakingtypes.Validator, shares sdkmath.LegacyDec) sdkmath.Int {
	if !v.DelegatorShares.IsPositive() || !v.Tokens.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return v.TokensFromSharesTruncated(shares).TruncateInt()
}

// readHeld returns held(u): the balance of the delegator's native unbonding entries that this module keeps.
func (k *Keeper) readHeld(ctx context.Context, delAddr sdk.AccAddress) (sdkmath.Int, error) {
	total := sdkmath.ZeroInt()
	holds, err := k.delegatorHolds(ctx, delAddr)
	if err != nil {
		return total, err
	}
	for _, h := range holds {
		ubd, err := k.staking.GetUnbondingDelegation(ctx, delAddr, h.Validator)
		if errors.Is(err, stakingtypes.ErrNoUnbondingDelegation) {
			continue
		}
		if err != nil {
			return total, err
		}
		if i := entryIndex(ubd, h.CreationHeight, h.CompletionTime); i >= 0 && ubd.Entries[i].OnHold() {
			total = total.Add(ubd.Entries[i].Balance)
		}
	}
	return total, nil
}

// delegatorHolds returns the delegator's markers of held entries.
func (k *Keeper) delegatorHolds(ctx context.Context, delAddr sdk.AccAddress) (holds []types.Hold, err error) {
	rng := collections.NewPrefixedQuadRange[sdk.AccAddress, sdk.ValAddress, uint64, uint64](delAddr)
	err = k.Holds.Walk(ctx, rng, func(_ holdKey, h types.Hold) (bool, error) {
		holds = append(holds, h)
		return false, nil
	})
	return holds, err
}

// entryIndex returns the place of an entry in x/staking's record, or −1. x/staking merges entries with the same creation
// height and completion time, so there is one at most.
func entryIndex(ubd stakingtypes.UnbondingDelegation, creationHeight int64, completion time.Time) int {
	return slices.IndexFunc(ubd.Entries, func(e stakingtypes.UnbondingDelegationEntry) bool {
		return e.CreationHeight == creationHeight && e.CompletionTime.Equal(completion)
	})
}
