package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

const (
	// gasPerStep is what a step may cost before it counts as several: hooks of other modules run inside.
	gasPerStep = 1_000_000
	// rewardsPerBurn is how many submitters a block's burns from one pool pay at most.
	rewardsPerBurn = 20
)

// ConnectDistribution gives the keeper x/distribution's, for slashed collateral that goes to the community pool. Without
// it, it is burned.
func (k *Keeper) ConnectDistribution(dk types.DistributionKeeper) { k.community = dk }

// asset is something that a debt can be paid with: a native delegation, or one unbonding entry.
type asset struct {
	valAddr sdk.ValAddress
	// tokens is what may be taken, in provider tokens.
	tokens sdkmath.Int
	// validator and delegation are those of a delegation.
	validator  stakingtypes.Validator
	delegation stakingtypes.Delegation
	// entry is set for an entry.
	entry *entry
	// own: it is what an operator must keep in its own validator, which is taken last.
	own bool
}

// id tells the assets of one delegator apart.
func (a asset) id() string {
	if a.entry == nil {
		return fmt.Sprintf("%X %t", []byte(a.valAddr), a.own)
	}
	return fmt.Sprintf("%X %d %d", []byte(a.valAddr), a.entry.creationHeight, a.entry.completion.UnixNano())
}

// takings are what one block's payments took out of x/staking's books. The coins are burned once for all of them.
type takings struct {
	// bonded and notBonded lie in x/staking's pools of that name.
	bonded, notBonded sdkmath.Int
	// short is what nothing was left to pay, closed how many debts ended.
	short  sdkmath.Int
	closed uint64
	// flows: a delegation was burned.
	flows bool
}

func (t takings) sum() sdkmath.Int { return t.bonded.Add(t.notBonded) }

// payment is one visit to a delegator that owes something.
type payment struct {
	delAddr sdk.AccAddress
	account types.Account
	denom   string
	takings takings
	// marked: it was waiting for an evaluation before. inexact: rounding in x/staking took more from it than was burned.
	marked, inexact bool
	// failed are the assets that could not be taken in this visit.
	failed map[string]bool
	// entries are the delegator's unbonding entries as they are taken; nil until they are read.
	entries []entry
	read    bool
	// own is what the operator must keep, once it was seen.
	own *asset
}

// left is what is still owed.
func (p *payment) left() sdkmath.Int { return p.account.Debt.Sub(p.takings.sum()) }

