package keeper_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// slashLog returns a provider's log as the query shows it.
func (f *fixture) slashLog(id string) []types.SlashInfo {
	f.t.Helper()
	resp, err := f.query.SlashLog(f.ctx, &types.QuerySlashLogRequest{ProviderId: id})
	require.NoError(f.t, err)
	return resp.Slashes
}

// requireLog asserts the entries of a provider's log but for their validators.
func (f *fixture) requireLog(id string, want ...meshtypes.SlashEntry) {
	f.t.Helper()
	got := f.slashLog(id)
	require.Len(f.t, got, len(want))
	for i, w := range want {
		e := got[i].Record.Entry
		require.EqualValues(f.t, i+1, e.Index)
		require.Equal(f.t, w.Kind, e.Kind)
		require.Equal(f.t, meshtypes.NewHeight(7, w.Infraction.Height), e.Infraction, "the revision is that of %s", chainID)
		require.Equal(f.t, w.NominalFraction.String(), e.NominalFraction.String())
		require.Equal(f.t, w.EffectiveFraction.String(), e.EffectiveFraction.String())
	}
}

func slashEntry(kind meshtypes.SlashKind, height int64, nominal, effective string) meshtypes.SlashEntry {
	return meshtypes.SlashEntry{
		Kind: kind, Infraction: meshtypes.NewHeight(0, uint64(height)), NominalFraction: dec(nominal), EffectiveFraction: dec(effective),
	}
}

// slash slashes a validator for something else, through the decorator: everybody loses the fraction. The power is the one
// before this block.
func (f *fixture) slash(val int, fraction string) {
	f.t.Helper()
	left, came, err := f.k.Flows.Since(f.ctx, f.vals[val].addr, f.ctx.BlockHeight())
	require.NoError(f.t, err)
	power := f.validator(val).Tokens.Add(left).Sub(came).QuoRaw(oneToken).Int64()
	_, err = f.slasher.Slash(f.ctx, f.vals[val].cons, f.ctx.BlockHeight(), power, dec(fraction))
	require.NoError(f.t, err)
}

const (
	doubleSigned = meshtypes.SLASH_KIND_DOUBLE_SIGN
	wasDown      = meshtypes.SLASH_KIND_DOWNTIME
	otherwise    = meshtypes.SLASH_KIND_OTHER
)

