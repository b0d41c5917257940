package keeper_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// voucher is what the consumer's rewards are called here.
var voucher = testutil.Voucher(testutil.RewardDenom, testutil.RewardChannel)

// rewarding is a consumer with three validators that may send rewards, and two delegators: one has 3,000 on the first
// validator, the other 1,000 there and 500 on the second. Nobody has staked on the third.
func rewarding(tb testutil.TB) (f *testutil.Fixture, c *testutil.Consumer, u, v sdk.AccAddress) {
	tb.Helper()
	f = testutil.New(tb)
	val := f.Validator(1_000_000, 1)
	u, v = f.Delegator(val, 100_000), f.Delegator(val, 100_000)
	c = f.Consumer("a", testutil.Rewards)
	c.Bond(3)
	f.NextBlock()
	require.NoError(tb, c.Stake(u, 1, 3_000))
	require.NoError(tb, c.Stake(v, 1, 1_000))
	require.NoError(tb, c.Stake(v, 2, 500))
	f.NextBlock()
	return f, c, u, v
}

func coins(amount int64) string { return sdk.NewInt64Coin(voucher, amount).String() }

// refusal returns why the last transfer was refused; empty if none was.
func refusal(t *testing.T, f *testutil.Fixture) string {
	t.Helper()
	for _, e := range f.Ctx.EventManager().Events() {
		if e.Type != "mesh.provider.v1.EventRewardsRefused" {
			continue
		}
		msg, err := sdk.ParseTypedEvent(abciEvent(e))
		require.NoError(t, err)
		return msg.(*types.EventRewardsRefused).Reason
	}
	return ""
}

func TestRewardsReachDelegators(t *testing.T) {
	f, c, u, v := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000), testutil.Reward(2, 77))
	require.Empty(t, refusal(t, f))
	require.Equal(t, coins(750), c.Claimable(u).String())
	require.Equal(t, coins(250+77), c.Claimable(v).String())
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))

	paid, err := c.Withdraw(u, 0)
	require.NoError(t, err)
	require.Equal(t, coins(750), paid.String())
	require.Equal(t, coins(750), f.Bank.GetBalance(f.Ctx, u, voucher).String())
	_, err = c.Withdraw(u, 0)
	require.ErrorIs(t, err, types.ErrNoRewards)

	paid, err = c.Withdraw(v, 2)
	require.NoError(t, err)
	require.Equal(t, coins(77), paid.String())
	paid, err = c.Withdraw(v, 1)
	require.NoError(t, err)
	require.Equal(t, coins(250), paid.String())
	b := c.Book(voucher)
	require.Equal(t, "1077", b.Book.Received.String())
	require.Equal(t, "1077", b.Book.Withdrawn.String())
	require.Equal(t, "0", b.Dust.String())
	require.Equal(t, testutil.RewardChannel, b.Book.Channel)
	require.True(t, f.Bank.GetAllBalances(f.Ctx, types.RewardAccount("a")).Empty())
	f.NextBlock()
}

// Rewards in our own token come home as it is called here, those of another denom under their own name.
func TestRewardsInTwoDenoms(t *testing.T) {
	f, c, u, _ := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 400))
	c.Reward(testutil.HomeDenom, testutil.Reward(1, 4_000))
	require.Empty(t, refusal(t, f))
	require.Equal(t, sdk.NewCoins(sdk.NewInt64Coin(voucher, 300), sdk.NewInt64Coin(testutil.Denom, 3_000)).String(), c.Claimable(u).String())
	paid, err := c.Withdraw(u, 1)
	require.NoError(t, err)
	require.Equal(t, sdk.NewCoins(sdk.NewInt64Coin(voucher, 300), sdk.NewInt64Coin(testutil.Denom, 3_000)).String(), paid.String())
	require.Equal(t, "3000", f.Balance(u).String())
	f.NextBlock()
}

