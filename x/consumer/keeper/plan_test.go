package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
)

func key(id string, val []byte) collections.Pair[string, []byte] { return collections.Join(id, val) }

func TestStakeBecomesVirtualStake(t *testing.T) {
	f := newFixture(t, 100, 100, 100)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 20})
	f.requireVirtual(provider1, 0, 0)
	f.epoch()
	f.requireVirtual(provider1, 0, 10)
	f.requireVirtual(provider1, 1, 20)
	require.EqualValues(t, 110, f.powers[f.ctx.BlockHeight()][string(f.vals[0].addr)])
	require.EqualValues(t, f.seqs[provider1], f.record(provider1, 0).ExecutedSeq)

	f.update(provider1, map[int]int64{0: 4, 1: 0})
	f.epoch()
	f.requireVirtual(provider1, 0, 4)
	f.requireVirtual(provider1, 1, 0)
	supply, err := f.k.NativeSupply(f.ctx)
	require.NoError(t, err)
	require.Equal(t, "300000000", supply.Amount.String())
}
