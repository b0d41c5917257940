package keeper_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

var anybody = sdk.AccAddress(bytes.Repeat([]byte{0xAA}, 20))

func feeder(i int) sdk.AccAddress { return bytes.Repeat([]byte{0xF0 + byte(i)}, 20) }

// byFeeders makes a provider's price the median of n feeders, of which quorum must agree to a tenth.
func byFeeders(n, quorum int) func(*types.ProviderConfig) {
	return func(c *types.ProviderConfig) {
		c.PriceFeed = types.PriceFeedFeeders
		c.Price = &types.PriceConfig{MinFeeders: uint32(quorum), MaxDeviation: dec("0.1"), MaxPostAge: time.Hour}
		for i := range n {
			c.Price.Feeders = append(c.Price.Feeders, feeder(i).String())
		}
	}
}

// byProof makes a provider's price what the source has at "price", a text.
func byProof(change func(*types.ProviderConfig)) func(*types.ProviderConfig) {
	return func(c *types.ProviderConfig) {
		c.PriceFeed = types.PriceFeedProof
		c.Price = &types.PriceConfig{MaxDeviation: dec("0"), MaxPostAge: time.Hour, Source: &types.PriceSource{
			ClientId: sourceClientID, Path: [][]byte{[]byte("prices"), []byte("price")}, Encoding: types.PRICE_ENCODING_TEXT,
		}}
		if change != nil {
			change(c)
		}
	}
}

// byAccumulator is byProof of a sum of price × seconds, over ten minutes.
func byAccumulator(c *types.ProviderConfig) {
	c.Price.Window, c.Price.MaxPostAge = 10*time.Minute, 0
	c.Price.Source.Accumulator, c.Price.Source.AccumulatorUnit = true, time.Second
}

// addUnpriced registers a provider without a price.
func (f *fixture) addUnpriced(id string, change func(*types.ProviderConfig)) {
	f.t.Helper()
	c := config(id, "provider-of-"+id)
	change(&c)
	f.clients[id] = c.ChainId
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(f.t, err)
	f.openChannel(id, "channel-of-"+id)
	f.seqs[id] = 0
	require.False(f.t, f.update(id, nil).Refused)
}

func (f *fixture) updateConfig(id string, change func(*types.ProviderConfig)) error {
	c := f.provider(id).Config
	if c.Price != nil {
		price := *c.Price
		c.Price = &price
	}
	change(&c)
	_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
	return err
}

func (f *fixture) postPrice(i int, price string) (string, error) {
	res, err := f.msg.PostPrice(f.ctx, &types.MsgPostPrice{Feeder: feeder(i).String(), ProviderId: provider1, Price: dec(price)})
	if err != nil {
		return "", err
	}
	return short(res.Median), nil
}

func (f *fixture) requirePost(i int, price, median string) {
	f.t.Helper()
	got, err := f.postPrice(i, price)
	require.NoError(f.t, err)
	require.Equal(f.t, median, got)
}

func (f *fixture) requireProved(msg *types.MsgProvePrice, price string) {
	f.t.Helper()
	res, err := f.msg.ProvePrice(f.ctx, msg)
	require.NoError(f.t, err)
	require.Equal(f.t, price, short(res.Price))
}

func (f *fixture) price(id string) *types.QueryPriceResponse {
	f.t.Helper()
	res, err := f.query.Price(f.ctx, &types.QueryPriceRequest{ProviderId: id})
	require.NoError(f.t, err)
	return res
}

// short is a price without the zeros behind it.
func short(d sdkmath.LegacyDec) string {
	s := bytes.TrimRight([]byte(d.String()), "0")
	return string(bytes.TrimRight(s, "."))
}

// wait lets time go by without a block.
func (f *fixture) wait(d time.Duration) {
	f.ctx = f.ctx.WithBlockTime(f.ctx.BlockTime().Add(d))
}

func TestFeedersMakeAMedian(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addUnpriced(provider1, byFeeders(5, 3))
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	require.True(t, f.has("EventPriceUnusable"), "no price yet")

	f.requirePost(0, "0.5", "0")
	f.requirePost(1, "0.52", "0")
	require.Equal(t, types.ErrNoPrice.Error(), f.price(provider1).Unusable)
	f.requirePost(2, "0.51", "0.51")
	f.requirePost(3, "0.53", "0.51") // of two in the middle the lower one
	f.requirePost(4, "0.5", "0.51")
	f.epoch()
	f.requireVirtual(provider1, 0, 51)

	// Posts replace those of the same feeder, and outliers do not count.
	f.requirePost(0, "100", "0.51")
	f.requirePost(1, "0.000001", "0.51")
	f.requirePost(2, "0.54", "0.53")
	f.requirePost(3, "90", "0") // a majority that disagrees is no price
	require.Equal(t, "0.53", short(f.price(provider1).Posted.Price), "the last one stands")
	require.True(t, f.has("EventPricePosted"))

	posts, err := f.query.PricePosts(f.ctx, &types.QueryPricePostsRequest{ProviderId: provider1, Pagination: &query.PageRequest{Limit: 2}})
	require.NoError(t, err)
	require.Len(t, posts.Posts, 2)
	require.NotEmpty(t, posts.Pagination.NextKey)
	require.Equal(t, feeder(0).String(), posts.Posts[0].Feeder)
	require.True(t, posts.Posts[0].Counts)
}

