package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestConsumerThatTurnsEvil: whatever it claims, and however users move and governance resumes meanwhile, it takes no more
// than its meter: the allowance of the largest stake there was, once at the start and once more for each window that
// passes.
func TestConsumerThatTurnsEvil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := testutil.New(t)
		f.SetParams(func(p *types.Params) {
			p.MaxSettlementSteps = uint32(rapid.SampledFrom([]int{20, 200, 1_000}).Draw(t, "steps"))
		})
		val := f.Validator(100_000_000, 1)
		users := []sdk.AccAddress{f.Delegator(val, 3_000_000), f.Delegator(val, 5_000_000)}
		f.NextBlock()
		limit := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(5, 100).Draw(t, "limit"), 2)
		c := f.Consumer(client, func(c *types.ConsumerConfig) {
			c.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 100).Draw(t, "double sign"), 2)
			c.MaxSlashFractionDowntime = limit.MulInt64(rapid.Int64Range(0, 10).Draw(t, "downtime")).QuoInt64(10)
			c.SlashPolicy.UnprovenLimit = limit
			c.SlashPolicy.UnprovenWindow = time.Duration(rapid.IntRange(1, 20).Draw(t, "window")) * day
			c.SlashPolicy.UnprovenDelay = time.Duration(rapid.IntRange(0, 4).Draw(t, "delay")) * day
		})
		c.Bond(3)
		for n := 1; n <= 3; n++ {
			require.NoError(t, c.Stake(users[n%2], n, rapid.Int64Range(1, 1_000_000).Draw(t, "stake")))
		}
		f.NextBlock()
		start, largest, index := f.Ctx.BlockTime(), sdkmath.ZeroInt(), uint64(0)
		total := func() sdkmath.Int {
			sum := sdkmath.ZeroInt()
			g, err := f.Provider.ExportGenesis(f.Ctx)
			require.NoError(t, err)
			for _, r := range g.Pools {
				if !r.Pool.IsMatured() {
					sum = sum.Add(r.Pool.Tokens)
				}
			}
			return sum
		}
		for range rapid.IntRange(5, 40).Draw(t, "blocks") {
			largest = sdkmath.MaxInt(largest, total())
			height := f.IBC.Clients[client].State.LatestHeight.RevisionHeight
			m := c.Message()
			for range rapid.IntRange(0, 12).Draw(t, "entries") {
				index++
				m.Slashes = append(m.Slashes, meshtypes.SlashEntry{
					Index: index, Operator: testutil.Operator(rapid.IntRange(1, 4).Draw(t, "validator")),
					Kind:              meshtypes.SlashKind(rapid.IntRange(1, 3).Draw(t, "kind")),
					Infraction:        at(height - rapid.Uint64Range(0, 20).Draw(t, "ago")),
					NominalFraction:   sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 1000).Draw(t, "nominal"), 3),
					EffectiveFraction: sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(0, 1000).Draw(t, "effective"), 3),
				})
			}
			_, isError := c.Send(m)
			require.False(t, isError)
			u, n, amount := users[rapid.IntRange(0, 1).Draw(t, "user")], rapid.IntRange(1, 3).Draw(t, "on"), rapid.Int64Range(1, 500_000).Draw(t, "amount")
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0:
				_ = c.Stake(u, n, amount)
			case 1:
				_ = c.Unstake(u, n, amount)
			case 2:
				_, _ = f.Msgs.ResumeConsumer(f.Ctx, &types.MsgResumeConsumer{Authority: f.Authority, ConsumerId: client})
			}
			largest = sdkmath.MaxInt(largest, total())
			f.NextBlockAfter(time.Duration(rapid.IntRange(1, 200).Draw(t, "hours")) * time.Hour)
		}
		g, err := f.Provider.ExportGenesis(f.Ctx)
		require.NoError(t, err)
		windows := sdkmath.LegacyNewDec(int64(f.Ctx.BlockTime().Sub(start))).QuoInt64(int64(c.Status().Config.SlashPolicy.UnprovenWindow))
		allowed := limit.MulInt(largest).Mul(windows.Add(sdkmath.LegacyOneDec())).Ceil().TruncateInt()
		require.True(t, g.Totals.Slashed.LTE(allowed), "took %s, allowed %s", g.Totals.Slashed, allowed)
		// What every slash says it took is what was taken.
		sum := sdkmath.ZeroInt()
		for _, r := range g.Slashes {
			sum = sum.Add(r.Amount)
		}
		if f.Ctx.BlockTime().Sub(start) < 2*u14 { // none is forgotten
			require.Equal(t, g.Totals.Slashed.String(), sum.String())
		}
	})
}

// TestMeterIsReached: the bound of the property above is not far from what can be taken.
func TestMeterIsReached(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) {
		c.MaxSlashFractionDowntime, c.SlashPolicy.UnprovenLimit = dec("0.05"), dec("0.05")
	})
	for n := 1; n <= 3; n++ {
		s.downtime(n, "0.05")
	}
	s.f.NextBlock()
	require.Equal(t, "300000", export(t, s.f).Totals.Slashed.String())
	require.False(t, s.c.Status().IsPaused())
}

// TestSlashGas: what a proof and a claim cost does not depend on how many positions there are.
func TestSlashGas(t *testing.T) {
	cost := func(positions int) (proof, claim uint64) {
		s := newSlasher(t, nil)
		id, _, err := activeID(s, 1)
		require.NoError(t, err)
		pool, err := s.f.Provider.Pools.Get(s.f.Ctx, id)
		require.NoError(t, err)
		// The pool's number of shares stays; they are spread over many positions.
		for range positions {
			u := s.f.Address()
			require.NoError(t, s.f.Provider.Positions.Set(s.f.Ctx, collections.Join(u, id), types.Position{
				Shares: sdkmath.OneInt(), SlashIndex: pool.SlashIndex, Budget: sdkmath.OneInt(),
			}))
			require.NoError(t, s.f.Provider.Members.Set(s.f.Ctx, collections.Join(id, u)))
		}
		gas := func(fn func(ctx sdk.Context) error) uint64 {
			ctx, _ := s.f.Ctx.CacheContext()
			ctx = ctx.WithGasMeter(storetypes.NewInfiniteGasMeter()).WithKVGasConfig(storetypes.KVGasConfig())
			require.NoError(t, fn(ctx))
			return ctx.GasMeter().GasConsumed()
		}
		proof = gas(func(ctx sdk.Context) error {
			rec, err := s.f.Provider.RecordProof(ctx, client, testutil.Operator(1), at(offence), s.w, true)
			require.Equal(t, "100000", rec.Amount.String())
			return err
		})
		claim = gas(func(ctx sdk.Context) error {
			x, err := s.f.Provider.SlashOne(ctx, id, dec("0.01"))
			require.Equal(t, "10000", x.String())
			return err
		})
		return proof, claim
	}
	proof1, claim1 := cost(0)
	proof2, claim2 := cost(100_000)
	t.Logf("proof %d, claim %d", proof1, claim1)
	require.Equal(t, proof1, proof2)
	require.Equal(t, claim1, claim2)
}
