package model_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	one = meshtest.One
	// u is the unbonding period of both chains.
	u = 4 * time.Minute
	// checks is how many random histories each property plays; -rapid.checks says otherwise.
	checks = 20
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

// world is one provider, its consumers and what is done to them. Transactions may be refused; what must hold is the
// invariants after every block, which the network checks, and that in the end everybody gets out.
type world struct {
	n    *meshtest.Network
	prov *meshtest.Chain
	// pairings are those with each consumer.
	pairings []*meshtest.Pairing
}

var delegators = []string{"alice", "bob", "carol", "dave", "val0"}

func newWorld(t *testing.T, rt *rapid.T, consumers int) *world {
	t.Helper()
	steps := rapid.SampledFrom([]uint32{20, 1000}).Draw(rt, "settlement steps")
	genesis := func(g *meshtest.Genesis) {
		g.ConsumerParams(func(p *consumertypes.Params) {
			p.MaxProviderSilence, p.FreshnessMargin = 2*time.Minute, 30*time.Second
			p.MaxEpochOperations = 3
		})
		g.ProviderParams(func(p *providertypes.Params) { p.MaxPositions, p.MaxSettlementSteps = 12, steps })
		g.SlashingParams(func(p *slashingtypes.Params) { p.SignedBlocksWindow = 1_000_000 })
	}
	configs := []meshtest.ChainConfig{{Name: "prov", Unbonding: u, Genesis: genesis}}
	for i := range consumers {
		configs = append(configs, meshtest.ChainConfig{Name: fmt.Sprintf("cons%c", 'a'+i), Unbonding: u, Genesis: genesis})
	}
	n := meshtest.NewNetwork(tb{t, rt}, rapid.Int64().Draw(rt, "seed"), configs...)
	n.Relayer.Shuffle = true
	w := &world{n: n, prov: n.Chain("prov")}
	for _, c := range n.Chains()[1:] {
		p := n.NewPairing(n.Connect(w.prov, c), w.prov, c)
		p.ConsumerConfig.MaxSlashFractionDoubleSign = meshtest.Dec(
			rapid.SampledFrom([]string{"0.05", "0.5", "1"}).Draw(rt, "slash fraction"))
		p.SetUp()
		w.pairings = append(w.pairings, p)
	}
	return w
}

func (w *world) pairing(rt *rapid.T) *meshtest.Pairing {
	return w.pairings[rapid.IntRange(0, len(w.pairings)-1).Draw(rt, "pairing")]
}

func (w *world) chain(rt *rapid.T) *meshtest.Chain {
	return w.n.Chains()[rapid.IntRange(0, len(w.pairings)).Draw(rt, "chain")]
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
	p, del := w.pairing(rt), w.delegator(rt)
	w.prov.Account(del).Queue(p.MsgCrossStake(del, w.validator(rt, p.Consumer), w.amount(rt)))
}

func (w *world) crossUnstake(rt *rapid.T) {
	p, del := w.pairing(rt), w.delegator(rt)
	w.prov.Account(del).Queue(p.MsgCrossUnstake(del, w.validator(rt, p.Consumer), w.amount(rt)))
}

func (w *world) crossRedelegate(rt *rapid.T) {
	p, del := w.pairing(rt), w.delegator(rt)
	w.prov.Account(del).Queue(p.MsgCrossRedelegate(del, w.validator(rt, p.Consumer), w.validator(rt, p.Consumer), w.amount(rt)))
}

// nativeOnProvider is an action of a delegator on the provider's own stake.
func (w *world) nativeOnProvider(rt *rapid.T) { w.native(rt, w.prov) }

// nativeOnConsumer is an action of a delegator on a consumer's own stake.
func (w *world) nativeOnConsumer(rt *rapid.T) { w.native(rt, w.pairing(rt).Consumer) }

func (w *world) native(rt *rapid.T, c *meshtest.Chain) {
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

// jail jails or unjails a validator, as x/slashing does, and leaves two in the active set.
func (w *world) jail(rt *rapid.T) {
	c := w.chain(rt)
	v := w.validator(rt, c)
	record, err := c.App.StakingKeeper.GetValidator(c.CommittedContext(), v.ValAddress())
	if err != nil {
		return
	}
	if record.Jailed {
		c.Direct(func(ctx sdk.Context) { _ = c.App.SlashingKeeper.Unjail(ctx, v.ValAddress()) })
		return
	}
	w.n.Step() // what was done before may have changed the set
	if c.NextVals.Size() > 2 && !c.Validator(v).Jailed {
		c.Direct(func(ctx sdk.Context) { require.NoError(c, c.App.SlashingKeeper.Jail(ctx, v.ConsAddress())) })
		w.n.Steps(2)
	}
}

// doubleSign is evidence against a validator for an infraction of some blocks ago.
func (w *world) doubleSign(rt *rapid.T) {
	c := w.chain(rt)
	w.n.Steps(2)
	v := w.validator(rt, c)
	if c.NextVals.Size() <= 2 || c.Power(v) == 0 {
		return
	}
	ago := rapid.Int64Range(0, 15).Draw(rt, "blocks ago")
	height := max(c.Height()-ago, 2)
	if c.PowerAt(v, height) == 0 {
		return
	}
	c.DoubleSign(v, height)
	w.lossy()
	w.n.Steps(2)
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
	price := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 300).Draw(rt, "price"), 2)
	if p := w.pairing(rt); p.ProviderRecord().Status != consumertypes.PROVIDER_STATUS_REMOVED {
		p.SetPrice(price)
	}
}