// TestSlashLogEntries: one slash each, of a validator with 1,000 native tokens. Heights are far above all powers.
func TestSlashLogEntries(t *testing.T) {
	for _, tc := range []struct {
		name string
		// malleate slashes and returns the entry expected; none if its kind is 0.
		malleate func(f *fixture) meshtypes.SlashEntry
		amount   string // stored afterwards, of 9,000 reported
	}{
		{"double sign, through x/evidence", func(f *fixture) meshtypes.SlashEntry {
			infraction := f.ctx.BlockHeight() - 2
			f.doubleSign(0, infraction)
			f.block(blockTime)
			require.True(f.t, f.slashing.IsTombstoned(f.ctx, f.vals[0].cons))
			return slashEntry(doubleSigned, infraction, "0.05", "0.05")
		}, "8550000000"},
		{"downtime, through x/slashing", func(f *fixture) meshtypes.SlashEntry {
			f.absent[string(f.vals[0].addr)] = true
			for !f.validator(0).Jailed {
				f.block(blockTime)
			}
			// x/slashing says the height before the one whose commit is judged.
			return slashEntry(wasDown, f.ctx.BlockHeight()-2, "0.01", "0.01")
		}, "8910000000"},
		{"other, through x/slashing", func(f *fixture) meshtypes.SlashEntry {
			require.NoError(f.t, f.slashing.Slash(f.ctx, f.vals[0].cons, dec("0.1"), 10_000, f.ctx.BlockHeight()-7))
			return slashEntry(otherwise, f.ctx.BlockHeight()-7, "0.1", "0.1")
		}, "8100000000"},
		{"without a reason, through the decorator", func(f *fixture) meshtypes.SlashEntry {
			f.slash(0, "0.2")
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.2", "0.2")
		}, "7200000000"},
		{"past the decorator", func(f *fixture) meshtypes.SlashEntry {
			_, err := f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()-3, 5_000, dec("0.2"))
			require.NoError(f.t, err)
			// Nobody knows what was asked for: half the power, so half of the fraction.
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.1", "0.1")
		}, "8100000000"},
		{"of less power than there is", func(f *fixture) meshtypes.SlashEntry {
			_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 5_000, dec("0.2"))
			require.NoError(f.t, err)
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.2", "0.1")
		}, "8100000000"},
		{"of everything", func(f *fixture) meshtypes.SlashEntry {
			f.slash(0, "1")
			require.True(f.t, f.validator(0).Tokens.IsZero())
			require.True(f.t, f.virtual(provider1, 0).IsZero())
			return slashEntry(otherwise, f.ctx.BlockHeight(), "1", "1")
		}, "0"},
		{"of a validator without tokens", func(f *fixture) meshtypes.SlashEntry {
			rec := f.record(provider1, 0)
			_, err := f.staking.RemoveValidatorTokens(f.ctx, f.validator(0), f.validator(0).Tokens)
			require.NoError(f.t, err)
			require.NoError(f.t, f.bank.BurnCoins(f.ctx, stakingtypes.BondedPoolName, sdk.NewCoins(sdk.NewCoin(bondDenom, tokens(10_000)))))
			require.Equal(f.t, rec, f.record(provider1, 0))
			_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 10_000, dec("0.3"))
			require.NoError(f.t, err)
			// x/staking calls no hook; the delegation is worth nothing.
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.3", "0.3")
		}, "6300000000"},
		{"what entries pay costs the delegation nothing", func(f *fixture) meshtypes.SlashEntry {
			infraction := f.ctx.BlockHeight()
			f.block(blockTime)
			_, _, err := f.staking.Undelegate(f.ctx, sdk.AccAddress(f.vals[0].addr), f.vals[0].addr, sdkmath.LegacyNewDecFromInt(tokens(600)))
			require.NoError(f.t, err)
			_, err = f.slasher.SlashWithInfractionReason(f.ctx, f.vals[0].cons, infraction, 600, dec("0.5"), stakingtypes.Infraction_INFRACTION_DOWNTIME)
			require.NoError(f.t, err)
			return slashEntry(wasDown, infraction, "0.5", "0")
		}, "9000000000"},
		{"all of it has left virtually: no hook", func(f *fixture) meshtypes.SlashEntry {
			infraction := f.ctx.BlockHeight()
			f.block(blockTime)
			f.update(provider1, map[int]int64{0: 0})
			f.epoch()
			f.requireVirtual(provider1, 0, 0)
			before := f.validator(0).Tokens
			_, err := f.slasher.SlashWithInfractionReason(f.ctx, f.vals[0].cons, infraction-1, 9_000, dec("0.05"),
				stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN)
			require.NoError(f.t, err)
			require.Equal(f.t, before, f.validator(0).Tokens)
			return slashEntry(doubleSigned, infraction, "0.05", "0.05")
		}, "0"},
		{"it has left, natives pay their part", func(f *fixture) meshtypes.SlashEntry {
			infraction := f.ctx.BlockHeight()
			f.block(blockTime)
			f.update(provider1, map[int]int64{0: 0})
			f.epoch()
			f.doubleSign(0, infraction)
			f.block(blockTime)
			require.Equal(f.t, "950000000", f.validator(0).Tokens.String())
			return slashEntry(doubleSigned, infraction, "0.05", "0.05")
		}, "0"},
		{"it has not come yet: withheld by a cap", func(f *fixture) meshtypes.SlashEntry {
			c := f.provider(provider1).Config
			c.MaxCap = sdkmath.ZeroInt()
			_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
			require.NoError(f.t, err)
			f.epoch()
			f.requireVirtual(provider1, 0, 0)
			for range 10 {
				f.block(blockTime)
			}
			_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 500, dec("0.2"))
			require.NoError(f.t, err)
			require.Equal(f.t, "900000000", f.validator(0).Tokens.String(), "natives lose a tenth")
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.2", "0.2") // the nominal one
		}, "7200000000"},
		{"in the block after it has left", func(f *fixture) meshtypes.SlashEntry {
			f.update(provider1, map[int]int64{0: 0})
			f.epoch()
			f.block(blockTime)
			require.EqualValues(f.t, f.ctx.BlockHeight()-1, f.record(provider1, 0).ExecutedHeight.Height)
			_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1_000, dec("0.1"))
			require.NoError(f.t, err)
			return slashEntry(otherwise, f.ctx.BlockHeight(), "0.1", "0.1")
		}, "0"},
		{"two blocks after it has left", func(f *fixture) meshtypes.SlashEntry {
			f.update(provider1, map[int]int64{0: 0})
			f.epoch()
			f.block(blockTime)
			f.block(blockTime)
			_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1_000, dec("0.1"))
			require.NoError(f.t, err)
			return meshtypes.SlashEntry{}
		}, "0"},
		{"by nothing", func(f *fixture) meshtypes.SlashEntry {
			f.slash(0, "0")
			return meshtypes.SlashEntry{}
		}, "9000000000"},
		{"refused by x/staking", func(f *fixture) meshtypes.SlashEntry {
			_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()+1, 10_000, dec("0.1"))
			require.ErrorContains(f.t, err, "future infraction")
			_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 10_000, dec("-0.1"))
			require.ErrorContains(f.t, err, "negative")
			return meshtypes.SlashEntry{}
		}, "9000000000"},
		{"of nobody known", func(f *fixture) meshtypes.SlashEntry {
			_, err := f.slasher.Slash(f.ctx, sdk.ConsAddress("nobody"), f.ctx.BlockHeight(), 10_000, dec("0.1"))
			require.NoError(f.t, err)
			return meshtypes.SlashEntry{}
		}, "9000000000"},
		{"of another validator", func(f *fixture) meshtypes.SlashEntry {
			f.slash(1, "0.1")
			return meshtypes.SlashEntry{}
		}, "9000000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _ := slashSetup(t)
			f.update(provider1, map[int]int64{0: 9000})
			f.epoch()
			f.requireVirtual(provider1, 0, 9000)
			for range 15 {
				f.block(blockTime)
			}
			want := tc.malleate(f)
			if want.Kind == 0 {
				f.requireLog(provider1)
			} else {
				f.requireLog(provider1, want)
				require.Equal(t, f.vals[0].addr.String(), f.slashLog(provider1)[0].Validator)
				require.Equal(t, f.ctx.BlockTime(), f.slashLog(provider1)[0].Record.LoggedAt)
				require.True(t, f.has("EventSlashLogged"))
			}
			f.requireLog(provider2)
			require.Equal(t, tc.amount, f.record(provider1, 0).Amount.String())
			require.Equal(t, tc.amount, f.record(provider1, 0).ExecutedAmount.String())
			// No gap is minted back.
			if f.virtual(provider1, 0).IsPositive() {
				virtual := f.virtual(provider1, 0)
				f.epoch()
				f.epoch()
				require.True(t, f.virtual(provider1, 0).LTE(virtual), "%s, then %s", virtual, f.virtual(provider1, 0))
			}
		})
	}
}

