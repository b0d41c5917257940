package keeper_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func TestMessagesNeedTheAuthority(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	before := f.export()
	for who, want := range map[string]error{
		"nonsense":                              types.ErrInvalidAuthority,
		"":                                      types.ErrInvalidAuthority,
		sdk.AccAddress(f.vals[0].addr).String(): types.ErrUnauthorized,
	} {
		var errs []error
		add := func(_ any, err error) { errs = append(errs, err) }
		add(f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: who, Config: config(provider2, "p")}))
		add(f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: who, Config: config(provider1, "p")}))
		add(f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: who, ProviderId: provider1}))
		add(f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: who, ProviderId: provider1}))
		add(f.msg.ResumeProvider(f.ctx, &types.MsgResumeProvider{Authority: who, ProviderId: provider1}))
		add(f.msg.SetPrice(f.ctx, &types.MsgSetPrice{Authority: who, ProviderId: provider1, Price: dec("1")}))
		add(f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: who, ProviderId: provider1}))
		add(f.msg.UpdateParams(f.ctx, &types.MsgUpdateParams{Authority: who, Params: testParams()}))
		for i, err := range errs {
			require.ErrorIs(t, err, want, "%d", i)
		}
	}
	require.Equal(t, before, f.export())
}

func TestBadProviderConfigs(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	f.clients[provider2], f.clients[provider3] = "second", "provider-of-"+provider1
	good := config(provider2, "second")
	good.MaxPowerRatio = dec("0.2")
	for name, tc := range map[string]struct {
		change func(*types.ProviderConfig)
		err    error
	}{
		"id empty":                 {func(c *types.ProviderConfig) { c.ProviderId = "" }, types.ErrInvalidProviderID},
		"id with a slash":          {func(c *types.ProviderConfig) { c.ProviderId = "07-tendermint/1" }, types.ErrInvalidProviderID},
		"id too long":              {func(c *types.ProviderConfig) { c.ProviderId = strings.Repeat("x", 65) }, types.ErrInvalidProviderID},
		"chain id empty":           {func(c *types.ProviderConfig) { c.ChainId = "" }, types.ErrInvalidChainID},
		"chain id with spaces":     {func(c *types.ProviderConfig) { c.ChainId = " x" }, types.ErrInvalidChainID},
		"chain id too long":        {func(c *types.ProviderConfig) { c.ChainId = strings.Repeat("x", 51) }, types.ErrInvalidChainID},
		"own chain":                {func(c *types.ProviderConfig) { c.ChainId = chainID }, types.ErrOwnChainID},
		"chain id taken":           {func(c *types.ProviderConfig) { c.ProviderId, c.ChainId = provider3, "provider-of-"+provider1 }, types.ErrChainIDTaken},
		"no client":                {func(c *types.ProviderConfig) { c.ProviderId = "07-tendermint-77" }, types.ErrClientNotFound},
		"client of another":        {func(c *types.ProviderConfig) { c.ChainId = "third" }, types.ErrClientChainID},
		"denom":                    {func(c *types.ProviderConfig) { c.CollateralDenom = "1!" }, types.ErrInvalidDenom},
		"decimals":                 {func(c *types.ProviderConfig) { c.CollateralDecimals = 31 }, types.ErrInvalidDecimals},
		"price feed":               {func(c *types.ProviderConfig) { c.PriceFeed = "oracle" }, types.ErrUnknownPriceFeed},
		"discount one":             {func(c *types.ProviderConfig) { c.Discount = dec("1") }, types.ErrInvalidDiscount},
		"discount negative":        {func(c *types.ProviderConfig) { c.Discount = dec("-0.1") }, types.ErrInvalidDiscount},
		"discount missing":         {func(c *types.ProviderConfig) { c.Discount = sdkmath.LegacyDec{} }, types.ErrInvalidDiscount},
		"max cap negative":         {func(c *types.ProviderConfig) { c.MaxCap = sdkmath.NewInt(-1) }, types.ErrInvalidMaxCap},
		"max cap missing":          {func(c *types.ProviderConfig) { c.MaxCap = sdkmath.Int{} }, types.ErrInvalidMaxCap},
		"max cap absurd":           {func(c *types.ProviderConfig) { c.MaxCap = meshtypes.MaxAmount }, types.ErrInvalidMaxCap},
		"power ratio one":          {func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("1") }, types.ErrInvalidPowerRatio},
		"power ratio negative":     {func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("-0.1") }, types.ErrInvalidPowerRatio},
		"power ratios together":    {func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.233333333333333334") }, types.ErrPowerRatioSum},
		"governance weight":        {func(c *types.ProviderConfig) { c.GovernanceWeight = dec("1.1") }, types.ErrInvalidWeight},
		"governance weight, below": {func(c *types.ProviderConfig) { c.GovernanceWeight = dec("-1") }, types.ErrInvalidWeight},
		"reward ratio":             {func(c *types.ProviderConfig) { c.RewardRatio = dec("1.1") }, types.ErrInvalidRewardRatio},
		"registered already": {func(c *types.ProviderConfig) {
			c.ProviderId, c.ChainId = provider1, "provider-of-"+provider1
		}, types.ErrProviderExists},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.export()
			c := good
			tc.change(&c)
			_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, f.export())
		})
	}
	f.k.SetVetoThreshold(func(context.Context) (sdkmath.LegacyDec, error) { return dec("0.1"), nil })
	c := good
	c.GovernanceWeight = dec("0.5")
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.ErrorIs(t, err, types.ErrWeightSum)

	f.setParams(func(p *types.Params) { p.MaxProviders = 1 })
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: good})
	require.ErrorIs(t, err, types.ErrTooManyProviders)
	// A removed one counts neither for the number nor for its chain id.
	_, err = f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	c = good
	c.ProviderId, c.ChainId = provider3, "provider-of-"+provider1
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(t, err)
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "provider-of-"+provider1)})
	require.ErrorIs(t, err, types.ErrChainIDTaken)
	f.check()
}