// runDebts burns what delegators owe, the oldest debt first, until the steps are used up; at least one delegator. One
// whose collateral cannot be taken is passed over until the others have had their turn, and holds up nobody. It returns
// the steps taken.
func (k *Keeper) runDebts(ctx sdk.Context, steps int) (taken int, err error) {
	if waiting, err := firstKeys(ctx, k.DebtQueue, nil, 1); err != nil || len(waiting) == 0 {
		return 0, err
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return 0, err
	}
	denom, err := k.staking.BondDenom(ctx)
	if err != nil {
		return 0, err
	}
	cursor, err := k.debtCursor(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { countSteps(ctx, taken) }()
	start, wrapped := cursor, cursor == nil
	all := newTakings()
	for taken < steps {
		rng := new(collections.Range[timeDelegator])
		if cursor != nil {
			rng = rng.StartExclusive(*cursor)
		}
		if wrapped && start != nil {
			rng = rng.EndInclusive(*start) // one round at most
		}
		batch, err := firstKeys(ctx, k.DebtQueue, rng, min(steps-taken, 100))
		if err != nil {
			return taken, err
		}
		if len(batch) == 0 {
			cursor = nil
			if wrapped {
				break
			}
			wrapped = true
			continue
		}
		for _, key := range batch {
			n, stuck, t := k.payDebt(ctx, key, denom, steps-taken)
			taken += n
			all.add(t)
			if stuck {
				cursor = &key
			}
			if taken >= steps {
				break
			}
		}
	}
	if err := k.burnTakings(ctx, all, params.SlashDestination, denom); err != nil {
		return taken, err
	}
	return taken, k.setDebtCursor(ctx, start, cursor)
}

func newTakings() takings {
	return takings{bonded: sdkmath.ZeroInt(), notBonded: sdkmath.ZeroInt(), short: sdkmath.ZeroInt()}
}

func (t *takings) add(u takings) {
	t.bonded, t.notBonded, t.short = t.bonded.Add(u.bonded), t.notBonded.Add(u.notBonded), t.short.Add(u.short)
	t.closed, t.flows = t.closed+u.closed, t.flows || u.flows
}

// burnTakings burns what payments took out of x/staking's books, or gives it away, and adds it to the sums.
func (k *Keeper) burnTakings(ctx sdk.Context, t takings, dest types.SlashDestination, denom string) error {
	burned := t.sum()
	if burned.IsZero() && t.short.IsZero() {
		return nil
	}
	rewarded := sdkmath.ZeroInt()
	for _, pool := range []struct {
		name   string
		amount sdkmath.Int
	}{{stakingtypes.BondedPoolName, t.bonded}, {stakingtypes.NotBondedPoolName, t.notBonded}} {
		part, err := k.take(ctx, dest, denom, pool.name, pool.amount)
		if err != nil {
			return err
		}
		rewarded = rewarded.Add(part)
	}
	if t.flows {
		if err := k.OwnHeights.Set(ctx, ctx.BlockHeight(), nanos(ctx.BlockTime())); err != nil {
			return err
		}
	}
	return k.changeTotals(ctx, func(x *types.SlashTotals) {
		x.Burned, x.Rewarded = x.Burned.Add(burned), x.Rewarded.Add(rewarded)
		x.Debt, x.Shortfall = x.Debt.Sub(burned).Sub(t.short), x.Shortfall.Add(t.short)
		x.Debtors -= min(t.closed, x.Debtors)
	})
}

// debtCursor returns the last debtor that was passed over, or nil.
func (k *Keeper) debtCursor(ctx context.Context) (*timeDelegator, error) {
	record, err := k.DebtCursor.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key := collections.Join(nanos(record.Time), sdk.AccAddress(record.Delegator))
	return &key, nil
}

func (k *Keeper) setDebtCursor(ctx context.Context, before, after *timeDelegator) error {
	switch {
	case after != nil:
		return k.DebtCursor.Set(ctx, types.DebtRecord{Time: fromNanos(after.K1()), Delegator: after.K2()})
	case before != nil:
		return k.DebtCursor.Remove(ctx)
	}
	return nil
}

// payDebt takes what one delegator owes, for at most so many steps, but at least one asset. It says how many it took,
// whether the delegator is stuck because it owes something that could not be taken from what it has, and what it took.
func (k *Keeper) payDebt(ctx sdk.Context, key timeDelegator, denom string, steps int) (taken int, stuck bool, t takings) {
	ok := k.attempt(ctx, "debt", k.delString(key.K2()), func(ctx sdk.Context) (err error) {
		taken, stuck, t, err = k.visitDebtor(ctx, key, denom, steps)
		return err
	})
	if !ok {
		return max(taken, 1), true, newTakings()
	}
	return max(taken, 1), stuck, t
}

// visitDebtor is payDebt's work. Every burn is isolated, so that one that fails leaves the others alone.
func (k *Keeper) visitDebtor(ctx sdk.Context, key timeDelegator, denom string, steps int) (taken int, stuck bool, t takings, err error) {
	account, found, err := getOr(ctx, k.Accounts, key.K2())
	if err != nil {
		return 1, false, newTakings(), err
	}
	if !found || !account.Debt.IsPositive() {
		return 1, false, newTakings(), k.DebtQueue.Remove(ctx, key)
	}
	p := &payment{delAddr: key.K2(), account: account, denom: denom, takings: newTakings(), failed: map[string]bool{}}
	if p.marked, err = k.Marked.Has(ctx, p.delAddr); err != nil {
		return 1, false, p.takings, err
	}
	nothing := false
	for p.left().IsPositive() && (taken == 0 || taken < steps) {
		a, read, err := k.nextAsset(ctx, p)
		if err != nil {
			return taken + read, false, p.takings, err
		}
		if a == nil {
			taken += max(read, 1)
			nothing = true
			break
		}
		amount := sdkmath.MinInt(p.left(), a.tokens)
		gas, burned, err := k.burn(ctx, p, *a, amount)
		taken += max(read, 1+int(gas/gasPerStep))
		if err != nil {
			p.failed[a.id()] = true
			k.Logger(ctx).Error("collateral not taken", "delegator", k.delString(p.delAddr), "validator", k.valString(a.valAddr), "error", err)
			k.emit(ctx, &types.EventStageFailed{Stage: "burn", Subject: k.delString(p.delAddr), Reason: err.Error()})
			continue
		}
		k.emit(ctx, &types.EventBurned{
			Delegator: k.delString(p.delAddr), Validator: k.valString(a.valAddr), Amount: burned,
			Unbonding: a.entry != nil, Debt: p.left(),
		})
	}
	err = k.closePayment(ctx, key, p, nothing && len(p.failed) == 0)
	return taken, nothing && len(p.failed) > 0, p.takings, err
}

// closePayment stores what a visit changed. With nothing left to take, what is still owed is a shortfall.
func (k *Keeper) closePayment(ctx sdk.Context, key timeDelegator, p *payment, nothing bool) error {
	left := p.left()
	if nothing {
		p.takings.short, left = left, sdkmath.ZeroInt()
	}
	if p.takings.sum().IsZero() && p.takings.short.IsZero() {
		return nil
	}
	if p.takings.short.IsPositive() {
		if err := k.addShortfall(ctx, p.delAddr, p.takings.short); err != nil {
			return err
		}
	}
	foreseen := p.account.Foreseen && !p.marked && !p.inexact && !p.read && left.IsZero() && p.takings.short.IsZero()
	p.account.Debt = left
	if !p.account.Backing.IsNil() {
		p.account.Backing = sdkmath.MaxInt(p.account.Backing.Sub(p.takings.sum()), sdkmath.ZeroInt())
	}
	if left.IsZero() {
		p.takings.closed = 1
		p.account.Foreseen, p.account.DebtSince = false, types.Account{}.DebtSince
		if err := k.DebtQueue.Remove(ctx, key); err != nil {
			return err
		}
	}
	if !foreseen {
		// The collateral has become less for a reason: the evaluation that follows finds no escape.
		p.account.EvaluatedHeight = 0
	}
	if err := k.Accounts.Set(ctx, p.delAddr, p.account); err != nil {
		return err
	}
	if foreseen {
		return k.Marked.Remove(ctx, p.delAddr) // x/staking's hooks have marked it
	}
	return k.mark(ctx, p.delAddr)
}

// addShortfall records debt that nothing is left to pay.
func (k *Keeper) addShortfall(ctx context.Context, delAddr sdk.AccAddress, amount sdkmath.Int) error {
	s, found, err := getOr(ctx, k.Shortfalls, delAddr)
	if err != nil {
		return err
	}
	if !found {
		s = types.Shortfall{Delegator: delAddr, Amount: sdkmath.ZeroInt()}
	}
	s.Amount = s.Amount.Add(amount)
	k.emit(ctx, &types.EventShortfall{Delegator: k.delString(delAddr), Amount: amount})
	return k.Shortfalls.Set(ctx, delAddr, s)
}

// nextAsset returns what is taken next, or nil if nothing is left, and how many delegations and entries it read for it:
// delegations in x/staking's order, an operator's own down to its minimum; held entries, then the others, latest
// completion first; and what the operator had to keep.
func (k *Keeper) nextAsset(ctx sdk.Context, p *payment) (next *asset, read int, err error) {
	if !p.read {
		if next, read, err = k.nextDelegation(ctx, p); err != nil || next != nil {
			return next, read, err
		}
		entries, err := k.readEntries(ctx, p.delAddr)
		if err != nil {
			return nil, read, err
		}
		for _, ours := range []bool{true, false} {
			for _, e := range entries {
				if e.ours == ours && e.balance.IsPositive() {
					p.entries = append(p.entries, e)
				}
			}
		}
		p.read = true
		read += len(entries)
	}
	if len(p.entries) > 0 {
		e := p.entries[0]
		p.entries = p.entries[1:]
		return &asset{valAddr: e.valAddr, tokens: e.balance, entry: &e}, read, nil
	}
	own := p.own
	p.own = nil
	return own, read, nil
}

// nextDelegation returns the first native delegation that something can be taken of, or nil.
func (k *Keeper) nextDelegation(ctx sdk.Context, p *payment) (next *asset, read int, err error) {
	var inner error
	err = k.staking.IterateDelegatorDelegations(ctx, p.delAddr, func(d stakingtypes.Delegation) bool {
		read++
		a := asset{delegation: d}
		if a.valAddr, inner = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); inner != nil {
			return true
		}
		a.validator, inner = k.staking.GetValidator(ctx, a.valAddr)
		if errors.Is(inner, stakingtypes.ErrNoValidatorFound) {
			inner = nil
			return false
		}
		if inner != nil {
			return true
		}
		a.tokens = tokensOf(a.validator, d.Shares)
		if bytes.Equal(a.valAddr, p.delAddr) {
			least := sdkmath.MinInt(a.validator.MinSelfDelegation, p.account.MinSelfDelegation)
			own := a
			own.own, own.tokens = true, sdkmath.MinInt(a.tokens, least)
			a.tokens = a.tokens.Sub(own.tokens)
			if p.own = nil; own.tokens.IsPositive() {
				p.own = &own
			}
		}
		if !a.tokens.IsPositive() || p.failed[a.id()] {
			return false
		}
		next = &a
		return true
	})
	if err == nil {
		err = inner
	}
	return next, read, err
}