func TestSlashConcernsEachProviderByItself(t *testing.T) {
	f, natives := slashSetup(t)
	f.addProvider(provider3, func(c *types.ProviderConfig) { c.MaxPowerRatio = sdkmath.LegacyZeroDec() })
	f.update(provider1, map[int]int64{0: 90, 1: 100})
	f.update(provider2, map[int]int64{0: 10})
	f.update(provider3, map[int]int64{0: 40}) // its cap keeps it out
	f.epoch()
	for range 5 {
		f.block(blockTime)
	}
	before := f.tokensOf(natives[1], 0)
	// Half of the power is asked for, a tenth of it taken: each delegation loses a twentieth.
	_, err := f.slasher.SlashWithInfractionReason(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()-1, 550, dec("0.1"),
		stakingtypes.Infraction_INFRACTION_DOWNTIME)
	require.NoError(t, err)
	h := f.ctx.BlockHeight() - 1
	f.requireLog(provider1, slashEntry(wasDown, h, "0.1", "0.05"))
	f.requireLog(provider2, slashEntry(wasDown, h, "0.1", "0.05"))
	f.requireLog(provider3, slashEntry(wasDown, h, "0.1", "0.1"))
	require.Equal(t, "85500000", f.record(provider1, 0).Amount.String())
	require.Equal(t, "100000000", f.record(provider1, 1).Amount.String(), "another validator")
	require.Equal(t, "9500000", f.record(provider2, 0).Amount.String())
	require.Equal(t, "36000000", f.record(provider3, 0).Amount.String())
	require.Equal(t, before.Mul(dec("0.95")), f.tokensOf(natives[1], 0))
	require.Equal(t, "85500000", f.virtual(provider1, 0).String())
	require.Equal(t, "9500000", f.virtual(provider2, 0).String())
}

