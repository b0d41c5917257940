package keeper

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// TryChange is a change of a provider's virtual stake on a validator to so many native tokens.
type TryChange struct {
	Provider  string
	Validator sdk.ValAddress
	Increase  bool
	Tokens    sdkmath.Int
}

// TryChanges carries out changes from a view that knows nothing and, over the same state, from one that knows everything.
// It returns an error unless both come to the same, and both views have followed the stores exactly. Nothing is written.
// It returns how much the view that knew nothing had to learn.
func (k *Keeper) TryChanges(ctx sdk.Context, changes []TryChange) (learned int, err error) {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return 0, err
	}
	var list []change
	for _, c := range changes {
		list = append(list, change{
			provider: c.Provider, valAddr: c.Validator, increase: c.Increase,
			target: types.Target{Tokens: c.Tokens, Amount: sdkmath.ZeroInt(), Price: sdkmath.LegacyZeroDec()},
		})
	}
	var results [2]string
	for i, read := range []func(sdk.Context) (*view, error){
		func(ctx sdk.Context) (*view, error) { return k.lazyView(ctx) },
		func(ctx sdk.Context) (*view, error) { return k.newView(ctx) },
	} {
		ctx, _ := ctx.CacheContext()
		v, err := read(ctx)
		if err != nil {
			return 0, err
		}
		if _, err := k.executeAll(ctx, params, v, list, false); err != nil {
			return 0, err
		}
		if err := k.followed(ctx, v); err != nil {
			return 0, fmt.Errorf("view %d: %w", i, err)
		}
		if results[i], err = k.allVirtual(ctx); err != nil {
			return 0, err
		}
		if i == 0 {
			learned = int(v.sums)
		}
	}
	if results[0] != results[1] {
		return 0, fmt.Errorf("from nothing:\n%s\nfrom everything:\n%s", results[0], results[1])
	}
	return learned, nil
}

// followed returns an error unless what a view knows is what the stores say.
func (k *Keeper) followed(ctx sdk.Context, v *view) error {
	for addr, val := range v.validators {
		validator, err := k.staking.GetValidator(ctx, sdk.ValAddress(addr))
		if (err == nil) != val.exists {
			return fmt.Errorf("%X exists: %v, view: %v", addr, err == nil, val.exists)
		}
		if err != nil {
			continue
		}
		got, err := val.validator.Marshal()
		if err != nil {
			return err
		}
		want, err := validator.Marshal()
		if err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			return fmt.Errorf("%X is\n%s\nin the view\n%s", addr, &validator, &val.validator)
		}
	}
	now, err := k.newView(ctx)
	if err != nil {
		return err
	}
	for i, p := range v.providers {
		if total := now.providers[i].total; p.sums == bounded && p.total.LT(total) {
			return fmt.Errorf("%s has %s, above the bound %s", p.id(), total, p.total)
		}
		if p.sums != exact {
			continue
		}
		for addr, h := range p.current {
			if got := now.providers[i].current[addr].shares; !h.shares.IsZero() && !got.Equal(h.shares) {
				return fmt.Errorf("%s has %s shares of %X, in the view %s", p.id(), got, addr, h.shares)
			}
		}
	}
	if !now.bonded.Equal(v.bonded) {
		return fmt.Errorf("%s are bonded, in the view %s", now.bonded, v.bonded)
	}
	if v.sums == bounded && (v.virtualTotal.LT(now.virtualTotal) || v.virtualBonded.LT(now.virtualBonded)) {
		return fmt.Errorf("virtual stake is %s and %s, above the bounds %s and %s",
			now.virtualTotal, now.virtualBonded, v.virtualTotal, v.virtualBonded)
	}
	return nil
}

// allVirtual lists all virtual delegations.
func (k *Keeper) allVirtual(ctx sdk.Context) (string, error) {
	v, err := k.newView(ctx)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, p := range v.providers {
		for addr, h := range p.current {
			lines = append(lines, fmt.Sprintf("%s %X %s %s", p.id(), addr, h.tokens, h.shares))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}
