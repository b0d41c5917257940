package model_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	one = meshtest.One
	// u is the unbonding period of both chains.
	u = 4 * time.Minute
	// checks is how many random histories are played; -rapid.checks says otherwise.
	checks = 24
)

// TestMain fixes the number of checks. rapid prints how to play a history again that failed.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": fmt.Sprint(checks), "rapid.steps": "45", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// tb makes a check of rapid look like a test.
type tb struct {
	testing.TB
	rt *rapid.T
}

func (t tb) Helper()                        {}
func (t tb) Cleanup(f func())               { t.rt.Cleanup(f) }
func (t tb) Log(args ...any)                { t.rt.Log(args...) }
func (t tb) Logf(format string, a ...any)   { t.rt.Logf(format, a...) }
func (t tb) Error(args ...any)              { t.rt.Error(args...) }
func (t tb) Errorf(format string, a ...any) { t.rt.Errorf(format, a...) }
func (t tb) Fail()                          { t.rt.Fail() }
func (t tb) FailNow()                       { t.rt.FailNow() }
func (t tb) Failed() bool                   { return t.rt.Failed() }
func (t tb) Fatal(args ...any)              { t.rt.Fatal(args...) }
func (t tb) Fatalf(format string, a ...any) { t.rt.Fatalf(format, a...) }

// world is one provider, one consumer and what is done to them. Transactions may be refused; what must hold is the
// invariants after every block, which the network checks, and that in the end everybody gets out.
type world struct {
	n *meshtest.Network
	p *meshtest.Pairing
}

var delegators = []string{"alice", "bob", "carol", "dave", "val0"}

func newWorld(t *testing.T, rt *rapid.T) *world {
	t.Helper()
	times := func(g *meshtest.Genesis) {
		g.ConsumerParams(func(p *consumertypes.Params) {
			p.MaxProviderSilence, p.FreshnessMargin = 2*time.Minute, 30*time.Second
			p.MaxEpochOperations = 3
		})
		g.ProviderParams(func(p *providertypes.Params) { p.MaxPositions = 12 })
	}
	n := meshtest.NewNetwork(tb{t, rt}, rapid.Int64().Draw(rt, "seed"),
		meshtest.ChainConfig{Name: "prov", Unbonding: u, Genesis: times},
		meshtest.ChainConfig{Name: "cons", Unbonding: u, Genesis: times},
	)
	w := &world{n: n, p: n.Pair(n.Chain("prov"), n.Chain("cons"))}
	n.Relayer.Shuffle = true
	return w
}

func (w *world) delegator(rt *rapid.T) string {
	return rapid.SampledFrom(delegators).Draw(rt, "delegator")
}

func (w *world) validator(rt *rapid.T, c *meshtest.Chain) *meshtest.Validator {
	return c.Validators[rapid.IntRange(0, len(c.Validators)-1).Draw(rt, "validator")]
}

// amount is small, round or large.
func (w *world) amount(rt *rapid.T) int64 {
	return rapid.OneOf(
		rapid.Int64Range(1, 5_000), rapid.Int64Range(one, 30*one),
		rapid.Map(rapid.Int64Range(1, 10), func(i int64) int64 { return i * 10 * one }),
	).Draw(rt, "amount")
}

func (w *world) crossStake(rt *rapid.T) {
	del := w.delegator(rt)
	w.p.Provider.Account(del).Queue(w.p.MsgCrossStake(del, w.validator(rt, w.p.Consumer), w.amount(rt)))
}

func (w *world) crossUnstake(rt *rapid.T) {
	del := w.delegator(rt)
	w.p.Provider.Account(del).Queue(w.p.MsgCrossUnstake(del, w.validator(rt, w.p.Consumer), w.amount(rt)))
}

// native returns an action of a delegator on a chain's own stake.
func (w *world) native(c *meshtest.Chain) func(*rapid.T) {
	return func(rt *rapid.T) {
		del, v, tokens := w.delegator(rt), w.validator(rt, c), w.amount(rt)
		var msg sdk.Msg
		switch rapid.SampledFrom([]string{"delegate", "undelegate", "undelegate", "redelegate", "cancel"}).Draw(rt, "what") {
		case "delegate":
			msg = c.MsgDelegate(del, v, tokens)
		case "undelegate":
			msg = c.MsgUndelegate(del, v, tokens)
		case "redelegate":
			msg = c.MsgRedelegate(del, v, w.validator(rt, c), tokens)
		default:
			for _, e := range c.Unbondings(del) {
				if e.Validator == v.String() {
					msg = c.MsgCancelUnbonding(del, v, e.Created, min(tokens, e.Balance.Int64()))
				}
			}
			if msg == nil {
				return
			}
		}
		c.Account(del).Queue(msg)
	}
}

