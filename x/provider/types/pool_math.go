package types

import (
	"math/big"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// All of this is integer arithmetic on arbitrary-precision numbers: intermediate products cannot overflow, and every
// rounding is named. Rounding favours the pool.

var (
	bigScale = new(big.Int).Exp(big.NewInt(10), big.NewInt(36), nil)
	bigDec   = new(big.Int).Exp(big.NewInt(10), big.NewInt(sdkmath.LegacyPrecision), nil)
	// scalePerDec turns a LegacyDec's integer (10^18) into the scale of J and g (10^36), exactly.
	scalePerDec = new(big.Int).Quo(bigScale, bigDec)
)

// Scale is 10^36, the scale of slash indices (J) and budgets per share (g).
func Scale() sdkmath.Int { return sdkmath.NewIntFromBigInt(bigScale) }

// MaxAmount is 2^128: the tokens and the shares of a pool stay below it, as amounts on the wire do.
func MaxAmount() sdkmath.Int { return meshtypes.MaxAmount }

// mulDivFloor returns floor(a·b/c) for non-negative a, b and positive c.
func mulDivFloor(a, b, c *big.Int) *big.Int {
	r := new(big.Int).Mul(a, b)
	return r.Quo(r, c)
}

// mulDivCeil returns ceil(a·b/c) for non-negative a, b and positive c.
func mulDivCeil(a, b, c *big.Int) *big.Int {
	r := new(big.Int).Mul(a, b)
	q, m := r.QuoRem(r, c, new(big.Int))
	if m.Sign() != 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// toInt turns a big.Int into an sdkmath.Int. Numbers that do not fit become the largest that does: they only ever stand
// for "more than any amount", and an sdkmath.Int would panic.
func toInt(x *big.Int) sdkmath.Int {
	if x.BitLen() > sdkmath.MaxBitLen {
		return sdkmath.NewIntFromBigInt(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), sdkmath.MaxBitLen), big.NewInt(1)))
	}
	return sdkmath.NewIntFromBigInt(x)
}

// MulFloor returns floor(amount·fraction) for non-negative numbers.
func MulFloor(amount sdkmath.Int, fraction sdkmath.LegacyDec) sdkmath.Int {
	return toInt(mulDivFloor(amount.BigInt(), fraction.BigInt(), bigDec))
}

// MulCeil returns ceil(amount·fraction) for non-negative numbers.
func MulCeil(amount sdkmath.Int, fraction sdkmath.LegacyDec) sdkmath.Int {
	return toInt(mulDivCeil(amount.BigInt(), fraction.BigInt(), bigDec))
}

// MulRatioFloor returns floor(amount·num/den) for non-negative numbers and positive den.
func MulRatioFloor(amount, num, den sdkmath.Int) sdkmath.Int {
	return toInt(mulDivFloor(amount.BigInt(), num.BigInt(), den.BigInt()))
}

// MulRatioCeil returns ceil(amount·num/den) for non-negative numbers and positive den.
func MulRatioCeil(amount, num, den sdkmath.Int) sdkmath.Int {
	return toInt(mulDivCeil(amount.BigInt(), num.BigInt(), den.BigInt()))
}

// ScaledRatio returns the fraction scaled by 10^36, exactly.
func ScaledRatio(fraction sdkmath.LegacyDec) sdkmath.Int {
	return toInt(new(big.Int).Mul(fraction.BigInt(), scalePerDec))
}

// ScaledMulFloor returns floor(n·x/10^36), with x scaled by 10^36.
func ScaledMulFloor(n, x sdkmath.Int) sdkmath.Int {
	return toInt(mulDivFloor(n.BigInt(), x.BigInt(), bigScale))
}

// ScaledMulCeil returns ceil(n·x/10^36), with x scaled by 10^36.
func ScaledMulCeil(n, x sdkmath.Int) sdkmath.Int {
	return toInt(mulDivCeil(n.BigInt(), x.BigInt(), bigScale))
}

// ScaledQuoFloor returns floor(a·10^36/b) for positive b.
func ScaledQuoFloor(a, b sdkmath.Int) sdkmath.Int {
	return toInt(mulDivFloor(a.BigInt(), bigScale, b.BigInt()))
}

// NewPool returns an empty active pool, a new generation: J = 0 and g = ratio.
func NewPool(clientID string, validator []byte, ratio sdkmath.LegacyDec) Pool {
	return Pool{
		ClientId:       clientID,
		Validator:      validator,
		Kind:           POOL_KIND_ACTIVE,
		Tokens:         sdkmath.ZeroInt(),
		Shares:         sdkmath.ZeroInt(),
		SlashIndex:     sdkmath.ZeroInt(),
		BudgetPerShare: ScaledRatio(ratio),
	}
}

// NewPosition returns an empty position settled at the pool's present index.
func (p Pool) NewPosition() Position {
	return Position{Shares: sdkmath.ZeroInt(), SlashIndex: p.SlashIndex, Budget: sdkmath.ZeroInt()}
}

// IsBatch says whether the pool is an unbonding batch.
func (p Pool) IsBatch() bool { return p.Kind == POOL_KIND_BATCH }

