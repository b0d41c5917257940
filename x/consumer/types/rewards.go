package types

import (
	"math/big"
	"strings"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/address"

	host "github.com/cosmos/ibc-go/v11/modules/core/24-host"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// MaxRewardDenoms is how many denoms may be registered for a provider.
	MaxRewardDenoms = 4
	// MaxReceiverBytes is the longest address of a receiver of rewards.
	MaxReceiverBytes = 128
	// MaxRewardWait is how long an amount below its minimum waits at most.
	MaxRewardWait = 24 * time.Hour

	// DefaultRewardWithdrawals is max_reward_withdrawals where it is not set; MaxRewardWithdrawals is the most it may be.
	DefaultRewardWithdrawals = 200
	// MaxRewardWithdrawals is the most that max_reward_withdrawals may be.
	MaxRewardWithdrawals = 10_000
)

// Prefixes of the rewards' state; see those of the module.
var (
	RewardsKey         = collections.NewPrefix(20)
	RewardBooksKey     = collections.NewPrefix(21)
	RewardTransfersKey = collections.NewPrefix(22)
	RewardWorkKey      = collections.NewPrefix(23)
)

// Errors of rewards.
var (
	ErrInvalidRewardDenom    = errorsmod.Register(ModuleName, 40, "invalid reward denom")
	ErrTooManyRewardDenoms   = errorsmod.Register(ModuleName, 41, "too many reward denoms")
	ErrInvalidRewardChannel  = errorsmod.Register(ModuleName, 42, "invalid reward channel")
	ErrInvalidRewardReceiver = errorsmod.Register(ModuleName, 43, "invalid reward receiver")
	ErrNoRewardChannel       = errorsmod.Register(ModuleName, 44, "no channel or no receiver for rewards is registered")
	ErrNoTransfer            = errorsmod.Register(ModuleName, 45, "keeper is not connected to ICS-20 transfer")
	ErrRewardTransferUsed    = errorsmod.Register(ModuleName, 46, "a reward transfer with this channel and sequence is in flight")
	ErrDepositDenom          = errorsmod.Register(ModuleName, 47, "denom may not be deposited into validators' rewards")
)

// RewardAccount returns the account that holds a provider's rewards until they are sent, and sends them. Nobody has a key
// to it.
func RewardAccount(providerID string) sdk.AccAddress {
	return address.Module(ModuleName, []byte("rewards"), []byte(providerID))
}

// Withdrawals returns max_reward_withdrawals, or its default if it is not set.
func (p Params) Withdrawals() int {
	if p.MaxRewardWithdrawals == 0 {
		return DefaultRewardWithdrawals
	}
	return int(p.MaxRewardWithdrawals)
}

// FindRewardDenom returns the entry of a denom, and whether there is one.
func FindRewardDenom(denoms []RewardDenom, denom string) (RewardDenom, bool) {
	for _, d := range denoms {
		if d.Denom == denom {
			return d, true
		}
	}
	return RewardDenom{}, false
}

// validateRewards checks what a configuration says of rewards.
func (c ProviderConfig) validateRewards() error {
	if len(c.RewardDenoms) > MaxRewardDenoms {
		return errorsmod.Wrapf(ErrTooManyRewardDenoms, "%d, at most %d", len(c.RewardDenoms), MaxRewardDenoms)
	}
	for i, d := range c.RewardDenoms {
		if sdk.ValidateDenom(d.Denom) != nil {
			return errorsmod.Wrapf(ErrInvalidRewardDenom, "%q", d.Denom)
		}
		if _, twice := FindRewardDenom(c.RewardDenoms[:i], d.Denom); twice {
			return errorsmod.Wrapf(ErrInvalidRewardDenom, "%s twice", d.Denom)
		}
		if d.MinTransfer.IsNil() || d.MinTransfer.IsNegative() || d.MinTransfer.GTE(meshtypes.MaxAmount) {
			return errorsmod.Wrapf(ErrInvalidRewardDenom, "min_transfer of %s must be in [0, 2^128)", d.Denom)
		}
	}
	if c.RewardChannel == "" && c.RewardReceiver == "" {
		return nil
	}
	// A channel's id and a client's follow the same rules; which of both it is shows when rewards are sent.
	if err := host.ChannelIdentifierValidator(c.RewardChannel); err != nil {
		return errorsmod.Wrap(ErrInvalidRewardChannel, err.Error())
	}
	if c.RewardReceiver == "" || len(c.RewardReceiver) > MaxReceiverBytes || strings.TrimSpace(c.RewardReceiver) != c.RewardReceiver {
		return errorsmod.Wrapf(ErrInvalidRewardReceiver, "%.140q", c.RewardReceiver)
	}
	return nil
}

// NewRewardBook returns a book of nothing.
func NewRewardBook() RewardBook {
	zero := sdkmath.ZeroInt()
	return RewardBook{Collected: zero, Pending: zero, Unmoved: zero, InFlight: zero, Delivered: zero, Abandoned: zero}
}

// Validate returns ErrInvalidGenesis unless nothing in the book is negative and it adds up.
func (b RewardBook) Validate() error {
	for _, amount := range []sdkmath.Int{b.Collected, b.Pending, b.Unmoved, b.InFlight, b.Delivered, b.Abandoned} {
		if !isAmount(amount) {
			return errorsmod.Wrap(ErrInvalidGenesis, "amount of a reward book")
		}
	}
	sum := new(big.Int)
	for _, part := range []sdkmath.Int{b.Pending, b.InFlight, b.Delivered, b.Abandoned} {
		sum.Add(sum, part.BigInt())
	}
	switch {
	case b.Collected.BigInt().Cmp(sum) != 0:
		return errorsmod.Wrap(ErrInvalidGenesis, "reward book: collected is not pending, in flight, delivered and abandoned together")
	case b.Unmoved.GT(b.Pending):
		return errorsmod.Wrap(ErrInvalidGenesis, "reward book: unmoved is more than pending")
	case b.Pending.IsZero() != b.WaitingSince.IsZero():
		return errorsmod.Wrap(ErrInvalidGenesis, "reward book: waiting_since")
	}
	return nil
}

