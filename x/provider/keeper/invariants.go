package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Names of the invariants.
const (
	InvariantCollateral = "collateral"
	InvariantHolds      = "holds"
	InvariantPools      = "pools"
	InvariantBatches    = "batches"
	InvariantOutbox     = "outbox"
	InvariantMoved      = "moved"
	InvariantSlashes    = "slashes"
	InvariantMeters     = "meters"
	InvariantSettlement = "settlement"
	InvariantRewards    = "rewards"
)

// Invariants returns everything of invariants.md that concerns this module, for CheckInvariants and for the query.
func (k *Keeper) Invariants() []invariant.Check {
	return []invariant.Check{
		k.collateralInvariant(),
		k.holdsInvariant(),
		k.poolsInvariant(),
		k.batchesInvariant(),
		k.outboxInvariant(),
		k.movedInvariant(),
		k.slashesInvariant(),
		k.metersInvariant(),
		k.settlementInvariant(),
		k.rewardsInvariant(),
	}
}

// CheckInvariants checks the invariants of the given names, or all. It is unbounded work, for tests; the query does it in
// pages. Errors wrap ErrInvariant.
func (k *Keeper) CheckInvariants(ctx context.Context, names ...string) error {
	return invariant.Err(sdk.UnwrapSDKContext(ctx), k.Invariants(), types.ErrInvariant, names...)
}

// missing says what is wrong with an index whose record cannot be read.
func missing(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }

func poolName(id uint64) string { return fmt.Sprintf("pool %d", id) }

// consumerVal names a validator of a consumer.
func consumerVal(clientID string, validator []byte) string {
	return fmt.Sprintf("validator %X of %s", validator, clientID)
}

func (k *Keeper) positionName(key delegatorPool) string {
	return fmt.Sprintf("position of %s in pool %d", k.delString(key.K1()), key.K2())
}

// collateralInvariant is invariant 1 for every delegator that is not waiting for evaluation. Without debt:
// required(u) ≤ collateral(u). With debt: what its pools and batches could still take plus what it owes is at most what
// its bonded stake, and all its entries, can pay. Unbonding stake alone may exceed what lost collateral left: then nothing is
// active on a consumer whose lien does, nor on any if the budgets do, and every native entry is held.
func (k *Keeper) collateralInvariant() invariant.Check {
	return invariant.Check{Name: InvariantCollateral, Phases: []invariant.Phase{k.eachSettled(backed)}}
}

func backed(l *ledger, entries []entry, slack sdkmath.Int) error {
	required, collateral := l.required(), l.collateral()
	if l.account.Debt.IsPositive() {
		required, collateral = l.account.Debt.Add(l.allBudgets()), l.bonded
		for _, e := range entries {
			collateral = collateral.Add(e.balance)
		}
	}
	limit := collateral.Add(slack)
	if required.LTE(limit) {
		return nil
	}
	for _, r := range l.refs {
		if r.active() && l.exceeds(r.pool.ClientId, limit) {
			return fmt.Errorf("%s required, %s collateral, %s debt", required, collateral, l.account.Debt)
		}
	}
	for _, e := range entries {
		if !e.ours && e.balance.IsPositive() {
			return fmt.Errorf("%s required, %s collateral, but an entry of %s is not held", required, collateral, e.balance)
		}
	}
	return nil
}

// exceeds says whether a consumer's lien, the budgets, or the debt with them, are more than the limit: then nothing of the
// delegator's stake there may be active.
func (l *ledger) exceeds(clientID string, limit sdkmath.Int) bool {
	if l.account.Debt.IsPositive() {
		return true
	}
	lien := sdkmath.ZeroInt()
	for _, x := range l.liens() {
		if x.clientID == clientID {
			lien = x.total()
		}
	}
	return types.Required(l.account.Debt, lien, l.allBudgets(), l.collateral(), l.nativeRatio).GT(limit)
}