// badTransfers are the transfers to a reward account that are refused: the list and more. Each has the error that
// the event names.
func badTransfers(c *testutil.Consumer) []struct {
	name     string
	malleate func(*testutil.TransferPacket)
	expErr   error
} {
	good := c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600), testutil.Reward(2, 400))
	memo := func(s string) func(*testutil.TransferPacket) {
		return func(p *testutil.TransferPacket) { p.Memo = s }
	}
	replace := func(old, with string) func(*testutil.TransferPacket) {
		return memo(strings.Replace(good.Memo, old, with, 1))
	}
	return []struct {
		name     string
		malleate func(*testutil.TransferPacket)
		expErr   error
	}{
		{"sum too large", replace(`"600"`, `"601"`), types.ErrRewardSum},
		{"sum too small", replace(`"600"`, `"599"`), types.ErrRewardSum},
		{"transfer brings more", func(p *testutil.TransferPacket) { p.Amount = "1001" }, types.ErrRewardSum},
		{"sum beyond 2^256", func(p *testutil.TransferPacket) {
			p.Memo = strings.ReplaceAll(p.Memo, `"600"`, `"340282366920938463463374607431768211455"`)
		}, types.ErrRewardSum},
		{"unknown validator", replace(testutil.OperatorString(2), testutil.OperatorString(9)), types.ErrUnknownValidator},
		{"validator of another chain", replace(testutil.OperatorString(2), types.ConsumerConfig{ValidatorPrefix: "othervaloper"}.FormatValidator(testutil.Operator(2))), types.ErrInvalidValidator},
		{"no address", replace(testutil.OperatorString(2), "nobody"), types.ErrInvalidValidator},
		{"validator twice", replace(testutil.OperatorString(2), testutil.OperatorString(1)), meshtypes.ErrMemoValidator},
		{"validator twice, once in capitals", replace(testutil.OperatorString(2), strings.ToUpper(testutil.OperatorString(1))), meshtypes.ErrMemoValidator},
		{"another sender", func(p *testutil.TransferPacket) { p.Sender = "consumer1stranger" }, types.ErrRewardSender},
		{"a sender of a megabyte", func(p *testutil.TransferPacket) { p.Sender = strings.Repeat("x", 1<<20) }, types.ErrRewardSender},
		{"another channel", func(p *testutil.TransferPacket) { p.Channel = "channel-78" }, types.ErrRewardChannel},
		{"an IBC v2 client", func(p *testutil.TransferPacket) { p.Channel = "07-tendermint-3" }, types.ErrRewardChannel},
		{"another denom", func(p *testutil.TransferPacket) { p.Denom = "uother" }, types.ErrRewardDenom},
		{"the denom by another way", func(p *testutil.TransferPacket) { p.Denom = "transfer/channel-9/uconsumer" }, types.ErrRewardDenom},
		{"no memo", memo(""), meshtypes.ErrMemoEncoding},
		{"not JSON", memo("rewards for you"), meshtypes.ErrMemoEncoding},
		{"32 KiB of nesting", memo(strings.Repeat("[", 32_768)), meshtypes.ErrMemoEncoding},
		{"32 KiB of nested objects", memo(`{"mesh_rewards":` + strings.Repeat(`{"a":`, 6_500)), meshtypes.ErrMemoEncoding},
		{"more than 32 KiB", memo(strings.Repeat(" ", 32_768) + "{"), meshtypes.ErrMemoSize},
		{"another's memo", memo(`{"forward":{"receiver":"x","port":"transfer","channel":"channel-1"}}`), meshtypes.ErrMemoEncoding},
		{"something behind", func(p *testutil.TransferPacket) { p.Memo += "x" }, meshtypes.ErrMemoEncoding},
		{"an unknown field", replace(`"amount"`, `"amounts"`), meshtypes.ErrMemoEncoding},
		{"a field twice", replace(`"validator":"`+testutil.OperatorString(1)+`"`, `"amount":"600"`), meshtypes.ErrMemoEncoding},
		{"negative", replace(`"600"`, `"-600"`), meshtypes.ErrMemoAmount},
		{"zero", replace(`"600"`, `"0"`), meshtypes.ErrMemoAmount},
		{"a fraction", replace(`"600"`, `"6e2"`), meshtypes.ErrMemoAmount},
		{"beyond 2^128", replace(`"600"`, `"340282366920938463463374607431768211456"`), meshtypes.ErrMemoAmount},
		{"no entries", memo(`{"mesh_rewards":{"rewards":[]}}`), meshtypes.ErrMemoEntries},
		{"2^128 tokens", func(p *testutil.TransferPacket) { p.Amount = "340282366920938463463374607431768211456" }, types.ErrAmountTooLarge},
		{"2^255 tokens", func(p *testutil.TransferPacket) {
			p.Amount = "57896044618658097711785492504343953926634992332820282019728792003956564819968"
		}, types.ErrAmountTooLarge},
	}
}

// Whatever is wrong with a transfer to a reward account: it is acknowledged, its tokens are in the community pool, and
// nobody can claim anything.
func TestRewardsRefused(t *testing.T) {
	_, c, _, _ := rewarding(t)
	for _, tc := range badTransfers(c) {
		t.Run(tc.name, func(t *testing.T) {
			f, c, u, v := rewarding(t)
			p := c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600), testutil.Reward(2, 400))
			tc.malleate(&p)
			before := f.Store(types.StoreKey)
			require.True(t, f.ReceiveTransfer(p).Success())
			requireRefused(t, f, p, tc.expErr)
			require.Equal(t, before, f.Store(types.StoreKey), "nothing changes")
			require.True(t, c.Claimable(u).Empty() && c.Claimable(v).Empty())
			f.NextBlock()

			// The next one is taken.
			c.Reward(testutil.RewardDenom, testutil.Reward(1, 600), testutil.Reward(2, 400))
			require.Empty(t, refusal(t, f))
			require.Equal(t, coins(450), c.Claimable(u).String())
		})
	}
}

func requireRefused(t *testing.T, f *testutil.Fixture, p testutil.TransferPacket, expErr error) {
	t.Helper()
	_, code, _ := errorsmod.ABCIInfo(expErr, false)
	require.NotZero(t, code)
	require.ErrorContains(t, errors.New(refusal(t, f)), expErr.Error())
	require.Less(t, len(refusal(t, f)), 1_000, "an event of bounded length")
	require.Equal(t, p.Amount, f.CommunityPool(testutil.Voucher(p.Denom, p.Channel)).String())
	require.True(t, f.Bank.GetAllBalances(f.Ctx, types.RewardAccount("a")).Empty())
}