func (w *world) cap(rt *rapid.T) {
	limit := sdkmath.NewInt(rapid.Int64Range(0, 200*one).Draw(rt, "cap"))
	if p := w.pairing(rt); p.ProviderRecord().Status != consumertypes.PROVIDER_STATUS_REMOVED {
		p.UpdateProvider(func(c *consumertypes.ProviderConfig) { c.MaxCap = limit })
	}
}

// unbondingPeriod changes the consumer's registered unbonding period.
func (w *world) unbondingPeriod(rt *rapid.T) {
	period := rapid.SampledFrom([]time.Duration{u / 2, u * 3 / 4, u}).Draw(rt, "unbonding period")
	p := w.pairing(rt)
	p.UpdateConsumer(func(c *providertypes.ConsumerConfig) { c.UnbondingPeriod = period })
}

// channel gives the channel up on one side or both, and opens a new one.
func (w *world) channel(rt *rapid.T) {
	p := w.pairing(rt)
	switch rapid.SampledFrom([]string{"provider", "consumer", "both"}).Draw(rt, "side") {
	case "provider":
		p.RetireOnProvider()
	case "consumer":
		p.RetireOnConsumer()
	default:
		p.RetireOnProvider()
		p.RetireOnConsumer()
	}
	w.n.Steps(rapid.IntRange(1, 5).Draw(rt, "blocks"))
	w.reopen(p)
}

func (w *world) reopen(p *meshtest.Pairing) {
	prov, cons := p.ConsumerRecord().Pairing.ChannelId, p.ProviderRecord().ChannelId
	if prov != "" && cons != "" {
		return
	}
	if prov != "" {
		p.RetireOnProvider()
	}
	if cons != "" {
		p.RetireOnConsumer()
	}
	w.n.Steps(2)
	require.NoError(w.n, p.OpenChannel())
}

// register removes the provider on the consumer and adds it again.
func (w *world) register(rt *rapid.T) {
	p := w.pairing(rt)
	p.RemoveProvider()
	w.n.Steps(rapid.IntRange(1, 20).Draw(rt, "blocks"))
	w.n.Until("the provider can be added again", u, func() bool { return p.Consumer.Gov(p.MsgAddProvider()) == nil })
	p.SetPrice(p.Price)
	w.n.Step()
	w.reopen(p)
}

func (w *world) wait(rt *rapid.T) {
	d := time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second
	w.n.AdvanceIn(d, 10*time.Second)
}

func (w *world) restart(rt *rapid.T) {
	w.n.Step()
	w.chain(rt).Restart()
}

// agree checks that the sides agree once packets get through.
func (w *world) agree() {
	w.n.Relayer.Policy = meshtest.Perfect
	w.n.Step()
	w.n.BlockTime = 10 * time.Second
	for _, p := range w.pairings {
		p.WaitConverged(2 * time.Hour)
	}
}

// everybodyLeaves checks that all stake is free in time.
func (w *world) everybodyLeaves() {
	w.n.Relayer.Policy = meshtest.Perfect
	w.n.Step()
	w.n.BlockTime = 10 * time.Second
	deadline := w.n.Now().Add(3 * u) // claims fill up, so some need more than one attempt
	for w.n.Now().Before(deadline) {
		for _, del := range delegators {
			for _, msg := range w.leave(del) {
				w.prov.Account(del).Queue(msg)
			}
		}
		w.n.Advance(30 * time.Second)
	}
	w.n.AdvanceIn(2*u+2*u/3+time.Minute, 20*time.Second) // pending slashes may delay batches
	state := w.prov.ProviderState()
	require.Empty(w.n, state.Positions)
	require.Empty(w.n, state.Pools)
	require.Empty(w.n, state.Accounts)
	require.Empty(w.n, state.Holds)
	for _, p := range w.pairings {
		require.True(w.n, p.TotalVirtual().IsZero())
	}
	for _, del := range delegators {
		for _, e := range w.prov.Unbondings(del) {
			require.False(w.n, e.Held)
			require.True(w.n, e.Completion.After(w.n.Now().Add(-time.Minute)), "an entry of %s was forgotten", del)
		}
	}
	for _, p := range w.pairings {
		p.WaitConverged(2 * time.Hour)
	}
}

// leave returns the messages by which a delegator takes back all that is active.
func (w *world) leave(del string) (msgs []sdk.Msg) {
	for _, p := range w.pairings {
		msgs = append(msgs, p.MsgsLeave(del)...)
	}
	return msgs
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"stake":               w.crossStake,
		"stake more":          w.crossStake,
		"unstake":             w.crossUnstake,
		"redelegate":          w.crossRedelegate,
		"native":              w.nativeOnProvider,
		"native again":        w.nativeOnProvider,
		"native on consumer":  w.nativeOnConsumer,
		"jail":                w.jail,
		"network":             w.network,
		"price":               w.price,
		"cap":                 w.cap,
		"unbonding period":    w.unbondingPeriod,
		"channel":             w.channel,
		"register again":      w.register,
		"wait":                w.wait,
		"wait more":           w.wait,
		"export, then import": w.restart,
	}
}

func TestRandomHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt, 1)
		rt.Repeat(w.actions())
		w.agree()
		w.everybodyLeaves()
	})
}

func TestRandomHistoriesWithTwoConsumers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt, 2)
		rt.Repeat(w.actions())
		w.agree()
		w.everybodyLeaves()
	})
}

func TestRandomHistoriesWithDoubleSigning(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt, 1)
		actions := w.actions()
		actions["double sign"] = w.doubleSign
		rt.Repeat(actions)
		w.agree()
		w.everybodyLeaves()
		w.drained()
	})
}