// holdsInvariant says that what is held is the shortest prefix that is needed, to the rounding of x/staking, and that the
// queue lists the markers not worked on.
func (k *Keeper) holdsInvariant() invariant.Check {
	return invariant.Check{Name: InvariantHolds, Phases: []invariant.Phase{
		k.eachSettled(heldAsNeeded),
		invariant.Each(k.Holds, func(key holdKey) string {
			return fmt.Sprintf("hold of %s on %s", k.delString(key.K1()), k.valString(key.K2()))
		}, func(p *invariant.Page, key holdKey, h types.Hold) error {
			p.Spend(1)
			queued, err := k.HoldQueue.Has(p.Context(), collections.Join4(key.K4(), key.K1(), key.K2(), key.K3()))
			if err == nil && queued == h.Matured {
				err = fmt.Errorf("completes at %s: queued %t, matured %t", h.CompletionTime, queued, h.Matured)
			}
			return err
		}),
	}}
}

func heldAsNeeded(l *ledger, entries []entry, slack sdkmath.Int) error {
	needed, ok := l.needed()
	counted := l.bonded
	if !ok { // no collateral backs a budget, so all of it is needed
		needed = counted
		for _, e := range entries {
			needed = needed.Add(e.balance)
		}
	}
	for _, e := range entries {
		wanted := e.balance.IsPositive() && needed.GT(counted)
		switch {
		case slack.IsPositive() && needed.Sub(counted).Abs().LTE(slack):
		case !e.ours && l.owed.IsPositive():
			continue // it is held as soon as the delegator is settled, and not before it is needed
		case e.ours && !wanted && !l.account.Debt.IsPositive():
			return fmt.Errorf("an entry of %s at %s is held but not needed", e.balance, e.completion)
		case !e.ours && wanted:
			return fmt.Errorf("an entry of %s at %s is needed but not held", e.balance, e.completion)
		}
		counted = counted.Add(e.balance)
	}
	return nil
}

// eachSettled looks at every account that is not waiting for an evaluation, settled in memory, with its native side read. While
// accounts are walked after a change of the native ratio or a native slash there are none. A delegator's positions,
// delegations and entries are one object: as much as its evaluation reads.
func (k *Keeper) eachSettled(look func(l *ledger, entries []entry, slack sdkmath.Int) error) invariant.Phase {
	return invariant.Loop(func() []byte { return nil }, func(p *invariant.Page, after *[]byte) bool {
		walked, err := k.walkingAccounts(p.Context())
		if err != nil {
			p.Fail("accounts", err)
		}
		if err != nil || walked {
			return true
		}
		return invariant.Walk(p, k.Accounts, after, k.delString, func(delAddr sdk.AccAddress, _ types.Account) error {
			ctx, _ := p.Context().CacheContext()
			l, err := k.load(ctx, delAddr)
			if err != nil {
				return err
			}
			p.Spend(2 * len(l.refs))
			if waiting, err := k.awaitsEvaluation(ctx, l); err != nil || waiting {
				return err
			}
			if err := k.loadNative(ctx, l); err != nil {
				return err
			}
			entries, err := k.readEntries(ctx, delAddr)
			if err != nil {
				return err
			}
			slack, err := k.roundable(ctx, delAddr)
			if err != nil {
				return err
			}
			p.Spend(2*int(l.delegations) + len(entries))
			return look(l, entries, slack.Add(l.dust()))
		})
	})
}

// walkingAccounts says whether all accounts, or those with stake on a slashed validator, are being evaluated.
func (k *Keeper) walkingAccounts(ctx context.Context) (bool, error) {
	ratioWalk, err := k.RatioWalk.Has(ctx)
	if err != nil || ratioWalk {
		return ratioWalk, err
	}
	slashWalks, err := mapKeys(ctx, k.NativeSlashes, nil, 1)
	return len(slashWalks) > 0, err
}