// Each consumer's rewards count only as its own registration says: another's channel and sender, an unregistered one.
func TestRewardsOfConsumersThatSendNone(t *testing.T) {
	for _, tc := range []struct {
		name     string
		malleate func(*types.ConsumerConfig)
		expErr   error
	}{
		{"nothing registered", func(c *types.ConsumerConfig) { c.RewardChannel, c.RewardSender, c.RewardDenoms = "", "", nil }, types.ErrRewardChannel},
		{"no denoms", func(c *types.ConsumerConfig) { c.RewardDenoms = nil }, types.ErrRewardDenom},
		{"other denoms", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{"x"} }, types.ErrRewardDenom},
		{"another channel", func(c *types.ConsumerConfig) { c.RewardChannel = "channel-8" }, types.ErrRewardChannel},
		{"another sender", func(c *types.ConsumerConfig) { c.RewardSender = "x" }, types.ErrRewardSender},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c, u, _ := rewarding(t)
			cfg := c.Status().Config
			tc.malleate(&cfg)
			_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
			require.NoError(t, err)
			p := c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600))
			require.True(t, f.ReceiveTransfer(p).Success())
			requireRefused(t, f, p, tc.expErr)
			require.True(t, c.Claimable(u).Empty())
			f.NextBlock()
		})
	}
}

// A consumer's packet to another consumer's account is a stranger's.
func TestRewardsToAnotherConsumersAccount(t *testing.T) {
	f, a, u, _ := rewarding(t)
	b := f.Consumer("b", func(c *types.ConsumerConfig) {
		testutil.Rewards(c)
		c.RewardChannel = "channel-99"
	})
	b.Bond(1)
	require.NoError(t, b.Stake(u, 1, 100))
	p := a.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600))
	p.Receiver = types.RewardAccount("b").String()
	require.True(t, f.ReceiveTransfer(p).Success())
	requireRefused(t, f, p, types.ErrRewardChannel)
	require.True(t, b.Claimable(u).Empty() && a.Claimable(u).Empty())
	f.NextBlock()
}

func TestRewardsForAnEmptyPool(t *testing.T) {
	f, c, u, v := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(3, 900))
	require.Empty(t, refusal(t, f))
	require.Equal(t, "900", f.CommunityPool(voucher).String())
	require.True(t, c.Claimable(u).Empty() && c.Claimable(v).Empty())

	// The others of the same transfer get theirs.
	c.Reward(testutil.RewardDenom, testutil.Reward(3, 100), testutil.Reward(1, 40))
	require.Equal(t, "1000", f.CommunityPool(voucher).String())
	require.Equal(t, coins(30), c.Claimable(u).String())
	require.Equal(t, coins(10), c.Claimable(v).String())

	// A pool that everybody has left is none.
	require.NoError(t, c.Unstake(u, 1, 3_000))
	require.NoError(t, c.Unstake(v, 1, 1_000))
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 5))
	require.Equal(t, "1005", f.CommunityPool(voucher).String())
	b := c.Book(voucher)
	require.Equal(t, []string{"1045", "1005", "40"}, []string{b.Book.Received.String(), b.Book.Community.String(), b.Claimable.String()})
	f.NextBlock()
}

// What ICS-20 does not credit, or credits to anybody else, is not looked at, and the acknowledgement is its own.
func TestOrdinaryTransfers(t *testing.T) {
	f, c, u, _ := rewarding(t)
	before := f.Store(types.StoreKey)
	p := c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600))
	p.Receiver = u.String()
	require.True(t, f.ReceiveTransfer(p).Success())
	require.Equal(t, "600", f.Bank.GetBalance(f.Ctx, u, voucher).Amount.String())

	p.Receiver = "nobody"
	require.False(t, f.ReceiveTransfer(p).Success())

	p = c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600))
	failed := channeltypes.NewErrorAcknowledgement(errors.New("refused"))
	f.ICS20.Ack = func() exported.Acknowledgement { return failed }
	require.Equal(t, failed, f.ReceiveTransfer(p))
	f.ICS20.Ack = func() exported.Acknowledgement { return nil }
	require.Nil(t, f.ReceiveTransfer(p))
	// Another middleware has taken the tokens away: nobody is promised what is not there.
	f.ICS20.Ack = func() exported.Acknowledgement { return channeltypes.NewResultAcknowledgement([]byte{1}) }
	require.True(t, f.ReceiveTransfer(p).Success())
	require.Contains(t, refusal(t, f), types.ErrRewardBalance.Error())
	require.Equal(t, before, f.Store(types.StoreKey))
	require.True(t, f.CommunityPool(voucher).IsZero())
	f.NextBlock()
}

// A relayer that gives too little gas does not make rewards a stranger's: its transaction fails.
func TestRewardsOutOfGas(t *testing.T) {
	f, c, u, _ := rewarding(t)
	p := c.RewardPacket(testutil.RewardDenom, testutil.Reward(1, 600))
	ctx, taken := f.Ctx, false
	for gas := uint64(200_000); gas < 2_000_000 && !taken; gas += 1_000 {
		f.Ctx = ctx.WithGasMeter(storetypes.NewGasMeter(gas))
		func() {
			defer func() {
				if r := recover(); r != nil {
					require.IsType(t, storetypes.ErrorOutOfGas{}, r)
				}
			}()
			taken = f.ReceiveTransfer(p).Success()
		}()
		f.Ctx = ctx
	}
	require.True(t, taken)
	require.True(t, f.CommunityPool(voucher).IsZero())
	require.Equal(t, coins(450), c.Claimable(u).String())
}