func TestOldPostsDoNotCount(t *testing.T) {
	f := newFixture(t, 1000)
	f.addUnpriced(provider1, byFeeders(3, 2))
	f.requirePost(0, "1", "0")
	f.wait(time.Hour)
	f.requirePost(1, "1.02", "1")
	got := f.price(provider1)
	require.Equal(t, time.Hour, got.Age, "a price is as old as the post that completes the quorum")
	require.Equal(t, "1", short(got.Posted.Price))
	f.wait(time.Nanosecond)
	f.requirePost(1, "1.04", "0")
	require.Equal(t, time.Hour+time.Nanosecond, f.price(provider1).Age, "the old price stands and ages")
	f.requirePost(2, "1.03", "1.03")
	require.Zero(t, f.price(provider1).Age)
	posts, err := f.query.PricePosts(f.ctx, &types.QueryPricePostsRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true}, []bool{posts.Posts[0].Counts, posts.Posts[1].Counts, posts.Posts[2].Counts})

	// max_price_age bounds it as well.
	f.setParams(func(p *types.Params) { p.MaxPriceAge = time.Minute })
	f.wait(2 * time.Minute)
	f.requirePost(1, "1", "0")
}

// TestOneFeederCannotKeepAPriceYoung: as the others fall silent the price goes stale, and then nothing rises.
func TestOneFeederCannotKeepAPriceYoung(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxPriceAge = time.Hour })
	f.addUnpriced(provider1, byFeeders(3, 2))
	f.requirePost(0, "1", "0")
	f.requirePost(1, "1", "1")
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	for range 61 {
		f.wait(time.Minute)
		_, err := f.postPrice(0, "1.05")
		require.NoError(t, err)
	}
	require.False(t, f.price(provider1).MayRise)
	f.update(provider1, map[int]int64{0: 120, 1: 10})
	f.epoch()
	require.True(t, f.has("EventPriceUnusable"))
	f.requireVirtual(provider1, 0, 100)
	f.requireVirtual(provider1, 1, 0)
	f.update(provider1, map[int]int64{0: 50, 1: 10})
	f.epoch()
	f.requireVirtual(provider1, 0, 50)
	f.requireVirtual(provider1, 1, 0)
}

func TestBadPosts(t *testing.T) {
	f := newFixture(t, 1000)
	f.addUnpriced(provider1, byFeeders(2, 1))
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") })
	f.addProvider(provider3, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0") })
	_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider3})
	require.NoError(t, err)
	f.requirePost(0, "1", "1")
	before := f.export()
	for name, tc := range map[string]struct {
		change func(*types.MsgPostPrice)
		err    error
	}{
		"no address":         {func(m *types.MsgPostPrice) { m.Feeder = "" }, types.ErrInvalidSigner},
		"bad address":        {func(m *types.MsgPostPrice) { m.Feeder = "cosmos1xyz" }, types.ErrInvalidSigner},
		"not authorised":     {func(m *types.MsgPostPrice) { m.Feeder = anybody.String() }, types.ErrNotFeeder},
		"authority":          {func(m *types.MsgPostPrice) { m.Feeder = authority }, types.ErrNotFeeder},
		"zero":               {func(m *types.MsgPostPrice) { m.Price = dec("0") }, types.ErrInvalidPrice},
		"negative":           {func(m *types.MsgPostPrice) { m.Price = dec("-1") }, types.ErrInvalidPrice},
		"nothing":            {func(m *types.MsgPostPrice) { m.Price = sdkmath.LegacyDec{} }, types.ErrInvalidPrice},
		"10^40":              {func(m *types.MsgPostPrice) { m.Price = sdkmath.LegacyNewDec(10).Power(40) }, types.ErrInvalidPrice},
		"above 10^18":        {func(m *types.MsgPostPrice) { m.Price = types.MaxPrice.Add(sdkmath.LegacySmallestDec()) }, types.ErrInvalidPrice},
		"no provider":        {func(m *types.MsgPostPrice) { m.ProviderId = "07-tendermint-77" }, types.ErrProviderNotFound},
		"bad provider id":    {func(m *types.MsgPostPrice) { m.ProviderId = "/" }, types.ErrInvalidProviderID},
		"another feed":       {func(m *types.MsgPostPrice) { m.ProviderId = provider2 }, types.ErrWrongFeed},
		"provider's removed": {func(m *types.MsgPostPrice) { m.ProviderId = provider3 }, types.ErrProviderRemoved},
	} {
		t.Run(name, func(t *testing.T) {
			msg := &types.MsgPostPrice{Feeder: feeder(0).String(), ProviderId: provider1, Price: dec("1.01")}
			tc.change(msg)
			_, err := f.msg.PostPrice(f.ctx, msg)
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, f.export())
		})
	}
	_, err = f.msg.SetPrice(f.ctx, &types.MsgSetPrice{Authority: authority, ProviderId: provider1, Price: dec("2")})
	require.ErrorIs(t, err, types.ErrWrongFeed, "governance posts where governance is the feed")
	// What is no number at all fails to decode, before any handler.
	for _, text := range []string{"NaN", "Inf", "-Inf", "1e18", "", "1.0000000000000000001"} {
		_, err := sdkmath.LegacyNewDecFromStr(text)
		require.Error(t, err, text)
		bz := protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), text)
		if text != "" {
			require.Error(t, new(types.MsgPostPrice).Unmarshal(bz), text)
		}
	}
	require.Equal(t, before, f.export())
}