// awaitsEvaluation says whether an account is marked, will be by the walk over a matured batch, or, on a chain where those
// on a slashed validator cannot be found, was not evaluated since the last slash.
func (k *Keeper) awaitsEvaluation(ctx context.Context, l *ledger) (bool, error) {
	for _, r := range l.refs {
		if r.pool.IsMatured() {
			return true, nil
		}
	}
	lastSlash, err := getItemOr(ctx, k.LastNativeSlash, 0)
	if err != nil {
		return false, err
	}
	if k.stakingPages == nil && lastSlash > 0 && lastSlash >= l.account.EvaluatedHeight {
		return true, nil
	}
	return k.Marked.Has(ctx, l.delAddr)
}

// dust returns by how much the delegator's liens have grown by what rounding took from others who joined or left: a share
// was worth 1 at first, and J is what slashes took of it.
func (l *ledger) dust() sdkmath.Int {
	dust := sdkmath.ZeroInt()
	for _, r := range l.refs {
		if grown := r.value().Sub(types.ScaledMulFloor(r.pos.Shares, types.Scale().Sub(r.pool.SlashIndex))); r.counts() && grown.IsPositive() {
			dust = dust.Add(grown)
		}
	}
	return dust
}

// roundable returns by how many of the smallest units x/staking's rounding may have changed the delegator's collateral since
// it was evaluated, without anything that tells us: one for each delegation to a validator whose shares are not worth one
// token each, when others come and go there.
func (k *Keeper) roundable(ctx context.Context, delAddr sdk.AccAddress) (sdkmath.Int, error) {
	n := sdkmath.ZeroInt()
	var inner error
	err := k.staking.IterateDelegatorDelegations(ctx, delAddr, func(d stakingtypes.Delegation) bool {
		var valAddr sdk.ValAddress
		if valAddr, inner = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); inner != nil {
			return true
		}
		var v stakingtypes.Validator
		if v, inner = k.staking.GetValidator(ctx, valAddr); inner != nil {
			return true
		}
		if !v.DelegatorShares.Equal(sdkmath.LegacyNewDecFromInt(v.Tokens)) {
			n = n.AddRaw(1)
		}
		return false
	})
	return n, errors.Join(err, inner)
}

// poolSum is what the positions of a pool add up to.
type poolSum struct {
	Pool   uint64      `json:"pool"`
	N      int64       `json:"n"`
	Shares sdkmath.Int `json:"shares"`
	Values sdkmath.Int `json:"values"`
}

// poolsInvariant is invariant 2: a pool's and batch's shares are the sum of its positions', |T − Σ values| is at most their
// number, T and S are zero together, every position's budget is at least g·s to rounding, and all indices agree with the
// records.
func (k *Keeper) poolsInvariant() invariant.Check {
	return invariant.Check{Name: InvariantPools, Phases: []invariant.Phase{
		invariant.Each(k.Positions, k.positionName, k.checkPosition),
		invariant.Pass(collections.Map[poolDelegator, collections.NoValue](k.Members),
			func(key poolDelegator) string { return k.positionName(collections.Join(key.K2(), key.K1())) },
			func() poolSum { return poolSum{} },
			func(p *invariant.Page, s *poolSum, key poolDelegator, _ collections.NoValue) error {
				if s.N > 0 && s.Pool != key.K1() {
					k.comparePool(p, s)
				}
				return k.addMember(p, s, key)
			},
			func(p *invariant.Page, s *poolSum) {
				if s.N > 0 {
					k.comparePool(p, s)
				}
			}),
		invariant.Each(k.Pools, poolName, k.checkPool),
		invariant.Each(k.ActivePools, func(key clientVal) string { return consumerVal(key.K1(), key.K2()) },
			func(p *invariant.Page, key clientVal, id uint64) error {
				p.Spend(1)
				pool, err := k.Pools.Get(p.Context(), id)
				if err != nil {
					return missing(fmt.Sprintf("active pool %d", id), err)
				}
				if pool.IsBatch() || pool.ClientId != key.K1() || string(pool.Validator) != string(key.K2()) {
					return fmt.Errorf("pool %d is not its active pool", id)
				}
				return nil
			}),
	}}
}

