package keeper_test

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	"github.com/mesh-security/mesh/x/consumer/types"
)

// TestViewsFollowTheStores tries random changes at rates other than 1:1, near caps and far from them.
func TestViewsFollowTheStores(t *testing.T) {
	f := newFixture(t, 1000, 900, 800, 700, 600)
	ids := []string{provider1, provider2}
	for _, id := range ids {
		f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	}
	rnd := rand.New(rand.NewSource(1))
	learned := map[int]int{}
	for round := range 60 {
		if round%5 == 0 {
			for _, id := range ids {
				f.update(id, map[int]int64{0: rnd.Int63n(90), 1: rnd.Int63n(90), 2: rnd.Int63n(9), 3: rnd.Int63n(3), 4: 1})
			}
			f.epoch()
			slashed := f.vals[rnd.Intn(len(f.vals))]
			_, err := f.staking.Slash(f.ctx, slashed.cons, f.ctx.BlockHeight(), 100, dec("0.0333333333333333"))
			require.NoError(t, err)
		}
		var changes []keeper.TryChange
		for _, id := range ids {
			for val := range f.vals {
				if rnd.Intn(3) == 0 {
					continue
				}
				current := f.virtual(id, val)
				target := sdkmath.NewInt(rnd.Int63n(int64(1) << (8 + 3*rnd.Intn(8))))
				if round%2 == 0 { // only up, and only a little: caps are far
					target = current.AddRaw(rnd.Int63n(1000))
				}
				if rnd.Intn(5) == 0 {
					target = sdkmath.ZeroInt()
				}
				changes = append(changes, keeper.TryChange{
					Provider: id, Validator: f.vals[val].addr, Increase: target.GT(current), Tokens: target,
				})
			}
		}
		n, err := f.k.TryChanges(f.ctx, changes)
		require.NoError(t, err, "round %d", round)
		learned[n]++
	}
	for level := range 3 {
		t.Logf("level %d: %d", level, learned[level])
	}
	require.NotZero(t, learned[1], "bounds were never enough")
	require.NotZero(t, learned[2], "bounds were always enough")
}
