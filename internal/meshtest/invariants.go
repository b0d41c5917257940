package meshtest

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// batchSlack is how much longer than 2U a batch may live: block times and the epoch in which it closes.
const batchSlack = 2 * time.Minute

// indexScale is what slash indices are multiplied by.
var indexScale = sdkmath.NewIntWithDecimal(1, 36)

// checkInvariants checks what must hold after every block: what the modules themselves check, and the same again from
// exported state and x/staking alone, with arithmetic of its own.
func (c *Chain) checkInvariants() {
	c.Helper()
	if c.net.SkipInvariants || c.App == nil {
		return
	}
	ctx := c.CommittedContext()
	for _, check := range []struct {
		name string
		run  func(sdk.Context) error
	}{
		{"modules", c.moduleInvariants},
		{"staking", c.auditStaking},
		{"provider", c.auditProvider},
	} {
		if err := check.run(ctx); err != nil {
			require.FailNow(c, "invariant broken", "%s block %d, %s: %v", c.ChainID, c.Height(), check.name, err)
		}
	}
}

// auditStaking checks that x/staking's pools, validators and delegations fit together.
func (c *Chain) auditStaking(ctx sdk.Context) error {
	sk := c.App.StakingKeeper
	vals, err := sk.GetAllValidators(ctx)
	if err != nil {
		return err
	}
	bonded, notBonded := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	shares := map[string]sdkmath.LegacyDec{}
	for _, v := range vals {
		if v.IsBonded() {
			bonded = bonded.Add(v.Tokens)
		} else {
			notBonded = notBonded.Add(v.Tokens)
		}
		shares[v.OperatorAddress] = v.DelegatorShares
	}
	dels, err := sk.GetAllDelegations(ctx)
	if err != nil {
		return err
	}
	for _, d := range dels {
		left, ok := shares[d.ValidatorAddress]
		if !ok {
			return fmt.Errorf("delegation of %s to %s, which does not exist", d.DelegatorAddress, d.ValidatorAddress)
		}
		shares[d.ValidatorAddress] = left.Sub(d.Shares)
	}
	for val, left := range shares {
		if !left.IsZero() {
			return fmt.Errorf("validator %s has %s shares nobody has", val, left)
		}
	}
	err = sk.IterateUnbondingDelegations(ctx, func(_ int64, u stakingtypes.UnbondingDelegation) bool {
		for _, e := range u.Entries {
			notBonded = notBonded.Add(e.Balance)
		}
		return false
	})
	if err != nil {
		return err
	}
	for name, want := range map[string]sdkmath.Int{
		stakingtypes.BondedPoolName: bonded, stakingtypes.NotBondedPoolName: notBonded,
	} {
		have := c.App.BankKeeper.GetBalance(ctx, authtypes.NewModuleAddress(name), c.Denom).Amount
		if !have.Equal(want) {
			return fmt.Errorf("pool %s has %s, validators and entries %s", name, have, want)
		}
	}
	return nil
}

// auditProvider checks invariants 1, 2, 3 and 7 of invariants.md.
func (c *Chain) auditProvider(ctx sdk.Context) error {
	state := c.ProviderState()
	pools := map[uint64]providertypes.Pool{}
	for _, r := range state.Pools {
		pools[r.Id] = r.Pool
	}
	walked := map[uint64]bool{}
	for _, w := range state.Walks {
		// Members of what has matured, or was slashed to nothing, leave one by one.
		walked[w.PoolId] = pools[w.PoolId].IsMatured() || pools[w.PoolId].Tokens.IsZero()
	}
	for id, p := range pools {
		walked[id] = walked[id] || p.IsMatured()
	}
	if err := auditPools(state, pools, walked); err != nil {
		return err
	}
	if err := auditBatches(ctx.BlockTime(), state.Pools); err != nil {
		return err
	}
	return c.auditDelegators(ctx, state, pools)
}