func TestBadPriceConfigs(t *testing.T) {
	f := newFixture(t, 1000)
	f.newSource()
	f.addProvider(provider1, nil)
	governance := func(*types.ProviderConfig) {}
	feeders, proof := byFeeders(3, 2), byProof(nil)
	sum := byProof(byAccumulator)
	before := f.export()
	for name, tc := range map[string]struct {
		feed, change func(*types.ProviderConfig)
		err          error
	}{
		"unknown feed":               {governance, func(c *types.ProviderConfig) { c.PriceFeed = "oracle" }, types.ErrUnknownPriceFeed},
		"no feed":                    {governance, func(c *types.ProviderConfig) { c.PriceFeed = "" }, types.ErrUnknownPriceFeed},
		"governance with feeders":    {feeders, func(c *types.ProviderConfig) { c.PriceFeed, c.Price.MaxPostAge = types.PriceFeedGovernance, 0 }, types.ErrInvalidFeeders},
		"governance with a source":   {proof, func(c *types.ProviderConfig) { c.PriceFeed, c.Price.MaxPostAge = types.PriceFeedGovernance, 0 }, types.ErrInvalidPriceSource},
		"governance with a post age": {governance, func(c *types.ProviderConfig) { c.Price = &types.PriceConfig{MaxDeviation: dec("0"), MaxPostAge: 1} }, types.ErrInvalidPriceConfig},
		"window negative":            {feeders, func(c *types.ProviderConfig) { c.Price.Window = -1 }, types.ErrInvalidPriceConfig},
		"window below an epoch":      {feeders, func(c *types.ProviderConfig) { c.Price.Window = epochTime - 1 }, types.ErrInvalidPriceConfig},
		"window of a year":           {feeders, func(c *types.ProviderConfig) { c.Price.Window = 365 * 24 * time.Hour }, types.ErrInvalidPriceConfig},
		"post age negative":          {feeders, func(c *types.ProviderConfig) { c.Price.MaxPostAge = -1 }, types.ErrInvalidPriceConfig},
		"no feeders":                 {feeders, func(c *types.ProviderConfig) { c.Price.Feeders = nil }, types.ErrInvalidFeeders},
		"nothing at all":             {feeders, func(c *types.ProviderConfig) { c.Price = nil }, types.ErrInvalidFeeders},
		"feeder twice":               {feeders, func(c *types.ProviderConfig) { c.Price.Feeders[1] = c.Price.Feeders[0] }, types.ErrInvalidFeeders},
		"feeder no address":          {feeders, func(c *types.ProviderConfig) { c.Price.Feeders[1] = "x" }, types.ErrInvalidFeeders},
		"feeder in capitals":         {feeders, func(c *types.ProviderConfig) { c.Price.Feeders[1] = string(bytes.ToUpper([]byte(c.Price.Feeders[1]))) }, types.ErrInvalidFeeders},
		"feeders without number":     {byFeeders(types.MaxFeeders+1, 2), func(*types.ProviderConfig) {}, types.ErrInvalidFeeders},
		"quorum zero":                {feeders, func(c *types.ProviderConfig) { c.Price.MinFeeders = 0 }, types.ErrInvalidFeeders},
		"quorum above all":           {feeders, func(c *types.ProviderConfig) { c.Price.MinFeeders = 4 }, types.ErrInvalidFeeders},
		"deviation zero":             {feeders, func(c *types.ProviderConfig) { c.Price.MaxDeviation = dec("0") }, types.ErrInvalidFeeders},
		"deviation above one":        {feeders, func(c *types.ProviderConfig) { c.Price.MaxDeviation = dec("1.1") }, types.ErrInvalidFeeders},
		"feeders with a source":      {feeders, func(c *types.ProviderConfig) { c.Price.Source = &types.PriceSource{} }, types.ErrInvalidPriceSource},
		"proof without a source":     {proof, func(c *types.ProviderConfig) { c.Price.Source = nil }, types.ErrInvalidPriceSource},
		"proof with feeders":         {proof, func(c *types.ProviderConfig) { c.Price.Feeders = []string{feeder(0).String()} }, types.ErrInvalidFeeders},
		"client id":                  {proof, func(c *types.ProviderConfig) { c.Price.Source.ClientId = "/" }, types.ErrInvalidPriceSource},
		"no client":                  {proof, func(c *types.ProviderConfig) { c.Price.Source.ClientId = "07-tendermint-99" }, types.ErrClientNotFound},
		"no path":                    {proof, func(c *types.ProviderConfig) { c.Price.Source.Path = nil }, types.ErrInvalidPriceSource},
		"path with an empty key":     {proof, func(c *types.ProviderConfig) { c.Price.Source.Path[1] = nil }, types.ErrInvalidPriceSource},
		"path with a long key":       {proof, func(c *types.ProviderConfig) { c.Price.Source.Path[1] = make([]byte, 513) }, types.ErrInvalidPriceSource},
		"path of five":               {proof, func(c *types.ProviderConfig) { c.Price.Source.Path = bytes.SplitAfterN([]byte("abcde"), nil, 5) }, types.ErrInvalidPriceSource},
		"encoding":                   {proof, func(c *types.ProviderConfig) { c.Price.Source.Encoding = 0 }, types.ErrInvalidPriceSource},
		"encoding unknown":           {proof, func(c *types.ProviderConfig) { c.Price.Source.Encoding = 4 }, types.ErrInvalidPriceSource},
		"a bare varint":              {proof, func(c *types.ProviderConfig) { c.Price.Source.Encoding = types.PRICE_ENCODING_UINT }, types.ErrInvalidPriceSource},
		"exponent":                   {proof, func(c *types.ProviderConfig) { c.Price.Source.Exponent = 37 }, types.ErrInvalidPriceSource},
		"exponent below":             {proof, func(c *types.ProviderConfig) { c.Price.Source.Exponent = -37 }, types.ErrInvalidPriceSource},
		"field zero":                 {proof, func(c *types.ProviderConfig) { c.Price.Source.FieldPath = []uint32{0} }, types.ErrInvalidPriceSource},
		"field too high":             {proof, func(c *types.ProviderConfig) { c.Price.Source.FieldPath = []uint32{1 << 29} }, types.ErrInvalidPriceSource},
		"seventeen fields deep":      {proof, func(c *types.ProviderConfig) { c.Price.Source.FieldPath = make([]uint32, 17) }, types.ErrInvalidPriceSource},
		"time without accumulator":   {proof, func(c *types.ProviderConfig) { c.Price.Source.TimePath = []uint32{1} }, types.ErrInvalidPriceSource},
		"unit without accumulator":   {proof, func(c *types.ProviderConfig) { c.Price.Source.AccumulatorUnit = 1 }, types.ErrInvalidPriceSource},
		"accumulator without unit":   {sum, func(c *types.ProviderConfig) { c.Price.Source.AccumulatorUnit = 0 }, types.ErrInvalidPriceSource},
		"accumulator without window": {sum, func(c *types.ProviderConfig) { c.Price.Window = 0 }, types.ErrInvalidPriceConfig},
		"accumulator below an epoch": {sum, func(c *types.ProviderConfig) { c.Price.Window = epochTime - time.Second }, types.ErrInvalidPriceConfig},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.updateConfig(provider1, func(c *types.ProviderConfig) { tc.feed(c); tc.change(c) })
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, f.export())
		})
	}
	require.NoError(t, f.updateConfig(provider1, sum))
	params := testParams()
	params.EpochDuration, params.FreshnessMargin = 11*time.Minute, 2*24*time.Hour
	_, err := f.msg.UpdateParams(f.ctx, &types.MsgUpdateParams{Authority: authority, Params: params})
	require.ErrorIs(t, err, types.ErrParamsConflict, "an epoch longer than a window")
}

