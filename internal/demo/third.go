package demo

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// stakers lets all who stake to the third chain act at the same time.
func (d *demo) stakers(ctx context.Context, do func(ctx context.Context, dir *direction, who *delegator) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, dir := range d.thirds {
		for _, who := range dir.provider.delegators {
			if len(who.again) > 0 {
				group.Go(func() error { return do(ctx, dir, who) })
			}
		}
	}
	return group.Wait()
}

// stakeAgain lets delegators of both chains stake the same tokens to the third.
func (d *demo) stakeAgain(ctx context.Context) (string, error) {
	var err error
	if d.since, err = d.third.Height(ctx); err != nil {
		return "", err
	}
	err = d.stakers(ctx, func(ctx context.Context, dir *direction, who *delegator) error {
		c := dir.provider
		var msgs []sdk.Msg
		for v, whole := range who.again {
			amount := c.base(whole)
			msgs = append(msgs, &providertypes.MsgCrossStake{
				Delegator: c.Address(who.name), ConsumerId: dir.ids.ConsumerID, Validator: dir.consumer.operator(v), Amount: c.coin(amount),
			})
			who.onThird[v] = amount
		}
		if _, err := c.Tx(ctx, who.name, msgs...); err != nil {
			return err
		}
		// A token that backs two chains is bound once.
		res, err := c.providing().Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: c.Address(who.name)})
		if err != nil {
			return err
		}
		return expect(c.id+" "+who.name+": lien", c.show(math.MaxInt(sum(who.restaked), sum(who.onThird))), c.show(res.MaxLien))
	})
	if err != nil {
		return "", err
	}
	if err := d.thirdSettled(ctx); err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "DELEGATOR", "STAKED AT HOME", "RESTAKED", "RESTAKED TO " + d.third.id, "VALIDATOR", "WORTH"}}
	for _, dir := range d.thirds {
		c := dir.provider
		for _, who := range c.delegators {
			for v, amount := range who.onThird {
				if amount.IsPositive() {
					rows = append(rows, []string{
						c.id, who.name, c.show(c.staked(who)), c.show(sum(who.restaked)), c.show(amount),
						d.third.label(v), d.third.show(dir.terms.value(amount)),
					})
				}
			}
		}
	}
	d.table(rows)
	d.note("")
	if err := d.thirdTable(ctx); err != nil {
		return "", err
	}
	return d.third.id + " is secured by both; a token that backs two chains is bound once", nil
}

// thirdAllied is the stake that each of the third chain's validators must have got
// from a provider. Its caps are far, or zero.
func (d *direction) thirdAllied() ([]math.Int, error) {
	if d.terms.maxCap.IsZero() {
		return zeros(d.consumer.validators), nil
	}
	allied := d.worth()
	if limit := d.terms.limit(d.consumer.bonded()); sum(allied).GT(limit) {
		return nil, expect(d.consumer.id+": worth of all stake of "+d.provider.id, "at most "+d.consumer.show(limit), d.consumer.show(sum(allied)))
	}
	return allied, nil
}

// thirdSettled waits until the third chain is as the ledger says: what both
// providers know, what came of it in x/staking, and voting power.
func (d *demo) thirdSettled(ctx context.Context) error {
	return await(ctx, crossing, func(ctx context.Context) error {
		c := d.third
		totals := slices.Clone(c.native)
		for _, dir := range d.thirds {
			allied, err := dir.thirdAllied()
			if err != nil {
				return err
			}
			if err := dir.provided(ctx); err != nil {
				return err
			}
			if err := dir.received(ctx); err != nil {
				return err
			}
			stakes, err := dir.stakes(ctx)
			if err != nil {
				return err
			}
			for v, amount := range allied {
				totals[v] = totals[v].Add(amount)
				if err := about(c.whose(v, "virtual stake of "+dir.provider.id), c, amount, stakes[v].Current, 0); err != nil {
					return err
				}
			}
		}
		powers, err := c.powers(ctx)
		if err != nil {
			return err
		}
		for v, all := range totals {
			res, err := c.staking().Validator(ctx, &stakingtypes.QueryValidatorRequest{ValidatorAddr: c.operator(v)})
			if err != nil {
				return err
			}
			if err := about(c.whose(v, "tokens in x/staking"), c, all, res.Validator.Tokens, 0); err != nil {
				return err
			}
			if err := expect(c.whose(v, "voting power in CometBFT"), powerOf(all), powers[v]); err != nil {
				return err
			}
		}
		return nil
	})
}

