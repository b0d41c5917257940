package integration_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// TestHostileDelegator: every order of what a delegator can do, in one transaction, over blocks and over epochs, by every kind of
// account and through grants. It gets nothing that is not its own, nothing that backs a lien leaves, and in the end it has
// exactly what it had, less what was slashed.
func TestHostileDelegator(t *testing.T) {
	t.Run("orders", hostileOrders)
	t.Run("hands", hostileHands)
	t.Run("vesting", hostileVesting)
}

// permutations returns all orders of the numbers below n.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			out = append(out, append(append(append([]int{}, p[:i]...), n-1), p[i:]...))
		}
	}
	return out
}

// ordersEach is how many orders each delegator plays, in each of three ways.
const ordersEach = 3

func hostileOrders(t *testing.T) {
	orders := permutations(5)
	cfg := meshtest.ChainConfig{Delegators: []meshtest.Delegator{{Name: "dave", Stakes: []int64{0, 0, 0, 20 * one}}}}
	names := make([]string, len(orders)/ordersEach)
	for i := range names {
		names[i] = fmt.Sprintf("mallory%d", i)
		cfg.Delegators = append(cfg.Delegators, meshtest.Delegator{Name: names[i], Stakes: []int64{10 * one, 10 * one}})
	}
	n, p := pairOf(t, still(cfg), still(meshtest.ChainConfig{Validators: []int64{300 * one, 300 * one, 300 * one, 300 * one}}))
	prov := p.Provider
	everybody := append([]string{"dave"}, names...)
	books := newLedger(t, prov, everybody...)

	// With a position and an entry everywhere, everything can be done in any order.
	const unit = one / 10
	var entry *meshtest.Tx
	for _, name := range names {
		entry = prov.Account(name).Queue(
			p.MsgCrossStake(name, val(p, 0), one), p.MsgCrossStake(name, val(p, 1), 3*one), p.MsgCrossStake(name, val(p, 2), one),
			prov.MsgUndelegate(name, nat(p, 0), one), prov.MsgUndelegate(name, nat(p, 1), one),
		)
	}
	p.CrossStake("dave", val(p, 3), 20*one)
	settle(n, p)
	require.NoError(t, entry.Err())
	do := func(name string, what, round int, home, there *meshtest.Validator) sdk.Msg {
		switch what {
		case 0:
			return p.MsgCrossStake(name, there, 2*unit)
		case 1:
			return p.MsgCrossUnstake(name, there, unit)
		case 2:
			return prov.MsgUndelegate(name, home, unit)
		case 3:
			if round%2 == 0 {
				return prov.MsgRedelegate(name, home, nat(p, 3), unit)
			}
			return p.MsgCrossRedelegate(name, there, val(p, 3), unit/2)
		default:
			return prov.MsgCancelUnbonding(name, home, entry.Height, unit/2)
		}
	}
	var txs []*meshtest.Tx
	done := func() {
		t.Helper()
		for _, tx := range txs {
			require.NoError(t, tx.Err(), "%s: %T", tx.Signer.Name, tx.Msgs)
		}
		books.requireNothingLost()
		txs = nil
	}
	// In one transaction, over blocks, over epochs in which packets cross.
	for k := range ordersEach {
		for i, name := range names {
			msgs := make([]sdk.Msg, 0, 5)
			for _, what := range orders[i*ordersEach+k] {
				msgs = append(msgs, do(name, what, i+k, nat(p, 0), val(p, 0)))
			}
			txs = append(txs, prov.Account(name).Queue(msgs...))
		}
		n.Step()
	}
	done()
	for way, wait := range []time.Duration{n.BlockTime, epoch} {
		for k := range ordersEach {
			for step := range 5 {
				for i, name := range names {
					msg := do(name, orders[i*ordersEach+k][step], i+k, nat(p, 1-way), val(p, 1+way))
					txs = append(txs, prov.Account(name).Queue(msg))
				}
				n.Advance(wait)
			}
		}
		done()
	}

	// Longer ones at random, of amounts that may be too much; a double sign of what most have staked to, in their middle.
	n.Step()
	infraction := p.Consumer.Height()
	settle(n, p)
	pool := amountOf(t, totalOf(t, p, val(p, 1)))
	require.True(t, pool.IsPositive())
	p.SkipBacking = true // collateral is lost
	for i := range 20 {
		for _, name := range names {
			if n.Rand.Intn(3) > 0 {
				continue
			}
			msgs := make([]sdk.Msg, 0, 4)
			for range 1 + n.Rand.Intn(4) {
				msgs = append(msgs, randomMove(n, p, name))
			}
			prov.Account(name).Queue(msgs...)
		}
		if i == 8 {
			prov.Account("dave").Queue(p.MsgSubmitDoubleVote("dave", val(p, 1), infraction))
		}
		n.Step()
	}
	goHome(t, n, 2*u+2*round, prov, []*meshtest.Pairing{p}, everybody...)

	lost, totals := sdkmath.ZeroInt(), prov.ProviderState().Totals
	for _, name := range names {
		l := books.lost(name)
		require.False(t, l.IsNegative(), "%s gained %s", name, l)
		lost = lost.Add(l)
	}
	reward := books.lost("dave").Neg() // who brought the proof
	require.True(t, totals.Shortfall.IsZero() && totals.Debt.IsZero(), "%v", totals)
	require.Equal(t, totals.Burned.String(), lost.String())
	require.Equal(t, totals.Rewarded.String(), reward.String())
	// What answered for the infraction was the pool then, or batches it had gone to: whoever ran met it all the same.
	requireClose(t, pool.QuoRaw(20), lost, int64(2*len(names)))
}