func TestSlashesInOneEpochAreEntriesEach(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 100})
	f.epoch()
	f.reports()
	f.slash(0, "0.1")
	f.slash(0, "0.1")
	f.slash(1, "0.5")
	f.block(blockTime)
	f.slash(0, "0.2")
	require.Equal(t, "64800000", f.record(provider1, 0).Amount.String())
	require.Equal(t, "50000000", f.record(provider1, 1).Amount.String())
	f.epoch()
	f.requireVirtual(provider1, 1, 50)
	require.Equal(t, "64800000", f.virtual(provider1, 0).String())
	sent := f.reports()
	require.Len(t, sent, 1)
	require.Len(t, sent[0].Slashes, 4)
	for i, e := range sent[0].Slashes {
		require.EqualValues(t, i+1, e.Index)
		require.Equal(t, []byte(f.vals[[]int{0, 0, 1, 0}[i]].addr), e.Operator)
		require.Equal(t, []string{"0.1", "0.1", "0.5", "0.2"}[i], e.EffectiveFraction.String()[:3])
	}
	require.EqualValues(t, 1, sent[0].FirstIndex)
}

// TestSlashWhileIncreaseIsPlanned: amount, executed amount and both of the plan's figures shrink by one fraction.
func TestSlashWhileIncreaseIsPlanned(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		there                    int64 // virtual stake before
		effective                string
		amount, executed, target string
	}{
		{"on a delegation", 40, "0.05", "95000000", "38000000", "95000000"},
		{"on none", 0, "0.1", "90000000", "0", "90000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, 1000, 1000, 1000)
			f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
			f.addProvider(provider1, nil)
			if tc.there > 0 {
				f.update(provider1, map[int]int64{1: tc.there})
				f.epoch()
			}
			f.update(provider1, map[int]int64{0: 100, 1: 100})
			f.epoch()
			f.requireVirtual(provider1, 1, tc.there)
			power := f.validator(1).GetConsensusPower(f.staking.PowerReduction(f.ctx))
			require.EqualValues(t, 1000+tc.there, power)
			_, err := f.slasher.Slash(f.ctx, f.vals[1].cons, f.ctx.BlockHeight(), power/2, dec("0.1"))
			require.NoError(t, err)
			f.requireLog(provider1, slashEntry(otherwise, f.ctx.BlockHeight(), "0.1", tc.effective))
			rec := f.record(provider1, 1)
			require.Equal(t, tc.amount, rec.Amount.String())
			require.Equal(t, tc.executed, rec.ExecutedAmount.String())
			planned, err := f.k.Plan.Get(f.ctx, collections.Join3(true, []byte(f.vals[1].addr), provider1))
			require.NoError(t, err)
			require.Equal(t, tc.target, planned.Tokens.String())
			require.Equal(t, tc.target, planned.Amount.String())
			f.block(blockTime)
			require.Equal(t, tc.target, f.record(provider1, 1).ExecutedAmount.String())
			got, want := f.virtual(provider1, 1), f.record(provider1, 1).Amount
			require.True(t, got.LTE(want) && got.GTE(want.SubRaw(1)), "%s of %s", got, want)
		})
	}
}

func TestUpdateIsScaledByWhatTheProviderDidNotKnow(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 100})
	f.epoch()
	early := f.packet(provider1, map[int]int64{0: 70, 1: 70, 2: 70}) // sent before all slashes
	f.slash(0, "0.1")
	f.recorded[provider1] = 1
	between := f.packet(provider1, map[int]int64{0: 200}) // knows of the first
	f.slash(0, "0.5")
	f.slash(1, "0.2")
	f.deliver(provider1, between)
	require.Equal(t, "100000000", f.record(provider1, 0).Amount.String(), "200 less a half")
	require.Equal(t, "80000000", f.record(provider1, 1).Amount.String())
	ack := f.deliver(provider1, early)
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_STALE, meshtypes.STAKE_CODE_STORED, meshtypes.STAKE_CODE_STORED}, ack.Codes)
	require.Equal(t, "100000000", f.record(provider1, 0).Amount.String())
	require.Equal(t, "56000000", f.record(provider1, 1).Amount.String(), "70 less a fifth")
	require.Equal(t, "70000000", f.record(provider1, 2).Amount.String())
	f.recorded[provider1] = 3
	f.update(provider1, map[int]int64{0: 33, 1: 44})
	require.Equal(t, "33000000", f.record(provider1, 0).Amount.String())
	require.Equal(t, "44000000", f.record(provider1, 1).Amount.String())
	f.recorded[provider1] = 1 << 62 // of slashes to come it cannot know
	f.update(provider1, map[int]int64{0: 33})
	f.slash(0, "0.1")
	require.Equal(t, "29700000", f.record(provider1, 0).Amount.String())
	require.EqualValues(t, 0, f.provider(provider1).AckedIndex)
}

