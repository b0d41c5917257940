package types

import (
	"math/big"
	"slices"

	sdkmath "cosmossdk.io/math"
)

// The maths of consumer.md, "From a stake report to voting power". Everything is exact: integers of any size, one
// division at the end, rounded down.

// one is the scale of sdkmath.LegacyDec, 10^18.
var one = pow10(sdkmath.LegacyPrecision)

func pow10(n uint32) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), new(big.Int).SetUint64(uint64(n)), nil)
}

// Value returns what an amount of collateral is worth, in native tokens rounded down:
//
//	amount · price · (1 − discount) · 10^(nativeDecimals − collateralDecimals)
//
// with the price in whole native tokens per whole collateral token.
func Value(amount sdkmath.Int, price, discount sdkmath.LegacyDec, nativeDecimals, collateralDecimals uint32) *big.Int {
	num := new(big.Int).Mul(amount.BigInt(), price.BigInt())
	num.Mul(num, new(big.Int).Sub(one, discount.BigInt()))
	den := new(big.Int).Mul(one, one)
	if nativeDecimals >= collateralDecimals {
		num.Mul(num, pow10(nativeDecimals-collateralDecimals))
	} else {
		den.Mul(den, pow10(collateralDecimals-nativeDecimals))
	}
	return num.Quo(num, den)
}

// RatioCap returns the most tokens that make up at most ratio of the whole when added to base others, rounded down:
// ratio/(1−ratio) · base. It is zero for a ratio or a base that is not positive.
//
// CONTRACT: ratio < 1.
func RatioCap(ratio sdkmath.LegacyDec, base sdkmath.Int) *big.Int {
	if !ratio.IsPositive() || !base.IsPositive() {
		return new(big.Int)
	}
	num := new(big.Int).Mul(ratio.BigInt(), base.BigInt())
	return num.Quo(num, new(big.Int).Sub(one, ratio.BigInt()))
}

// ProviderCap returns the most virtual stake of a provider: the smaller of its max_cap and what keeps it within
// max_power_ratio, where others are all bonded tokens less its own bonded virtual stake.
func ProviderCap(c ProviderConfig, others sdkmath.Int) *big.Int {
	return minBig(c.MaxCap.BigInt(), RatioCap(c.MaxPowerRatio, others))
}

// MultipleCap returns the most virtual stake on a validator with that much native stake, rounded down.
func MultipleCap(multiple sdkmath.LegacyDec, native sdkmath.Int) *big.Int {
	if !native.IsPositive() || !multiple.IsPositive() {
		return new(big.Int)
	}
	num := new(big.Int).Mul(multiple.BigInt(), native.BigInt())
	return num.Quo(num, one)
}

// AfterSlash returns amount·(1 − fraction), rounded down.
func AfterSlash(amount sdkmath.Int, fraction sdkmath.LegacyDec) sdkmath.Int {
	if !fraction.IsPositive() {
		return amount
	}
	if fraction.GTE(sdkmath.LegacyOneDec()) {
		return sdkmath.ZeroInt()
	}
	num := new(big.Int).Mul(amount.BigInt(), new(big.Int).Sub(one, fraction.BigInt()))
	return sdkmath.NewIntFromBigInt(num.Quo(num, one))
}

// WantInput is what one provider's target on one validator depends on, before caps.
type WantInput struct {
	// Amount is the amount last reported, Executed the one at executed_seq, both in provider tokens.
	Amount, Executed sdkmath.Int
	// Current is the virtual stake, in native tokens.
	Current sdkmath.Int
	// Changed: an amount was reported since the one executed.
	Changed bool
	// Price is the price in force; Usable whether there is one; MayRise whether it, and the provider's status, may raise
	// the target.
	Price           sdkmath.LegacyDec
	Usable, MayRise bool
	// ReferencePrice is the price of the target last executed, zero if there is none.
	ReferencePrice sdkmath.LegacyDec
	// Threshold is the relative difference below which a mere price change moves nothing.
	Threshold sdkmath.LegacyDec

	Discount                           sdkmath.LegacyDec
	NativeDecimals, CollateralDecimals uint32
}

