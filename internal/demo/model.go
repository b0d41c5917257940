package demo

import (
	"fmt"
	"math/big"
	"slices"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

// terms are what decides how much voting power a provider's stake gives: what
// the consumer's governance registered, and the consumer's own limits.
//
// This is the specification's arithmetic in rational numbers, for a consumer
// with one provider. It must not call the consumer module: it is what the
// module is measured by.
type terms struct {
	// price is in whole tokens of the consumer for a whole token of the
	// provider, discount what is taken off it.
	price, discount *big.Rat
	// scale turns base units of the provider into base units of the consumer.
	scale *big.Rat
	// maxCap is in base units of the consumer; ratio is the largest share of
	// all bonded tokens, allied ones included.
	maxCap math.Int
	ratio  *big.Rat
	// multiple bounds allied stake on one validator by its native stake.
	multiple *big.Rat
}

// newTerms reads a pairing of the topology. The global ratio binds all
// providers together, so here it is just another bound of the only one.
func newTerms(p localnet.PairingSpec, providerDecimals, consumerDecimals uint32, globalRatio, multiple math.LegacyDec) (terms, error) {
	t := terms{scale: new(big.Rat).Quo(powerOfTen(consumerDecimals), powerOfTen(providerDecimals)), multiple: rat(multiple)}
	var ok [3]bool
	t.price, ok[0] = new(big.Rat).SetString(p.Price)
	t.discount, ok[1] = new(big.Rat).SetString(p.Discount)
	t.ratio, ok[2] = new(big.Rat).SetString(p.MaxPowerRatio)
	var capOK bool
	t.maxCap, capOK = math.NewIntFromString(p.MaxCap)
	if slices.Contains(ok[:], false) || !capOK {
		return t, fmt.Errorf("pairing %s: not numbers: price %q, discount %q, max_power_ratio %q, max_cap %q",
			p.Name(), p.Price, p.Discount, p.MaxPowerRatio, p.MaxCap)
	}
	if global := rat(globalRatio); global.Cmp(t.ratio) < 0 {
		t.ratio = global
	}
	return t, nil
}

// backing is what stands behind one validator: tokens of its own chain, and
// tokens of the provider that are staked to it a second time. One that is away
// is jailed: it has its stake, but none of it is bonded.
type backing struct {
	native, restaked math.Int
	away             bool
}

// value is what an amount of the provider's base units is worth in the
// consumer's, after the discount.
func (t terms) value(restaked math.Int) math.Int {
	v := new(big.Rat).SetInt(restaked.BigInt())
	v.Mul(v, t.price)
	v.Mul(v, new(big.Rat).Sub(big.NewRat(1, 1), t.discount))
	return floor(v.Mul(v, t.scale))
}

// limit is the most allied stake there may be next to so much native stake: x
// with x/(x + native) = ratio, or the cap if that is less.
func (t terms) limit(native math.Int) math.Int {
	x := new(big.Rat).Quo(t.ratio, new(big.Rat).Sub(big.NewRat(1, 1), t.ratio))
	x.Mul(x, new(big.Rat).SetInt(native.BigInt()))
	return math.MinInt(floor(x), t.maxCap)
}

// allied is the stake that each validator gets from the provider, in the
// consumer's base units. Validators are in the order of their addresses.
func (t terms) allied(validators []backing) []math.Int {
	out := make([]math.Int, len(validators))
	native := math.ZeroInt()
	for i, v := range validators {
		if !v.away {
			native = native.Add(v.native)
		}
		own := new(big.Rat).Mul(t.multiple, new(big.Rat).SetInt(v.native.BigInt()))
		out[i] = math.MinInt(t.value(v.restaked), floor(own))
	}
	return cut(out, t.limit(native))
}

// cut lowers amounts in proportion until their sum is exactly the limit: each
// is rounded down, and what is missing goes to the largest fractions, one unit
// each, the first of equal ones first. Amounts within the limit stay.
func cut(amounts []math.Int, limit math.Int) []math.Int {
	total := sum(amounts)
	if total.LTE(limit) {
		return amounts
	}
	factor := big.NewRat(0, 1)
	if limit.IsPositive() {
		factor.SetFrac(limit.BigInt(), total.BigInt())
	}
	out := make([]math.Int, len(amounts))
	fractions := make([]*big.Rat, len(amounts))
	order := make([]int, len(amounts))
	for i, a := range amounts {
		exact := new(big.Rat).Mul(new(big.Rat).SetInt(a.BigInt()), factor)
		out[i] = floor(exact)
		fractions[i] = exact.Sub(exact, new(big.Rat).SetInt(out[i].BigInt()))
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return fractions[b].Cmp(fractions[a]) })
	missing := math.MaxInt(limit, math.ZeroInt()).Sub(sum(out))
	for _, i := range order {
		if !missing.IsPositive() {
			break
		}
		out[i] = out[i].AddRaw(1)
		missing = missing.SubRaw(1)
	}
	return out
}

func sum(amounts []math.Int) math.Int {
	total := math.ZeroInt()
	for _, a := range amounts {
		total = total.Add(a)
	}
	return total
}

// sumOf leaves some amounts out.
func sumOf(amounts []math.Int, without []bool) math.Int {
	total := math.ZeroInt()
	for i, a := range amounts {
		if !without[i] {
			total = total.Add(a)
		}
	}
	return total
}

func floor(r *big.Rat) math.Int {
	return math.NewIntFromBigInt(new(big.Int).Div(r.Num(), r.Denom()))
}

func rat(d math.LegacyDec) *big.Rat {
	return new(big.Rat).SetFrac(d.BigInt(), math.LegacyOneDec().BigInt())
}

func powerOfTen(n uint32) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil))
}