func TestStatusMessages(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	pause := func() error {
		_, err := f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider1})
		return err
	}
	resume := func() error {
		_, err := f.msg.ResumeProvider(f.ctx, &types.MsgResumeProvider{Authority: authority, ProviderId: provider1})
		return err
	}
	remove := func(id string) error {
		_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: id})
		return err
	}
	price := func(id, p string) error {
		_, err := f.msg.SetPrice(f.ctx, &types.MsgSetPrice{Authority: authority, ProviderId: id, Price: dec(p)})
		return err
	}
	require.ErrorIs(t, resume(), types.ErrProviderStatus)
	require.NoError(t, pause())
	require.ErrorIs(t, pause(), types.ErrProviderStatus)
	require.NoError(t, resume())
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, f.provider(provider1).Status)
	require.NoError(t, pause())
	_, err := f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	require.NoError(t, resume())
	require.Equal(t, types.PROVIDER_STATUS_REGISTERED, f.provider(provider1).Status)

	require.ErrorIs(t, price(provider1, "0"), types.ErrInvalidPrice)
	require.ErrorIs(t, price(provider1, "-1"), types.ErrInvalidPrice)
	require.ErrorIs(t, price(provider1, "1000000000000000000.000000000000000001"), types.ErrInvalidPrice)
	require.NoError(t, price(provider1, "1000000000000000000"))
	require.ErrorIs(t, price(provider2, "1"), types.ErrProviderNotFound)
	require.ErrorIs(t, price("/", "1"), types.ErrInvalidProviderID)
	require.ErrorIs(t, remove(provider2), types.ErrProviderNotFound)
	_, err = f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider2})
	require.ErrorIs(t, err, types.ErrProviderNotFound)

	require.NoError(t, remove(provider1))
	require.ErrorIs(t, remove(provider1), types.ErrProviderRemoved)
	require.ErrorIs(t, pause(), types.ErrProviderRemoved)
	require.ErrorIs(t, resume(), types.ErrProviderRemoved)
	require.ErrorIs(t, price(provider1, "1"), types.ErrProviderRemoved)
	_, err = f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: f.provider(provider1).Config})
	require.ErrorIs(t, err, types.ErrProviderRemoved)
	_, err = f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: config(provider2, "x")})
	require.ErrorIs(t, err, types.ErrProviderNotFound)
}

func TestAnotherDenomNeedsAnotherPrice(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10})
	f.epoch()
	f.reconfigure(provider1, func(c *types.ProviderConfig) { c.CollateralDenom = "uatom" })
	require.True(t, f.provider(provider1).Price.IsZero())
	f.update(provider1, map[int]int64{0: 20})
	f.epoch()
	f.requireVirtual(provider1, 0, 10)
}

