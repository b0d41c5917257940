package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/testutil/simsx"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Refusable accepts success and every refusal that the module has an error for. Anything else, a panic or an error of
// arithmetic among them, fails the simulation.
func Refusable(err error) error {
	space, code, _ := errorsmod.ABCIInfo(err, false)
	if err == nil || space == types.ModuleName && code != types.ErrPanic.ABCICode() && code != types.ErrMath.ABCICode() {
		return nil
	}
	return err
}

// Refused accepts only refusals.
func Refused(err error) error {
	if err == nil {
		return errors.New("was not refused")
	}
	return Refusable(err)
}

type (
	source   = *simsx.ChainDataSource
	reporter = simsx.SimulationReporter
	handler  = simsx.SimDeliveryResultHandler
)

// factory returns a factory of messages whose result is judged by judge. make returns no message if there is none to make.
func factory[T sdk.Msg](
	judge handler, create func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, T, bool),
) simsx.SimMsgFactoryX {
	return simsx.NewSimMsgFactoryWithDeliveryResultHandler(
		func(ctx context.Context, data source, rep reporter) ([]simsx.SimAccount, T, handler) {
			signer, msg, ok := create(ctx, data, rep)
			if !ok {
				rep.Skip("nothing to do")
				var none T
				return nil, none, nil
			}
			return []simsx.SimAccount{signer}, msg, judge
		})
}

// consumers returns the consumers for which keep holds, by id.
func consumers(ctx context.Context, k *keeper.Keeper, keep func(types.Consumer) bool) (out []types.Consumer) {
	_ = k.Consumers.Walk(ctx, nil, func(_ string, c types.Consumer) (bool, error) {
		if keep(c) {
			out = append(out, c)
		}
		return false, nil
	})
	return out
}

// validators returns the operators that a consumer has reported.
func validators(ctx context.Context, k *keeper.Keeper, clientID string) (out [][]byte) {
	rng := collections.NewPrefixedPairRange[string, []byte](clientID)
	_ = k.Validators.Walk(ctx, rng, func(key collections.Pair[string, []byte], _ types.ConsumerValidator) (bool, error) {
		out = append(out, key.K2())
		return false, nil
	})
	return out
}

// target returns an active consumer and one of its validators.
func target(ctx context.Context, k *keeper.Keeper, r *rand.Rand) (types.Consumer, []byte, bool) {
	all := consumers(ctx, k, func(c types.Consumer) bool { return c.Status == types.CONSUMER_STATUS_ACTIVE })
	if len(all) == 0 {
		return types.Consumer{}, nil, false
	}
	c := all[r.Intn(len(all))]
	vals := validators(ctx, k, c.Config.ClientId)
	if len(vals) == 0 {
		return c, nil, false
	}
	return c, vals[r.Intn(len(vals))], true
}

// stake is a position of an account of the simulation.
type stake struct {
	owner     simsx.SimAccount
	config    types.ConsumerConfig
	validator []byte
	value     sdkmath.Int
}

// anyStake returns a random position in an active pool.
func anyStake(ctx context.Context, k *keeper.Keeper, data source, rep reporter) (stake, bool) {
	var all []stake
	_ = k.Positions.Walk(ctx, nil, func(key collections.Pair[sdk.AccAddress, uint64], p types.Position) (bool, error) {
		pool, err := k.Pools.Get(ctx, key.K2())
		if err != nil || pool.IsBatch() || !data.HasAccount(key.K1().String()) {
			return false, err
		}
		c, err := k.Consumers.Get(ctx, pool.ClientId)
		if err != nil {
			return false, err
		}
		all = append(all, stake{
			owner: data.GetAccountbyAccAddr(rep, key.K1()), config: c.Config, validator: pool.Validator, value: pool.ValueOf(p.Shares),
		})
		return false, nil
	})
	if len(all) == 0 {
		return stake{}, false
	}
	s := all[data.Rand().Intn(len(all))]
	return s, s.value.IsPositive()
}

// coin returns all or a part of an amount of the denom that collateral has.
func coin(ctx context.Context, k *keeper.Keeper, r *simsx.XRand, most sdkmath.Int, owner string) (sdk.Coin, bool) {
	res, err := keeper.NewQueryServer(k).Collateral(ctx, &types.QueryCollateralRequest{Delegator: owner})
	if err != nil || !most.IsPositive() {
		return sdk.Coin{}, false
	}
	amount := most
	if most.GT(sdkmath.OneInt()) && r.Intn(3) > 0 {
		if amount, err = r.PositiveSDKIntn(most); err != nil {
			return sdk.Coin{}, false
		}
	}
	return sdk.NewCoin(res.Denom, amount), true
}

