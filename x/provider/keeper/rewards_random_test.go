package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestRandomRewards sends rewards, good ones and bad ones, while delegators stake, unstake, redelegate and withdraw, pools
// are slashed, turn into batches and mature. After every action, for each denom:
//
//	sent = withdrawn + what delegators can claim + dust + community pool
//
// and dust is less than one unit for each rounding. What each delegator gets is compared with a ledger kept beside, of
// rational numbers: never more than its share, and less by no more than its roundings.
func TestRandomRewards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { newRewardWorld(t).run(t) })
}

// rewardWorld is a chain with two consumers that send rewards in two denoms.
type rewardWorld struct {
	*testutil.Fixture
	vals      []sdk.ValAddress
	actors    []sdk.AccAddress
	consumers []*testutil.Consumer
	// sent and withdrawn are by consumer and denom, paid by delegator and denom.
	sent map[string]sdkmath.Int
	paid map[string]sdk.Coins
	// fair is what each delegator should have earned, in denoms of this chain, as exact decimals with 36 digits, scaled; and
	// roundings how often it may have lost up to one unit.
	fair      map[string]sdkmath.Int
	roundings map[string]int64
	strangers sdk.Coins
}

const fairScale = 36

func newRewardWorld(t *rapid.T) *rewardWorld {
	f := testutil.New(t)
	w := &rewardWorld{
		Fixture: f, sent: map[string]sdkmath.Int{}, paid: map[string]sdk.Coins{}, fair: map[string]sdkmath.Int{}, roundings: map[string]int64{},
	}
	f.SetParams(func(p *types.Params) {
		p.MaxSettlementSteps = uint32(rapid.SampledFrom([]int{20, 40, 1000}).Draw(t, "steps"))
	})
	w.vals = []sdk.ValAddress{f.Validator(5_000, 1_000), f.Validator(7_000, 1)}
	for range 3 {
		u := f.Account(sdkmath.NewInt(10_000))
		require.NoError(t, f.Delegate(u, w.vals[rapid.IntRange(0, 1).Draw(t, "val")], rapid.Int64Range(1_000, 10_000).Draw(t, "delegate")))
		w.actors = append(w.actors, u)
	}
	f.NextBlock()
	for _, id := range []string{"a", "b"} {
		c := f.Consumer(id, testutil.Rewards)
		c.Bond(2)
		w.consumers = append(w.consumers, c)
	}
	f.Epoch()
	return w
}

// denoms are what the consumers' rewards are called in packets; and here.
var rewardDenoms = map[string]string{
	testutil.RewardDenom: voucher,
	testutil.HomeDenom:   testutil.Denom,
}

// reward sends rewards to some validators of a consumer, and gives each delegator its share in the ledger beside.
func (w *rewardWorld) reward(t *rapid.T, c *testutil.Consumer) {
	denom := rapid.SampledFrom([]string{testutil.RewardDenom, testutil.HomeDenom}).Draw(t, "denom")
	local := rewardDenoms[denom]
	var rewards []meshtypes.Reward
	for n := 1; n <= 2; n++ {
		if rapid.Bool().Draw(t, "rewarded") {
			rewards = append(rewards, testutil.Reward(n, rapid.Int64Range(1, 2_000).Draw(t, "reward")))
		}
	}
	if len(rewards) == 0 {
		return
	}
	p := c.RewardPacket(denom, rewards...)
	switch rapid.IntRange(0, 5).Draw(t, "lie") {
	case 0:
		p.Memo = p.Memo[1:]
	case 1:
		p.Sender = "somebody else"
	default:
		for i, r := range rewards {
			n := 1
			if r.Validator == testutil.OperatorString(2) {
				n = 2
			}
			w.share(c, n, local, rewards[i].Amount)
		}
	}
	amount, ok := sdkmath.NewIntFromString(p.Amount)
	require.True(t, ok)
	before := w.CommunityPool(local)
	require.True(t, w.ReceiveTransfer(p).Success())
	if sum, found := w.sent[c.ClientID+local]; found {
		amount = amount.Add(sum)
	}
	w.sent[c.ClientID+local] = amount
	require.True(t, w.CommunityPool(local).GTE(before))
}

// share gives the members of a validator's active pool their parts of an amount, by shares, exactly.
func (w *rewardWorld) share(c *testutil.Consumer, n int, denom string, amount sdkmath.Int) {
	id, err := w.Provider.ActivePools.Get(w.Ctx, activeKey(c.ClientID, n))
	if err != nil {
		return
	}
	pool, err := w.Provider.Pools.Get(w.Ctx, id)
	require.NoError(w, err)
	for _, u := range w.actors {
		pos, err := w.Provider.Positions.Get(w.Ctx, positionKey(u, id))
		if err != nil {
			continue
		}
		part := amount.Mul(pos.Shares).Mul(sdkmath.NewIntWithDecimal(1, fairScale)).Quo(pool.Shares)
		key := string(u) + denom
		if sum, found := w.fair[key]; found {
			part = part.Add(sum)
		}
		w.fair[key] = part
	}
}