// amountOf parses an amount.
func amountOf(t *testing.T, text string) sdkmath.Int {
	t.Helper()
	a, ok := sdkmath.NewIntFromString(text)
	require.True(t, ok, text)
	return a
}

func requireClose(t *testing.T, want, have sdkmath.Int, slack int64) {
	t.Helper()
	require.True(t, want.Sub(have).Abs().LTE(amount(slack)), "%s, not %s", have, want)
}

// randomMove is anything a delegator can do, of an amount that it may not have. Nothing new goes to the second validator.
func randomMove(n *meshtest.Network, p *meshtest.Pairing, name string) sdk.Msg {
	tokens := 1 + n.Rand.Int63n(5*one)
	from, to := 2*n.Rand.Intn(2), 2*n.Rand.Intn(2)
	home, other := nat(p, n.Rand.Intn(3)), nat(p, n.Rand.Intn(3))
	switch n.Rand.Intn(7) {
	case 0:
		return p.MsgCrossStake(name, val(p, to), tokens)
	case 1:
		return p.MsgCrossUnstake(name, val(p, n.Rand.Intn(3)), tokens)
	case 2:
		return p.Provider.MsgUndelegate(name, home, tokens)
	case 3:
		return p.Provider.MsgRedelegate(name, home, other, tokens)
	case 4:
		return p.MsgCrossRedelegate(name, val(p, 1-from/2), val(p, to), tokens)
	case 5:
		return p.Provider.MsgDelegate(name, home, tokens)
	default:
		if entries := p.Provider.Unbondings(name); len(entries) > 0 {
			e := entries[n.Rand.Intn(len(entries))]
			for _, v := range p.Provider.Validators {
				if v.String() == e.Validator {
					return p.Provider.MsgCancelUnbonding(name, v, e.Created, min(tokens, max(1, e.Balance.Int64())))
				}
			}
		}
		return p.MsgCrossUnstake(name, val(p, 1), tokens)
	}
}

