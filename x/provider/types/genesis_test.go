package types_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

// TestGenesisOfHugeAmounts: sums of amounts that no chain has are refused, not a panic.
func TestGenesisOfHugeAmounts(t *testing.T) {
	huge := sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 255))
	for name, edit := range map[string]func(g *types.GenesisState){
		"totals": func(g *types.GenesisState) { g.Totals.Burned, g.Totals.Debt = huge, huge },
		"debts": func(g *types.GenesisState) {
			for i := range byte(2) {
				g.Accounts = append(g.Accounts, types.AccountRecord{Delegator: []byte{i}, Account: types.Account{
					Debt: huge, MinSelfDelegation: sdkmath.ZeroInt(), Backing: sdkmath.ZeroInt(),
				}})
			}
		},
		"shortfalls": func(g *types.GenesisState) {
			for i := range byte(2) {
				g.Shortfalls = append(g.Shortfalls, types.Shortfall{Delegator: []byte{i}, Amount: huge})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := types.DefaultGenesis()
			edit(g)
			require.NotPanics(t, func() { require.ErrorIs(t, g.Validate(), types.ErrInvalidGenesis) })
		})
	}
}