// act lets somebody do something.
func (w *rewardWorld) act(t *rapid.T) {
	pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
	u, c := w.actors[pick("actor", len(w.actors))], w.consumers[pick("consumer", 2)]
	n, amount := 1+pick("validator", 2), rapid.Int64Range(1, 4_000).Draw(t, "amount")
	switch pick("kind", 13) {
	case 0, 1:
		_ = c.Stake(u, n, amount)
	case 2, 3:
		_ = c.Unstake(u, n, amount)
	case 4, 5, 6:
		w.reward(t, c)
	case 7, 8:
		paid, err := c.Withdraw(u, n%2)
		if err != nil {
			require.ErrorIs(t, err, types.ErrNoRewards)
		}
		w.paid[string(u)] = w.paid[string(u)].Add(paid...)
	case 9:
		randomSlash(t, w.Fixture, w.vals)
	case 10:
		// A proof or a tombstone turns the pool into a batch; new stake may begin another pool.
		if pick("convert", 4) == 0 {
			require.NoError(t, w.Provider.ConvertPool(w.Ctx, c.ClientID, testutil.Operator(n)))
		}
	case 11:
		_ = c.Redelegate(u, n, 3-n, amount)
	case 12:
		coin := sdk.NewInt64Coin(rapid.SampledFrom([]string{voucher, "udust"}).Draw(t, "stranger's"), amount)
		mint(t, w.Fixture, types.RewardAccount(c.ClientID), coin)
		w.strangers = w.strangers.Add(coin)
	}
}

// check compares everything that was sent with where it is.
func (w *rewardWorld) check(t *rapid.T) {
	require.NoError(t, w.Provider.CheckInvariants(w.Ctx, keeper.InvariantRewards))
	positions := int64(0)
	require.NoError(t, w.Provider.Positions.Walk(w.Ctx, nil, func(positionKeyType, types.Position) (bool, error) { positions++; return false, nil }))
	for _, denom := range []string{voucher, testutil.Denom} {
		community, sent := w.CommunityPool(denom), sdkmath.ZeroInt()
		withdrawn, claimable, dust, strangers := sdkmath.ZeroInt(), sdkmath.ZeroInt(), sdkmath.ZeroInt(), sdkmath.ZeroInt()
		for _, c := range w.consumers {
			b := c.Book(denom)
			withdrawn, dust, strangers = withdrawn.Add(b.Book.Withdrawn), dust.Add(b.Dust), strangers.Add(w.Bank.GetBalance(w.Ctx, types.RewardAccount(c.ClientID), denom).Amount.Sub(b.Book.Owed()))
			claimable = claimable.Add(b.Claimable)
			if sum, found := w.sent[c.ClientID+denom]; found {
				sent = sent.Add(sum)
			}
		}
		total := withdrawn.Add(claimable).Add(dust).Add(community).Add(strangers)
		require.Equal(t, sent.Add(w.strangers.AmountOf(denom)).String(), total.String(),
			"%s: %s withdrawn, %s claimable, %s dust, %s in the community pool, %s of strangers", denom, withdrawn, claimable, dust, community, strangers)

		// What delegators are told they can claim is that, but for the roundings of their positions.
		told, paid := sdkmath.ZeroInt(), sdkmath.ZeroInt()
		for _, u := range w.actors {
			paid = paid.Add(w.paid[string(u)].AmountOf(denom))
			for _, c := range w.consumers {
				told = told.Add(c.Claimable(u).AmountOf(denom))
			}
		}
		require.Equal(t, withdrawn.String(), paid.String())
		require.True(t, told.LTE(claimable) && claimable.Sub(told).LTE(sdkmath.NewInt(positions)), "%s told, %s claimable, %d positions", told, claimable, positions)
	}
}

// checkFair compares what a delegator got, and can still claim, with its fair share.
func (w *rewardWorld) checkFair(t *rapid.T, actions int64) {
	one := sdkmath.NewIntWithDecimal(1, fairScale)
	for _, u := range w.actors {
		for _, denom := range []string{voucher, testutil.Denom} {
			got := w.paid[string(u)].AmountOf(denom)
			for _, c := range w.consumers {
				got = got.Add(c.Claimable(u).AmountOf(denom))
			}
			fair, found := w.fair[string(u)+denom]
			if !found {
				fair = sdkmath.ZeroInt()
			}
			require.True(t, got.Mul(one).LTE(fair), "%s got, %s is fair", got, fair)
			// Each settlement of one of its positions rounds down once, and each transfer once more.
			require.True(t, got.AddRaw(actions).Mul(one).GTE(fair), "%s got after %d actions, %s is fair", got, actions, fair)
		}
	}
}

func (w *rewardWorld) run(t *rapid.T) {
	reduction := sdk.DefaultPowerReduction
	sdk.DefaultPowerReduction = sdkmath.OneInt()
	defer func() { sdk.DefaultPowerReduction = reduction }()
	actions := int64(0)
	for range rapid.IntRange(3, 25).Draw(t, "blocks") {
		for range rapid.IntRange(1, 4).Draw(t, "actions") {
			w.act(t)
			actions++
			w.check(t)
		}
		switch rapid.IntRange(0, 4).Draw(t, "time") {
		case 0:
			w.Epoch()
		case 1:
			w.NextBlockAfter(time.Duration(rapid.IntRange(1, 9).Draw(t, "days")) * 24 * time.Hour)
		default:
			w.NextBlock()
		}
		w.check(t)
	}
	w.checkFair(t, 20*actions)
	// Everybody withdraws: what is left is dust, and what strangers sent.
	for _, u := range w.actors {
		for _, c := range w.consumers {
			paid, err := c.Withdraw(u, 0)
			if err != nil {
				require.ErrorIs(t, err, types.ErrNoRewards)
			}
			w.paid[string(u)] = w.paid[string(u)].Add(paid...)
			require.True(t, c.Claimable(u).Empty())
		}
	}
	w.check(t)
	w.Epoch()
	w.Blocks(2)
	w.check(t)
	for _, c := range w.consumers {
		for _, coin := range w.Bank.GetAllBalances(w.Ctx, types.RewardAccount(c.ClientID)) {
			b := c.Book(coin.Denom)
			require.Equal(t, b.Book.Owed().String(), coin.Amount.String(), "strangers' money is gone")
			require.True(t, b.Claimable.LT(sdkmath.NewInt(100)))
		}
	}
}
