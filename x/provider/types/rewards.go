package types

import (
	"math/big"
	"slices"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/address"
)

const (
	// MaxRewardDenoms is how many denoms a consumer may register for rewards.
	MaxRewardDenoms = 4
	// MaxPoolDenoms is how many denoms a pool may earn in its life; rewards in others go to the community pool.
	MaxPoolDenoms = 8
	// MaxAccruedPerMsg is how many records of settled rewards one MsgWithdrawRewards pays out; another pays the rest.
	MaxAccruedPerMsg = 1_000

	maxRewardSender   = 128
	maxRewardDenom    = 256
	maxRewardReceiver = 256
	// maxIndexBits bounds reward indices.
	maxIndexBits = 240
	// maxUnsettledBits bounds the sum of what is unsettled, scaled.
	maxUnsettledBits = 250
)

// RewardAccount returns the account to which a consumer sends rewards. It is derived: nobody has its key, and no module
// account is it, which transfer would refuse.
func RewardAccount(clientID string) sdk.AccAddress {
	return address.Module(ModuleName, []byte("rewards"), []byte(clientID))
}

// validateRewards returns ErrInvalidConfig unless channel and sender are both there or both not, and the denoms are few,
// and none is there twice.
func (c ConsumerConfig) validateRewards() error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidConfig, format, args...) }
	switch {
	case (c.RewardChannel == "") != (c.RewardSender == ""):
		return bad("reward_channel and reward_sender go together")
	case len(c.RewardChannel) > maxIDBytes || !isPlain(c.RewardChannel):
		return bad("reward_channel must have at most %d visible characters", maxIDBytes)
	case len(c.RewardSender) > maxRewardSender || !isPlain(c.RewardSender):
		return bad("reward_sender must have at most %d visible characters", maxRewardSender)
	case len(c.RewardDenoms) > MaxRewardDenoms:
		return bad("%d reward_denoms, at most %d", len(c.RewardDenoms), MaxRewardDenoms)
	case len(c.RewardDenoms) > 0 && c.RewardChannel == "":
		return bad("reward_denoms without reward_channel")
	}
	for i, d := range c.RewardDenoms {
		if d == "" || len(d) > maxRewardDenom || !isPlain(d) || slices.Contains(c.RewardDenoms[:i], d) {
			return bad("reward_denoms: %.64q is there twice, or has not 1 to %d visible characters", d, maxRewardDenom)
		}
	}
	return nil
}

// isPlain says whether s has visible ASCII characters only.
func isPlain(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c <= ' ' || c > '~' })
}

// ValidateReceiver returns ErrInvalidReceiver unless s may be an address on a consumer; only the consumer can tell.
func ValidateReceiver(s string) error {
	if s == "" || len(s) > maxRewardReceiver || !isPlain(s) {
		return errorsmod.Wrapf(ErrInvalidReceiver, "%.64q", s)
	}
	return nil
}

// NewRewardBook returns the book of a denom in which nothing came yet.
func NewRewardBook() RewardBook {
	zero := sdkmath.ZeroInt()
	return RewardBook{Received: zero, Community: zero, Withdrawn: zero, Accrued: zero, Unsettled: zero}
}

// Owed returns received − community − withdrawn: what the reward account must have.
func (b RewardBook) Owed() sdkmath.Int { return b.Received.Sub(b.Community).Sub(b.Withdrawn) }

// Claimable returns what positions have earned and was not withdrawn, rounded down: their own roundings can leave up to one
// each of it.
func (b RewardBook) Claimable() sdkmath.Int { return b.Accrued.Add(b.Unsettled.Quo(Scale())) }

// Dust returns what rounding has left: owed − claimable.
func (b RewardBook) Dust() sdkmath.Int { return b.Owed().Sub(b.Claimable()) }