func TestAnotherFeedForgetsWhatWasPosted(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, byFeeders(3, 2))
	f.requirePost(0, "1", "0")
	f.requirePost(1, "1", "1")
	f.requirePost(2, "1.02", "1")
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)

	// A feeder less: its post goes, the price stays.
	require.NoError(t, f.updateConfig(provider1, byFeeders(2, 2)))
	require.Len(t, f.export().PricePosts, 2)
	require.Equal(t, "1", short(f.price(provider1).Posted.Price))
	_, err := f.postPrice(2, "1")
	require.ErrorIs(t, err, types.ErrNotFeeder)

	// Another feed: everything goes, and until it gives a price nothing rises and nothing falls.
	require.NoError(t, f.updateConfig(provider1, byProof(nil)))
	gs := f.export()
	require.Empty(t, gs.PricePosts)
	require.Empty(t, gs.Prices)
	require.Equal(t, "1", short(f.provider(provider1).Price), "the price in force clamps the first one")
	f.update(provider1, map[int]int64{0: 200})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	h := s.commit(map[string][]byte{"price": []byte("3")})
	f.requireProved(s.prove(h, "price"), "3")
	f.epoch()
	require.Equal(t, "1.1", short(f.provider(provider1).Price))
	f.requireVirtual(provider1, 0, 220)

	// Another key of the same chain is another price.
	require.NoError(t, f.updateConfig(provider1, byProof(func(c *types.ProviderConfig) { c.Price.Source.Path[1] = []byte("other") })))
	require.Empty(t, f.export().ProvedHeights)
	require.Equal(t, types.ErrNoPrice.Error(), f.price(provider1).Unusable)
	// The same again changes nothing.
	f.requireProved(s.prove(s.commit(map[string][]byte{"other": []byte("1.5")}), "other"), "1.5")
	before := f.export()
	require.NoError(t, f.updateConfig(provider1, func(*types.ProviderConfig) {}))
	require.Equal(t, before, f.export())
	// Removed and registered anew it begins without.
	_, err = f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: f.provider(provider1).Config})
	require.NoError(t, err)
	require.Empty(t, f.export().Prices)
	require.Empty(t, f.export().ProvedHeights)
}

