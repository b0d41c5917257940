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
	// rewardsPerBurn is how many submitters one burn pays at most.
	rewardsPerBurn = 8
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

// payment is one visit to a delegator that owes something.
type payment struct {
	delAddr sdk.AccAddress
	account types.Account
	denom   string
	dest    types.SlashDestination
	// burned is what was taken, of which rewarded went to submitters.
	burned, rewarded sdkmath.Int
	// failed are the assets that could not be taken in this visit.
	failed map[string]bool
	// entries are the delegator's unbonding entries as they are taken; nil until they are read.
	entries []entry
	read    bool
	// own is what the operator must keep, once it was seen.
	own *asset
}

// left is what is still owed.
func (p *payment) left() sdkmath.Int { return p.account.Debt.Sub(p.burned) }

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
	start, wrapped := cursor, cursor == nil
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
			n, stuck := k.payDebt(ctx, key, params.SlashDestination, denom, steps-taken)
			taken += n
			if stuck {
				cursor = &key
			}
			if taken >= steps {
				break
			}
		}
	}
	return taken, k.setDebtCursor(ctx, start, cursor)
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

// payDebt takes what one delegator owes, for at most so many steps, but at least one asset. It says how many it took, and
// whether the delegator is stuck: it owes something that could not be taken from what it has.
func (k *Keeper) payDebt(ctx sdk.Context, key timeDelegator, dest types.SlashDestination, denom string, steps int) (taken int, stuck bool) {
	ok := k.attempt(ctx, "debt", k.delString(key.K2()), func(ctx sdk.Context) (err error) {
		taken, stuck, err = k.visitDebtor(ctx, key, dest, denom, steps)
		return err
	})
	return max(taken, 1), stuck || !ok
}