func TestReportsCarryTheTailUntilItIsAcknowledged(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	f.epoch()
	require.Empty(t, f.reports(), "nothing to say")

	// No validator is dirty: x/slashing does not jail for this, and the slash came past the decorator.
	_, err := f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1100, dec("0.1"))
	require.NoError(t, err)
	f.epoch()
	first := f.reports()
	require.Len(t, first, 1)
	require.Empty(t, first[0].Validators)
	require.Len(t, first[0].Slashes, 1)
	f.epoch()
	require.Empty(t, f.reports(), "it is in flight")
	f.timeout(provider1, first[0])
	f.epoch()
	f.epoch()
	again := f.reports()
	require.Len(t, again, 1)
	require.Equal(t, first[0].Slashes, again[0].Slashes)

	// Acknowledged without being recorded: it is sent again.
	f.ack(provider1, again[0], nil)
	require.EqualValues(t, 0, f.provider(provider1).AckedIndex)
	_, err = f.staking.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 990, dec("0.1"))
	require.NoError(t, err)
	f.epoch()
	more := f.reports()
	require.Len(t, more, 1)
	require.Len(t, more[0].Slashes, 2)
	for _, tc := range []struct {
		name           string
		slashSeq, want uint64
	}{{"the first", 1, 1}, {"late, lower", 0, 1}, {"more than there is", 77, 2}, {"lower again", 1, 2}} {
		f.ack(provider1, more[0], func(a *meshtypes.ReportAck) { a.SlashSeq = tc.slashSeq })
		require.Equal(t, tc.want, f.provider(provider1).AckedIndex, tc.name)
	}
	f.epoch()
	require.Empty(t, f.reports(), "all is recorded")
	require.True(t, f.slashLog(provider1)[1].Acknowledged)
}

func TestReportCarriesAtMostTwoHundredSlashes(t *testing.T) {
	f := newFixture(t, 100_000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100, 1: 10})
	f.epoch()
	f.reports()
	for range 450 {
		_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1_000, dec("0.001"))
		require.NoError(t, err)
	}
	for i, want := range []int{200, 200, 50} {
		f.epoch()
		sent := f.reports()
		require.Len(t, sent, 1)
		require.Len(t, sent[0].Slashes, want)
		require.EqualValues(t, 200*i+1, sent[0].Slashes[0].Index)
		f.ack(provider1, sent[0], func(a *meshtypes.ReportAck) { a.SlashSeq = uint64(200*i + want) })
	}
	f.epoch()
	require.Empty(t, f.reports())
}

func TestSlashLogOfASession(t *testing.T) {
	for _, tc := range []struct {
		name  string
		renew func(f *fixture)
	}{
		{"the provider's half", func(f *fixture) {
			s := f.session(provider1)
			s.Provider++
			f.deliver(provider1, meshtypes.StakeUpdate{Session: s, Seq: 1, SyncedAt: uint64(f.ctx.BlockTime().UnixNano())})
			require.Equal(f.t, s, f.provider(provider1).Session)
		}},
		{"our half", func(f *fixture) {
			_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
			require.NoError(f.t, err)
			before := f.provider(provider1)
			_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: before.Config})
			require.NoError(f.t, err)
			require.Greater(f.t, f.provider(provider1).Session.Consumer, before.Session.Consumer)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, 1000, 1000, 1000)
			f.addProvider(provider1, nil)
			f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") })
			f.update(provider1, map[int]int64{0: 100, 1: 10})
			f.update(provider2, map[int]int64{0: 10, 2: 5})
			f.epoch()
			f.slash(0, "0.1")
			f.slash(1, "0.1")
			infraction := f.ctx.BlockHeight()
			f.block(blockTime)
			f.update(provider1, map[int]int64{1: 0})
			f.epoch()
			tc.renew(f)
			f.block(blockTime)
			require.Empty(t, f.slashLog(provider1))
			require.Len(t, f.slashLog(provider2), 1, "another provider's log stays")
			p := f.provider(provider1)
			require.Equal(t, []uint64{1, 0, 0}, []uint64{p.FirstIndex, p.AckedIndex, p.LastIndex})

			// The record of what left is forgotten, the stake is not: it counts from 1.
			_, err := f.slasher.Slash(f.ctx, f.vals[1].cons, infraction, 900, dec("0.1"))
			require.NoError(t, err)
			f.requireLog(provider1, slashEntry(otherwise, infraction, "0.1", "0.1"))
			require.Len(t, f.slashLog(provider2), 1)
			_, err = f.slasher.Slash(f.ctx, f.vals[2].cons, infraction, 900, dec("0.1"))
			require.NoError(t, err)
			require.Len(t, f.slashLog(provider1), 1, "it never had stake there")
			require.Len(t, f.slashLog(provider2), 2)
			// What stays till the next epoch leaves, and answers for what was before.
			infraction = f.ctx.BlockHeight()
			f.epoch()
			f.requireVirtual(provider1, 0, 0)
			f.block(blockTime)
			_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, infraction, 900, dec("0.1"))
			require.NoError(t, err)
			require.Len(t, f.slashLog(provider1), 2)
		})
	}
}

