package types

import (
	"bytes"
	"fmt"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"
)

// DefaultGenesis returns the state of a new chain.
func DefaultGenesis() *GenesisState {
	return &GenesisState{
		Params: DefaultParams(), NextPoolId: 1, NativeRatio: sdkmath.LegacyZeroDec(), NextSlashId: 1, Totals: NewSlashTotals(),
	}
}

// NewSlashTotals returns the sums of a new chain: zero.
func NewSlashTotals() SlashTotals {
	zero := sdkmath.ZeroInt()
	return SlashTotals{Slashed: zero, Owed: zero, Burned: zero, Rewarded: zero, Shortfall: zero, Debt: zero}
}

// NewSlashMeter returns the meter of a consumer without stake.
func NewSlashMeter() SlashMeter {
	zero := sdkmath.ZeroInt()
	return SlashMeter{Total: zero, Used: zero, Proved: zero, Batches: zero}
}

// Validate returns ErrInvalidGenesis unless the state is consistent in itself: no key twice, no reference to what is not
// there, sums that fit, and every number within its bounds.
func (g GenesisState) Validate() (err error) {
	// Amounts that no chain has make sums overflow, which panics.
	defer func() {
		if r := recover(); r != nil {
			err = errorsmod.Wrapf(ErrInvalidGenesis, "%v", r)
		}
	}()
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidGenesis, format, args...) }
	if err := g.Params.Validate(); err != nil {
		return err
	}
	if g.NativeRatio.IsNil() || g.NativeRatio.IsNegative() || g.NativeRatio.GT(sdkmath.LegacyOneDec()) {
		return bad("native_ratio must be in [0,1]")
	}
	if g.NextPoolId == 0 || g.NextSlashId == 0 {
		return bad("next_pool_id and next_slash_id must be from 1 up")
	}
	consumers := map[string]bool{}
	for _, c := range g.Consumers {
		id := c.Consumer.Config.ClientId
		if consumers[id] {
			return bad("consumer %q is there twice", id)
		}
		consumers[id] = true
		if err := c.Consumer.Config.Validate(); err != nil {
			return errorsmod.Wrap(err, id)
		}
		if c.Consumer.Status == CONSUMER_STATUS_UNSPECIFIED || len(c.Consumer.Chains) == 0 {
			return bad("consumer %q has no status or no chain id", id)
		}
		if err := c.Pairing.Session.Validate(); err != nil {
			return errorsmod.Wrap(err, id)
		}
		if c.Pairing.ChannelId != "" && c.Consumer.Config.UsesV2() {
			return bad("consumer %q has a channel and IBC v2", id)
		}
	}
	known := func(clientID string) error {
		if !consumers[clientID] {
			return bad("unknown consumer %q", clientID)
		}
		return nil
	}
	if err := g.validatePools(known); err != nil {
		return err
	}
	if err := g.validateSettlement(); err != nil {
		return err
	}
	if err := g.validateSlashes(known); err != nil {
		return err
	}
	if err := g.validateRewards(known); err != nil {
		return err
	}
	seen, owners := map[string]bool{}, map[string]string{}
	for _, v := range g.Validators {
		key := v.ClientId + "/" + string(v.Validator)
		if seen[key] {
			return bad("validator %X of %q is there twice", v.Validator, v.ClientId)
		}
		seen[key] = true
		if err := known(v.ClientId); err != nil {
			return err
		}
		for _, r := range v.State.Keys {
			address, ok := r.Address()
			if !ok {
				continue
			}
			index := v.ClientId + "/" + string(address)
			if owner, taken := owners[index]; taken && owner != string(v.Validator) {
				return bad("validators %X and %X of %q have one consensus address, and neither record is foreign", owner, v.Validator, v.ClientId)
			}
			owners[index] = string(v.Validator)
		}
		if len(v.State.Keys) > MaxKeys {
			return bad("validator %X of %q has %d keys", v.Validator, v.ClientId, len(v.State.Keys))
		}
	}
	for _, o := range g.Outbox {
		if err := known(o.ClientId); err != nil {
			return err
		}
	}
	executions := map[string]bool{}
	for _, e := range g.Executions {
		if err := known(e.ClientId); err != nil {
			return err
		}
		key := fmt.Sprintf("%s/%X/%d", e.ClientId, e.Validator, e.Id)
		if executions[key] || len(e.Validator) == 0 || e.Seq == 0 || e.ReceivedAt.IsZero() {
			return bad("execution %s is there twice, or has no validator, seq or time", key)
		}
		executions[key] = true
	}
	if err := g.validateMoved(known); err != nil {
		return err
	}
	for _, h := range g.Heights {
		if err := known(h.ClientId); err != nil {
			return err
		}
	}
	for _, c := range g.Channels {
		if err := known(c.ClientId); err != nil {
			return err
		}
	}
	for _, h := range g.Holds {
		if len(h.Delegator) == 0 || len(h.Validator) == 0 || h.CreationHeight < 0 {
			return bad("a hold has no delegator, no validator or a negative height")
		}
	}
	return nil
}