// call executes messages in the name of an account without a key, as a contract or a module would: all or none.
func call(c *meshtest.Chain, msgs ...sdk.Msg) error {
	ctx, write := c.NextContext().CacheContext()
	for _, msg := range msgs {
		if _, err := c.App.MsgServiceRouter().Handler(msg)(ctx, msg); err != nil {
			return err
		}
	}
	write()
	return nil
}

// hostileHands: grants for something else, contracts, modules, dust, doubles, and what is somebody else's.
func hostileHands(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{}))
	prov := p.Provider
	alice, bob, carol := prov.Account("alice"), prov.Account("bob"), prov.Account("carol")
	names := []string{"alice", "bob", "carol", "dave"}
	books := newLedger(t, prov, names...)

	// Grants: alice lets carol delegate, and undelegate, ten tokens with one validator.
	expires := n.Now().Add(24 * time.Hour)
	grant := func(a authz.Authorization) sdk.Msg {
		msg, err := authz.NewMsgGrant(alice.Address(), carol.Address(), a, &expires)
		require.NoError(t, err)
		return msg
	}
	limited := func(kind stakingtypes.AuthorizationType) sdk.Msg {
		limit := p.Coin(10 * one)
		a, err := stakingtypes.NewStakeAuthorization([]sdk.ValAddress{nat(p, 0).ValAddress()}, nil, kind, &limit)
		require.NoError(t, err)
		return grant(a)
	}
	exec := func(by *meshtest.Account, msgs ...sdk.Msg) error {
		msg := authz.NewMsgExec(by.Address(), msgs)
		return by.Try(&msg).Err()
	}
	p.CrossStake("alice", val(p, 0), 50*one)
	alice.Send(
		limited(stakingtypes.AuthorizationType_AUTHORIZATION_TYPE_DELEGATE), limited(stakingtypes.AuthorizationType_AUTHORIZATION_TYPE_UNDELEGATE),
		limited(stakingtypes.AuthorizationType_AUTHORIZATION_TYPE_REDELEGATE),
	)
	native := delegationsOf(t, prov, alice)
	withdraw := &providertypes.MsgWithdrawRewards{Delegator: alice.String(), ConsumerId: p.ConsumerID}
	for _, msg := range []sdk.Msg{
		p.MsgCrossStake("alice", val(p, 0), one), p.MsgCrossUnstake("alice", val(p, 0), one),
		p.MsgCrossRedelegate("alice", val(p, 0), val(p, 1), one), withdraw,
	} {
		require.ErrorIs(t, exec(carol, msg), authz.ErrNoAuthorizationFound, "%T", msg)
		// Nor with one of its own, nor in a grant within a grant.
		require.ErrorIs(t, exec(carol, p.MsgCrossStake("carol", val(p, 0), one), msg), authz.ErrNoAuthorizationFound)
		inner := authz.NewMsgExec(carol.Address(), []sdk.Msg{msg})
		require.ErrorIs(t, exec(bob, &inner), authz.ErrNoAuthorizationFound)
		require.Error(t, carol.Try(msg).Err(), "signed by somebody else")
	}
	alice.Send(grant(authz.NewGenericAuthorization(sdk.MsgTypeURL(&providertypes.MsgCrossStake{}))))
	require.NoError(t, exec(carol, p.MsgCrossStake("alice", val(p, 1), 40*one)))
	require.ErrorIs(t, exec(carol, p.MsgCrossStake("alice", val(p, 1), 11*one)), providertypes.ErrInsufficientCollateral)
	require.ErrorIs(t, exec(carol, p.MsgCrossUnstake("alice", val(p, 1), one)), authz.ErrNoAuthorizationFound)
	require.Equal(t, native, delegationsOf(t, prov, alice), "cross-staking takes nothing from a limit, nor around it")
	// Within the limit alice's entry is held like one of its own; more is refused, staked twice or not.
	require.NoError(t, exec(carol, prov.MsgUndelegate("alice", nat(p, 0), 10*one)))
	n.Step()
	require.Error(t, exec(carol, prov.MsgUndelegate("alice", nat(p, 0), 1)))
	require.NoError(t, exec(carol, prov.MsgDelegate("alice", nat(p, 0), 10*one)))
	require.Error(t, exec(carol, prov.MsgDelegate("alice", nat(p, 0), 1)))
	n.Step()
	requireInt(t, 0, prov.Held("alice"), "90 of 100 are needed again")
	books.requireNothingLost()

	// Contracts and modules: 32 bytes, no key; an account nobody may send to.
	contract := prov.NewAddress("contract", bytes.Repeat([]byte{0xC0, 0xDE}, 16))
	module := prov.NewAddress("module", authtypes.NewModuleAddress(govtypes.ModuleName))
	blocked := prov.NewAddress("blocked", authtypes.NewModuleAddress(transfertypes.ModuleName))
	require.True(t, prov.App.BankKeeper.BlockedAddr(blocked.Address()))
	prov.Direct(func(ctx sdk.Context) {
		for _, a := range []*meshtest.Account{contract, module, blocked} {
			require.NoError(t, prov.App.BankKeeper.SendCoins(ctx, bob.Address(), a.Address(), sdk.NewCoins(p.Coin(50*one))))
		}
	})
	n.Step()
	books = newLedger(t, prov, append(names, "contract", "module", "blocked")...)
	keyless := []string{"contract", "module"}
	for _, name := range keyless {
		require.NoError(t, call(prov,
			prov.MsgDelegate(name, nat(p, 0), 30*one), p.MsgCrossStake(name, val(p, 0), 20*one), p.MsgCrossUnstake(name, val(p, 0), 5*one),
			prov.MsgUndelegate(name, nat(p, 0), 25*one), prov.MsgDelegate(name, nat(p, 1), 20*one),
			p.MsgCrossStake(name, val(p, 2), 5*one), p.MsgCrossRedelegate(name, val(p, 2), val(p, 1), 3*one),
		), name)
		require.ErrorIs(t, call(prov, p.MsgCrossStake(name, val(p, 1), 6*one)), providertypes.ErrInsufficientCollateral)
		require.Error(t, call(prov, p.MsgCrossUnstake(name, val(p, 0), 15*one), p.MsgCrossUnstake(name, val(p, 0), 1)), "the second is one too much")
	}
	n.Step()
	for _, name := range keyless {
		requireInt(t, 0, prov.Held(name), "25 are bonded for 20 and 5")
		active, unbonding := p.Lien(name)
		requireInt(t, 20*one, active)
		requireInt(t, 5*one, unbonding)
	}

	// Dust, doubles, what is not there.
	p.CrossStake("bob", val(p, 0), 1000)
	for _, tc := range []struct {
		name string
		msgs []sdk.Msg
		want error
	}{
		{"dust", []sdk.Msg{p.MsgCrossStake("bob", val(p, 0), 999)}, providertypes.ErrAmountTooSmall},
		{"nothing", []sdk.Msg{p.MsgCrossStake("bob", val(p, 0), 0)}, providertypes.ErrAmountNotPositive},
		{"nothing back", []sdk.Msg{p.MsgCrossUnstake("bob", val(p, 0), 0)}, providertypes.ErrAmountNotPositive},
		{"nothing elsewhere", []sdk.Msg{p.MsgCrossRedelegate("bob", val(p, 0), val(p, 1), 0)}, providertypes.ErrAmountNotPositive},
		{"out twice", []sdk.Msg{p.MsgCrossUnstake("bob", val(p, 0), 1000), p.MsgCrossUnstake("bob", val(p, 0), 1000)}, providertypes.ErrNoPosition},
		{"in twice", []sdk.Msg{p.MsgCrossStake("bob", val(p, 0), 30*one), p.MsgCrossStake("bob", val(p, 0), 30*one)}, providertypes.ErrInsufficientCollateral},
		{"all of the pool", []sdk.Msg{p.MsgCrossUnstake("bob", val(p, 0), 65*one)}, providertypes.ErrInsufficientStake},
		{"moved and taken", []sdk.Msg{p.MsgCrossRedelegate("bob", val(p, 0), val(p, 1), 1000), p.MsgCrossUnstake("bob", val(p, 0), 1000)}, providertypes.ErrNoPosition},
	} {
		require.ErrorIs(t, bob.Try(tc.msgs...).Err(), tc.want, tc.name)
	}
	active, unbonding := p.Lien("bob")
	requireInt(t, 1000, active)
	requireInt(t, 0, unbonding)
	bob.Send(p.MsgCrossUnstake("bob", val(p, 0), 1), p.MsgCrossUnstake("bob", val(p, 0), 1), p.MsgCrossUnstake("bob", val(p, 0), 998))

	// A delegator, and a submitter, that cannot be paid: x/staking lets the account delegate and never undelegate. What it owes
	// is burned like anybody's, and nobody waits for it.
	p.CrossStake("dave", val(p, 3), 20*one)
	require.NoError(t, call(prov, prov.MsgDelegate("blocked", nat(p, 3), 30*one), p.MsgCrossStake("blocked", val(p, 3), 20*one)))
	require.Error(t, call(prov, prov.MsgUndelegate("blocked", nat(p, 3), one)))
	settle(n, p)
	infraction := p.Consumer.Height()
	settle(n, p)
	p.SkipBacking = true // collateral is lost; what it backs leaves once the consumer has executed that
	proof := p.MsgSubmitDoubleVote("dave", val(p, 3), infraction)
	proof.Submitter = blocked.String()
	require.NoError(t, call(prov, proof))
	settle(n, p)
	p.SkipBacking = false
	requireInt(t, 2*one, prov.ProviderState().Totals.Burned)
	requireInt(t, one, books.lost("dave"))
	requireInt(t, one, books.lost("blocked"))

	for _, name := range keyless {
		require.NoError(t, call(prov,
			p.MsgCrossUnstake(name, val(p, 0), 15*one), p.MsgCrossUnstake(name, val(p, 1), 3*one), p.MsgCrossUnstake(name, val(p, 2), 2*one),
			prov.MsgUndelegate(name, nat(p, 0), 5*one), prov.MsgUndelegate(name, nat(p, 1), 20*one),
		), name)
	}
	goHome(t, n, 2*u+2*round, prov, []*meshtest.Pairing{p}, names...)
	for _, name := range keyless {
		n.Until(name+" is home", u+round, func() bool { return len(prov.Unbondings(name)) == 0 })
		requireInt(t, 50*one, prov.Balance(prov.Account(name)), name)
	}
	books.requireNothingLost("alice", "bob", "carol", "contract", "module")
	requireInt(t, one, books.lost("dave"))
}

