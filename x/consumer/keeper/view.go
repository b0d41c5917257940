package keeper

import (
	"context"
	"errors"
	"slices"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// view is all virtual stake at one moment, read once for a whole plan or a block's part of it.
type view struct {
	providers  []*providerView
	byID       map[string]*providerView
	validators map[string]*validatorView
	// operators are addresses decoded already: decoding is dear.
	operators map[string]sdk.ValAddress
	// bonded are all bonded tokens; virtualBonded and virtualTotal those of all providers.
	bonded, virtualBonded, virtualTotal sdkmath.Int
}

type providerView struct {
	types.Provider
	// account holds the virtual stake.
	account sdk.AccAddress
	// current is the virtual stake by validator (raw operator address).
	current map[string]sdkmath.Int
	// total is its sum, bonded the part of it on bonded validators.
	total, bonded sdkmath.Int
}

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
	if val, ok := v.validators[string(valAddr)]; ok && val.exists {
		return val.validator.OperatorAddress
	}
	return ""
}

func (p *providerView) id() string { return p.Config.ProviderId }

func (p *providerView) on(val string) sdkmath.Int {
	if tokens, ok := p.current[val]; ok {
		return tokens
	}
	return sdkmath.ZeroInt()
}

// newView reads all virtual stake: one iteration per provider and one read per validator.
func (k *Keeper) newView(ctx context.Context) (*view, error) {
	bonded, err := k.staking.TotalValidatorPower(ctx)
	if err != nil {
		return nil, err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{
		byID:       make(map[string]*providerView, len(providers)),
		validators: map[string]*validatorView{},
		operators:  map[string]sdk.ValAddress{},
		bonded:     bonded, virtualBonded: sdkmath.ZeroInt(), virtualTotal: sdkmath.ZeroInt(),
	}
	for _, p := range providers {
		pv := &providerView{Provider: p, account: types.VirtualAccount(p.Config.ProviderId), current: map[string]sdkmath.Int{}, total: sdkmath.ZeroInt(), bonded: sdkmath.ZeroInt()}
		v.providers = append(v.providers, pv)
		v.byID[pv.id()] = pv

		var delegations []stakingtypes.Delegation
		err := k.staking.IterateDelegatorDelegations(ctx, pv.account, func(d stakingtypes.Delegation) bool {
			delegations = append(delegations, d)
			return false
		})
		if err != nil {
			return nil, err
		}
		for _, d := range delegations {
			valAddr, ok := v.operators[d.ValidatorAddress]
			if !ok {
				if valAddr, err = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); err != nil {
					return nil, err
				}
				v.operators[d.ValidatorAddress] = valAddr
			}
			val, err := k.viewValidator(ctx, v, valAddr)
			if err != nil {
				return nil, err
			}
			if val.exists {
				v.add(pv, val, tokensOf(val.validator, d.Shares))
			}
		}
	}
	return v, nil
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

// add adds tokens, which may be negative, to a provider's virtual stake on a validator.
func (v *view) add(p *providerView, val *validatorView, tokens sdkmath.Int) {
	p.current[string(val.addr)] = p.on(string(val.addr)).Add(tokens)
	p.total = p.total.Add(tokens)
	val.virtual = val.virtual.Add(tokens)
	v.virtualTotal = v.virtualTotal.Add(tokens)
	if val.validator.IsBonded() {
		p.bonded = p.bonded.Add(tokens)
		v.virtualBonded = v.virtualBonded.Add(tokens)
	}
}

// moved follows a change that has been executed.
func (v *view) moved(p *providerView, val *validatorView, tokens sdkmath.Int) {
	v.add(p, val, tokens)
	if val.exists {
		val.validator.Tokens = val.validator.Tokens.Add(tokens)
		if val.validator.IsBonded() {
			v.bonded = v.bonded.Add(tokens)
		}
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
