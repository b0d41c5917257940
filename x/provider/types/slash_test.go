package types_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

func TestAnswers(t *testing.T) {
	at := func(h uint64) meshtypes.Height { return meshtypes.NewHeight(4, h) }
	recorded := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	batch := func(change func(*types.Batch)) types.Pool {
		b := &types.Batch{
			StartedAt: recorded.Add(-time.Hour), MaturesAt: recorded.Add(time.Hour), ExecutedHeight: at(7_000_000),
		}
		change(b)
		return types.Pool{Kind: types.POOL_KIND_BATCH, Since: at(5_000_000), Batch: b}
	}
	same := func(*types.Batch) {}
	active := types.Pool{Kind: types.POOL_KIND_ACTIVE, Since: at(5_000_000)}
	for _, tc := range []struct {
		name   string
		pool   types.Pool
		height meshtypes.Height
		want   bool
	}{
		{"active", active, at(9_000_000), true},
		{"active since", active, at(5_000_000), true},
		{"active, before", active, at(4_999_999), false},
		{"active, earlier revision", active, meshtypes.NewHeight(3, 9_000_000), false},
		{"active, later revision", active, meshtypes.NewHeight(5, 1), true},
		{"batch", batch(same), at(6_000_000), true},
		{"batch, before", batch(same), at(4_999_999), false},
		{"batch, executed", batch(same), at(7_000_000), true},
		{"batch, one above", batch(same), at(7_000_001), true},
		{"batch, two above", batch(same), at(7_000_002), false},
		{"batch, later revision", batch(same), meshtypes.NewHeight(5, 1), false},
		{"batch, forced", batch(func(b *types.Batch) { b.ExecutedHeight = meshtypes.Height{} }), at(9_000_000), true},
		{"batch, not started", batch(func(b *types.Batch) { *b = types.Batch{} }), at(9_000_000), true},
		{"batch, matured", batch(func(b *types.Batch) { b.Matured = true }), at(6_000_000), false},
		{"batch, its time over when it was recorded", batch(func(b *types.Batch) { b.MaturesAt = recorded }), at(6_000_000), false},
		{"batch, delayed when it was recorded", batch(func(b *types.Batch) {
			b.MaturesAt, b.DelayedUntil = recorded.Add(-time.Minute), recorded.Add(time.Minute)
		}), at(6_000_000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.pool.Answers(tc.height, recorded))
		})
	}
}

func TestMeterReplenishes(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	policy := types.SlashPolicy{UnprovenLimit: sdkmath.LegacyNewDecWithPrec(10, 2), UnprovenWindow: 10 * 24 * time.Hour}
	huge := sdkmath.NewIntFromUint64(1 << 63).MulRaw(1 << 62)
	for _, tc := range []struct {
		name        string
		total, used sdkmath.Int
		after       time.Duration
		paused      bool
		left        string
		available   string
	}{
		{"nothing used", sdkmath.NewInt(1_000), sdkmath.ZeroInt(), time.Hour, false, "0", "100"},
		{"a tenth of a window", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 24 * time.Hour, false, "90", "10"},
		{"rounded down", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 47 * time.Hour, false, "81", "19"},
		{"a window", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 240 * time.Hour, false, "0", "100"},
		{"a year", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 365 * 24 * time.Hour, false, "0", "100"},
		{"paused", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 365 * 24 * time.Hour, true, "100", "0"},
		{"no time", sdkmath.NewInt(1_000), sdkmath.NewInt(100), 0, false, "100", "0"},
		{"back in time", sdkmath.NewInt(1_000), sdkmath.NewInt(100), -time.Hour, false, "100", "0"},
		{"more used than allowed now", sdkmath.NewInt(1_000), sdkmath.NewInt(500), time.Hour, false, "500", "0"},
		{"one token", sdkmath.OneInt(), sdkmath.ZeroInt(), time.Hour, false, "0", "0"},
		{"no stake", sdkmath.ZeroInt(), sdkmath.NewInt(5), time.Hour, false, "5", "0"},
		{"large numbers", huge, huge.QuoRaw(10), 120 * time.Hour, false, huge.QuoRaw(10).Sub(huge.QuoRaw(10).QuoRaw(2)).String(), huge.QuoRaw(10).QuoRaw(2).String()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := types.NewSlashMeter()
			m.Total, m.Used, m.UsedAt = tc.total, tc.used, begin
			m.Replenish(policy, begin.Add(tc.after), tc.paused)
			require.Equal(t, tc.left, m.Used.String())
			require.Equal(t, tc.available, m.Available(policy).String())
			require.Equal(t, begin.Add(tc.after), m.UsedAt)
		})
	}
}