func (k *Keeper) checkPosition(p *invariant.Page, key delegatorPool, pos types.Position) error {
	ctx := p.Context()
	p.Spend(3)
	pool, err := k.Pools.Get(ctx, key.K2())
	if err != nil {
		return missing("its pool", err)
	}
	if account, err := k.Accounts.Has(ctx, key.K1()); err != nil || !account {
		return errors.Join(errors.New("its delegator has no account"), err)
	}
	if member, err := k.Members.Has(ctx, collections.Join(key.K2(), key.K1())); err != nil || !member {
		return errors.Join(errors.New("it is not among the pool's members"), err)
	}
	// Each settlement rounds what is owed up, and so takes up to one more out of the budget than g fell by; it was paid in
	// excess, so the pool loses nothing. The settlement that is due is one more.
	totals, err := getItemOr(ctx, k.Totals, types.NewSlashTotals())
	if err != nil {
		return err
	}
	deficit := sdkmath.NewIntFromUint64(totals.Roundings).AddRaw(1)
	pool.Settle(&pos)
	if least := types.ScaledMulFloor(pos.Shares, pool.BudgetPerShare).Sub(deficit); pos.Budget.LT(least) {
		return fmt.Errorf("budget %s, at least %s promised", pos.Budget, least)
	}
	return nil
}

// addMember adds a position to the sum of its pool.
func (k *Keeper) addMember(p *invariant.Page, s *poolSum, key poolDelegator) error {
	p.Spend(2)
	if s.N == 0 {
		*s = poolSum{Pool: key.K1(), Shares: sdkmath.ZeroInt(), Values: sdkmath.ZeroInt()}
	}
	pos, err := k.Positions.Get(p.Context(), collections.Join(key.K2(), key.K1()))
	if err != nil {
		return missing("it is among the members", err)
	}
	pool, err := k.Pools.Get(p.Context(), key.K1())
	if err != nil {
		return missing("its pool", err)
	}
	s.N, s.Shares, s.Values = s.N+1, s.Shares.Add(pos.Shares), s.Values.Add(pool.ValueOf(pos.Shares))
	return nil
}

// comparePool compares a pool with the sum of its positions, and forgets that.
func (k *Keeper) comparePool(p *invariant.Page, s *poolSum) {
	sum := *s
	*s = poolSum{}
	pool, err := k.Pools.Get(p.Context(), sum.Pool)
	switch {
	case err != nil:
		p.Fail(poolName(sum.Pool), err)
	case !sum.Shares.Equal(pool.Shares):
		p.Fail(poolName(sum.Pool), fmt.Errorf("%s shares, positions have %s", pool.Shares, sum.Shares))
	case pool.Tokens.Sub(sum.Values).Abs().GT(sdkmath.NewInt(sum.N)):
		p.Fail(poolName(sum.Pool), fmt.Errorf("%s tokens, %d positions are worth %s", pool.Tokens, sum.N, sum.Values))
	}
}

func (k *Keeper) checkPool(p *invariant.Page, id uint64, pool types.Pool) error {
	ctx := p.Context()
	p.Spend(3)
	members, err := firstKeys(ctx, k.Members, collections.NewPrefixedPairRange[uint64, sdk.AccAddress](id), 1)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return fmt.Errorf("%s shares, but no position", pool.Shares)
	}
	walking, err := k.Walks.Has(ctx, id)
	if err != nil {
		return err
	}
	if pool.Tokens.IsPositive() != pool.Shares.IsPositive() && !walking {
		return fmt.Errorf("%s tokens but %s shares", pool.Tokens, pool.Shares)
	}
	if pool.IsBatch() {
		return nil
	}
	active, found, err := getOr(ctx, k.ActivePools, collections.Join(pool.ClientId, pool.Validator))
	if err == nil && (!found || active != id) {
		err = fmt.Errorf("not the validator's active pool, which is %d", active)
	}
	return err
}

