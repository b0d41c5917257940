package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cosmos/gogoproto/proto"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// departure is a delegator on its way out of both chains.
type departure struct {
	dir  *direction
	who  *delegator
	home *chain
	// amount is what it had staked at home, lien what of it was restaked.
	amount, lien math.Int
	// height and began are the block in which it asked for the last of it.
	height int64
	began  time.Time
	// native is when its native undelegation completes by itself, cross when
	// the last of its cross-stake is free.
	native, cross time.Time
	// balance is what it holds until it is paid.
	balance math.Int
}

// later is when it is free: the later of the two.
func (dep *departure) later() time.Time {
	if dep.cross.After(dep.native) {
		return dep.cross
	}
	return dep.native
}

// leave lets a delegator of each chain take back everything, natively and
// across. The native undelegation is held as long as the lien stands.
func (d *demo) leave(ctx context.Context) (string, error) {
	for _, dir := range d.directions {
		for _, who := range dir.provider.delegators {
			if who.leaves {
				d.leaving = append(d.leaving, &departure{
					dir: dir, who: who, home: dir.provider, amount: dir.provider.base(who.stake), lien: sum(who.restaked),
				})
			}
		}
	}
	if err := each(ctx, d.leaving, func(ctx context.Context, dep *departure) error { return dep.begin(ctx) }); err != nil {
		return "", err
	}
	for _, dep := range d.leaving {
		dep.home.native[dep.who.home] = dep.home.native[dep.who.home].Sub(dep.amount)
		for v := range dep.who.restaked {
			dep.who.restaked[v] = math.ZeroInt()
		}
	}
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	if err := each(ctx, d.leaving, func(ctx context.Context, dep *departure) error { return dep.started(ctx) }); err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "DELEGATOR", "UNDELEGATED", "OF IT HELD", "UNSTAKED", "HOME PERIOD", "OTHER PERIOD"}}
	for _, dep := range d.leaving {
		rows = append(rows, []string{
			dep.home.id, dep.who.name, dep.home.show(dep.amount), dep.home.show(dep.lien), dep.home.show(dep.lien),
			secs(dep.home.Unbonding), secs(dep.dir.consumer.Unbonding),
		})
	}
	d.table(rows)
	return "undelegations held for the liens; power has left the other chain, whose clock runs", nil
}

// begin undelegates natively while the lien stands, and then unstakes.
func (dep *departure) begin(ctx context.Context) error {
	c, name := dep.home, dep.who.name
	undelegated, err := c.Tx(ctx, name, &stakingtypes.MsgUndelegate{
		DelegatorAddress: c.Address(name), ValidatorAddress: c.operator(dep.who.home), Amount: c.coin(dep.amount),
	})
	if err != nil {
		return err
	}
	var response stakingtypes.MsgUndelegateResponse
	if err := decode(undelegated, &response); err != nil {
		return err
	}
	dep.native = response.CompletionTime
	if err := await(ctx, time.Minute, func(ctx context.Context) error { return dep.held(ctx) }); err != nil {
		return err
	}

	var msgs []sdk.Msg
	for v, amount := range dep.who.restaked {
		if amount.IsPositive() {
			msgs = append(msgs, &providertypes.MsgCrossUnstake{
				Delegator: c.Address(name), ConsumerId: dep.dir.ids.ConsumerID, Validator: dep.dir.consumer.operator(v), Amount: c.coin(amount),
			})
		}
	}
	unstaked, err := c.Tx(ctx, name, msgs...)
	if err != nil {
		return err
	}
	dep.height = unstaked.Height
	if dep.began, err = c.blockTime(ctx, dep.height); err != nil {
		return err
	}
	dep.balance, err = c.balance(ctx, name)
	return err
}

// held checks that the native undelegation is held, and backs the lien.
func (dep *departure) held(ctx context.Context) error {
	c := dep.home
	entry, err := dep.entry(ctx)
	if err != nil {
		return err
	}
	res, err := c.providing().Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: c.Address(dep.who.name)})
	if err != nil {
		return err
	}
	if entry == nil || len(res.Entries) != 1 {
		return expect(dep.what("unbonding entries"), 1, len(res.Entries))
	}
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"times the undelegation is on hold in x/staking", 1, entry.UnbondingOnHoldRefCount},
		{"undelegation held by meshprovider", true, res.Entries[0].Held},
		{"collateral still bonded", c.show(math.ZeroInt()), c.show(res.Bonded)},
		{"collateral held", c.show(dep.amount), c.show(res.Held)},
		{"lien", c.show(dep.lien), c.show(res.MaxLien)},
	} {
		if err := expect(dep.what(e.what), e.expected, e.seen); err != nil {
			return err
		}
	}
	return nil
}