// burn takes an amount of an asset, isolated with a gas meter of its own, and returns the gas used and what was taken.
func (k *Keeper) burn(ctx sdk.Context, p *payment, a asset, amount sdkmath.Int) (gas uint64, burned sdkmath.Int, err error) {
	t := newTakings()
	err = k.isolate(ctx, func(ctx sdk.Context) (err error) {
		defer func() { gas = ctx.GasMeter().GasConsumed() }()
		if a.entry != nil {
			t, err = k.burnEntry(ctx, p, a, amount)
		} else {
			t, err = k.burnDelegation(ctx, p, a, amount)
		}
		return err
	})
	if err == nil {
		p.takings.add(t)
	}
	return gas, t.sum(), err
}

// burnDelegation takes an amount of a native delegation, rounded up to shares: what the rounding gives beyond it is paid
// out. x/staking has no entry for what left, so the log of flows says so to later slashes of the validator.
func (k *Keeper) burnDelegation(ctx sdk.Context, p *payment, a asset, amount sdkmath.Int) (t takings, err error) {
	t = newTakings()
	v := a.validator
	shares := a.delegation.Shares
	if amount.LT(tokensOf(v, shares)) {
		up := v.DelegatorShares.MulInt(amount).QuoRoundUp(sdkmath.LegacyNewDecFromInt(v.Tokens))
		shares = sdkmath.LegacyMinDec(shares, up)
	}
	pool := stakingtypes.NotBondedPoolName
	if v.IsBonded() { // before: Unbond may jail it, but moves no coins
		pool = stakingtypes.BondedPoolName
	}
	left, err := k.staking.Unbond(ctx, p.delAddr, a.valAddr, shares)
	if err != nil {
		return t, err
	}
	if !left.IsPositive() {
		return t, errorsmod.Wrapf(types.ErrMath, "%s shares of %s give nothing", shares, k.valString(a.valAddr))
	}
	if !v.IsUnbonded() {
		if err := k.Flow.Add(ctx, a.valAddr, left, sdkmath.ZeroInt()); err != nil {
			return t, err
		}
		t.flows = true
	}
	burned := sdkmath.MinInt(left, amount)
	after := v
	after.Tokens, after.DelegatorShares = v.Tokens.Sub(left), v.DelegatorShares.Sub(shares)
	lost := tokensOf(v, a.delegation.Shares).Sub(tokensOf(after, a.delegation.Shares.Sub(shares)))
	p.inexact = p.inexact || !lost.Equal(burned)
	if rest := left.Sub(burned); rest.IsPositive() {
		coins := sdk.NewCoins(sdk.NewCoin(p.denom, rest))
		if err := k.bank.UndelegateCoinsFromModuleToAccount(ctx, pool, p.delAddr, coins); err != nil {
			return t, err
		}
	}
	if v.IsBonded() {
		t.bonded = burned
	} else {
		t.notBonded = burned
	}
	return t, nil
}