// TestAverageHoldsBackRisesOnly: over the window a rise counts in proportion to its time, a fall at once.
func TestAverageHoldsBackRisesOnly(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, func(c *types.ProviderConfig) {
		c.Price = &types.PriceConfig{Window: 100 * time.Minute, MaxDeviation: dec("0")}
	})
	check := func(average, next string) {
		t.Helper()
		got := f.price(provider1)
		require.Equal(t, average, short(got.Average))
		require.Equal(t, next, short(got.Next))
	}
	check("1", "1")
	f.wait(50 * time.Minute)
	f.setPrice(provider1, "2")
	check("1", "1") // its time is still zero
	f.wait(10 * time.Minute)
	check("1.166666666666666666", "1.166666666666666666") // 50 of 1 and 10 of 2: all that is known
	f.wait(40 * time.Minute)
	check("1.5", "1.5")
	f.wait(25 * time.Minute)
	check("1.75", "1.75")
	f.wait(25 * time.Minute)
	check("2", "2")
	f.wait(25 * time.Hour)
	check("2", "2")
	f.setPrice(provider1, "0.5")
	check("2", "0.5") // at once
	f.wait(50 * time.Minute)
	check("1.25", "0.5")
	f.setPrice(provider1, "4")
	check("1.25", "1.25")
	// In one block only the last one counts.
	f.setPrice(provider1, "1000000000000000000")
	f.setPrice(provider1, "4")
	f.wait(50 * time.Minute)
	check("2.25", "2.25")
	// Without a window the newest counts again, and nothing is left of the sums.
	require.NoError(t, f.updateConfig(provider1, func(c *types.ProviderConfig) { c.Price = nil }))
	check("4", "4")
	require.Empty(t, f.export().PriceObservations)
	// A window later on: what is known is the newest price and since when.
	require.NoError(t, f.updateConfig(provider1, func(c *types.ProviderConfig) {
		c.Price = &types.PriceConfig{Window: 100 * time.Minute, MaxDeviation: dec("0")}
	}))
	check("4", "4")
	f.wait(50 * time.Minute)
	f.setPrice(provider1, "8")
	f.wait(50 * time.Minute)
	check("6", "6")
}

// TestAverageIsBounded: posts in every second of a window leave a bounded number of sums, and the average right.
func TestAverageIsBounded(t *testing.T) {
	f := newFixture(t, 1000)
	const window = time.Hour
	f.addProvider(provider1, func(c *types.ProviderConfig) {
		c.Price = &types.PriceConfig{Window: window, MaxDeviation: dec("0")}
	})
	var prices []int64 // by second
	for i := range 3 * 3600 {
		price := int64(1 + (i*i)%7 + i/3600)
		f.setPrice(provider1, fmt.Sprint(price))
		prices = append(prices, price)
		f.wait(time.Second)
	}
	require.LessOrEqual(t, len(f.export().PriceObservations), types.MaxPriceObservations/2+4)
	sum := int64(0)
	for _, p := range prices[len(prices)-3600:] {
		sum += p
	}
	exact := sdkmath.LegacyNewDec(sum).QuoInt64(3600)
	diff := f.price(provider1).Average.Sub(exact).Abs()
	require.True(t, diff.LTE(dec("0.01")), "%s, not %s", f.price(provider1).Average, exact)
	require.NoError(t, f.export().Validate())
}

func TestProvedPrice(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	// Field 2 of field 1, a LegacyDec as chains have it in state.
	f.addUnpriced(provider1, byProof(func(c *types.ProviderConfig) {
		c.Price.Source.FieldPath, c.Price.Source.Exponent = []uint32{1, 2}, -18
	}))
	value := func(price string) []byte {
		bz, err := dec(price).Marshal()
		require.NoError(t, err)
		inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
		inner = protowire.AppendBytes(protowire.AppendTag(inner, 2, protowire.BytesType), bz)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	}
	f.update(provider1, map[int]int64{0: 100})
	h := s.commit(map[string][]byte{"price": value("0.45")})
	f.requireProved(s.prove(h, "price"), "0.45")
	require.True(t, f.has("EventPriceProved"))
	require.True(t, f.has("EventPriceSet"))
	f.epoch()
	f.requireVirtual(provider1, 0, 45)

	got, err := f.query.PriceObservations(f.ctx, &types.QueryPriceObservationsRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, h, got.ProvedHeight)
	require.Empty(t, got.Observations)

	// The same height again, and one below, prove nothing.
	f.block(blockTime)
	low := s.commit(map[string][]byte{"price": value("0.9")})
	high := s.commit(map[string][]byte{"price": value("0.1")})
	f.requireProved(s.prove(high, "price"), "0.1")
	for _, h := range []meshtypes.Height{high, low} {
		_, err := f.msg.ProvePrice(f.ctx, s.prove(h, "price"))
		require.ErrorIs(t, err, types.ErrPriceHeight)
	}
	f.epoch()
	f.requireVirtual(provider1, 0, 10) // the fall at once
	f.restart()
}

