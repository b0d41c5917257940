package meshtest

import (
	"bytes"
	"sort"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/address"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// ProviderState returns the provider module's state, as genesis has it. It is read once for each block: do not change
// it.
func (c *Chain) ProviderState() *providertypes.GenesisState {
	c.Helper()
	if c.providerHeight != c.Height() {
		s, err := c.App.Mesh.Provider.ExportGenesis(c.CommittedContext())
		require.NoError(c, err)
		c.provider, c.providerHeight = s, c.Height()
	}
	return c.provider
}

// ConsumerState returns the consumer module's state, as genesis has it. It is read once for each block: do not change
// it.
func (c *Chain) ConsumerState() *consumertypes.GenesisState {
	c.Helper()
	if c.consumerHeight != c.Height() {
		s, err := c.App.Mesh.Consumer.ExportGenesis(c.CommittedContext())
		require.NoError(c, err)
		c.consumer, c.consumerHeight = s, c.Height()
	}
	return c.consumer
}

// ConsumerRecord returns what the provider keeps of the consumer.
func (p *Pairing) ConsumerRecord() providertypes.ConsumerRecord {
	p.net.Helper()
	for _, r := range p.Provider.ProviderState().Consumers {
		if r.Consumer.Config.ClientId == p.ConsumerID {
			return r
		}
	}
	require.FailNow(p.net, "consumer not found", p.ConsumerID)
	return providertypes.ConsumerRecord{}
}

// ProviderRecord returns what the consumer keeps of the provider.
func (p *Pairing) ProviderRecord() consumertypes.Provider {
	p.net.Helper()
	for _, r := range p.Consumer.ConsumerState().Providers {
		if r.Config.ProviderId == p.ProviderID {
			return r
		}
	}
	require.FailNow(p.net, "provider not found", p.ProviderID)
	return consumertypes.Provider{}
}

// Registry returns the provider's registry of the consumer's validators.
func (p *Pairing) Registry() []providertypes.ValidatorRecord {
	p.net.Helper()
	var out []providertypes.ValidatorRecord
	for _, v := range p.Provider.ProviderState().Validators {
		if v.ClientId == p.ConsumerID {
			out = append(out, v)
		}
	}
	return out
}

// Registered returns the registry's entry for a validator, and whether there is one.
func (p *Pairing) Registered(val *Validator) (providertypes.ConsumerValidator, bool) {
	p.net.Helper()
	for _, v := range p.Registry() {
		if sdk.ValAddress(v.Validator).Equals(val.ValAddress()) {
			return v.State, true
		}
	}
	return providertypes.ConsumerValidator{}, false
}

// Totals returns the tokens of the pairing's active pools, by validator name; empty pools are left out.
func (p *Pairing) Totals() map[string]string {
	p.net.Helper()
	out := map[string]string{}
	for _, r := range p.Provider.ProviderState().Pools {
		if r.Pool.ClientId == p.ConsumerID && r.Pool.Kind == providertypes.POOL_KIND_ACTIVE && r.Pool.Tokens.IsPositive() {
			out[p.validatorName(r.Pool.Validator)] = r.Pool.Tokens.String()
		}
	}
	return out
}

// Stored returns the amounts that the consumer has on record, by validator name; zeros are left out.
func (p *Pairing) Stored() map[string]string {
	p.net.Helper()
	out := map[string]string{}
	for _, s := range p.Consumer.ConsumerState().Stakes {
		if s.ProviderId == p.ProviderID && s.Record.Amount.IsPositive() {
			out[p.validatorName(s.Validator)] = s.Record.Amount.String()
		}
	}
	return out
}

// Converged says whether the consumer's amounts equal the provider's totals, less pending claims, and nothing waits to be
// sent or answered.
func (p *Pairing) Converged() bool {
	p.net.Helper()
	return p.unconverged() == ""
}

// unconverged says what is missing for convergence.
func (p *Pairing) unconverged() string {
	prov, cons := p.Provider.ProviderState(), p.Consumer.ConsumerState()
	totals, stored := map[string]string{}, map[string]string{}
	for _, r := range prov.Pools {
		if r.Pool.ClientId == p.ConsumerID && r.Pool.Kind == providertypes.POOL_KIND_ACTIVE && r.Pool.Tokens.IsPositive() {
			amount := r.Pool.Tokens
			for _, s := range prov.Slashes { // by id, so in the order of recording
				if s.Status == providertypes.SLASH_STATUS_PENDING && !s.IsProof() &&
					s.ClientId == p.ConsumerID && bytes.Equal(s.Validator, r.Pool.Validator) {
					amount = sdkmath.LegacyOneDec().Sub(s.EffectiveFraction).MulInt(amount).TruncateInt()
				}
			}
			totals[string(r.Pool.Validator)] = amount.String()
		}
	}
	for _, s := range cons.Stakes {
		if s.ProviderId == p.ProviderID && s.Record.Amount.IsPositive() {
			stored[string(s.Validator)] = s.Record.Amount.String()
		}
	}
	for val, amount := range totals {
		if stored[val] != amount {
			return "consumer has " + stored[val] + " on " + p.validatorName([]byte(val)) + ", provider " + amount
		}
	}
	for val := range stored {
		if _, ok := totals[val]; !ok {
			return "consumer has stake on " + p.validatorName([]byte(val)) + ", provider none"
		}
	}
	for _, o := range prov.Outbox {
		if o.ClientId == p.ConsumerID {
			return "a listing of " + p.validatorName(o.Validator) + " waits"
		}
	}
	for _, r := range cons.Providers {
		if r.Config.ProviderId == p.ProviderID && r.AckedIndex < r.LastIndex {
			return "entries of the slash log wait"
		}
	}
	for _, d := range cons.Dirty {
		if d.ProviderId == p.ProviderID {
			return "a report of " + p.validatorName(d.Validator) + " waits"
		}
	}
	return ""
}

// RequireConverged fails the test unless the pairing has converged.
func (p *Pairing) RequireConverged() {
	p.net.Helper()
	require.Empty(p.net, p.unconverged(), "%s → %s", p.Provider.Name, p.Consumer.Name)
}

// WaitConverged steps until the pairing has converged.
func (p *Pairing) WaitConverged(limit time.Duration) {
	p.net.Helper()
	for end := p.net.Now().Add(limit); !p.Converged(); p.net.Step() {
		if p.net.Now().After(end) {
			p.RequireConverged()
		}
	}
}

// VirtualAccount returns the account on the consumer that holds the pairing's virtual stake.
func (p *Pairing) VirtualAccount() sdk.AccAddress {
	return sdk.AccAddress(address.Module(meshtypes.PortConsumer, []byte(p.ProviderID)))
}

// Virtual returns the tokens of the pairing's virtual stake on a validator.
func (p *Pairing) Virtual(val *Validator) sdkmath.Int {
	return p.Consumer.Delegated(p.VirtualAccount(), val)
}

// TotalVirtual returns the tokens of all the pairing's virtual stake.
func (p *Pairing) TotalVirtual() sdkmath.Int {
	p.net.Helper()
	sum := sdkmath.ZeroInt()
	for _, v := range p.Consumer.Validators {
		sum = sum.Add(p.Virtual(v))
	}
	return sum
}

// Delegated returns the tokens of an account's native delegation to a validator.
func (c *Chain) Delegated(del sdk.AccAddress, val *Validator) sdkmath.Int {
	c.Helper()
	ctx := c.CommittedContext()
	d, err := c.App.StakingKeeper.GetDelegation(ctx, del, val.ValAddress())
	if err != nil {
		return sdkmath.ZeroInt()
	}
	return c.Validator(val).TokensFromShares(d.Shares).TruncateInt()
}

// Validator returns x/staking's record of a validator.
func (c *Chain) Validator(val *Validator) stakingtypes.Validator {
	c.Helper()
	v, err := c.App.StakingKeeper.GetValidator(c.CommittedContext(), val.ValAddress())
	require.NoError(c, err)
	return v
}

// Balance returns an account's balance of the bond denom.
func (c *Chain) Balance(a *Account) sdkmath.Int {
	return c.App.BankKeeper.GetBalance(c.CommittedContext(), a.Address(), c.Denom).Amount
}

// Lien returns the value of a delegator's positions on the consumer, active and unbonding. What was redelegated counts once.
func (p *Pairing) Lien(del string) (active, unbonding sdkmath.Int) {
	p.net.Helper()
	state := p.Provider.ProviderState()
	pools := map[uint64]providertypes.Pool{}
	for _, r := range state.Pools {
		pools[r.Id] = r.Pool
	}
	active, unbonding = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, r := range state.Positions {
		pool := pools[r.PoolId]
		if pool.ClientId != p.ConsumerID || !p.Provider.Account(del).Address().Equals(sdk.AccAddress(r.Delegator)) {
			continue
		}
		switch {
		case pool.Kind == providertypes.POOL_KIND_ACTIVE:
			active = active.Add(pool.ValueOf(r.Position.Shares))
		case pool.IsLeaving():
			unbonding = unbonding.Add(pool.ValueOf(r.Position.Shares))
		}
	}
	return active, unbonding
}

// Batches returns the pairing's unbonding batches, by id.
func (p *Pairing) Batches() []providertypes.PoolRecord {
	p.net.Helper()
	var out []providertypes.PoolRecord
	for _, r := range p.Provider.ProviderState().Pools {
		if r.Pool.ClientId == p.ConsumerID && r.Pool.Kind == providertypes.POOL_KIND_BATCH {
			out = append(out, r)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Id < out[j].Id })
	return out
}

// UnbondingEntry is an entry of a native undelegation with whether it is held.
type UnbondingEntry struct {
	Validator  string
	Created    int64
	Completion time.Time
	Balance    sdkmath.Int
	Held       bool
}

// Unbondings returns a delegator's native unbonding entries on the chain, in x/staking's order.
func (c *Chain) Unbondings(del string) []UnbondingEntry {
	c.Helper()
	ubds, err := c.App.StakingKeeper.GetAllUnbondingDelegations(c.CommittedContext(), c.Account(del).Address())
	require.NoError(c, err)
	var out []UnbondingEntry
	for _, u := range ubds {
		for _, e := range u.Entries {
			out = append(out, UnbondingEntry{
				Validator: u.ValidatorAddress, Created: e.CreationHeight, Completion: e.CompletionTime,
				Balance: e.Balance, Held: e.UnbondingOnHoldRefCount > 0,
			})
		}
	}
	return out
}

// Held returns the sum of a delegator's held entries.
func (c *Chain) Held(del string) sdkmath.Int {
	c.Helper()
	sum := sdkmath.ZeroInt()
	for _, u := range c.Unbondings(del) {
		if u.Held {
			sum = sum.Add(u.Balance)
		}
	}
	return sum
}

// MsgDelegate returns a native delegation message.
func (c *Chain) MsgDelegate(del string, val *Validator, amount int64) sdk.Msg {
	return stakingtypes.NewMsgDelegate(c.Account(del).String(), val.String(), sdk.NewInt64Coin(c.Denom, amount))
}

// MsgUndelegate returns a native undelegation message.
func (c *Chain) MsgUndelegate(del string, val *Validator, amount int64) sdk.Msg {
	return stakingtypes.NewMsgUndelegate(c.Account(del).String(), val.String(), sdk.NewInt64Coin(c.Denom, amount))
}

// MsgRedelegate returns a native redelegation message.
func (c *Chain) MsgRedelegate(del string, from, to *Validator, amount int64) sdk.Msg {
	return stakingtypes.NewMsgBeginRedelegate(
		c.Account(del).String(), from.String(), to.String(), sdk.NewInt64Coin(c.Denom, amount),
	)
}

// MsgCancelUnbonding returns the message that cancels part of a native undelegation.
func (c *Chain) MsgCancelUnbonding(del string, val *Validator, created, amount int64) sdk.Msg {
	return stakingtypes.NewMsgCancelUnbondingDelegation(
		c.Account(del).String(), val.String(), created, sdk.NewInt64Coin(c.Denom, amount),
	)
}

// Dump returns everything in a module's store on ctx, by key.
func (c *Chain) Dump(ctx sdk.Context, storeKey string) map[string]string {
	c.Helper()
	it := ctx.KVStore(c.App.GetKey(storeKey)).Iterator(nil, nil)
	defer it.Close()
	out := map[string]string{}
	for ; it.Valid(); it.Next() {
		out[string(it.Key())] = string(it.Value())
	}
	return out
}