// hostileVesting: vesting tokens are staked twice as they are staked once, and no way out frees one before its time.
func hostileVesting(t *testing.T) {
	n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{}))
	prov, funder := p.Provider, p.Provider.Account("bob")
	start := n.Now().Unix()
	coins := func(tokens int64) sdk.Coins { return sdk.NewCoins(p.Coin(tokens)) }
	accounts := []struct {
		name   string
		create func(sdk.AccAddress) sdk.Msg
		// vested is what is free after some seconds.
		vested func(int64) int64
	}{
		{"continuous", func(to sdk.AccAddress) sdk.Msg {
			return vestingtypes.NewMsgCreateVestingAccount(funder.Address(), to, coins(80*one), start+3600, false)
		}, func(s int64) int64 { return 80 * one * min(s, 3600) / 3600 }},
		{"delayed", func(to sdk.AccAddress) sdk.Msg {
			return vestingtypes.NewMsgCreateVestingAccount(funder.Address(), to, coins(80*one), start+365*24*3600, true)
		}, func(int64) int64 { return 0 }},
		{"periodic", func(to sdk.AccAddress) sdk.Msg {
			var periods []vestingtypes.Period
			for range 4 {
				periods = append(periods, vestingtypes.Period{Length: 400, Amount: coins(20 * one)})
			}
			return vestingtypes.NewMsgCreatePeriodicVestingAccount(funder.Address(), to, start, periods)
		}, func(s int64) int64 { return 20 * one * min(s/400, 4) }},
		{"locked", func(to sdk.AccAddress) sdk.Msg {
			return vestingtypes.NewMsgCreatePermanentLockedAccount(funder.Address(), to, coins(80*one))
		}, func(int64) int64 { return 0 }},
	}
	names := make([]string, 0, len(accounts))
	for _, a := range accounts {
		account := prov.NewAccount(a.name)
		funder.Send(a.create(account.Address()))
		names = append(names, a.name)
	}
	books := newLedger(t, prov, names...)
	// After every step: what can be spent is what has vested, at most.
	check := func() {
		t.Helper()
		ctx := prov.CommittedContext()
		for _, a := range accounts {
			free := prov.App.BankKeeper.SpendableCoins(ctx, prov.Account(a.name).Address()).AmountOf(prov.Denom)
			vested := a.vested(prov.LastBlock().Time.Unix() - start + 1)
			require.True(t, free.LTE(amount(vested)), "%s can spend %s, of which %d have vested", a.name, free, vested)
		}
	}
	advance := func(d time.Duration) {
		t.Helper()
		for end := n.Now().Add(d); n.Now().Before(end); check() {
			n.StepBy(15 * time.Second)
		}
	}
	for _, name := range names {
		a := prov.Account(name)
		a.Send(prov.MsgDelegate(name, nat(p, 2), 50*one), prov.MsgDelegate(name, nat(p, 3), 30*one))
		a.Send(p.MsgCrossStake(name, val(p, 0), 60*one))
		require.ErrorIs(t, a.Try(p.MsgCrossStake(name, val(p, 1), 20*one+1)).Err(), providertypes.ErrInsufficientCollateral)
	}
	settle(n, p)
	requireInt(t, 4*54*one, p.TotalVirtual())
	infraction := p.Consumer.Height() - 1
	// All natively, a little cancelled, then a slash; part of an entry is paid out before the rest.
	for _, name := range names {
		a := prov.Account(name)
		tx := a.Send(prov.MsgUndelegate(name, nat(p, 2), 50*one), prov.MsgUndelegate(name, nat(p, 3), 30*one))
		a.Send(prov.MsgCancelUnbonding(name, nat(p, 3), tx.Height, 10*one), p.MsgCrossUnstake(name, val(p, 0), 15*one))
	}
	funder.Send(p.MsgSubmitDoubleVote("bob", val(p, 0), infraction))
	advance(u + time1)
	for _, name := range names {
		requireInt(t, 3*one, books.lost(name), "five per cent of 60")
		spend := banktypes.NewMsgSend(prov.Account(name).Address(), funder.Address(), coins(75*one))
		require.Error(t, prov.Account(name).Try(spend).Err(), name)
	}
	for _, name := range names {
		for _, d := range delegationsOf(t, prov, prov.Account(name)) {
			valAddr, err := sdk.ValAddressFromBech32(d.validator)
			require.NoError(t, err)
			v := &meshtest.Validator{Operator: accountAt(prov, valAddr)}
			prov.Account(name).Queue(prov.MsgUndelegate(name, v, d.tokens.Int64()))
		}
	}
	advance(u + round)
	require.Empty(t, prov.ProviderState().Positions)
	for _, a := range accounts {
		require.Empty(t, prov.Unbondings(a.name))
		requireInt(t, 77*one, prov.Balance(prov.Account(a.name)), a.name)
		requireInt(t, 3*one, books.lost(a.name))
	}
}