// thirdTable shows the third chain's validators.
func (d *demo) thirdTable(ctx context.Context) error {
	c := d.third
	rows := [][]string{{"CHAIN", "VALIDATOR", "OWN STAKE"}}
	for _, dir := range d.thirds {
		rows[0] = append(rows[0], "STAKE OF "+dir.provider.id)
	}
	rows[0] = append(rows[0], "POWER")
	powers, err := c.powers(ctx)
	if err != nil {
		return err
	}
	for v, power := range powers {
		row := []string{c.id, c.label(v), c.show(c.native[v])}
		for _, dir := range d.thirds {
			allied, err := dir.thirdAllied()
			if err != nil {
				return err
			}
			row = append(row, c.show(allied[v]))
		}
		rows = append(rows, append(row, fmt.Sprint(power)))
	}
	d.table(rows)
	return nil
}

// thirdSecurity checks what the third chain says of its security. It returns the
// row of the table that security shows.
func (d *demo) thirdSecurity(ctx context.Context) ([]string, error) {
	c := d.third
	res, err := c.consuming().Security(ctx, &consumertypes.QuerySecurityRequest{})
	if err != nil {
		return nil, err
	}
	report := ChainReport{
		ChainID: c.id, NativeBonded: Amount{res.NativeBonded}, VirtualBonded: Amount{res.VirtualBonded}, VirtualByProvider: map[string]Amount{},
	}
	for _, p := range res.VirtualByProvider {
		report.VirtualByProvider[p.ChainId] = Amount{p.VirtualBonded}
	}
	d.report.Chains[len(d.chains)] = report

	allies := math.ZeroInt()
	for _, dir := range d.thirds {
		allied, err := dir.thirdAllied()
		if err != nil {
			return nil, err
		}
		allies = allies.Add(sum(allied))
	}
	if err := expect(c.id+": native bonded stake", c.show(c.bonded()), c.show(res.NativeBonded)); err != nil {
		return nil, err
	}
	if err := expect(c.id+": virtual bonded stake", c.show(allies), c.show(res.VirtualBonded)); err != nil {
		return nil, err
	}
	// What its feeders say of the first chain's token makes them comparable.
	all := c.bonded().Add(allies)
	terms := d.thirds[0].terms
	common := new(big.Rat).SetInt(all.BigInt())
	common.Quo(common, terms.price).Quo(common, terms.scale)
	return []string{
		c.id, c.show(res.NativeBonded), "+" + c.show(res.VirtualBonded), c.show(all), d.chains[0].show(floor(common)),
		percent(new(big.Rat).SetFrac(res.VirtualBonded.BigInt(), res.NativeBonded.BigInt())),
	}, nil
}

// updateProvider is the message with which the consumer's governance changes a
// provider's configuration.
func (d *direction) updateProvider(ctx context.Context, change func(*consumertypes.ProviderConfig)) (*consumertypes.MsgUpdateProvider, error) {
	res, err := d.consumer.consuming().Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return nil, err
	}
	msg := &consumertypes.MsgUpdateProvider{Authority: d.consumer.Authority(), Config: res.Provider.Provider.Config}
	change(&msg.Config)
	return msg, nil
}