// Without a community pool what is refused stays in the account; nobody can claim it.
func TestRewardsWithoutCommunityPool(t *testing.T) {
	f, c, u, _ := rewarding(t)
	f.Provider.ConnectDistribution(nil)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 40), testutil.Reward(3, 100))
	p := c.RewardPacket(testutil.RewardDenom, testutil.Reward(9, 7))
	require.True(t, f.ReceiveTransfer(p).Success())
	require.Equal(t, coins(30), c.Claimable(u).String())
	b := c.Book(voucher)
	require.Equal(t, []string{"147", "107"}, []string{b.Balance.String(), b.Strangers.String()})
	f.Epoch()

	f.Provider.ConnectDistribution(f.Distr)
	f.Epoch()
	f.NextBlock()
	b = c.Book(voucher)
	require.Equal(t, []string{"40", "0"}, []string{b.Balance.String(), b.Strangers.String()})
	require.Equal(t, "107", f.CommunityPool(voucher).String())
}

// A position earns from its first block to its last, with the shares it had, whatever happens to the pool.
func TestRewardsFollowShares(t *testing.T) {
	f, c, u, v := rewarding(t)
	reward := func() { c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000)) }
	reward() // u 750, v 250
	w := f.Delegator(f.Validator(10_000, 1), 100_000)
	require.NoError(t, c.Stake(w, 1, 4_000))
	require.True(t, c.Claimable(w).Empty(), "what came before is not for it")
	reward() // u 375, v 125, w 500
	require.NoError(t, c.Unstake(u, 1, 2_000))
	require.Equal(t, coins(1_125), c.Claimable(u).String(), "settled, not lost")
	reward() // of 6,000 shares: u 166.67, v 166.67, w 666.67
	require.Equal(t, coins(1_291), c.Claimable(u).String())
	require.Equal(t, coins(541), c.Claimable(v).String())
	require.Equal(t, coins(1_166), c.Claimable(w).String())
	f.NextBlock()

	// More stake: what was earned stays, and the rest counts from now.
	require.NoError(t, c.Stake(v, 1, 2_000))
	require.Equal(t, coins(541), c.Claimable(v).String())
	reward() // of 8,000: u 125, v 375, w 500
	require.Equal(t, coins(916), c.Claimable(v).String())

	// All of it leaves; what it earned can still be taken, also when the claim has long been released.
	require.NoError(t, c.Unstake(u, 1, 1_000))
	require.Equal(t, coins(1_416), c.Claimable(u).String())
	f.Epoch()
	f.Skip(30 * 24 * 3600e9)
	paid, err := c.Withdraw(u, 1)
	require.NoError(t, err)
	require.Equal(t, coins(1_416), paid.String())
	for _, a := range []sdk.AccAddress{v, w} {
		_, err := c.Withdraw(a, 0)
		require.NoError(t, err)
	}
	b := c.Book(voucher)
	require.Equal(t, "0", b.Claimable.String())
	require.Equal(t, b.Book.Received.Sub(b.Book.Withdrawn).String(), b.Dust.String())
	require.Equal(t, b.Dust.String(), b.Balance.String())
	require.True(t, b.Dust.LTE(sdkmath.NewInt(4)), b.Dust.String())
}

// A slash takes tokens, not shares: it takes no rewards.
func TestRewardsSurviveSlashes(t *testing.T) {
	f, c, u, v := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000))
	slashOnly(t, f, c, 1, "0.09")
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000))
	f.NextBlock()
	require.Equal(t, coins(1_500), c.Claimable(u).String())
	require.Equal(t, coins(500), c.Claimable(v).String())
}

// A pool that turns into a batch keeps what it earned; its members earn nothing more, and what comes later for the
// validator goes to the community pool.
func TestRewardsOfAConvertedPool(t *testing.T) {
	f, c, u, v := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000), testutil.Reward(2, 10))
	_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: "a"})
	require.NoError(t, err)
	f.NextBlock()
	require.Equal(t, coins(750), c.Claimable(u).String())
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000))
	require.Equal(t, "1000", f.CommunityPool(voucher).String())
	paid, err := c.Withdraw(v, 1)
	require.NoError(t, err)
	require.Equal(t, coins(250), paid.String())

	f.Skip(40 * 24 * 3600e9)
	require.Equal(t, types.CONSUMER_STATUS_REMOVED, c.Status().Status)
	require.Equal(t, coins(750), c.Claimable(u).String())
	for _, tc := range []struct {
		who  sdk.AccAddress
		want int64
	}{{u, 750}, {v, 10}} {
		paid, err := c.Withdraw(tc.who, 0)
		require.NoError(t, err)
		require.Equal(t, coins(tc.want), paid.String())
	}
	require.Equal(t, "0", c.Book(voucher).Dust.String())
	// Rewards that were under way are not lost either.
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 5))
	require.Equal(t, "1005", f.CommunityPool(voucher).String())
	f.NextBlock()
}

