package keeper_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
)

// brokenOrder is x/distribution whose records of starting infos cannot be walked.
type brokenOrder struct {
	distrkeeper.Keeper
	asked int
}

func (b *brokenOrder) IterateDelegatorStartingInfos(
	context.Context, func(sdk.ValAddress, sdk.AccAddress, distrtypes.DelegatorStartingInfo) bool,
) {
	b.asked++
	panic("starting infos are broken")
}

// TestWritesOutOfOrder carries out changes when the writes of x/distribution cannot be put in order: that only saves time.
func TestWritesOutOfOrder(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	broken := &brokenOrder{Keeper: f.distribution}
	f.k.ConnectDistribution(broken)
	f.update(provider1, map[int]int64{0: 50, 1: 60})
	f.epoch()
	f.requireVirtual(provider1, 0, 50)
	f.requireVirtual(provider1, 1, 60)
	require.NotZero(t, broken.asked)
}