func TestSlashOfARemovedProvidersStake(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	infraction := f.ctx.BlockHeight()
	f.block(blockTime)
	_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	f.epoch() // its records are dropped
	require.Zero(t, f.provider(provider1).Stakes)
	_, err = f.slasher.SlashWithInfractionReason(f.ctx, f.vals[0].cons, infraction-1, 1100, dec("0.05"), stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN)
	require.NoError(t, err)
	f.requireLog(provider1, slashEntry(doubleSigned, infraction, "0.05", "0.05"))
	f.epoch()
	sent := f.reports()
	require.NotEmpty(t, sent)
	require.Len(t, sent[len(sent)-1].Slashes, 1, "it is told all the same")
	for range 5 {
		f.block(blockTime)
	}
	_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 900, dec("0.05"))
	require.NoError(t, err)
	require.Len(t, f.slashLog(provider1), 1, "what came after it left")
}

func TestOldSlashesBecomeVoid(t *testing.T) {
	f := newFixture(t, 100_000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for range 250 {
		_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight(), 1_000, dec("0.001"))
		require.NoError(t, err)
	}
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.SlashSeq = 120 })
	}
	require.EqualValues(t, 120, f.provider(provider1).AckedIndex)
	unbonding, err := f.staking.UnbondingTime(f.ctx)
	require.NoError(t, err)
	f.block(2*unbonding - time.Hour)
	f.slash(0, "0.1")
	require.Len(t, f.slashLogPage(provider1, 500), 251, "kept, acknowledged or not: an update may come late")
	f.block(time.Hour)
	p := f.provider(provider1)
	require.EqualValues(t, 101, p.FirstIndex, "a hundred a block")
	require.True(t, f.has("EventSlashLogPruned"))
	f.block(time.Second)
	f.block(time.Second)
	p = f.provider(provider1)
	require.Equal(t, []uint64{251, 120, 251}, []uint64{p.FirstIndex, p.AckedIndex, p.LastIndex})
	require.Len(t, f.slashLog(provider1), 1)

	f.update(provider1, map[int]int64{0: 100}) // slash_seq 0: what is void takes nothing
	require.Equal(t, "90000000", f.record(provider1, 0).Amount.String())
	f.epoch()
	sent := f.reports()
	last := sent[len(sent)-1]
	require.EqualValues(t, 251, last.FirstIndex)
	require.Len(t, last.Slashes, 1)
	require.EqualValues(t, 251, last.Slashes[0].Index)
	f.block(3 * unbonding)
	f.block(time.Second)
	p = f.provider(provider1)
	require.Equal(t, []uint64{252, 120, 251}, []uint64{p.FirstIndex, p.AckedIndex, p.LastIndex})
	f.slash(0, "0.1")
	require.EqualValues(t, 252, f.slashLog(provider1)[0].Record.Entry.Index)
}

// slashLogPage returns a longer page of the log.
func (f *fixture) slashLogPage(id string, limit uint64) []types.SlashInfo {
	f.t.Helper()
	resp, err := f.query.SlashLog(f.ctx, &types.QuerySlashLogRequest{ProviderId: id, Pagination: &query.PageRequest{Limit: limit}})
	require.NoError(f.t, err)
	return resp.Slashes
}

// TestLongUnbondingPeriodsDoNotOverflow: a provider may say that its unbonding period is 292 years.
func TestLongUnbondingPeriodsDoNotOverflow(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	u := f.packet(provider1, map[int]int64{0: 100})
	u.UnbondingPeriod = 1<<63 - 1
	f.deliver(provider1, u)
	f.epoch()
	f.slash(0, "0.1")
	f.block(time.Hour)
	require.Len(t, f.slashLog(provider1), 1)
}