func TestWithdrawRewardsErrors(t *testing.T) {
	f, c, u, _ := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000))
	stranger := f.Account(sdkmath.NewInt(1))
	for _, tc := range []struct {
		name     string
		malleate func(*types.MsgWithdrawRewards)
		expErr   error
	}{
		{"delegator", func(m *types.MsgWithdrawRewards) { m.Delegator = "x" }, types.ErrInvalidAddress},
		{"unknown consumer", func(m *types.MsgWithdrawRewards) { m.ConsumerId = "z" }, types.ErrUnknownConsumer},
		{"no consumer", func(m *types.MsgWithdrawRewards) { m.ConsumerId = "" }, types.ErrUnknownConsumer},
		{"validator", func(m *types.MsgWithdrawRewards) { m.Validator = "x" }, types.ErrInvalidValidator},
		{"validator without rewards", func(m *types.MsgWithdrawRewards) { m.Validator = testutil.OperatorString(2) }, types.ErrNoRewards},
		{"nobody", func(m *types.MsgWithdrawRewards) { m.Delegator = stranger.String() }, types.ErrNoRewards},
		{"receiver with a space", func(m *types.MsgWithdrawRewards) { m.Receiver = "a b" }, types.ErrInvalidReceiver},
		{"receiver too long", func(m *types.MsgWithdrawRewards) { m.Receiver = strings.Repeat("a", 257) }, types.ErrInvalidReceiver},
		{"transfer fails", func(m *types.MsgWithdrawRewards) { m.Receiver = "consumer1me" }, types.ErrRewardTransfer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.ICS20.SendError = channeltypes.ErrChannelNotFound
			msg := &types.MsgWithdrawRewards{Delegator: u.String(), ConsumerId: "a"}
			tc.malleate(msg)
			before, balances := f.Store(types.StoreKey), f.Store("bank")
			require.ErrorIs(t, f.Try(func(ctx sdk.Context) error {
				_, err := f.Msgs.WithdrawRewards(ctx, msg)
				return err
			}), tc.expErr)
			require.Equal(t, before, f.Store(types.StoreKey))
			require.Equal(t, balances, f.Store("bank"))
		})
	}
	f.Provider.ConnectTransfer(nil)
	_, err := f.Msgs.WithdrawRewards(f.Ctx, &types.MsgWithdrawRewards{Delegator: u.String(), ConsumerId: "a", Receiver: "consumer1me"})
	require.ErrorIs(t, err, types.ErrRewardTransfer)
}

// Rewards can go straight home, each denom over the channel it came by.
func TestWithdrawRewardsHome(t *testing.T) {
	f, c, u, _ := rewarding(t)
	f.IBC.Channels[testutil.RewardChannel] = channeltypes.Channel{State: channeltypes.OPEN}
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 400))
	c.Reward(testutil.HomeDenom, testutil.Reward(1, 4_000))
	res, err := f.Msgs.WithdrawRewards(f.Ctx, &types.MsgWithdrawRewards{Delegator: u.String(), ConsumerId: "a", Receiver: "consumer1me"})
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 2}, res.Sequences)
	require.Len(t, f.ICS20.Sent, 2)
	for i, coin := range res.Amount {
		m := f.ICS20.Sent[i]
		require.Equal(t, []string{"transfer", testutil.RewardChannel, coin.String(), u.String(), "consumer1me", ""},
			[]string{m.SourcePort, m.SourceChannel, m.Token.String(), m.Sender, m.Receiver, m.Memo})
		require.Equal(t, uint64(f.Ctx.BlockTime().Add(24*3600e9).UnixNano()), m.TimeoutTimestamp)
	}
	require.Equal(t, res.Amount.String(), f.Bank.GetAllBalances(f.Ctx, testutil.Escrow).String())
	require.True(t, f.Bank.GetBalance(f.Ctx, u, voucher).IsZero())

	// Over IBC v2, where there is no channel of that name, timeouts are seconds.
	delete(f.IBC.Channels, testutil.RewardChannel)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 400))
	_, err = f.Msgs.WithdrawRewards(f.Ctx, &types.MsgWithdrawRewards{Delegator: u.String(), ConsumerId: "a", Receiver: "consumer1me"})
	require.NoError(t, err)
	require.Equal(t, uint64(f.Ctx.BlockTime().Add(24*3600e9).Unix()), f.ICS20.Sent[2].TimeoutTimestamp)
	f.NextBlock()
}

// What strangers send to the account goes to the community pool after the epoch, a bounded number of balances a block; what
// delegators have earned stays. A thousand denoms do no harm.
func TestStrangersMoneyIsSwept(t *testing.T) {
	f, c, u, _ := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 400))
	account := types.RewardAccount("a")
	const denoms = 105
	for i := range denoms {
		mint(t, f, account, sdk.NewInt64Coin(fmt.Sprintf("dust%03d", i), 3))
	}
	mint(t, f, account, sdk.NewInt64Coin(voucher, 11))
	require.Equal(t, "11", c.Book(voucher).Strangers.String())
	f.Epoch()
	left := len(f.Bank.GetAllBalances(f.Ctx, account))
	for blocks := 0; left > 1; blocks++ {
		require.Less(t, blocks, 10)
		f.NextBlock()
		now := len(f.Bank.GetAllBalances(f.Ctx, account))
		require.LessOrEqual(t, left-now, 20, "bounded work per block")
		left = now
	}
	f.Blocks(3)
	require.Equal(t, coins(400), f.Bank.GetAllBalances(f.Ctx, account).String())
	require.Equal(t, "11", f.CommunityPool(voucher).String())
	for i := range denoms {
		require.Equal(t, "3", f.CommunityPool(fmt.Sprintf("dust%03d", i)).String())
	}
	require.Equal(t, coins(300), c.Claimable(u).String())
	running, err := f.Provider.RewardSweep.Has(f.Ctx)
	require.NoError(t, err)
	require.False(t, running)
}

