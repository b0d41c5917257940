package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// TestHostileValidator: what operators of the consumer do with their commission, their own stake, their jail and their key costs
// those who back them what it costs their native delegators, once, and others nothing.
func TestHostileValidator(t *testing.T) {
	t.Run("commission", hostileCommission)
	t.Run("jail and tombstone", hostileJail)
}

func editCommission(v *meshtest.Validator, rate string) sdk.Msg {
	r := meshtest.Dec(rate)
	keep := stakingtypes.DoNotModifyDesc
	return stakingtypes.NewMsgEditValidator(v.String(), stakingtypes.NewDescription(keep, keep, keep, keep, keep), &r, nil)
}

// hostileCommission: a validator that takes everything just before rewards come takes it from everybody alike.
func hostileCommission(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		meshtest.EditGenesis(g, stakingtypes.ModuleName, &stakingtypes.GenesisState{}, func(s *stakingtypes.GenesisState) {
			one := sdkmath.LegacyOneDec()
			s.Validators[0].Commission.CommissionRates = stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), one, one)
			s.Validators[1].Commission.CommissionRates = stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), one, meshtest.Dec("0.1"))
		})
	}}))
	cons := p.Consumer
	books := newLedger(t, p.Provider, "alice", "bob")
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)

	donor, native := cons.Account("dave"), cons.Account("alice") // 60 with the first, 40 with the second validator
	// round has 1,000 tokens come as rewards of a validator, and returns what of them a native token got, and a virtual one of the
	// half that is the provider's.
	rewards := func(v *meshtest.Validator) (perNative, perVirtual sdkmath.LegacyDec) {
		t.Helper()
		collected := func() sdkmath.Int {
			sum := sdkmath.ZeroInt()
			for _, b := range cons.ConsumerState().RewardBooks {
				sum = sum.Add(b.Book.Collected)
			}
			return sum
		}
		mine := cons.Delegated(native.Address(), v)
		virtual := p.Virtual(v)
		balance, before := cons.Balance(native), collected()
		donor.Send(distrtypes.NewMsgDepositValidatorRewardsPool(donor.String(), v.String(), sdk.NewCoins(sdk.NewInt64Coin(cons.Denom, 1000*one))))
		native.Send(withdrawRewards(native, v))
		n.Advance(3 * epoch)
		per := func(got, of sdkmath.Int) sdkmath.LegacyDec { return sdkmath.LegacyNewDecFromInt(got).QuoInt(of) }
		return per(cons.Balance(native).Sub(balance), mine), per(collected().Sub(before).MulRaw(2), virtual)
	}
	alike := func(v *meshtest.Validator) sdkmath.LegacyDec {
		t.Helper()
		a, b := rewards(v)
		require.True(t, a.Sub(b).Abs().LTE(meshtest.Dec("0.000001")), "a native token got %s, a virtual one %s", a, b)
		return a
	}
	first, second := alike(val(p, 0)), alike(val(p, 1))
	require.True(t, first.IsPositive() && second.IsPositive())

	// As much as they may at once, and again in the same day.
	require.ErrorIs(t, val(p, 1).Operator.Try(editCommission(val(p, 1), "0.11")).Err(), stakingtypes.ErrCommissionGTMaxChangeRate)
	val(p, 1).Operator.Send(editCommission(val(p, 1), "0.1"))
	require.ErrorIs(t, val(p, 1).Operator.Try(editCommission(val(p, 1), "0.2")).Err(), stakingtypes.ErrCommissionUpdateTime)
	val(p, 0).Operator.Send(editCommission(val(p, 0), "1"))
	require.True(t, alike(val(p, 0)).IsZero(), "all of it")
	require.True(t, alike(val(p, 1)).Sub(second.Mul(meshtest.Dec("0.9"))).Abs().LTE(meshtest.Dec("0.000001")))

	// Rewards are all that it can take.
	books.requireNothingLost()
	goHome(t, n, u+2*round, p.Provider, []*meshtest.Pairing{p}, "alice", "bob")
	books.requireNothingLost()
}

