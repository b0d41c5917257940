package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

const client = "07-tendermint-0"

// setup returns a chain with a validator, a delegator with 1,000 delegated, and a consumer with three validators.
func setup(t *testing.T) (*testutil.Fixture, sdk.ValAddress, sdk.AccAddress, *testutil.Consumer) {
	t.Helper()
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(3)
	return f, val, u, c
}

// withDelegator returns a fixture with the native ratio, and a delegator with that many tokens bonded with one validator.
func withDelegator(t *testing.T, nativeRatio string, tokens int64) (*testutil.Fixture, sdk.ValAddress, sdk.AccAddress) {
	t.Helper()
	f := testutil.New(t)
	f.SetNativeRatio(nativeRatio)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, tokens)
	f.NextBlock()
	return f, val, u
}

func export(tb testing.TB, f *testutil.Fixture) *types.GenesisState {
	tb.Helper()
	g, err := f.Provider.ExportGenesis(f.Ctx)
	require.NoError(tb, err)
	return g
}

func TestCrossStakeBadInput(t *testing.T) {
	tombstone := func(f *testutil.Fixture, c *testutil.Consumer) {
		r := testutil.ValidatorReport(1)
		r.Status = meshtypes.VALIDATOR_STATUS_TOMBSTONED
		c.Send(c.Message(r))
	}
	good := func(u sdk.AccAddress) types.MsgCrossStake {
		return types.MsgCrossStake{
			Delegator: u.String(), ConsumerId: client, Validator: testutil.OperatorString(1), Amount: sdk.NewInt64Coin(testutil.Denom, 100),
		}
	}
	for _, tc := range []struct {
		name   string
		change func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossStake)
		err    error
	}{
		{"good", func(*testutil.Fixture, *testutil.Consumer, *types.MsgCrossStake) {}, nil},
		{"no delegator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) { m.Delegator = "" }, types.ErrInvalidAddress},
		{"bad delegator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) { m.Delegator = "cosmos1xyz" }, types.ErrInvalidAddress},
		{"amount missing", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) { m.Amount = sdk.Coin{} }, types.ErrAmountNotPositive},
		{"amount zero", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Amount.Amount = sdkmath.ZeroInt()
		}, types.ErrAmountNotPositive},
		{"amount negative", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Amount.Amount = sdkmath.NewInt(-5)
		}, types.ErrAmountNotPositive},
		{"amount 2^128", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Amount.Amount = types.MaxAmount()
		}, types.ErrAmountTooLarge},
		{"amount below the minimum", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			f.SetParams(func(p *types.Params) { p.MinCrossStake = sdkmath.NewInt(101) })
		}, types.ErrAmountTooSmall},
		{"other denom", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) { m.Amount.Denom = "uatom" }, types.ErrInvalidDenom},
		{"more than bonded", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Amount.Amount = sdkmath.NewInt(1_001)
		}, types.ErrInsufficientCollateral},
		{"unknown consumer", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.ConsumerId = "07-tendermint-9"
		}, types.ErrUnknownConsumer},
		{"paused consumer", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossStake) {
			_, err := f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, types.ErrConsumerPaused},
		{"consumer winding down", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossStake) {
			_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, types.ErrConsumerWindingDown},
		{"consumer removed", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossStake) {
			_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
			require.NoError(f, err)
			f.NextBlock()
		}, types.ErrConsumerRemoved},
		{"consumer without channel", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossStake) {
			_, err := f.Msgs.RetireChannel(f.Ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, types.ErrConsumerNotActive},
		{"no validator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) { m.Validator = "" }, types.ErrInvalidValidator},
		{"validator of another chain", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Validator = sdk.ValAddress(testutil.Operator(1)).String()
		}, types.ErrInvalidValidator},
		{"absurdly long validator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Validator = string(make([]byte, 100_000))
		}, types.ErrInvalidValidator},
		{"unknown validator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			m.Validator = testutil.OperatorString(9)
		}, types.ErrUnknownValidator},
		{"tombstoned validator", func(f *testutil.Fixture, c *testutil.Consumer, _ *types.MsgCrossStake) { tombstone(f, c) }, types.ErrValidatorTombstoned},
		{"too many positions", func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossStake) {
			f.SetParams(func(p *types.Params) { p.MaxPositions = 2 })
			u, _ := sdk.AccAddressFromBech32(m.Delegator)
			require.NoError(f, c.Stake(u, 2, 10))
			require.NoError(f, c.Stake(u, 3, 10))
		}, types.ErrTooManyPositions},
		{"unbonding claims count as positions", func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossStake) {
			f.SetParams(func(p *types.Params) { p.MaxPositions = 2 })
			u, _ := sdk.AccAddressFromBech32(m.Delegator)
			require.NoError(f, c.Stake(u, 2, 10))
			require.NoError(f, c.Unstake(u, 2, 5))
		}, types.ErrTooManyPositions},
		{"too many native delegations", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			f.SetParams(func(p *types.Params) { p.MaxNativeDelegations = 1 })
			u, _ := sdk.AccAddressFromBech32(m.Delegator)
			f.Fund(u, sdkmath.NewInt(5))
			require.NoError(f, f.Delegate(u, f.Validator(10, 1), 5))
		}, types.ErrTooManyDelegations},
		{"barred", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossStake) {
			u, _ := sdk.AccAddressFromBech32(m.Delegator)
			require.NoError(f, f.Provider.Accounts.Set(f.Ctx, u, types.Account{Debt: sdkmath.ZeroInt(), MinSelfDelegation: sdkmath.ZeroInt(), Barred: true}))
		}, types.ErrBarred},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, u, c := setup(t)
			msg := good(u)
			tc.change(f, c, &msg)
			before := export(t, f)
			err := f.Try(func(ctx sdk.Context) error { _, err := f.Msgs.CrossStake(ctx, &msg); return err })
			if tc.err == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, export(t, f), "nothing changed")
		})
	}
}