// validatePools checks pools, positions and accounts against one another.
func (g GenesisState) validatePools(known func(string) error) error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidGenesis, format, args...) }
	pools := map[uint64]Pool{}
	active := map[string]bool{}
	shares := map[uint64]sdkmath.Int{}
	for _, r := range g.Pools {
		p := r.Pool
		if _, twice := pools[r.Id]; twice || r.Id == 0 || r.Id >= g.NextPoolId {
			return bad("pool id %d is there twice or out of range", r.Id)
		}
		if err := known(p.ClientId); err != nil {
			return err
		}
		for _, n := range []sdkmath.Int{p.Tokens, p.Shares, p.SlashIndex, p.BudgetPerShare} {
			if n.IsNil() || n.IsNegative() {
				return bad("pool %d has a missing or negative number", r.Id)
			}
		}
		if p.Shares.GTE(MaxAmount()) || p.Tokens.GTE(MaxAmount()) || !p.Shares.IsPositive() {
			return bad("pool %d has no shares, or too many tokens or shares", r.Id)
		}
		switch p.Kind {
		case POOL_KIND_ACTIVE:
			key := p.ClientId + "/" + string(p.Validator)
			if active[key] || p.Batch != nil {
				return bad("pool %d: a second active pool of the validator, or one with a batch's fields", r.Id)
			}
			active[key] = true
		case POOL_KIND_BATCH:
			if p.Batch == nil {
				return bad("batch %d has no clock", r.Id)
			}
		default:
			return bad("pool %d has no kind", r.Id)
		}
		pools[r.Id] = p
		shares[r.Id] = sdkmath.ZeroInt()
	}
	accounts := map[string]bool{}
	for _, a := range g.Accounts {
		if accounts[string(a.Delegator)] || len(a.Delegator) == 0 {
			return bad("account %X is there twice", a.Delegator)
		}
		accounts[string(a.Delegator)] = true
		if !a.Account.Backing.IsNil() && a.Account.Backing.IsNegative() {
			return bad("account %X misses less than nothing", a.Delegator)
		}
		if a.Account.Debt.IsNil() || a.Account.Debt.IsNegative() || a.Account.MinSelfDelegation.IsNil() || a.Account.MinSelfDelegation.IsNegative() {
			return bad("account %X has a missing or negative number", a.Delegator)
		}
	}
	positions := map[string]bool{}
	for _, r := range g.Positions {
		key := string(r.Delegator) + "/" + sdkmath.NewIntFromUint64(r.PoolId).String()
		p, found := pools[r.PoolId]
		if positions[key] || !found || !accounts[string(r.Delegator)] {
			return bad("position of %X in pool %d is there twice, or has no pool or no account", r.Delegator, r.PoolId)
		}
		positions[key] = true
		for _, n := range []sdkmath.Int{r.Position.Shares, r.Position.SlashIndex, r.Position.Budget} {
			if n.IsNil() || n.IsNegative() {
				return bad("position of %X in pool %d has a missing or negative number", r.Delegator, r.PoolId)
			}
		}
		if !r.Position.Shares.IsPositive() || r.Position.SlashIndex.GT(p.SlashIndex) {
			return bad("position of %X in pool %d is empty or settled in the future", r.Delegator, r.PoolId)
		}
		shares[r.PoolId] = shares[r.PoolId].Add(r.Position.Shares)
	}
	for _, r := range g.Pools {
		if !shares[r.Id].Equal(r.Pool.Shares) {
			return bad("pool %d has %s shares, its positions %s", r.Id, r.Pool.Shares, shares[r.Id])
		}
	}
	var last []byte
	for _, m := range g.Marked {
		if bytes.Compare(last, m) >= 0 {
			return bad("marked delegators are not sorted, or one is there twice")
		}
		last = m
	}
	for _, w := range g.Walks {
		if _, found := pools[w.PoolId]; !found || w.Rate.IsNil() || w.SlashIndex.IsNil() {
			return bad("a walk over pool %d, which is not there, or with a number missing", w.PoolId)
		}
	}
	return nil
}

// validateMoved checks the redelegations that are not listed yet.
func (g GenesisState) validateMoved(known func(clientID string) error) error {
	moves := map[string]bool{}
	for _, m := range g.Moved {
		if err := known(m.ClientId); err != nil {
			return err
		}
		key := fmt.Sprintf("%s/%X/%d/%X", m.ClientId, m.From, m.Time.UnixNano(), m.To)
		switch {
		case moves[key]:
			return errorsmod.Wrapf(ErrInvalidGenesis, "redelegation %s is there twice", key)
		case len(m.From) == 0 || len(m.To) == 0 || bytes.Equal(m.From, m.To):
			return errorsmod.Wrapf(ErrInvalidGenesis, "redelegation %s is not between two validators", key)
		case m.Time.IsZero() || m.Amount.IsNil() || !m.Amount.IsPositive():
			return errorsmod.Wrapf(ErrInvalidGenesis, "redelegation %s has no time, or nothing was moved", key)
		}
		moves[key] = true
	}
	departures := map[string]bool{}
	for _, d := range g.Departures {
		if err := known(d.ClientId); err != nil {
			return err
		}
		key := fmt.Sprintf("%s/%X", d.ClientId, d.From)
		if departures[key] || len(d.From) == 0 || d.Before.IsZero() {
			return errorsmod.Wrapf(ErrInvalidGenesis, "departure %s is there twice, or has no validator or time", key)
		}
		departures[key] = true
	}
	return nil
}