func TestTombstonedValidatorGetsNoTarget(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for range 3 {
		f.block(blockTime)
	}
	f.doubleSign(0, f.ctx.BlockHeight()-1)
	f.begin(blockTime)
	f.requireLog(provider1, slashEntry(doubleSigned, f.ctx.BlockHeight()-2, "0.05", "0.05"))
	require.Equal(t, "95000000", f.virtual(provider1, 0).String())
	ack := f.update(provider1, map[int]int64{0: 200, 1: 10})
	require.Equal(t, meshtypes.STAKE_CODE_STORED, ack.Codes[0], "while its stake is there")
	require.Equal(t, "190000000", f.record(provider1, 0).Amount.String())
	f.end()
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 10)
	sent := f.reports()
	last := sent[len(sent)-1]
	require.Len(t, last.Slashes, 1)
	var status meshtypes.ValidatorStatus
	for _, v := range last.Validators {
		if string(v.Operator) == string(f.vals[0].addr) {
			status = v.Status
		}
	}
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, status)
	ack = f.update(provider1, map[int]int64{0: 300})
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_TOMBSTONED}, ack.Codes)
	require.True(t, f.record(provider1, 0).Amount.IsZero())
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
}

// TestValidatorRemovedAfterASlashToZero: nothing of it can be minted back, and the log stays.
func TestValidatorRemovedAfterASlashToZero(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.slash(0, "1")
	require.NoError(t, f.slashing.Jail(f.ctx, f.vals[0].cons))
	f.block(blockTime)
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	// The last native delegation leaves, and with it the validator.
	_, err := f.staking.Unbond(f.ctx, sdk.AccAddress(f.vals[0].addr), f.vals[0].addr, sdkmath.LegacyNewDecFromInt(tokens(1000)))
	require.NoError(t, err)
	f.block(22 * 24 * time.Hour)
	f.block(blockTime)
	_, err = f.staking.GetValidator(f.ctx, f.vals[0].addr)
	require.ErrorIs(t, err, stakingtypes.ErrNoValidatorFound)
	require.Len(t, f.slashLog(provider1), 1)
	ack := f.update(provider1, map[int]int64{0: 100})
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR}, ack.Codes)
	f.epoch()
	require.True(t, f.record(provider1, 0).Amount.IsZero())
}

// TestOneProvidersLogHoldsUpNoOther: whatever is wrong with one, x/slashing goes on and the others are told.
func TestOneProvidersLogHoldsUpNoOther(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	f.update(provider1, map[int]int64{0: 100})
	f.update(provider2, map[int]int64{0: 100})
	f.epoch()
	p := f.provider(provider1)
	p.LastIndex = 1<<64 - 1 // the next index does not exist
	require.NoError(t, f.k.Providers.Set(f.ctx, provider1, p))
	f.slash(0, "0.1")
	require.True(t, f.has("EventStageFailed"))
	require.Equal(t, p, f.provider(provider1))
	require.Equal(t, "100000000", f.record(provider1, 0).Amount.String(), "nothing of it counts")
	require.Equal(t, "90000000", f.record(provider2, 0).Amount.String())
	require.Len(t, f.slashLog(provider2), 1)
	require.Equal(t, "900000000", f.validator(0).Tokens.Sub(f.virtual(provider1, 0)).Sub(f.virtual(provider2, 0)).String())
}

func TestSlashLogQuery(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	for range 3 {
		f.slash(0, "0.1")
	}
	_, err := f.query.SlashLog(f.ctx, nil)
	require.Error(t, err)
	_, err = f.query.SlashLog(f.ctx, &types.QuerySlashLogRequest{ProviderId: "07-tendermint-99"})
	require.ErrorIs(t, err, types.ErrProviderNotFound)
	page, err := f.query.SlashLog(f.ctx, &types.QuerySlashLogRequest{ProviderId: provider1, Pagination: &query.PageRequest{Limit: 2}})
	require.NoError(t, err)
	require.Len(t, page.Slashes, 2)
	require.Equal(t, []uint64{1, 0, 3}, []uint64{page.FirstIndex, page.AckedIndex, page.LastIndex})
	require.Equal(t, f.vals[0].addr.String(), page.Slashes[0].Validator)
	require.False(t, page.Slashes[0].Acknowledged)
	page, err = f.query.SlashLog(f.ctx, &types.QuerySlashLogRequest{ProviderId: provider1, Pagination: &query.PageRequest{Key: page.Pagination.NextKey}})
	require.NoError(t, err)
	require.Len(t, page.Slashes, 1)
	require.EqualValues(t, 3, page.Slashes[0].Record.Entry.Index)
}