func TestCrossUnstakeBadInput(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(f *testutil.Fixture, c *testutil.Consumer, m *types.MsgCrossUnstake)
		err    error
	}{
		{"good", func(*testutil.Fixture, *testutil.Consumer, *types.MsgCrossUnstake) {}, nil},
		{"all of it", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) {
			m.Amount.Amount = sdkmath.NewInt(500)
		}, nil},
		{"paused consumer", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossUnstake) {
			_, err := f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, nil},
		{"below the smallest cross-stake", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossUnstake) {
			f.SetParams(func(p *types.Params) { p.MinCrossStake = sdkmath.NewInt(1_000) })
		}, nil},
		{"with as many positions as allowed", func(f *testutil.Fixture, _ *testutil.Consumer, _ *types.MsgCrossUnstake) {
			f.SetParams(func(p *types.Params) { p.MaxPositions = 1 })
		}, nil},
		{"bad delegator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) { m.Delegator = "x" }, types.ErrInvalidAddress},
		{"amount zero", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) {
			m.Amount.Amount = sdkmath.ZeroInt()
		}, types.ErrAmountNotPositive},
		{"other denom", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) { m.Amount.Denom = "uatom" }, types.ErrInvalidDenom},
		{"more than held", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) {
			m.Amount.Amount = sdkmath.NewInt(501)
		}, types.ErrInsufficientStake},
		{"unknown consumer", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) { m.ConsumerId = "x" }, types.ErrUnknownConsumer},
		{"bad validator", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) { m.Validator = "x" }, types.ErrInvalidValidator},
		{"nothing staked there", func(_ *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) {
			m.Validator = testutil.OperatorString(2)
		}, types.ErrNoPosition},
		{"somebody else's stake", func(f *testutil.Fixture, _ *testutil.Consumer, m *types.MsgCrossUnstake) {
			m.Delegator = f.Address().String()
		}, types.ErrNoPosition},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, u, c := setup(t)
			require.NoError(t, c.Stake(u, 1, 500))
			msg := types.MsgCrossUnstake{
				Delegator: u.String(), ConsumerId: client, Validator: testutil.OperatorString(1), Amount: sdk.NewInt64Coin(testutil.Denom, 100),
			}
			tc.change(f, c, &msg)
			before := export(t, f)
			err := f.Try(func(ctx sdk.Context) error {
				res, err := f.Msgs.CrossUnstake(ctx, &msg)
				if err == nil {
					p := c.Pairing()
					require.Equal(t, p.BatchEpochEnd.Add(2*p.EffectiveUnbonding), res.LatestMaturity)
				}
				return err
			})
			if tc.err == nil {
				require.NoError(t, err)
				f.NextBlock()
				return
			}
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, export(t, f), "nothing changed")
		})
	}
}