// visitDebtor is payDebt's work. Every burn is isolated, so that one that fails leaves the others alone.
func (k *Keeper) visitDebtor(ctx sdk.Context, key timeDelegator, dest types.SlashDestination, denom string, steps int) (taken int, stuck bool, err error) {
	account, found, err := getOr(ctx, k.Accounts, key.K2())
	if err != nil {
		return 1, false, err
	}
	if !found || !account.Debt.IsPositive() {
		return 1, false, k.DebtQueue.Remove(ctx, key)
	}
	p := &payment{
		delAddr: key.K2(), account: account, denom: denom, dest: dest,
		burned: sdkmath.ZeroInt(), rewarded: sdkmath.ZeroInt(), failed: map[string]bool{},
	}
	nothing := false
	for p.left().IsPositive() && (taken == 0 || taken < steps) {
		a, read, err := k.nextAsset(ctx, p)
		if err != nil {
			return taken + read, false, err
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
		p.burned = p.burned.Add(burned)
		k.emit(ctx, &types.EventBurned{
			Delegator: k.delString(p.delAddr), Validator: k.valString(a.valAddr), Amount: burned,
			Unbonding: a.entry != nil, Debt: p.left(),
		})
	}
	return taken, nothing && len(p.failed) > 0, k.closePayment(ctx, key, p, nothing && len(p.failed) == 0)
}

// closePayment stores what a visit changed. With nothing left to take, what is still owed is a shortfall.
func (k *Keeper) closePayment(ctx sdk.Context, key timeDelegator, p *payment, nothing bool) error {
	left, short := p.left(), sdkmath.ZeroInt()
	if nothing {
		short, left = left, sdkmath.ZeroInt()
	}
	if p.burned.IsZero() && short.IsZero() {
		return nil
	}
	err := k.changeTotals(ctx, func(t *types.SlashTotals) {
		t.Burned, t.Rewarded = t.Burned.Add(p.burned), t.Rewarded.Add(p.rewarded)
		t.Debt, t.Shortfall = t.Debt.Sub(p.burned).Sub(short), t.Shortfall.Add(short)
		if left.IsZero() && t.Debtors > 0 {
			t.Debtors--
		}
	})
	if err != nil {
		return err
	}
	if short.IsPositive() {
		if err := k.addShortfall(ctx, p.delAddr, short); err != nil {
			return err
		}
	}
	// The collateral has become less for a reason: its next evaluation finds no escape.
	p.account.Debt, p.account.EvaluatedHeight = left, 0
	if left.IsZero() {
		if err := k.DebtQueue.Remove(ctx, key); err != nil {
			return err
		}
		p.account.DebtSince = types.Account{}.DebtSince
	}
	if err := k.Accounts.Set(ctx, p.delAddr, p.account); err != nil {
		return err
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
	rewarded := sdkmath.ZeroInt()
	err = k.isolate(ctx, func(ctx sdk.Context) (err error) {
		defer func() { gas = ctx.GasMeter().GasConsumed() }()
		if a.entry != nil {
			burned, rewarded, err = k.burnEntry(ctx, p, a, amount)
		} else {
			burned, rewarded, err = k.burnDelegation(ctx, p, a, amount)
		}
		return err
	})
	if err == nil {
		p.rewarded = p.rewarded.Add(rewarded)
	}
	return gas, burned, err
}

// burnDelegation takes an amount of a native delegation, rounded up to shares: what the rounding gives beyond it is paid
// out. x/staking has no entry for what left, so the log of flows says so to later slashes of the validator.
func (k *Keeper) burnDelegation(ctx sdk.Context, p *payment, a asset, amount sdkmath.Int) (burned, rewarded sdkmath.Int, err error) {
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
		return burned, rewarded, err
	}
	if !left.IsPositive() {
		return burned, rewarded, errorsmod.Wrapf(types.ErrMath, "%s shares of %s give nothing", shares, k.valString(a.valAddr))
	}
	if !v.IsUnbonded() {
		if err := k.logLeft(ctx, a.valAddr, left); err != nil {
			return burned, rewarded, err
		}
	}
	burned = sdkmath.MinInt(left, amount)
	if rest := left.Sub(burned); rest.IsPositive() {
		coins := sdk.NewCoins(sdk.NewCoin(p.denom, rest))
		if err := k.bank.UndelegateCoinsFromModuleToAccount(ctx, pool, p.delAddr, coins); err != nil {
			return burned, rewarded, err
		}
	}
	rewarded, err = k.take(ctx, p, pool, burned)
	return burned, rewarded, err
}

// logLeft notes that tokens left a validator of this chain without an entry, and when this block was.
func (k *Keeper) logLeft(ctx sdk.Context, valAddr sdk.ValAddress, tokens sdkmath.Int) error {
	if err := k.Flow.Add(ctx, valAddr, tokens, sdkmath.ZeroInt()); err != nil {
		return err
	}
	return k.OwnHeights.Set(ctx, ctx.BlockHeight(), nanos(ctx.BlockTime()))
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
func (k *Keeper) burnEntry(ctx sdk.Context, p *payment, a asset, amount sdkmath.Int) (burned, rewarded sdkmath.Int, err error) {
	err = k.editEntry(ctx, p.delAddr, *a.entry, func(x *stakingtypes.UnbondingDelegationEntry) { x.Balance = x.Balance.Sub(amount) })
	if err != nil {
		return burned, rewarded, err
	}
	rewarded, err = k.take(ctx, p, stakingtypes.NotBondedPoolName, amount)
	return amount, rewarded, err
}

// take pays submitters of proofs out of an amount that lies in one of x/staking's pools, the oldest slash first, and
// burns the rest or gives it to the community pool. It returns what submitters got.
func (k *Keeper) take(ctx sdk.Context, p *payment, pool string, amount sdkmath.Int) (rewarded sdkmath.Int, err error) {
	if rewarded, err = k.payRewards(ctx, p.denom, pool, amount); err != nil {
		return rewarded, err
	}
	rest := amount.Sub(rewarded)
	if !rest.IsPositive() {
		return rewarded, nil
	}
	coins := sdk.NewCoins(sdk.NewCoin(p.denom, rest))
	if p.dest == types.SLASH_DESTINATION_COMMUNITY_POOL && k.community != nil {
		// If that fails it is burned: nothing else may keep a debt from being paid.
		if k.attempt(ctx, "community pool", k.delString(p.delAddr), func(ctx sdk.Context) error {
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