func TestGenesisRoundTripOfSlashLogs(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
	f.update(provider1, map[int]int64{0: 100, 1: 50})
	f.update(provider2, map[int]int64{0: 100})
	f.epoch()
	f.slash(0, "0.1")
	f.block(blockTime)
	f.slash(1, "0.1")
	f.block(blockTime)
	f.block(blockTime)
	f.update(provider1, map[int]int64{0: 10, 1: 10})
	f.epoch()
	f.slash(0, "0.2")
	for _, r := range f.reports() {
		if len(r.Slashes) == 2 {
			f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.SlashSeq = 1 })
		}
	}
	require.EqualValues(t, 1, f.provider(provider1).AckedIndex)
	require.Len(t, f.export().SlashLog, 5)
	require.NotEmpty(t, f.export().Plan)
	g := f.restart()
	for _, c := range []*fixture{f, g} {
		c.recorded[provider1] = 2
		c.block(blockTime)
		c.block(blockTime)
		c.slash(1, "0.3")
		c.epoch()
		c.epoch()
	}
	require.Equal(t, f.export(), g.export(), "both go on alike")
	require.Equal(t, f.reports(), g.reports(), "and report alike")
}

func TestBadGenesisOfSlashLogs(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.slash(0, "0.1")
	f.block(blockTime)
	f.slash(0, "0.1")
	for name, tc := range map[string]struct {
		change func(*types.GenesisState)
		expErr error
	}{
		"of nobody":       {func(gs *types.GenesisState) { gs.SlashLog[0].ProviderId = "x" }, types.ErrInvalidGenesis},
		"gap":             {func(gs *types.GenesisState) { gs.SlashLog = gs.SlashLog[1:] }, types.ErrInvalidGenesis},
		"end missing":     {func(gs *types.GenesisState) { gs.SlashLog = gs.SlashLog[:1] }, types.ErrInvalidGenesis},
		"twice":           {func(gs *types.GenesisState) { gs.SlashLog[1] = gs.SlashLog[0] }, types.ErrInvalidGenesis},
		"more than known": {func(gs *types.GenesisState) { gs.Providers[0].LastIndex = 1 }, types.ErrInvalidGenesis},
		"times":           {func(gs *types.GenesisState) { gs.SlashLog[0].Record.LoggedAt = f.ctx.BlockTime().Add(1) }, types.ErrInvalidGenesis},
		"acknowledged":    {func(gs *types.GenesisState) { gs.Providers[0].AckedIndex = 3 }, types.ErrInvalidGenesis},
		"first":           {func(gs *types.GenesisState) { gs.Providers[0].FirstIndex = 4 }, types.ErrInvalidGenesis},
		"kind":            {func(gs *types.GenesisState) { gs.SlashLog[0].Record.Entry.Kind = 0 }, meshtypes.ErrInvalidSlash},
		"index":           {func(gs *types.GenesisState) { gs.SlashLog[0].Record.Entry.Index = 0 }, meshtypes.ErrInvalidSlash},
		"operator":        {func(gs *types.GenesisState) { gs.SlashLog[0].Record.Entry.Operator = nil }, meshtypes.ErrInvalidOperator},
		"fraction":        {func(gs *types.GenesisState) { gs.SlashLog[0].Record.Entry.NominalFraction = dec("1.1") }, meshtypes.ErrInvalidFraction},
		"effective":       {func(gs *types.GenesisState) { gs.SlashLog[0].Record.Entry.EffectiveFraction = dec("-0.1") }, meshtypes.ErrInvalidFraction},
		"dropped height":  {func(gs *types.GenesisState) { gs.Providers[0].DroppedHeight.Height = 1 << 63 }, meshtypes.ErrInvalidHeight},
	} {
		t.Run(name, func(t *testing.T) {
			gs := f.export()
			require.NoError(t, gs.Validate())
			tc.change(gs)
			require.ErrorIs(t, gs.Validate(), tc.expErr)
			require.ErrorIs(t, newBareFixture(t).k.InitGenesis(f.ctx, *gs), tc.expErr)
		})
	}
}

// TestFailingChangeAfterASlash: a decrease that fails while its validator is slashed is still executed later, to the
// amount that is left.
func TestFailingChangeAfterASlash(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.broken.failUnbond[string(f.vals[0].addr)] = func() error { return errors.New("no") }
	f.update(provider1, map[int]int64{0: 50})
	f.epoch()
	f.slash(0, "0.1")
	f.requireVirtual(provider1, 0, 90)
	delete(f.broken.failUnbond, string(f.vals[0].addr))
	f.epoch()
	require.Equal(t, "45000000", f.virtual(provider1, 0).String())
	require.Equal(t, "45000000", f.record(provider1, 0).ExecutedAmount.String())
}