func TestClaimLimit(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	for range types.HardMaxUnbondingClaims {
		require.NoError(t, c.Unstake(u, 1, 10))
		require.NoError(t, c.Unstake(u, 1, 10), "the same batch is no new claim")
		f.NextBlockAfter(14 * 24 * time.Hour / 64)
		f.NextBlock()
	}
	require.ErrorIs(t, c.Unstake(u, 1, 10), types.ErrTooManyClaims)
	require.Len(t, c.Batches(), 7)
	res, err := f.Queries.Unbonding(f.Ctx, &types.QueryUnbondingRequest{Delegator: u.String()})
	require.NoError(t, err)
	require.Len(t, res.Claims, 7)
	require.NotEmpty(t, res.Claims[0].WaitsFor)
	// Stake on another validator can leave.
	require.NoError(t, c.Stake(u, 2, 5))
	require.NoError(t, c.Unstake(u, 2, 5))
}

func TestGovernanceMessages(t *testing.T) {
	stranger := testutil.New(t).Address().String()
	cfg := testutil.Config("07-tendermint-5")
	type test struct {
		name string
		run  func(f *testutil.Fixture, ctx sdk.Context, signer string) error
		// good is nil if the message fails for governance too.
		err error
	}
	add := func(change func(f *testutil.Fixture, c *types.ConsumerConfig)) func(*testutil.Fixture, sdk.Context, string) error {
		return func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			c := cfg
			f.IBC.AddClient(c.ClientId, c.ChainId, c.UnbondingPeriod)
			if change != nil {
				change(f, &c)
			}
			_, err := f.Msgs.AddConsumer(ctx, &types.MsgAddConsumer{Authority: signer, Config: c})
			return err
		}
	}
	update := func(change func(f *testutil.Fixture, c *types.ConsumerConfig)) func(*testutil.Fixture, sdk.Context, string) error {
		return func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			c := testutil.Config(client)
			if change != nil {
				change(f, &c)
			}
			_, err := f.Msgs.UpdateConsumer(ctx, &types.MsgUpdateConsumer{Authority: signer, Config: c})
			return err
		}
	}
	dec := sdkmath.LegacyMustNewDecFromStr
	for _, tc := range []test{
		{"add", add(nil), nil},
		{"add twice", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ClientId = client }), types.ErrConsumerExists},
		{"chain id of another", add(func(f *testutil.Fixture, c *types.ConsumerConfig) {
			c.ChainId = testutil.Config(client).ChainId
			f.IBC.Clients[c.ClientId].State.ChainId = c.ChainId
		}), types.ErrChainIDTaken},
		{"our own chain id", add(func(f *testutil.Fixture, c *types.ConsumerConfig) { c.ChainId = testutil.ChainID }), types.ErrOwnChainID},
		{"unregistered client", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ClientId = "07-tendermint-99" }), types.ErrClientUnknown},
		{"client of another chain", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ChainId = "other-1" }), types.ErrClientChainID},
		{"frozen client", add(func(f *testutil.Fixture, c *types.ConsumerConfig) { f.IBC.Clients[c.ClientId].Status = exported.Frozen }), types.ErrClientInactive},
		{"too many", add(func(f *testutil.Fixture, _ *types.ConsumerConfig) {
			f.SetParams(func(p *types.Params) { p.MaxConsumers = 1 })
		}), types.ErrTooManyConsumers},
		{"bad guardian", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.Guardian = "x" }), types.ErrInvalidAddress},
		{"no prefix", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ValidatorPrefix = "" }), types.ErrInvalidConfig},
		{"bad prefix", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ValidatorPrefix = "Axelar" }), types.ErrInvalidConfig},
		{"no chain id", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ChainId = "" }), types.ErrInvalidConfig},
		{"no client", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ClientId = "" }), types.ErrInvalidConfig},
		{"no unbonding", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.UnbondingPeriod = 0 }), types.ErrInvalidConfig},
		{"unbonding of a century", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.UnbondingPeriod = 100 * 365 * 24 * time.Hour }), types.ErrInvalidConfig},
		{"no slash fraction", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.MaxSlashFractionDoubleSign = dec("0") }), types.ErrInvalidConfig},
		{"slash fraction above one", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.MaxSlashFractionDoubleSign = dec("1.1") }), types.ErrInvalidConfig},
		{"slash fraction missing", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.MaxSlashFractionDowntime = sdkmath.LegacyDec{} }), types.ErrInvalidConfig},
		{"downtime fraction negative", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.MaxSlashFractionDowntime = dec("-0.1") }), types.ErrInvalidConfig},
		{"batch epoch too short", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.BatchEpoch = time.Minute }), types.ErrInvalidConfig},
		{"batch epoch too long", add(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.BatchEpoch = c.UnbondingPeriod + 1 }), types.ErrInvalidConfig},
		{"update", update(nil), nil},
		{"update of an unknown one", update(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ClientId = "x" }), types.ErrUnknownConsumer},
		{"update to a chain id the client does not track", update(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.ChainId = "x-1" }), types.ErrClientChainID},
		{"update, bad", update(func(_ *testutil.Fixture, c *types.ConsumerConfig) { c.BatchEpoch = -1 }), types.ErrInvalidConfig},
		{"remove", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.RemoveConsumer(ctx, &types.MsgRemoveConsumer{Authority: signer, ConsumerId: client})
			return err
		}, nil},
		{"remove an unknown one", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.RemoveConsumer(ctx, &types.MsgRemoveConsumer{Authority: signer, ConsumerId: "x"})
			return err
		}, types.ErrUnknownConsumer},
		{"pause", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.PauseConsumer(ctx, &types.MsgPauseConsumer{Signer: signer, ConsumerId: client})
			return err
		}, nil},
		{"resume what is not paused", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.ResumeConsumer(ctx, &types.MsgResumeConsumer{Authority: signer, ConsumerId: client})
			return err
		}, types.ErrNotPaused},
		{"retire", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.RetireChannel(ctx, &types.MsgRetireChannel{Authority: signer, ConsumerId: client})
			return err
		}, nil},
		{"retire without channel", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			msg := &types.MsgRetireChannel{Authority: signer, ConsumerId: client}
			if _, err := f.Msgs.RetireChannel(ctx, msg); err != nil {
				return err
			}
			_, err := f.Msgs.RetireChannel(ctx, msg)
			return err
		}, types.ErrNoChannel},
		{"params", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.UpdateParams(ctx, &types.MsgUpdateParams{Authority: signer, Params: types.DefaultParams()})
			return err
		}, nil},
		{"bad params", func(f *testutil.Fixture, ctx sdk.Context, signer string) error {
			_, err := f.Msgs.UpdateParams(ctx, &types.MsgUpdateParams{Authority: signer})
			return err
		}, types.ErrInvalidParams},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, _, _ := setup(t)
			err := f.Try(func(ctx sdk.Context) error { return tc.run(f, ctx, f.Authority) })
			if tc.err == nil {
				require.NoError(t, err)
				f.NextBlock()
			} else {
				require.ErrorIs(t, err, tc.err)
			}
			f, _, _, _ = setup(t)
			before := export(t, f)
			require.ErrorIs(t, f.Try(func(ctx sdk.Context) error { return tc.run(f, ctx, stranger) }), types.ErrUnauthorized)
			require.ErrorIs(t, f.Try(func(ctx sdk.Context) error { return tc.run(f, ctx, "x") }), types.ErrInvalidAddress)
			after := export(t, f)
			after.Params = before.Params // some cases prepare parameters
			require.Equal(t, before, after, "nothing changed")
		})
	}
}