func TestParams(t *testing.T) {
	f := newFixture(t, 1000)
	require.NoError(t, types.DefaultParams().Validate())
	require.NoError(t, types.DefaultParams().ValidateAgainst(21*24*time.Hour))
	update := func(p types.Params) error {
		_, err := f.msg.UpdateParams(f.ctx, &types.MsgUpdateParams{Authority: authority, Params: p})
		return err
	}
	for name, tc := range map[string]struct {
		change func(*types.Params)
		err    error
	}{
		"epoch":              {func(p *types.Params) { p.EpochDuration = 0 }, types.ErrInvalidParams},
		"decimals":           {func(p *types.Params) { p.NativeDecimals = 31 }, types.ErrInvalidParams},
		"providers":          {func(p *types.Params) { p.MaxProviders = 0 }, types.ErrInvalidParams},
		"many providers":     {func(p *types.Params) { p.MaxProviders = 101 }, types.ErrInvalidParams},
		"validators":         {func(p *types.Params) { p.MaxValidatorsPerProvider = 0 }, types.ErrInvalidParams},
		"many validators":    {func(p *types.Params) { p.MaxValidatorsPerProvider = 10_001 }, types.ErrInvalidParams},
		"operations":         {func(p *types.Params) { p.MaxEpochOperations = 0 }, types.ErrInvalidParams},
		"many operations":    {func(p *types.Params) { p.MaxEpochOperations = 10_001 }, types.ErrInvalidParams},
		"global ratio":       {func(p *types.Params) { p.GlobalMaxPowerRatio = dec("0.333333333333333333") }, types.ErrInvalidParams},
		"no global ratio":    {func(p *types.Params) { p.GlobalMaxPowerRatio = sdkmath.LegacyDec{} }, types.ErrInvalidParams},
		"multiple":           {func(p *types.Params) { p.MaxValidatorMultiple = dec("-1") }, types.ErrInvalidParams},
		"threshold":          {func(p *types.Params) { p.RebalanceThreshold = dec("1") }, types.ErrInvalidParams},
		"price change":       {func(p *types.Params) { p.MaxPriceChange = dec("-0.1") }, types.ErrInvalidParams},
		"price age":          {func(p *types.Params) { p.MaxPriceAge = 0 }, types.ErrInvalidParams},
		"silence":            {func(p *types.Params) { p.MaxProviderSilence = 0 }, types.ErrInvalidParams},
		"margin":             {func(p *types.Params) { p.FreshnessMargin = -1 }, types.ErrInvalidParams},
		"timeout":            {func(p *types.Params) { p.PacketTimeout = 0 }, types.ErrInvalidParams},
		"long timeout":       {func(p *types.Params) { p.PacketTimeout = 24*time.Hour + 1 }, types.ErrInvalidParams},
		"margin below epoch": {func(p *types.Params) { p.FreshnessMargin = p.EpochDuration - 1 }, types.ErrParamsConflict},
		"silence too long":   {func(p *types.Params) { p.MaxProviderSilence = 19 * 24 * time.Hour }, types.ErrParamsConflict},
		"epoch too long": {func(p *types.Params) {
			p.EpochDuration, p.FreshnessMargin = 6*24*time.Hour, 7*24*time.Hour
		}, types.ErrParamsConflict},
	} {
		t.Run(name, func(t *testing.T) {
			p := testParams()
			tc.change(&p)
			require.ErrorIs(t, update(p), tc.err)
		})
	}
	p := testParams()
	p.MaxProviders = 3
	require.NoError(t, update(p))
	res, err := f.query.Params(f.ctx, &types.QueryParamsRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 3, res.Params.MaxProviders)
}

func TestKeeperThatIsNotConnected(t *testing.T) {
	f := newBareFixture(t)
	f.k.ConnectIBC(nil, nil, nil)
	f.init()
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "x")})
	require.ErrorIs(t, err, types.ErrNotConnected)
	_, err = f.k.CheckChannel(f.ctx, meshtypes.ChannelEnd{})
	require.ErrorIs(t, err, types.ErrNotConnected)
	_, err = f.k.StoredChannel(f.ctx, "", "")
	require.ErrorIs(t, err, types.ErrNotConnected)
}
