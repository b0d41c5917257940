package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// inFlight has a slash of every status, a delayed batch and a used meter.
func inFlight(t *testing.T) *slasher {
	t.Helper()
	s, b := unexecuted(t, day)
	s.claim(1, downtime, recent, "0.001")
	s.claim(1, doubleSign, recent, "0.001")
	s.claim(77, downtime, recent, "0.001")
	s.claim(3, downtime, recent, "0.002")
	s.claim(3, doubleSign, recent, "0.002")
	_, err := s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: 1})
	require.NoError(t, err)
	require.NoError(t, s.c.Unstake(s.w, 2, 1_000))
	s.until(b.MaturesAt)
	rec, err := s.prove(1, recent)
	require.NoError(t, err)
	require.Equal(t, executed, rec.Status)
	rec, err = s.prove(2, recent)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	return s
}

// TestGenesisWithSlashes: records, meters, queues and flags survive an export, and what was pending goes on.
func TestGenesisWithSlashes(t *testing.T) {
	s := inFlight(t)
	f := s.f
	g := export(t, f)
	require.NoError(t, g.Validate())
	statuses := map[types.SlashStatus]int{}
	for _, r := range g.Slashes {
		statuses[r.Status]++
	}
	require.Equal(t, map[types.SlashStatus]int{vetoed: 1, recognised: 1, refused: 1, pending: 3, executed: 1}, statuses)
	delayed, flagged := 0, 0
	for _, r := range g.Pools {
		if r.Pool.Flagged {
			flagged++
		}
		if r.Pool.Batch != nil && !r.Pool.Batch.DelayedUntil.IsZero() {
			delayed++
		}
	}
	require.Equal(t, 2, flagged)
	require.Equal(t, 1, delayed)

	bz, err := f.Codec.MarshalJSON(g)
	require.NoError(t, err)
	var again types.GenesisState
	require.NoError(t, f.Codec.UnmarshalJSON(bz, &again))
	before := f.Store(types.StoreKey)
	f.Clear(types.StoreKey)
	require.NoError(t, f.Provider.InitGenesis(f.Ctx, again))
	require.True(t, equalStores(before, f.Store(types.StoreKey)), "every key and value, indices and queues included")
	require.Equal(t, g, export(t, f))

	s.f.NextBlockAfter(day)
	s.f.NextBlock()
	s.want(4, executed, "5000", "")
	s.f.NextBlockAfter(3 * day)
	s.f.NextBlock()
	s.want(7, executed, "250000", "")
	s.want(5, pending, "0", "")
}

func equalStores(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, found := b[k]; !found || v != w {
			return false
		}
	}
	return true
}

func TestGenesisSlashesRefused(t *testing.T) {
	s := inFlight(t)
	for name, change := range map[string]func(*types.GenesisState){
		"slash twice":              func(g *types.GenesisState) { g.Slashes = append(g.Slashes, g.Slashes[0]) },
		"slash not below next":     func(g *types.GenesisState) { g.NextSlashId = 7 },
		"slash 0":                  func(g *types.GenesisState) { g.Slashes[0].Id = 0 },
		"next slash 0":             func(g *types.GenesisState) { g.NextSlashId = 0 },
		"slash of unknown":         func(g *types.GenesisState) { g.Slashes[0].ClientId = "x" },
		"slash without operator":   func(g *types.GenesisState) { g.Slashes[0].Validator = nil },
		"slash with huge operator": func(g *types.GenesisState) { g.Slashes[0].Validator = make([]byte, 33) },
		"slash without origin":     func(g *types.GenesisState) { g.Slashes[0].Origin = 0 },
		"slash without kind":       func(g *types.GenesisState) { g.Slashes[0].Kind = 0 },
		"slash without status":     func(g *types.GenesisState) { g.Slashes[0].Status = 0 },
		"slash at 2^63":            func(g *types.GenesisState) { g.Slashes[0].Infraction = meshtypes.NewHeight(4, 1<<63) },
		"settled but pending":      func(g *types.GenesisState) { g.Slashes[0].Status = pending },
		"negative delay":           func(g *types.GenesisState) { g.Slashes[0].BatchDelay = -1 },
		"fraction above one":       func(g *types.GenesisState) { g.Slashes[0].NominalFraction = dec("1.1") },
		"fraction missing":         func(g *types.GenesisState) { g.Slashes[0].EffectiveFraction = sdkmath.LegacyDec{} },
		"amount negative":          func(g *types.GenesisState) { g.Slashes[0].Amount = sdkmath.NewInt(-1) },
		"reward missing":           func(g *types.GenesisState) { g.Slashes[0].Reward = sdkmath.Int{} },
		"flagged pool": func(g *types.GenesisState) {
			for i := range g.Pools {
				g.Pools[i].Pool.Flagged = true
			}
		},
		"use negative": func(g *types.GenesisState) {
			g.Pools[0].Pool.Unproven = &types.UnprovenUse{Fraction: dec("-1")}
		},
		"since at 2^63":     func(g *types.GenesisState) { g.Pools[0].Pool.Since = meshtypes.NewHeight(4, 1<<63) },
		"meter twice":       func(g *types.GenesisState) { g.Meters = append(g.Meters, g.Meters[0]) },
		"meter of unknown":  func(g *types.GenesisState) { g.Meters[0].ClientId = "x" },
		"meter negative":    func(g *types.GenesisState) { g.Meters[0].Meter.Used = sdkmath.NewInt(-1) },
		"meter miscounts":   func(g *types.GenesisState) { g.Meters[0].Meter.Batches = sdkmath.NewInt(5) },
		"meter not there":   func(g *types.GenesisState) { g.Meters = nil },
		"meter with a hole": func(g *types.GenesisState) { g.Meters[0].Meter.Total = sdkmath.Int{} },
	} {
		t.Run(name, func(t *testing.T) {
			g := export(t, s.f)
			change(g)
			require.ErrorIs(t, g.Validate(), types.ErrInvalidGenesis)
		})
	}
	require.NoError(t, export(t, s.f).Validate())
}