// IsMatured says whether the pool is a batch whose lien has fallen.
func (p Pool) IsMatured() bool { return p.Batch != nil && p.Batch.Matured }

// IsLeaving says whether the pool is a batch whose stake counts nowhere else: neither matured nor redelegated.
func (p Pool) IsLeaving() bool { return p.IsBatch() && !p.IsMatured() && !p.Batch.Redelegated }

// ValueOf returns floor(s·T/S): what s shares are worth.
func (p Pool) ValueOf(s sdkmath.Int) sdkmath.Int {
	if !p.Shares.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return MulRatioFloor(s, p.Tokens, p.Shares)
}

// SharesForStake returns the shares that amount mints: 1:1 in an empty pool, else floor(amount·S/T). Errors:
// ErrAmountTooSmall if it mints none, ErrPoolClosed if the pool has shares but no tokens, ErrAmountTooLarge if tokens or
// shares would reach 2^128.
func (p Pool) SharesForStake(amount sdkmath.Int) (sdkmath.Int, error) {
	shares := amount
	if p.Shares.IsPositive() {
		if !p.Tokens.IsPositive() {
			return sdkmath.Int{}, errorsmod.Wrap(ErrPoolClosed, "pool has shares but no tokens")
		}
		shares = MulRatioFloor(amount, p.Shares, p.Tokens)
	}
	if !shares.IsPositive() {
		return sdkmath.Int{}, errorsmod.Wrapf(ErrAmountTooSmall, "%s is worth less than one share", amount)
	}
	if shares.GTE(MaxAmount()) || p.Shares.Add(shares).GTE(MaxAmount()) || p.Tokens.Add(amount).GTE(MaxAmount()) {
		return sdkmath.Int{}, errorsmod.Wrap(ErrAmountTooLarge, "the pool would reach 2^128")
	}
	return shares, nil
}

// SharesForValue returns ceil(amount·S/T), at most s: the shares of a position of s shares that give amount back.
func (p Pool) SharesForValue(amount, s sdkmath.Int) sdkmath.Int {
	if !p.Tokens.IsPositive() {
		return s
	}
	return sdkmath.MinInt(s, MulRatioCeil(amount, p.Shares, p.Tokens))
}

// Reserve returns the budget that s shares worth value need: max(ceil(ratio·value), ceil(g·s)).
func (p Pool) Reserve(value, s sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	return sdkmath.MaxInt(MulCeil(value, ratio), ScaledMulCeil(s, p.BudgetPerShare))
}

// SharesWorth returns the most shares of a position of s shares that are worth at most maxValue.
func (p Pool) SharesWorth(s, maxValue sdkmath.Int) sdkmath.Int {
	if !maxValue.IsPositive() || !p.Tokens.IsPositive() {
		return sdkmath.ZeroInt()
	}
	if p.ValueOf(s).LTE(maxValue) {
		return s // no share is lost to rounding
	}
	return sdkmath.MinInt(s, MulRatioFloor(maxValue, p.Shares, p.Tokens))
}

// SharesBacked returns the most shares of a position of s shares, worth at most maxValue, that budget backs: their
// value times ratio, rounded up, and g times their number fit budget.
func (p Pool) SharesBacked(s, budget, maxValue sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	if ratio.IsPositive() {
		// the largest v with ceil(ratio·v) ≤ budget is floor(budget/ratio)
		maxValue = sdkmath.MinInt(maxValue, toInt(mulDivFloor(budget.BigInt(), bigDec, ratio.BigInt())))
	}
	s = p.SharesWorth(s, maxValue)
	if p.BudgetPerShare.IsPositive() {
		s = sdkmath.MinInt(s, toInt(mulDivFloor(budget.BigInt(), bigScale, p.BudgetPerShare.BigInt())))
	}
	return s
}

// Mint adds shares and tokens to the pool.
func (p *Pool) Mint(shares, tokens sdkmath.Int) {
	p.Shares = p.Shares.Add(shares)
	p.Tokens = p.Tokens.Add(tokens)
}

// Burn takes shares and tokens out of the pool. Whoever takes the last share takes all tokens: S and T reach zero
// together. It returns the tokens taken.
func (p *Pool) Burn(shares, tokens sdkmath.Int) sdkmath.Int {
	if shares.GTE(p.Shares) {
		tokens = p.Tokens
		shares = p.Shares
	}
	tokens = sdkmath.MinInt(tokens, p.Tokens)
	p.Shares = p.Shares.Sub(shares)
	p.Tokens = p.Tokens.Sub(tokens)
	return tokens
}

