package keeper_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/consumer/types"
)

const day = 24 * time.Hour

// year is a chain whose epoch is a day, with two providers whose prices are marked to market every epoch.
type year struct {
	*fixture
	rand    *rand.Rand
	ids     []string
	posted  map[string]sdkmath.LegacyDec
	amounts map[string]map[int]int64
	changes uint64 // of virtual stake, since the beginning
}

func newYear(t *testing.T, seed int64) *year {
	t.Helper()
	f := newFixture(t, 900, 700, 300, 50)
	f.setParams(func(p *types.Params) { p.EpochDuration = day })
	f.setHourlyEpochOff()
	y := &year{
		fixture: f, rand: rand.New(rand.NewSource(seed)), ids: []string{provider1, provider2},
		posted: map[string]sdkmath.LegacyDec{}, amounts: map[string]map[int]int64{},
	}
	for i, id := range y.ids {
		f.addProvider(id, func(c *types.ProviderConfig) {
			c.MaxPowerRatio, c.Discount = dec("0.16"), dec("0.1")
			c.MaxCap = tokens(250 + 100*int64(i))
		})
		y.posted[id] = dec("1")
		y.amounts[id] = map[int]int64{0: 100, 1: 60, 2: 30, 3: 10}
		f.update(id, y.amounts[id])
	}
	return y
}

// setHourlyEpochOff begins an epoch now, so that the first one of a day's length ends in a day.
func (f *fixture) setHourlyEpochOff() {
	f.t.Helper()
	epoch, err := f.k.Epoch.Get(f.ctx)
	require.NoError(f.t, err)
	epoch.Start = f.ctx.BlockTime()
	require.NoError(f.t, f.k.Epoch.Set(f.ctx, epoch))
}

func (y *year) set(id string, price sdkmath.LegacyDec) {
	y.t.Helper()
	if price.GT(types.MaxPrice) {
		price = types.MaxPrice
	}
	y.setPrice(id, price.String())
	y.posted[id] = price
}

// move multiplies a provider's price by so many per mille.
func (y *year) move(id string, permille int64) {
	y.t.Helper()
	price := y.posted[id].MulInt64(permille).QuoInt64(1000)
	y.set(id, sdkmath.LegacyMaxDec(price, sdkmath.LegacySmallestDec()))
}

// nextDay lets the providers report, ends the epoch, and checks what holds at any price.
func (y *year) nextDay() (changes uint64) {
	y.t.Helper()
	before := map[string]sdkmath.LegacyDec{}
	for _, id := range y.ids {
		before[id] = y.provider(id).Price
		y.update(id, nil)
	}
	y.block(day) // checks all invariants, so that everything is within the caps of the plan
	epoch, err := y.k.Epoch.Get(y.ctx)
	require.NoError(y.t, err)
	require.Equal(y.t, epoch.Planned, epoch.Done, "all in one block")
	require.Zero(y.t, epoch.Failed)
	y.changes += epoch.Planned

	bonded, err := y.staking.TotalValidatorPower(y.ctx)
	require.NoError(y.t, err)
	all := sdkmath.ZeroInt()
	onValidator := make([]sdkmath.Int, len(y.vals))
	for i := range onValidator {
		onValidator[i] = sdkmath.ZeroInt()
	}
	for _, id := range y.ids {
		p, sum := y.provider(id), sdkmath.ZeroInt()
		for i := range y.vals {
			tokens := y.virtual(id, i)
			sum, onValidator[i] = sum.Add(tokens), onValidator[i].Add(tokens)
			rec := y.record(id, i)
			worth := types.Value(rec.Amount, rec.Price, p.Config.Discount, 6, p.Config.CollateralDecimals)
			require.True(y.t, tokens.LTE(sdkmath.NewIntFromBigInt(worth)), "%s on %d: %s, worth %s", id, i, tokens, worth)
			require.Equal(y.t, rec.Seq, rec.ExecutedSeq)
		}
		all = all.Add(sum)
		require.True(y.t, sum.LTE(p.Config.MaxCap), "%s: %s", id, sum)
		most := p.Config.MaxPowerRatio.MulInt(bonded).TruncateInt().AddRaw(1)
		require.True(y.t, sum.LTE(most), "%s: %s of %s bonded", id, sum, bonded)
		// Rises are clamped, falls are taken at once.
		want := y.posted[id]
		if before[id].IsPositive() {
			rise := sdkmath.LegacyMaxDec(before[id].MulTruncate(dec("0.1")), sdkmath.LegacySmallestDec())
			want = sdkmath.LegacyMinDec(want, before[id].Add(rise))
		}
		require.Equal(y.t, want.String(), p.Price.String(), id)
	}
	require.True(y.t, all.LTE(dec("0.33").MulInt(bonded).TruncateInt().AddRaw(1)), "%s of %s bonded", all, bonded)
	for i := range y.vals {
		native := y.validator(i).Tokens.Sub(onValidator[i])
		require.True(y.t, onValidator[i].LTE(native.MulRaw(3)), "%d: %s on %s", i, onValidator[i], native)
	}
	return epoch.Planned
}