// capZero lets the third chain's governance set both caps to zero, and everybody
// take back what counts for nothing any more.
func (d *demo) capZero(ctx context.Context) (string, error) {
	c := d.third
	before, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	var msgs []sdk.Msg
	gone := math.ZeroInt()
	for _, dir := range d.thirds {
		allied, err := dir.thirdAllied()
		if err != nil {
			return "", err
		}
		gone = gone.Add(sum(allied))
		msg, err := dir.updateProvider(ctx, func(config *consumertypes.ProviderConfig) { config.MaxCap = math.ZeroInt() })
		if err != nil {
			return "", err
		}
		msgs = append(msgs, msg)
		dir.terms.maxCap = math.ZeroInt()
	}
	if _, err := c.PassProposals(ctx, localnet.Proposal{Title: "No allied stake", Messages: msgs}); err != nil {
		return "", err
	}
	if err := d.thirdSettled(ctx); err != nil {
		return "", err
	}
	decided, err := c.firstBlockWith(ctx, before, func(ctx context.Context) (bool, error) {
		res, err := c.consuming().Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: d.thirds[0].ids.ProviderID})
		if err != nil {
			return false, err
		}
		return res.Provider.Provider.Config.MaxCap.IsZero(), nil
	})
	if err != nil {
		return "", err
	}
	// The block before the decision still has all of it.
	left, err := c.firstBlockWith(ctx, decided-1, func(ctx context.Context) (bool, error) {
		res, err := c.consuming().Supply(ctx, &consumertypes.QuerySupplyRequest{})
		if err != nil {
			return false, err
		}
		return res.VirtualSupply.IsZero(), nil
	})
	if err != nil {
		return "", err
	}
	first, err := c.epoch(localnet.AtHeight(ctx, decided))
	if err != nil {
		return "", err
	}
	last, err := c.epoch(localnet.AtHeight(ctx, left))
	if err != nil {
		return "", err
	}
	supply, err := c.consuming().Supply(localnet.AtHeight(ctx, decided-1), &consumertypes.QuerySupplyRequest{})
	if err != nil {
		return "", err
	}
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"virtual supply before", c.show(gone), c.show(supply.VirtualSupply)},
		{"all of it is gone within the epoch of the decision", true, last.Epoch.Number <= first.Epoch.Number+1},
	} {
		if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
			return "", err
		}
	}
	if err := d.thirdTable(ctx); err != nil {
		return "", err
	}
	if err := d.release(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s gone %d blocks after the vote, at the end of that epoch; the delegators take their stake back",
		c.show(gone), left-decided), nil
}

// release is a delegator's stake on the third chain that is on its way back.
type release struct {
	dir *direction
	who *delegator
	// amount was taken back in the block height at the time began.
	amount math.Int
	height int64
	began  time.Time
	// until is when the last of it is free.
	until time.Time
}

// release lets everybody unstake from the third chain.
func (d *demo) release(ctx context.Context) error {
	for _, dir := range d.thirds {
		for _, who := range dir.provider.delegators {
			if len(who.again) > 0 {
				d.freed = append(d.freed, &release{dir: dir, who: who, amount: sum(who.onThird)})
			}
		}
	}
	err := each(ctx, d.freed, func(ctx context.Context, r *release) error {
		c := r.dir.provider
		var msgs []sdk.Msg
		for v, amount := range r.who.onThird {
			if amount.IsPositive() {
				msgs = append(msgs, &providertypes.MsgCrossUnstake{
					Delegator: c.Address(r.who.name), ConsumerId: r.dir.ids.ConsumerID, Validator: r.dir.consumer.operator(v), Amount: c.coin(amount),
				})
				r.who.onThird[v] = math.ZeroInt()
			}
		}
		res, err := c.Tx(ctx, r.who.name, msgs...)
		if err != nil {
			return err
		}
		r.height = res.Height
		r.began, err = c.blockTime(ctx, r.height)
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, d.freed, func(ctx context.Context, r *release) error {
		return await(ctx, crossing, func(ctx context.Context) error {
			claims, err := r.claims(ctx)
			if err != nil {
				return err
			}
			if len(claims) == 0 {
				return expect(r.what("unstaked cross-stake"), "some", "none")
			}
			for _, claim := range claims {
				if claim.MaturesAt == nil {
					return expect(r.what("unstaked cross-stake"), "its unbonding period runs", claim.WaitsFor)
				}
				if claim.MaturesAt.After(r.until) {
					r.until = *claim.MaturesAt
				}
			}
			return nil
		})
	})
}

func (r *release) what(s string) string { return r.dir.provider.id + " " + r.who.name + ": " + s }

// claims are those on the third chain.
func (r *release) claims(ctx context.Context) ([]providertypes.UnbondingInfo, error) {
	c := r.dir.provider
	res, err := c.providing().Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: c.Address(r.who.name), Pagination: page})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(res.Claims, func(claim providertypes.UnbondingInfo) bool {
		return r.dir.consumer.number(claim.Claim.Operator) < 0
	}), nil
}