// A denom that cannot be moved does not keep the others in the account.
func TestSweepPassesOverWhatCannotBeMoved(t *testing.T) {
	f, c, _, _ := rewarding(t)
	mint(t, f, types.RewardAccount("a"), sdk.NewInt64Coin("bad", 5))
	mint(t, f, types.RewardAccount("a"), sdk.NewInt64Coin("good", 5))
	f.Provider.ConnectDistribution(pickyDistribution{f, "bad"})
	f.Epoch()
	f.Blocks(2)
	require.Equal(t, "5", f.CommunityPool("good").String())
	require.Equal(t, "5bad", f.Bank.GetAllBalances(f.Ctx, types.RewardAccount("a")).String())
	require.Equal(t, "0", c.Book("bad").Balance.String(), "it is in no book")
}

// Numbers at their bounds: what a pool cannot take goes to the community pool, and nothing panics.
func TestRewardBounds(t *testing.T) {
	max128 := types.MaxAmount().SubRaw(1)
	one := meshtypes.Reward{Validator: testutil.OperatorString(1), Amount: max128}

	t.Run("index", func(t *testing.T) {
		f := testutil.New(t)
		u := f.Delegator(f.Validator(1_000, 1), 1_000)
		c := f.Consumer("a", testutil.Rewards)
		c.Bond(1)
		require.NoError(t, c.Stake(u, 1, 1)) // one share: each transfer raises the index by 2^128·10^36, about 2^248
		c.Reward(testutil.RewardDenom, one)
		require.Equal(t, max128.String(), f.CommunityPool(voucher).String())
		c.Reward(testutil.RewardDenom, testutil.Reward(1, 7))
		require.Equal(t, coins(7), c.Claimable(u).String())
		f.NextBlock()
	})
	t.Run("less than a step", func(t *testing.T) {
		p := types.NewPool("a", testutil.Operator(1), sdkmath.LegacyOneDec())
		p.Mint(max128, max128)
		_, taken := p.Reward("x", sdkmath.OneInt())
		require.False(t, taken)
		require.Empty(t, p.Rewards)
		scaled, taken := p.Reward("x", max128)
		require.True(t, taken)
		require.Equal(t, types.Scale().String(), p.Rewards[0].Index.String())
		require.Equal(t, max128.Mul(types.Scale()).String(), scaled.String())
	})
	t.Run("unsettled", func(t *testing.T) {
		b := types.NewRewardBook()
		most := sdkmath.NewIntWithDecimal(1, 74) // about 2^246
		n := 0
		for ok := true; ok; n++ {
			b, ok = b.AddUnsettled(most)
		}
		require.Equal(t, 19, n, "18 fit 2^250")
		require.Equal(t, most.MulRaw(18).String(), b.Unsettled.String())
	})
	t.Run("denoms", func(t *testing.T) {
		f, c, u, _ := rewarding(t)
		cfg := c.Status().Config
		for i := range 10 {
			denom := fmt.Sprintf("denom%d", i)
			cfg.RewardDenoms = []string{denom}
			_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
			require.NoError(t, err)
			c.Reward(denom, testutil.Reward(1, 400))
			want := "0"
			if i >= types.MaxPoolDenoms {
				want = "400"
			}
			require.Equal(t, want, f.CommunityPool(testutil.Voucher(denom, testutil.RewardChannel)).String(), denom)
		}
		require.Len(t, c.Claimable(u), types.MaxPoolDenoms)
		paid, err := c.Withdraw(u, 0)
		require.NoError(t, err)
		require.Len(t, paid, types.MaxPoolDenoms)
		for _, coin := range paid {
			require.Equal(t, "300", coin.Amount.String())
		}
		f.NextBlock()
	})
}

// A delegator whose settled rewards are more records than one message pays gets them by several.
func TestWithdrawManyRecords(t *testing.T) {
	f, c, u, _ := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 400))
	const records = types.MaxAccruedPerMsg + 5
	sum := sdkmath.ZeroInt()
	for i := range records {
		require.NoError(t, f.Provider.Accrued.Set(f.Ctx, accruedAt(u, "a", testutil.Operator(100+i), voucher), sdkmath.NewInt(2)))
		sum = sum.AddRaw(2)
	}
	mint(t, f, types.RewardAccount("a"), sdk.NewCoin(voucher, sum))
	b, err := f.Provider.RewardBooks.Get(f.Ctx, bookAt("a", voucher))
	require.NoError(t, err)
	b.Received, b.Accrued = b.Received.Add(sum), b.Accrued.Add(sum)
	require.NoError(t, f.Provider.RewardBooks.Set(f.Ctx, bookAt("a", voucher), b))
	f.NextBlock()
	paid, err := c.Withdraw(u, 0)
	require.NoError(t, err)
	require.Equal(t, coins(300+2*types.MaxAccruedPerMsg), paid.String())
	paid, err = c.Withdraw(u, 0)
	require.NoError(t, err)
	require.Equal(t, coins(10), paid.String())
	f.NextBlock()
}