func TestBadProofs(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, byProof(nil))
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0") })
	first := s.commit(map[string][]byte{"price": []byte("1"), "other": []byte("1000"), "empty": []byte("0")})
	f.block(blockTime)
	h := s.commit(map[string][]byte{"price": []byte("1.5")})
	later := s.commitAt(f.ctx.BlockTime().Add(-time.Hour-1), map[string][]byte{"price": []byte("2")})
	values := map[string]meshtypes.Height{}
	for _, text := range []string{
		"0", "0.0000000000000000009", "-1", "NaN", "Infinity", "1e5", "+1", " 1", "1.", ".5", "1.2.3", "0x1", "1_000",
		"10000000000000000000000000000000000000000", "1000000000000000001", "1000000000000000000.000000000000000001",
	} {
		values[text] = s.commit(map[string][]byte{"price": []byte(text)})
	}
	before := f.export()
	valid := s.prove(h, "price")
	type test struct {
		name   string
		change func(*types.MsgProvePrice)
		err    error
	}
	tests := []test{
		{"submitter", func(m *types.MsgProvePrice) { m.Submitter = "x" }, types.ErrInvalidSigner},
		{"provider id", func(m *types.MsgProvePrice) { m.ProviderId = "" }, types.ErrInvalidProviderID},
		{"no provider", func(m *types.MsgProvePrice) { m.ProviderId = provider3 }, types.ErrProviderNotFound},
		{"another feed", func(m *types.MsgProvePrice) { m.ProviderId = provider2 }, types.ErrWrongFeed},
		{"no value", func(m *types.MsgProvePrice) { m.Value = nil }, types.ErrPriceTooLong},
		{"long value", func(m *types.MsgProvePrice) { m.Value = make([]byte, types.MaxPriceValueBytes+1) }, types.ErrPriceTooLong},
		{"no proof", func(m *types.MsgProvePrice) { m.Proof = nil }, types.ErrPriceTooLong},
		{"long proof", func(m *types.MsgProvePrice) { m.Proof = make([]byte, types.MaxPriceProofBytes+1) }, types.ErrPriceTooLong},
		{"no height", func(m *types.MsgProvePrice) { m.ProofHeight = meshtypes.Height{} }, types.ErrPriceHeight},
		{"absurd height", func(m *types.MsgProvePrice) { m.ProofHeight.Height = 1 << 63 }, types.ErrPriceHeight},
		{"unknown height", func(m *types.MsgProvePrice) { m.ProofHeight.Height = 1_000_000 }, types.ErrPriceNoHeader},
		{"another revision", func(m *types.MsgProvePrice) { m.ProofHeight.Revision = 4 }, types.ErrPriceNoHeader},
		{"wrong height", func(m *types.MsgProvePrice) { m.ProofHeight = first }, types.ErrPriceProof},
		{"wrong value", func(m *types.MsgProvePrice) { m.Value = []byte("15") }, types.ErrPriceProof},
		{"wrong key", func(m *types.MsgProvePrice) { *m = *s.prove(h, "other") }, types.ErrPriceProof},
		{"proof of absence", func(m *types.MsgProvePrice) { *m = *s.prove(h, "absent"); m.Value = []byte("1") }, types.ErrPriceProof},
		{"absent value", func(m *types.MsgProvePrice) { *m = *s.prove(h, "absent") }, types.ErrPriceTooLong},
		{"garbage", func(m *types.MsgProvePrice) { m.Proof = bytes.Repeat([]byte{0xFF}, 100) }, types.ErrPriceProof},
		{"cut", func(m *types.MsgProvePrice) { m.Proof = m.Proof[:len(m.Proof)-1] }, types.ErrPriceProof},
		{"too old", func(m *types.MsgProvePrice) { *m = *s.prove(later, "price") }, types.ErrPriceTooOld},
	}
	for text, height := range values {
		err := types.ErrPriceDecode
		switch text {
		case "0", "0.0000000000000000009", "10000000000000000000000000000000000000000", "1000000000000000001",
			"1000000000000000000.000000000000000001":
			err = types.ErrInvalidPrice
		}
		tests = append(tests, test{"price " + text, func(m *types.MsgProvePrice) { *m = *s.prove(height, "price") }, err})
	}
	for _, status := range []exported.Status{exported.Expired, exported.Frozen, exported.Unauthorized, exported.Unknown} {
		tests = append(tests, test{"client " + string(status), func(*types.MsgProvePrice) { s.client.status = status }, types.ErrPriceClient})
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s.client.status = exported.Active
			msg := *valid
			tc.change(&msg)
			_, err := f.msg.ProvePrice(f.ctx, &msg)
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, before, f.export())
		})
	}
	s.client.status = exported.Active
	f.requireProved(valid, "1.5")
}