// auditPools checks that positions add up to their pools and hold the budgets promised.
func auditPools(state *providertypes.GenesisState, pools map[uint64]providertypes.Pool, walked map[uint64]bool) error {
	type sum struct {
		shares, value sdkmath.Int
		n             int64
	}
	scale := sdkmath.NewIntWithDecimal(1, 36)
	sums := map[uint64]*sum{}
	for _, r := range state.Positions {
		pool, ok := pools[r.PoolId]
		if !ok {
			return fmt.Errorf("position of %X in pool %d, which does not exist", r.Delegator, r.PoolId)
		}
		s := sums[r.PoolId]
		if s == nil {
			s = &sum{shares: sdkmath.ZeroInt(), value: sdkmath.ZeroInt()}
			sums[r.PoolId] = s
		}
		if !r.Position.Shares.IsPositive() {
			return fmt.Errorf("position of %X in pool %d has no shares", r.Delegator, r.PoolId)
		}
		s.shares = s.shares.Add(r.Position.Shares)
		s.value = s.value.Add(r.Position.Shares.Mul(pool.Tokens).Quo(pool.Shares))
		s.n++
		// What is owed since the last settlement comes out of the budget.
		settled := r.Position.Budget.Mul(scale)
		// Each settlement rounds what is owed up, so it takes up to one more out of the budget than g fell by.
		least := pool.BudgetPerShare.Mul(r.Position.Shares).Sub(scale.MulRaw(32))
		if pool.SlashIndex.Equal(r.Position.SlashIndex) && settled.LT(least) {
			return fmt.Errorf("position of %X in pool %d holds a budget of %s for %s shares at g %s",
				r.Delegator, r.PoolId, r.Position.Budget, r.Position.Shares, pool.BudgetPerShare)
		}
	}
	for id, pool := range pools {
		s := sums[id]
		if s == nil {
			s = &sum{shares: sdkmath.ZeroInt(), value: sdkmath.ZeroInt()}
		}
		if pool.Shares.IsZero() != pool.Tokens.IsZero() && !walked[id] {
			return fmt.Errorf("pool %d has %s tokens and %s shares", id, pool.Tokens, pool.Shares)
		}
		if walked[id] {
			continue // members of a matured batch leave one by one
		}
		if !s.shares.Equal(pool.Shares) {
			return fmt.Errorf("pool %d has %s shares, its positions %s", id, pool.Shares, s.shares)
		}
		if d := pool.Tokens.Sub(s.value); d.IsNegative() || d.GT(sdkmath.NewInt(s.n)) {
			return fmt.Errorf("pool %d has %s tokens, its %d positions are worth %s", id, pool.Tokens, s.n, s.value)
		}
	}
	return nil
}

// auditBatches checks that no batch is older than about 2U, or than a pending slash delays it: by a third of the unbonding
// period that counts, which has not changed by more than half in any test.
func auditBatches(now time.Time, pools []providertypes.PoolRecord) error {
	for _, r := range pools {
		b := r.Pool.Batch
		if b == nil || b.Matured {
			continue
		}
		due := b.ClosesAt.Add(2 * b.Unbonding)
		if b.DelayedUntil.After(due) && b.DelayedUntil.Before(due.Add(b.Unbonding)) {
			due = b.DelayedUntil
		}
		if late := now.Sub(due); late > batchSlack {
			return fmt.Errorf("batch %d lives %s longer than twice its unbonding period and any delay", r.Id, late)
		}
	}
	return nil
}

// delegator is what the audit adds up for one delegator.
type delegator struct {
	bonded, held, debt, budgets sdkmath.Int
	liens                       map[string]sdkmath.Int
	entries                     []auditEntry
	// active are the consumers on which it has positions that are not unbonding.
	active map[string]bool
	// unsettled: it owes what is not yet debt. leaving: the walk over a matured batch has not come to it, and will mark it.
	unsettled, leaving bool
	// slack is by how much rounding may have changed what it has and needs since it was evaluated, without telling: one for
	// each delegation to a validator that was slashed, when others come and go there, and what others left in its pools.
	slack sdkmath.Int
}

type auditEntry struct {
	completion time.Time
	validator  sdk.ValAddress
	created    int64
	balance    sdkmath.Int
	held       bool
}