// Slash takes x = min(floor(fraction·T), floor(g·S)) out of the pool: T −= x, J += x/S rounded up, g −= x/S rounded down.
// It is constant work, however many positions there are, and returns x. fraction is in [0,1].
func (p *Pool) Slash(fraction sdkmath.LegacyDec) sdkmath.Int {
	if !p.Shares.IsPositive() || !p.Tokens.IsPositive() {
		return sdkmath.ZeroInt()
	}
	x := sdkmath.MinInt(MulFloor(p.Tokens, fraction), ScaledMulFloor(p.Shares, p.BudgetPerShare))
	if !x.IsPositive() {
		return sdkmath.ZeroInt()
	}
	perShare := toInt(mulDivCeil(x.BigInt(), bigScale, p.Shares.BigInt()))
	p.Tokens = p.Tokens.Sub(x)
	p.SlashIndex = p.SlashIndex.Add(perShare)
	// x ≤ g·S/10^36, so ceil(x·10^36/S) ≤ g.
	p.BudgetPerShare = p.BudgetPerShare.Sub(perShare)
	return x
}

// Owed returns what a position owes since it was last settled: min(ceil(s·ΔJ), its budget).
func (p Pool) Owed(pos Position) sdkmath.Int {
	delta := p.SlashIndex.Sub(pos.SlashIndex)
	if !delta.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return sdkmath.MinInt(ScaledMulCeil(pos.Shares, delta), pos.Budget)
}

// Settle brings a position to the pool's present index and returns what it owes, taken from its budget.
func (p Pool) Settle(pos *Position) sdkmath.Int {
	owed := p.Owed(*pos)
	pos.Budget = pos.Budget.Sub(owed)
	pos.SlashIndex = p.SlashIndex
	return owed
}

// RateFloor returns T/S scaled by 10^36, rounded down; zero for an empty pool.
func (p Pool) RateFloor() sdkmath.Int {
	if !p.Shares.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return ScaledQuoFloor(p.Tokens, p.Shares)
}

// NeedsWalk says whether g < 0.9·ratio·T/S: budgets are so far below what the stake should reserve that its positions
// must be topped up.
func (p Pool) NeedsWalk(ratio sdkmath.LegacyDec) bool {
	if !p.Shares.IsPositive() {
		return false
	}
	// 10·g·S < 9·ratio·T, in units of 10^-36
	left := new(big.Int).Mul(p.BudgetPerShare.BigInt(), p.Shares.BigInt())
	left.Mul(left, big.NewInt(10))
	right := new(big.Int).Mul(ScaledRatio(ratio).BigInt(), p.Tokens.BigInt())
	right.Mul(right, big.NewInt(9))
	return left.Cmp(right) < 0
}

// FinishWalk raises g to max(g, ratio·ρ − (J − J₀)), rounded down, with ρ = T/S and J₀ at the walk's start.
func (p *Pool) FinishWalk(ratio sdkmath.LegacyDec, rate, slashIndex sdkmath.Int) {
	g := MulFloor(rate, ratio).Sub(p.SlashIndex.Sub(slashIndex))
	p.BudgetPerShare = sdkmath.MaxInt(p.BudgetPerShare, g)
}

// LowerRatio sets g = min(g, ratio·T/S), rounded down, when governance lowers ratio.
func (p *Pool) LowerRatio(ratio sdkmath.LegacyDec) {
	if p.Shares.IsPositive() {
		p.BudgetPerShare = sdkmath.MinInt(p.BudgetPerShare, MulFloor(p.RateFloor(), ratio))
	}
}

// BudgetPerShareOf returns floor(budget·10^36/shares): the g that a claim of shares with budget supports.
func BudgetPerShareOf(budget, shares sdkmath.Int) sdkmath.Int {
	if !shares.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return ScaledQuoFloor(budget, shares)
}

// Required returns debt + max(maxLien, budgets + ceil(nativeRatio·collateral)).
func Required(debt, maxLien, budgets, collateral sdkmath.Int, nativeRatio sdkmath.LegacyDec) sdkmath.Int {
	return debt.Add(sdkmath.MaxInt(maxLien, budgets.Add(MulCeil(collateral, nativeRatio))))
}

// BudgetRoom returns how much all budgets together may be with the given collateral:
// floor((1−nativeRatio)·collateral), not below zero.
func BudgetRoom(collateral sdkmath.Int, nativeRatio sdkmath.LegacyDec) sdkmath.Int {
	return sdkmath.MaxInt(collateral.Sub(MulCeil(collateral, nativeRatio)), sdkmath.ZeroInt())
}

// NeededCollateral returns the smallest collateral C with Required(C) ≤ C:
// max(debt + maxLien, ceil((debt + budgets)/(1−nativeRatio))). With a native ratio of 1 or more nothing that needs a
// budget can be backed; then ok is false.
func NeededCollateral(debt, maxLien, budgets sdkmath.Int, nativeRatio sdkmath.LegacyDec) (needed sdkmath.Int, ok bool) {
	needed = debt.Add(maxLien)
	reserve := debt.Add(budgets)
	if !reserve.IsPositive() {
		return needed, true
	}
	rest := new(big.Int).Sub(bigDec, nativeRatio.BigInt())
	if rest.Sign() <= 0 {
		return needed, false
	}
	// C − ceil(ratio·C) = floor((1−ratio)·C) ≥ reserve  ⟺  C ≥ ceil(reserve/(1−ratio))
	return sdkmath.MaxInt(needed, toInt(mulDivCeil(reserve.BigInt(), bigDec, rest))), true
}
