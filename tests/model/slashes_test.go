package model_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// lossy says that collateral may be lost from now on: then power has not always stake behind it.
func (w *world) lossy() {
	for _, p := range w.pairings {
		p.SkipBacking = true
	}
}

// stakeMuch stakes so much, by everybody and on all consumers, that slashes find something.
func (w *world) stakeMuch(rt *rapid.T) {
	for _, del := range delegators {
		for _, p := range w.pairings {
			for range rapid.IntRange(1, 3).Draw(rt, "stakes") {
				tokens := rapid.Int64Range(3, 20).Draw(rt, "tokens") * one
				w.prov.Account(del).Queue(p.MsgCrossStake(del, w.validator(rt, p.Consumer), tokens))
			}
		}
	}
	w.n.Steps(6)
}

// claimed is a slash on a consumer for another reason than double signing, which enters its slash log.
func (w *world) claimed(rt *rapid.T) {
	fraction := rapid.SampledFrom([]string{"0.0001", "0.003", "0.01", "0.2"}).Draw(rt, "fraction")
	w.slash(rt, w.pairing(rt).Consumer, fraction)
}

// nativeSlash is a slash of a validator of the provider for an infraction of some blocks ago.
func (w *world) nativeSlash(rt *rapid.T) {
	w.slash(rt, w.prov, rapid.SampledFrom([]string{"0.0001", "0.01", "0.05", "0.3"}).Draw(rt, "fraction"))
}

func (w *world) slash(rt *rapid.T, c *meshtest.Chain, fraction string) {
	v, ago := w.validator(rt, c), rapid.Int64Range(0, 20).Draw(rt, "blocks ago")
	if record, err := c.App.StakingKeeper.GetValidator(c.CommittedContext(), v.ValAddress()); err != nil || record.IsUnbonded() {
		return
	}
	height := max(c.Height()-ago, 2)
	power := c.PowerAt(v, height)
	if power == 0 {
		return
	}
	w.lossy()
	reason := rapid.SampledFrom([]stakingtypes.Infraction{
		stakingtypes.Infraction_INFRACTION_DOWNTIME, stakingtypes.Infraction_INFRACTION_UNSPECIFIED,
	}).Draw(rt, "reason")
	c.Direct(func(ctx sdk.Context) {
		err := c.App.SlashingKeeper.SlashWithInfractionReason(ctx, v.ConsAddress(), meshtest.Dec(fraction), power, height, reason)
		require.NoError(c, err)
	})
}

// proof is evidence that a validator of a consumer signed two blocks at a height that the provider's client has seen.
func (w *world) proof(rt *rapid.T) {
	p := w.pairing(rt)
	latest := int64(p.Link().On(w.prov).ClientHeight().RevisionHeight)
	height := max(latest-rapid.Int64Range(0, 20).Draw(rt, "blocks ago"), 1)
	v := w.validator(rt, p.Consumer)
	w.lossy()
	w.prov.Account(w.delegator(rt)).Queue(p.MsgSubmitDoubleVote(w.delegator(rt), v, height))
}

// judge is what governance does about slashes: it takes a pending one away, delays it, or lets a paused consumer go on.
func (w *world) judge(rt *rapid.T) {
	var pending []uint64
	for _, s := range w.prov.ProviderState().Slashes {
		if s.IsPending() {
			pending = append(pending, s.Id)
		}
	}
	if len(pending) == 0 || rapid.Bool().Draw(rt, "resume") {
		w.resume()
		return
	}
	id := rapid.SampledFrom(pending).Draw(rt, "slash")
	// A slash may have been settled by what is queued before the next block, or cannot be delayed.
	if rapid.Bool().Draw(rt, "veto") {
		_ = w.prov.Gov(&providertypes.MsgVetoSlash{Authority: w.prov.Authority(), SlashId: id})
	} else {
		_ = w.prov.Gov(&providertypes.MsgStopSlash{Signer: w.prov.Authority(), SlashId: id})
	}
}

