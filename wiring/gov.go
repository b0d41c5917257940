package wiring

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/address"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// VirtualVotes tells, by operator address, which shares of validators are virtual stake and which of them count in
// governance.
type VirtualVotes interface {
	VirtualVotes(ctx context.Context) (map[string]consumertypes.VirtualVotes, error)
}

// GovStaking is the staking keeper that x/gov's tally gets: validators have their shares and tokens without the part of
// virtual stake that does not count in governance.
//
// With S shares, T tokens, V virtual shares of which C count, a validator has S' = S − V + C shares and ⌊T·S'/S⌋ tokens.
// It is left out if S − V, what others than providers have, is not above zero: nobody would be behind its vote, and the
// tally divides by shares. Deductions for delegators that vote themselves are at most S − V, so never above S'.
type GovStaking struct {
	govtypes.StakingKeeper
	virtual VirtualVotes
}

var _ govtypes.StakingKeeper = GovStaking{}

// NewGovStaking decorates a staking keeper for x/gov's tally.
func NewGovStaking(base govtypes.StakingKeeper, virtual VirtualVotes) GovStaking {
	return GovStaking{StakingKeeper: base, virtual: virtual}
}

// IterateBondedValidatorsByPower calls fn with the bonded validators, in the order of their power in consensus.
func (s GovStaking) IterateBondedValidatorsByPower(
	ctx context.Context, fn func(index int64, validator stakingtypes.ValidatorI) (stop bool),
) error {
	virtual, err := s.virtual.VirtualVotes(ctx)
	if err != nil {
		return err
	}
	index := int64(0)
	return s.StakingKeeper.IterateBondedValidatorsByPower(ctx, func(_ int64, validator stakingtypes.ValidatorI) bool {
		reduced, ok := reduce(validator, virtual)
		if !ok {
			return false
		}
		index++
		return fn(index-1, reduced)
	})
}

// TotalValidatorPower returns the sum of the power of all bonded validators, as IterateBondedValidatorsByPower has it.
func (s GovStaking) TotalValidatorPower(ctx context.Context) (sdkmath.Int, error) {
	total := sdkmath.ZeroInt()
	err := s.IterateBondedValidatorsByPower(ctx, func(_ int64, validator stakingtypes.ValidatorI) bool {
		total = total.Add(validator.GetValidatorPower())
		return false
	})
	return total, err
}

// reduce returns a validator as the tally sees it; false if it has no part in it.
func reduce(validator stakingtypes.ValidatorI, virtual map[string]consumertypes.VirtualVotes) (stakingtypes.ValidatorI, bool) {
	shares := validator.GetDelegatorShares()
	v, ok := virtual[validator.GetOperator()]
	if !ok {
		return validator, shares.IsPositive()
	}
	native := shares.Sub(v.Shares)
	if !native.IsPositive() {
		return nil, false
	}
	left := native.Add(v.Counted)
	if left.Equal(shares) {
		return validator, true
	}
	// Not in decimals, whose products overflow (and panic) at 315 bits.
	tokens := validator.GetTokens().BigInt()
	tokens.Mul(tokens, left.BigInt()).Quo(tokens, shares.BigInt())
	return reducedValidator{validator, sdkmath.NewIntFromBigInt(tokens), left}, true
}

// reducedValidator is a validator with fewer shares, and tokens in proportion. Its power in consensus is what it was.
type reducedValidator struct {
	stakingtypes.ValidatorI
	tokens sdkmath.Int
	shares sdkmath.LegacyDec
}

// GetTokens returns the tokens that count.
func (v reducedValidator) GetTokens() sdkmath.Int { return v.tokens }

// GetValidatorPower returns the power in governance.
func (v reducedValidator) GetValidatorPower() sdkmath.Int {
	if !v.IsBonded() {
		return sdkmath.ZeroInt()
	}
	return v.tokens
}

// GetDelegatorShares returns the shares that count.
func (v reducedValidator) GetDelegatorShares() sdkmath.LegacyDec { return v.shares }