// validate returns ErrInvalidGenesis unless no number is missing or negative, and what is owed covers what is accrued and
// unsettled.
func (b RewardBook) validate() error {
	for _, n := range []sdkmath.Int{b.Received, b.Community, b.Withdrawn, b.Accrued, b.Unsettled} {
		if n.IsNil() || n.IsNegative() {
			return errorsmod.Wrap(ErrInvalidGenesis, "a sum of rewards is missing or negative")
		}
	}
	owed := new(big.Int).Sub(b.Owed().BigInt(), b.Accrued.BigInt())
	if owed.Mul(owed, bigScale).Cmp(b.Unsettled.BigInt()) < 0 {
		return errorsmod.Wrapf(ErrInvalidGenesis, "rewards of %s are owed, %s accrued and %s unsettled", b.Owed(), b.Accrued, b.Unsettled)
	}
	return nil
}

// AddUnsettled returns b with x, scaled by 10^36, added to what is unsettled; false if that would be out of range.
func (b RewardBook) AddUnsettled(x sdkmath.Int) (RewardBook, bool) {
	sum := new(big.Int).Add(b.Unsettled.BigInt(), x.BigInt())
	if sum.BitLen() > maxUnsettledBits {
		return b, false
	}
	b.Unsettled = sdkmath.NewIntFromBigInt(sum)
	return b, true
}

// RewardIndex returns the place of a denom among the pool's rewards, or −1.
func (p Pool) RewardIndex(denom string) int {
	return slices.IndexFunc(p.Rewards, func(r PoolReward) bool { return r.Denom == denom })
}

// Reward gives the pool an amount below 2^128: its index rises by floor(amount·10^36/S). It is constant work, however many
// positions there are. It returns by how much shares times index rose, scaled; false, and the pool is as before, if it
// has no shares, earned in too many denoms, the amount is less than one index step, or the index would be out of range.
func (p *Pool) Reward(denom string, amount sdkmath.Int) (sdkmath.Int, bool) {
	if !p.Shares.IsPositive() {
		return sdkmath.Int{}, false
	}
	i := p.RewardIndex(denom)
	if i < 0 && len(p.Rewards) >= MaxPoolDenoms {
		return sdkmath.Int{}, false
	}
	step := mulDivFloor(amount.BigInt(), bigScale, p.Shares.BigInt())
	index := new(big.Int).Set(step)
	if i >= 0 {
		index.Add(index, p.Rewards[i].Index.BigInt())
	}
	if step.Sign() == 0 || index.BitLen() > maxIndexBits {
		return sdkmath.Int{}, false
	}
	if i < 0 {
		p.Rewards = append(slices.Clip(p.Rewards), PoolReward{Denom: denom})
		i = len(p.Rewards) - 1
	}
	p.Rewards[i].Index = sdkmath.NewIntFromBigInt(index)
	return sdkmath.NewIntFromBigInt(step.Mul(step, p.Shares.BigInt())), true
}

// Earned is what a position earned in one denom since it was last settled.
type Earned struct {
	// Denom is that of this chain.
	Denom string
	// Amount is floor(s·ΔI).
	Amount sdkmath.Int
	// Scaled is s·ΔI before rounding, scaled by 10^36.
	Scaled sdkmath.Int
}

// EarnedBy returns what so many shares of a position earned since it was last settled, without denoms in which that is
// nothing.
func (p Pool) EarnedBy(shares sdkmath.Int, pos Position) (earned []Earned) {
	for i, r := range p.Rewards {
		delta := r.Index.BigInt()
		if i < len(pos.RewardIndices) {
			delta.Sub(delta, pos.RewardIndices[i].BigInt())
		}
		if delta.Sign() <= 0 || !shares.IsPositive() {
			continue
		}
		scaled := delta.Mul(delta, shares.BigInt())
		if scaled.BitLen() > sdkmath.MaxBitLen {
			continue // the book's bound on the sum excludes it
		}
		earned = append(earned, Earned{
			Denom: r.Denom, Amount: sdkmath.NewIntFromBigInt(new(big.Int).Quo(scaled, bigScale)), Scaled: sdkmath.NewIntFromBigInt(scaled),
		})
	}
	return earned
}

// SettleRewards brings a position to the pool's present reward indices.
func (p Pool) SettleRewards(pos *Position) {
	if len(p.Rewards) == 0 {
		return
	}
	pos.RewardIndices = make([]sdkmath.Int, len(p.Rewards))
	for i, r := range p.Rewards {
		pos.RewardIndices[i] = r.Index
	}
}