func TestRewardQueries(t *testing.T) {
	f, c, u, v := rewarding(t)
	info, err := f.Queries.Consumer(f.Ctx, &types.QueryConsumerRequest{ConsumerId: "a"})
	require.NoError(t, err)
	require.Equal(t, types.RewardAccount("a").String(), info.Info.RewardAccount)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_001), testutil.Reward(2, 77))
	c.Reward(testutil.HomeDenom, testutil.Reward(1, 8))

	res, err := f.Queries.Rewards(f.Ctx, &types.QueryRewardsRequest{Delegator: v.String()})
	require.NoError(t, err)
	require.Len(t, res.Rewards, 2)
	require.Equal(t, testutil.OperatorString(1), res.Rewards[0].Operator)
	require.Equal(t, sdk.NewCoins(sdk.NewInt64Coin(voucher, 250), sdk.NewInt64Coin("stake", 2)).String(), res.Rewards[0].Amount.String())
	require.Equal(t, coins(77), res.Rewards[1].Amount.String())
	total := res.Total
	require.Equal(t, sdk.NewCoins(sdk.NewInt64Coin(voucher, 327), sdk.NewInt64Coin("stake", 2)).String(), total.String())

	// By pages.
	var paged []types.RewardInfo
	page := &query.PageRequest{Limit: 1, CountTotal: true}
	for {
		r, err := f.Queries.Rewards(f.Ctx, &types.QueryRewardsRequest{Delegator: v.String(), ConsumerId: "a", Pagination: page})
		require.NoError(t, err)
		require.Equal(t, total.String(), r.Total.String())
		require.LessOrEqual(t, len(r.Rewards), 1)
		paged = append(paged, r.Rewards...)
		if len(r.Pagination.NextKey) == 0 {
			break
		}
		page = &query.PageRequest{Limit: 1, Key: r.Pagination.NextKey}
	}
	require.Equal(t, res.Rewards, paged)
	for _, bad := range []*types.QueryRewardsRequest{
		nil,
		{Delegator: "x"},
		{Delegator: v.String(), ConsumerId: "z"},
		{Delegator: v.String(), Pagination: &query.PageRequest{Key: []byte("foreign")}},
	} {
		_, err := f.Queries.Rewards(f.Ctx, bad)
		require.Error(t, err)
	}
	far, err := f.Queries.Rewards(f.Ctx, &types.QueryRewardsRequest{Delegator: v.String(), Pagination: &query.PageRequest{Offset: 1 << 63, Limit: 1 << 63}})
	require.NoError(t, err)
	require.Empty(t, far.Rewards)

	books, err := f.Queries.ConsumerRewards(f.Ctx, &types.QueryConsumerRewardsRequest{ConsumerId: "a"})
	require.NoError(t, err)
	require.Len(t, books.Rewards, 2)
	require.Equal(t, types.RewardAccount("a").String(), books.RewardAccount)
	b := c.Book(voucher)
	require.Equal(t, []string{"1078", "1078", "0", "1078", "0"},
		[]string{b.Book.Received.String(), b.Claimable.String(), b.Dust.String(), b.Balance.String(), b.Strangers.String()})
	_, err = c.Withdraw(u, 0)
	require.NoError(t, err)
	_, err = c.Withdraw(v, 0)
	require.NoError(t, err)
	require.Equal(t, "1", c.Book(voucher).Dust.String(), "750.75 and 250.25 were rounded down")
	for _, bad := range []*types.QueryConsumerRewardsRequest{nil, {ConsumerId: "z"}} {
		_, err := f.Queries.ConsumerRewards(f.Ctx, bad)
		require.Error(t, err)
	}
}

func TestRewardConfig(t *testing.T) {
	for _, tc := range []struct {
		name     string
		malleate func(*types.ConsumerConfig)
		ok       bool
	}{
		{"all", func(*types.ConsumerConfig) {}, true},
		{"no denoms", func(c *types.ConsumerConfig) { c.RewardDenoms = nil }, true},
		{"none", func(c *types.ConsumerConfig) { c.RewardDenoms, c.RewardChannel, c.RewardSender = nil, "", "" }, true},
		{"four denoms", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{"a", "b", "c", "d"} }, true},
		{"an IBC v2 client", func(c *types.ConsumerConfig) { c.RewardChannel = "07-tendermint-3" }, true},
		{"five denoms", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{"a", "b", "c", "d", "e"} }, false},
		{"a denom twice", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{"a", "a"} }, false},
		{"an empty denom", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{""} }, false},
		{"a long denom", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{strings.Repeat("a", 257)} }, false},
		{"a denom with a space", func(c *types.ConsumerConfig) { c.RewardDenoms = []string{"a b"} }, false},
		{"channel without sender", func(c *types.ConsumerConfig) { c.RewardSender = "" }, false},
		{"sender without channel", func(c *types.ConsumerConfig) { c.RewardChannel = "" }, false},
		{"denoms without channel", func(c *types.ConsumerConfig) { c.RewardChannel, c.RewardSender = "", "" }, false},
		{"a long channel", func(c *types.ConsumerConfig) { c.RewardChannel = strings.Repeat("a", 65) }, false},
		{"a long sender", func(c *types.ConsumerConfig) { c.RewardSender = strings.Repeat("a", 129) }, false},
		{"a sender with a control character", func(c *types.ConsumerConfig) { c.RewardSender = "a\x00" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c, _, _ := rewarding(t)
			f.IBC.AddCounterparty("07-tendermint-3", "07-tendermint-44")
			cfg := c.Status().Config
			tc.malleate(&cfg)
			before := f.Store(types.StoreKey)
			_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
			if tc.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, types.ErrInvalidConfig)
			require.Equal(t, before, f.Store(types.StoreKey))
		})
	}
}