// Sum returns all amounts of the transfer together.
func (t RewardTransfer) Sum() sdkmath.Int {
	sum := sdkmath.ZeroInt()
	for _, r := range t.Rewards {
		sum = sum.Add(r.Amount)
	}
	return sum
}

// RewardPart returns the part of an amount that is forwarded: amount × ratio, rounded down.
func RewardPart(amount sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	part := new(big.Int).Mul(amount.BigInt(), ratio.BigInt())
	return sdkmath.NewIntFromBigInt(part.Quo(part, sdkmath.LegacyOneDec().BigInt()))
}

// Validate returns an error unless the transfer has one to 200 validators, each once and with an amount in (0, 2^128).
func (t RewardTransfer) Validate() error {
	if len(t.Rewards) == 0 || len(t.Rewards) > meshtypes.MaxRewards {
		return errorsmod.Wrapf(ErrInvalidGenesis, "reward transfer of %d validators", len(t.Rewards))
	}
	seen := map[string]bool{}
	for _, r := range t.Rewards {
		if err := ValidateOperator(r.Validator); err != nil {
			return err
		}
		if seen[string(r.Validator)] || !isAmount(r.Amount) || r.Amount.IsZero() || r.Amount.GTE(meshtypes.MaxAmount) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "reward transfer: %X", r.Validator)
		}
		seen[string(r.Validator)] = true
	}
	return nil
}

// Validate returns ErrInvalidGenesis unless the work's phase is one.
func (w RewardWork) Validate() error {
	if w.Phase <= REWARD_PHASE_UNSPECIFIED || w.Phase > REWARD_PHASE_SWEEP {
		return errorsmod.Wrapf(ErrInvalidGenesis, "phase %d of work on rewards", w.Phase)
	}
	return nil
}

// validateRewards checks that the books agree with what waits and what is in flight.
func (gs GenesisState) validateRewards(known func(providerID string) bool) error {
	type key struct{ provider, denom string }
	books := map[key]RewardBook{}
	for _, r := range gs.RewardBooks {
		id := key{r.ProviderId, r.Denom}
		if !known(r.ProviderId) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "rewards of unknown provider %q", r.ProviderId)
		}
		if _, twice := books[id]; twice || sdk.ValidateDenom(r.Denom) != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "reward book of %q in %q", r.ProviderId, r.Denom)
		}
		if err := r.Book.Validate(); err != nil {
			return errorsmod.Wrapf(err, "provider %q, denom %q", r.ProviderId, r.Denom)
		}
		books[id] = r.Book
	}
	pending, inFlight := map[key]sdkmath.Int{}, map[key]sdkmath.Int{}
	add := func(sums map[key]sdkmath.Int, id key, amount sdkmath.Int) error {
		if _, ok := books[id]; !ok {
			return errorsmod.Wrapf(ErrInvalidGenesis, "rewards of %q in %q without a book", id.provider, id.denom)
		}
		if sum, ok := sums[id]; ok {
			amount = amount.Add(sum)
		}
		sums[id] = amount
		return nil
	}
	type entry struct {
		key
		validator string
	}
	seen := map[entry]bool{}
	for _, r := range gs.Rewards {
		id := key{r.ProviderId, r.Denom}
		if err := ValidateOperator(r.Validator); err != nil {
			return err
		}
		e := entry{id, string(r.Validator)}
		if seen[e] || !isAmount(r.Amount) || r.Amount.IsZero() {
			return errorsmod.Wrapf(ErrInvalidGenesis, "reward of %q on %X", r.ProviderId, r.Validator)
		}
		seen[e] = true
		if err := add(pending, id, r.Amount); err != nil {
			return err
		}
	}
	type packet struct {
		channel  string
		sequence uint64
	}
	sent := map[packet]bool{}
	for _, r := range gs.RewardTransfers {
		id := packet{r.Channel, r.Sequence}
		if sent[id] || host.ChannelIdentifierValidator(r.Channel) != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "reward transfer %d of %q", r.Sequence, r.Channel)
		}
		sent[id] = true
		if err := r.Transfer.Validate(); err != nil {
			return err
		}
		if err := add(inFlight, key{r.Transfer.ProviderId, r.Transfer.Denom}, r.Transfer.Sum()); err != nil {
			return err
		}
	}
	for id, book := range books {
		for _, sum := range []struct {
			of   map[key]sdkmath.Int
			want sdkmath.Int
		}{{pending, book.Pending}, {inFlight, book.InFlight}} {
			got, ok := sum.of[id]
			if !ok {
				got = sdkmath.ZeroInt()
			}
			if !got.Equal(sum.want) {
				return errorsmod.Wrapf(ErrInvalidGenesis, "rewards of %q in %q: the book says %s, there are %s", id.provider, id.denom, sum.want, got)
			}
		}
	}
	working := map[string]bool{}
	for _, r := range gs.RewardWork {
		if !known(r.ProviderId) || working[r.ProviderId] || r.Work.Validate() != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "work on rewards of %q", r.ProviderId)
		}
		working[r.ProviderId] = true
	}
	return nil
}