// TestProvedAverage: two accumulators at least a window apart make a price.
func TestProvedAverage(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, byProof(byAccumulator))
	sum := int64(1_000_000)
	at := func(d time.Duration, price int64) *types.MsgProvePrice { // d later, with that price since
		f.wait(d)
		sum += price * int64(d/time.Second)
		return s.prove(s.commit(map[string][]byte{"price": fmt.Append(nil, sum)}), "price")
	}
	f.requireProved(at(0, 0), "0")
	require.Equal(t, types.ErrNoPrice.Error(), f.price(provider1).Unusable)
	f.requireProved(at(5*time.Minute, 2), "0")
	f.requireProved(at(5*time.Minute, 4), "3")                     // ten minutes after the first
	f.requireProved(at(3*time.Minute, 30), "9.230769230769230769") // thirteen after the first: 2·5 + 4·5 + 30·3
	f.requireProved(at(2*time.Minute, 4), "11.8")                  // ten after the second: 4·5 + 30·3 + 4·2
	require.Equal(t, "11.8", short(f.price(provider1).Posted.Price))
	require.Equal(t, "11.8", short(f.price(provider1).Average), "it is an average already")

	// Nobody proves anything for more than two windows: the average would be too long, and begins anew.
	f.requireProved(at(31*time.Minute, 1), "0")
	require.Equal(t, "11.8", short(f.price(provider1).Posted.Price))
	f.requireProved(at(20*time.Minute, 5), "5")

	// What falls or stands still in time proves nothing, and leaves nothing behind.
	before := f.export()
	height := s.commitAt(f.ctx.BlockTime(), map[string][]byte{"price": fmt.Append(nil, sum+100)})
	_, err := f.msg.ProvePrice(f.ctx, s.prove(height, "price"))
	require.ErrorIs(t, err, types.ErrPriceTime)
	f.wait(time.Minute)
	height = s.commit(map[string][]byte{"price": fmt.Append(nil, sum-1)})
	_, err = f.msg.ProvePrice(f.ctx, s.prove(height, "price"))
	require.ErrorIs(t, err, types.ErrAccumulatorFell)
	f.wait(19 * time.Minute)
	height = s.commit(map[string][]byte{"price": fmt.Append(nil, sum)})
	_, err = f.msg.ProvePrice(f.ctx, s.prove(height, "price"))
	require.ErrorIs(t, err, types.ErrInvalidPrice, "an average of zero")
	require.Equal(t, before, f.export())
	f.check()
	f.restart()
}

// TestProvingInEveryBlockHoldsNobodyUp: whoever proves as often as possible keeps nobody's average from being made.
func TestProvingInEveryBlockHoldsNobodyUp(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, byProof(byAccumulator))
	sum := int64(1)
	for i := range 500 {
		f.wait(5 * time.Second)
		sum += 5 * 3
		price := "3"
		if i < 120 {
			price = "0"
		}
		f.requireProved(s.prove(s.commit(map[string][]byte{"price": fmt.Append(nil, sum)}), "price"), price)
	}
	observations := f.export().PriceObservations
	require.LessOrEqual(t, len(observations), 40)
	page, err := f.query.PriceObservations(f.ctx, &types.QueryPriceObservationsRequest{
		ProviderId: provider1, Pagination: &query.PageRequest{Limit: 3, CountTotal: true},
	})
	require.NoError(t, err)
	require.Len(t, page.Observations, 3)
	require.Equal(t, uint64(len(observations)), page.Pagination.Total)
	require.True(t, page.Observations[0].Time.Before(page.Observations[1].Time))
}

// TestAccumulatorWithItsOwnTime: chains that write the sum only now and then date it.
func TestAccumulatorWithItsOwnTime(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, byProof(func(c *types.ProviderConfig) {
		byAccumulator(c)
		c.Price.Source.FieldPath, c.Price.Source.TimePath = []uint32{2}, []uint32{1}
		c.Price.Source.Encoding, c.Price.Source.AccumulatorUnit = types.PRICE_ENCODING_UINT, time.Millisecond
	}))
	start := f.ctx.BlockTime()
	value := func(after time.Duration, sum uint64) []byte {
		at := start.Add(after)
		stamp := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(at.Unix()))
		stamp = protowire.AppendVarint(protowire.AppendTag(stamp, 2, protowire.VarintType), uint64(at.Nanosecond()))
		bz := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), stamp)
		return protowire.AppendVarint(protowire.AppendTag(bz, 2, protowire.VarintType), sum)
	}
	prove := func(bz []byte) *types.MsgProvePrice {
		return s.prove(s.commit(map[string][]byte{"price": bz}), "price")
	}
	f.requireProved(prove(value(0, 1_000)), "0")
	f.wait(30 * time.Minute)
	_, err := f.msg.ProvePrice(f.ctx, prove(value(0, 1_000)))
	require.ErrorIs(t, err, types.ErrPriceTime, "the same sum is no second one")
	_, err = f.msg.ProvePrice(f.ctx, prove(value(31*time.Minute, 1_000)))
	require.ErrorIs(t, err, types.ErrPriceTime, "later than its header")
	f.requireProved(prove(value(10*time.Minute, 1_000+600_000*7)), "7")
	require.Zero(t, f.price(provider1).Age, "block time counts")
	f.setParams(func(p *types.Params) { p.MaxPriceAge = 5 * time.Minute })
	_, err = f.msg.ProvePrice(f.ctx, prove(value(20*time.Minute, 1_000+600_000*14)))
	require.ErrorIs(t, err, types.ErrPriceTooOld)
}