// Export and import keep everything with rewards in every state; what does not add up is refused.
func TestRewardGenesis(t *testing.T) {
	f, c, u, v := rewarding(t)
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_001), testutil.Reward(2, 77), testutil.Reward(3, 5))
	c.Reward(testutil.HomeDenom, testutil.Reward(1, 9))
	_, err := c.Withdraw(v, 2)
	require.NoError(t, err)
	require.NoError(t, c.Unstake(u, 1, 1_000))
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 500))
	for i := range 30 {
		mint(t, f, types.RewardAccount("a"), sdk.NewInt64Coin(fmt.Sprintf("dust%03d", i), 3))
	}
	f.Epoch()
	f.NextBlock()
	g, err := f.Provider.ExportGenesis(f.Ctx)
	require.NoError(t, err)
	require.NotNil(t, g.RewardSweep)
	require.NotEmpty(t, g.RewardSweep.Key, "in the middle of an account")
	require.Len(t, g.RewardBooks, 2)
	require.Len(t, g.Accrued, 2)
	claims := []string{c.Claimable(u).String(), c.Claimable(v).String()}
	before := f.Store(types.StoreKey)
	f.Clear(types.StoreKey)
	require.NoError(t, f.Provider.InitGenesis(f.Ctx, *g))
	require.Equal(t, before, f.Store(types.StoreKey))
	require.Equal(t, claims, []string{c.Claimable(u).String(), c.Claimable(v).String()})
	f.Blocks(3)
	require.Len(t, f.Bank.GetAllBalances(f.Ctx, types.RewardAccount("a")), 2)

	for _, tc := range []struct {
		name     string
		malleate func(*types.GenesisState)
	}{
		{"accrued of another consumer", func(g *types.GenesisState) { g.Accrued[0].ClientId = "z" }},
		{"accrued nothing", func(g *types.GenesisState) { g.Accrued[0].Amount = sdkmath.ZeroInt() }},
		{"accrued more than the book says", func(g *types.GenesisState) { g.Accrued[0].Amount = g.Accrued[0].Amount.AddRaw(1) }},
		{"accrued twice", func(g *types.GenesisState) { g.Accrued = append(g.Accrued, g.Accrued[1]) }},
		{"accrued out of order", func(g *types.GenesisState) { g.Accrued[0], g.Accrued[1] = g.Accrued[1], g.Accrued[0] }},
		{"accrued by nobody", func(g *types.GenesisState) { g.Accrued[0].Delegator = nil }},
		{"book twice", func(g *types.GenesisState) { g.RewardBooks = append(g.RewardBooks, g.RewardBooks[1]) }},
		{"book of another consumer", func(g *types.GenesisState) { g.RewardBooks[0].ClientId = "z" }},
		{"no book", func(g *types.GenesisState) { g.RewardBooks = g.RewardBooks[1:] }},
		{"book with a missing number", func(g *types.GenesisState) { g.RewardBooks[0].Book.Received = sdkmath.Int{} }},
		{"book with a negative number", func(g *types.GenesisState) { g.RewardBooks[0].Book.Withdrawn = sdkmath.NewInt(-1) }},
		{"withdrawn more than there was", func(g *types.GenesisState) { g.RewardBooks[0].Book.Withdrawn = sdkmath.NewInt(1_500) }},
		{"pool with a denom twice", func(g *types.GenesisState) {
			p := &g.Pools[0].Pool
			p.Rewards = append(p.Rewards, p.Rewards[0])
		}},
		{"pool with nine denoms", func(g *types.GenesisState) {
			for i := range 8 {
				g.Pools[0].Pool.Rewards = append(g.Pools[0].Pool.Rewards, types.PoolReward{Denom: fmt.Sprintf("denom%d", i), Index: sdkmath.OneInt()})
			}
		}},
		{"pool with an index of nothing", func(g *types.GenesisState) { g.Pools[0].Pool.Rewards[0].Index = sdkmath.Int{} }},
		{"pool with an absurd index", func(g *types.GenesisState) { g.Pools[0].Pool.Rewards[0].Index = sdkmath.NewIntWithDecimal(1, 76) }},
		{"position settled in the future", func(g *types.GenesisState) {
			g.Positions[0].Position.RewardIndices = []sdkmath.Int{g.Pools[0].Pool.Rewards[0].Index.AddRaw(1)}
		}},
		{"position settled in unknown denoms", func(g *types.GenesisState) {
			g.Positions[0].Position.RewardIndices = make([]sdkmath.Int, 3)
		}},
		{"position without a snapshot", func(g *types.GenesisState) { g.Positions[0].Position.RewardIndices = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad, err := f.Provider.ExportGenesis(f.Ctx)
			require.NoError(t, err)
			require.NotEmpty(t, bad.Positions[0].Position.RewardIndices)
			require.Equal(t, bad.Pools[0].Id, bad.Positions[0].PoolId)
			tc.malleate(bad)
			require.ErrorIs(t, bad.Validate(), types.ErrInvalidGenesis)
		})
	}
}