// jail jails or unjails a validator, as x/slashing does, and leaves two in the active set.
func (w *world) jail(c *meshtest.Chain) func(*rapid.T) {
	return func(rt *rapid.T) {
		v := w.validator(rt, c)
		ctx := c.NextContext()
		record, err := c.App.StakingKeeper.GetValidator(ctx, v.ValAddress())
		if err != nil {
			return
		}
		if record.Jailed {
			c.Direct(func(ctx sdk.Context) { _ = c.App.SlashingKeeper.Unjail(ctx, v.ValAddress()) })
			return
		}
		if c.Vals.Size() > 2 && c.NextVals.Size() > 2 {
			c.Direct(func(ctx sdk.Context) { require.NoError(c, c.App.SlashingKeeper.Jail(ctx, v.ConsAddress())) })
			w.n.Step()
		}
	}
}

func (w *world) network(rt *rapid.T) {
	switch rapid.SampledFrom([]string{"perfect", "unreliable", "bad", "dead"}).Draw(rt, "network") {
	case "perfect":
		w.n.Relayer.Policy = meshtest.Perfect
	case "unreliable":
		w.n.Relayer.Policy = w.n.Unreliable(15, 30, 15, false)
	case "bad":
		w.n.Relayer.Policy = w.n.Unreliable(50, 30, 10, false)
	case "dead":
		w.n.Relayer.Policy = meshtest.HoldAll
	}
}

func (w *world) price(rt *rapid.T) {
	w.p.SetPrice(sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 300).Draw(rt, "price"), 2))
}

func (w *world) cap(rt *rapid.T) {
	w.p.UpdateProvider(func(c *consumertypes.ProviderConfig) {
		c.MaxCap = sdkmath.NewInt(rapid.Int64Range(0, 200*one).Draw(rt, "cap"))
	})
}

func (w *world) wait(rt *rapid.T) {
	d := time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second
	w.n.AdvanceIn(d, 10*time.Second)
}

func (w *world) restart(rt *rapid.T) {
	w.n.Step()
	w.n.Chain(rapid.SampledFrom([]string{"prov", "cons"}).Draw(rt, "chain")).Restart()
}

// everybodyLeaves checks that the sides agree once packets get through, and that all stake is free in time.
func (w *world) everybodyLeaves(rt *rapid.T) {
	w.n.Relayer.Policy = meshtest.Perfect
	w.n.Step()
	w.n.BlockTime = 10 * time.Second
	w.p.WaitConverged(2 * time.Hour)

	deadline := w.n.Now().Add(3 * u) // claims fill up, so some need more than one attempt
	for w.n.Now().Before(deadline) {
		for _, del := range delegators {
			positions := w.positions(del)
			for _, val := range slices.Sorted(maps.Keys(positions)) {
				value := positions[val]
				w.p.Provider.Account(del).Queue(&providertypes.MsgCrossUnstake{
					Delegator: w.p.Provider.Account(del).String(), ConsumerId: w.p.ConsumerID,
					Validator: val, Amount: sdk.NewCoin(w.p.Provider.Denom, value),
				})
			}
		}
		w.n.Advance(30 * time.Second)
	}
	w.n.AdvanceIn(2*u+time.Minute, 20*time.Second)
	state := w.p.Provider.ProviderState()
	require.Empty(rt, state.Positions)
	require.Empty(rt, state.Pools)
	require.Empty(rt, state.Accounts)
	require.Empty(rt, state.Holds)
	require.True(rt, w.p.TotalVirtual().IsZero())
	for _, del := range delegators {
		for _, e := range w.p.Provider.Unbondings(del) {
			require.False(rt, e.Held)
			require.True(rt, e.Completion.After(w.n.Now().Add(-time.Minute)), "an entry of %s was forgotten", del)
		}
	}
	w.p.WaitConverged(time.Hour)
}

// positions returns what a delegator has in active pools, by operator address.
func (w *world) positions(del string) map[string]sdkmath.Int {
	state := w.p.Provider.ProviderState()
	pools := map[uint64]providertypes.Pool{}
	for _, r := range state.Pools {
		pools[r.Id] = r.Pool
	}
	out := map[string]sdkmath.Int{}
	for _, r := range state.Positions {
		pool := pools[r.PoolId]
		if w.p.Provider.Account(del).Address().Equals(sdk.AccAddress(r.Delegator)) && pool.Kind == providertypes.POOL_KIND_ACTIVE {
			out[w.p.ConsumerConfig.FormatValidator(pool.Validator)] = pool.ValueOf(r.Position.Shares)
		}
	}
	return out
}

func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"stake":               w.crossStake,
			"stake more":          w.crossStake,
			"unstake":             w.crossUnstake,
			"native":              w.native(w.p.Provider),
			"native again":        w.native(w.p.Provider),
			"native on consumer":  w.native(w.p.Consumer),
			"jail on provider":    w.jail(w.p.Provider),
			"jail on consumer":    w.jail(w.p.Consumer),
			"network":             w.network,
			"price":               w.price,
			"cap":                 w.cap,
			"wait":                w.wait,
			"wait more":           w.wait,
			"export, then import": w.restart,
		})
		w.everybodyLeaves(rt)
	})
}