func TestExtremeAmounts(t *testing.T) {
	// x/staking keeps power in an int64: chains with such amounts have a larger unit.
	reduction := sdk.DefaultPowerReduction
	sdk.DefaultPowerReduction = sdkmath.NewIntWithDecimal(1, 18)
	t.Cleanup(func() { sdk.DefaultPowerReduction = reduction })
	for _, amount := range []string{"1", "9223372036854775808", "1000000000000000000000000000000"} {
		t.Run(amount, func(t *testing.T) {
			f := testutil.New(t)
			val := f.Validator(1_000_000, 1)
			n, _ := sdkmath.NewIntFromString(amount)
			u := f.Account(n)
			v, err := f.Staking.GetValidator(f.Ctx, val)
			require.NoError(t, err)
			_, err = f.Staking.Delegate(f.Ctx, u, n, stakingtypes.Unbonded, v, true)
			require.NoError(t, err)
			c := f.Consumer(client, nil)
			c.Bond(1)
			require.NoError(t, c.StakeInt(u, 1, n))
			require.ErrorIs(t, c.StakeInt(u, 1, sdkmath.OneInt()), types.ErrInsufficientCollateral)
			require.Equal(t, n.String(), c.Pool(1).Tokens.String())
			require.Equal(t, n.String(), f.Collateral(u).MaxLien.String())
			require.NoError(t, f.Try(func(ctx sdk.Context) error {
				_, err := f.Msgs.CrossUnstake(ctx, &types.MsgCrossUnstake{
					Delegator: u.String(), ConsumerId: client, Validator: testutil.OperatorString(1), Amount: sdk.Coin{Denom: testutil.Denom, Amount: n},
				})
				return err
			}))
			require.Len(t, c.Batches(), 1)
			require.Equal(t, n.String(), c.Batches()[0].Batch.Pool.Tokens.String())
			require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
		})
	}
}