func TestUnprovenUse(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const window = 7 * 24 * time.Hour
	one, limit := sdkmath.LegacyNewDecWithPrec(4, 3), sdkmath.LegacyNewDecWithPrec(1, 2)
	var p, batch types.Pool
	require.Equal(t, limit, p.UnprovenLeft(limit, window, begin))
	p.UseUnproven(one, window, begin)
	p.UseUnproven(one, window, begin.Add(window-1))
	require.Equal(t, sdkmath.LegacyNewDecWithPrec(2, 3), p.UnprovenLeft(limit, window, begin.Add(window-1)))
	require.Equal(t, sdkmath.LegacyZeroDec(), p.UnprovenLeft(one, window, begin.Add(window-1)), "a limit lowered since")
	require.Equal(t, limit, p.UnprovenLeft(limit, window, begin.Add(window)))

	// A batch has what was taken of the stake that joins it, and of that which is there.
	p.Since, batch.Since = meshtypes.NewHeight(4, 5_000_000), meshtypes.NewHeight(4, 6_000_000)
	batch.Inherit(p, false)
	require.Equal(t, p.Since, batch.Since)
	require.Equal(t, p.Unproven, batch.Unproven)
	p.UseUnproven(one, window, begin.Add(window))
	p.Since = meshtypes.NewHeight(4, 8_000_000)
	batch.Inherit(p, false)
	require.Equal(t, meshtypes.NewHeight(4, 5_000_000), batch.Since)
	require.Equal(t, sdkmath.LegacyNewDecWithPrec(2, 3), batch.UnprovenLeft(limit, window, begin.Add(window)))
	batch.Inherit(p, true)
	require.Equal(t, p.Since, batch.Since)
}

func TestSlashPolicy(t *testing.T) {
	base := types.ConsumerConfig{
		ClientId: "07-tendermint-0", ChainId: "axelar-1", ValidatorPrefix: "axelarvaloper", UnbondingPeriod: 21 * 24 * time.Hour,
		MaxSlashFractionDoubleSign: sdkmath.LegacyNewDecWithPrec(5, 2), MaxSlashFractionDowntime: sdkmath.LegacyNewDecWithPrec(1, 2),
	}
	base.SlashPolicy = types.DefaultSlashPolicy(base.MaxSlashFractionDowntime)
	const third = 7 * 24 * time.Hour
	for name, tc := range map[string]struct {
		change func(*types.SlashPolicy)
		ok     bool
	}{
		"default":                     {func(*types.SlashPolicy) {}, true},
		"claim delay of U/3":          {func(p *types.SlashPolicy) { p.UnprovenDelay = third }, true},
		"claim delay above U/3":       {func(p *types.SlashPolicy) { p.UnprovenDelay = third + 1 }, false},
		"negative claim delay":        {func(p *types.SlashPolicy) { p.UnprovenDelay = -1 }, false},
		"mass delay of U/3":           {func(p *types.SlashPolicy) { p.MassDelay = third }, true},
		"mass delay above U/3":        {func(p *types.SlashPolicy) { p.MassDelay = third + 1 }, false},
		"negative mass delay":         {func(p *types.SlashPolicy) { p.MassDelay = -1 }, false},
		"meter at the downtime slash": {func(p *types.SlashPolicy) { p.UnprovenLimit = sdkmath.LegacyNewDecWithPrec(1, 2) }, true},
		"meter below it":              {func(p *types.SlashPolicy) { p.UnprovenLimit = sdkmath.LegacyNewDecWithPrec(9, 3) }, false},
		"meter of all":                {func(p *types.SlashPolicy) { p.UnprovenLimit = sdkmath.LegacyOneDec() }, true},
		"meter of more than all":      {func(p *types.SlashPolicy) { p.UnprovenLimit = sdkmath.LegacyNewDecWithPrec(101, 2) }, false},
		"no meter":                    {func(p *types.SlashPolicy) { p.UnprovenLimit = sdkmath.LegacyDec{} }, false},
		"no window":                   {func(p *types.SlashPolicy) { p.UnprovenWindow = 0 }, false},
		"endless window":              {func(p *types.SlashPolicy) { p.UnprovenWindow = types.MaxUnbondingPeriod + 1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := base
			tc.change(&c.SlashPolicy)
			if tc.ok {
				require.NoError(t, c.Validate())
				return
			}
			require.ErrorIs(t, c.Validate(), types.ErrInvalidConfig)
		})
	}
	// The wait of mass proofs is never zero and never above U/3.
	p := types.SlashPolicy{}
	require.Equal(t, types.DefaultMassDelay, p.MassDelayFor(21*24*time.Hour))
	require.Equal(t, 24*time.Hour, p.MassDelayFor(3*24*time.Hour))
	require.Equal(t, time.Duration(1), p.MassDelayFor(1))
	p.MassDelay = 5 * 24 * time.Hour
	require.Equal(t, p.MassDelay, p.MassDelayFor(21*24*time.Hour))
}
