package demo

import (
	"context"
	"fmt"
	"math/big"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// everybody lets all delegators of both chains act at the same time.
func (d *demo) everybody(ctx context.Context, do func(ctx context.Context, c *chain, who *delegator) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range d.chains {
		for _, who := range c.delegators {
			group.Go(func() error { return do(ctx, c, who) })
		}
	}
	return group.Wait()
}

// delegate gives every delegator its native delegation.
func (d *demo) delegate(ctx context.Context) (string, error) {
	err := d.everybody(ctx, func(ctx context.Context, c *chain, who *delegator) error {
		_, err := c.Tx(ctx, who.name, &stakingtypes.MsgDelegate{
			DelegatorAddress: c.Address(who.name), ValidatorAddress: c.operator(who.home), Amount: c.coin(c.base(who.stake)),
		})
		return err
	})
	if err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "DELEGATOR", "VALIDATOR", "STAKED"}}
	for _, c := range d.chains {
		for _, who := range c.delegators {
			c.native[who.home] = c.native[who.home].Add(c.base(who.stake))
			rows = append(rows, []string{c.id, who.name, c.label(who.home), c.show(c.base(who.stake))})
		}
	}
	d.table(rows)
	// The next step measures from here; CometBFT learns of it two blocks later.
	d.powersBefore = make([][]int64, len(d.chains))
	err = each(ctx, []int{0, 1}, func(ctx context.Context, i int) error {
		c := d.chains[i]
		return await(ctx, crossing, func(ctx context.Context) error {
			var err error
			if d.powersBefore[i], err = c.powers(ctx); err != nil {
				return err
			}
			for v, power := range d.powersBefore[i] {
				if err := expect(c.whose(v, "voting power in CometBFT"), powerOf(c.native[v]), power); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return "", err
	}
	return "ordinary delegations through x/staking", d.delegationsStand(ctx)
}

// powerOf is the voting power that an amount of stake gives.
func powerOf(stake math.Int) int64 { return stake.Quo(sdk.DefaultPowerReduction).Int64() }

// delegationsStand checks every native delegation that nobody has taken back.
func (d *demo) delegationsStand(ctx context.Context) error {
	return d.everybody(ctx, func(ctx context.Context, c *chain, who *delegator) error {
		seen, err := c.delegation(ctx, who.name, who.home)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s: native delegation of %s to %s", c.id, who.name, c.label(who.home))
		return about(what, c, c.staked(who), seen, c.slack)
	})
}

// change stakes and unstakes for a delegator: whole tokens by validator, less
// than zero to take back. All of it is one transaction.
func (d *demo) change(ctx context.Context, c *chain, who *delegator, by map[int]int64) error {
	dir := d.from(c)
	var msgs []sdk.Msg
	for v := range who.restaked {
		amount := c.base(by[v])
		validator, delegator := dir.consumer.operator(v), c.Address(who.name)
		switch {
		case amount.IsPositive():
			msgs = append(msgs, &providertypes.MsgCrossStake{
				Delegator: delegator, ConsumerId: dir.ids.ConsumerID, Validator: validator, Amount: c.coin(amount),
			})
		case amount.IsNegative():
			msgs = append(msgs, &providertypes.MsgCrossUnstake{
				Delegator: delegator, ConsumerId: dir.ids.ConsumerID, Validator: validator, Amount: c.coin(amount.Neg()),
			})
		}
	}
	if len(msgs) == 0 {
		return nil
	}
	_, moved, err := c.send(ctx, who.name, msgs...)
	if err != nil {
		return err
	}
	for v := range who.restaked {
		who.restaked[v] = who.restaked[v].Add(c.base(by[v]))
	}
	return expect(fmt.Sprintf("%s: what left %s's balance besides the fee", c.id, who.name), c.show(math.ZeroInt()), c.show(moved))
}

// changes lets delegators stake and unstake, and shows who did what.
func (d *demo) changes(ctx context.Context, of func(*delegator) map[int]int64) (int, error) {
	err := d.everybody(ctx, func(ctx context.Context, c *chain, who *delegator) error { return d.change(ctx, c, who, of(who)) })
	if err != nil {
		return 0, err
	}
	rows := [][]string{{"CHAIN", "DELEGATOR", "CHANGE", "TO", "VALIDATOR", "IN ALL", "STAKED AT HOME"}}
	for _, c := range d.chains {
		consumer := d.from(c).consumer
		for _, who := range c.delegators {
			for v := range who.restaked {
				if by := of(who)[v]; by != 0 {
					change := c.show(c.base(by))
					if by > 0 {
						change = "+" + change
					}
					rows = append(rows, []string{
						c.id, who.name, change, consumer.id, consumer.label(v), c.show(who.restaked[v]), c.show(c.staked(who)),
					})
				}
			}
		}
	}
	d.table(rows)
	return len(rows) - 1, nil
}

// crossStake is the first restaking, by everybody to several validators.
func (d *demo) crossStake(ctx context.Context) (string, error) {
	n, err := d.changes(ctx, func(who *delegator) map[int]int64 { return who.restake })
	if err != nil {
		return "", err
	}
	err = each(ctx, d.directions, func(ctx context.Context, dir *direction) error { return dir.provided(ctx) })
	return fmt.Sprintf("%d cross-stakes accepted; balances paid nothing but fees", n), err
}

// votingPower waits until the stake counts on the other chain and checks it
// against what it must be.
func (d *demo) votingPower(ctx context.Context) (string, error) {
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "VALIDATOR", "RESTAKED", "WORTH", "POWER BEFORE", "RISE", "POWER NOW"}}
	total := int64(0)
	for i, c := range d.chains {
		dir := d.to(c)
		powers, err := c.powers(ctx)
		if err != nil {
			return "", err
		}
		allied, err := dir.allied()
		if err != nil {
			return "", err
		}
		restaked := dir.restaked()
		for v := range powers {
			rise := powers[v] - d.powersBefore[i][v]
			if err := expect(c.whose(v, "rise of its voting power"), powerOf(c.native[v].Add(allied[v]))-powerOf(c.native[v]), rise); err != nil {
				return "", err
			}
			total += rise
			rows = append(rows, []string{
				c.id, c.label(v), dir.provider.show(restaked[v]), c.show(allied[v]),
				fmt.Sprint(d.powersBefore[i][v]), fmt.Sprintf("+%d", rise), fmt.Sprint(powers[v]),
			})
		}
	}
	d.table(rows)
	for _, dir := range d.directions {
		d.note("%s × price %s × (1 − %s) = %s", dir.provider.symbol, dir.spec.Price, percent(dir.terms.discount), dir.consumer.symbol)
	}
	return fmt.Sprintf("%d units of voting power more, as computed from price and discount", total), nil
}

// reachCaps restakes beyond the caps.
func (d *demo) reachCaps(ctx context.Context) (string, error) {
	if _, err := d.changes(ctx, func(who *delegator) map[int]int64 { return who.more }); err != nil {
		return "", err
	}
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	d.note("")
	rows := [][]string{{"CHAIN", "VALIDATOR", "WORTH", "CUT TO", "KEPT"}}
	var said string
	for _, dir := range d.directions {
		c := dir.consumer
		allied, err := dir.allied()
		if err != nil {
			return "", err
		}
		worth, limit := dir.worth(), dir.terms.limit(c.bonded())
		if sum(worth).LTE(limit) {
			return "", expect(c.id+": worth of all stake", "more than "+c.show(limit), c.show(sum(worth)))
		}
		stakes, err := dir.stakes(ctx)
		if err != nil {
			return "", err
		}
		seen := math.ZeroInt()
		for v := range stakes {
			seen = seen.Add(stakes[v].Current)
			kept := new(big.Rat).SetFrac(stakes[v].Current.BigInt(), worth[v].BigInt())
			rows = append(rows, []string{c.id, c.label(v), c.show(worth[v]), c.show(allied[v]), percent(kept)})
		}
		rows = append(rows, []string{c.id, "all", c.show(sum(worth)), c.show(seen), percent(new(big.Rat).SetFrac(limit.BigInt(), sum(worth).BigInt()))})
		if err := expect(c.id+": sum of virtual stake", c.show(limit), c.show(seen)); err != nil {
			return "", err
		}
		if said != "" {
			said += ", "
		}
		said += fmt.Sprintf("%s %s", c.id, c.show(limit))
	}
	d.table(rows)
	return "sums are exactly the caps: " + said, nil
}

// security shows each chain's native and allied stake, in one unit.
func (d *demo) security(ctx context.Context) (string, error) {
	unit := d.chains[0]
	rows := [][]string{{"CHAIN", "NATIVE", "ALLIED", "TOGETHER", "IN " + unit.symbol, "ALLIED/NATIVE"}}
	var said string
	for i, c := range d.chains {
		dir := d.to(c)
		res, err := c.consuming().Security(ctx, &consumertypes.QuerySecurityRequest{})
		if err != nil {
			return "", err
		}
		report := ChainReport{
			ChainID: c.id, NativeBonded: Amount{res.NativeBonded}, VirtualBonded: Amount{res.VirtualBonded},
			VirtualByProvider: map[string]Amount{},
		}
		for _, p := range res.VirtualByProvider {
			report.VirtualByProvider[p.ChainId] = Amount{p.VirtualBonded}
		}
		d.report.Chains[i] = report

		allied, err := dir.allied()
		if err != nil {
			return "", err
		}
		allies := sumOf(allied, c.away)
		for _, e := range []struct {
			what           string
			expected, seen math.Int
		}{
			{"native bonded stake", c.bonded(), res.NativeBonded},
			{"virtual bonded stake", allies, res.VirtualBonded},
			{"virtual bonded stake of " + dir.provider.id, allies, report.VirtualByProvider[dir.provider.id].Int},
		} {
			if err := about(c.id+": "+e.what, c, e.expected, e.seen, 3*c.slack); err != nil {
				return "", err
			}
		}
		// The price that the first chain uses makes them comparable.
		all := res.NativeBonded.Add(res.VirtualBonded)
		common := new(big.Rat).SetInt(all.BigInt())
		if c != unit {
			common.Mul(common, d.from(c).terms.price).Mul(common, d.from(c).terms.scale)
		}
		shown := unit.show(floor(common))
		rows = append(rows, []string{
			c.id, c.show(res.NativeBonded), "+" + c.show(res.VirtualBonded), c.show(all), shown,
			percent(new(big.Rat).SetFrac(res.VirtualBonded.BigInt(), res.NativeBonded.BigInt())),
		})
		if said != "" {
			said += ", "
		}
		said += c.id + " " + shown
	}
	row, err := d.thirdSecurity(ctx)
	if err != nil {
		return "", err
	}
	d.table(append(rows, row))
	return "native and allied stake: " + said + ", " + d.third.id + " " + row[4], nil
}

// final shows the security once more, when both directions are at rest.
func (d *demo) final(ctx context.Context) (string, error) {
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	return d.security(ctx)
}

// percent spells a fraction in per cent with at most two decimals.
func percent(r *big.Rat) string {
	hundredths := new(big.Rat).Mul(r, big.NewRat(10_000, 1))
	rounded := floor(hundredths.Add(hundredths, big.NewRat(1, 2)))
	return decimal(rounded, 2) + " %"
}