// allFree waits until all stake on the third chain is free, and checks when that was.
func (d *demo) allFree(ctx context.Context) (string, error) {
	rows := [][]string{{"CHAIN", "DELEGATOR", "TAKEN BACK", "PERIOD", "FREE", "SEEN FREE"}}
	cells := make([][]string, len(d.freed))
	for _, r := range d.freed {
		d.waiting(r.until, "until "+r.who.name+" on "+r.dir.provider.id+" is free")
	}
	indices := make([]int, len(d.freed))
	for i := range indices {
		indices[i] = i
	}
	err := each(ctx, indices, func(ctx context.Context, i int) error {
		r := d.freed[i]
		free, err := r.free(ctx)
		cells[i] = []string{
			r.dir.provider.id, r.who.name, r.dir.provider.show(r.amount), secs(r.dir.consumer.Unbonding), clock(r.began, r.until), clock(r.began, free),
		}
		return err
	})
	if err != nil {
		return "", err
	}
	d.table(append(rows, cells...))
	return "no lien, no claim, no position is left on " + d.third.id, nil
}

// free waits for the release, and returns the time of its block. It must not be
// before its time, nor long after.
func (r *release) free(ctx context.Context) (time.Time, error) {
	c := r.dir.provider
	if err := c.WaitTime(ctx, r.until); err != nil {
		return time.Time{}, err
	}
	gone := func(ctx context.Context) (bool, error) {
		claims, err := r.claims(ctx)
		return len(claims) == 0, err
	}
	err := await(ctx, 30*time.Second, func(ctx context.Context) error {
		is, err := gone(ctx)
		if err != nil {
			return err
		}
		return expect(r.what("claims on "+r.dir.consumer.id+" are gone"), true, is)
	})
	if err != nil {
		return time.Time{}, err
	}
	height, err := c.firstBlockWith(ctx, r.height, gone)
	if err != nil {
		return time.Time{}, err
	}
	head, err := c.Height(ctx)
	if err != nil {
		return time.Time{}, err
	}
	due, err := c.firstBlockAt(ctx, r.until, r.height, head)
	if err != nil {
		return time.Time{}, err
	}
	when, err := c.blockTime(ctx, height)
	if err != nil {
		return when, err
	}
	if height < due || height > due+soon {
		return when, expect(r.what("block in which it is free"), fmt.Sprintf("%d to %d", due, due+soon), height)
	}
	positions, err := c.providing().Positions(ctx, &providertypes.QueryPositionsRequest{Delegator: c.Address(r.who.name), Pagination: page})
	if err != nil {
		return when, err
	}
	for _, p := range positions.Positions {
		if r.dir.consumer.number(p.Operator) >= 0 {
			return when, expect(r.what("positions on "+r.dir.consumer.id), "none", p.Operator)
		}
	}
	collateral, err := c.providing().Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: c.Address(r.who.name)})
	if err != nil {
		return when, err
	}
	for _, l := range collateral.Liens {
		if l.ConsumerId == r.dir.ids.ConsumerID && l.Lien.IsPositive() {
			return when, expect(r.what("lien to "+r.dir.consumer.id), c.show(math.ZeroInt()), c.show(l.Lien))
		}
	}
	return when, nil
}