// batchesInvariant says that every batch's next event is queued, that none is older than 2U beyond its batch epoch and a
// minute, and that the indices agree with the records.
func (k *Keeper) batchesInvariant() invariant.Check {
	return invariant.Check{Name: InvariantBatches, Phases: []invariant.Phase{
		invariant.Each(k.Pools, poolName, k.checkBatch),
		invariant.EachKey(k.Batches, batchName, func(p *invariant.Page, key clientValID) error {
			_, err := k.indexedBatch(p, key)
			return err
		}),
		invariant.EachKey(k.WaitingBatches, batchName, func(p *invariant.Page, key clientValID) error {
			b, err := k.indexedBatch(p, key)
			if err == nil && !waits(b) {
				err = fmt.Errorf("waiting, closed %t, executed at %s", b.Closed, b.ExecutedHeight)
			}
			return err
		}),
		invariant.EachKey(k.BatchQueue, func(key timePool) string { return poolName(key.K2()) },
			func(p *invariant.Page, key timePool) error {
				p.Spend(1)
				pool, err := k.Pools.Get(p.Context(), key.K2())
				if err != nil {
					return missing("queued", err)
				}
				if pool.IsBatch() {
					if due, ok := batchDue(*pool.Batch); ok && nanos(due) == key.K1() {
						return nil
					}
				}
				return fmt.Errorf("queued for %s, when nothing is due", fromNanos(key.K1()))
			}),
		invariant.Each(k.OpenBatches, func(key clientValID) string { return consumerVal(key.K1(), key.K2()) },
			func(p *invariant.Page, key clientValID, id uint64) error {
				p.Spend(1)
				pool, err := k.Pools.Get(p.Context(), id)
				if err != nil {
					return missing(fmt.Sprintf("open batch %d", id), err)
				}
				if !pool.IsBatch() || pool.Batch.Closed ||
					openBatchKey(pool.ClientId, pool.Validator, pool.Batch.Epoch, pool.Batch.Redelegated).K3() != key.K3() {
					return fmt.Errorf("batch %d is not the one that is open", id)
				}
				return nil
			}),
	}}
}

func batchName(key clientValID) string { return poolName(key.K3()) }

// waits says whether it is not reported yet that a closed batch was executed.
func waits(b types.Batch) bool { return b.Closed && !b.Matured && b.ExecutedHeight.IsZero() }

// indexedBatch returns the batch that an index leads to.
func (k *Keeper) indexedBatch(p *invariant.Page, key clientValID) (types.Batch, error) {
	p.Spend(1)
	pool, err := k.Pools.Get(p.Context(), key.K3())
	if err != nil {
		return types.Batch{}, missing("listed", err)
	}
	if !pool.IsBatch() || pool.ClientId != key.K1() || string(pool.Validator) != string(key.K2()) {
		return types.Batch{}, fmt.Errorf("listed as a batch of %s", consumerVal(key.K1(), key.K2()))
	}
	return *pool.Batch, nil
}

// turnBlocks is for how many blocks a batch whose time has come may wait its turn.
const turnBlocks = 20

// blocksAgo returns the chain's time so many blocks ago, or the earliest since then that x/staking remembers; if it
// remembers none, the time of this block.
func (k *Keeper) blocksAgo(ctx context.Context, blocks int64) (time.Time, error) {
	height := sdk.UnwrapSDKContext(ctx).BlockHeight()
	for h := height - blocks; h < height; h++ {
		info, err := k.staking.GetHistoricalInfo(ctx, h)
		if errors.Is(err, stakingtypes.ErrNoHistoricalInfo) {
			continue
		}
		return info.Header.Time, err
	}
	return now(ctx), nil
}