// TestUnstakeOneOfHundred: what rounding adds to the budgets must fit, else the rest shrinks.
func TestUnstakeOneOfHundred(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) {
		cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(5, 2)
	})
	c.Bond(1)

	// With room: 100 reserves 5; 1 leaves with 1, 99 stay with 5.
	roomy := f.Delegator(val, 200)
	require.NoError(t, c.Stake(roomy, 1, 100))
	require.NoError(t, c.Unstake(roomy, 1, 1))
	col := f.Collateral(roomy)
	require.Equal(t, "6", col.Budgets.String())
	require.Equal(t, "100", col.MaxLien.String())
	f.NextBlock()

	// Without: native ratio 0.95 of 100 leaves 5 for budgets.
	f.SetNativeRatio("0.95")
	f.Epoch()
	tight := f.Delegator(val, 100)
	require.NoError(t, c.Stake(tight, 1, 100))
	require.NoError(t, c.Unstake(tight, 1, 1))
	col = f.Collateral(tight)
	require.Equal(t, "5", col.Budgets.String())
	require.Equal(t, "81", col.MaxLien.String(), "1 leaves with 1, what 4 back stays: 80")
	f.NextBlock()
	// Leaving whole needs no more than was there.
	require.NoError(t, c.Unstake(tight, 1, 80))
	require.Equal(t, "81", f.Collateral(tight).MaxLien.String())
	f.NextBlock()
}

// TestOperatorMinimum: of an operator's own delegation only what exceeds its minimum counts, and it cannot free more by
// raising the minimum later.
func TestOperatorMinimum(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000, 400)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	u := sdk.AccAddress(val)
	require.Equal(t, "600", f.Collateral(u).Bonded.String())
	require.ErrorIs(t, c.Stake(u, 1, 601), types.ErrInsufficientCollateral)
	require.NoError(t, c.Stake(u, 1, 600))
	f.NextBlock()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	v.MinSelfDelegation = sdkmath.NewInt(900)
	require.NoError(t, f.Staking.SetValidator(f.Ctx, v))
	require.Equal(t, "600", f.Collateral(u).Bonded.String(), "the smaller of the two counts")
	v.MinSelfDelegation = sdkmath.NewInt(100)
	require.NoError(t, f.Staking.SetValidator(f.Ctx, v))
	require.Equal(t, "900", f.Collateral(u).Bonded.String())
}

// TestManyConsumers: one collateral backs liens on many consumers, while the budgets fit.
func TestManyConsumers(t *testing.T) {
	f, _, u := withDelegator(t, "0", 10_000)
	half := func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(30, 2) }
	var cs []*testutil.Consumer
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		c := f.Consumer(id, half)
		c.Bond(1)
		cs = append(cs, c)
	}
	require.NoError(t, cs[0].Stake(u, 1, 10_000))
	for _, c := range cs[1:] {
		require.NoError(t, c.Stake(u, 1, 5_750))
	}
	col := f.Collateral(u)
	require.Equal(t, "9900", col.Budgets.String())
	require.Equal(t, "10000", col.Required.String())
	require.ErrorIs(t, cs[1].Stake(u, 1, 334), types.ErrInsufficientCollateral)
	require.NoError(t, cs[1].Stake(u, 1, 333))
	f.NextBlock()
}