// resume ends what paused consumers because of slashes.
func (w *world) resume() {
	for _, p := range w.pairings {
		if p.ConsumerRecord().Consumer.HasPauseReason(providertypes.PAUSE_REASON_SLASHES) {
			_ = w.prov.Gov(&providertypes.MsgResumeConsumer{Authority: w.prov.Authority(), ConsumerId: p.ConsumerID})
		}
	}
}

// drained waits until nothing of a slash is left to do, and checks what was burned in all.
func (w *world) drained() {
	w.n.Relayer.Policy = meshtest.Perfect
	w.n.BlockTime = 10 * time.Second
	w.n.Until("queues are drained", 6*u, func() bool {
		w.resume() // or double signs that were only claimed wait for ever
		state := w.prov.ProviderState()
		for _, s := range state.Slashes {
			if s.IsPending() {
				return false
			}
		}
		return len(state.Walks)+len(state.NativeSlashWalks)+len(state.Marked)+len(state.Debts) == 0
	})
	t := w.prov.ProviderState().Totals
	require.True(w.n, t.Debt.IsZero() && t.Debtors == 0, "%s owed by %d", t.Debt, t.Debtors)
	require.Equal(w.n, t.Owed.String(), t.Burned.Add(t.Shortfall).String(), "burned and shortfall are what was owed")
	require.True(w.n, t.Owed.Sub(t.Slashed).Abs().LTE(sdkmath.NewIntFromUint64(t.Roundings)), "%s owed of %s slashed", t.Owed, t.Slashed)
	// The same from events alone.
	slashed, burned, short, rewarded := w.sum("EventPoolSlashed"), w.sum("EventBurned"), w.sum("EventShortfall"), w.sum("EventSubmitterRewarded")
	require.Equal(w.n, t.Slashed.String(), slashed.String())
	require.Equal(w.n, t.Burned.String(), burned.String())
	require.Equal(w.n, t.Shortfall.String(), short.String())
	require.Equal(w.n, t.Rewarded.String(), rewarded.String())
}

// sum adds the amounts of all events of a type on the provider.
func (w *world) sum(name string) sdkmath.Int {
	total := sdkmath.ZeroInt()
	for _, e := range w.prov.EventsSince(0, "mesh.provider.v1."+name) {
		for _, a := range e.Attributes {
			if a.Key != "amount" {
				continue
			}
			var digits string
			_, err := fmt.Sscanf(a.Value, "%q", &digits)
			require.NoError(w.n, err, "%s", a.Value)
			x, ok := sdkmath.NewIntFromString(digits)
			require.True(w.n, ok, "%s", a.Value)
			total = total.Add(x)
		}
	}
	return total
}

// TestRandomHistoriesWithSlashes: on three chains validators of the provider are slashed, those of both consumers are too,
// with proof, by claims of their chains and without reason, while delegators stake and unstake on both, delegate,
// undelegate and redelegate natively, packets are lost and come in any order, channels and sessions are replaced, and
// governance vetoes. Invariants hold after every block, the sides agree in the end, everybody gets out, and what was
// burned and fell short is what was owed.
func TestRandomHistoriesWithSlashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt, 2)
		w.stakeMuch(rt)
		actions := w.actions()
		for name, action := range map[string]func(*rapid.T){
			"native slash": w.nativeSlash, "claim": w.claimed, "proof": w.proof, "double sign": w.doubleSign, "judge": w.judge,
		} {
			// Each as often as three of the others.
			actions[name], actions[name+" more"], actions[name+" still more"] = action, action, action
		}
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(20, 50).Draw(rt, "actions") {
			actions[rapid.SampledFrom(names).Draw(rt, "action")](rt)
			w.n.Steps(rapid.IntRange(0, 3).Draw(rt, "blocks"))
		}
		w.agree()
		w.everybodyLeaves()
		w.drained()
	})
}