func hostileJail(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{}))
	prov, cons := p.Provider, p.Consumer
	everybody := []string{"alice", "bob", "carol", "dave"}
	books := newLedger(t, prov, append(everybody, "val0")...)
	natives := newLedger(t, cons, append(everybody, "val0", "val1", "val2", "val3")...)
	p.CrossStake("alice", val(p, 2), 30*one)
	p.CrossStake("alice", val(p, 0), 30*one)
	p.CrossStake("bob", val(p, 1), 30*one)
	p.CrossStake("carol", val(p, 0), 20*one)
	p.CrossStake("dave", val(p, 3), 20*one)
	p.CrossStake("val0", val(p, 1), 40*one) // one operator on both chains, who backs itself
	settle(n, p)
	virtual := p.TotalVirtual()
	requireInt(t, 170*one*9/10, virtual)

	// In and out of jail around an epoch, in one transaction, over blocks, with its own stake gone from below its minimum: in the set or
	// not, what backs it stays, and others too.
	v := val(p, 2)
	out, in := cons.MsgUndelegate("val2", v, 100*one), cons.MsgDelegate("val2", v, 100*one)
	unjail := slashingtypes.NewMsgUnjail(v.String())
	for i := range 5 {
		if i%2 == 0 {
			v.Operator.Send(out, in, unjail)
			require.False(t, cons.Validator(v).Jailed)
		} else {
			v.Operator.Send(out)
			require.True(t, cons.Validator(v).Jailed)
			require.ErrorIs(t, v.Operator.Try(unjail).Err(), stakingtypes.ErrNoDelegation)
			n.Steps(i)
			require.Zero(t, cons.Power(v))
			v.Operator.Send(in, unjail)
		}
		require.Equal(t, virtual.String(), p.TotalVirtual().String())
	}
	settle(n, p)
	require.Equal(t, virtual.String(), p.TotalVirtual().String())
	reg, _ := p.Registered(v)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, reg.Status)
	books.requireNothingLost()
	natives.requireNothingLost()

	// A double sign comes to both chains, in either order; a harmless one of its own follows. It costs its fraction once.
	p.SkipBacking = true // collateral is lost; what it backed leaves at the next epoch
	proof := func(v *meshtest.Validator, height int64) error {
		return prov.Account("carol").Try(p.MsgSubmitDoubleVote("carol", v, height)).Err()
	}
	infraction := cons.Height()
	settle(n, p)
	onCarol := books.lost("carol")
	cons.DoubleSign(val(p, 3), infraction)
	n.Step()
	settle(n, p)
	require.NoError(t, proof(val(p, 3), infraction))
	require.NoError(t, proof(v, infraction))
	settle(n, p)
	cons.DoubleSign(v, infraction)
	settle(n, p)
	for _, twice := range []*meshtest.Validator{val(p, 3), v} {
		require.ErrorIs(t, proof(twice, infraction), providertypes.ErrAlreadyPunished)
		require.ErrorIs(t, proof(twice, infraction-1), providertypes.ErrAlreadyPunished)
	}
	requireInt(t, one, books.lost("dave"), "five per cent of 20")
	requireInt(t, 15*one/10, books.lost("alice"), "five per cent of the 30 with this one")
	books.requireNothingLost("bob", "val0")
	requireInt(t, 25*one/10*5/100, onCarol.Sub(books.lost("carol")), "what the submitter gets")
	for _, name := range []string{"val2", "val3"} {
		requireClose(t, amount(5*one), natives.lost(name), one)
	}
	requireClose(t, amount(15*one/10), natives.lost("carol"), one) // who has 30 with the one
	requireClose(t, amount(one), natives.lost("dave"), one)        // and who has 20 with the other
	natives.requireNothingLost("alice", "bob", "val0", "val1")

	// Who backs itself pays for itself. With this one more than a third of all stake has been proved, so it waits for a veto.
	require.NoError(t, proof(val(p, 1), infraction))
	settle(n, p)
	books.requireNothingLost("bob", "val0")
	n.Advance(u / 3)
	settle(n, p)
	requireInt(t, 2*one, books.lost("val0"), "five per cent of 40")
	requireInt(t, 15*one/10, books.lost("bob"), "of 30")
	require.False(t, prov.Validator(nat(p, 0)).Jailed)
	settle(n, p)
	p.SkipBacking = false

	// The tombstoned validator goes, and its operator comes back with the same key.
	old := val(p, 3)
	for _, name := range []string{"val3", "dave"} {
		tokens := cons.Delegated(cons.Account(name).Address(), old)
		cons.Account(name).Queue(cons.MsgUndelegate(name, old, tokens.Int64()))
	}
	n.BlockTime = 15 * time.Second
	n.Until("it is removed", u+round, func() bool {
		_, err := cons.App.StakingKeeper.GetValidator(cons.CommittedContext(), old.ValAddress())
		return err != nil
	})
	pk, err := cryptocodec.FromCmtPubKeyInterface(old.PrivVal.PrivKey.PubKey())
	require.NoError(t, err)
	rates := stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), sdkmath.LegacyOneDec(), sdkmath.LegacyOneDec())
	again, err := stakingtypes.NewMsgCreateValidator(old.String(), pk, sdk.NewInt64Coin(cons.Denom, 50*one),
		stakingtypes.Description{Moniker: "again"}, rates, sdkmath.OneInt())
	require.NoError(t, err)
	old.Operator.Send(again)
	settle(n, p)
	reg, _ = p.Registered(old)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, reg.Status)
	require.ErrorIs(t, p.TryCrossStake("bob", old, one), providertypes.ErrValidatorTombstoned)
	require.True(t, p.Virtual(old).IsZero())
	lost := natives.lost("val3")
	goHome(t, n, u+2*round, prov, []*meshtest.Pairing{p}, everybody...)
	require.Equal(t, lost.String(), natives.lost("val3").String())
	requireInt(t, one, books.lost("dave"))
	requireInt(t, 15*one/10, books.lost("alice"))
	requireInt(t, 15*one/10, books.lost("bob"))
	require.Equal(t, prov.ProviderState().Totals.Burned.String(), amount(6*one).String())
}