// auditDelegators checks that collateral covers what is required and that exactly the entries needed are held.
func (c *Chain) auditDelegators(
	ctx sdk.Context, state *providertypes.GenesisState, pools map[uint64]providertypes.Pool,
) error {
	marked := map[string]bool{}
	for _, m := range state.Marked {
		marked[string(m)] = true
	}
	holds := map[string]int{}
	for _, h := range state.Holds {
		holds[string(h.Delegator)]++
	}

	dels := map[string]*delegator{}
	for _, a := range state.Accounts {
		dels[string(a.Delegator)] = &delegator{
			debt: a.Account.Debt, budgets: sdkmath.ZeroInt(), liens: map[string]sdkmath.Int{}, active: map[string]bool{},
			slack: sdkmath.ZeroInt(),
		}
	}
	for _, r := range state.Positions {
		pool := pools[r.PoolId]
		d := dels[string(r.Delegator)]
		if d == nil {
			return fmt.Errorf("%X has a position and no account", r.Delegator)
		}
		d.unsettled = d.unsettled || pool.Owed(r.Position).IsPositive()
		if pool.IsMatured() {
			d.leaving = true
			continue
		}
		if !pool.IsBatch() {
			d.active[pool.ClientId] = true
		}
		d.budgets = d.budgets.Add(r.Position.Budget)
		if pool.IsBatch() && pool.Batch.Redelegated {
			continue // its stake is on another validator, and counts there
		}
		lien, ok := d.liens[pool.ClientId]
		if !ok {
			lien = sdkmath.ZeroInt()
		}
		value := pool.ValueOf(r.Position.Shares)
		d.liens[pool.ClientId] = lien.Add(value)
		// A share was worth one token at first, and slashes took the index of it.
		if left := r.Position.Shares.Mul(indexScale.Sub(pool.SlashIndex)).Quo(indexScale); value.GT(left) {
			d.slack = d.slack.Add(value.Sub(left))
		}
	}
	for _, a := range state.Accounts {
		addr, d := sdk.AccAddress(a.Delegator), dels[string(a.Delegator)]
		if err := c.readCollateral(ctx, addr, a.Account.MinSelfDelegation, d); err != nil {
			return err
		}
		held := 0
		for _, e := range d.entries {
			if e.held {
				held++
			}
		}
		if held != holds[string(a.Delegator)] {
			return fmt.Errorf("%s: %d entries are held, %d holds on record", c.nameOf(addr), held, holds[string(a.Delegator)])
		}
		delete(holds, string(a.Delegator))
		if marked[string(a.Delegator)] || d.unsettled || d.leaving || d.debt.IsPositive() ||
			len(state.NativeSlashWalks) > 0 || state.RatioWalk != nil {
			continue // waits for its settlement, for its debt to be paid, for its evaluation, or for a walk to mark it
		}
		if err := d.audit(state.NativeRatio); err != nil {
			return fmt.Errorf("%s: %w", c.nameOf(addr), err)
		}
	}
	for addr := range holds {
		return fmt.Errorf("%s: entries held for nobody's lien", c.nameOf(sdk.AccAddress(addr)))
	}
	return nil
}

// readCollateral reads a delegator's native delegations and entries.
func (c *Chain) readCollateral(ctx sdk.Context, addr sdk.AccAddress, minAtFirst sdkmath.Int, d *delegator) error {
	sk := c.App.StakingKeeper
	d.bonded, d.held = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	delegations, err := sk.GetAllDelegatorDelegations(ctx, addr)
	if err != nil {
		return err
	}
	for _, x := range delegations {
		valAddr, err := sdk.ValAddressFromBech32(x.ValidatorAddress)
		if err != nil {
			return err
		}
		v, err := sk.GetValidator(ctx, valAddr)
		if err != nil {
			return err
		}
		tokens := v.TokensFromShares(x.Shares).TruncateInt()
		if bytes.Equal(valAddr, addr) {
			tokens = sdkmath.MaxInt(sdkmath.ZeroInt(), tokens.Sub(sdkmath.MinInt(v.MinSelfDelegation, minAtFirst)))
		}
		d.bonded = d.bonded.Add(tokens)
		if !v.DelegatorShares.Equal(sdkmath.LegacyNewDecFromInt(v.Tokens)) {
			d.slack = d.slack.AddRaw(1)
		}
	}
	ubds, err := sk.GetAllUnbondingDelegations(ctx, addr)
	if err != nil {
		return err
	}
	for _, u := range ubds {
		valAddr, err := sdk.ValAddressFromBech32(u.ValidatorAddress)
		if err != nil {
			return err
		}
		for _, e := range u.Entries {
			held := e.UnbondingOnHoldRefCount > 0
			if held {
				d.held = d.held.Add(e.Balance)
			}
			d.entries = append(d.entries, auditEntry{e.CompletionTime, valAddr, e.CreationHeight, e.Balance, held})
		}
	}
	return nil
}