// MsgCrossStakeFactory stakes what an account has room for; now and then twice as much.
func MsgCrossStakeFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refusable, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgCrossStake, bool) {
		c, val, ok := target(ctx, k, data.Rand().Rand)
		if !ok {
			return simsx.SimAccount{}, nil, false
		}
		var owner simsx.SimAccount
		room := sdkmath.ZeroInt()
		// Few accounts may have anything bonded.
		for _, i := range data.Rand().Perm(data.AccountsCount()) {
			owner = data.AccountAt(rep, i)
			res, err := keeper.NewQueryServer(k).Collateral(ctx, &types.QueryCollateralRequest{Delegator: owner.AddressBech32})
			if err != nil {
				continue
			}
			if room = res.Bonded.Sub(res.Required); room.IsPositive() {
				break
			}
		}
		if data.Rand().Intn(10) == 0 {
			room = room.MulRaw(2)
		}
		amount, ok := coin(ctx, k, data.Rand(), room, owner.AddressBech32)
		return owner, &types.MsgCrossStake{
			Delegator: owner.AddressBech32, ConsumerId: c.Config.ClientId, Validator: c.Config.FormatValidator(val), Amount: amount,
		}, ok
	})
}

// MsgCrossUnstakeFactory takes all or a part of a position back.
func MsgCrossUnstakeFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refusable, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgCrossUnstake, bool) {
		s, ok := anyStake(ctx, k, data, rep)
		if !ok {
			return s.owner, nil, false
		}
		amount, ok := coin(ctx, k, data.Rand(), s.value, s.owner.AddressBech32)
		return s.owner, &types.MsgCrossUnstake{
			Delegator: s.owner.AddressBech32, ConsumerId: s.config.ClientId, Validator: s.config.FormatValidator(s.validator), Amount: amount,
		}, ok
	})
}

// MsgCrossRedelegateFactory moves all or a part of a position to any validator.
func MsgCrossRedelegateFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refusable, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgCrossRedelegate, bool) {
		s, ok := anyStake(ctx, k, data, rep)
		if !ok {
			return s.owner, nil, false
		}
		vals := validators(ctx, k, s.config.ClientId)
		if len(vals) == 0 {
			return s.owner, nil, false
		}
		amount, ok := coin(ctx, k, data.Rand(), s.value, s.owner.AddressBech32)
		return s.owner, &types.MsgCrossRedelegate{
			Delegator: s.owner.AddressBech32, ConsumerId: s.config.ClientId, From: s.config.FormatValidator(s.validator),
			To: s.config.FormatValidator(vals[data.Rand().Intn(len(vals))]), Amount: amount,
		}, ok
	})
}

// anyReward returns a random delegator that has earned something, and with which validator. Most stake has earned nothing
// since it was last withdrawn.
func anyReward(ctx context.Context, k *keeper.Keeper, data source, rep reporter) (simsx.SimAccount, types.RewardInfo, bool) {
	type reward struct {
		owner string
		types.RewardInfo
	}
	var all []reward
	_ = k.Accounts.Walk(ctx, nil, func(delAddr sdk.AccAddress, _ types.Account) (bool, error) {
		owner := delAddr.String()
		if !data.HasAccount(owner) {
			return false, nil
		}
		res, err := keeper.NewQueryServer(k).Rewards(ctx, &types.QueryRewardsRequest{Delegator: owner})
		if err != nil {
			return false, err
		}
		for _, info := range res.Rewards {
			all = append(all, reward{owner, info})
		}
		return false, nil
	})
	if len(all) == 0 {
		return simsx.SimAccount{}, types.RewardInfo{}, false
	}
	r := all[data.Rand().Intn(len(all))]
	return data.GetAccount(rep, r.owner), r.RewardInfo, true
}

// MsgWithdrawRewardsFactory withdraws what was earned with a validator, or all on its consumer; now and then of a position
// that may have earned nothing.
func MsgWithdrawRewardsFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refusable, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgWithdrawRewards, bool) {
		owner, info, ok := anyReward(ctx, k, data, rep)
		if data.Rand().Intn(10) == 0 {
			var s stake
			if s, ok = anyStake(ctx, k, data, rep); ok {
				owner, info = s.owner, types.RewardInfo{ConsumerId: s.config.ClientId, Operator: s.config.FormatValidator(s.validator)}
			}
		}
		if !ok {
			return owner, nil, false
		}
		msg := &types.MsgWithdrawRewards{Delegator: owner.AddressBech32, ConsumerId: info.ConsumerId}
		if data.Rand().Intn(2) == 0 {
			msg.Validator = info.Operator
		}
		return owner, msg, true
	})
}