// pruneFlows drops at most limit flow records that no slash can ask for any more: older than one unbonding period and the
// evidence age together, and below any height that evidence may have.
func (k *Keeper) pruneFlows(ctx sdk.Context, limit int) error {
	oldest, err := mapKeys(ctx, k.OwnHeights, nil, 1)
	if err != nil || len(oldest) == 0 {
		return err
	}
	age, err := k.staking.UnbondingTime(ctx)
	if err != nil {
		return err
	}
	height, below := oldest[0], ctx.BlockHeight()
	if evidence := ctx.ConsensusParams().Evidence; evidence != nil {
		age += max(evidence.MaxAgeDuration, 0)
		below -= max(evidence.MaxAgeNumBlocks, 0)
	}
	at, err := k.OwnHeights.Get(ctx, height)
	if err != nil || height >= below || !fromNanos(at).Before(ctx.BlockTime().Add(-age)) {
		return err
	}
	countSteps(ctx, limit)
	// Of each validator the newest record stays: what is left later is told from it.
	if err := k.Flow.Prune(ctx, height+1, limit); err != nil {
		return err
	}
	if more, err := k.Flow.Queued(ctx, height+1); err != nil || more {
		return err
	}
	return k.OwnHeights.Remove(ctx, height)
}

// burnEntry takes an amount of an unbonding entry. Its InitialBalance stays: x/staking would overcharge others.
func (k *Keeper) burnEntry(ctx sdk.Context, p *payment, a asset, amount sdkmath.Int) (t takings, err error) {
	t = newTakings()
	t.notBonded = amount
	err = k.editEntry(ctx, p.delAddr, *a.entry, func(x *stakingtypes.UnbondingDelegationEntry) { x.Balance = x.Balance.Sub(amount) })
	return t, err
}