// known are virtual votes that have been read already.
type known map[string]consumertypes.VirtualVotes

// VirtualVotes implements VirtualVotes.
func (k known) VirtualVotes(context.Context) (map[string]consumertypes.VirtualVotes, error) {
	return k, nil
}

// tallyStaking is GovStaking for one tally. It does not decode again the addresses it knows, which makes up for much of
// what it reads.
type tallyStaking struct {
	GovStaking
	operators operatorCodec
}

func newTallyStaking(base govtypes.StakingKeeper, votes known) tallyStaking {
	return tallyStaking{NewGovStaking(base, votes), operatorCodec{base.ValidatorAddressCodec(), votes}}
}

// ValidatorAddressCodec returns the codec of operator addresses.
func (s tallyStaking) ValidatorAddressCodec() address.Codec { return s.operators }

// operatorCodec is a codec that knows some addresses.
type operatorCodec struct {
	address.Codec
	known known
}

// StringToBytes implements address.Codec.
func (c operatorCodec) StringToBytes(text string) ([]byte, error) {
	if v, ok := c.known[text]; ok {
		return v.Operator, nil
	}
	return c.Codec.StringToBytes(text)
}

// NewTally returns the SDK's own tally over a decorated staking keeper. An error of it would halt the chain; so if it
// cannot be read which votes count, nothing does: the proposal fails and deposits are returned.
func NewTally(base govtypes.StakingKeeper, virtual VirtualVotes) govkeeper.CalculateVoteResultsAndVotingPowerFn {
	return func(ctx context.Context, k govkeeper.Keeper, proposal govv1.Proposal) (
		sdkmath.LegacyDec, sdkmath.Int, map[govv1.VoteOption]sdkmath.LegacyDec, error,
	) {
		votes, err := readVotes(ctx, virtual)
		if err != nil {
			sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: governance weight cannot be read", "proposal", proposal.Id, "error", err)
			return sdkmath.LegacyZeroDec(), sdkmath.ZeroInt(), noVotes(), nil
		}
		return govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(newTallyStaking(base, votes))(ctx, k, proposal)
	}
}

// readVotes reads virtual votes and turns a panic into an error, but not running out of a query's gas.
func readVotes(ctx context.Context, virtual VirtualVotes) (votes map[string]consumertypes.VirtualVotes, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, outOfGas := r.(storetypes.ErrorOutOfGas); outOfGas {
				panic(r)
			}
			err = errorsmod.Wrapf(consumertypes.ErrPanic, "%v", r)
		}
	}()
	return virtual.VirtualVotes(ctx)
}

func noVotes() map[govv1.VoteOption]sdkmath.LegacyDec {
	zero := sdkmath.LegacyZeroDec()
	return map[govv1.VoteOption]sdkmath.LegacyDec{
		govv1.OptionYes: zero, govv1.OptionAbstain: zero, govv1.OptionNo: zero, govv1.OptionNoWithVeto: zero,
	}
}

// GovStaking returns the staking keeper for a tally of the chain's own; others take Tally.
func (m *Mesh) GovStaking() GovStaking { return NewGovStaking(m.staking, m.Consumer) }

// Tally returns the tally to give to x/gov: virtual stake counts by the governance weight of its provider.
func (m *Mesh) Tally() govkeeper.CalculateVoteResultsAndVotingPowerFn {
	return NewTally(m.staking, m.Consumer)
}

// ConnectGov connects the borrowing side to x/gov: weights are checked against its veto threshold, and a query shows a
// proposal's tally with and without virtual stake.
func (m *Mesh) ConnectGov(gov *govkeeper.Keeper) {
	m.Consumer.SetVetoThreshold(VetoThreshold(gov))
	m.Consumer.SetTallies(NewTallies(gov, m.staking, m.Consumer))
}

// VetoThreshold reads the veto threshold of x/gov.
func VetoThreshold(gov *govkeeper.Keeper) func(context.Context) (sdkmath.LegacyDec, error) {
	return func(ctx context.Context) (sdkmath.LegacyDec, error) {
		params, err := gov.Params.Get(ctx)
		if err != nil {
			return sdkmath.LegacyDec{}, err
		}
		return sdkmath.LegacyNewDecFromStr(params.VetoThreshold)
	}
}

