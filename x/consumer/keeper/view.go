package keeper

import (
	"context"
	"errors"
	"math/big"
	"slices"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// view is the virtual stake of one moment. A plan reads all of it once (newView). What carries out changes without a plan
// begins with nothing (lazyView): only an increase asks for sums, and seldom for exact ones.
type view struct {
	providers  []*providerView
	byID       map[string]*providerView
	validators map[string]*validatorView
	// operators are addresses decoded already: decoding is dear.
	operators map[string]sdk.ValAddress
	// bonded are all bonded tokens.
	bonded sdkmath.Int
	// height is this chain's.
	height meshtypes.Height
	// rate is the highest number of tokens that a share of a validator with virtual stake is worth, if the sums are bounded.
	rate rate
	// backed is how many validators have virtual stake, if the sums are bounded.
	backed int64
	// sums says what is known of virtualBonded and virtualTotal, those of all providers, and of each validator's virtual.
	sums                        knowledge
	virtualBonded, virtualTotal sdkmath.Int
}

// knowledge is what a view knows of sums over all providers.
type knowledge int

const (
	// unknown sums are zero.
	unknown knowledge = iota
	// bounded sums are at least what providers have, so there is at least the room that they leave.
	bounded
	// exact sums are what providers have.
	exact
)

type providerView struct {
	types.Provider
	// account holds the virtual stake.
	account sdk.AccAddress
	// purse is what the account holds of the denoms of rewards.
	purse purse
	// sums says what is known of total and bonded.
	sums knowledge
	// current is the virtual stake by validator (raw operator address), if the sums are exact.
	current map[string]holding
	// total is all virtual stake, bonded the part of it on bonded validators.
	total, bonded sdkmath.Int
}

// holding is a virtual delegation: its shares, and what they are worth in native tokens, rounded down.
type holding struct {
	tokens sdkmath.Int
	shares sdkmath.LegacyDec
}

// validatorView is what is known of a validator. It follows what changes do to the validator.
type validatorView struct {
	addr       sdk.ValAddress
	validator  stakingtypes.Validator
	exists     bool
	tombstoned bool
	// virtual is the virtual stake of all providers.
	virtual sdkmath.Int
}

// native returns the validator's tokens without virtual stake.
func (v *validatorView) native() sdkmath.Int {
	if !v.exists {
		return sdkmath.ZeroInt()
	}
	return v.validator.Tokens.Sub(v.virtual)
}

// operator returns a validator's operator address as text.
func (v *view) operator(valAddr sdk.ValAddress) string {
	if val, ok := v.validators[string(valAddr)]; ok {
		return val.validator.OperatorAddress
	}
	return ""
}

func (p *providerView) id() string { return p.Config.ProviderId }

// on returns the virtual stake on a validator, in native tokens.
func (p *providerView) on(val string) sdkmath.Int {
	if h, ok := p.current[val]; ok {
		return h.tokens
	}
	return sdkmath.ZeroInt()
}

// newView reads all virtual stake: one iteration per provider and one read per validator.
func (k *Keeper) newView(ctx context.Context) (*view, error) {
	v, err := k.lazyView(ctx)
	if err != nil {
		return nil, err
	}
	return v, k.readAll(ctx, v)
}

// lazyView returns a view that has read nothing but the providers.
func (k *Keeper) lazyView(ctx context.Context) (*view, error) {
	bonded, err := k.staking.TotalValidatorPower(ctx)
	if err != nil {
		return nil, err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	v := newEmptyView(sdk.UnwrapSDKContext(ctx))
	v.bonded = bonded
	for _, p := range providers {
		pv := newProviderView(p)
		v.providers = append(v.providers, pv)
		v.byID[pv.id()] = pv
	}
	return v, nil
}

// newEmptyView returns a view without providers that knows of no stake.
func newEmptyView(ctx sdk.Context) *view {
	zero := sdkmath.ZeroInt()
	return &view{
		byID:       map[string]*providerView{},
		validators: map[string]*validatorView{},
		operators:  map[string]sdk.ValAddress{},
		height:     ownHeight(ctx),
		rate:       rate{tokens: zero, shares: sdkmath.LegacyOneDec()},
		bonded:     zero, virtualBonded: zero, virtualTotal: zero,
	}
}

func newProviderView(p types.Provider) *providerView {
	return &providerView{
		Provider: p, account: types.VirtualAccount(p.Config.ProviderId),
		total: sdkmath.ZeroInt(), bonded: sdkmath.ZeroInt(),
	}
}

// readProvider reads a provider's virtual stake, once. It changes no sum over all providers.
func (k *Keeper) readProvider(ctx context.Context, v *view, p *providerView) error {
	if p.sums == exact {
		return nil
	}
	delegations, err := k.virtualDelegations(ctx, p.account)
	if err != nil {
		return err
	}
	p.current = make(map[string]holding, len(delegations))
	p.total, p.bonded = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, d := range delegations {
		valAddr, ok := v.operators[d.ValidatorAddress]
		if !ok {
			if valAddr, err = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); err != nil {
				return err
			}
			v.operators[d.ValidatorAddress] = valAddr
		}
		val, err := k.viewValidator(ctx, v, valAddr)
		if err != nil {
			return err
		}
		if val.exists {
			p.add(val, tokensOf(val.validator, d.Shares), d.Shares)
		}
	}
	p.sums = exact
	return nil
}

// readAll makes the sums over all providers exact.
func (k *Keeper) readAll(ctx context.Context, v *view) error {
	for _, p := range v.providers {
		if err := k.readProvider(ctx, v, p); err != nil {
			return err
		}
	}
	for _, val := range v.validators {
		val.virtual = sdkmath.ZeroInt()
	}
	v.virtualTotal, v.virtualBonded = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, p := range v.providers {
		for addr, h := range p.current {
			val := v.validators[addr]
			val.virtual = val.virtual.Add(h.tokens)
		}
		v.virtualTotal = v.virtualTotal.Add(p.total)
		v.virtualBonded = v.virtualBonded.Add(p.bonded)
	}
	v.sums = exact
	return nil
}

// boundSums makes the sums over all providers such that virtual stake is not more, from the shares of all providers by
// validator: one read per validator. What decreases have taken since those were stored still counts.
//
// CONTRACT: no increase has been carried out since those were stored.
func (k *Keeper) boundSums(ctx context.Context, v *view) error {
	type stored struct {
		valAddr []byte
		shares  sdkmath.LegacyDec
	}
	var all []stored
	err := k.VirtualShares.Walk(ctx, nil, func(valAddr []byte, shares sdkmath.LegacyDec) (bool, error) {
		all = append(all, stored{valAddr, shares})
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, s := range all {
		val, err := k.viewValidator(ctx, v, s.valAddr)
		if err != nil {
			return err
		}
		if !val.exists {
			continue
		}
		v.backed++
		v.rate = v.rate.max(rate{val.validator.Tokens, val.validator.DelegatorShares})
		// One more than the shares are worth: each provider's part is rounded by itself, at 18 decimals even up.
		val.virtual = tokensOf(val.validator, s.shares).AddRaw(1)
		v.virtualTotal = v.virtualTotal.Add(val.virtual)
		if val.validator.IsBonded() {
			v.virtualBonded = v.virtualBonded.Add(val.virtual)
		}
	}
	v.sums = bounded
	return nil
}

// rate is what a validator's shares are worth: so many tokens for so many shares.
type rate struct {
	tokens sdkmath.Int
	shares sdkmath.LegacyDec
}

// max returns the higher of two rates. One without shares counts for nothing.
func (r rate) max(o rate) rate {
	if !o.shares.IsPositive() {
		return r
	}
	a := new(big.Int).Mul(r.tokens.BigInt(), o.shares.BigInt())
	if a.Cmp(new(big.Int).Mul(o.tokens.BigInt(), r.shares.BigInt())) >= 0 {
		return r
	}
	return o
}

// worth returns what shares are worth at most, in tokens rounded up.
func (r rate) worth(shares sdkmath.LegacyDec) *big.Int {
	num := new(big.Int).Mul(shares.BigInt(), r.tokens.BigInt())
	den := r.shares.BigInt()
	num.Add(num, den)
	return num.Sub(num, big.NewInt(1)).Quo(num, den)
}

// boundProvider makes a provider's sums such that its virtual stake is not more, from its shares on all validators: one
// read. What decreases have taken since those were stored still counts, here and in what follows.
//
// CONTRACT: the sums over all providers are bounded, and no increase has been carried out since shares were stored.
func (k *Keeper) boundProvider(ctx context.Context, v *view, p *providerView) error {
	shares, err := sharesOf(ctx, k.ProviderShares, p.id())
	if err != nil {
		return err
	}
	worth := v.rate.worth(shares)
	if worth.BitLen() > maxProductBits {
		return k.readProvider(ctx, v, p)
	}
	// One more on each validator, as in boundSums.
	p.total = sdkmath.NewIntFromBigInt(worth).AddRaw(v.backed)
	p.bonded = p.total
	p.sums = bounded
	return nil
}

// viewValidator returns a validator's part of the view, read once.
func (k *Keeper) viewValidator(ctx context.Context, v *view, valAddr sdk.ValAddress) (*validatorView, error) {
	if val, ok := v.validators[string(valAddr)]; ok {
		return val, nil
	}
	val := &validatorView{addr: valAddr, virtual: sdkmath.ZeroInt()}
	validator, err := k.staking.GetValidator(ctx, valAddr)
	switch {
	case errors.Is(err, stakingtypes.ErrNoValidatorFound):
	case err != nil:
		return nil, err
	default:
		val.validator, val.exists = validator, true
		if consAddr, err := validator.GetConsAddr(); err == nil {
			val.tombstoned = k.isTombstoned(ctx, consAddr)
		}
	}
	v.validators[string(valAddr)] = val
	return val, nil
}

// add adds to a provider's virtual stake on a validator; both may be negative.
func (p *providerView) add(val *validatorView, tokens sdkmath.Int, shares sdkmath.LegacyDec) {
	addr := string(val.addr)
	if h, ok := p.current[addr]; ok {
		p.current[addr] = holding{tokens: h.tokens.Add(tokens), shares: h.shares.Add(shares)}
	} else {
		p.current[addr] = holding{tokens: tokens, shares: shares}
	}
	p.total = p.total.Add(tokens)
	if val.validator.IsBonded() {
		p.bonded = p.bonded.Add(tokens)
	}
}

// follow follows a change that has been carried out.
func (v *view) follow(p *providerView, val *validatorView, m moved, increase bool) {
	if !val.exists || (!m.tokens.IsPositive() && !m.shares.IsPositive()) {
		return
	}
	tokens, shares := m.tokens, m.shares
	if !increase {
		tokens, shares = tokens.Neg(), shares.Neg()
	}
	val.validator.Tokens = val.validator.Tokens.Add(tokens)
	val.validator.DelegatorShares = val.validator.DelegatorShares.Add(shares)
	if val.validator.IsUnbonded() && val.validator.DelegatorShares.IsZero() {
		val.exists = false // x/staking has removed it
	}
	isBonded := val.validator.IsBonded()
	switch {
	case p.sums == exact:
		p.add(val, tokens, shares)
	case p.sums == bounded && increase:
		p.total, p.bonded = p.total.Add(tokens), p.bonded.Add(tokens)
	}
	if isBonded {
		v.bonded = v.bonded.Add(tokens)
	}
	if v.sums == unknown {
		return
	}
	val.virtual = val.virtual.Add(tokens)
	v.virtualTotal = v.virtualTotal.Add(tokens)
	if isBonded {
		v.virtualBonded = v.virtualBonded.Add(tokens)
	}
}

// sortedValidators returns the raw addresses of all validators of the view, in order.
func (v *view) sortedValidators() []string {
	vals := make([]string, 0, len(v.validators))
	for val := range v.validators {
		vals = append(vals, val)
	}
	slices.Sort(vals)
	return vals
}

// providerCap returns the most virtual stake the provider may have.
func (v *view) providerCap(p *providerView) sdkmath.Int {
	return sdkmath.NewIntFromBigInt(types.ProviderCap(p.Config, v.bonded.Sub(p.bonded)))
}

// globalCap returns the most virtual stake that all providers may have together.
func (v *view) globalCap(params types.Params) sdkmath.Int {
	return sdkmath.NewIntFromBigInt(types.RatioCap(params.GlobalMaxPowerRatio, v.bonded.Sub(v.virtualBonded)))
}

// validatorCap returns the most virtual stake a validator may have.
func validatorCap(params types.Params, val *validatorView) sdkmath.Int {
	return sdkmath.NewIntFromBigInt(types.MultipleCap(params.MaxValidatorMultiple, val.native()))
}

// room returns by how much the provider's virtual stake on the validator may rise at the moment: what its own cap, the
// validator's and the one of all providers leave.
func (v *view) room(params types.Params, p *providerView, val *validatorView) sdkmath.Int {
	room := v.providerCap(p).Sub(p.total)
	room = sdkmath.MinInt(room, validatorCap(params, val).Sub(val.virtual))
	room = sdkmath.MinInt(room, v.globalCap(params).Sub(v.virtualTotal))
	return sdkmath.MaxInt(room, sdkmath.ZeroInt())
}

// roomFor returns by how much, of what is wanted, the provider's virtual stake on the validator may rise at the moment.
// It reads no more than that takes: bounds do where they leave room enough.
func (k *Keeper) roomFor(
	ctx context.Context, params types.Params, v *view, p *providerView, val *validatorView, wanted sdkmath.Int,
) (sdkmath.Int, error) {
	if v.sums == unknown {
		if err := k.boundSums(ctx, v); err != nil {
			return sdkmath.ZeroInt(), err
		}
	}
	if p.sums == unknown {
		if err := k.boundProvider(ctx, v, p); err != nil {
			return sdkmath.ZeroInt(), err
		}
	}
	room := v.room(params, p, val)
	if room.LT(wanted) && v.sums != exact {
		if err := k.readAll(ctx, v); err != nil {
			return sdkmath.ZeroInt(), err
		}
		room = v.room(params, p, val)
	}
	return sdkmath.MinInt(room, wanted), nil
}