// MsgSubmitDoubleVoteFactory submits votes by a key that no validator has.
func MsgSubmitDoubleVoteFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refused, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgSubmitDoubleVote, bool) {
		all := consumers(ctx, k, types.Consumer.IsLive)
		if len(all) == 0 {
			return simsx.SimAccount{}, nil, false
		}
		c, who := all[data.Rand().Intn(len(all))], data.AnyAccount(rep)
		key := ed25519.GenPrivKeyFromSecret(who.Address)
		return who, &types.MsgSubmitDoubleVote{
			Submitter: who.AddressBech32, ConsumerId: c.Config.ClientId,
			Evidence: DoubleVote(key, c.Config.ChainId, 1+data.Rand().Int63n(1_000_000), "a", "b"),
		}, true
	})
}

// MsgVouchKeyFactory vouches for keys without the signature of an operator.
func MsgVouchKeyFactory(k *keeper.Keeper) simsx.SimMsgFactoryX {
	return factory(Refused, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, *types.MsgVouchKey, bool) {
		c, val, ok := target(ctx, k, data.Rand().Rand)
		who := data.AnyAccount(rep)
		signature, err := who.PrivKey.Sign(val)
		return who, &types.MsgVouchKey{
			Submitter: who.AddressBech32, ConsumerId: c.Config.ClientId, Validator: c.Config.FormatValidator(val),
			ConsensusKey: meshtypes.ConsensusKey{Type: ed25519.KeyType, Key: who.ConsKey.PubKey().Bytes()},
			AccountKey:   who.PubKey.Bytes(), Signature: signature,
		}, ok && err == nil
	})
}

// strange returns a factory of messages that only an authority or a guardian may send, by somebody else.
func strange[T sdk.Msg](k *keeper.Keeper, create func(signer, consumerID string) T) simsx.SimMsgFactoryX {
	judge := func(err error) error {
		if !errors.Is(err, types.ErrUnauthorized) && !errors.Is(err, types.ErrUnknownSlash) {
			return fmt.Errorf("a stranger's message: %w", Refused(err))
		}
		return nil
	}
	return factory(judge, func(ctx context.Context, data source, rep reporter) (simsx.SimAccount, T, bool) {
		all := consumers(ctx, k, func(types.Consumer) bool { return true })
		who := data.AnyAccount(rep)
		guards := func(c types.Consumer) bool { return c.Config.Guardian == who.AddressBech32 }
		if len(all) == 0 || slices.ContainsFunc(all, guards) {
			var none T
			return who, none, false
		}
		return who, create(who.AddressBech32, all[data.Rand().Intn(len(all))].Config.ClientId), true
	})
}

// StrangersFactories try what only governance may do.
func StrangersFactories(k *keeper.Keeper) []simsx.SimMsgFactoryX {
	return []simsx.SimMsgFactoryX{
		strange(k, func(signer, id string) *types.MsgPauseConsumer {
			return &types.MsgPauseConsumer{Signer: signer, ConsumerId: id}
		}),
		strange(k, func(signer, id string) *types.MsgRemoveConsumer {
			return &types.MsgRemoveConsumer{Authority: signer, ConsumerId: id}
		}),
		strange(k, func(signer, id string) *types.MsgRetireChannel {
			return &types.MsgRetireChannel{Authority: signer, ConsumerId: id}
		}),
		strange(k, func(signer, _ string) *types.MsgVetoSlash { return &types.MsgVetoSlash{Authority: signer, SlashId: 1} }),
		strange(k, func(signer, _ string) *types.MsgStopSlash { return &types.MsgStopSlash{Signer: signer, SlashId: 1} }),
		strange(k, func(signer, _ string) *types.MsgUpdateParams {
			return &types.MsgUpdateParams{Authority: signer, Params: types.DefaultParams()}
		}),
	}
}

// MsgUpdateParamsFactory proposes random parameters.
func MsgUpdateParamsFactory() simsx.SimMsgFactoryFn[*types.MsgUpdateParams] {
	return func(_ context.Context, data source, rep reporter) ([]simsx.SimAccount, *types.MsgUpdateParams) {
		return nil, &types.MsgUpdateParams{Authority: data.ModuleAccountAddress(rep, "gov"), Params: RandomParams(data.Rand().Rand)}
	}
}

// DoubleVote returns two precommits by a key for two blocks of a height.
func DoubleVote(key ed25519.PrivKey, chainID string, height int64, blocks ...string) *cmtproto.DuplicateVoteEvidence {
	votes := make([]*cmtproto.Vote, 2)
	for i := range votes {
		hash := tmhash.Sum([]byte(blocks[i]))
		votes[i] = &cmtproto.Vote{
			Type: cmtproto.PrecommitType, Height: height, ValidatorAddress: key.PubKey().Address(),
			BlockID: cmtproto.BlockID{Hash: hash, PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: hash}},
		}
		if signature, err := key.Sign(cmttypes.VoteSignBytes(chainID, votes[i])); err == nil {
			votes[i].Signature = signature
		}
	}
	return &cmtproto.DuplicateVoteEvidence{VoteA: votes[0], VoteB: votes[1]}
}
