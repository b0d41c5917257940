package types_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

func TestParamsValidate(t *testing.T) {
	require.NoError(t, types.DefaultParams().Validate())
	for name, change := range map[string]func(p *types.Params){
		"epoch zero":              func(p *types.Params) { p.EpochDuration = 0 },
		"epoch negative":          func(p *types.Params) { p.EpochDuration = -time.Hour },
		"epoch too long":          func(p *types.Params) { p.EpochDuration = 8 * 24 * time.Hour },
		"no smallest stake":       func(p *types.Params) { p.MinCrossStake = sdkmath.Int{} },
		"smallest stake zero":     func(p *types.Params) { p.MinCrossStake = sdkmath.ZeroInt() },
		"smallest stake 2^128":    func(p *types.Params) { p.MinCrossStake = types.MaxAmount() },
		"no positions":            func(p *types.Params) { p.MaxPositions = 0 },
		"too many positions":      func(p *types.Params) { p.MaxPositions = types.HardMaxPositions + 1 },
		"no claims":               func(p *types.Params) { p.MaxUnbondingClaims = 0 },
		"eight claims":            func(p *types.Params) { p.MaxUnbondingClaims = 8 },
		"no delegations":          func(p *types.Params) { p.MaxNativeDelegations = 0 },
		"too many delegations":    func(p *types.Params) { p.MaxNativeDelegations = 10_001 },
		"too few steps":           func(p *types.Params) { p.MaxSettlementSteps = 19 },
		"too many steps":          func(p *types.Params) { p.MaxSettlementSteps = 1_000_001 },
		"no consumers":            func(p *types.Params) { p.MaxConsumers = 0 },
		"too many consumers":      func(p *types.Params) { p.MaxConsumers = types.HardMaxConsumers + 1 },
		"no validators":           func(p *types.Params) { p.MaxValidatorsPerConsumer = 0 },
		"too many validators":     func(p *types.Params) { p.MaxValidatorsPerConsumer = types.HardMaxValidators + 1 },
		"packet timeout zero":     func(p *types.Params) { p.PacketTimeout = 0 },
		"packet timeout too long": func(p *types.Params) { p.PacketTimeout = 24*time.Hour + 1 },
	} {
		p := types.DefaultParams()
		change(&p)
		require.ErrorIs(t, p.Validate(), types.ErrInvalidParams, name)
	}
}

func TestOperatorAddresses(t *testing.T) {
	c := types.ConsumerConfig{ValidatorPrefix: "axelarvaloper"}
	for _, n := range []int{1, 20, 32} {
		op := []byte(strings.Repeat("x", n))
		got, err := c.ParseValidator(c.FormatValidator(op))
		require.NoError(t, err)
		require.Equal(t, op, got)
	}
	other := types.ConsumerConfig{ValidatorPrefix: "osmovaloper"}
	for name, s := range map[string]string{
		"empty": "", "no bech32": "axelarvaloper1", "another prefix": other.FormatValidator(make([]byte, 20)),
		"too long": c.FormatValidator(make([]byte, 33)), "no bytes": c.FormatValidator(nil), "absurd": strings.Repeat("a", 1_000_000),
		"bad checksum": c.FormatValidator(make([]byte, 20)) + "q",
	} {
		_, err := c.ParseValidator(s)
		require.ErrorIs(t, err, types.ErrInvalidValidator, name)
	}
}

func TestBatchEpoch(t *testing.T) {
	c := types.ConsumerConfig{}
	require.Equal(t, time.Hour, c.BatchEpochFor(64*time.Hour))
	require.Equal(t, time.Second, c.BatchEpochFor(time.Nanosecond))
	c.BatchEpoch = 2 * time.Hour
	require.Equal(t, 2*time.Hour, c.BatchEpochFor(64*time.Hour))
	require.Equal(t, 4*time.Hour, c.BatchEpochFor(256*time.Hour), "never below U/64")
	c = types.ConsumerConfig{UnbondingPeriod: 128 * time.Hour}
	require.Equal(t, 2*time.Hour, c.BatchEpochFor(time.Nanosecond), "nor below what is registered")
	require.Equal(t, 4*time.Hour, c.BatchEpochFor(256*time.Hour))
}