// NewTallies returns what counts the votes on a proposal three times: with virtual stake by its weight, without it, and
// in full, as the SDK's own tally does. It changes nothing.
func NewTallies(gov *govkeeper.Keeper, base govtypes.StakingKeeper, virtual VirtualVotes) consumertypes.Tallies {
	return func(ctx context.Context, proposalID uint64) (*consumertypes.QueryTallyResponse, error) {
		proposal, err := gov.Proposals.Get(ctx, proposalID)
		if errors.Is(err, collections.ErrNotFound) {
			return nil, errorsmod.Wrapf(consumertypes.ErrProposalNotFound, "%d", proposalID)
		}
		if err != nil {
			return nil, err
		}
		if proposal.Status != govv1.StatusVotingPeriod {
			return nil, errorsmod.Wrapf(consumertypes.ErrProposalNotVoting, "%d: %s", proposalID, proposal.Status)
		}
		params, err := gov.Params.Get(ctx)
		if err != nil {
			return nil, err
		}
		weighed, err := virtual.VirtualVotes(ctx)
		if err != nil {
			return nil, err
		}
		none := make(known, len(weighed))
		for operator, v := range weighed {
			none[operator] = consumertypes.VirtualVotes{Operator: v.Operator, Shares: v.Shares, Counted: sdkmath.LegacyZeroDec()}
		}
		res := &consumertypes.QueryTallyResponse{}
		for _, t := range []struct {
			count   *consumertypes.TallyCount
			staking govtypes.StakingKeeper
		}{
			{&res.InForce, newTallyStaking(base, weighed)},
			{&res.Native, newTallyStaking(base, none)},
			{&res.Full, base},
		} {
			// A tally deletes the votes it has counted.
			cacheCtx, _ := sdk.UnwrapSDKContext(ctx).CacheContext()
			voted, total, results, err := govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(t.staking)(cacheCtx, *gov, proposal)
			if err != nil {
				return nil, err
			}
			*t.count = consumertypes.TallyCount{
				Yes:        results[govv1.OptionYes].TruncateInt(),
				Abstain:    results[govv1.OptionAbstain].TruncateInt(),
				No:         results[govv1.OptionNo].TruncateInt(),
				NoWithVeto: results[govv1.OptionNoWithVeto].TruncateInt(),
				Voted:      voted.TruncateInt(),
				Total:      total,
			}
			if t.count.Passes, err = passes(params, proposal.Expedited, voted, total, results); err != nil {
				return nil, err
			}
		}
		return res, nil
	}
}

// passes decides as x/gov's Tally does: there is power, the quorum is reached, not all abstain, vetoes are not above
// their threshold, and of those that do not abstain more than the threshold say yes.
func passes(
	params govv1.Params, expedited bool, voted sdkmath.LegacyDec, total sdkmath.Int, results map[govv1.VoteOption]sdkmath.LegacyDec,
) (bool, error) {
	threshold := params.Threshold
	if expedited {
		threshold = params.ExpeditedThreshold
	}
	quorum, err1 := sdkmath.LegacyNewDecFromStr(params.Quorum)
	veto, err2 := sdkmath.LegacyNewDecFromStr(params.VetoThreshold)
	yes, err3 := sdkmath.LegacyNewDecFromStr(threshold)
	if err := errors.Join(err1, err2, err3); err != nil {
		return false, err
	}
	if total.IsZero() || voted.Quo(sdkmath.LegacyNewDecFromInt(total)).LT(quorum) {
		return false, nil
	}
	decided := voted.Sub(results[govv1.OptionAbstain])
	if decided.IsZero() || results[govv1.OptionNoWithVeto].Quo(voted).GT(veto) {
		return false, nil
	}
	return results[govv1.OptionYes].Quo(decided).GT(yes), nil
}