func (k *Keeper) checkBatch(p *invariant.Page, id uint64, pool types.Pool) error {
	if !pool.IsBatch() {
		return nil
	}
	ctx := p.Context()
	p.Spend(5)
	b := *pool.Batch
	key := collections.Join3(pool.ClientId, pool.Validator, id)
	if listed, err := k.Batches.Has(ctx, key); err != nil || !listed {
		return errors.Join(errors.New("the batch is not listed"), err)
	}
	if due, ok := batchDue(b); ok {
		if found, err := k.BatchQueue.Has(ctx, collections.Join(nanos(due), id)); err != nil || !found {
			return errors.Join(fmt.Errorf("event at %s is not queued", due), err)
		}
	}
	if latest := b.LatestMaturity().Add(time.Minute); !b.Matured && now(ctx).After(latest) {
		// It may wait its turn where more are due than a block works on, as after a time without blocks.
		p.Spend(turnBlocks)
		before, err := k.blocksAgo(ctx, turnBlocks)
		if err != nil || before.After(latest) {
			return errors.Join(fmt.Errorf("it should have matured at %s", b.LatestMaturity()), err)
		}
	}
	wait, err := k.WaitingBatches.Has(ctx, key)
	if err != nil {
		return err
	}
	if wait != waits(b) {
		return fmt.Errorf("waiting %t, closed %t, executed at %s", wait, b.Closed, b.ExecutedHeight)
	}
	if !wait {
		return nil
	}
	pairing, err := k.Pairings.Get(ctx, pool.ClientId)
	if err != nil {
		return missing("its consumer's pairing", err)
	}
	if b.Seq == 0 {
		return errors.New("it is closed and has no seq")
	}
	if b.Session == pairing.Session && b.Seq > pairing.LastSeq || pairing.LastSeq == 0 {
		// It still has to be listed, so the validator must be touched.
		if touched, err := k.Outbox.Has(ctx, collections.Join(pool.ClientId, pool.Validator)); err != nil || !touched {
			return errors.Join(errors.New("it is closed and not listed, but its validator is not touched"), err)
		}
	}
	return nil
}

// outboxInvariant says that the order by oldest touch agrees with the entries, and that nothing is in flight that was
// never sent.
func (k *Keeper) outboxInvariant() invariant.Check {
	return invariant.Check{Name: InvariantOutbox, Phases: []invariant.Phase{
		invariant.Each(k.Outbox, func(key clientVal) string { return consumerVal(key.K1(), key.K2()) },
			func(p *invariant.Page, key clientVal, e types.OutboxEntry) error {
				p.Spend(2)
				ordered, err := k.OutboxByOldest.Has(p.Context(), collections.Join3(key.K1(), nanos(e.Oldest), key.K2()))
				if err != nil || !ordered {
					return errors.Join(errors.New("it is not in the order by oldest touch"), err)
				}
				pairing, err := k.Pairings.Get(p.Context(), key.K1())
				if err != nil {
					return missing("its consumer's pairing", err)
				}
				if e.InFlight > pairing.LastSeq || (e.InFlight == 0 && !e.Next.IsZero()) {
					return fmt.Errorf("in flight %d of %d", e.InFlight, pairing.LastSeq)
				}
				return nil
			}),
		invariant.EachKey(k.OutboxByOldest, func(key clientTimeVal) string { return consumerVal(key.K1(), key.K3()) },
			func(p *invariant.Page, key clientTimeVal) error {
				p.Spend(1)
				e, err := k.Outbox.Get(p.Context(), collections.Join(key.K1(), key.K3()))
				if err != nil {
					return missing("it is in the order by oldest touch", err)
				}
				if nanos(e.Oldest) != key.K2() {
					return fmt.Errorf("it is in the order by oldest touch at %s, the entry says %s", fromNanos(key.K2()), e.Oldest)
				}
				return nil
			}),
	}}
}