func (dep *departure) what(s string) string { return dep.home.id + " " + dep.who.name + ": " + s }

// entry is the native unbonding entry, nil once it is gone.
func (dep *departure) entry(ctx context.Context) (*stakingtypes.UnbondingDelegationEntry, error) {
	res, err := dep.home.staking().DelegatorUnbondingDelegations(ctx, &stakingtypes.QueryDelegatorUnbondingDelegationsRequest{
		DelegatorAddr: dep.home.Address(dep.who.name),
	})
	if err != nil {
		return nil, err
	}
	for _, u := range res.UnbondingResponses {
		for _, e := range u.Entries {
			if e.CompletionTime.Equal(dep.native) {
				return &e, nil
			}
		}
	}
	return nil, nil
}

// started waits until the other chain has said that it executed the unstaking:
// then the clock of its unbonding period runs. It says when that ends.
func (dep *departure) started(ctx context.Context) error {
	c := dep.home
	err := await(ctx, crossing, func(ctx context.Context) error {
		res, err := c.providing().Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: c.Address(dep.who.name)})
		if err != nil {
			return err
		}
		for _, claim := range res.Claims {
			if claim.MaturesAt == nil {
				return expect(dep.what("unstaked cross-stake"), "its unbonding period runs", claim.WaitsFor)
			}
			if claim.MaturesAt.After(dep.cross) {
				dep.cross = *claim.MaturesAt
			}
		}
		if dep.cross.IsZero() {
			return expect(dep.what("unstaked cross-stake"), "some", "none")
		}
		return nil
	})
	if err != nil {
		return err
	}
	const most = time.Minute
	if delay := dep.cross.Sub(dep.began) - dep.dir.consumer.Unbonding; delay < 0 || delay > most {
		return expect(dep.what("time until the unbonding period of "+dep.dir.consumer.id+" began"), "0s to "+most.String(), delay)
	}
	return nil
}

// held waits until native undelegations have passed their own time though the
// lien stands, and shows that nothing was paid.
func (d *demo) held(ctx context.Context) (string, error) {
	rows := [][]string{{"CHAIN", "DELEGATOR", "HOME PERIOD OVER", "SEEN AT", "HELD", "PAID"}}
	for _, dep := range d.leaving {
		c := dep.home
		if !dep.native.Before(dep.cross) {
			continue // here the home chain's period is the longer one
		}
		// Some blocks later, so that x/staking has had its chance.
		past := dep.native.Add(3 * c.BlockTime)
		d.waiting(past, "until the home period of "+dep.who.name+" on "+c.id+" is over")
		if err := c.WaitTime(ctx, past); err != nil {
			return "", err
		}
		height, err := c.Height(ctx)
		if err != nil {
			return "", err
		}
		if height, err = c.firstBlockAt(ctx, past, dep.height, height); err != nil {
			return "", err
		}
		seen, err := c.blockTime(ctx, height)
		if err != nil {
			return "", err
		}
		entry, err := dep.entry(localnet.AtHeight(ctx, height))
		if err != nil {
			return "", err
		}
		if entry == nil {
			return "", expect(dep.what("undelegation after its completion time"), "held", "gone")
		}
		balance, err := dep.balanceAt(ctx, height)
		if err != nil {
			return "", err
		}
		if err := expect(dep.what("balance while the lien stands"), c.show(dep.balance), c.show(balance)); err != nil {
			return "", err
		}
		rows = append(rows, []string{
			c.id, dep.who.name, clock(dep.began, dep.native), clock(dep.began, seen), c.show(entry.Balance), c.show(balance.Sub(dep.balance)),
		})
	}
	if len(rows) == 1 {
		return "", errors.New("no home period is the shorter one; the topology must have different unbonding times")
	}
	d.table(rows)
	return "the home period is over, nothing is paid: the lien still needs the tokens", nil
}

// waiting says how long a wait will be.
func (d *demo) waiting(until time.Time, what string) {
	if left := time.Until(until).Round(time.Second); left > 2*time.Second {
		d.note("%s", d.paint(faint, fmt.Sprintf("%s %s …", left, what)))
	}
}

func (dep *departure) balanceAt(ctx context.Context, height int64) (math.Int, error) {
	res, err := banktypes.NewQueryClient(dep.home.Conn()).Balance(localnet.AtHeight(ctx, height), &banktypes.QueryBalanceRequest{
		Address: dep.home.Address(dep.who.name), Denom: dep.home.Denom,
	})
	if err != nil {
		return math.Int{}, err
	}
	return res.Balance.Amount, nil
}