// reserved returns what budgets and native slashes need if held is held.
func (d *delegator) reserved(held sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	return sdkmath.LegacyNewDecFromInt(d.budgets).Add(ratio.MulInt(d.bonded.Add(held))).Ceil().TruncateInt()
}

// required returns what must stay if held is held.
func (d *delegator) required(held sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	need := d.reserved(held, ratio)
	for _, lien := range d.liens {
		need = sdkmath.MaxInt(need, lien)
	}
	return d.debt.Add(need)
}

func (d *delegator) audit(ratio sdkmath.LegacyDec) error {
	if need, have := d.required(d.held, ratio), d.bonded.Add(d.held); need.GT(have.Add(d.slack)) {
		// Lost collateral may leave less than what unbonds needs: then nothing is active where that is so, and below everything
		// is held.
		reserved := d.reserved(d.held, ratio).Add(d.debt)
		for consumer := range d.active {
			if sdkmath.MaxInt(reserved, d.debt.Add(d.liens[consumer])).GT(have.Add(d.slack)) {
				return fmt.Errorf("required %s, collateral %s (bonded %s, held %s)", need, have, d.bonded, d.held)
			}
		}
	}
	// The shortest prefix, latest completion first, that suffices must be what is held.
	sort.Slice(d.entries, func(i, j int) bool {
		a, b := d.entries[i], d.entries[j]
		if !a.completion.Equal(b.completion) {
			return a.completion.After(b.completion)
		}
		if x := bytes.Compare(a.validator, b.validator); x != 0 {
			return x < 0
		}
		return a.created < b.created
	})
	held, need := sdkmath.ZeroInt(), true
	for i, e := range d.entries {
		missing := d.required(held, ratio).Sub(held.Add(d.bonded))
		need = need && missing.IsPositive()
		if e.held != (need && e.balance.IsPositive()) && (d.slack.IsZero() || missing.Abs().GT(d.slack)) {
			return fmt.Errorf("entry %d of %d (balance %s, until %s) is held: %t, needed: %t; bonded %s, required %s",
				i+1, len(d.entries), e.balance, e.completion, e.held, need, d.bonded, d.required(held, ratio))
		}
		held = held.Add(e.balance)
	}
	return nil
}

func (c *Chain) nameOf(addr sdk.AccAddress) string {
	for name, a := range c.accounts {
		if a.Address().Equals(addr) {
			return name
		}
	}
	return addr.String()
}

// moduleInvariants runs the checks of the modules themselves.
func (c *Chain) moduleInvariants(ctx sdk.Context) error {
	return errors.Join(c.App.Mesh.Provider.CheckInvariants(ctx), c.App.Mesh.Consumer.CheckInvariants(ctx))
}

// checkBacking checks that no power of a consumer lacks a pool or an unmatured batch behind it.
func (n *Network) checkBacking() {
	n.Helper()
	if n.SkipInvariants {
		return
	}
	for _, p := range n.pairings {
		if p.SkipBacking {
			continue
		}
		backing := map[string]sdkmath.Int{}
		for _, r := range p.Provider.ProviderState().Pools {
			if r.Pool.ClientId != p.ConsumerID || r.Pool.IsMatured() {
				continue
			}
			b, ok := backing[string(r.Pool.Validator)]
			if !ok {
				b = sdkmath.ZeroInt()
			}
			backing[string(r.Pool.Validator)] = b.Add(r.Pool.Tokens)
		}
		for _, v := range p.Consumer.Validators {
			have := p.Virtual(v)
			if !have.IsPositive() {
				continue
			}
			b, ok := backing[string(v.ValAddress())]
			if !ok {
				b = sdkmath.ZeroInt()
			}
			most := p.highest.Mul(sdkmath.LegacyOneDec().Sub(p.ProviderConfig.Discount)).MulInt(b).Ceil().TruncateInt().AddRaw(1)
			if have.GT(most) {
				require.FailNow(n, "power without backing", "%s → %s: %s has %s virtual, backed by at most %s",
					p.Provider.Name, p.Consumer.Name, v.Operator.Name, have, most)
			}
		}
	}
}