// Want returns the virtual stake wanted before caps, and the price it was computed with (zero if there is none).
//
// Without a usable price that is Fallback. If only the price has changed since the target last executed, and the value
// by less than the threshold, the reference price stays in use.
func Want(in WantInput) (*big.Int, sdkmath.LegacyDec) {
	if !in.Usable {
		return Fallback(in.Current, in.Amount, in.Executed), in.ReferencePrice
	}
	price := in.Price
	value := Value(in.Amount, price, in.Discount, in.NativeDecimals, in.CollateralDecimals)
	if !in.Changed && in.ReferencePrice.IsPositive() && !in.ReferencePrice.Equal(price) {
		old := Value(in.Amount, in.ReferencePrice, in.Discount, in.NativeDecimals, in.CollateralDecimals)
		if below(value, old, in.Threshold) {
			value, price = old, in.ReferencePrice
		}
	}
	if !in.MayRise {
		value = minBig(value, in.Current.BigInt())
	}
	return value, price
}

// below says whether |a − b| < threshold · b.
func below(a, b *big.Int, threshold sdkmath.LegacyDec) bool {
	diff := new(big.Int).Sub(a, b)
	diff.Abs(diff).Mul(diff, one)
	return diff.Cmp(new(big.Int).Mul(threshold.BigInt(), b)) < 0
}

// Fallback returns the target where no price is usable: current · min(1, amount / executed), rounded down; zero if
// executed is zero.
func Fallback(current, amount, executed sdkmath.Int) *big.Int {
	if !executed.IsPositive() {
		return new(big.Int)
	}
	if amount.GTE(executed) {
		return current.BigInt()
	}
	num := new(big.Int).Mul(current.BigInt(), amount.BigInt())
	return num.Quo(num, executed.BigInt())
}

// Wanted is one provider's stake on one validator in the plan. Provider and Validator are indices into the caps.
type Wanted struct {
	Validator, Provider int
	Tokens              *big.Int
}

// ApplyCaps lowers what is wanted until it is within the caps, in this order: per validator over all providers, per
// provider, then one factor for all. Where a sum is above its cap it is scaled to be exactly the cap (Scale).
//
// CONTRACT: wanted is sorted by validator, then provider, and the indices are in the order of operator addresses and of
// provider ids: this decides ties.
func ApplyCaps(wanted []Wanted, validatorCaps, providerCaps []*big.Int, globalCap *big.Int) {
	byValidator := make([][]*big.Int, len(validatorCaps))
	byProvider := make([][]*big.Int, len(providerCaps))
	all := make([]*big.Int, len(wanted))
	for i, w := range wanted {
		byValidator[w.Validator] = append(byValidator[w.Validator], w.Tokens)
		byProvider[w.Provider] = append(byProvider[w.Provider], w.Tokens)
		all[i] = w.Tokens
	}
	for i, tokens := range byValidator {
		Scale(tokens, validatorCaps[i])
	}
	for i, tokens := range byProvider {
		Scale(tokens, providerCaps[i])
	}
	Scale(all, globalCap)
}

// Scale multiplies the values, in place, by limit/sum if their sum is above limit: each rounded down, then what is left
// to the largest remainders, one each, the first of equal ones first. So the sum is exactly limit. No value rises.
func Scale(values []*big.Int, limit *big.Int) {
	sum := new(big.Int)
	for _, v := range values {
		sum.Add(sum, v)
	}
	if sum.Cmp(limit) <= 0 {
		return
	}
	if limit.Sign() <= 0 {
		for _, v := range values {
			v.SetInt64(0)
		}
		return
	}

	left := new(big.Int).Set(limit)
	remainders := make([]*big.Int, len(values))
	order := make([]int, len(values))
	for i, v := range values {
		remainders[i] = new(big.Int)
		v.Mul(v, limit)
		v.QuoRem(v, sum, remainders[i])
		left.Sub(left, v)
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return remainders[b].Cmp(remainders[a]) })
	// left is the sum of the remainders divided by sum, so less than there are remainders above zero.
	for _, i := range order {
		if left.Sign() == 0 {
			break
		}
		values[i].Add(values[i], bigOne)
		left.Sub(left, bigOne)
	}
}

var bigOne = big.NewInt(1)

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) <= 0 {
		return new(big.Int).Set(a)
	}
	return new(big.Int).Set(b)
}