// take pays submitters of proofs out of an amount that lies in one of x/staking's pools, the oldest slash first, and
// burns the rest or gives it to the community pool. It returns what submitters got.
func (k *Keeper) take(ctx sdk.Context, dest types.SlashDestination, denom, pool string, amount sdkmath.Int) (rewarded sdkmath.Int, err error) {
	if !amount.IsPositive() {
		return sdkmath.ZeroInt(), nil
	}
	if rewarded, err = k.payRewards(ctx, denom, pool, amount); err != nil {
		return rewarded, err
	}
	rest := amount.Sub(rewarded)
	if !rest.IsPositive() {
		return rewarded, nil
	}
	coins := sdk.NewCoins(sdk.NewCoin(denom, rest))
	if dest == types.SLASH_DESTINATION_COMMUNITY_POOL && k.community != nil {
		// If that fails it is burned: nothing else may keep a debt from being paid.
		if k.attempt(ctx, "community pool", "", func(ctx sdk.Context) error {
			return k.community.FundCommunityPool(ctx, coins, authtypes.NewModuleAddress(pool))
		}) {
			return rewarded, nil
		}
	}
	return rewarded, k.bank.BurnCoins(ctx, pool, coins)
}

// payRewards pays submitters, in the order of the slashes they proved, at most amount. A submitter that cannot receive
// coins gets nothing.
func (k *Keeper) payRewards(ctx sdk.Context, denom, pool string, amount sdkmath.Int) (paid sdkmath.Int, err error) {
	paid = sdkmath.ZeroInt()
	ids, err := mapKeys(ctx, k.Rewards, nil, rewardsPerBurn)
	if err != nil {
		return paid, err
	}
	for _, id := range ids {
		reward, err := k.Rewards.Get(ctx, id)
		if err != nil {
			return paid, err
		}
		part := sdkmath.MinInt(reward.Left, amount.Sub(paid))
		if !part.IsPositive() {
			break
		}
		ok := k.attempt(ctx, "reward", k.delString(reward.Submitter), func(ctx sdk.Context) error {
			coins := sdk.NewCoins(sdk.NewCoin(denom, part))
			return k.bank.SendCoinsFromModuleToAccount(ctx, pool, reward.Submitter, coins)
		})
		if !ok {
			if err := k.Rewards.Remove(ctx, id); err != nil {
				return paid, err
			}
			continue
		}
		paid = paid.Add(part)
		k.emit(ctx, &types.EventSubmitterRewarded{SlashId: id, Submitter: k.delString(reward.Submitter), Amount: part})
		if reward.Left = reward.Left.Sub(part); reward.Left.IsPositive() {
			err = k.Rewards.Set(ctx, id, reward)
		} else {
			err = k.Rewards.Remove(ctx, id)
		}
		if err != nil {
			return paid, err
		}
	}
	return paid, nil
}