func TestGenesisWithPosts(t *testing.T) {
	f := newFixture(t, 1000)
	s := f.newSource()
	f.addUnpriced(provider1, func(c *types.ProviderConfig) {
		byFeeders(3, 2)(c)
		c.Price.Window, c.MaxPowerRatio = 10*time.Minute, dec("0.1")
	})
	f.requirePost(0, "1", "0")
	f.requirePost(1, "1.01", "1")
	f.wait(time.Minute)
	f.requirePost(2, "1.02", "1.01")
	id := provider1
	f.addUnpriced(provider2, func(c *types.ProviderConfig) { byProof(byAccumulator)(c); c.MaxPowerRatio = dec("0.1") })
	for i := range 3 {
		f.wait(5 * time.Minute)
		msg := s.prove(s.commit(map[string][]byte{"price": fmt.Append(nil, 600*(i+1))}), "price")
		msg.ProviderId = provider2
		_, err := f.msg.ProvePrice(f.ctx, msg)
		require.NoError(t, err)
	}
	gs := f.export()
	require.Len(t, gs.PricePosts, 3)
	require.Len(t, gs.PriceObservations, 5)
	require.Len(t, gs.ProvedHeights, 1)
	require.Len(t, gs.Prices, 2)
	g := f.restart()
	require.Equal(t, f.price(id), g.price(id))
	require.Equal(t, f.price(provider2), g.price(provider2))

	for name, change := range map[string]func(*types.GenesisState){
		"post of nobody":         func(gs *types.GenesisState) { gs.PricePosts[0].ProviderId = "x" },
		"post twice":             func(gs *types.GenesisState) { gs.PricePosts[1] = gs.PricePosts[0] },
		"post without feeder":    func(gs *types.GenesisState) { gs.PricePosts[0].Feeder = nil },
		"post of zero":           func(gs *types.GenesisState) { gs.PricePosts[0].Price = dec("0") },
		"observation of nobody":  func(gs *types.GenesisState) { gs.PriceObservations[0].ProviderId = "x" },
		"observation at zero":    func(gs *types.GenesisState) { gs.PriceObservations[0].Time = 0 },
		"observations backwards": func(gs *types.GenesisState) { gs.PriceObservations[1].Time = gs.PriceObservations[0].Time },
		"sums backwards": func(gs *types.GenesisState) {
			gs.PriceObservations[0].Observation.Accumulator = sdkmath.NewInt(1).MulRaw(1 << 62).MulRaw(1 << 62)
		},
		"sum negative": func(gs *types.GenesisState) { gs.PriceObservations[0].Observation.Accumulator = sdkmath.NewInt(-1) },
		"too many": func(gs *types.GenesisState) {
			for i := range types.MaxPriceObservations + 1 {
				o := gs.PriceObservations[len(gs.PriceObservations)-1]
				o.Time += uint64(i) + 1
				gs.PriceObservations = append(gs.PriceObservations, o)
			}
		},
		"height of nobody": func(gs *types.GenesisState) { gs.ProvedHeights[0].ProviderId = "x" },
		"height twice":     func(gs *types.GenesisState) { gs.ProvedHeights = append(gs.ProvedHeights, gs.ProvedHeights[0]) },
		"feed":             func(gs *types.GenesisState) { gs.Providers[0].Config.Price.MinFeeders = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			gs := f.export()
			change(gs)
			require.Error(t, gs.Validate())
		})
	}
	require.NoError(t, f.export().Validate())
	stranger := f.export()
	stranger.PricePosts[0].Feeder = anybody
	require.ErrorIs(t, newBareFixture(t).tryGenesis(*stranger), types.ErrInvalidGenesis, "a post by nobody's feeder")
	for _, ask := range []func() error{
		func() error { _, err := f.query.PricePosts(f.ctx, nil); return err },
		func() error { _, err := f.query.PriceObservations(f.ctx, nil); return err },
		func() error {
			_, err := f.query.PricePosts(f.ctx, &types.QueryPricePostsRequest{ProviderId: provider3})
			return err
		},
		func() error {
			_, err := f.query.PriceObservations(f.ctx, &types.QueryPriceObservationsRequest{ProviderId: provider3})
			return err
		},
	} {
		require.Error(t, ask())
	}
}

// tryGenesis starts the module from a genesis state, over empty stores.
func (f *fixture) tryGenesis(gs types.GenesisState) error {
	f.t.Helper()
	cacheCtx, _ := f.ctx.CacheContext()
	return f.k.InitGenesis(cacheCtx, gs)
}
