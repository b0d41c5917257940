package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"
)

// TestRedelegatedStakeNeverCountsTwiceOnTheConsumer: while it moves, neither the amounts on record nor the virtual stake
// exceed what there was; and it arrives whole.
func TestRedelegatedStakeNeverCountsTwiceOnTheConsumer(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	before := p.TotalVirtual()
	require.True(t, before.IsPositive())

	alice.Send(p.MsgCrossRedelegate("alice", val(p, 0), val(p, 1), 60*one))
	for end := n.Now().Add(time.Hour); !p.Converged(); n.Step() {
		require.True(t, n.Now().Before(end))
		sum := sdkmath.ZeroInt()
		for _, amount := range p.Stored() {
			a, ok := sdkmath.NewIntFromString(amount)
			require.True(t, ok)
			sum = sum.Add(a)
		}
		require.True(t, sum.LTE(amount(100*one)), "%s on record", sum)
		require.True(t, p.TotalVirtual().LTE(before), "%s virtual, of %s", p.TotalVirtual(), before)
	}
	settle(n, p)
	requireInt(t, 40*one*9/10, p.Virtual(val(p, 0)))
	requireInt(t, 60*one*9/10, p.Virtual(val(p, 1)))
	active, unbonding := p.Lien("alice")
	requireInt(t, 100*one, active)
	requireInt(t, 0, unbonding)
	require.Len(t, p.Batches(), 1, "it answers for the validator left")

	// All of it leaves, from both.
	p.CrossUnstake("alice", val(p, 0), 40*one)
	p.CrossUnstake("alice", val(p, 1), 60*one)
	settle(n, p)
	requireInt(t, 0, p.TotalVirtual())
}