// free waits until both are paid and checks when that was, by block times.
func (d *demo) free(ctx context.Context) (string, error) {
	rows := [][]string{{"CHAIN", "DELEGATOR", "HOME PERIOD OVER", "OTHER PERIOD OVER", "PAID", "AMOUNT", "SUM WOULD BE"}}
	cells := make([][]string, len(d.leaving))
	for _, dep := range d.leaving {
		d.waiting(dep.later(), "until "+dep.who.name+" on "+dep.home.id+" is free")
	}
	err := each(ctx, []int{0, 1}, func(ctx context.Context, i int) error {
		dep := d.leaving[i]
		paid, err := dep.paid(ctx)
		cells[i] = []string{
			dep.home.id, dep.who.name, clock(dep.began, dep.native), clock(dep.began, dep.cross), clock(dep.began, paid),
			dep.home.show(dep.amount), "+" + secs(dep.sum()),
		}
		return err
	})
	if err != nil {
		return "", err
	}
	d.table(append(rows, cells...))
	return "paid in full as soon as the longer period was over", nil
}

// sum is how long leaving would take if one period followed the other.
func (dep *departure) sum() time.Duration { return dep.home.Unbonding + dep.dir.consumer.Unbonding }

// soon is how many blocks the payment may follow the end of the period.
const soon = 5

// paid waits for the payment. It returns the time of its block, and fails if
// that was too early, too late, or not the whole amount.
func (dep *departure) paid(ctx context.Context) (time.Time, error) {
	c := dep.home
	whole := dep.balance.Add(dep.amount)
	if err := c.WaitTime(ctx, dep.later()); err != nil {
		return time.Time{}, err
	}
	err := await(ctx, 30*time.Second, func(ctx context.Context) error {
		balance, err := c.balance(ctx, dep.who.name)
		if err != nil {
			return err
		}
		return expect(dep.what("balance"), c.show(whole), c.show(balance))
	})
	if err != nil {
		return time.Time{}, err
	}

	head, err := c.Height(ctx)
	if err != nil {
		return time.Time{}, err
	}
	height, err := firstBlock(dep.height, head, func(height int64) (bool, error) {
		balance, err := dep.balanceAt(ctx, height)
		if err != nil {
			return false, err
		}
		return !balance.Equal(dep.balance), nil
	})
	if err != nil {
		return time.Time{}, err
	}
	due, err := c.firstBlockAt(ctx, dep.later(), dep.height, head)
	if err != nil {
		return time.Time{}, err
	}
	paid, err := c.blockTime(ctx, height)
	if err != nil {
		return paid, err
	}
	if height < due || height > due+soon {
		return paid, expect(dep.what("block of the payment"), fmt.Sprintf("%d to %d (%s)", due, due+soon, clock(dep.began, dep.later())),
			fmt.Sprintf("%d (%s)", height, clock(dep.began, paid)))
	}
	if took := paid.Sub(dep.began); took >= dep.sum() {
		return paid, expect(dep.what("time until it was paid"), "less than "+dep.sum().String(), took)
	}
	return paid, dep.gone(ctx)
}

// gone checks that nothing of it is left on the chain it leaves.
func (dep *departure) gone(ctx context.Context) error {
	c := dep.home
	address := c.Address(dep.who.name)
	unbonding, err1 := c.providing().Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: address})
	collateral, err2 := c.providing().Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: address})
	positions, err3 := c.providing().Positions(ctx, &providertypes.QueryPositionsRequest{Delegator: address})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	for _, e := range []struct {
		what string
		seen any
	}{
		{"claims left", len(unbonding.Claims)},
		{"positions left", len(positions.Positions)},
		{"collateral still required", collateral.Required},
		{"collateral left", collateral.Collateral},
	} {
		if err := expect(dep.what(e.what), 0, e.seen); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the response to a transaction's only message.
func decode(res *sdk.TxResponse, response proto.Message) error {
	data, err := hex.DecodeString(res.Data)
	if err != nil {
		return err
	}
	var all sdk.TxMsgData
	if err := proto.Unmarshal(data, &all); err != nil {
		return err
	}
	if len(all.MsgResponses) != 1 {
		return fmt.Errorf("transaction %s has %d responses", res.TxHash, len(all.MsgResponses))
	}
	return proto.Unmarshal(all.MsgResponses[0].Value, response)
}