// leave unstakes everything of a provider from a validator, and requires that it is gone in one epoch, in full.
func (y *year) leave(id string, val int) {
	y.t.Helper()
	y.update(id, map[int]int64{val: 0})
	seq := y.record(id, val).Seq
	y.nextDay()
	require.Equal(y.t, "0", y.virtual(id, val).String(), "%s on %d", id, val)
	require.GreaterOrEqual(y.t, y.record(id, val).ExecutedSeq, seq)
}

// TestMarkToMarketOverAYear lets prices rise and fall in every epoch of a year, now and then to the extremes: caps hold,
// the amounts are worth the stake, and everybody can leave in full at any price.
func TestMarkToMarketOverAYear(t *testing.T) {
	for seed := range int64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			y := newYear(t, seed)
			y.nextDay()
			native, err := y.k.NativeSupply(y.ctx)
			require.NoError(t, err)
			for d := 1; d < 365; d++ {
				for _, id := range y.ids {
					switch y.rand.Intn(40) {
					case 0:
						y.set(id, dec("0.000000000000000001"))
					case 1:
						y.set(id, types.MaxPrice)
					case 2:
						y.move(id, 100) // a fall by 90 %
					case 3, 4:
						y.set(id, dec("1")) // home again
					default:
						y.move(id, 700+y.rand.Int63n(701))
					}
				}
				if y.rand.Intn(20) != 0 {
					y.nextDay()
					continue
				}
				id, val := y.ids[y.rand.Intn(2)], y.rand.Intn(len(y.vals))
				y.leave(id, val)
				y.update(id, map[int]int64{val: y.amounts[id][val]}) // and comes back
			}
			// All leave, at any price.
			y.set(provider1, dec("0.000000000000000001"))
			y.set(provider2, types.MaxPrice)
			for _, id := range y.ids {
				y.update(id, map[int]int64{0: 0, 1: 0, 2: 0, 3: 0})
			}
			y.nextDay()
			sum, err := y.k.SumVirtualSupply(y.ctx)
			require.NoError(t, err)
			require.True(t, sum.Total.IsZero(), "%s", sum.Total)
			after, err := y.k.NativeSupply(y.ctx)
			require.NoError(t, err)
			require.Equal(t, native, after, "prices make no native tokens")
		})
	}
}

// TestThresholdStopsChurn: prices that move by less than the threshold around what was last executed move no stake in a
// year of epochs; without a threshold every epoch does.
func TestThresholdStopsChurn(t *testing.T) {
	run := func(threshold string) uint64 {
		y := newYear(t, 7)
		y.setParams(func(p *types.Params) { p.RebalanceThreshold = dec(threshold) })
		y.nextDay()
		first := y.changes
		require.Positive(t, first)
		for range 364 {
			for _, id := range y.ids {
				y.set(id, dec("1").Add(dec("0.0099").MulInt64(y.rand.Int63n(201)-100).QuoInt64(100)))
			}
			y.nextDay()
		}
		return y.changes - first
	}
	require.Zero(t, run("0.01"))
	require.Greater(t, run("0"), uint64(364*4))
}

// TestMissingPricesOverAYear: a feed that falls silent for longer than a price may be old never raises stake, and what
// is unstaked meanwhile leaves.
func TestMissingPricesOverAYear(t *testing.T) {
	y := newYear(t, 9)
	y.nextDay()
	total := func(id string) sdkmath.Int {
		sum := sdkmath.ZeroInt()
		for i := range y.vals {
			sum = sum.Add(y.virtual(id, i))
		}
		return sum
	}
	for range 12 {
		y.move(provider1, 900+y.rand.Int63n(201))
		y.nextDay()
		for range 14 {
			y.nextDay()
		}
		before := total(provider1)
		for d := range 15 { // older than 14 days
			y.amounts[provider1][0] += 5 // more is staked
			y.update(provider1, map[int]int64{0: y.amounts[provider1][0], 1: int64(60 - d)})
			y.nextDay()
			require.True(t, total(provider1).LTE(before), "day %d: %s, before %s", d, total(provider1), before)
			before = total(provider1)
		}
		y.update(provider1, map[int]int64{1: 60})
	}
	require.False(t, y.price(provider1).MayRise)
}
